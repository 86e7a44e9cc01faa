"""PET and CT in one frame."""

from __future__ import annotations

import itertools

import numpy as np

from preop.errors import InvalidInputError
from preop.imaging.images import Geometry, Image
from preop.imaging.resampling import aligned_grid, resample_like

MINIMUM_OVERLAP = 0.5

_SAMPLES_PER_AXIS = 24


def to_common_frame(pet: Image, ct: Image, *, spacing_mm: tuple[float, ...] | None = None) -> tuple[Image, Image]:
    """Bring the PET and the CT of one examination to one grid: that of the CT, or one with its centre and axes.

    Both are interpolated linearly. Where the CT reaches beyond the PET, the PET is 0.

    Parameters
    ----------
    pet, ct
        Scans whose headers place them in one world, as PET/CT scanners write them.
    spacing_mm
        Voxel spacing of the grid (z, y, x); the CT stays as it is without.

    Returns
    -------
    PET and CT on the same grid.

    Raises
    ------
    InvalidInputError
        If less than half of the smaller scan lies inside the other: they are not of one examination.
    """
    shared = overlap(pet.geometry, ct.geometry)
    if shared < MINIMUM_OVERLAP:
        raise InvalidInputError(
            f"PET and CT share {shared:.0%} of the smaller one's volume (PET {_extent(pet.geometry)}, "
            f"CT {_extent(ct.geometry)}), expected {MINIMUM_OVERLAP:.0%} or more: give scans of the same patient and "
            "examination."
        )
    grid = ct.geometry if spacing_mm is None else aligned_grid(ct.geometry, spacing_mm)
    moved_ct = ct if spacing_mm is None else resample_like(ct, grid, interpolation="linear")
    return resample_like(pet, grid, interpolation="linear", outside=0), moved_ct


def overlap(one: Geometry, other: Geometry) -> float:
    """Share of the smaller grid's volume that lies inside the larger one, between 0 and 1."""
    smaller, larger = sorted((one, other), key=lambda grid: float(np.prod(grid.shape)) * grid.voxel_volume_mm3)
    fractions = (np.arange(_SAMPLES_PER_AXIS) + 0.5) / _SAMPLES_PER_AXIS
    points = np.array(list(itertools.product(fractions, repeat=len(smaller.shape))))
    index = larger.index_zyx(smaller.world_mm(points * smaller.shape - 0.5))
    inside = (index >= -0.5) & (index <= np.array(larger.shape) - 0.5)
    return float(inside.all(axis=1).mean())


def _extent(grid: Geometry) -> str:
    """Write the box around a grid in mm, as x, y, z."""
    corners = grid.world_mm(np.array(list(itertools.product(*((-0.5, size - 0.5) for size in grid.shape)))))
    sides = zip("xyz", corners.min(axis=0), corners.max(axis=0), strict=False)
    return ", ".join(f"{axis} {low:.0f} to {high:.0f}" for axis, low, high in sides) + " mm"
