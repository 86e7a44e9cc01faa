"""Tiled TIFF, as the platform makes it, and SVS: tiles are found by tifffile and decoded one by one by libjpeg-turbo.

The platform converts every slide with libvips to a BigTIFF of JPEG tiles of 128 x 128 pixels (panimg 0.18,
``image_builders/tiff.py``). Decoding such a tile takes less time than a general reader's bookkeeping around it.

What a page holds is what its tags say (TIFF 6.0). This module reads RGB in every layout and compression, and YCbCr as JPEG;
palettes and YCbCr in other compressions are left to OpenSlide (:class:`ColoursNotReadError`).
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging.tiff import check_layout, stated_spacing_mm
from preop.slides.levels import WHITE, Pixels, Reader, Resolution, closed, levels_of, number_in
from preop.slides.ome import ome_um
from preop.slides.tiling import UM_PER_MM

# TIFF 6.0, and for the compressions the registered tags of Adobe and Aperio
JPEG, APERIO_YCBCR = 7, 33003
_RGB, _PALETTE, _YCBCR, _GREY = 2, 3, 6, (0, 1)
_SEPARATE = 2
_PREMULTIPLIED, _TRANSPARENT = 1, 2  # ExtraSamples: associated and unassociated alpha
_UNSIGNED, _UNDEFINED = 1, 4  # SampleFormat
_REDUCED_OR_PAGE = 0b11  # NewSubfileType: what else is set there makes it a mask, or an Aperio macro image
_NOT_ROTATED = 1

_DARK = 1 / 8
_SAMPLED_TILES = 16
_END_OF_JPEG = b"\xff\xd9"


class ColoursNotReadError(InvalidInputError):
    """Colours that this module does not read, named as the file's tags name them."""


