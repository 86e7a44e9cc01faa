import math
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from preop.errors import InvalidInputError
from preop.mil import Bag, batches, collate, pad
from preop.mil.bags import digest


def test_padding_lays_instances_out_bag_by_bag() -> None:
    features = torch.arange(1.0, 7).reshape(3, 2)
    padded, mask = pad(features, torch.tensor([2, 0, 1]))
    assert padded.tolist() == [[[1, 2], [3, 4]], [[0, 0], [0, 0]], [[5, 6], [0, 0]]]
    assert mask.tolist() == [[True, True], [False, False], [True, False]]


def test_bags_without_any_instance_are_padded_to_one_place() -> None:
    padded, mask = pad(torch.zeros(0, 4), torch.tensor([0, 0]))
    assert padded.shape == (2, 1, 4)
    assert not mask.any()


def test_a_label_says_whether_a_bag_is_positive_or_leaves_it_open() -> None:
    nothing = (torch.zeros(3, 1),)
    labels = [(0, 0), (3, 3), (1, math.inf), (2, 4), (0, 3), (0, math.inf)]
    assert [Bag("a", nothing, *label).positive for label in labels] == [False, True, True, True, None, None]


@pytest.mark.parametrize("label", [(2, 1), (-1, 0), (0.5, 1), (0, 1.5), (math.inf, math.inf), (math.nan, 1)])
def test_a_label_that_is_no_interval_of_a_count_is_refused(label: tuple[float, float]) -> None:
    with pytest.raises(InvalidInputError, match=r"The bag a is labelled with .* expected whole numbers"):
        Bag("a", (torch.zeros(3, 1),), *label)


def test_tensors_of_other_lengths_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"tensors of \[3, 2\] instances; expected the same number"):
        Bag("a", (torch.zeros(3, 1), torch.zeros(2, 1)))
    with pytest.raises(InvalidInputError, match=r"tensors of \[3, 4\] instances"):
        Bag("a", (torch.zeros(3, 1),), instance_labels=torch.zeros(4))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (torch.tensor([[1.0], [math.nan]]), "1 of 2 numbers that are not finite; expected none"),
        (torch.tensor([[math.inf], [-math.inf]]), "2 of 2 numbers"),
        (torch.tensor([[70_000.0], [1.0]]).half(), "in float16, what is over 65,504 becomes infinite"),
        (torch.tensor([[1.0], [math.nan]], dtype=torch.bfloat16), "1 of 2 numbers"),
    ],
)
def test_numbers_that_are_not_finite_are_refused(values: torch.Tensor, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        Bag("a", (torch.zeros(2, 3), values))


def test_labels_of_instances_are_finite() -> None:
    with pytest.raises(InvalidInputError, match="1 of 2 numbers"):
        Bag("a", (torch.zeros(2, 1),), 1, 1, torch.tensor([1.0, math.nan]))


@pytest.mark.parametrize(
    "instances", [(torch.zeros(2, 4),), (torch.zeros(2, 3), torch.zeros(2, 1)), (torch.zeros(2, 3).byte(),)]
)
def test_bags_of_other_kinds_are_not_put_together(instances: tuple[torch.Tensor, ...]) -> None:
    with pytest.raises(
        InvalidInputError, match=r"The instances of the bag b are .* and those of the bag a are 3 fractions"
    ):
        collate([Bag("a", (torch.zeros(5, 3),)), Bag("b", instances)])


def test_a_batch_holds_real_instances_only() -> None:
    images = [torch.ones(2, 1, 4, 4, 4, dtype=torch.float16), torch.ones(3, 1, 4, 4, 4, dtype=torch.float16)]
    batch = collate([Bag(str(n), (image, torch.zeros(len(image), 2)), 1, 1) for n, image in enumerate(images)])
    assert [tuple(part.shape) for part in batch.instances] == [(5, 1, 4, 4, 4), (5, 2)]
    assert batch.to(torch.device("cpu")).instances[0].dtype == torch.float32
    assert batch.labels is None


GENERATORS = st.one_of(st.none(), st.integers(0, 99).map(torch.Generator().manual_seed))


@given(st.lists(st.integers(0, 60), min_size=1, max_size=60), st.integers(1, 100), GENERATORS)
def test_each_bag_is_in_one_batch_and_batches_stay_within_their_budget(
    sizes: list[int], budget: int, generator: torch.Generator | None
) -> None:
    found = batches(sizes, budget, generator)
    assert sorted(number for batch in found for number in batch) == list(range(len(sizes)))
    assert all(len(batch) == 1 or sum(max(sizes[number], 1) for number in batch) <= budget for batch in found)


def test_bags_of_unequal_size_are_batched_without_waste() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.exp(torch.empty(300).uniform_(math.log(10), math.log(5000), generator=generator)).int().tolist()
    found = batches(sizes, 20_000, generator)
    padded = sum(len(batch) * max(sizes[number] for number in batch) for batch in found)
    assert padded < 2 * sum(sizes)
    in_order = [list(range(first, first + 10)) for first in range(0, 300, 10)]
    assert sum(len(batch) * max(sizes[number] for number in batch) for batch in in_order) > 3 * sum(sizes)


def test_another_draw_composes_other_batches() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = list(range(40, 60)) * 2
    first, second = ({frozenset(batch) for batch in batches(sizes, 400, generator)} for _ in range(2))
    assert first != second


def test_the_digest_knows_every_number() -> None:
    def digest_of(value: float, label: float = 1.0) -> str:
        return digest([Bag("a", (torch.tensor([[value]], dtype=torch.float16),), label, label)])

    assert digest_of(1.0) == digest_of(1.0)
    assert len({digest_of(1.0), digest_of(2.0), digest_of(1.0, 0.0)}) == 3


def test_a_bag_survives_another_process() -> None:
    bag = pickle.loads(pickle.dumps(Bag("a", (torch.ones(2, 1),), 1, math.inf)))  # noqa: S301 - written by this test
    assert (bag.name, bag.low, bag.high, bag.size) == ("a", 1, math.inf, 2)


def test_what_was_not_measured_may_be_missing_where_that_is_said_and_infinity_never() -> None:
    lacking = torch.tensor([[1.0, math.nan]])
    assert Bag("a", (lacking,), may_lack=True).size == 1
    with pytest.raises(InvalidInputError, match="1 of 2 numbers that are not finite"):
        Bag("a", (torch.tensor([[1.0, math.inf]]),), may_lack=True)
    with pytest.raises(InvalidInputError, match="1 of 2 numbers that are not finite"):
        Bag("a", (lacking,))
