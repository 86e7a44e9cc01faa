"""Flat images as the pyramidal TIFF that the platform accepts (panimg 0.18, ``image_builders/tiff.py``)."""

from __future__ import annotations

import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from preop.errors import InvalidInputError, InvalidOutputError
from preop.imaging.images import Geometry, Image

TIFF_SUFFIXES = (".tif", ".tiff")
TILE_PIXELS = 256
_MM_PER_UNIT = {2: 25.4, 3: 10.0}  # TIFF 6.0, ResolutionUnit: inch, centimetre


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
    handle, partial_name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tif")
    os.close(handle)
    partial = Path(partial_name)
    try:
        with tifffile.TiffWriter(partial, bigtiff=True) as tiff:
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
        partial.chmod(0o644)
        partial.replace(path)
    except OSError as error:
        raise InvalidOutputError(
            f"{path.name} could not be written to {path.parent}: is the disk full or the folder read-only?"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def read_tiff(path: Path) -> Image:
    """Read the full resolution of a flat single-channel TIFF whose resolution is stated in inches or centimetres.

    Raises
    ------
    InvalidInputError
        If the file cannot be read, has several channels, or does not state its resolution.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            voxels = page.asarray()
            unit = page.tags.get("ResolutionUnit")
            resolution = [page.tags.get(name) for name in ("YResolution", "XResolution")]
    except (OSError, ValueError, IndexError, RuntimeError, zlib.error, tifffile.TiffFileError) as error:
        raise InvalidInputError(f"{path.name} cannot be read as a TIFF: it is damaged or cut off.") from error
    if voxels.ndim != 2:
        raise InvalidInputError(
            f"{path.name} has {voxels.ndim} dimensions; expected a flat image of one channel (slides are read in tiles)."
        )
    mm = _MM_PER_UNIT.get(int(unit.value)) if unit is not None else None
    if mm is None or not all(tag is not None and tag.value[0] and tag.value[1] for tag in resolution):
        raise InvalidInputError(f"{path.name} does not state its resolution in inches or centimetres.")
    spacing = tuple(mm * tag.value[1] / tag.value[0] for tag in resolution if tag is not None)
    return Image(voxels, Geometry.axis_aligned(voxels.shape, spacing))


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