class TiffReader(Reader):
    """Tiles of the pages of a TIFF.

    Parameters
    ----------
    um_per_pixel
        Of the finest level, for a file that does not state it.

    Raises
    ------
    ColoursNotReadError
        If the colours are stored in a way that is left to OpenSlide.
    InvalidInputError
        If the file is damaged or cut off, not tiled, not in colour, holds several slides or focal planes, or
        :func:`levels_of` refuses its levels.
    """

    def __init__(self, path: Path, um_per_pixel: float | None = None) -> None:
        import tifffile

        self._path = path
        try:
            with tifffile.TiffFile(path) as tiff:
                pages = _levels(path, list(tiff.pages))
                stated = _stated(tiff, pages[0])
                self._pages = [_Page(page, path) for page in pages]
        except InvalidInputError:
            raise
        # A damaged file fails anywhere in the reader, in any way.
        except Exception as error:
            raise InvalidInputError(
                f"{path.name} cannot be read as a TIFF: it is damaged or cut off; copy or export the slide again."
            ) from error
        tile_shapes = [page.tile_shape for page in self._pages]
        self.levels = levels_of(path, [page.shape for page in self._pages], tile_shapes, stated, um_per_pixel)
        self._file: _File | None = _File(path)
        self._check_brightness()

    def read_tile(self, level: int, row: int, column: int, out: Pixels | None = None) -> Pixels:
        """Decode a stored tile; one that the file leaves out is white.

        Raises
        ------
        InvalidInputError
            If its content is damaged.
        """
        page, file = self._pages[level], self._file
        if file is None:
            raise closed(self._path)
        try:
            return page.decode(file, row * page.across + column, out)
        # A decoder meets what is damaged in many ways, those of Python among them.
        except Exception as error:
            raise InvalidInputError(
                f"{self._path.name} is damaged: the tile in row {row + 1}, column {column + 1} of level {level + 1} cannot be "
                "decoded; copy or export the slide again."
            ) from error

    def in_storage_order(self, level: int, tiles: NDArray[np.intp]) -> NDArray[np.intp]:
        """Sort stored tiles by their offset in the file."""
        page = self._pages[level]
        return tiles[np.argsort(page.offsets[tiles[:, 0] * page.across + tiles[:, 1]], kind="stable")]

    def close(self) -> None:
        """Close the file as soon as no thread reads from it any more."""
        self._file = None

    def _check_brightness(self) -> None:
        """Refuse 12 bits that are stored as 16, which would be read as a dark picture."""
        level, page = len(self.levels) - 1, self._pages[-1]
        if page.bits != 16:
            return
        step = -(-len(page.offsets) // _SAMPLED_TILES)
        brightest = max(
            int(self.read_tile(level, *divmod(number, page.across)).max())
            for number in range(0, page.across * page.down, step)
        )
        if brightest < _DARK * WHITE:
            raise InvalidInputError(
                f"{self._path.name} has 16 bits per channel, of which the brightest pixel uses less than an eighth; expected the "
                "whole range: convert it to 8 bits with the range that its scanner used."
            )


class _File:
    """A file that is closed when nobody uses it any more: its number is never that of another file meanwhile."""

    def __init__(self, path: Path) -> None:
        self._number = os.open(path, os.O_RDONLY)

    def read(self, count: int, offset: int) -> bytes:
        """Read without a position in the file, so that threads do not disturb each other."""
        return os.pread(self._number, count, offset)

    def __del__(self) -> None:
        os.close(self._number)


class _Page:
    """What is needed of a page once the file's directory is closed."""

    def __init__(self, page: Any, path: Path) -> None:
        import imagecodecs
        from tifffile.tifffile import jpeg_decode_colorspace

        check_layout(page, path)
        _check_colours(page, path)
        self.shape: tuple[int, int] = (page.imagelength, page.imagewidth)
        self.tile_shape: tuple[int, int] = (page.tilelength, page.tilewidth)
        self.across = -(-page.imagewidth // page.tilewidth)
        self.down = -(-page.imagelength // page.tilelength)
        self.bits = int(page.bitspersample)
        self.offsets = np.asarray(page.dataoffsets, np.int64)
        self.byte_counts = np.asarray(page.databytecounts, np.int64)
        self._planes = page.samplesperpixel if page.planarconfig == _SEPARATE else 1
        self._alpha = page.extrasamples[0] if page.extrasamples else None
        self._jpeg = page.compression == JPEG
        self._tables = page.jpegtables
        stored, wanted = jpeg_decode_colorspace(page.photometric, page.planarconfig, page.extrasamples, page.is_jfif)
        self._decode_jpeg = partial(
            imagecodecs.jpeg8_decode, tables=self._tables, colorspace=stored, outcolorspace=wanted
        )
        self._tifffile_decode = page.decode

    def decode(self, file: _File, number: int, out: Pixels | None) -> Pixels:
        """Read and decode a tile to RGB (tile height, tile width, 3)."""
        samples = self._plane(file, number, out) if self._planes == 1 else self._all_planes(file, number)
        if samples is None:
            return np.full((*self.tile_shape, 3), WHITE, np.uint8)
        pixels = self._rgb(samples)
        if pixels.shape == (*self.tile_shape, 3):
            return pixels
        # tifffile cuts the last tiles of a row or column to the image.
        whole = np.full((*self.tile_shape, 3), WHITE, np.uint8)
        whole[: pixels.shape[0], : pixels.shape[1]] = pixels
        return whole

    def _all_planes(self, file: _File, number: int) -> NDArray[Any] | None:
        """Samples of a stored tile whose channels are stored apart."""
        tiles = self.across * self.down
        planes = [self._plane(file, number + plane * tiles, None) for plane in range(self._planes)]
        there = [plane for plane in planes if plane is not None]
        return np.concatenate(there, axis=2) if len(there) == len(planes) else None

    def _plane(self, file: _File, number: int, out: Pixels | None) -> NDArray[Any] | None:
        """Samples of a stored tile (height, width, samples); None where the file leaves it out."""
        count = int(self.byte_counts[number])
        if count == 0:
            return None
        content = file.read(count, int(self.offsets[number]))
        if not self._jpeg:
            samples: NDArray[Any] = self._tifffile_decode(content, number)[0][0]
            return samples
        # libjpeg fills what is missing with grey, and says nothing.
        if not (content.endswith(_END_OF_JPEG) or content.rstrip(b"\x00").endswith(_END_OF_JPEG)):
            raise ValueError("cut off")
        if self._planes > 1:
            plane: NDArray[Any] = self._tifffile_decode(content, number, jpegtables=self._tables)[0][0]
            return plane
        return self._jpeg_rgb(content, out)

    def _jpeg_rgb(self, content: bytes, out: Pixels | None) -> Pixels:
        if out is None or out.shape != (*self.tile_shape, 3):
            # The decoder refuses what does not fit in here: a damaged tile may state any size.
            out = np.empty((*self.tile_shape, 3), np.uint8)
        try:
            return np.asarray(self._decode_jpeg(content, out=out))
        except ValueError:
            from tifffile.tifffile import jpeg_shape

            _, height, width, samples = jpeg_shape(content)
            if height > self.tile_shape[0] or width > self.tile_shape[1] or samples != 3:
                raise
            return np.asarray(self._decode_jpeg(content))

    def _rgb(self, samples: NDArray[Any]) -> Pixels:
        """Colours of 8 bits before a white background."""
        if samples.dtype == np.uint8 and samples.shape[2] == 3:
            return samples
        largest = np.iinfo(samples.dtype).max
        light = samples[..., :3].astype(np.float32) / largest
        if self._alpha in {_PREMULTIPLIED, _TRANSPARENT}:
            covered = samples[..., 3:4].astype(np.float32) / largest
            light = light * (covered if self._alpha == _TRANSPARENT else 1) + (1 - covered)
        return np.asarray(np.clip(np.rint(light * WHITE), 0, WHITE), np.uint8)


def _levels(path: Path, pages: list[Any]) -> list[Any]:
    """Pages that show the same as the largest, finest first: neither thumbnail (not tiled) nor label nor macro image.

    They follow in the file, or lie under the largest page (SubIFDs, as in OME-TIFF).
    """
    tiled = [page for page in pages if page.is_tiled and not int(page.subfiletype) & ~_REDUCED_OR_PAGE]
    if not tiled:
        raise InvalidInputError(f"{path.name} is not tiled; expected a slide in tiles: {_CONVERT}")
    first = max(tiled, key=_area)
    largest = max(pages, key=_area)
    if _area(largest) > _area(first) and not int(largest.subfiletype) & ~_REDUCED_OR_PAGE:
        # Without it a coarser level would be taken for the finest, which alone has the resolution that is stated.
        raise InvalidInputError(
            f"{path.name} is damaged: its largest image, of {largest.imagewidth} x {largest.imagelength} pixels, is not tiled and "
            f"a smaller one is; expected a pyramid in tiles: {_CONVERT}"
        )
    _check_single(path, tiled, first)
    levels = [first]
    beneath = sorted(_beneath(first), key=lambda page: -int(page.imagewidth))
    for page in beneath or [page for page in tiled if page is not first]:
        smaller = page.imagewidth < levels[-1].imagewidth
        if page.is_tiled and smaller and _is_of_same_shape(page, first):
            levels.append(page)
    return levels


def _area(page: Any) -> int:
    return int(page.imagewidth) * int(page.imagelength)


def _beneath(page: Any) -> list[Any]:
    """Pages under a page."""
    return list(page.pages) if page.subifds else []


def _check_single(path: Path, tiled: list[Any], first: Any) -> None:
    """Refuse several focal planes or channels, and several slides."""
    size = first.imagewidth, first.imagelength
    alike = [page for page in tiled if (page.imagewidth, page.imagelength) == size]
    if len(alike) > 1:
        raise InvalidInputError(
            f"{path.name} holds {len(alike)} images of {size[0]} x {size[1]} pixels: focal planes or channels; expected one: "
            "export a single plane in colour."
        )
    pyramids = [page for page in tiled if page.subifds]
    if len(pyramids) > 1:
        raise InvalidInputError(
            f"{path.name} holds {len(pyramids)} slides, of "
            f"{' and '.join(f'{page.imagewidth} x {page.imagelength}' for page in pyramids)} pixels; expected one: export each "
            "into a file of its own."
        )


def _check_colours(page: Any, path: Path) -> None:
    photometric, compression, samples = int(page.photometric), int(page.compression), int(page.samplesperpixel)
    bits, interleaved = page.bitspersample, page.planarconfig != _SEPARATE
    if int(page.tags.valueof("Orientation", _NOT_ROTATED)) != _NOT_ROTATED:
        raise InvalidInputError(
            f"{path.name} is stored rotated or mirrored (orientation {page.tags.valueof('Orientation')}); expected a slide that "
            f"begins in its upper left corner: {_CONVERT}"
        )
    if photometric in _GREY:
        raise InvalidInputError(
            f"{path.name} is grey ({samples} channels of {bits} bits, {_named(page.photometric)}); expected a stained slide in "
            "RGB."
        )
    jpeg_of_three = compression == JPEG and samples == 3 and bits == 8
    ours = (
        (photometric == _RGB and samples >= 3 and compression not in {JPEG, APERIO_YCBCR} and bits in {8, 16})
        or (photometric == _RGB and jpeg_of_three)
        or (photometric == _YCBCR and jpeg_of_three and interleaved)
    )
    unsigned = page.sampleformat in {_UNSIGNED, _UNDEFINED}
    if ours and unsigned:
        return
    # What CIELab and CMYK look like depends on a white point or a profile, which OpenSlide does not heed.
    left_to_openslide = unsigned and photometric in {_RGB, _PALETTE, _YCBCR}
    raise (ColoursNotReadError if left_to_openslide else InvalidInputError)(
        f"{path.name} stores its colours as {_named(page.photometric)} in {samples} {'' if unsigned else 'signed or decimal '}"
        f"channels of {bits} bits, {'interleaved' if interleaved else 'in planes'}, compressed as "
        f"{_named(page.compression)}; this is not read: {_CONVERT}"
    )


_CONVERT = "convert it, for example with: vips tiffsave IN OUT --tile --pyramid --compression jpeg --bigtiff."


def _named(value: Any) -> str:
    return str(getattr(value, "name", value))


def _is_of_same_shape(page: Any, first: Any) -> bool:
    """Whether width and height were divided by the same number, each rounded up or down."""
    factor = first.imagewidth / page.imagewidth
    return bool(abs(first.imagelength / factor - page.imagelength) <= 1 + page.imagelength / page.imagewidth)


def _stated(tiff: Any, page: Any) -> list[Resolution]:
    """Resolutions along y and x that the file states: that of an Aperio description alone, or those of OME-XML and tags."""
    described = _described_um(page)
    if described is not None:
        return [described]
    spacing_mm = stated_spacing_mm(page)
    of_tags = None if spacing_mm is None else (UM_PER_MM * spacing_mm[0], UM_PER_MM * spacing_mm[1])
    of_ome = ome_um(tiff.ome_metadata, (page.imagelength, page.imagewidth)) if tiff.is_ome else None
    return [resolution for resolution in (of_ome, of_tags) if resolution is not None]


def _described_um(page: Any) -> Resolution | None:
    """Resolution in the description that Aperio writes: ``...|MPP = 0.4990|...``."""
    for part in page.description.split("|"):
        name, _, value = part.partition("=")
        um = number_in(value) if name.strip() == "MPP" else None
        if um is not None:
            return um, um
    return None
