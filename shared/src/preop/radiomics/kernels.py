"""Loops over voxels, compiled.

All take a lattice laid out flat: the grey levels of an image of any number of dimensions, surrounded by a border of 0,
so that a neighbour is a fixed distance away in memory and no loop asks whether it left the image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preop.radiomics.compilation import compiled

Levels = NDArray[np.int16]
Offsets = NDArray[np.int64]
Counts = NDArray[np.int64]


@compiled
def occupied_rows(levels: Levels, width: int) -> Offsets:
    """Find the rows that hold voxels (n, 2): where the first of them lies, and where it ends behind the last."""
    found = np.empty((levels.size // width, 2), dtype=np.int64)
    n = 0
    for row in range(levels.size // width):
        first = row * width
        after = first + width
        while first < after and levels[first] == 0:
            first += 1
        if first < after:
            while levels[after - 1] == 0:
                after -= 1
            found[n, 0] = first
            found[n, 1] = after
            n += 1
    return found[:n].copy()


@compiled
def cooccurrences(levels: Levels, rows: Offsets, offsets: Offsets, count: int) -> Counts:
    """Count pairs of neighbours (direction, grey level, grey level of the neighbour), levels from index 0."""
    # What lies outside counts as level 0, which is left out in the end: quicker than to ask each time.
    found = np.zeros((offsets.size, count + 1, count + 1), dtype=np.int64)
    for row in range(len(rows)):
        for voxel in range(rows[row, 0], rows[row, 1]):
            level = levels[voxel]
            if level > 0:
                for direction in range(offsets.size):
                    found[direction, level, levels[voxel + offsets[direction]]] += 1
    return found[:, 1:, 1:].copy()


@compiled
def run_lengths(levels: Levels, rows: Offsets, offsets: Offsets, count: int, longest: int) -> Counts:
    """Count runs of one grey level (direction, grey level, length), levels and lengths from index 0."""
    found = np.zeros((offsets.size, count + 1, longest + 1), dtype=np.int64)
    lengths = np.zeros(levels.size, dtype=np.int16)
    for direction in range(offsets.size):
        step = offsets[direction]
        of_direction = found[direction]
        for row in range(len(rows)):
            first, after = rows[row]
            own, before = levels[first:after], levels[first - step : after - step]
            following = levels[first + step : after + step]
            length, length_before = lengths[first:after], lengths[first - step : after - step]
            # Without a branch, for whether a run ends is what no processor foresees. What is counted of level 0 is left
            # out in the end, and of length 0 there is nothing.
            for x in range(own.size):
                length[x] = length_before[x] * (own[x] == before[x]) + 1
            for x in range(own.size):
                of_direction[own[x], length[x]] += own[x] != following[x]
    return found[:, 1:, 1:].copy()


@compiled
def zones(
    levels: Levels, rows: Offsets, rows_before: Offsets, distances: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find connected voxels of one grey level: for each zone its level, its size, and its smallest distance.

    Parameters
    ----------
    rows_before
        Distances in memory to the rows that touch a row and come before it.
    """
    # The pieces of a zone along a row are joined to those they touch in the rows before; the first piece stands for all.
    most = 0
    for row in range(len(rows)):
        for voxel in range(rows[row, 0], rows[row, 1]):
            most += levels[voxel] != levels[voxel - 1]
    piece_of = np.empty(levels.size, dtype=np.int32)
    joined_to = np.empty(most, dtype=np.int32)
    zone_levels = np.zeros(most, dtype=np.int64)
    sizes = np.zeros(most, dtype=np.int64)
    smallest = np.zeros(most, dtype=np.int64)
    piece = 0
    for row in range(len(rows)):
        voxel, after = rows[row]
        while voxel < after:
            level = levels[voxel]
            if level == 0:
                voxel += 1
                continue
            first = voxel
            nearest = distances[voxel]
            while levels[voxel] == level:
                nearest = min(nearest, distances[voxel])
                piece_of[voxel] = piece
                voxel += 1
            joined_to[piece] = piece
            root = piece
            for k in range(rows_before.size):
                for neighbour in range(first - 1 + rows_before[k], voxel + 1 + rows_before[k]):
                    if levels[neighbour] == level:
                        other = piece_of[neighbour]
                        while joined_to[other] != other:
                            joined_to[other] = joined_to[joined_to[other]]
                            other = joined_to[other]
                        if other < root:
                            joined_to[root] = other
                            root = other
                        elif other > root:
                            joined_to[other] = root
            zone_levels[piece] = level
            sizes[piece] = voxel - first
            smallest[piece] = nearest
            piece += 1
    # A piece is joined to an earlier one, so that going backwards each is complete when it is handed on.
    for later in range(piece - 1, -1, -1):
        root = joined_to[later]
        if root != later:
            sizes[root] += sizes[later]
            smallest[root] = min(smallest[root], smallest[later])
    whole = joined_to[:piece] == np.arange(piece)
    return zone_levels[:piece][whole], sizes[:piece][whole], smallest[:piece][whole]


