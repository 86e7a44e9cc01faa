"""Order statistics of many numbers, and sums over a part of them, without sorting; compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preop.radiomics.compilation import compiled

BINS = 4096
"""Intervals into which numbers are divided to find those near a rank."""
LANES = 16
"""Sums that are kept side by side."""

Numbers = NDArray[np.float64]


@compiled
def at_ranks(values: Numbers, smallest: float, largest: float, ranks: NDArray[np.int64]) -> Numbers:
    """Find the numbers that have ranks, from 0; only those in the same of many intervals are sorted, which are few."""
    scale = (BINS - 1) / (largest - smallest) if largest > smallest else 0.0
    if not np.isfinite(scale):
        scale = 0.0
    interval = np.empty(values.size, dtype=np.uint16)
    # One beyond each interval, so that it becomes the number of values before it.
    before = np.zeros(BINS + 1, dtype=np.int64)
    for n in range(values.size):
        interval[n] = int((values[n] - smallest) * scale)
    for n in range(values.size):
        before[interval[n] + 1] += 1
    for k in range(BINS):
        before[k + 1] += before[k]
    wanted = np.zeros(BINS, dtype=np.uint8)
    for rank in ranks:
        wanted[np.searchsorted(before, rank, side="right") - 1] = 1
    total = 0
    # Where each wanted interval begins among the numbers that are kept.
    begins = np.zeros(BINS, dtype=np.int64)
    for k in range(BINS):
        begins[k] = total
        total += wanted[k] * (before[k + 1] - before[k])
    kept = np.empty(total + 1, dtype=np.float64)
    place = 0
    for n in range(values.size):
        # Written in any case, and overwritten where it is not wanted: without a branch.
        kept[place] = values[n]
        place += wanted[interval[n]]
    kept = np.sort(kept[:total])
    found = np.empty(ranks.size)
    for k in range(ranks.size):
        own = np.searchsorted(before, ranks[k], side="right") - 1
        found[k] = kept[begins[own] + ranks[k] - before[own]]
    return found


@compiled
def absolute_deviation_between(values: Numbers, counts: Numbers, low: float, high: float) -> float:
    """Mean absolute difference from their mean of the values from ``low`` to ``high``, NaN where there is none.

    Fewer counts than values are those of each block of as many values.
    """
    number, total = _sums_between(values, counts, low, high, 0.0, False)
    if number == 0:
        return np.nan
    return _sums_between(values, counts, low, high, total / number, True)[1] / number


@compiled
def _sums_between(
    values: Numbers,
    counts: Numbers,
    low: float,
    high: float,
    centre: float,
    absolute: bool,  # noqa: FBT001
) -> tuple[float, float]:
    """Number of values in a range, and the sum of their differences from a centre."""
    size = counts.size
    number, total = 0.0, 0.0
    numbers, totals = np.zeros(LANES), np.zeros(LANES)
    for block in range(0, values.size, size):
        end = min(block + size, values.size)
        whole = end - (end - block) % LANES
        numbers[:] = 0.0
        totals[:] = 0.0
        for first in range(block, whole, LANES):
            for k in range(LANES):
                value = values[first + k]
                # Without a branch, so that several are computed at a time.
                weight = counts[first - block + k] * np.float64((value >= low) & (value <= high))
                difference = value - centre
                if absolute:
                    difference = abs(difference)
                numbers[k] += weight
                totals[k] += weight * difference
        for n in range(whole, end):
            weight = counts[n - block] if low <= values[n] <= high else 0.0
            numbers[0] += weight
            totals[0] += weight * (abs(values[n] - centre) if absolute else values[n] - centre)
        number += numbers.sum()
        total += totals.sum()
    return number, total
