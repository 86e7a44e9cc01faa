import math

import pytest
import torch
from torch import Tensor

from preop.counts import posterior
from preop.errors import InvalidInputError
from preop.mil import HEADS, Bag, Head, Reading, make_head

FEATURES = 6
COUNTING = {"count", "noisy_or", "squared_error", "instance_labels"}
ADDITIVE = sorted(set(HEADS) - COUNTING - {"transmil"})
EVERY = pytest.mark.parametrize("name", HEADS)


def head_of(name: str, **options: float) -> Head:
    torch.manual_seed(1)
    return make_head(name, FEATURES, **options).eval()


def features_of(size: int, seed: int = 2) -> Tensor:
    return torch.randn(1, size, FEATURES, generator=torch.Generator().manual_seed(seed))


def read(head: Head, features: Tensor) -> Reading:
    return head(features, torch.ones(features.shape[:2], dtype=torch.bool))


@EVERY
@pytest.mark.parametrize("size", [2, 9, 70])
def test_the_order_of_instances_changes_nothing(name: str, size: int) -> None:
    head, features = head_of(name), features_of(size)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(3))
    one, other = read(head, features), read(head, features[:, order])
    torch.testing.assert_close(one.logit, other.logit, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.contributions[:, order], other.contributions, rtol=1e-4, atol=1e-5)


def test_transmil_with_positions_reads_instances_in_their_order() -> None:
    head, features = head_of("transmil", positions=True), features_of(9)
    assert (read(head, features).logit - read(head, features.flip(1)).logit).abs() > 1e-4


@EVERY
def test_padding_changes_nothing_whatever_it_holds(name: str) -> None:
    head = head_of(name)
    alone = [read(head, features_of(size, seed=size)) for size in (40, 7, 1)]
    padded = torch.full((3, 50, FEATURES), 1e3)
    mask = torch.zeros(3, 50, dtype=torch.bool)
    for row, size in enumerate((40, 7, 1)):
        padded[row, :size], mask[row, :size] = features_of(size, seed=size), True
    together = head(padded, mask)
    for row, (size, reading) in enumerate(zip((40, 7, 1), alone, strict=True)):
        torch.testing.assert_close(together.logit[row], reading.logit[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.contributions[row, :size], reading.contributions[0], rtol=1e-4, atol=1e-5)
        assert not together.contributions[row, size:].any()


@EVERY
def test_a_bag_without_instances_gets_an_answer_and_finite_gradients(name: str) -> None:
    head = head_of(name)
    features = features_of(3).repeat(2, 1, 1).requires_grad_()
    reading = head(features, torch.tensor([[True] * 3, [False] * 3]))
    low, high = torch.tensor([1.0, 0.0]), torch.tensor([math.inf, 0.0])
    head.loss(reading, low, high, torch.tensor([[1.0, 0, 0], [0, 0, 0]])).sum().backward()
    assert reading.logit.isfinite().all()
    assert not reading.contributions[1].any()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert not features.grad[1].any()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in head.parameters())


@pytest.mark.parametrize("name", ADDITIVE)
def test_of_a_bag_without_instances_the_bias_is_what_is_said(name: str) -> None:
    head = head_of(name)
    logit = head(torch.zeros(1, 1, FEATURES), torch.zeros(1, 1, dtype=torch.bool)).logit
    assert logit.item() == pytest.approx(
        sum(layer.bias.item() for layer in head.output_layers()) / len(head.output_layers())
    )


@pytest.mark.parametrize("name", ADDITIVE)
def test_contributions_add_up_to_the_log_odds(name: str) -> None:
    head, features = head_of(name), features_of(9)
    reading = read(head, features)
    bias = head(features, torch.zeros(1, 9, dtype=torch.bool)).logit
    torch.testing.assert_close(reading.contributions.sum(dim=1) + bias, reading.logit)


