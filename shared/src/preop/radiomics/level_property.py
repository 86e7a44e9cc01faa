"""Features of matrices that count something by grey level and by a second property.

Run length, size zone, distance zone and neighbouring grey level dependence matrices differ in what they count; their
features are the same sums (IBSI reference manual, sections of these names), with the run length, zone size, zone
distance or dependence count as the second property.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def level_property_features(levels: Numbers, properties: Numbers, counts: Numbers, voxels: int) -> list[float]:
    """Compute the features of a sparse matrix.

    Parameters
    ----------
    levels, properties, counts
        Grey level, property and count of each entry that is not 0.
    voxels
        Number of voxels that were counted.

    Returns
    -------
    In the catalogue's order: emphasis of small and large property, of low and high grey level, of their four
    combinations; non-uniformity of grey level and of property, each also normalised; percentage; variance of grey level
    and of property; entropy; energy.
    """
    n = float(counts.sum())
    p = counts / n
    i, j = levels.astype(np.float64), properties.astype(np.float64)
    i2, j2 = i**2, j**2
    by_level, by_property = np.bincount(levels, weights=counts), _totals(properties, counts)
    level_nonuniformity, property_nonuniformity = float(by_level @ by_level), float(by_property @ by_property)
    return [
        float(p @ (1 / j2)),
        float(p @ j2),
        float(p @ (1 / i2)),
        float(p @ i2),
        float(p @ (1 / (i2 * j2))),
        float(p @ (i2 / j2)),
        float(p @ (j2 / i2)),
        float(p @ (i2 * j2)),
        level_nonuniformity / n,
        level_nonuniformity / n**2,
        property_nonuniformity / n,
        property_nonuniformity / n**2,
        n / voxels,
        _variance(i, p),
        _variance(j, p),
        float(-(p @ np.log2(p))) + 0.0,
        float(p @ p),
    ]


def _variance(values: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    return float(p @ (values - p @ values) ** 2)


def _totals(keys: Numbers, counts: Numbers) -> NDArray[np.float64]:
    """Sum of counts of each distinct key; keys may be large."""
    _, place = np.unique(keys, return_inverse=True)
    return np.asarray(np.bincount(place, weights=counts), dtype=np.float64)
