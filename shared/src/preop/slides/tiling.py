"""Which tiles of a slide: a grid at one resolution, and the tiles of it that hold enough tissue."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import Image

UM_PER_MM = 1000.0


@dataclass(frozen=True, eq=False)
class Tiling:
    """Square tiles on a grid that begins in the slide's upper left corner, row by row.

    Attributes
    ----------
    um_per_pixel
        Of the pixels of a tile. A stored level that is within 2 % of the resolution asked for is taken as it is.
    size_px
        Pixels along a side.
    rows, columns
        Place of each tile in the grid (n,).
    """

    um_per_pixel: float
    size_px: int
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]

    def __len__(self) -> int:
        """Give the number of tiles."""
        return len(self.rows)

    @property
    def size_um(self) -> float:
        """Side of a tile."""
        return self.size_px * self.um_per_pixel

    @property
    def corners_um(self) -> NDArray[np.float64]:
        """Upper left corner of each tile (n, 2), as y and x."""
        return np.stack([self.rows, self.columns], axis=1).astype(np.float64) * self.size_um

    def part(self, first: int, last: int) -> Tiling:
        """Tiles from number ``first`` to the one before ``last``."""
        return replace(self, rows=self.rows[first:last], columns=self.columns[first:last])

    def only(self, numbers: NDArray[np.intp]) -> Tiling:
        """Tiles of some numbers, in the order of the tiling."""
        kept = np.sort(numbers)
        return replace(self, rows=self.rows[kept], columns=self.columns[kept])


def shares(mask: Image, size_um: float, grid: tuple[int, int]) -> NDArray[np.float64]:
    """Share of each tile of a grid that a mask covers.

    Parameters
    ----------
    mask
        Flat, of booleans; its first pixel lies in the slide's upper left corner.
    size_um
        Side of a tile.
    grid
        Rows and columns.

    Returns
    -------
    Shares (rows, columns). What lies outside the mask counts as not covered.
    """
    edges = [
        np.arange(count + 1) * size_um / UM_PER_MM / spacing
        for count, spacing in zip(grid, mask.spacing_mm, strict=True)
    ]
    area: NDArray[Any] = np.pad(mask.voxels.astype(np.float64).cumsum(axis=0).cumsum(axis=1), [(1, 0), (1, 0)])
    # The integral up to a point is bilinear between the corners of pixels, so interpolation is exact.
    for axis, at in enumerate(edges):
        area = _interpolated(area, at, axis)
    pixels = np.prod([size_um / UM_PER_MM / spacing for spacing in mask.spacing_mm])
    return np.asarray(np.diff(np.diff(area, axis=0), axis=1) / pixels)


def check_flat(mask: Image) -> None:
    """Refuse a mask that is no flat image."""
    if mask.voxels.ndim != 2:
        raise InvalidInputError(f"The mask of a slide has {mask.voxels.ndim} dimensions; expected a flat image.")


def _interpolated(area: NDArray[Any], at: NDArray[Any], axis: int) -> NDArray[Any]:
    last = area.shape[axis] - 1
    at = np.clip(at, 0, last)
    below = np.minimum(at.astype(np.intp), max(last - 1, 0))
    weight = np.expand_dims(at - below, 1 - axis)
    after = np.minimum(below + 1, last)
    return np.asarray(np.take(area, below, axis) * (1 - weight) + np.take(area, after, axis) * weight)
