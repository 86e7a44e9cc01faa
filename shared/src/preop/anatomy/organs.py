"""Organs as labelled by TotalSegmentator, and the thorax brought into the patient's axes.

Indices are those of the task ``total`` of TotalSegmentator 2.18 (``map_to_binary.class_map``), which are the same in
all versions 2. Only the organs that a border rests on are named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, bounding_box, resample_like

Mask = NDArray[Any]
"""Booleans, (z, y, x) or a shape that broadcasts to it."""

Coordinates = NDArray[Any]
"""Positions or distances in mm, float64."""

TOTAL_CLASSES: Mapping[str, int] = MappingProxyType(
    {
        "lung_upper_lobe_left": 10,
        "lung_lower_lobe_left": 11,
        "lung_upper_lobe_right": 12,
        "lung_middle_lobe_right": 13,
        "lung_lower_lobe_right": 14,
        "esophagus": 15,
        "trachea": 16,
        **{f"vertebrae_T{13 - number}": 31 + number for number in range(1, 13)},
        "vertebrae_C7": 44,
        "heart": 51,
        "aorta": 52,
        "pulmonary_vein": 53,
        "brachiocephalic_trunk": 54,
        "common_carotid_artery_left": 58,
        "brachiocephalic_vein_left": 59,
        "brachiocephalic_vein_right": 60,
        "superior_vena_cava": 62,
        "clavicula_left": 73,
        "clavicula_right": 74,
        "spinal_cord": 79,
        "rib_left_1": 92,
        "rib_right_1": 104,
        "sternum": 116,
    }
)

RIGHT_LOBES = ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right")
LEFT_LOBES = ("lung_upper_lobe_left", "lung_lower_lobe_left")
LUNGS = (*RIGHT_LOBES, *LEFT_LOBES)
MEDIASTINAL = ("trachea", "esophagus", "aorta", "heart", "superior_vena_cava")
FRONT = ("sternum", "clavicula_left", "clavicula_right")
VERTEBRAE = ("vertebrae_C7", *(f"vertebrae_T{number}" for number in range(1, 13)))

GRID_SPACING_MM = 1.5
"""Spacing at which TotalSegmentator labels, and at which stations are mapped whatever the scan's own spacing is."""

ABOVE_LUNGS_MM = 120.0
"""How far the neck is kept above the lungs: to the cricoid and beyond."""


@dataclass(frozen=True, eq=False)
class Organs:
    """A label map and the names of its labels.

    Attributes
    ----------
    labels
        Label map of a chest CT, in any orientation.
    indices
        Label by organ's name; TotalSegmentator's task ``total`` where not given. Names that are missing count as
        organs that are not in view.
    """

    labels: Image
    indices: Mapping[str, int] = field(default_factory=lambda: TOTAL_CLASSES)

    def __post_init__(self) -> None:
        if self.labels.voxels.dtype.kind not in "iu":
            raise InvalidInputError(f"The organ labels are of type {self.labels.voxels.dtype}; expected whole numbers.")

    def mask(self, *names: str) -> Mask:
        """Voxels (z, y, x) of any of these organs."""
        return _voxels_of(self.labels.voxels, self.indices, names)