@pytest.mark.parametrize("name", ["max", "dsmil"])
def test_the_highest_instance_is_seen(name: str) -> None:
    reading = read(head_of(name), features_of(9))
    assert reading.logits is not None
    best = int(reading.logits.argmax())
    assert reading.contributions[0, best] != 0
    assert (reading.contributions != 0).sum() == (1 if name == "max" else 9)


@pytest.mark.parametrize("name", ["attention", "gated_attention", "additive_attention", "clam_sb", "dsmil"])
def test_attention_has_sum_one(name: str) -> None:
    attention = read(head_of(name), features_of(9)).attention
    assert attention is not None
    assert attention.sum().item() == pytest.approx(1)


def test_the_count_head_reads_at_least_one_from_its_instances() -> None:
    reading = read(head_of("count"), features_of(9))
    none = torch.prod(1 - reading.contributions)
    assert torch.sigmoid(reading.logit).item() == pytest.approx(1 - none.item(), abs=1e-6)


def test_the_count_head_says_of_an_empty_bag_what_leaks_in() -> None:
    nothing = torch.zeros(1, 1, FEATURES), torch.zeros(1, 1, dtype=torch.bool)
    assert torch.sigmoid(head_of("count")(*nothing).logit).item() == pytest.approx(0, abs=1e-30)
    assert torch.sigmoid(head_of("count", leak=0.2)(*nothing).logit).item() == pytest.approx(1 - math.exp(-0.2))


def test_the_gradient_of_the_count_head_is_prior_minus_posterior() -> None:
    head = head_of("count", found=0.8, leak=0.1)
    logits = features_of(9)[..., 0].requires_grad_()
    mask = torch.ones(1, 9, dtype=torch.bool)
    low = high = torch.tensor([3.0])
    head.loss(head.read(logits, mask), low, high).sum().backward()
    expected = torch.sigmoid(logits.detach()) - posterior(logits, low, high, found=0.8, leak=0.1)
    torch.testing.assert_close(logits.grad, expected, rtol=1e-4, atol=1e-6)


def test_squared_error_is_zero_inside_a_range_and_the_distance_outside() -> None:
    head = head_of("squared_error")
    reading = head.read(torch.zeros(3, 4), torch.ones(3, 4, dtype=torch.bool))  # two are expected in each
    loss = head.loss(reading, torch.tensor([1.0, 4.0, 0.0]), torch.tensor([math.inf, 4.0, 1.0]))
    assert loss.tolist() == pytest.approx([0, 4, 1])


def test_noisy_or_hears_only_whether_a_bag_is_positive() -> None:
    reading = read(head_of("noisy_or"), features_of(5))
    one, many = (head_of("noisy_or").loss(reading, torch.tensor([k]), torch.tensor([k])) for k in (1.0, 4.0))
    assert one == many
    assert one.item() == pytest.approx(-torch.nn.functional.logsigmoid(reading.logit).item(), rel=1e-4)


def test_labels_of_instances_are_learned_as_all_of_them_at_once() -> None:
    head = head_of("instance_labels")
    reading = head.read(torch.zeros(2, 3), torch.tensor([[True] * 3, [True, False, False]]))
    loss = head.loss(reading, torch.zeros(2), torch.zeros(2), torch.zeros(2, 3))
    assert loss.tolist() == pytest.approx([3 * math.log(2), math.log(2)])


@pytest.mark.parametrize("name", sorted(set(ADDITIVE) | {"transmil", "noisy_or"}))
def test_a_label_that_leaves_it_open_whether_a_bag_is_positive_is_refused_by_heads_that_need_to_know(name: str) -> None:
    head = head_of(name)
    with pytest.raises(InvalidInputError, match=r"The bag a is labelled with 0 to 3 positive instances; .* head count"):
        head.check([Bag("a", (torch.zeros(4, FEATURES),), 0, 3)])
    with pytest.raises(
        InvalidInputError, match="A bag is labelled with 0 to 3 positive instances; expected 0, or 1 or more"
    ):
        head.loss(read(head, features_of(4)), torch.tensor([0.0]), torch.tensor([3.0]))


