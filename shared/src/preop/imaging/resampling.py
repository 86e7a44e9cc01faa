"""Bringing images to another grid."""

from __future__ import annotations

from typing import Literal

import numpy as np

from preop.imaging.files import from_sitk, to_sitk
from preop.imaging.images import Geometry, Image

Interpolation = Literal["nearest", "linear", "cubic"]


def resample(image: Image, spacing_mm: tuple[float, ...], *, interpolation: Interpolation) -> Image:
    """Resample to voxels of ``spacing_mm`` (z, y, x) on a grid with the same centre as the image's."""
    return resample_like(image, aligned_grid(image.geometry, spacing_mm), interpolation=interpolation)


def aligned_grid(old: Geometry, spacing_mm: tuple[float, ...]) -> Geometry:
    """Lay voxels of ``spacing_mm`` (z, y, x) over a grid, so that the centres of both grids coincide.

    As many voxels as cover the old grid, rounded up (IBSI reference manual, section "Interpolation",
    "align by centre").
    """
    extent = np.asarray(old.shape) * np.asarray(old.spacing_mm)
    # A whole number of voxels must not become one more by rounding.
    shape = np.ceil(extent / np.asarray(spacing_mm) - 1e-6).astype(int)
    centre_old = (np.asarray(old.shape) - 1) / 2
    first = centre_old - (shape - 1) / 2 * np.asarray(spacing_mm) / np.asarray(old.spacing_mm)
    return Geometry(
        shape=tuple(shape.tolist()),
        spacing_mm=spacing_mm,
        origin_mm=tuple(old.world_mm(first[None])[0].tolist()),
        direction=old.direction,
    )


def resample_like(image: Image, grid: Geometry, *, interpolation: Interpolation, outside: float | None = None) -> Image:
    """Resample to the voxels of ``grid``.

    Scans come back as float32 (or float64 if they were), label maps and masks as they were.

    Parameters
    ----------
    outside
        The value beyond the image; without it the value at the nearest edge is used.
    """
    import SimpleITK as sitk

    interpolator = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear, "cubic": sitk.sitkBSpline3}
    moving = to_sitk(image)
    if interpolation != "nearest" and image.voxels.dtype not in (np.float32, np.float64):
        moving = sitk.Cast(moving, sitk.sitkFloat32)
    resampler = sitk.ResampleImageFilter()
    resampler.SetInterpolator(interpolator[interpolation])
    resampler.SetSize(tuple(reversed(grid.shape)))
    resampler.SetOutputSpacing(tuple(map(float, reversed(grid.spacing_mm))))
    resampler.SetOutputOrigin(grid.origin_mm)
    resampler.SetOutputDirection(grid.direction)
    if outside is None:
        resampler.SetUseNearestNeighborExtrapolator(True)
    else:
        resampler.SetDefaultPixelValue(outside)
    voxels = from_sitk(resampler.Execute(moving)).voxels
    return Image(voxels.astype(bool) if image.voxels.dtype == bool else voxels, grid)
