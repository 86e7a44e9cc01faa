"""Parts of images: boxes and connected components."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging.images import Geometry, Image

Box = tuple[slice, ...]


def bounding_box(mask: NDArray[Any], *, margin_voxels: tuple[int, ...] | None = None) -> Box:
    """Slices of the smallest box around the voxels of ``mask`` that are not 0, widened and cut at the image's edge.

    Raises
    ------
    InvalidInputError
        If the mask is empty.
    """
    if not mask.any():
        raise InvalidInputError("The mask is empty; expected at least one voxel.")
    box = []
    for axis in range(mask.ndim):
        margin = margin_voxels[axis] if margin_voxels else 0
        inside = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        box.append(slice(max(int(inside[0]) - margin, 0), min(int(inside[-1]) + 1 + margin, mask.shape[axis])))
    return tuple(box)


def crop(image: Image, box: Box) -> Image:
    """Cut a box of voxels out of an image; the rest keeps its place in the world."""
    return Image(image.voxels[box], crop_geometry(image.geometry, box))


def crop_geometry(geometry: Geometry, box: Box) -> Geometry:
    """Cut a box of voxels out of a grid; the rest keeps its place in the world."""
    start = np.array([part.start for part in box])
    return Geometry(
        shape=tuple(part.stop - part.start for part in box),
        spacing_mm=geometry.spacing_mm,
        origin_mm=tuple(geometry.world_mm(start[None])[0].tolist()),
        direction=geometry.direction,
    )


def components(mask: Image) -> tuple[Image, int]:
    """Label the connected parts of a mask (faces, edges and corners connect) from 1, the largest first.

    Returns
    -------
    The label map (int32) and the number of parts.
    """
    from scipy import ndimage

    labels, count = ndimage.label(mask.voxels != 0, structure=np.ones((3,) * mask.voxels.ndim))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    rank = np.zeros(count + 1, dtype=np.int32)
    rank[1 + np.argsort(-sizes, kind="stable")] = np.arange(1, count + 1)
    return mask.with_voxels(rank[labels]), count
