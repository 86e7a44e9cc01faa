"""Draws from the distributions that simulated patients of this study are described by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def choose(rng: np.random.Generator, shares: Mapping[Any, float]) -> Any:
    """Draw one of the keys, each with its share."""
    return list(shares)[rng.choice(len(shares), p=list(shares.values()))]


def normal_within(rng: np.random.Generator, mean: float, deviation: float, limits: tuple[float, float]) -> float:
    """Draw from a normal distribution cut off at both limits."""
    while True:
        value = float(rng.normal(mean, deviation))
        if limits[0] <= value <= limits[1]:
            return value
