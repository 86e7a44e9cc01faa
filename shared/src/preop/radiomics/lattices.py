"""A discretised region laid out flat for the compiled loops, as one volume or slice by slice."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from preop.radiomics import kernels
from preop.radiomics.preparation import GreyLevels, Mask

FEW_LEVELS = 63
"""Grey levels of which a table of three takes less than 1 MB."""


@dataclass(frozen=True)
class Layout:
    """Where the voxels of a region, or of one slice of it, lie in memory, whatever their grey levels.

    All that the loops need and that is the same for all response maps of filters is computed once.

    Attributes
    ----------
    intensity, inside
        The re-segmented region and the region as drawn, (z, y, x) or (y, x), with a border of nothing.
    """

    intensity: Mask
    inside: Mask

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """What ``kernels.occupied_rows`` finds."""
        return kernels.occupied_rows(self.intensity.ravel(), self.intensity.shape[-1])

    @cached_property
    def voxels(self) -> int:
        """Number of voxels in the re-segmented region."""
        return int(np.count_nonzero(self.intensity))

    @cached_property
    def present(self) -> NDArray[np.uint16]:
        """Number of neighbours of each voxel in the re-segmented region."""
        return kernels.neighbours_inside(self.intensity.ravel(), self.rows, self.neighbours)

    @cached_property
    def distances(self) -> NDArray[np.int32]:
        """Steps from each voxel to the outside of the region as drawn."""
        return kernels.border_distances(self.inside.ravel(), self.axes)

    @property
    def longest(self) -> int:
        """Length of the longest possible run."""
        return int(max(self.intensity.shape))

    @cached_property
    def directions(self) -> NDArray[np.int64]:
        """Distances in memory to one of each pair of opposite neighbours: 13 in three dimensions, 4 in two."""
        neighbours = self.neighbours
        return neighbours[neighbours > 0]

    @cached_property
    def neighbours(self) -> NDArray[np.int64]:
        """Distances in memory to all neighbours that share a face, an edge or a corner: 26 or 8."""
        return np.asarray(_steps(self.intensity.ndim) @ self.axes, dtype=np.int64)

    @property
    def axes(self) -> NDArray[np.int64]:
        """Distances in memory to the next voxel along each axis."""
        return np.asarray(self.intensity.strides, dtype=np.int64)


@dataclass(frozen=True)
class Lattice:
    """Grey levels of a volume or of one slice.

    Attributes
    ----------
    layout
        Where they lie.
    flat
        Uint16, in the order of memory; 0 outside the re-segmented region.
    count
        Number of grey levels.
    """

    layout: Layout
    flat: NDArray[np.uint16]
    count: int

    def cooccurrences(self, *, by_direction: bool) -> NDArray[np.int64]:
        """What ``kernels.cooccurrences`` counts, in one matrix or in one for each direction."""
        at = self.layout
        if not by_direction and self.count <= FEW_LEVELS and (self.count + 1) ** 3 <= at.voxels:
            return kernels.merged_cooccurrences(self.flat, at.rows, at.directions, self.count)
        return kernels.cooccurrences(self.flat, at.rows, at.directions, self.count, self._matrices(by_direction))

    def run_lengths(self, longest: int, *, by_direction: bool) -> NDArray[np.int64]:
        """What ``kernels.run_lengths`` counts, in one matrix or in one for each direction."""
        at = self.layout
        matrices = self._matrices(by_direction)
        lowest = _lowest_bits(at.directions.size)
        return kernels.run_lengths(
            self.flat, self.same_before, at.rows, at.directions, lowest, self.count, longest, matrices
        )

    @cached_property
    def same_before(self) -> NDArray[np.uint16]:
        """What ``kernels.same_before`` finds."""
        return kernels.same_before(self.flat, self.layout.rows, self.layout.directions)

    @cached_property
    def zones(self) -> NDArray[np.int64]:
        """Connected voxels of one grey level (3, n): level, size, and smallest distance from the region's border."""
        at = self.layout
        nearest, others = _joins(at.intensity.ndim)
        return kernels.zones(self.flat, self.same_before, at.rows, at.directions, nearest, others, at.distances)

    @cached_property
    def neighbourhoods(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """What ``kernels.neighbourhoods`` counts."""
        return kernels.neighbourhoods(
            self.flat, self.layout.rows, self.layout.neighbours, self.layout.present, self.count
        )

    def _matrices(self, by_direction: bool) -> int:  # noqa: FBT001
        return self.layout.directions.size if by_direction else 1


@dataclass(frozen=True)
class Layouts:
    """Layouts of a region as one volume and slice by slice.

    Attributes
    ----------
    intensity, inside
        The re-segmented region and the region as drawn (z, y, x).
    """

    intensity: Mask
    inside: Mask

    def volume(self, grey_levels: GreyLevels) -> Lattice:
        """Lay out the whole region."""
        return Lattice(self._volume, np.pad(grey_levels.levels, 1).ravel(), grey_levels.count)

    def slices(self, grey_levels: GreyLevels) -> list[Lattice]:
        """Lay out each slice that holds voxels of the re-segmented region."""
        return [
            Lattice(layout, np.pad(grey_levels.levels[z], 1).ravel(), grey_levels.count)
            for z, layout in self._slices.items()
        ]

    @cached_property
    def _volume(self) -> Layout:
        return Layout(np.pad(self.intensity, 1), np.pad(self.inside, 1))

    @cached_property
    def _slices(self) -> dict[int, Layout]:
        return {
            z: Layout(np.pad(intensity, 1), np.pad(inside, 1))
            for z, (intensity, inside) in enumerate(zip(self.intensity, self.inside, strict=True))
            if intensity.any()
        }


@cache
def _steps(dimensions: int) -> NDArray[np.int64]:
    """Steps along the axes to all neighbours (26 or 8, axes), in the order of memory."""
    return np.array([each for each in itertools.product((-1, 0, 1), repeat=dimensions) if any(each)])


@cache
def _lowest_bits(count: int) -> NDArray[np.int8]:
    """The number of the lowest bit of each combination of so many bits; of none, 0."""
    return np.asarray((np.arange(2**count)[:, None] >> np.arange(count) & 1).argmax(axis=1), dtype=np.int8)


@cache
def _joins(dimensions: int) -> tuple[NDArray[np.int8], NDArray[np.uint16]]:
    """What ``kernels.zones`` calls nearest and others.

    Two neighbours of a voxel that have its level, and touch each other, are joined when the voxel is reached, for all of
    them come before it. So only one of each connected group counts.
    """
    steps = _steps(dimensions)
    steps = steps[len(steps) // 2 :]
    n = len(steps)
    touch = np.abs(steps[:, None] - steps[None]).max(axis=2) <= 1
    present = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
    # The lowest number in each one's group, handed from one to those it touches until nothing changes.
    group = np.where(present, np.arange(n, dtype=np.int8), n)
    for _, one in itertools.product(range(n), range(n)):
        lowest = np.where(touch[one] & present, group, n).min(axis=1)
        group[:, one] = np.where(present[:, one], lowest, n)
    first = present & (group == np.arange(n))
    nearest = first.argmax(axis=1)
    first[np.arange(2**n), nearest] = False
    return nearest.astype(np.int8), (first @ (1 << np.arange(n))).astype(np.uint16)
