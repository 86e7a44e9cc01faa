"""Features of neighbourhood grey tone difference matrices (IBSI reference manual, section of the same name)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

COARSENESS_OF_A_FLAT_REGION = 1e6
"""The convention where no voxel differs from its neighbours, and the quotient has no value."""


def tone_difference_features(occupied: NDArray[np.int64], differences: NDArray[np.float64]) -> list[float]:
    """Compute coarseness, contrast, busyness, complexity and strength.

    Parameters
    ----------
    occupied, differences
        By grey level: number of voxels with a neighbour, and sum of their differences from their neighbours' mean.

    Returns
    -------
    In the catalogue's order; all NaN where no voxel has a neighbour.
    """
    n = int(occupied.sum())
    if n == 0:
        return [math.nan] * 5
    used = occupied > 0
    i = np.flatnonzero(used) + 1.0
    p, s = occupied[used] / n, differences[used]
    weighted = float(p @ s)
    gap = i[:, None] - i[None, :]
    pairs = max(i.size * (i.size - 1), 1)
    spread = float(np.abs(i[:, None] * p[:, None] - i[None, :] * p[None, :]).sum())
    p_sum = p[:, None] + p[None, :]
    mixed = (p * s)[:, None] + (p * s)[None, :]
    return [
        1 / weighted if weighted > 0 else COARSENESS_OF_A_FLAT_REGION,
        float(p @ gap**2 @ p) / pairs * float(s.sum()) / n,
        weighted / spread if spread > 0 else 0.0,
        float((np.abs(gap) * mixed / p_sum).sum()) / n,
        float((p_sum * gap**2).sum()) / float(s.sum()) if s.sum() > 0 else 0.0,
    ]
