"""From what a header says of the axes to a right-angled grid, or a refusal that says how far it is from one."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging.images import Geometry

READABLE_VOXELS = 0.1
"""Shear and disagreement that move no voxel by more than this share of its size over the whole image are read, and said."""
ROUNDING_VOXELS = 2e-3
"""What is less comes from writing directions with few digits, and is not worth a word."""


def grid_of(
    shape: tuple[int, ...], steps_mm: NDArray[np.float64], origin_mm: NDArray[np.float64], *, name: str
) -> tuple[Geometry, tuple[str, ...]]:
    """Lay a right-angled grid where a header places its voxels.

    Parameters
    ----------
    shape
        Number of voxels (z, y, x).
    steps_mm
        (3, 3): column *i* is the way in the world (LPS, mm) from one voxel to the next along axis *i* of x, y, z.
    origin_mm
        World position of the first voxel's centre.
    name
        The file, for messages.

    Returns
    -------
    The grid, with the same centre, and what was corrected.

    Raises
    ------
    InvalidInputError
        If a step is not finite or has no length, or the axes are sheared by more than a tenth of a voxel over the image.
    """
    spacing = np.linalg.norm(steps_mm, axis=0)
    # A length may be beyond all numbers where the steps are not.
    if not (np.isfinite(spacing).all() and np.isfinite(origin_mm).all() and (spacing > 0).all()):
        raise InvalidInputError(
            f"{name} states voxels of {_times(spacing)} mm at {_times(origin_mm, ', ')} mm; expected finite numbers, and "
            "sizes above 0: correct its header."
        )
    units = steps_mm / spacing
    shear, angle, axes = _shear(units, spacing, np.array(shape[::-1]))
    if shear > READABLE_VOXELS or abs(np.linalg.det(units)) < 1e-3:
        raise InvalidInputError(
            f"{name} is sheared: its axes {axes[0]} and {axes[1]} meet at {angle:.4g} degrees, which moves voxels by up to "
            f"{shear:.3g} of their size over the image; expected right angles: resample it to a grid with right angles."
        )
    left, _, right = np.linalg.svd(units)
    direction = left @ right
    centre = (np.array(shape[::-1]) - 1) / 2
    if shear < ROUNDING_VOXELS:
        notes: tuple[str, ...] = ()
        origin = origin_mm
    else:
        origin = origin_mm + (steps_mm - direction * spacing) @ centre
        notes = (
            f"the axes {axes[0]} and {axes[1]} meet at {angle:.4g} degrees, which moves voxels by up to {shear:.2g} of their "
            "size over the image; it was read with right angles.",
        )
    # Adding 0 turns -0 into 0.
    return (
        Geometry(
            shape,
            tuple(spacing[::-1].tolist()),
            tuple((origin + 0.0).tolist()),
            tuple((direction + 0.0).ravel().tolist()),
        ),
        notes,
    )


def largest_shift_voxels(shape: tuple[int, ...], one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """How far two affine maps (4, 4) from indices x, y, z place a voxel apart, in sizes of the first's smallest voxel."""
    corners = np.array([(*corner, 1) for corner in itertools.product(*((0, n - 1) for n in shape[::-1]))], dtype=float)
    apart = np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max()
    return float(apart / np.linalg.norm(one[:3, :3], axis=0).min())


def _shear(
    units: NDArray[np.float64], spacing: NDArray[np.float64], size: NDArray[np.int64]
) -> tuple[float, float, tuple[str, str]]:
    """Of the two axes that are furthest from a right angle: shift in voxels over the image, angle in degrees, names."""
    worst = (0.0, 90.0, ("x", "y"))
    for i, j in itertools.combinations(range(3), 2):
        cosine = float(units[:, i] @ units[:, j])
        extent = (size - 1) * spacing
        shift = abs(cosine) * max(extent[j] / spacing[i], extent[i] / spacing[j])
        if shift > worst[0]:
            worst = (float(shift), float(np.degrees(np.arccos(np.clip(cosine, -1, 1)))), ("xyz"[i], "xyz"[j]))
    return worst


def _times(numbers: NDArray[np.float64], between: str = " x ") -> str:
    return between.join(f"{number:g}" for number in numbers)
