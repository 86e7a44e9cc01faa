"""Convolution with kernels that are a product of one-dimensional ones, and all right-angled rotations of such kernels."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.imaging.regions import Box
from preop.radiomics.filters.base import PAD_MODE, Boundary, Pooling, Rows, Voxels

Kernel = tuple[float, ...]
Stages = tuple[Kernel, ...]
"""Kernels along one axis, applied one after the other."""
Orientation = tuple[Stages, ...]
"""Stages along z, y and x, or along y and x."""


@dataclass(frozen=True)
class Needed:
    """Where a response is needed: not beside a region, where most of its box lies.

    Attributes
    ----------
    rows
        First and last but one voxel of the response that is needed, of each row (z, y, 2) of the box.
    box
        Which part of the image they lie in.
    reach
        Voxels on both sides that the kernels of one axis reach together.
    """

    rows: Rows
    box: Box
    reach: int

    def spans(self, axis: int, shape: tuple[int, ...], boundary: Boundary) -> NDArray[np.int64]:
        """Where the response along an axis is needed, as ``convolution`` wants it, of an image of this shape."""
        if axis == 2:
            return self.rows
        # Later axes need what lies around, and on a periodic image also what lies at its other end.
        reach = max(shape) if boundary == "periodic" else self.reach
        used = self.rows[..., 0] < self.rows[..., 1]
        some = used.any(axis=1)
        first = np.where(used, self.rows[..., 0], shape[2]).min(axis=1) + (self.box[2].start or 0)
        after = np.where(used, self.rows[..., 1], 0).max(axis=1) + (self.box[2].start or 0)
        first, after = np.maximum(first - reach, 0), np.where(some, np.minimum(after + reach, shape[2]), 0)
        low, high = used.argmax(axis=1), np.where(some, used.shape[1] - used[:, ::-1].argmax(axis=1), 0)
        if axis == 1:
            return np.stack((low, high, first, after), axis=1)
        y = np.arange(shape[1])[:, None] - (self.box[1].start or 0)
        here = some & (low - reach <= y) & (y < high + reach)
        first, after = np.where(here, first, shape[2]).min(axis=1), np.where(here, after, 0).max(axis=1)
        return np.stack((first, after), axis=1)


def convolve(
    voxels: Voxels,
    kernel: Sequence[float] | NDArray[np.float64],
    axis: int,
    boundary: Boundary,
    kept: slice = slice(None),
    needed: Needed | None = None,
) -> Voxels:
    """Convolve along one axis with a kernel of odd length.

    Of the response only the places ``kept`` are computed, and of those only what is needed; the rest may be anything.
    """
    # The compiler behind the loop takes a third of a second to import.
    from preop.radiomics.filters import convolution

    turned = np.asarray(kernel, dtype=np.float64)[::-1].copy()
    sense = next((sign for sign in (1, -1) if np.abs(turned - sign * turned[::-1]).max() <= np.finfo(float).eps), 0)
    start, stop, _ = kept.indices(voxels.shape[axis])
    beyond: dict[str, Any] = {"constant_values": -1} if boundary == "zero" else {}
    source = np.pad(np.arange(voxels.shape[axis]), len(turned) // 2, mode=PAD_MODE[boundary], **beyond)
    source = source[start : stop + len(turned) - 1]
    # Memory from numpy's own allocation is quicker than from the compiled loop.
    found = np.empty((*voxels.shape[:axis], stop - start, *voxels.shape[axis + 1 :]))
    along = (convolution.along_z, convolution.along_y, convolution.along_x)[axis]
    spans = _everywhere(axis, found.shape) if needed is None else needed.spans(axis, voxels.shape, boundary)
    along(np.ascontiguousarray(voxels), turned, sense, source, spans, found)
    return found


def _everywhere(axis: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Spans of a whole response."""
    depth, height, width = shape
    along = ((height, (0, width)), (depth, (0, height, 0, width)), ((depth, height), (0, width)))[axis]
    return np.full((*np.atleast_1d(along[0]), len(along[1])), along[1], dtype=np.int64)


def rotations(orientation: Orientation) -> list[Orientation]:
    """All distinct rotations by right angles: of 4 in a plane, of 24 in space.

    A rotation permutes the axes and turns some of them round, without mirroring. A kernel that is its own image under
    a rotation appears once; averages stay the same, for then every image appears equally often.
    """
    n = len(orientation)
    turned = (
        tuple(
            tuple(kernel[::-1] if flip else kernel for kernel in orientation[axis])
            for axis, flip in zip(order, flips, strict=True)
        )
        for order in itertools.permutations(range(n))
        for flips in itertools.product((False, True), repeat=n)
        if _is_rotation(order, flips)
    )
    return list(dict.fromkeys(turned))


def pooled_response(
    voxels: Voxels,
    orientations: Sequence[Orientation],
    axes: tuple[int, ...],
    boundary: Boundary,
    pooling: Pooling,
    box: Box,
    rows: Rows | None = None,
) -> Voxels:
    """Average or maximum over orientations of the response of a separable kernel, within a box.

    Where ``rows`` says what is needed of each row of the box, the rest may hold anything.
    """
    pooled: Voxels | None = None
    for _, response in responses(voxels, orientations, axes, boundary, box, rows):
        # What is not needed may be anything, also what is not a number.
        with np.errstate(invalid="ignore", over="ignore"):
            if pooled is None:
                pooled = response
            elif pooling == "max":
                np.maximum(pooled, response, out=pooled)
            else:
                pooled += response
    if pooled is None:
        raise ValueError("a filter needs at least one orientation")
    return pooled / len(orientations) if pooling == "average" else pooled


def responses(
    voxels: Voxels,
    orientations: Sequence[Orientation],
    axes: tuple[int, ...],
    boundary: Boundary,
    box: Box,
    rows: Rows | None = None,
) -> Iterator[tuple[int, Voxels]]:
    """Response of each orientation, with its number; what several have along the first axes is computed once."""
    voxels = voxels.astype(np.float64, copy=False)
    voxels = voxels[tuple(slice(None) if axis in axes else part for axis, part in enumerate(box))]
    needed = None
    if rows is not None:
        reach = max(sum(len(kernel) // 2 for kernel in stages) for each in orientations for stages in each)
        needed = Needed(rows, box, reach)
    return _responses(voxels, list(enumerate(orientations)), axes, boundary, box, needed)


def _responses(
    voxels: Voxels,
    orientations: Sequence[tuple[int, Orientation]],
    axes: tuple[int, ...],
    boundary: Boundary,
    box: Box,
    needed: Needed | None,
) -> Iterator[tuple[int, Voxels]]:
    by_first: dict[Stages, list[tuple[int, Orientation]]] = defaultdict(list)
    for number, (stages, *others) in orientations:
        by_first[stages].append((number, tuple(others)))
    for stages, rest in by_first.items():
        response = voxels
        for kernel in stages[:-1]:
            response = convolve(response, kernel, axes[0], boundary)
        response = convolve(response, stages[-1], axes[0], boundary, box[axes[0]], needed)
        if len(axes) == 1:
            yield from ((number, response) for number, _ in rest)
        else:
            yield from _responses(response, rest, axes[1:], boundary, box, needed)


def _is_rotation(order: tuple[int, ...], flips: tuple[bool, ...]) -> bool:
    """Whether a permutation with reversals keeps left and right, which is a determinant of 1."""
    swaps = sum(a > b for a, b in itertools.combinations(order, 2))
    return (swaps + sum(flips)) % 2 == 0
