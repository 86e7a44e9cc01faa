"""Where the middle between a patient's left and right is on a CT, or that the scan does not show it.

A part of a body has a middle too, which is not the body's: of a scan that shows one half of a pelvis, nothing can be told by
the tissue in view. So the midline is taken from the outline of the body where its whole width is in view, else from bones
that are their own mirror image (a whole pelvis, a rib cage); else it is not known.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Image, reorient

STEP_MM = 4.0
BODY_HU = -300.0
"""Fat and soft tissue lie above, air and lung below."""
BONE_HU = 200.0
BODY_WIDTH_MM = (250.0, 620.0)
"""Of an adult's trunk: less is a limb, a child, or a part; 620 mm is beyond the widest gantry's field of view."""
MIN_SLICES_SHARE = 0.3
"""Of the slices, those that have to show the whole width."""
BONES_WIDTH_MM = 200.0
"""Narrowest whole pelvis or rib cage: one hemipelvis or a femur is its own mirror image too, and narrower."""
MIN_OVERLAP = 0.6
"""Dice of the bones with their mirror image."""


def midline_mm(ct: Image) -> float | None:
    """Find the world position, in mm towards the patient's left, of the midline.

    Parameters
    ----------
    ct
        In HU (z, y, x), stored in any order of axes; its axes run about along the patient's.

    Returns
    -------
    The position, or None where the scan does not show it.
    """
    turned = reorient(ct, "LPS")
    step = tuple(max(1, round(STEP_MM / spacing)) for spacing in turned.spacing_mm)
    coarse = turned.voxels[:: step[0], :: step[1], :: step[2]]
    width_mm = step[2] * turned.spacing_mm[2]
    column = _middle_of_outline(coarse > BODY_HU, width_mm)
    if column is None:
        column = _axis_of_bones(
            coarse > BONE_HU, (step[0] * turned.spacing_mm[0], step[1] * turned.spacing_mm[1], width_mm)
        )
    if column is None:
        return None
    middle = [(size - 1) / 2 for size in turned.shape]
    return float(turned.geometry.world_mm(np.array([[middle[0], middle[1], column * step[2]]]))[0, 0])


def _middle_of_outline(body: NDArray[np.bool_], width_mm: float) -> float | None:
    """Column of the middle of the outlines of those slices that show the whole width of a trunk."""
    from scipy import ndimage

    middles = []
    for part in body:
        opened = ndimage.binary_opening(part, iterations=2)  # table and arms go
        labels, count = ndimage.label(opened)
        if not count:
            continue
        largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
        columns = np.flatnonzero(largest.any(axis=0))
        first, last = int(columns[0]), int(columns[-1])
        low, high = BODY_WIDTH_MM
        if first > 0 and last < part.shape[1] - 1 and low <= (last - first + 1) * width_mm <= high:
            middles.append((first + last) / 2)
    return float(np.median(middles)) if middles and len(middles) >= MIN_SLICES_SHARE * len(body) else None


def _axis_of_bones(bones: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> float | None:
    """Column about which bones are their own mirror image."""
    from scipy import ndimage

    if not bones.any():
        return None
    # Left and right are never the same to the voxel.
    thick = ndimage.distance_transform_edt(~bones, sampling=spacing_mm) <= 2 * STEP_MM
    columns = np.flatnonzero(bones.any(axis=(0, 1)))
    first, last = int(columns[0]), int(columns[-1])
    if first == 0 or last == bones.shape[2] - 1 or (last - first + 1) * spacing_mm[2] < BONES_WIDTH_MM:
        return None
    overlaps = {doubled: _overlap(thick, doubled) for doubled in range(first + last - 8, first + last + 9)}
    best = max(overlaps, key=overlaps.__getitem__)
    return best / 2 if overlaps[best] >= MIN_OVERLAP else None


def _overlap(mask: NDArray[np.bool_], doubled: int) -> float:
    """Dice of a mask with its mirror image about a column, given doubled."""
    places = doubled - np.arange(mask.shape[2])
    inside = (places >= 0) & (places < mask.shape[2])
    mirrored = np.zeros_like(mask)
    mirrored[:, :, inside] = mask[:, :, places[inside]]
    total: Any = 2 * mask.sum()
    return float(2 * (mask & mirrored).sum() / total)
