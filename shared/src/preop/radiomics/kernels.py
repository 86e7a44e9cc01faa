"""Loops over voxels, compiled.

All take a lattice laid out flat: the grey levels of an image of any number of dimensions, surrounded by a border of 0,
so that a neighbour is a fixed distance away in memory and no loop asks whether it left the image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preop.radiomics.compilation import compiled

Levels = NDArray[np.int32]
Offsets = NDArray[np.int64]
Counts = NDArray[np.int64]


@compiled
def cooccurrences(levels: Levels, offsets: Offsets, count: int) -> Counts:
    """Count pairs of neighbours (direction, grey level, grey level of the neighbour), levels from index 0."""
    found = np.zeros((offsets.size, count, count), dtype=np.int64)
    for voxel in range(levels.size):
        level = levels[voxel]
        if level > 0:
            for direction in range(offsets.size):
                neighbour = levels[voxel + offsets[direction]]
                if neighbour > 0:
                    found[direction, level - 1, neighbour - 1] += 1
    return found


@compiled
def run_lengths(levels: Levels, offsets: Offsets, count: int, longest: int) -> Counts:
    """Count runs of one grey level (direction, grey level, length), levels and lengths from index 0."""
    found = np.zeros((offsets.size, count, longest), dtype=np.int64)
    for direction in range(offsets.size):
        step = offsets[direction]
        for voxel in range(levels.size):
            level = levels[voxel]
            if level > 0 and levels[voxel - step] != level:
                length = 0
                following = voxel + step
                while levels[following] == level:
                    length += 1
                    following += step
                found[direction, level - 1, length] += 1
    return found


@compiled
def zones(
    levels: Levels, distances: NDArray[np.int32], neighbours: Offsets
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find connected voxels of one grey level: for each zone its level, its size, and its smallest distance."""
    unseen = levels.copy()
    inside = 0
    for voxel in range(levels.size):
        if levels[voxel] > 0:
            inside += 1
    stack = np.empty(inside, dtype=np.int64)
    zone_levels = np.empty(inside, dtype=np.int64)
    sizes = np.empty(inside, dtype=np.int64)
    smallest = np.empty(inside, dtype=np.int64)
    zone = 0
    for seed in range(levels.size):
        level = unseen[seed]
        if level > 0:
            unseen[seed] = 0
            stack[0] = seed
            waiting = 1
            size = 0
            distance = distances[seed]
            while waiting > 0:
                waiting -= 1
                voxel = stack[waiting]
                size += 1
                distance = min(distance, distances[voxel])
                for k in range(neighbours.size):
                    neighbour = voxel + neighbours[k]
                    if unseen[neighbour] == level:
                        unseen[neighbour] = 0
                        stack[waiting] = neighbour
                        waiting += 1
            zone_levels[zone] = level
            sizes[zone] = size
            smallest[zone] = distance
            zone += 1
    return zone_levels[:zone].copy(), sizes[:zone].copy(), smallest[:zone].copy()


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
def neighbourhoods(levels: Levels, neighbours: Offsets, count: int) -> tuple[Counts, NDArray[np.float64], Counts]:
    """Compare each voxel with its neighbours.

    Returns
    -------
    Number of voxels that have a neighbour, by grey level; sum of their absolute differences from their neighbours'
    mean, by grey level; number of voxels by grey level and number of neighbours of the same level.
    """
    occupied = np.zeros(count, dtype=np.int64)
    differences = np.zeros(count, dtype=np.float64)
    dependences = np.zeros((count, neighbours.size + 1), dtype=np.int64)
    for voxel in range(levels.size):
        level = levels[voxel]
        if level > 0:
            total = 0
            present = 0
            same = 0
            for k in range(neighbours.size):
                neighbour = levels[voxel + neighbours[k]]
                if neighbour > 0:
                    present += 1
                    total += neighbour
                    if neighbour == level:
                        same += 1
            dependences[level - 1, same] += 1
            if present > 0:
                occupied[level - 1] += 1
                differences[level - 1] += abs(level - total / present)
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
