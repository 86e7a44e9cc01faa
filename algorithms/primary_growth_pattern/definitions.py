"""What the pathologist's items are about: tissues, cells, and the hot spot of tumour buds."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Margin = Literal["pushing", "infiltrating"]
Maturity = Literal["mature", "intermediate", "immature"]

UM2_PER_MM2 = 1e6

HOT_SPOT_RADIUS_UM = 500.0
"""Of a disc of 0.785 mm2 (ITBCC 2016: Lugli et al., Mod Pathol 2017;30:1299)."""

LARGE_AGGREGATE_MM = 1.0
"""Diameter from which a lymphoid aggregate is large (Ueno et al., Am J Surg Pathol 2013;37:1)."""

_HOT_SPOT_STEP_UM = 20.0


class TissueLabel(IntEnum):
    """Labels of the tissue map."""

    BACKGROUND = 0
    TUMOUR = 1
    MATURE_STROMA = 2
    INTERMEDIATE_STROMA = 3
    IMMATURE_STROMA = 4
    MUSCLE = 5
    MUCUS = 6
    NECROSIS = 7
    LYMPHOID = 8
    FAT = 9
    MUCOSA = 10


STROMA = {
    "mature": TissueLabel.MATURE_STROMA,
    "intermediate": TissueLabel.INTERMEDIATE_STROMA,
    "immature": TissueLabel.IMMATURE_STROMA,
}


class CellKind(IntEnum):
    """Cells that are counted."""

    LYMPHOCYTE = 0
    BUD = 1  # a single tumour cell or a group of up to four in the stroma


def hot_spot(buds_um: NDArray[np.floating[Any]]) -> tuple[int, tuple[float, float]]:
    """Find the disc of 0.785 mm2 with most buds: their number, and its centre y, x in micrometres.

    Centres are tried every 20 micrometres; of equal ones the mean of those next to the first is taken. Without buds the
    centre is not a number.
    """
    from scipy.spatial import cKDTree

    if not len(buds_um):
        return 0, (float("nan"), float("nan"))
    low, high = buds_um.min(axis=0), buds_um.max(axis=0)
    sides = [
        np.arange(first, last + _HOT_SPOT_STEP_UM, _HOT_SPOT_STEP_UM) for first, last in zip(low, high, strict=True)
    ]
    centres = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)
    counts = cKDTree(buds_um).query_ball_point(centres, HOT_SPOT_RADIUS_UM, return_length=True)
    best = int(counts.max())
    equal = centres[counts == best]
    near = equal[np.linalg.norm(equal - equal[0], axis=1) < HOT_SPOT_RADIUS_UM / 2]
    y, x = near.mean(axis=0)
    return best, (float(y), float(x))
