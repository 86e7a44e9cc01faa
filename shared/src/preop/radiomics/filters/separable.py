"""Convolution with kernels that are a product of one-dimensional ones, and all right-angled rotations of such kernels."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.imaging.regions import Box
from preop.radiomics.filters.base import PAD_MODE, Boundary, Pooling, Voxels

Kernel = tuple[float, ...]
Stages = tuple[Kernel, ...]
"""Kernels along one axis, applied one after the other."""
Orientation = tuple[Stages, ...]
"""Stages along z, y and x, or along y and x."""


def convolve(
    voxels: Voxels,
    kernel: Sequence[float] | NDArray[np.float64],
    axis: int,
    boundary: Boundary,
    kept: slice = slice(None),
) -> Voxels:
    """Convolve along one axis with a kernel of odd length; of the response only the places ``kept`` are computed."""
    # The compiler behind the loop takes a third of a second to import.
    from preop.radiomics import kernels

    turned = np.asarray(kernel, dtype=np.float64)[::-1].copy()
    sense = next((sign for sign in (1, -1) if np.abs(turned - sign * turned[::-1]).max() <= np.finfo(float).eps), 0)
    start, stop, _ = kept.indices(voxels.shape[axis])
    beyond: dict[str, Any] = {"constant_values": -1} if boundary == "zero" else {}
    source = np.pad(np.arange(voxels.shape[axis]), len(turned) // 2, mode=PAD_MODE[boundary], **beyond)
    found = np.empty((*voxels.shape[:axis], stop - start, *voxels.shape[axis + 1 :]))
    kernels.convolution(
        _seen_along(voxels, axis), turned, sense, source[start : stop + len(turned) - 1], _seen_along(found, axis)
    )
    return found


def _seen_along(voxels: Voxels, axis: int) -> Voxels:
    """See an image with one axis in the middle of three, without copying it."""
    if axis == voxels.ndim - 1:
        return voxels.swapaxes(-1, -2)
    return np.ascontiguousarray(voxels).reshape(-1, voxels.shape[axis], math.prod(voxels.shape[axis + 1 :]))


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
) -> Voxels:
    """Average or maximum over orientations of the response of a separable kernel, within a box."""
    voxels = voxels.astype(np.float64, copy=False)
    voxels = voxels[tuple(slice(None) if axis in axes else part for axis, part in enumerate(box))]
    pooled: Voxels | None = None
    for response in _responses(voxels, orientations, axes, boundary, box):
        if pooled is None:
            pooled = response
        elif pooling == "max":
            np.maximum(pooled, response, out=pooled)
        else:
            pooled += response
    if pooled is None:
        raise ValueError("a filter needs at least one orientation")
    return pooled / len(orientations) if pooling == "average" else pooled


def _responses(
    voxels: Voxels, orientations: Sequence[Orientation], axes: tuple[int, ...], boundary: Boundary, box: Box
) -> Iterator[Voxels]:
    """Response of each orientation; what several have along the first axes is computed once."""
    by_first: dict[Stages, list[Orientation]] = defaultdict(list)
    for stages, *others in orientations:
        by_first[stages].append(tuple(others))
    for stages, rest in by_first.items():
        response = voxels
        for kernel in stages[:-1]:
            response = convolve(response, kernel, axes[0], boundary)
        response = convolve(response, stages[-1], axes[0], boundary, box[axes[0]])
        if len(axes) == 1:
            yield response
        else:
            yield from _responses(response, rest, axes[1:], boundary, box)


def _is_rotation(order: tuple[int, ...], flips: tuple[bool, ...]) -> bool:
    """Whether a permutation with reversals keeps left and right, which is a determinant of 1."""
    swaps = sum(a > b for a, b in itertools.combinations(order, 2))
    return (swaps + sum(flips)) % 2 == 0
