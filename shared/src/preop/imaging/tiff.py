"""Flat images as the pyramidal TIFF that the platform accepts (panimg 0.18, ``image_builders/tiff.py``)."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np

from preop.atomic import replacing
from preop.errors import InvalidInputError, InvalidOutputError
from preop.imaging.images import Geometry, Image

TIFF_SUFFIXES = (".tif", ".tiff")
TILE_PIXELS = 256
MOST_PIXELS = 2**28
"""A level with more is not read: it would take more memory than a case has."""
_MM_PER_UNIT = {2: 25.4, 3: 10.0}  # TIFF 6.0, ResolutionUnit: inch, centimetre
_ROUNDED_SIZE = 1.01  # resolutions are stored as fractions, and not always exactly


def write_tiff(image: Image, path: Path) -> None:
    """Write a flat single-channel image as a tiled BigTIFF, each level half as large, until one tile holds it.

    Label maps (integers) keep their labels in every level and state their smallest and largest value,
    which the platform needs to know the segments; scans are averaged down. The file appears only when complete.

    Raises
    ------
    InvalidInputError
        If the image is not flat.
    InvalidOutputError
        If the folder cannot be written, or the disk is full.
    """
    import tifffile

    if image.voxels.ndim != 2:
        raise InvalidInputError(f"A TIFF holds a flat image; found {image.voxels.ndim} dimensions. Use .mha for scans.")
    voxels: Any = image.voxels.astype(np.uint8) if image.voxels.dtype == bool else image.voxels
    labels = voxels.dtype.kind in "iu"
    levels = [voxels]
    while max(levels[-1].shape) > TILE_PIXELS:
        levels.append(levels[-1][::2, ::2] if labels else _halved(levels[-1]))
    height_mm, width_mm = image.spacing_mm
    extra = _range_tags(voxels) if labels else []
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path, suffix=".tif") as partial, tifffile.TiffWriter(partial, bigtiff=True) as tiff:
            for number, level in enumerate(levels):
                scale = 2**number
                tiff.write(
                    level,
                    photometric="minisblack",
                    tile=(TILE_PIXELS, TILE_PIXELS),
                    compression="zlib",
                    resolution=(10 / (width_mm * scale), 10 / (height_mm * scale)),
                    resolutionunit="CENTIMETER",
                    subfiletype=int(number > 0),
                    extratags=extra,
                    metadata=None,
                    software=False,
                    datetime=False,
                )
    except OSError as error:
        raise InvalidOutputError(
            f"{path.name} could not be written to {path.parent}: is the disk full or the folder read-only?"
        ) from error


def read_tiff(path: Path, *, pixel_mm: float = 0.0) -> Image:
    """Read a flat single-channel TIFF whose resolution is stated in inches or centimetres.

    Parameters
    ----------
    pixel_mm
        Of a pyramid, read the coarsest level whose pixels are no larger; the finest level if not given.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, has several channels, does not state its resolution, or is too large.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            spacing_mm = _stated_spacing_mm(tiff.pages.first, path)
            levels = tiff.series[0].levels
            finest = levels[0].shape
            if len(finest) != 2:
                raise InvalidInputError(
                    f"{path.name} has {len(finest)} dimensions; expected a flat image of one channel (slides are read in tiles)."
                )
            fine_enough = [
                level for level in levels if max(_coarser(spacing_mm, finest, level.shape)) <= pixel_mm * _ROUNDED_SIZE
            ]
            chosen = fine_enough[-1] if fine_enough else levels[0]
            if chosen.size > MOST_PIXELS:
                raise InvalidInputError(
                    f"{path.name} has a level of {chosen.shape[1]} x {chosen.shape[0]} pixels and no coarser one that would do; "
                    "expected a pyramid: store it with coarser levels."
                )
            voxels = chosen.asarray()
    except (OSError, ValueError, IndexError, RuntimeError, zlib.error, tifffile.TiffFileError) as error:
        raise InvalidInputError(f"{path.name} cannot be read as a TIFF: it is damaged or cut off.") from error
    return Image(voxels, Geometry.axis_aligned(voxels.shape, _coarser(spacing_mm, finest, voxels.shape)))


def _stated_spacing_mm(page: Any, path: Path) -> tuple[float, float]:
    """Distance of pixels along y and x."""
    unit, *resolution = (page.tags.get(name) for name in ("ResolutionUnit", "YResolution", "XResolution"))
    mm = _MM_PER_UNIT.get(int(unit.value)) if unit is not None else None
    if mm is None or not all(tag is not None and tag.value[0] and tag.value[1] for tag in resolution):
        raise InvalidInputError(f"{path.name} does not state its resolution in inches or centimetres.")
    y_mm, x_mm = (mm * tag.value[1] / tag.value[0] for tag in resolution)
    return y_mm, x_mm


def _coarser(spacing_mm: tuple[float, float], finest: tuple[int, ...], shape: tuple[int, ...]) -> tuple[float, float]:
    """Distance of the pixels of a coarser level: both sides were divided by the same whole number, and rounded."""
    y_mm, x_mm = spacing_mm
    factor = max(1, round(max(finest) / max(shape)))
    return y_mm * factor, x_mm * factor


def _range_tags(labels: Any) -> list[tuple[int, str, int, int, bool]]:
    """State the smallest and largest label, from which the platform takes the segments.

    Both pairs of tags are needed: its importer takes the first pair's 0 for missing and then asks the second.
    """
    smallest, largest = int(labels.min()), int(labels.max())
    min_sample_value, max_sample_value, s_min_sample_value, s_max_sample_value = 280, 281, 340, 341
    return [
        (tag, "H", 1, value, True)
        for tag, value in (
            (min_sample_value, smallest),
            (max_sample_value, largest),
            (s_min_sample_value, smallest),
            (s_max_sample_value, largest),
        )
    ]


def _halved(level: Any) -> Any:
    """Average blocks of 2 x 2 pixels; an odd last row or column is repeated."""
    even = np.pad(level, [(0, size % 2) for size in level.shape], mode="edge").astype(np.float64)
    mean = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
    return mean.astype(level.dtype)
