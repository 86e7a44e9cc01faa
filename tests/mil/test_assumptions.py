"""The three algorithmic unit tests of multiple-instance learning (Raff and Holt 2023, algorithms 1 to 3).

Training holds an easy clue that breaks the assumption, and test bags hold it the other way round. A head that respects
the assumption cannot follow the clue; one that follows it does worse than chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from preop.mil import Bag, BagNetwork, Ensemble, Settings, make_head, train
from preop.statistics import auc

pytestmark = pytest.mark.slow

FEATURES = 16
MONOTONE = ["max", "count", "noisy_or", "squared_error", "instance_labels"]


class Draw:
    """Instances of the tests."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def number(self, low: int, high: int) -> int:
        """From ``low`` to ``high``, both included."""
        return int(torch.randint(low, high + 1, (1,), generator=self.generator))

    def normal(self, count: int, mean: float, deviation: float) -> Tensor:
        return mean + deviation * torch.randn(count, FEATURES, generator=self.generator)

    def background(self, count: int) -> Tensor:
        return self.normal(count, 0, 1)

    def poison(self) -> Tensor:
        return self.normal(1, -10, 0.1)

    def concept(self, which: int, count: int = 1) -> Tensor:
        return self.normal(count, 2.0 + which, 0.1)


def standard(draw: Draw, *, positive: bool, test: bool) -> Tensor:
    """Positive: one to three instances of two kinds. Poison: in negative bags of training, in positive ones of test."""
    parts = [draw.background(10)]
    if positive:
        parts += [draw.normal(1, *((0, 3), (1, 1))[draw.number(0, 1)]) for _ in range(draw.number(1, 3))]
    if positive == test:
        parts.append(draw.poison())
    return torch.cat(parts)


def multi_concept(draw: Draw, *, positive: bool, test: bool) -> Tensor:
    """Positive: both concepts; negative: one of either. Poison as in the standard test."""
    parts = [draw.background(draw.number(1, 9))]
    if positive:
        pairs = draw.number(1, 3)
        parts += [draw.concept(0, pairs), draw.concept(1, pairs)]
    else:
        parts.append(draw.concept(draw.number(0, 1)))
    if positive == test:
        parts.append(draw.poison())
    return torch.cat(parts)


def false_frequency(draw: Draw, *, positive: bool, test: bool) -> Tensor:
    """Positive: both concepts; negative: one of either, once in training and about forty times in test."""
    background = draw.background(draw.number(1, 9))
    if positive:
        return torch.cat([background, draw.concept(0), draw.concept(1)])
    return torch.cat([background, draw.concept(draw.number(0, 1), draw.number(35, 44) if test else 1)])


def bags(kind: Callable[..., Tensor], count: int, seed: int, *, test: bool) -> list[Bag]:
    draw = Draw(seed)
    found = []
    for number in range(count):
        positive = number % 2 == 0
        instances = kind(draw, positive=positive, test=test)
        found.append(Bag(str(number), (instances,), float(positive), math.inf if positive else 0.0))
    return found


def aucs(name: str, kind: Callable[..., Tensor]) -> tuple[float, float]:
    """Of bags like those of training, and of the test."""

    def network() -> BagNetwork:
        return BagNetwork(nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU()), make_head(name, 32))

    settings = Settings(epochs=25, instances_per_batch=200, learning_rate=1e-2)
    ensemble = Ensemble((train(network, bags(kind, 200, 1, test=False), settings),))
    found = []
    for test in (False, True):
        cohort = bags(kind, 200, 2, test=test)
        found.append(auc([bag.positive for bag in cohort], [said.probability for said in ensemble.predict(cohort)]))
    return found[0], found[1]


@pytest.mark.parametrize("name", MONOTONE)
def test_no_instance_speaks_against_a_bag(name: str) -> None:
    """By construction, whatever was learned: one more instance never makes a bag less likely to be positive."""
    for seed in range(20):
        torch.manual_seed(seed)
        head = make_head(name, FEATURES)
        features = 3 * torch.randn(1, 8, FEATURES)
        logits = [head(features[:, :size], torch.ones(1, size, dtype=torch.bool)).logit.item() for size in range(1, 9)]
        assert all(later > earlier - 1e-4 for earlier, later in pairwise(logits))


# Told only whether a bag is positive, the heads noisy_or and count learn the same.
@pytest.mark.parametrize("name", ["max", "count", "squared_error"])
def test_the_standard_test_holds_for_heads_in_which_no_instance_speaks_against_a_bag(name: str) -> None:
    alike, reversed_clue = aucs(name, standard)
    assert alike > 0.8
    assert reversed_clue > 0.8


@pytest.mark.parametrize("name", ["mean", "gated_attention", "additive_attention", "dsmil"])
def test_heads_that_weigh_instances_against_each_other_follow_the_clue(name: str) -> None:
    """As Raff and Holt found of those they tried: perfect on bags like those of training, wrong on the test."""
    alike, reversed_clue = aucs(name, standard)
    assert alike > 0.95
    assert reversed_clue < 0.5


@pytest.mark.parametrize("name", ["count", "squared_error"])
def test_the_multi_concept_test_holds_for_heads_that_add_up(name: str) -> None:
    alike, reversed_clue = aucs(name, multi_concept)
    assert alike > 0.9
    assert reversed_clue > 0.9


def test_one_highest_score_cannot_say_that_two_concepts_are_there() -> None:
    assert aucs("max", multi_concept)[0] < 0.7


def test_repeating_instances_changes_nothing_for_the_highest_and_the_mean() -> None:
    """The false-frequency test by construction: how often a concept occurs, all else alike, is not seen."""
    for name in ("max", "mean", "attention", "gated_attention", "additive_attention", "dsmil"):
        head = make_head(name, FEATURES)
        features = torch.randn(1, 6, FEATURES)
        once, often = (
            head(part, torch.ones(part.shape[:2], dtype=torch.bool)).logit
            for part in (features, features.repeat(1, 9, 1))
        )
        torch.testing.assert_close(once, often, rtol=1e-4, atol=1e-5)


def test_the_count_head_follows_a_false_frequency() -> None:
    """It is meant to: forty instances that may each be positive are more likely to hold one than a single instance."""
    alike, frequent = aucs("count", false_frequency)
    assert alike > 0.9
    assert frequent < 0.5
