"""Parts of images: boxes, connected components, and touching structures taken apart."""

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
    return mask.with_voxels(_largest_first(labels, count)), count


def split_touching(mask: Image, *, waist_mm: float) -> tuple[Image, int]:
    """Label the structures of a mask from 1, the largest first; connected ones are split where they have a waist.

    A waist is where the distance to the outside falls by ``waist_mm`` or more between two places that lie deeper: a
    watershed of the distance from the outside (Beucher 1979) that ignores shallower dips, which any drawn outline has.

    Returns
    -------
    The label map (int32) and the number of structures.
    """
    import SimpleITK as sitk

    parts, count = components(mask)
    labels = np.zeros(mask.shape, dtype=np.int32)
    found = 0
    for number, box in enumerate(_boxes(parts.voxels, count), start=1):
        part = parts.voxels[box] == number
        if part.size == 1:  # one voxel has no waist, and noise has very many of them
            found += 1
            labels[box] = found
            continue
        # One voxel of outside all around, so that a structure at the edge of the scan is as deep as any other.
        padded = sitk.GetImageFromArray(np.pad(part, 1).astype(np.uint8))
        padded.SetSpacing(tuple(map(float, reversed(mask.spacing_mm))))
        outside_mm = sitk.SignedMaurerDistanceMap(padded, squaredDistance=False, useImageSpacing=True)
        basins = sitk.MorphologicalWatershed(outside_mm, level=waist_mm, markWatershedLine=False)
        pieces = sitk.GetArrayFromImage(basins)[(slice(1, -1),) * part.ndim]
        _, renumbered = np.unique(pieces[part], return_inverse=True)
        labels[box][part] = found + 1 + renumbered
        found += int(renumbered.max()) + 1
    return mask.with_voxels(_largest_first(labels, found)), found


def _boxes(labels: NDArray[Any], count: int) -> list[Box]:
    from scipy import ndimage

    return list(ndimage.find_objects(labels, max_label=count))


def _largest_first(labels: NDArray[Any], count: int) -> NDArray[np.int32]:
    """Renumber the labels 1 to ``count`` by falling size."""
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    rank = np.zeros(count + 1, dtype=np.int32)
    rank[1 + np.argsort(-sizes, kind="stable")] = np.arange(1, count + 1)
    return np.asarray(rank[labels])
