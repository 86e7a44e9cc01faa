"""Tiled TIFF, as the platform makes it, and SVS: tiles are found by tifffile and decoded one by one by libjpeg-turbo.

The platform converts every slide with libvips to a BigTIFF of JPEG tiles of 128 x 128 pixels (panimg 0.18,
``image_builders/tiff.py``). Decoding such a tile takes less time than a general reader's bookkeeping around it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.slides.levels import WHITE, Pixels, Reader, levels_of

JPEG = 7  # TIFF Technical Note 2, Compression
_UM_PER_UNIT = {2: 25_400.0, 3: 10_000.0}  # TIFF 6.0, ResolutionUnit: inch, centimetre
_OTHER_LAYOUTS = ("is_ndpi", "is_philips", "is_scn", "is_bif")  # whose pages need more than their tags to be understood


class TiffReader(Reader):
    """Tiles of the pages of a TIFF.

    Raises
    ------
    InvalidInputError
        If the file is damaged or cut off, not tiled, not 8-bit RGB, or :func:`levels_of` refuses its levels.
    """

    def __init__(self, path: Path) -> None:
        import tifffile

        self._path = path
        try:
            with tifffile.TiffFile(path) as tiff:
                pages = _levels(path, list(tiff.pages))
                resolution = _aperio_um(pages[0]) if tiff.is_svs else _tagged_um(pages[0])
                self._pages = [_Page(page) for page in pages]
        except (OSError, ValueError, IndexError, KeyError, RuntimeError, tifffile.TiffFileError) as error:
            raise _damaged(path) from error
        tile_shapes = [page.tile_shape for page in self._pages]
        self.levels = levels_of(path, [page.shape for page in self._pages], tile_shapes, resolution)
        size = path.stat().st_size
        if any((page.offsets + page.byte_counts).max() > size for page in self._pages):
            raise _damaged(path)
        self._file = os.open(path, os.O_RDONLY)

    def read_tile(self, level: int, row: int, column: int, out: Pixels | None = None) -> Pixels:
        """Decode a stored tile; one that the file leaves out is white.

        Raises
        ------
        InvalidInputError
            If its content is damaged.
        """
        page = self._pages[level]
        number = row * page.across + column
        count = int(page.byte_counts[number])
        if count == 0:
            return np.full((*page.tile_shape, 3), WHITE, np.uint8)
        # pread keeps no position in the file, so that threads do not disturb each other.
        content = os.pread(self._file, count, int(page.offsets[number]))
        try:
            return page.decode(content, number, out)
        except (ValueError, RuntimeError) as error:
            raise InvalidInputError(
                f"{self._path.name} is damaged: the tile in row {row + 1}, column {column + 1} of level {level + 1} cannot be "
                "decoded; copy or export the slide again."
            ) from error

    def in_storage_order(self, level: int, tiles: NDArray[np.intp]) -> NDArray[np.intp]:
        """Sort stored tiles by their offset in the file."""
        page = self._pages[level]
        return tiles[np.argsort(page.offsets[tiles[:, 0] * page.across + tiles[:, 1]], kind="stable")]

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


class _Page:
    """What is needed of a page once the file's directory is closed."""

    def __init__(self, page: Any) -> None:
        from tifffile.tifffile import jpeg_decode_colorspace

        self.shape: tuple[int, int] = (page.imagelength, page.imagewidth)
        self.tile_shape: tuple[int, int] = (page.tilelength, page.tilewidth)
        self.across = -(-page.imagewidth // page.tilewidth)
        self.offsets = np.asarray(page.dataoffsets, np.int64)
        self.byte_counts = np.asarray(page.databytecounts, np.int64)
        self._tables = page.jpegtables
        self._tifffile_decode = None if page.compression == JPEG else page.decode
        self._stored, self._wanted = jpeg_decode_colorspace(
            page.photometric, page.planarconfig, page.extrasamples, page.is_jfif
        )

    def decode(self, content: bytes, number: int, out: Pixels | None) -> Pixels:
        if self._tifffile_decode is not None:
            pixels = np.asarray(self._tifffile_decode(content, number)[0])[0]
        else:
            import imagecodecs

            pixels = imagecodecs.jpeg8_decode(
                content, tables=self._tables, colorspace=self._stored, outcolorspace=self._wanted, out=out
            )
        if pixels.shape[:2] == self.tile_shape:
            return np.asarray(pixels)
        # tifffile cuts the last tiles of a row or column to the image.
        whole = np.full((*self.tile_shape, 3), WHITE, np.uint8)
        whole[: pixels.shape[0], : pixels.shape[1]] = pixels
        return whole


def is_understood(path: Path) -> bool:
    """Whether a file is a tiled TIFF that this module reads; otherwise its format is a matter for OpenSlide."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return not any(bool(getattr(tiff, layout)) for layout in _OTHER_LAYOUTS)
    except (OSError, ValueError, tifffile.TiffFileError):
        return False


def _levels(path: Path, pages: list[Any]) -> list[Any]:
    """Pages that show the same as the first, finest first: neither thumbnail (not tiled) nor label nor macro image."""
    first = pages[0]
    if not first.is_tiled:
        raise InvalidInputError(f"{path.name} is not tiled; expected a slide in tiles: {_CONVERT}")
    if first.samplesperpixel != 3 or first.bitspersample != 8:
        raise InvalidInputError(
            f"{path.name} has {first.samplesperpixel} channels of {first.bitspersample} bits; expected RGB of 8 bits: {_CONVERT}"
        )
    levels = [first]
    for page in pages[1:]:
        smaller = page.imagewidth < levels[-1].imagewidth
        if page.is_tiled and smaller and _is_of_same_shape(page, first):
            levels.append(page)
    return levels


_CONVERT = "convert it, for example with: vips tiffsave IN OUT --tile --pyramid --compression jpeg --bigtiff."


def _is_of_same_shape(page: Any, first: Any) -> bool:
    """Whether width and height were divided by the same number, each rounded up or down."""
    factor = first.imagewidth / page.imagewidth
    return bool(abs(first.imagelength / factor - page.imagelength) <= 1 + page.imagelength / page.imagewidth)


def _tagged_um(page: Any) -> tuple[float, float] | None:
    tags = [page.tags.get(name) for name in ("ResolutionUnit", "YResolution", "XResolution")]
    if any(tag is None for tag in tags):
        return None
    unit, *resolutions = (tag.value for tag in tags)
    um = _UM_PER_UNIT.get(int(unit))
    if um is None or not all(value[0] and value[1] for value in resolutions):
        return None
    y, x = (um * value[1] / value[0] for value in resolutions)
    return y, x


def _aperio_um(page: Any) -> tuple[float, float] | None:
    """Resolution in the description that Aperio writes: ``...|MPP = 0.4990|...``."""
    for part in page.description.split("|"):
        name, _, value = part.partition("=")
        if name.strip() == "MPP":
            try:
                return float(value), float(value)
            except ValueError:
                return None
    return _tagged_um(page)


def _damaged(path: Path) -> InvalidInputError:
    return InvalidInputError(
        f"{path.name} cannot be read as a TIFF: it is damaged or cut off; copy or export the slide again."
    )
