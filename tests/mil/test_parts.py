"""Counts of parts of a bag, as fields of a dissection are reported, against enumeration of every outcome."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from preop.errors import InvalidInputError
from preop.mil import Bag, BagNetwork, Part, Settings, collate, fit, make_head
from preop.mil.bags import parts_of
from preop.mil.heads import CountHead
from preop.mil.heads.count import BURDENS

LOGITS = [0.5, -1.0, 2.0, -0.3]


def deviance(head: CountHead, bag: Bag) -> float:
    network = BagNetwork(nn.Identity(), head)
    batch = collate([bag])
    reading = network(batch)
    return float(head.deviance(reading, batch.low, batch.high).detach())


def head_of(*, clustered: bool, found: float = 1.0, leak: float = 0.0) -> CountHead:
    head = make_head("count", 1, found=found, leak=leak, clustered=clustered)
    assert isinstance(head, CountHead)
    with torch.no_grad():
        head.classifier.weight.fill_(1.0)
        head.classifier.bias.zero_()
    return head


def bag_of(*parts: Part, low: float = 0, high: float = math.inf) -> Bag:
    return Bag("p", (torch.tensor(LOGITS)[:, None],), low, high, parts=parts or None)


def poisson(count: int, mean: float) -> float:
    return math.exp(-mean) * mean**count / math.factorial(count)


def chance(probabilities: list[float], count: int, found: float, leak: float) -> float:
    """Of a count, by enumeration of which instances are counted and how many others are."""
    total = 0.0
    for counted in itertools.product((0, 1), repeat=len(probabilities)):
        others = count - sum(counted)
        if others >= 0:
            each = [
                found * p if is_counted else 1 - found * p for p, is_counted in zip(probabilities, counted, strict=True)
            ]
            total += math.prod(each) * poisson(others, leak)
    return total


def test_the_likelihood_of_parts_is_their_product_each_with_what_was_removed_of_it() -> None:
    probabilities = torch.tensor(LOGITS).sigmoid().tolist()
    bag = bag_of(Part((0, 1), 1, 1, found=0.6, leak=0.1), Part((2,), 0, 0), low=1, high=1)
    expected = chance(probabilities[:2], 1, 0.6, 0.1) * chance(probabilities[2:3], 0, 0.9, 0.05)
    found = deviance(head_of(clustered=False, found=0.9, leak=0.05), bag)
    assert found == pytest.approx(-math.log(expected), rel=1e-4)


def test_parts_depend_on_each_other_only_through_the_burden() -> None:
    ratios = torch.tensor(LOGITS).exp().tolist()
    bag = bag_of(Part((0, 3), 1, 1, found=0.8), Part((1, 2), 0, 0, found=0.5), low=1, high=1)
    joint = evidence = 0.0
    for burden in BURDENS:  # all as likely
        weight = math.prod(1 - burden + burden * ratio for ratio in ratios)
        given = [burden * ratio / (1 - burden + burden * ratio) for ratio in ratios]
        evidence += weight
        joint += weight * chance([given[0], given[3]], 1, 0.8, 0.2) * chance([given[1], given[2]], 0, 0.5, 0.2)
    assert deviance(head_of(clustered=True, leak=0.2), bag) == pytest.approx(-math.log(joint / evidence), rel=1e-4)


@pytest.mark.parametrize("parted", [True, False])
def test_the_posterior_of_instances_and_burdens_is_that_of_all_outcomes(*, parted: bool) -> None:
    ratios, leak = torch.tensor(LOGITS).exp().tolist(), 0.2
    parts = (
        (Part((0, 3), 1, 1, found=0.8), Part((1,), 0, 0, found=0.5))
        if parted
        else (Part((0, 1, 2, 3), 2, 2, found=1.0),)
    )
    weights = [[0.0] * len(BURDENS) for _ in range(5)]  # of each instance positive, and of all outcomes
    for place, burden in enumerate(BURDENS):
        for states in itertools.product((0, 1), repeat=4):
            each = [burden * ratio if state else 1 - burden for state, ratio in zip(states, ratios, strict=True)]
            told = [
                chance([float(states[row]) for row in part.rows], int(part.low), part.found or 1, leak)
                for part in parts
            ]
            weight = math.prod(each) * math.prod(told)
            for row, state in enumerate((*states, 1)):
                weights[row][place] += weight * state
    total = sum(weights[4])
    head = head_of(clustered=True, leak=leak).double()
    bag = bag_of(*parts, low=1, high=1) if parted else bag_of(low=2, high=2)
    nodes, burdens = head.posterior(
        torch.tensor([LOGITS]).double(),
        torch.ones(1, 4, dtype=torch.bool),
        torch.tensor([bag.low]).double(),
        torch.tensor([bag.high]).double(),
        parts_of([bag]),
    )
    assert nodes[0].tolist() == pytest.approx([sum(row) / total for row in weights[:4]], rel=1e-4)
    assert burdens[0].tolist() == pytest.approx([weight / total for weight in weights[4]], rel=1e-4, abs=1e-9)


def test_one_part_of_all_instances_is_the_count_of_the_bag() -> None:
    head = head_of(clustered=True, found=0.9, leak=0.05)
    whole, part = bag_of(low=2, high=3), bag_of(Part((0, 1, 2, 3), 2, 3), low=2, high=3)
    assert deviance(head, part) == pytest.approx(deviance(head, whole), rel=1e-5)


def test_nothing_is_said_of_instances_in_no_part() -> None:
    bag = bag_of(Part((0,), 0, 0), low=0, high=0)
    features = bag.instances[0].clone().requires_grad_()
    head = head_of(clustered=False)
    reading = replace(head(features[None], torch.ones(1, 4, dtype=torch.bool)), parts=parts_of([bag]))
    head.deviance(reading, torch.zeros(1), torch.zeros(1)).sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    assert features.grad[0] != 0
    assert (features.grad[1:] == 0).all()


def test_bags_with_and_without_parts_go_together() -> None:
    head = head_of(clustered=True, found=0.9, leak=0.05)
    bags = [bag_of(low=1, high=1), bag_of(Part((0, 1), 1, 1), low=1, high=1)]
    batch = collate(bags)
    together = head.deviance(BagNetwork(nn.Identity(), head)(batch), batch.low, batch.high)
    assert together.tolist() == pytest.approx([deviance(head, bag) for bag in bags], rel=1e-5)


def test_an_ensemble_learns_from_parts() -> None:
    generator = torch.Generator().manual_seed(0)
    bags = []
    for number in range(16):
        features = torch.randn(6, 2, generator=generator)
        positive = number % 2
        features[0, 0] += 4.0 * positive
        parts = (Part((0, 1, 2), positive, positive, found=0.99), Part((3, 4, 5), 0, 0))
        bags.append(Bag(str(number), (features,), positive, positive, parts=parts))
    settings = Settings(epochs=3, folds=2)
    ensemble = fit(lambda: BagNetwork(nn.Identity(), make_head("count", 2, leak=0.01)), bags, settings)
    assert len(ensemble.predict(bags)) == len(bags)


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ((Part((0, 1), 2, 1),), "has a part that is labelled with 2 to 1"),
        ((Part((0, 1), 0, 1), Part((1,), 0, 0)), "each of its 4 at most once"),
        ((Part((4,), 0, 1),), "each of its 4 at most once"),
        ((Part((0,), 0, 1, found=0.0),), "expected a probability above 0"),
    ],
)
def test_parts_that_cannot_be_are_refused(parts: tuple[Part, ...], sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        bag_of(*parts)


def test_a_part_with_more_positives_than_instances_needs_a_leak() -> None:
    head = head_of(clustered=False)
    with pytest.raises(InvalidInputError, match="has 1 instances, and at least 2"):
        head.check([bag_of(Part((0,), 2, 2))])
    head.check([bag_of(Part((0,), 2, 2, leak=0.1))])
