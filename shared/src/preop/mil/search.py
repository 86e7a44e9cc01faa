"""The lowest point of a function of one number."""

from __future__ import annotations

import math
from collections.abc import Callable

GOLDEN = (math.sqrt(5) - 1) / 2
STEPS = 40  # to 4e-9 of the range


def minimise(function: Callable[[float], float], lower: float, upper: float) -> float:
    """Where a function with one valley is lowest, by golden section search between two bounds."""
    left, right = upper - GOLDEN * (upper - lower), lower + GOLDEN * (upper - lower)
    at_left, at_right = function(left), function(right)
    for _ in range(STEPS):
        if at_left <= at_right:
            upper, right, at_right = right, left, at_left
            left = upper - GOLDEN * (upper - lower)
            at_left = function(left)
        else:
            lower, left, at_left = left, right, at_right
            right = lower + GOLDEN * (upper - lower)
            at_right = function(right)
    return (lower + upper) / 2
