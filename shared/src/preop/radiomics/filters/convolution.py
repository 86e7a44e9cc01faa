"""Convolution along one axis of an image, compiled, where the response is needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preop.radiomics.compilation import compiled

BLOCK = 128
"""Voxels of a row that are convolved at a time: with those beside them they fit a processor's caches."""
LANES = 16
"""Numbers that are computed side by side; a block is a whole number of them."""

Voxels = NDArray[np.float64]
Numbers = NDArray[np.int64]


@compiled
def along_z(voxels: Voxels, kernel: Voxels, sense: int, source: Numbers, spans: Numbers, found: Voxels) -> None:
    """Convolve along the first of three axes.

    Parameters
    ----------
    voxels
        The image (z, y, x).
    kernel
        Of odd length, in the order in which it is laid over the image.
    sense
        1 where the kernel is symmetric, -1 where it is so but for the sign, 0 otherwise.
    source
        Which place along the axis each place that the kernel is laid over is taken from: those of the response, and
        half a kernel on both sides; -1 where it is 0.
    spans
        Where along x the response is needed, by y: first and last but one.
    found
        Where the response goes; what is not needed stays as it is.
    """
    lines, length = source.size, found.shape[0]
    extended, line = np.zeros(lines * BLOCK), np.empty(BLOCK)
    for y in range(voxels.shape[1]):
        for first in range(spans[y, 0], spans[y, 1], BLOCK):
            n = min(BLOCK, spans[y, 1] - first)
            for place in range(lines):
                if source[place] >= 0:
                    row = voxels[source[place], y]
                    for x in range(n):
                        extended[place * BLOCK + x] = row[first + x]
            for place in range(length):
                _lay_over(extended[place * BLOCK :], BLOCK, kernel, sense, line[: _whole_lanes(n)])
                response = found[place, y]
                for x in range(n):
                    response[first + x] = line[x]


@compiled
def along_y(voxels: Voxels, kernel: Voxels, sense: int, source: Numbers, spans: Numbers, found: Voxels) -> None:
    """Convolve along the second axis; ``spans`` (z, 4): where the response is needed along y, and along x."""
    half = kernel.size // 2
    extended, line = np.zeros(source.size * BLOCK), np.empty(BLOCK)
    for z in range(voxels.shape[0]):
        for first in range(spans[z, 2], spans[z, 3], BLOCK):
            n = min(BLOCK, spans[z, 3] - first)
            for place in range(spans[z, 0], spans[z, 1] + 2 * half):
                if source[place] >= 0:
                    row = voxels[z, source[place]]
                    for x in range(n):
                        extended[place * BLOCK + x] = row[first + x]
            for place in range(spans[z, 0], spans[z, 1]):
                _lay_over(extended[place * BLOCK :], BLOCK, kernel, sense, line[: _whole_lanes(n)])
                response = found[z, place]
                for x in range(n):
                    response[first + x] = line[x]


@compiled
def along_x(voxels: Voxels, kernel: Voxels, sense: int, source: Numbers, spans: Numbers, found: Voxels) -> None:
    """Convolve along the third axis; ``spans`` (z, y, 2): where the response is needed along x."""
    extended, half = np.zeros(source.size + LANES), kernel.size // 2
    line = np.empty(source.size + LANES)
    for z in range(voxels.shape[0]):
        for y in range(voxels.shape[1]):
            first, after = spans[z, y]
            if first < after:
                row = voxels[z, y]
                for place in range(first, after + 2 * half):
                    extended[place] = row[source[place]] if source[place] >= 0 else 0.0
                _lay_over(extended[first:], 1, kernel, sense, line[: _whole_lanes(after - first)])
                response = found[z, y]
                for x in range(first, after):
                    response[x] = line[x - first]


@compiled
def _whole_lanes(n: int) -> int:
    """Round up to what is computed side by side, for a few numbers too many take less time than a few one by one."""
    return (n + LANES - 1) // LANES * LANES


@compiled
def _lay_over(extended: Voxels, step: int, kernel: Voxels, sense: int, line: Voxels) -> None:  # noqa: PLR0912
    """Sum the kernel's products with lines of the image, which begin ``step`` numbers after each other."""
    n, half = line.size, kernel.size // 2
    if sense == 0:
        last = extended[2 * half * step :]
        for x in range(n):
            line[x] = kernel[2 * half] * last[x]
        for k in range(2 * half):
            part = extended[k * step :]
            if kernel[k] != 0:
                for x in range(n):
                    line[x] += kernel[k] * part[x]
        return
    middle = extended[half * step :]
    for x in range(n):
        line[x] = kernel[half] * middle[x]
    # Two pairs at a time, for what is read and written costs more than what is computed.
    for k in range(0, half - 1, 2):
        a, b = extended[k * step :], extended[(2 * half - k) * step :]
        c, d = extended[(k + 1) * step :], extended[(2 * half - k - 1) * step :]
        if sense > 0:
            for x in range(n):
                line[x] = (line[x] + kernel[k] * (a[x] + b[x])) + kernel[k + 1] * (c[x] + d[x])
        else:
            for x in range(n):
                line[x] = (line[x] + kernel[k] * (a[x] - b[x])) + kernel[k + 1] * (c[x] - d[x])
    if half % 2:
        a, b = extended[(half - 1) * step :], extended[(half + 1) * step :]
        for x in range(n):
            line[x] += kernel[half - 1] * (a[x] + sense * b[x])