def test_the_count_head_learns_from_a_range_from_zero() -> None:
    head = head_of("count")
    head.check([Bag("a", (torch.zeros(4, FEATURES),), 0, 3)])
    assert head.loss(read(head, features_of(4)), torch.tensor([0.0]), torch.tensor([3.0])).isfinite().all()


def test_more_positives_than_instances_need_a_leak() -> None:
    bags = [Bag("a", (torch.zeros(2, FEATURES),), 3, 3)]
    with pytest.raises(
        InvalidInputError, match="The bag a has 2 instances, and at least 3 positive ones were reported"
    ):
        head_of("count").check(bags)
    head_of("count", leak=0.5).check(bags)


def test_an_oracle_without_instance_labels_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="The bag a has no labels of its instances"):
        head_of("instance_labels").check([Bag("a", (torch.zeros(2, FEATURES),), 1, 1)])


def test_an_unknown_head_or_option_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="There is no head median; expected one of mean, max"):
        make_head("median", 3)
    with pytest.raises(InvalidInputError, match="The head max has no option hidden; expected none"):
        make_head("max", 3, hidden=4)


@pytest.mark.parametrize("options", [{"found": 0.0}, {"found": 1.5}, {"leak": -1.0}])
def test_a_thinning_or_leak_that_cannot_be_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match="The head count was given"):
        make_head("count", 3, **options)


@pytest.mark.parametrize("name", ADDITIVE)
def test_the_first_bias_is_the_rate_of_positive_bags(name: str) -> None:
    head = head_of(name)
    head.start_from([Bag(str(n), (torch.zeros(2, FEATURES),), n < 20, n < 20) for n in range(100)])
    said = head(torch.zeros(1, 1, FEATURES), torch.zeros(1, 1, dtype=torch.bool)).logit
    assert torch.sigmoid(said).item() == pytest.approx(20.5 / 101, abs=1e-5)


def test_the_first_bias_of_the_count_head_is_the_rate_of_positive_instances() -> None:
    head = head_of("count")
    head.start_from([Bag(str(n), (torch.zeros(10, FEATURES),), n % 3, n % 3) for n in range(90)])
    assert torch.sigmoid(head.output_layers()[0].bias).item() == pytest.approx(0.1, abs=1e-4)


def test_the_first_bias_is_found_where_only_pn0_and_pn_plus_are_known() -> None:
    """If half of the bags of 10 have none, (1 - p)^10 = .5."""
    head = head_of("count")
    head.start_from([Bag(str(n), (torch.zeros(10, FEATURES),), n % 2, math.inf if n % 2 else 0) for n in range(90)])
    assert torch.sigmoid(head.output_layers()[0].bias).item() == pytest.approx(1 - 0.5**0.1, abs=1e-4)


@EVERY
def test_a_temperature_draws_probabilities_to_one_half(name: str) -> None:
    head = head_of(name)
    reading = read(head, features_of(9))
    warmer = head.at_temperature(reading, 2.0)
    if name in COUNTING:
        assert reading.logits is not None
        torch.testing.assert_close(warmer.contributions, torch.sigmoid(reading.logits / 2))
    else:
        torch.testing.assert_close(warmer.logit, reading.logit / 2)


@EVERY
def test_the_deviance_at_a_temperature_is_that_of_the_reading_there(name: str) -> None:
    head = head_of(name)
    reading = read(head, features_of(9))
    low, high = torch.tensor([1.0]), torch.tensor([9.0])
    there = head.deviance(head.at_temperature(reading, 1.7), low, high)
    assert torch.equal(head.deviance_at(1.7, reading, low, high), there)
    assert not torch.equal(there, head.deviance(reading, low, high))


@EVERY
def test_a_head_is_made_again_from_its_options(name: str) -> None:
    head = head_of(name)
    again = make_head(head.name, head.features, **head.options)
    again.load_state_dict(head.state_dict())
    torch.testing.assert_close(read(again.eval(), features_of(9)).logit, read(head, features_of(9)).logit)
