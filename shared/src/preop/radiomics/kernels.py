"""Loops over voxels, compiled.

All take a lattice laid out flat: the grey levels of an image of any number of dimensions, surrounded by a border of 0,
so that a neighbour is a fixed distance away in memory and no loop asks whether it left the image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.radiomics.compilation import compiled

BLOCK = 128
"""Voxels of a row that are convolved at a time: with those beside them they fit a processor's smallest cache."""

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
def _join(joined_to: NDArray[np.int32], one: int, other: int) -> None:
    """Join the zones of two pieces; the earliest piece stands for all."""
    while joined_to[one] != one:
        joined_to[one] = joined_to[joined_to[one]]
        one = joined_to[one]
    while joined_to[other] != other:
        joined_to[other] = joined_to[joined_to[other]]
        other = joined_to[other]
    joined_to[max(one, other)] = min(one, other)


@compiled
def zones(
    levels: Levels, rows: Offsets, rows_before: Offsets, distances: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Find connected voxels of one grey level: for each zone its level, its size, and its smallest distance.

    Parameters
    ----------
    rows_before
        Distances in memory back to the rows that touch a row and come before it; the first touches all the others.
    """
    most = 0
    for row in range(len(rows)):
        for voxel in range(rows[row, 0], rows[row, 1]):
            most += levels[voxel] != levels[voxel - 1]
    # Pieces of zones along a row, joined to those they touch in the rows before.
    piece_of, joined_to = np.empty(levels.size, dtype=np.int32), np.empty(most, dtype=np.int32)
    piece_levels, sizes = np.empty(most, dtype=np.int64), np.zeros(most, dtype=np.int64)
    smallest = np.empty(most, dtype=np.int64)
    piece = -1
    for row in range(len(rows)):
        for voxel in range(rows[row, 0], rows[row, 1]):
            level = levels[voxel]
            if level == 0:
                continue
            goes_on = levels[voxel - 1] == level
            if not goes_on:
                piece += 1
                joined_to[piece] = piece
                piece_levels[piece] = level
                smallest[piece] = distances[voxel]
            piece_of[voxel] = piece
            sizes[piece] += 1
            smallest[piece] = min(smallest[piece], distances[voxel])
            behind = voxel - rows_before[0]
            if levels[behind] == level:
                # It touches all other neighbours that come before, which are joined to it already.
                if not (goes_on and levels[behind - 1] == level):
                    _join(joined_to, piece, piece_of[behind])
                continue
            ends = levels[voxel + 1] != level
            for k in range(rows_before.size):
                other = voxel - rows_before[k]
                if levels[other] == level:
                    if not (goes_on and levels[other - 1] == level):
                        _join(joined_to, piece, piece_of[other])
                    continue
                # The voxels beside this one along the row join what is straight behind them.
                if not goes_on and levels[other - 1] == level:
                    _join(joined_to, piece, piece_of[other - 1])
                if ends and levels[other + 1] == level:
                    _join(joined_to, piece, piece_of[other + 1])
    # Each is joined to an earlier one, so that going backwards each is complete when it is handed on.
    for later in range(piece, -1, -1):
        root = joined_to[later]
        if root != later:
            sizes[root] += sizes[later]
            smallest[root] = min(smallest[root], smallest[later])
    whole = joined_to[: piece + 1] == np.arange(piece + 1)
    return piece_levels[: piece + 1][whole], sizes[: piece + 1][whole], smallest[: piece + 1][whole]


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
def sphere_sums(values: NDArray[Any], halves: NDArray[np.int64], found: NDArray[Any]) -> None:
    """Sum over the sphere around each voxel.

    Parameters
    ----------
    values
        An image (z, y, x), with a border as wide as the sphere reaches; the sums are of what lies within the border.
    halves
        Half the length of the sphere's columns along x, by distance in z and in y from 0; -1 where it has none.
    found
        What the sums are added to: the image without its border.
    """
    far_z, far_y, reach = len(halves) - 1, halves.shape[1] - 1, halves.max()
    height, width = values.shape[1] - 2 * far_y, values.shape[2] - 2 * reach
    # Slice by slice, sums of columns along x, of which the sphere's discs are made. A disc serves the spheres on both
    # sides of it, and the discs at other distances in z that are as large. Slices are laid out flat: long loops are quick.
    size = height * width
    columns = np.zeros((reach + 1, values.shape[1] * width), dtype=values.dtype)
    running = np.zeros(values.shape[2] + 1, dtype=values.dtype)
    disc = np.zeros(size, dtype=values.dtype)
    larger = np.array([dz == 0 or (halves[dz] != halves[dz - 1]).any() for dz in range(far_z + 1)])
    used = np.array([half in halves for half in range(reach + 1)])
    flat = found.reshape(len(found), size)
    for current in range(len(values)):
        for y in range(values.shape[1]):
            for x in range(values.shape[2]):
                running[x + 1] = running[x] + values[current, y, x]
            for half in range(reach + 1):
                if used[half]:
                    column, above, below = (
                        columns[half, y * width :],
                        running[reach + half + 1 :],
                        running[reach - half :],
                    )
                    for x in range(width):
                        column[x] = above[x] - below[x]
        for dz in range(far_z + 1):
            if larger[dz]:
                middle = columns[halves[dz, 0], far_y * width :]
                for place in range(size):
                    disc[place] = middle[place]
                for dy in range(1, far_y + 1):
                    half = halves[dz, dy]
                    if half >= 0:
                        one, other = columns[half, (far_y - dy) * width :], columns[half, (far_y + dy) * width :]
                        for place in range(size):
                            disc[place] += one[place] + other[place]
            before, after = current - far_z - dz, current - far_z + dz
            if 0 <= before < len(found):
                total = flat[before]
                for place in range(size):
                    total[place] += disc[place]
            if dz > 0 and 0 <= after < len(found):
                total = flat[after]
                for place in range(size):
                    total[place] += disc[place]


@compiled
def moments(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sums over the voxels of a mask: of the places (z, y, x), and of their products by twos (3, 3)."""
    first, second = np.zeros(3, dtype=np.int64), np.zeros((3, 3), dtype=np.int64)
    for z in range(mask.shape[0]):
        for y in range(mask.shape[1]):
            n, sum_x, sum_xx = 0, 0, 0
            for x in range(mask.shape[2]):
                inside = int(mask[z, y, x])
                n += inside
                sum_x += inside * x
                sum_xx += inside * x * x
            first += np.array((z * n, y * n, sum_x))
            second[0, 0] += z * z * n
            second[0, 1] += z * y * n
            second[0, 2] += z * sum_x
            second[1, 1] += y * y * n
            second[1, 2] += y * sum_x
            second[2, 2] += sum_xx
    return first, second + np.triu(second, 1).T


@compiled
def cube_kinds(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count each kind of cube (256) between eight voxel centres of a mask with a border of nothing.

    A kind is the sum of a bit for each corner inside; the corners are numbered in the order of memory.
    """
    found = np.zeros(256, dtype=np.int64)
    for z in range(mask.shape[0] - 1):
        for y in range(mask.shape[1] - 1):
            # The four corners of the face that two cubes along x share.
            face = 0
            for x in range(mask.shape[2]):
                following = (
                    int(mask[z, y, x])
                    | int(mask[z, y + 1, x]) << 2
                    | int(mask[z + 1, y, x]) << 4
                    | int(mask[z + 1, y + 1, x]) << 6
                )
                if x > 0:
                    found[face | following << 1] += 1
                face = following
    return found


@compiled
def convolution(
    voxels: NDArray[np.float64],
    kernel: NDArray[np.float64],
    sense: int,
    source: Offsets,
    found: NDArray[np.float64],
) -> None:
    """Convolve along the second of three axes.

    Parameters
    ----------
    voxels
        The image.
    kernel
        Of odd length, in the order in which it is laid over the image.
    sense
        1 where the kernel is symmetric, -1 where it is so but for the sign, 0 otherwise.
    source
        Which place along the axis each place that the kernel is laid over is taken from: those of the response, and
        half a kernel on both sides; -1 where it is 0.
    found
        Where the response goes; memory from numpy's own allocation is quicker than from here.
    """
    depth, length, width = found.shape
    half = kernel.size // 2
    block = min(width, BLOCK)
    extended = np.zeros((length + 2 * half, block), dtype=np.float64)
    line = np.zeros(block, dtype=np.float64)
    for z in range(depth):
        for first in range(0, width, block):
            n = min(block, width - first)
            for place in range(len(extended)):
                if source[place] >= 0:
                    for x in range(n):
                        extended[place, x] = voxels[z, source[place], first + x]
            for place in range(length):
                if sense == 0:
                    last = extended[place + 2 * half]
                    for x in range(block):
                        line[x] = kernel[2 * half] * last[x]
                    for k in range(2 * half):
                        part = extended[place + k]
                        if kernel[k] != 0:
                            for x in range(block):
                                line[x] += kernel[k] * part[x]
                else:
                    middle = extended[place + half]
                    for x in range(block):
                        line[x] = kernel[half] * middle[x]
                    # Two pairs at a time, for what is read and written costs more than what is computed.
                    for k in range(0, half - 1, 2):
                        a, b = extended[place + k], extended[place + 2 * half - k]
                        c, d = extended[place + k + 1], extended[place + 2 * half - k - 1]
                        for x in range(block):
                            line[x] = (line[x] + kernel[k] * (a[x] + sense * b[x])) + kernel[k + 1] * (
                                c[x] + sense * d[x]
                            )
                    if half % 2:
                        a, b = extended[place + half - 1], extended[place + half + 1]
                        for x in range(block):
                            line[x] += kernel[half - 1] * (a[x] + sense * b[x])
                for x in range(n):
                    found[z, place, first + x] = line[x]
