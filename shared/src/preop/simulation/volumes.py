"""From tissues to voxels: painting shapes over one another on a fine grid, and averaging it to the scanner's voxels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Geometry, Image

Floats = NDArray[np.floating[Any]]


def finer(grid: Geometry, factors: tuple[int, ...]) -> Geometry:
    """Divide each voxel of a grid into ``factors`` (z, y, x) parts."""
    first = np.array([[1 / factor / 2 - 1 / 2 for factor in factors]])
    x, y, z = grid.world_mm(first)[0].tolist()
    return Geometry(
        shape=tuple(size * factor for size, factor in zip(grid.shape, factors, strict=True)),
        spacing_mm=tuple(spacing / factor for spacing, factor in zip(grid.spacing_mm, factors, strict=True)),
        origin_mm=(x, y, z),
        direction=grid.direction,
    )


def slabs(grid: Geometry, slices: int) -> Iterator[tuple[slice, Geometry]]:
    """Cut a grid into slabs of so many slices: a map of tissues painted slab by slab stays in the processor's cache."""
    for start in range(0, grid.shape[0], slices):
        stop = min(start + slices, grid.shape[0])
        x, y, z = grid.world_mm(np.array([[start, 0, 0]]))[0].tolist()
        shape = (stop - start, *grid.shape[1:])
        yield slice(start, stop), Geometry(shape, grid.spacing_mm, (x, y, z), grid.direction)


def average(fine: Image, grid: Geometry) -> Image:
    """Average a fine image over the voxels of ``grid``, whose division by whole numbers it is: partial volume."""
    z, y, x = grid.shape
    fz, fy, fx = (small // large for small, large in zip(fine.shape, grid.shape, strict=True))
    parts = fine.voxels.reshape(z, fz, y, fy, x, fx)
    return Image(parts.mean(axis=(1, 3, 5), dtype=np.float32), grid)


def paint(canvas: Floats, inside: Floats, value: Floats | float) -> None:
    """Lay a tissue over what the canvas shows, in place, as far as the voxels lie ``inside`` (0 to 1) its shape."""
    canvas += inside * (value - canvas)


def sample_along_axes(source: Image, grid: Geometry) -> Floats:
    """Interpolate an image linearly on a grid along the same axes, averaged over the thickness of the grid's slices.

    A product of one matrix an axis takes a sixth of the time of a general resampling.
    """
    matrices = []
    for axis in range(3):
        start = (grid.origin_mm[2 - axis] - source.geometry.origin_mm[2 - axis]) / source.spacing_mm[axis]
        step = grid.spacing_mm[axis] / source.spacing_mm[axis]
        parts = math.ceil(2 * step) if axis == 0 else 1
        within = (np.arange(parts) + 0.5) / parts - 0.5
        at = start + step * (np.arange(grid.shape[axis])[:, None, None] + within[:, None])
        hat = np.maximum(1 - np.abs(np.clip(at, 0, source.shape[axis] - 1) - np.arange(source.shape[axis])), 0)
        matrices.append(hat.mean(axis=1).astype(np.float32))
    along_z, along_y, along_x = matrices
    slices = np.tensordot(along_z, source.voxels, 1)
    return np.asarray(along_y @ (slices @ along_x.T))