@compiled
def border_distances(inside: NDArray[np.bool_], axes: Offsets) -> NDArray[np.int32]:
    """Count steps along axes from each voxel to the outside; a voxel at the border has distance 1."""
    distances = np.zeros(inside.size, dtype=np.int32)
    for voxel in range(inside.size):
        if inside[voxel]:
            nearest = distances[voxel - axes[0]]
            for k in range(1, axes.size):
                nearest = min(nearest, distances[voxel - axes[k]])
            distances[voxel] = nearest + 1
    for voxel in range(inside.size - 1, -1, -1):
        if inside[voxel]:
            nearest = distances[voxel] - 1
            for k in range(axes.size):
                nearest = min(nearest, distances[voxel + axes[k]])
            distances[voxel] = nearest + 1
    return distances


@compiled
def neighbourhoods(
    levels: Levels, rows: Offsets, neighbours: Offsets, count: int
) -> tuple[Counts, NDArray[np.float64], Counts]:
    """Compare each voxel with its neighbours.

    Returns
    -------
    Number of voxels that have a neighbour, by grey level; sum of their absolute differences from their neighbours'
    mean, by grey level; number of voxels by grey level and number of neighbours of the same level.
    """
    occupied = np.zeros(count, dtype=np.int64)
    differences = np.zeros(count, dtype=np.float64)
    dependences = np.zeros((count, neighbours.size + 1), dtype=np.int64)
    for row in range(len(rows)):
        first, after = rows[row]
        own = levels[first:after]
        # 16 bits hold the sum of 26 levels of at most 1024.
        total = np.zeros(own.size, dtype=np.int16)
        present = np.zeros(own.size, dtype=np.int16)
        same = np.zeros(own.size, dtype=np.int16)
        for k in range(neighbours.size):
            other = levels[first + neighbours[k] : after + neighbours[k]]
            for x in range(own.size):
                total[x] += other[x]
                present[x] += other[x] > 0
                same[x] += other[x] == own[x]
        for x in range(own.size):
            if own[x] > 0:
                level = own[x] - 1
                dependences[level, same[x]] += 1
                if present[x] > 0:
                    occupied[level] += 1
                    differences[level] += abs(own[x] - total[x] / present[x])
    return occupied, differences, dependences


@compiled
def sphere_peaks(
    sums: NDArray[np.float64],
    inside: NDArray[np.bool_],
    brightest: NDArray[np.bool_],
    columns: NDArray[np.int64],
    reach: int,
) -> tuple[float, float]:
    """Largest mean over the voxels of an image that lie in a sphere, around the brightest voxels and around any.

    Parameters
    ----------
    sums
        Running sums of the image along x (z, y, reach + 1 + x + reach), the first 0, before and after them repeated.
    inside, brightest
        Voxels (z, y, x) that the sphere is laid around, and those of them that have the largest intensity.
    columns
        The sphere's columns along x (k, 3): distance in z, distance in y, half the length.
    reach
        Half the length of the longest column.
    """
    depth, height, width = inside.shape
    # Number of voxels before each place, laid out as the sums are.
    places = np.minimum(np.maximum(np.arange(-reach, width + 1 + reach), 0), width)
    around_brightest, around_any = -np.inf, -np.inf
    total = np.empty(width, dtype=np.float64)
    voxels = np.empty(width, dtype=np.int64)
    for z in range(depth):
        for y in range(height):
            within = np.flatnonzero(inside[z, y])
            if within.size == 0:
                continue
            first, after = int(within[0]), int(within[-1]) + 1
            total[:] = 0.0
            voxels[:] = 0
            for k in range(len(columns)):
                other_z, other_y = z + columns[k, 0], y + columns[k, 1]
                if 0 <= other_z < depth and 0 <= other_y < height:
                    low, high = reach - columns[k, 2], reach + columns[k, 2] + 1
                    line = sums[other_z, other_y]
                    above, below = line[first + high : after + high], line[first + low : after + low]
                    place_above, place_below = places[first + high : after + high], places[first + low : after + low]
                    for x in range(after - first):
                        total[x] += above[x] - below[x]
                        voxels[x] += place_above[x] - place_below[x]
            for x in range(first, after):
                if not inside[z, y, x]:
                    continue
                mean = total[x - first] / voxels[x - first]
                around_any = max(around_any, mean)
                if brightest[z, y, x]:
                    around_brightest = max(around_brightest, mean)
    return around_brightest, around_any
