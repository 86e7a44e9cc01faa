"""A discretised region laid out flat for the compiled loops, as one volume or slice by slice."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from preop.radiomics import kernels
from preop.radiomics.preparation import GreyLevels, Mask


@dataclass(frozen=True)
class Lattice:
    """Grey levels of a volume or of one slice, with a border of 0.

    Attributes
    ----------
    levels
        Int16 (z, y, x) or (y, x); 0 outside the re-segmented region.
    inside
        The region as drawn, of the same shape.
    count
        Number of grey levels.
    """

    levels: NDArray[np.int16]
    inside: Mask
    count: int

    @property
    def flat(self) -> NDArray[np.int16]:
        """Grey levels in the order of memory."""
        return self.levels.ravel()

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """What ``kernels.occupied_rows`` finds."""
        return kernels.occupied_rows(self.flat, self.levels.shape[-1])

    @cached_property
    def voxels(self) -> int:
        """Number of voxels in the re-segmented region."""
        return int((self.levels > 0).sum())

    @cached_property
    def zones(self) -> NDArray[np.int64]:
        """Connected voxels of one grey level (3, n): level, size, and smallest distance from the region's border."""
        distances = kernels.border_distances(self.inside.ravel(), self.axes)
        return np.stack(kernels.zones(self.flat, self.rows, self._rows_before, distances))

    @cached_property
    def neighbourhoods(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """What ``kernels.neighbourhoods`` counts."""
        return kernels.neighbourhoods(self.flat, self.rows, self.neighbours, self.count)

    @property
    def longest(self) -> int:
        """Length of the longest possible run."""
        return int(max(self.levels.shape))

    @property
    def directions(self) -> NDArray[np.int64]:
        """Distances in memory to one of each pair of opposite neighbours: 13 in three dimensions, 4 in two."""
        neighbours = self.neighbours
        return neighbours[neighbours > 0]

    @property
    def neighbours(self) -> NDArray[np.int64]:
        """Distances in memory to all neighbours that share a face, an edge or a corner: 26 or 8."""
        vectors = np.array(list(itertools.product((-1, 0, 1), repeat=self.levels.ndim)))
        offsets = vectors @ self.axes
        return np.asarray(offsets[offsets != 0], dtype=np.int64)

    @property
    def _rows_before(self) -> NDArray[np.int64]:
        """Distances in memory back to the rows that touch one and come before it: 4 in three dimensions, 1 in two."""
        *planes, row = (self.axes[:-1]).tolist()
        return np.array([distance for plane in planes for distance in (plane, plane + row, plane - row)] + [row])

    @property
    def axes(self) -> NDArray[np.int64]:
        """Distances in memory to the next voxel along each axis."""
        return np.asarray(self.levels.strides, dtype=np.int64) // self.levels.itemsize


def volume_lattice(grey_levels: GreyLevels, inside: Mask) -> Lattice:
    """Lay out the whole region."""
    return Lattice(np.pad(grey_levels.levels, 1), np.pad(inside, 1), grey_levels.count)


def slice_lattices(grey_levels: GreyLevels, inside: Mask) -> Iterator[Lattice]:
    """Lay out each slice that holds voxels of the re-segmented region."""
    for levels, mask in zip(grey_levels.levels, inside, strict=True):
        if levels.any():
            yield Lattice(np.pad(levels, 1), np.pad(mask, 1), grey_levels.count)
