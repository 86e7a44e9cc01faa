"""The count head whose positives come together, against enumeration of all burdens and outcomes."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from preop.mil import Bag, Ensemble, Settings, make_head, train
from preop.mil.heads import CountHead
from preop.mil.heads.count import BURDENS
from preop.mil.network import BagNetwork
from preop.statistics import brier_score


def head_of(**options: float) -> CountHead:
    head = make_head("count", 3, clustered=True, **options)
    assert isinstance(head, CountHead)
    assert head.log_chances is not None
    with torch.no_grad():
        head.log_chances.copy_(torch.tensor([1.0, 0.2, -0.3, 0.1, 0.4, -1.0, -2.0]))
    return head


def enumerated(head: CountHead, ratios: list[float]) -> tuple[list[float], list[float]]:
    """Chance of each number of positives, and of each instance, given likelihood ratios: the sum over everything."""
    assert head.log_chances is not None
    counts, each, total = [0.0] * (len(ratios) + 1), [0.0] * len(ratios), 0.0
    for burden, chance in zip(BURDENS, head.log_chances.softmax(0).tolist(), strict=True):
        for outcome in itertools.product([0, 1], repeat=len(ratios)):
            joint = chance
            for positive, ratio in zip(outcome, ratios, strict=True):
                joint *= burden * ratio if positive else 1 - burden
            counts[sum(outcome)] += joint
            total += joint
            for i, positive in enumerate(outcome):
                each[i] += joint * positive
    return [value / total for value in counts], [value / total for value in each]


def logits_of(ratios: list[float]) -> tuple[Tensor, Tensor]:
    return torch.tensor([ratios]).log(), torch.ones(1, len(ratios), dtype=torch.bool)


RATIOS = [0.2, 7.0, 1.0, 0.6, 30.0]


def test_counts_and_instances_are_those_of_bayes_rule() -> None:
    head = head_of()
    logits, mask = logits_of(RATIOS)
    counts, each = enumerated(head, RATIOS)
    reading = head.read(logits, mask)
    assert head.distribution(logits, mask, most=5).exp()[0].tolist() == pytest.approx(counts, abs=1e-6)
    assert reading.contributions[0].tolist() == pytest.approx(each, abs=1e-6)
    assert torch.sigmoid(reading.logit).item() == pytest.approx(1 - counts[0], abs=1e-6)
    assert head.expected(reading).item() == pytest.approx(sum(each), abs=1e-5)


def test_a_temperature_divides_what_all_instances_say_together_and_leaves_each_by_itself() -> None:
    head, temperature = head_of(leak=0.1), 2.5
    logits, mask = logits_of(RATIOS)
    assert head.log_chances is not None
    weights, given = [], []
    for burden, chance in zip(BURDENS, head.log_chances.softmax(0).tolist(), strict=True):
        together = math.prod(1 - burden + burden * ratio for ratio in RATIOS)
        weights.append(chance * together ** (1 / temperature))
        given.append([burden * ratio / (1 - burden + burden * ratio) for ratio in RATIOS])
    each = [
        sum(weight * row[place] for weight, row in zip(weights, given, strict=True)) / sum(weights)
        for place in range(5)
    ]
    none = sum(weight * math.prod(1 - p for p in row) for weight, row in zip(weights, given, strict=True)) / sum(
        weights
    )

    reading = head.at_temperature(head.read(logits, mask), temperature)

    assert reading.contributions[0].tolist() == pytest.approx(each, abs=1e-6)
    assert torch.sigmoid(reading.logit).item() == pytest.approx(1 - none * math.exp(-0.1), abs=1e-6)
    low, high = torch.tensor([1.0]), torch.tensor([math.inf])
    assert head.deviance(reading, low, high).item() == pytest.approx(-math.log(1 - none * math.exp(-0.1)), abs=1e-5)
    assert torch.equal(
        head.deviance_at(temperature, head.read(logits, mask), low, high), head.deviance(reading, low, high)
    )


def test_the_likelihood_of_a_range_is_the_sum_of_its_counts() -> None:
    head = head_of()
    counts, _ = enumerated(head, RATIOS)
    loss = head.loss(head.read(*logits_of(RATIOS)), torch.tensor([2.0]), torch.tensor([4.0]))
    assert loss.item() == pytest.approx(-math.log(sum(counts[2:5])), abs=1e-5)


def test_labels_of_instances_are_weighed_by_what_burdens_they_are_likely_under() -> None:
    oracle = make_head("instance_labels", 3, clustered=True)
    oracle.load_state_dict(head_of().state_dict())
    assert isinstance(oracle, CountHead)
    given = [0.0, 0.0]
    for burden, chance in zip(BURDENS, oracle.log_chances.softmax(0).tolist(), strict=True):  # type: ignore[union-attr]
        given[0] += chance * burden * 3.0 * (1 - burden)
        given[1] += chance * (1 - burden + burden * 3.0) * (1 - burden + burden * 0.5)
    loss = oracle.loss(oracle.read(*logits_of([3.0, 0.5])), torch.ones(1), torch.ones(1), torch.tensor([[1.0, 0.0]]))
    assert loss.item() == pytest.approx(-math.log(given[0] / given[1]), abs=1e-5)


def test_a_bag_is_hardly_likelier_to_be_positive_for_holding_more_that_says_nothing() -> None:
    head, alone = head_of(), make_head("count", 3)
    assert isinstance(alone, CountHead)
    few, many = ([1.0] * size for size in (40, 80))
    risen = [torch.sigmoid(head.read(*logits_of(ratios)).logit).item() for ratios in (few, many)]
    assert risen[1] - risen[0] < 0.1
    rate = torch.full((1, 40), -4.0), torch.full((1, 80), -4.0)
    lone = [torch.sigmoid(alone.read(each, torch.ones_like(each, dtype=torch.bool)).logit).item() for each in rate]
    assert lone[1] - lone[0] > 0.2


def test_training_starts_at_the_chances_of_the_burdens() -> None:
    """Bags of 50 of which 6 in 10 have none, and the others five."""
    bags = [Bag(str(n), (torch.zeros(50, 3),), 5.0 * (n % 5 < 2), 5.0 * (n % 5 < 2)) for n in range(100)]
    head = head_of()
    head.start_from(bags)
    logits, mask = logits_of([1.0] * 50)
    assert torch.sigmoid(head.read(logits, mask).logit).item() == pytest.approx(0.4, abs=0.01)
    assert head.distribution(logits, mask, most=20).exp()[0, 1:].argmax() + 1 == 5


@pytest.mark.slow
def test_where_positives_come_together_probabilities_are_better() -> None:
    """Weak evidence of each instance, ten of forty positive in half of the bags and none in the others."""
    generator = torch.Generator().manual_seed(3)

    def bags(number: int) -> list[Bag]:
        made = []
        for row in range(number):
            truth = torch.zeros(40)
            truth[: 10 * (row % 2)] = 1
            features = torch.randn(40, 3, generator=generator) + truth[:, None] * 0.8
            made.append(Bag(str(row), (features,), float(truth.sum()), float(truth.sum())))
        return made

    training, test = bags(120), bags(120)
    scores = {}
    for clustered in (False, True):
        network = train(
            lambda clustered=clustered: BagNetwork(torch.nn.Identity(), make_head("count", 3, clustered=clustered)),
            training,
            Settings(epochs=40, learning_rate=0.03),
            seed=1,
        )
        said = [each.probability for each in Ensemble((network,)).predict(test)]
        scores[clustered] = brier_score([bool(bag.positive) for bag in test], said)
    assert scores[True] < 0.6 * scores[False]
