"""Diameters of a structure in the axial plane, as radiologists measure them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preop.imaging.images import Geometry, Image
from preop.imaging.regions import bounding_box, crop

SAME_LENGTH = 0.03
"""Diameters that differ by less than this share are the same to a reader."""
MOST_PAIRS = 1_000_000
"""Of points that are compared at a time: the outline of noise has tens of thousands of them."""


class AxialDiameters(NamedTuple):
    """Of the axial slice where a structure is largest.

    Attributes
    ----------
    long_axis_mm
        The longest diameter.
    short_axis_mm
        The longest diameter perpendicular to it: the size criterion of lymph nodes (RECIST 1.1, section 3.1.1).
    """

    long_axis_mm: float
    short_axis_mm: float


def axial_axis(geometry: Geometry) -> int:
    """Tell which axis of an array (z, y, x) runs most nearly from foot to head, whatever order a scan is stored in."""
    towards_head = np.reshape(geometry.direction, (3, 3))[2]
    return 2 - int(np.abs(towards_head).argmax())


def axial_diameters(mask: Image) -> AxialDiameters:
    """Measure a structure edge to edge in the axial slice where its area is largest.

    Parameters
    ----------
    mask
        One structure, in 3D.

    Raises
    ------
    InvalidInputError
        If the mask is empty.
    """
    from scipy.spatial import ConvexHull

    small = crop(mask, bounding_box(mask.voxels))
    axis = axial_axis(small.geometry)
    slices = np.moveaxis(small.voxels != 0, axis, 0)
    spacing_mm = np.delete(np.asarray(small.spacing_mm), axis)
    outline_mm = _edges_mm(slices[slices.sum((1, 2)).argmax()], spacing_mm)
    hull_mm = outline_mm[ConvexHull(outline_mm).vertices]
    farthest_mm = _apart_mm(outline_mm, hull_mm).max(axis=1)
    least_mm = (1 - SAME_LENGTH) * farthest_mm.max()
    # Voxels make several diameters nearly the longest; a reader takes the one along the structure.
    along = _directions(outline_mm[farthest_mm >= least_mm], least_mm)
    across = hull_mm @ np.stack([-along[:, 1], along[:, 0]])
    return AxialDiameters(float(farthest_mm.max()), float(np.ptp(across, axis=0).min()))


def _apart_mm(points_mm: NDArray[np.float64], others_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances (n, m) of points (n, 2) from others (m, 2)."""
    return np.asarray(np.linalg.norm(points_mm[:, None] - others_mm[None], axis=-1))


def _directions(points_mm: NDArray[np.float64], least_mm: float) -> NDArray[np.float64]:
    """Directions (k, 2), each once, of the lines between points (n, 2) that are at least so long."""
    found = np.empty((0, 2))
    rows = max(1, MOST_PAIRS // len(points_mm))
    for first in range(0, len(points_mm), rows):
        offsets = points_mm[first : first + rows, None] - points_mm[None]
        long = offsets[np.linalg.norm(offsets, axis=-1) >= least_mm]
        found = np.unique(np.concatenate([found, long]), axis=0)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def _edges_mm(section: NDArray[np.bool_], spacing_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Midpoints of the four edges of every pixel that has a neighbour outside: (n, 2)."""
    from scipy import ndimage

    border = np.argwhere(section & ~ndimage.binary_erosion(section))
    steps = np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    return np.asarray((border[:, None] + steps).reshape(-1, 2) * spacing_mm)
