"""The patient's body on a CT: what is not air, table, clothes or a neighbour's arm.

A network that was trained on scans cut to the body calls the air around the patient lung; on five real chest CTs with the
table in view this crop alone raised the Dice coefficient of the lungs from .36-.66 to .89-.95.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import Image, axial_axis, bounding_box, crop
from preop.imaging.regions import Box

AIR_HU = -1000.0
BODY_HU = -350.0
"""Between air or clothes and fat (-110 HU), with room for the blur at the skin."""

_GRID_MM = 4.0  # fine enough for an arm, and a scan takes a fraction of a second
_GAP_MM = 10.0  # the table is further from the back than this, or joined to it by less than this
_MARGIN_MM = 8.0
_MIN_ML = 50.0
_MIN_SHARE = 0.2  # of a scan that is smaller than that


@dataclass(frozen=True, eq=False)
class Body:
    """Where the body is on a CT.

    Attributes
    ----------
    mask
        Voxels (z, y, x) of the body, with the air inside it.
    box
        Slices of the three axes that hold it, with a margin.
    """

    mask: NDArray[np.bool_]
    box: Box

    def only(self, ct: Image) -> Image:
        """Cut a CT in HU to the body, with air outside of it."""
        part = crop(ct, self.box)
        return part.with_voxels(np.where(self.mask[self.box], part.voxels, AIR_HU).astype(np.float32))


def find_body(ct: Image) -> Body:
    """Find the body on a CT in HU.

    What is denser than air is parted where it is thin (clothes, the surface of a table); of the parts, the largest is the
    body, and all that is joined to it belongs to it. Each axial slice is then filled: lungs and bowel are inside.

    Raises
    ------
    InvalidInputError
        If there is no such part of at least 50 ml, or a fifth of a smaller scan: the scan shows no body, or is not in HU.
    """
    from scipy import ndimage

    steps = [max(1, round(_GRID_MM / spacing)) for spacing in ct.spacing_mm]
    coarse = ct.voxels[tuple(slice(None, None, step) for step in steps)]
    spacing = [step * each for step, each in zip(steps, ct.spacing_mm, strict=True)]
    dense = _smoothed(coarse > BODY_HU)
    core = _eroded(dense, spacing, _GAP_MM / 2)
    parts, count = ndimage.label(core)
    if not count:
        core, (parts, count) = dense, ndimage.label(dense)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    voxel_ml = float(np.prod(spacing)) / 1000
    least_ml = min(_MIN_ML, _MIN_SHARE * coarse.size * voxel_ml)
    if not count or sizes.max() * voxel_ml < least_ml:
        raise InvalidInputError(
            f"No body is found on the CT: less than {least_ml:.2g} ml of it is denser than air; expected a CT in HU of a "
            "patient."
        )
    largest = parts == sizes.argmax()
    grown = _dilated(largest, spacing, _GAP_MM / 2 + max(spacing)) & dense
    whole = _filled(grown, axial_axis(ct.geometry))
    for axis, step in enumerate(steps):
        whole = np.repeat(whole, step, axis=axis)
    whole = whole[tuple(slice(0, size) for size in ct.shape)]
    if any(size < wanted for size, wanted in zip(whole.shape, ct.shape, strict=True)):
        pads = [(0, wanted - size) for size, wanted in zip(whole.shape, ct.shape, strict=True)]
        whole = np.pad(whole, pads, mode="edge")
    margin = tuple(int(np.ceil(_MARGIN_MM / each)) for each in ct.spacing_mm)
    return Body(whole, bounding_box(whole, margin_voxels=margin))


def _smoothed(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What the most of 3 x 3 x 3 voxels are: as by their median before the threshold, in a small part of the time."""
    from scipy import ndimage

    if min(mask.shape) < 3:
        return mask
    count = mask.astype(np.uint8)
    for axis in range(3):
        count = ndimage.correlate1d(count, [1, 1, 1], axis=axis)
    return np.asarray(count > 13)


def _filled(mask: NDArray[np.bool_], axial: int) -> NDArray[np.bool_]:
    """Fill what each axial slice encloses; airways that end at the edge of the scan lie inside it too."""
    from scipy import ndimage

    moved = np.moveaxis(mask, axial, 0)
    filled = np.stack([ndimage.binary_fill_holes(each) for each in moved])
    return np.moveaxis(filled, 0, axial)


def _eroded(mask: NDArray[np.bool_], spacing: list[float], radius: float) -> NDArray[np.bool_]:
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"), spacing)[1:-1, 1:-1, 1:-1] > radius)


def _dilated(mask: NDArray[np.bool_], spacing: list[float], radius: float) -> NDArray[np.bool_]:
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(~mask, spacing) <= radius)
