"""Small bags whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from preop.mil import Bag

FEATURES = 6


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def simulate() -> Callable[..., list[Bag]]:
    """Function that draws bags of 0 to 12 instances, of which positive ones differ in two features."""

    def draw(bags: int, seed: int = 0, *, labels: str = "exact", shift: float = 2.0) -> list[Bag]:
        generator = torch.Generator().manual_seed(seed)
        found = []
        for number in range(bags):
            size = int(torch.randint(0, 13, (1,), generator=generator))
            diseased = number % 2 == 0 and size > 0
            truth = (torch.rand(size, generator=generator) < 0.3).float() * diseased
            if diseased:
                truth[0] = 1.0
            features = torch.randn(size, FEATURES, generator=generator)
            features[:, :2] += shift * truth[:, None]
            count = float(truth.sum())
            low, high = {"exact": (count, count), "binary": (min(count, 1), math.inf if count else 0.0)}[labels]
            found.append(Bag(f"p{number:03}", (features,), low, high, truth, centre="AB"[number % 4 // 2]))
        return found

    return draw
