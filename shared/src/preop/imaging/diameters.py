"""Diameters of a structure in the axial plane, as radiologists measure them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preop.imaging.images import Geometry, Image
from preop.imaging.regions import bounding_box, crop

SAME_LENGTH = 0.03
"""Diameters that differ by less than this share are the same to a reader."""


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
    small = crop(mask, bounding_box(mask.voxels))
    axis = axial_axis(small.geometry)
    slices = np.moveaxis(small.voxels != 0, axis, 0)
    spacing_mm = np.delete(np.asarray(small.spacing_mm), axis)
    outline_mm = _edges_mm(slices[slices.sum((1, 2)).argmax()], spacing_mm)
    offsets = outline_mm[:, None] - outline_mm[None]
    lengths = np.linalg.norm(offsets, axis=-1)
    # Voxels make several diameters nearly the longest; a reader takes the one along the structure.
    longest = np.unique(offsets[lengths >= (1 - SAME_LENGTH) * lengths.max()], axis=0)
    along = longest / np.linalg.norm(longest, axis=1, keepdims=True)
    across = outline_mm @ np.stack([-along[:, 1], along[:, 0]])
    return AxialDiameters(float(lengths.max()), float(np.ptp(across, axis=0).min()))


def _edges_mm(section: NDArray[np.bool_], spacing_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Midpoints of the four edges of every pixel that has a neighbour outside: (n, 2)."""
    from scipy import ndimage

    border = np.argwhere(section & ~ndimage.binary_erosion(section))
    steps = np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    return np.asarray((border[:, None] + steps).reshape(-1, 2) * spacing_mm)
