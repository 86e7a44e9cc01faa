"""Flat images as the pyramidal TIFF that the platform accepts (panimg 0.18, ``image_builders/tiff.py``)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from preop.atomic import replacing
from preop.errors import InvalidInputError, InvalidOutputError
from preop.imaging.formats.content import other_content
from preop.imaging.images import Geometry, Image

TIFF_SUFFIXES = (".tif", ".tiff")
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""TIFF 6.0 and BigTIFF, in both byte orders."""
TILE_PIXELS = 256
MAX_PIXELS = 2**28
"""A level with more is not read: it would take more memory than a case has."""
MAX_CHUNK_BYTES = 2**28
"""A tile or strip with more is not decoded: nobody writes one, so that its size is damaged."""
_MM_PER_UNIT = {2: 25.4, 3: 10.0}  # TIFF 6.0, ResolutionUnit: inch, centimetre
_INCH = 2  # TIFF 6.0: the unit of a file that states none
_MIN_IS_WHITE = 0  # TIFF 6.0, PhotometricInterpretation
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

    check_is_tiff(path)
    try:
        with tifffile.TiffFile(path) as tiff:
            return _read_level(tiff, path, pixel_mm)
    except InvalidInputError:
        raise
    # A damaged file fails anywhere in the reader, in any way.
    except Exception as error:
        raise InvalidInputError(f"{path.name} cannot be read as a TIFF: it is damaged or cut off.") from error


def check_is_tiff(path: Path) -> None:
    """Refuse what is called a TIFF and is something else.

    Raises
    ------
    InvalidInputError
        With what it is, where that is known.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise InvalidInputError(f"{path.name} cannot be read: {error.strerror}.") from error
    if not start.startswith(TIFF_STARTS):
        found = other_content(start) or "damaged at its beginning, or in another format"
        raise InvalidInputError(f"{path.name} cannot be read as a TIFF: it is {found}.")


def _read_level(tiff: Any, path: Path, pixel_mm: float) -> Image:
    spacing_mm = stated_spacing_mm(tiff.pages.first)
    if spacing_mm is None:
        raise InvalidInputError(f"{path.name} does not state its resolution in inches or centimetres.")
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
    if chosen.size > MAX_PIXELS:
        raise InvalidInputError(
            f"{path.name} has a level of {chosen.shape[1]} x {chosen.shape[0]} pixels and no coarser one that would do; "
            "expected a pyramid: store it with coarser levels."
        )
    check_layout(chosen.keyframe, path)
    if chosen.keyframe.photometric == _MIN_IS_WHITE:
        raise InvalidInputError(
            f"{path.name} stores white as 0 (photometric interpretation MinIsWhite), so that it is not clear what its values "
            "mean; expected MinIsBlack: export it again."
        )
    voxels = chosen.asarray()
    return Image(voxels, Geometry.axis_aligned(voxels.shape, _coarser(spacing_mm, finest, voxels.shape)))


def check_layout(page: Any, path: Path) -> None:
    """Refuse a page whose sizes cannot be right, before memory is reserved by them.

    Parameters
    ----------
    page
        Of tifffile.

    Raises
    ------
    InvalidInputError
        If a size is no whole number, a tile or strip is impossibly large, their number is not that of the image, or one lies
        outside of the file.
    """
    tile_height, tile_width = page.chunks[:2]
    offsets, counts = (np.asarray(values, np.int64) for values in (page.dataoffsets, page.databytecounts))
    size = path.stat().st_size
    sizes = (page.imagewidth, page.imagelength, page.bitspersample, *page.chunks)
    right = (
        all(isinstance(each, int) for each in sizes)  # a damaged tag may hold a decimal
        and page.imagewidth > 0
        and page.imagelength > 0
        and page.imagedepth == 1
        and 0 < math.prod(page.chunks) * page.bitspersample <= 8 * MAX_CHUNK_BYTES
        and len(offsets) == len(counts) == math.prod(page.chunked)
        and bool(((offsets >= 0) & (counts >= 0) & (counts <= size) & (offsets <= size - counts))[counts != 0].all())
    )
    if not right:
        raise InvalidInputError(
            f"{path.name} is damaged or cut off: it states {page.imagewidth} x {page.imagelength} pixels in {len(offsets)} pieces "
            f"of {tile_width} x {tile_height}, which does not fit its {size:,} bytes; copy or export it again."
        )


def stated_spacing_mm(page: Any) -> tuple[float, float] | None:
    """Distance of pixels along y and x by the resolution tags of a page of tifffile; None if they do not state it."""
    unit, *resolution = (page.tags.valueof(name) for name in ("ResolutionUnit", "YResolution", "XResolution"))
    mm = _MM_PER_UNIT.get(_INCH if unit is None else unit)
    y, x = (_ratio(value) for value in resolution)
    return None if mm is None or y is None or x is None else (mm / y, mm / x)


def _ratio(value: Any) -> float | None:
    """Value of a resolution tag, which some write as a fraction, others as a decimal; None if it is none."""
    parts = value if isinstance(value, tuple) else (value,)
    numerator, denominator = parts if len(parts) == 2 else (parts[0], 1)
    if not all(isinstance(part, int | float) and math.isfinite(part) and part > 0 for part in (numerator, denominator)):
        return None
    return float(numerator) / float(denominator)


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
