"""Slides as the platform stores them, from strips: the picture is never whole in memory.

Layout after libvips' ``tiffsave --tile --pyramid --bigtiff --compression jpeg --Q 70``, with which the platform converts
uploads (panimg 0.18, ``image_builders/tiff.py``): JPEG tiles of 128 x 128 pixels with shared tables, chroma at half the
resolution, each level half as large, the finest level's resolution stated in every level.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from preop.atomic import replacing
from preop.errors import InvalidOutputError
from preop.slides.levels import WHITE, Pixels

TILE_PX = 128
JPEG_QUALITY = 70
_UM_PER_INCH = 25_400.0
_JPEG_TABLES = 347  # TIFF Technical Note 2
_START, _END = b"\xff\xd8", b"\xff\xd9"
_QUANTISATION, _HUFFMAN, _JFIF, _SCAN = 0xDB, 0xC4, 0xE0, 0xDA


def write_slide(strips: Iterable[Pixels], shape: tuple[int, int], um_per_pixel: float, path: Path) -> None:
    """Write a slide from strips of the finest level.

    In memory is one row of tiles of each level, and the coarser levels compressed. The file appears when it is complete.

    Parameters
    ----------
    strips
        RGB (any height, width, 3), from top to bottom.
    shape
        Height and width of the whole.

    Raises
    ------
    InvalidOutputError
        If the strips do not add up to the shape, the folder cannot be written, or the disk is full.
    """
    import tifffile

    coarser = _Coarser(shape)
    tables = _split(_compressed(np.full((TILE_PX, TILE_PX, 3), WHITE, np.uint8)))[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path, suffix=".tif") as partial, tifffile.TiffWriter(partial, bigtiff=True) as tiff:
            for number, size in enumerate(coarser.shapes):
                tiff.write(
                    _finest(strips, shape, coarser) if number == 0 else iter(coarser.tiles[number]),
                    shape=(*size, 3),
                    dtype=np.uint8,
                    photometric="ycbcr",
                    subsampling=(2, 2),
                    tile=(TILE_PX, TILE_PX),
                    compression="jpeg",
                    resolution=(_UM_PER_INCH / um_per_pixel,) * 2,
                    resolutionunit="INCH",
                    subfiletype=int(number > 0),
                    extratags=[(_JPEG_TABLES, "B", len(tables), tables, True)],
                    metadata=None,
                    software=False,
                    datetime=False,
                )
    except OSError as error:
        raise InvalidOutputError(
            f"{path.name} could not be written to {path.parent}: is the disk full or the folder read-only?"
        ) from error


class _Coarser:
    """Levels after the finest, made as rows of tiles arrive.

    Attributes
    ----------
    shapes
        Height and width of each level, the finest first, down to one tile.
    tiles
        Compressed tiles of each level; none of the finest, which go to the file at once.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shapes = [shape]
        while max(self.shapes[-1]) > TILE_PX:
            height, width = self.shapes[-1]
            self.shapes.append((max(1, height // 2), max(1, width // 2)))
        self.tiles: list[list[bytes]] = [[] for _ in self.shapes]
        self._waiting: list[Pixels | None] = [None for _ in self.shapes]

    def add(self, row: Pixels, level: int = 1) -> None:
        """Take a whole row of tiles (tile height or less at the end, width, 3) of the level before ``level``."""
        if level == len(self.shapes):
            return
        half = _halved(row, self.shapes[level][1])
        waiting = self._waiting[level]
        together = half if waiting is None else np.concatenate([waiting, half])
        done = (
            sum(len(tiles) for tiles in self.tiles[level : level + 1]) // -(-self.shapes[level][1] // TILE_PX) * TILE_PX
        )
        together = together[: self.shapes[level][0] - done]
        if len(together) == TILE_PX or done + len(together) == self.shapes[level][0]:
            self._waiting[level] = None
            if len(together):
                self.tiles[level].extend(_row_of_tiles(together))
                self.add(together, level + 1)
        else:
            self._waiting[level] = together


def _finest(strips: Iterable[Pixels], shape: tuple[int, int], coarser: _Coarser) -> Iterator[bytes]:
    """Compress the finest level row by row, and hand each row on."""
    written = 0
    for row in _rows(strips):
        if row.shape[1:] != (shape[1], 3):
            raise InvalidOutputError(
                f"A strip has the shape {row.shape}; expected a width of {shape[1]} and 3 channels."
            )
        coarser.add(row)
        yield from _row_of_tiles(row)
        written += len(row)
    if written != shape[0]:
        raise InvalidOutputError(f"The strips of a slide have {written} rows of pixels together; expected {shape[0]}.")


def _rows(strips: Iterable[Pixels]) -> Iterator[Pixels]:
    """Cut strips of any height to the height of tiles."""
    waiting: list[Pixels] = []
    for strip in strips:
        waiting.append(strip)
        if sum(map(len, waiting)) >= TILE_PX:
            together = np.concatenate(waiting) if len(waiting) > 1 else strip
            whole = len(together) // TILE_PX * TILE_PX
            yield from (together[first : first + TILE_PX] for first in range(0, whole, TILE_PX))
            waiting = [together[whole:]] if whole < len(together) else []
    if waiting:
        yield np.concatenate(waiting)


def _row_of_tiles(row: Pixels) -> Iterator[bytes]:
    height, width = row.shape[:2]
    for left in range(0, width, TILE_PX):
        tile = row[:, left : left + TILE_PX]
        missing = (TILE_PX - height, TILE_PX - tile.shape[1])
        if any(missing):
            tile = np.pad(tile, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="edge")
        yield _split(_compressed(tile))[1]


def _compressed(tile: Pixels) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(tile), level=JPEG_QUALITY, subsampling="420"))


def _split(jpeg: bytes) -> tuple[bytes, bytes]:
    """Take the tables, which are the same in all tiles, out of a JPEG (ITU T.81, B.1 and B.2.4): tables, and the rest."""
    tables, rest = _START, _START
    place = len(_START)
    while jpeg[place + 1] != _SCAN:
        end = place + 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
        segment = jpeg[place:end]
        if segment[1] in {_QUANTISATION, _HUFFMAN}:
            tables += segment
        elif segment[1] != _JFIF:
            rest += segment
        place = end
    return tables + _END, rest + jpeg[place:]


def _halved(row: Pixels, width: int) -> Pixels:
    """Average blocks of 2 x 2 pixels; a last odd row or column is left out, unless it is the only one."""
    if len(row) == 1:
        row = np.concatenate([row, row])
    if row.shape[1] == 1:
        row = np.concatenate([row, row], axis=1)
    height = len(row) // 2 * 2
    wide = row[:height, : 2 * width].astype(np.uint16)
    total = wide[::2] + wide[1::2]
    return np.asarray((total[:, ::2] + total[:, 1::2] + 2) // 4, np.uint8)
