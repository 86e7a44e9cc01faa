"""Loops over voxels, compiled.

All take a lattice laid out flat: the grey levels of an image of any number of dimensions, surrounded by a border of 0,
so that a neighbour is a fixed distance away in memory and no loop asks whether it left the image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.radiomics.compilation import compiled

LANES = 16
"""Sums that are kept side by side."""
SUMMANDS = 2048
"""Numbers that are added up before their sum is added to that of the others."""

Levels = NDArray[np.uint16]
Offsets = NDArray[np.int64]
Counts = NDArray[np.int64]


@compiled
def fill_levels(
    values: NDArray[np.float64],
    places: NDArray[np.intp],
    start: float,
    factor: float,
    width: float,
    count: int,
    levels: Levels,
) -> Counts:
    """Write the bin of each value to its place, and count the values of each; the bins are those of ``preparation.Bins``."""
    found = np.zeros(count, dtype=np.int64)
    for n in range(values.size):
        level = min(int(factor * (values[n] - start) / width) + 1, count)
        levels[places[n]] = level
        found[level - 1] += 1
    return found


@compiled
def count_bins(values: NDArray[np.float64], start: float, factor: float, width: float, count: int) -> Counts:
    """Count the values of each bin, from bin 0, which has none."""
    found = np.zeros(count + 1, dtype=np.int64)
    for n in range(values.size):
        found[min(int(factor * (values[n] - start) / width) + 1, count)] += 1
    return found


@compiled
def central_sums(
    values: NDArray[np.float64], counts: NDArray[np.float64], mean: float, median: float
) -> NDArray[np.float64]:
    """Sum the second, third, fourth and absolute power of differences from the mean, and those from the median.

    Fewer counts than values are those of each block of ``SUMMANDS`` values.
    """
    # Side by side and block by block: quick, and little is lost in rounding.
    repeated = counts.size < values.size
    total, lanes = np.zeros(5), np.zeros((5, LANES))
    for block in range(0, values.size, SUMMANDS):
        lanes[:] = 0.0
        weights = counts if repeated else counts[block:]
        end = min(block + SUMMANDS, values.size)
        whole = end - (end - block) % LANES
        for first in range(block, whole, LANES):
            for k in range(LANES):
                weight, difference = weights[first - block + k], values[first + k] - mean
                square = difference * difference
                lanes[0, k] += weight * square
                lanes[1, k] += weight * (square * difference)
                lanes[2, k] += weight * (square * square)
                lanes[3, k] += weight * abs(difference)
                lanes[4, k] += weight * abs(values[first + k] - median)
        for n in range(whole, end):
            weight, difference = weights[n - block], values[n] - mean
            square = difference * difference
            lanes[0, 0] += weight * square
            lanes[1, 0] += weight * (square * difference)
            lanes[2, 0] += weight * (square * square)
            lanes[3, 0] += weight * abs(difference)
            lanes[4, 0] += weight * abs(values[n] - median)
        for power in range(5):
            for k in range(LANES):
                total[power] += lanes[power, k]
    return total


@compiled
def occupied_rows(inside: NDArray[np.bool_], width: int) -> Offsets:
    """Find the rows that hold voxels (n, 2): where the first of them lies, and where it ends behind the last."""
    found = np.empty((inside.size // width, 2), dtype=np.int64)
    n = 0
    for row in range(inside.size // width):
        first = row * width
        after = first + width
        while first < after and not inside[first]:
            first += 1
        if first < after:
            while not inside[after - 1]:
                after -= 1
            found[n, 0] = first
            found[n, 1] = after
            n += 1
    return found[:n].copy()


@compiled
def neighbours_inside(inside: NDArray[np.bool_], rows: Offsets, neighbours: Offsets) -> NDArray[np.uint16]:
    """Count the neighbours of each voxel that are inside."""
    found = np.zeros(inside.size, dtype=np.uint16)
    for row in range(len(rows)):
        first, after = rows[row]
        present = found[first:after]
        for k in range(neighbours.size):
            other = inside[first + neighbours[k] : after + neighbours[k]]
            for x in range(present.size):
                present[x] += other[x]
    return found


@compiled
def cooccurrences(levels: Levels, rows: Offsets, offsets: Offsets, count: int, matrices: int) -> Counts:
    """Count pairs of neighbours (matrix, grey level, grey level of the neighbour), levels from index 0.

    There is a matrix for each direction, or one for all.
    """
    # What lies outside counts as level 0, which is left out in the end: quicker than to ask each time.
    # Neighbouring voxels are counted in two tables, so that one need not wait for the other where their pairs are alike.
    found = np.zeros((matrices, 2, (count + 1) * (count + 1)), dtype=np.uint32)
    start = np.empty(_longest(rows), dtype=np.uint64)
    for row in range(len(rows)):
        first, after = rows[row]
        own = levels[first:after]
        for x in range(own.size):
            start[x] = np.uint64(own[x]) * np.uint64(count + 1)
        for direction in range(offsets.size):
            even, odd = found[min(direction, matrices - 1)]
            other = levels[first + offsets[direction] : after + offsets[direction]]
            for x in range(0, own.size - 1, 2):
                even[start[x] + np.uint64(other[x])] += 1
                odd[start[x + 1] + np.uint64(other[x + 1])] += 1
            if own.size % 2:
                even[start[own.size - 1] + np.uint64(other[own.size - 1])] += 1
    added = (found[:, 0] + found[:, 1]).reshape(matrices, count + 1, count + 1)
    return added[:, 1:, 1:].astype(np.int64)


@compiled
def merged_cooccurrences(levels: Levels, rows: Offsets, offsets: Offsets, count: int) -> Counts:
    """Count what ``cooccurrences`` does in one matrix for all directions, where grey levels are few."""
    # Two neighbours at a time, in a table of three levels that still fits a processor's caches: half as much to count, of
    # which less is alike and has to wait.
    base = np.uint32(count + 1)
    pairs, triples = np.zeros(base * base, dtype=np.uint32), np.zeros(base * base * base, dtype=np.uint32)
    longest = _longest(rows)
    start, key = np.empty(longest, dtype=np.uint32), np.empty(longest, dtype=np.uint32)
    for row in range(len(rows)):
        first, after = rows[row]
        own = levels[first:after]
        for x in range(own.size):
            start[x] = own[x] * base
        for direction in range(0, offsets.size - 1, 2):
            one = levels[first + offsets[direction] : after + offsets[direction]]
            other = levels[first + offsets[direction + 1] : after + offsets[direction + 1]]
            for x in range(own.size):
                key[x] = (start[x] + np.uint32(one[x])) * base + np.uint32(other[x])
            for x in range(own.size):
                triples[key[x]] += np.uint32(1)
        if offsets.size % 2:
            last = levels[first + offsets[-1] : after + offsets[-1]]
            for x in range(own.size):
                pairs[start[x] + np.uint32(last[x])] += np.uint32(1)
    by_three = triples.reshape(count + 1, count + 1, count + 1)
    added = pairs.reshape(count + 1, count + 1).astype(np.int64)
    added += by_three.sum(axis=1).astype(np.int64)
    added += by_three.sum(axis=2).astype(np.int64)
    return added[1:, 1:].copy().reshape(1, count, count)


@compiled
def same_before(levels: Levels, rows: Offsets, before: Offsets) -> NDArray[np.uint16]:
    """Say of each voxel inside which of the neighbours that come before it have its level: a bit for each of them."""
    found = np.zeros(levels.size, dtype=np.uint16)
    for row in range(len(rows)):
        first, after = rows[row]
        own, same = levels[first:after], found[first:after]
        for k in range(before.size):
            other = levels[first - before[k] : after - before[k]]
            bit = np.uint16(1 << k)
            for x in range(own.size):
                same[x] |= bit * np.uint16(own[x] == other[x])
        for x in range(own.size):
            same[x] *= np.uint16(own[x] > 0)
    return found


@compiled
def run_lengths(
    levels: Levels,
    same: NDArray[np.uint16],
    rows: Offsets,
    offsets: Offsets,
    lowest: NDArray[np.int8],
    count: int,
    longest: int,
    matrices: int,
) -> Counts:
    """Count runs of one grey level (matrix, grey level, length), levels and lengths from index 0.

    There is a matrix for each direction, or one for all.

    Parameters
    ----------
    same
        What ``same_before`` finds.
    lowest
        The number of the lowest bit of each combination.
    """
    # Each voxel is counted with the length that its run has reached, for as many runs reach a length as voxels are counted
    # with it. Those that have reached only 1, which are most, are what is left.
    reached = np.zeros((matrices, count, longest + 2), dtype=np.int64)
    voxels = np.zeros(count, dtype=np.int64)
    # Of as many voxels as a direction goes back, and more: the length in each direction.
    size = 1
    while size <= offsets.max():
        size *= 2
    lengths = np.zeros((size, 16), dtype=np.uint16)
    for row in range(len(rows)):
        first, after = rows[row]
        for voxel in range(first, after):
            if levels[voxel] == 0:
                continue
            level = levels[voxel] - 1
            voxels[level] += 1
            mine, merged = lengths[voxel & (size - 1)], reached[0, level]
            for k in range(16):
                mine[k] = 1
            bits = same[voxel]
            while bits != 0:
                k = lowest[bits]
                bits &= bits - np.uint16(1)
                length = lengths[(voxel - offsets[k]) & (size - 1), k] + np.uint16(1)
                mine[k] = length
                if matrices > 1:
                    reached[k, level, length] += 1
                else:
                    merged[length] += 1
    for matrix in range(matrices):
        for level in range(count):
            reached[matrix, level, 1] = voxels[level] * (offsets.size // matrices) - reached[matrix, level].sum()
    return reached[:, :, 1:-1] - reached[:, :, 2:]


@compiled
def _longest(rows: Offsets) -> int:
    longest = 0
    for row in range(len(rows)):
        longest = max(longest, rows[row, 1] - rows[row, 0])
    return longest


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
    levels: Levels,
    same: NDArray[np.uint16],
    rows: Offsets,
    before: Offsets,
    nearest: NDArray[np.int8],
    others: NDArray[np.uint16],
    distances: NDArray[np.int32],
) -> NDArray[np.int64]:
    """Find connected voxels of one grey level (3, n): for each zone its level, its size, and its smallest distance.

    Parameters
    ----------
    same
        What ``same_before`` finds.
    before
        Distances in memory back to the neighbours that come before a voxel.
    nearest, others
        By which of those have the voxel's level, as bits: one of them, and a bit for one of each group of them that is
        not joined with it already.
    """
    label, joined_to = np.zeros(levels.size, dtype=np.int32), np.empty(levels.size, dtype=np.int32)
    label_levels, sizes = np.empty(levels.size, dtype=np.uint16), np.empty(levels.size, dtype=np.int32)
    smallest = np.empty(levels.size, dtype=np.int32)
    labels = 0
    for row in range(len(rows)):
        first, after = rows[row]
        own = levels[first:after]
        for x in range(own.size):
            if own[x] == 0:
                continue
            voxel = first + x
            bits = same[voxel]
            if bits == 0:
                label[voxel] = labels
                joined_to[labels] = labels
                label_levels[labels] = own[x]
                sizes[labels] = 1
                smallest[labels] = distances[voxel]
                labels += 1
                continue
            mine = label[voxel - before[nearest[bits]]]
            label[voxel] = mine
            sizes[mine] += 1
            smallest[mine] = min(smallest[mine], distances[voxel])
            rest = others[bits]
            k = 0
            while rest != 0:
                if rest & 1:
                    _join(joined_to, mine, label[voxel - before[k]])
                rest >>= 1
                k += 1
    # Each is joined to an earlier one, so that going backwards each is complete when it is handed on.
    whole = 0
    for later in range(labels - 1, -1, -1):
        root = joined_to[later]
        if root != later:
            sizes[root] += sizes[later]
            smallest[root] = min(smallest[root], smallest[later])
        else:
            whole += 1
    found = np.empty((3, whole), dtype=np.int64)
    zone = 0
    for n in range(labels):
        if joined_to[n] == n:
            found[0, zone] = label_levels[n]
            found[1, zone] = sizes[n]
            found[2, zone] = smallest[n]
            zone += 1
    return found


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
    levels: Levels, rows: Offsets, neighbours: Offsets, present: NDArray[np.uint16], count: int
) -> tuple[Counts, NDArray[np.float64], Counts]:
    """Compare each voxel with its neighbours, of which ``present`` are inside.

    Returns
    -------
    Number of voxels that have a neighbour, by grey level; sum of their absolute differences from their neighbours'
    mean, by grey level; number of voxels by grey level and number of neighbours of the same level.
    """
    occupied = np.zeros(count, dtype=np.int64)
    differences = np.zeros(count, dtype=np.float64)
    dependences = np.zeros((count, neighbours.size + 1), dtype=np.int64)
    longest = _longest(rows)
    # 16 bits hold the sum of 26 levels of at most 1024.
    totals, sames = np.empty(longest, dtype=np.uint16), np.empty(longest, dtype=np.uint16)
    for row in range(len(rows)):
        first, after = rows[row]
        own = levels[first:after]
        total, same = totals[: own.size], sames[: own.size]
        for x in range(own.size):
            total[x] = 0
            same[x] = 0
        for k in range(neighbours.size):
            other = levels[first + neighbours[k] : after + neighbours[k]]
            for x in range(own.size):
                total[x] += other[x]
                same[x] += other[x] == own[x]
        for x in range(own.size):
            if own[x] > 0:
                level = own[x] - 1
                dependences[level, same[x]] += 1
                if present[first + x] > 0:
                    occupied[level] += 1
                    differences[level] += abs(own[x] - total[x] / present[first + x])
    return occupied, differences, dependences


@compiled
def write_whole(
    values: NDArray[np.float64], middle: float, most: int, place: NDArray[np.intp], found: NDArray[np.int32]
) -> bool:
    """Write differences from a number to a place of a larger image, and tell whether all are whole and less than ``most``."""
    z, y, x = place
    for n in range(values.shape[0]):
        for m in range(values.shape[1]):
            row, into = values[n, m], found[z + n, y + m, x:]
            others = 0
            for k in range(row.size):
                difference = row[k] - middle
                inside = min(max(difference, -float(most)), float(most))
                whole = np.int32(inside)
                into[k] = whole
                others += (whole != difference) | (abs(whole) == most)
            if others > 0:
                return False
    return True


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
def weighted_products(
    one: NDArray[np.complex64], other: NDArray[np.complex64], third: NDArray[np.complex64], weight: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Sum over frequencies (x, z, y) the weighted products of spectra: of the first two with themselves, of the last two.

    The weight (x, z, y) is that of frequencies that are not negative, and the same of negative ones.
    """
    # Side by side along y, of which each place has its own sum: quick, and little is lost in rounding.
    depth, height = one.shape[1], one.shape[2]
    found = np.zeros((3, height))
    sums = np.zeros((3, height), dtype=np.float32)
    row = np.empty(height, dtype=np.float32)
    for x in range(one.shape[0]):
        sums[:] = 0.0
        for z in range(depth):
            single = weight[x, min(z, depth - z)]
            for y in range(height):
                row[y] = single[min(y, height - y)]
            for y in range(height):
                a, b, c = one[x, z, y], other[x, z, y], third[x, z, y]
                sums[0, y] += row[y] * (a.real * a.real + a.imag * a.imag)
                sums[1, y] += row[y] * (b.real * b.real + b.imag * b.imag)
                sums[2, y] += row[y] * (b.real * c.real + b.imag * c.imag)
        for k in range(3):
            for y in range(height):
                found[k, y] += sums[k, y]
    total: NDArray[np.float64] = found.sum(axis=1)
    return total


@compiled
def line_ends(mask: NDArray[np.bool_], axis: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the first and the last voxel inside on each line along the first or second axis; on a line of none, -1 both.

    By the other axes, which of the first or second remains and the third.
    """
    along, across = mask.shape[axis], mask.shape[1 - axis]
    first, last = np.full((across, mask.shape[2]), -1), np.full((across, mask.shape[2]), -1)
    for n in range(along):
        for m in range(across):
            row = mask[n, m] if axis == 0 else mask[m, n]
            begin, end = first[m], last[m]
            for x in range(row.size):
                begin[x] = n if row[x] and begin[x] < 0 else begin[x]
                end[x] = n if row[x] else end[x]
    return first, last
