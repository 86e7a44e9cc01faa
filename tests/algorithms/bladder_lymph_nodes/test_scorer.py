"""The monotone scorer: what it learns from counts alone, and what it refuses."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn

from bladder_lymph_nodes.network import make_network
from bladder_lymph_nodes.scorer import learn_monotone
from bladder_lymph_nodes.settings import NetworkSettings
from preop.mil import Bag, BagNetwork, Settings, cross_validate, make_head
from preop.mil.heads import CountHead
from preop.statistics import auc


def test_finds_the_sign_that_tells_and_gives_no_weight_to_one_against() -> None:
    rng = np.random.default_rng(1)
    bags, truths = [], []
    for number in range(120):
        positive = rng.random(20) < (0.2 if number % 2 else 0.0)
        tells, against = rng.normal(2.0 * positive), rng.normal(-1.0 * positive)
        features = torch.tensor(np.column_stack([tells, against]), dtype=torch.float32)
        count = float(positive.sum())
        bags.append(Bag(str(number), (features,), count, count))
        truths.append(positive)

    network = learn_monotone(BagNetwork(nn.Identity(), make_head("count", 2, clustered=True)), bags)

    assert isinstance(network.head, CountHead)
    weights = network.head.classifier.weight.detach().numpy()[0]
    assert weights[0] > 1
    assert weights[1] == 0
    inside = [row for row, truth in enumerate(truths) if truth.any()]
    scores = np.concatenate([bags[row].instances[0].numpy() @ weights for row in inside])
    assert auc(np.concatenate([truths[row] for row in inside]).astype(int), scores) > 0.85


def test_held_out_bags_are_predicted_by_members_that_learned_all_at_once() -> None:
    rng = np.random.default_rng(2)
    bags = []
    for number in range(24):
        positive = rng.random(8) < (0.4 if number % 2 else 0.0)
        features = torch.tensor(rng.normal(3.0 * positive)[:, None], dtype=torch.float32)
        bags.append(Bag(str(number), (features,), float(positive.sum()), float(positive.sum())))

    held_out = cross_validate(
        lambda: BagNetwork(nn.Identity(), make_head("count", 1, clustered=True)),
        bags,
        Settings(folds=2),
        folds=3,
        learn=learn_monotone,
    )

    said = [each.prediction.probability for each in held_out]
    assert auc(np.array([int(bag.low > 0) for bag in bags]), np.array(said)) > 0.9


@pytest.mark.parametrize(
    ("measures", "changes"),
    [
        ("axial", (3.0, 0.2, -0.2, 20.0, 0.0, 20.0)),
        ("spatial", (3.0, 0.2, -0.2, 20.0, 0.0, 20.0, 1.0, 1.0, -2.0, -10.0)),
    ],
)
def test_a_larger_rounder_denser_node_in_infiltrated_fat_is_never_less_suspicious(
    measures: Literal["axial", "spatial"], changes: tuple[float, ...]
) -> None:
    network = make_network(NetworkSettings(instances="signs", measures=measures))
    usual = torch.tensor([[5.0, 0.15, 1.5, 90.0, 40.0, -80.0, 5.0, 6.0, 8.0, -85.0][: len(changes)]])
    for place, change in enumerate(changes):
        other = usual.clone()
        other[0, place] += change
        assert (network.encoder(other) >= network.encoder(usual)).all()


def test_refuses_a_head_that_does_not_count() -> None:
    with pytest.raises(TypeError, match="max"):
        learn_monotone(BagNetwork(nn.Identity(), make_head("max", 1)), [])