@dataclass(frozen=True, eq=False)
class Thorax:
    """The chest on a grid along the patient's axes: x to the left, y to the back, z to the head, in mm (LPS).

    Attributes
    ----------
    labels
        Label map (z, y, x) on a grid of ``GRID_SPACING_MM`` around the lungs and the lower neck.
    indices
        Label by organ's name.
    ends_below, ends_above
        Height in mm at which the scan itself ends.
    """

    labels: Image
    indices: Mapping[str, int]
    ends_below: float
    ends_above: float

    def mask(self, *names: str) -> Mask:
        """Voxels (z, y, x) of any of these organs."""
        return _voxels_of(self.labels.voxels, self.indices, names)

    @cached_property
    def x(self) -> Coordinates:
        """Position to the patient's left in mm: (x,)."""
        return self._along(2, 0)

    @cached_property
    def y(self) -> Coordinates:
        """Position to the patient's back in mm: (y,)."""
        return self._along(1, 1)

    @cached_property
    def z(self) -> Coordinates:
        """Height in mm: (z,)."""
        return self._along(0, 2)

    @cached_property
    def lungs(self) -> Mask:
        """Voxels of all lobes."""
        return self.mask(*LUNGS)

    @cached_property
    def free(self) -> Mask:
        """Voxels that no organ holds: where lymph nodes lie outside of the lungs."""
        return np.asarray(self.labels.voxels == 0)

    def column(self, values: Coordinates) -> Coordinates:
        """Shape one value a slice so that it broadcasts over the grid: (z, 1, 1)."""
        return values[:, None, None]

    def slices_of(self, mask: Mask) -> NDArray[np.intp]:
        """Indices of the slices that hold a voxel of a mask, ascending."""
        return np.flatnonzero(np.any(mask, axis=(1, 2)))

    def extent_x(self, mask: Mask) -> tuple[Coordinates, Coordinates]:
        """Rightmost and leftmost position of a mask in every slice, not a number where it is empty: (z,) each."""
        return _ends(np.any(mask, axis=1), self.x)

    def extent_y(self, mask: Mask) -> tuple[Coordinates, Coordinates]:
        """Foremost and hindmost position of a mask in every slice, not a number where it is empty: (z,) each."""
        return _ends(np.any(mask, axis=2), self.y)

    def _along(self, axis: int, world: int) -> Coordinates:
        geometry = self.labels.geometry
        return geometry.origin_mm[world] + geometry.spacing_mm[axis] * np.arange(geometry.shape[axis])


def in_patient_axes(organs: Organs) -> Thorax:
    """Lay a grid along the patient's axes over the lungs, the sternum and the lower neck.

    Flipped, permuted and tilted scans give the same thorax: what is right of the patient is right in the world.

    Raises
    ------
    InvalidInputError
        If there is neither lung.
    """
    lungs = organs.mask(*LUNGS)
    if not lungs.any():
        raise InvalidInputError("The labels hold no lung; expected the labelled organs of a CT of the chest.")
    geometry = organs.labels.geometry
    low, high = _world_box(geometry, bounding_box(lungs))
    whole_low, whole_high = _world_box(geometry, tuple(slice(0, size) for size in geometry.shape))
    # A lung that is not in view must not take the mediastinum with it, nor a flat lung the sternum.
    middle, front = organs.mask(*MEDIASTINAL), organs.mask(*FRONT)
    if middle.any():
        middle_low, middle_high = _world_box(geometry, bounding_box(middle))
        low[:2], high[:2] = np.minimum(low, middle_low)[:2], np.maximum(high, middle_high)[:2]
    if front.any():
        low[1] = min(low[1], _world_box(geometry, bounding_box(front))[0][1])
    high[2] = min(high[2] + ABOVE_LUNGS_MM, whole_high[2])
    shape = np.ceil((high - low) / GRID_SPACING_MM - 1e-6).astype(int) + 1
    grid = Geometry.axis_aligned(
        tuple(reversed(shape.tolist())), (GRID_SPACING_MM,) * 3, (float(low[0]), float(low[1]), float(low[2]))
    )
    labels = resample_like(organs.labels, grid, interpolation="nearest", outside=0)
    return Thorax(labels, organs.indices, ends_below=float(whole_low[2]), ends_above=float(whole_high[2]))


def _voxels_of(voxels: NDArray[Any], indices: Mapping[str, int], names: tuple[str, ...]) -> Mask:
    # One comparison a label: a table look-up would need eight bytes a voxel for the indices.
    mask = np.zeros(voxels.shape, dtype=bool)
    for name in names:
        if name in indices:
            mask |= voxels == indices[name]
    return mask


def _world_box(geometry: Geometry, box: tuple[slice, ...]) -> tuple[Coordinates, Coordinates]:
    """Lowest and highest world coordinates (x, y, z) of the voxel centres of a box."""
    ends = np.array(np.meshgrid(*[(part.start, part.stop - 1) for part in box])).reshape(3, -1).T
    world = geometry.world_mm(ends)
    return world.min(axis=0), world.max(axis=0)


def _ends(seen: Mask, positions: Coordinates) -> tuple[Coordinates, Coordinates]:
    """First and last position that is seen in each row."""
    empty = ~np.any(seen, axis=1)
    first = positions[np.argmax(seen, axis=1)]
    last = positions[seen.shape[1] - 1 - np.argmax(seen[:, ::-1], axis=1)]
    return np.where(empty, np.nan, first), np.where(empty, np.nan, last)
