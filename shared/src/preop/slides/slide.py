"""A slide in micrometres: regions at any resolution, and tiles in the order in which the file holds them."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image
from preop.slides.levels import SAME_RESOLUTION, WHITE, Level, Pixels, Reader
from preop.slides.opening import open_slide
from preop.slides.tiling import UM_PER_MM, Tiling, check_flat, shares

MAX_ENLARGEMENT = 1.25
"""A slide that is coarser than wanted by more than this shows less than a model was trained on."""

KEPT_BYTES = 32_000_000
"""Of stored tiles that were decoded for regions: those of a row of regions across 25,000 pixels, as beside a grid."""

Stored = tuple[int, int]
"""Row and column of a stored tile."""


class Tile(NamedTuple):
    """A tile that was read.

    Attributes
    ----------
    number
        Its place in the tiling.
    pixels
        RGB (size, size, 3); white outside the slide.
    """

    number: int
    pixels: Pixels


@dataclass(frozen=True)
class _Source:
    """A stored level, and by how much its pixels are smaller than those that are wanted."""

    number: int
    level: Level
    scale: float

    @property
    def um_per_pixel(self) -> float:
        return self.level.um_per_pixel * self.scale


class Slide(AbstractContextManager["Slide"]):
    """A whole-slide image, open for reading.

    Positions are micrometres from the upper left corner, y before x.

    It can be sent to another process, which opens the file again. Once closed, it cannot be read any more (ValueError).

    Parameters
    ----------
    path
        Tiled TIFF, SVS, or any other format that OpenSlide reads; of MRXS the file ``.mrxs``, of DICOM one file of the
        slide or the folder of its files.
    um_per_pixel
        Of the finest level, for a file that does not state it.

    Raises
    ------
    InvalidInputError
        If the file is missing or damaged, its colours cannot be read as its tags say, it holds several slides, its
        resolution is missing, impossible or another than given, or it has a single large level.
    """

    def __init__(self, path: Path, *, um_per_pixel: float | None = None) -> None:
        self.path = path
        self._reopening = path.absolute(), um_per_pixel
        self._reader = open_slide(path, um_per_pixel)
        self._recent = _Recent()

    def __reduce__(self) -> tuple[Callable[[Path, float | None], Slide], tuple[Path, float | None]]:
        """Send path and resolution to another process."""
        return _reopened, self._reopening

    @property
    def levels(self) -> tuple[Level, ...]:
        """Stored resolutions, finest first."""
        return self._reader.levels

    @property
    def um_per_pixel(self) -> float:
        """Of the finest level."""
        return self.levels[0].um_per_pixel

    @property
    def size_um(self) -> tuple[float, float]:
        """Height and width."""
        height, width = self.levels[0].shape
        return height * self.um_per_pixel, width * self.um_per_pixel

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def __enter__(self) -> Self:
        """Give the slide itself."""
        return self

    def close(self) -> None:
        """Close the file; closing twice does no harm."""
        self._reader.close()

    def geometry(self, um_per_pixel: float) -> Geometry:
        """Geometry of a flat image of the whole slide."""
        height, width = (max(1, math.ceil(side / um_per_pixel - 1e-6)) for side in self.size_um)
        return Geometry.axis_aligned((height, width), (um_per_pixel / UM_PER_MM,) * 2)

    def read_region(self, corner_um: tuple[float, float], shape_px: tuple[int, int], um_per_pixel: float) -> Pixels:
        """Read a region at a resolution, from the stored level that has it or the next finer one.

        Returns
        -------
        RGB (height, width, 3); white outside the slide.

        Raises
        ------
        InvalidInputError
            If the slide is much coarser than that, or damaged there.
        """
        source = self._source(um_per_pixel)
        # Here the resolution is exact, even where a stored level is nearly the same.
        scale = um_per_pixel / source.level.um_per_pixel
        y, x = (value / source.level.um_per_pixel for value in corner_um)
        box = (y, x, y + shape_px[0] * scale, x + shape_px[1] * scale)
        return self._read(source, box, shape_px)

    def overview(self, um_per_pixel: float) -> Pixels:
        """Read the whole slide at a coarse resolution, RGB (height, width, 3)."""
        return self.read_region((0, 0), _flat(self.geometry(um_per_pixel)), um_per_pixel)

    def tiling(
        self,
        *,
        size_px: int = 256,
        um_per_pixel: float = 0.5,
        within: Image | None = None,
        min_share: float = 0.5,
    ) -> Tiling:
        """Lay tiles over the slide.

        Parameters
        ----------
        within
            Flat mask of the whole slide, at any resolution; all tiles if not given. The last tiles of a row or column
            may reach over the slide's edge.
        min_share
            Of a tile that the mask must cover.

        Raises
        ------
        InvalidInputError
            If no tile is left, or the slide is much coarser than wanted.
        """
        actual = self._source(um_per_pixel).um_per_pixel
        size_um = size_px * actual
        rows, columns = (max(1, math.ceil(side / size_um - 1e-6)) for side in self.size_um)
        wanted = np.ones((rows, columns), bool)
        if within is not None:
            check_flat(within)
            wanted = shares(within, size_um, (rows, columns)) >= min_share
        if not wanted.any():
            raise InvalidInputError(
                f"{self.path.name} has no tile of {size_um:.0f} micrometres of which {min_share:.0%} are tissue that can be "
                "assessed: look at its tissue mask."
            )
        found = np.argwhere(wanted).astype(np.int32)
        return Tiling(actual, size_px, found[:, 0], found[:, 1])

    def tiles(self, tiling: Tiling, *, threads: int = 2) -> Iterator[Tile]:
        """Read tiles row by row; within a row of tiles, what is stored is decoded in the order of the file, and once.

        A stored tile is kept until the last row of tiles that needs it, so that the memory is that of a few rows of the
        slide, however many tiles it has.

        Parameters
        ----------
        threads
            That decode the following row of tiles while this one is being used; 0 to decode when asked.
        """
        source = self._source(tiling.um_per_pixel)
        span = tiling.size_px * source.scale
        starts = np.flatnonzero(np.diff(tiling.rows, prepend=-1))
        ends = np.append(starts[1:], len(tiling))
        boxes = [
            (row * span, column * span)
            for row, column in zip(tiling.rows.tolist(), tiling.columns.tolist(), strict=True)
        ]

        def wanted(place: int) -> list[Stored]:
            row = boxes[starts[place] : ends[place]]
            return self._stored_of(source, [(y, x, y + span, x + span) for y, x in row])

        with _Decoder(self._reader, source.number, threads) as decoder:
            decoder.begin(wanted(0))
            for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
                stored = decoder.finish()
                if place + 1 < len(starts):
                    decoder.begin(wanted(place + 1))
                for number in range(start, end):
                    y, x = boxes[number]
                    box = (y, x, y + span, x + span)
                    yield Tile(number, _cut(source.level, stored, box, (tiling.size_px, tiling.size_px)))

    def _read(self, source: _Source, box: tuple[float, float, float, float], shape_px: tuple[int, int]) -> Pixels:
        """Cut a box, in pixels of a level, out of its stored tiles, most of which its neighbours have left here."""
        tiles = {}
        for stored in self._stored_of(source, [box]):
            tile = self._recent.get((source.number, *stored))
            if tile is None:
                tile = self._reader.read_tile(source.number, *stored)
                # No neighbour needs one that lies within the box, and memory that is used again at once is fast.
                if not _within(source.level, stored, box):
                    self._recent.keep((source.number, *stored), tile)
            tiles[stored] = tile
        return _cut(source.level, tiles, box, shape_px)

    def _source(self, um_per_pixel: float) -> _Source:
        finest = self.levels[0].um_per_pixel
        if finest > MAX_ENLARGEMENT * um_per_pixel:
            raise InvalidInputError(
                f"{self.path.name} has {finest:.3g} micrometres per pixel at best; expected {um_per_pixel:.3g} or finer: scan it "
                "at a higher magnification."
            )
        fine_enough = [
            number for number, level in enumerate(self.levels) if level.um_per_pixel <= um_per_pixel * SAME_RESOLUTION
        ]
        number = fine_enough[-1] if fine_enough else 0
        scale = um_per_pixel / self.levels[number].um_per_pixel
        same = 1 / SAME_RESOLUTION <= scale <= SAME_RESOLUTION
        return _Source(number, self.levels[number], 1.0 if same else scale)

    def _stored_of(self, source: _Source, boxes: list[tuple[float, float, float, float]]) -> list[Stored]:
        """Stored tiles that boxes (y, x, y end, x end) in pixels of a level touch, in the order of the file."""
        found = {stored for box in boxes for stored in _touched(source.level, box)}
        if not found:
            return []
        ordered = self._reader.in_storage_order(source.number, np.array(list(found), np.intp))
        return [(row, column) for row, column in ordered.tolist()]


class _Recent:
    """The stored tiles that were decoded last; threads may share it."""

    def __init__(self) -> None:
        self._tiles: OrderedDict[tuple[int, int, int], Pixels] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def get(self, place: tuple[int, int, int]) -> Pixels | None:
        """Give the tile of a level, row and column, if it is here."""
        with self._lock:
            found = self._tiles.get(place)
            if found is not None:
                self._tiles.move_to_end(place)
            return found

    def keep(self, place: tuple[int, int, int], tile: Pixels) -> None:
        """Keep a tile in place of those that were not used for longest."""
        with self._lock:
            if place not in self._tiles:
                self._tiles[place] = tile
                self._bytes += tile.nbytes
            while self._bytes > KEPT_BYTES:
                self._bytes -= self._tiles.popitem(last=False)[1].nbytes


class _Decoder(AbstractContextManager["_Decoder"]):
    """Decodes the stored tiles of one row after another, those that two rows share once, in threads or when asked."""

    def __init__(self, reader: Reader, level: int, threads: int) -> None:
        self._reader = reader
        self._level = level
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "slide") if threads else None
        self._kept: dict[Stored, Pixels] = {}
        self._free: list[Pixels] = []
        self._wanted: list[Stored] = []
        self._jobs: list[Future[dict[Stored, Pixels]]] = []

    def begin(self, wanted: list[Stored]) -> None:
        """Start to decode what is wanted of the next row and not there yet."""
        self._wanted = wanted
        new = [stored for stored in wanted if stored not in self._kept]
        if self._pool is not None:
            size = max(1, math.ceil(len(new) / self._threads))
            pieces = [new[first : first + size] for first in range(0, len(new), size)]
            self._jobs = [self._pool.submit(self._decoded, piece) for piece in pieces]

    def finish(self) -> Mapping[Stored, Pixels]:
        """Wait for the row that was begun."""
        kept = {stored: self._kept[stored] for stored in self._wanted if stored in self._kept}
        if self._pool is None:
            kept |= self._decoded([stored for stored in self._wanted if stored not in kept])
        for job in self._jobs:
            kept |= job.result()
        self._free = [tile for stored, tile in self._kept.items() if stored not in kept]
        self._kept = kept
        return kept

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the threads; what they have not begun is left."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _decoded(self, wanted: list[Stored]) -> dict[Stored, Pixels]:
        return {stored: self._reader.read_tile(self._level, *stored, self._used_array()) for stored in wanted}

    def _used_array(self) -> Pixels | None:
        try:
            return self._free.pop()
        except IndexError:  # another thread may have taken the last one
            return None


def _reopened(path: Path, um_per_pixel: float | None) -> Slide:
    return Slide(path, um_per_pixel=um_per_pixel)


def _flat(geometry: Geometry) -> tuple[int, int]:
    height, width = geometry.shape
    return height, width


def _touched(level: Level, box: tuple[float, float, float, float]) -> Iterator[Stored]:
    (height, width), (tile_height, tile_width) = level.shape, level.tile_shape
    top, left = (max(0, math.floor(value + 1e-6)) for value in box[:2])
    bottom, right = (min(side, math.ceil(value - 1e-6)) for side, value in zip((height, width), box[2:], strict=True))
    if bottom <= top or right <= left:
        return
    for row in range(top // tile_height, -(-bottom // tile_height)):
        for column in range(left // tile_width, -(-right // tile_width)):
            yield row, column


def _within(level: Level, stored: Stored, box: tuple[float, float, float, float]) -> bool:
    """Whether all of a stored tile lies in a box."""
    return all(
        box[axis] <= stored[axis] * side + 1e-6 and (stored[axis] + 1) * side <= box[axis + 2] + 1e-6
        for axis, side in enumerate(level.tile_shape)
    )


def _cut(
    level: Level, stored: Mapping[Stored, Pixels], box: tuple[float, float, float, float], shape_px: tuple[int, int]
) -> Pixels:
    """Cut a box (y, x, y end, x end), in pixels of a level, out of its stored tiles and give it another size."""
    top, left = math.floor(box[0] + 1e-6), math.floor(box[1] + 1e-6)
    bottom, right = math.ceil(box[2] - 1e-6), math.ceil(box[3] - 1e-6)
    (height, width), (tile_height, tile_width) = level.shape, level.tile_shape
    pixels = np.empty((bottom - top, right - left, 3), np.uint8)
    if top < 0 or left < 0 or bottom > height or right > width:
        pixels[:] = WHITE
    for row in range(max(top, 0) // tile_height, -(-min(bottom, height) // tile_height)):
        y = row * tile_height
        first, last = max(y, top), min(y + tile_height, bottom, height)
        for column in range(max(left, 0) // tile_width, -(-min(right, width) // tile_width)):
            x = column * tile_width
            start, end = max(x, left), min(x + tile_width, right, width)
            part = stored[row, column][first - y : last - y, start - x : end - x]
            pixels[first - top : last - top, start - left : end - left] = part
    exact = pixels.shape[:2] == shape_px and abs(box[0] - top) < 1e-3 and abs(box[1] - left) < 1e-3
    return (
        pixels
        if exact
        else _resized(pixels, tuple(value - start for value, start in zip(box, (top, left) * 2, strict=True)), shape_px)
    )


def _resized(pixels: Pixels, box: tuple[float, ...], shape_px: tuple[int, int]) -> Pixels:
    """Resample the box (y, x, y end, x end) of an image, averaging where it gets smaller."""
    from PIL import Image as PillowImage

    top, left, bottom, right = box
    resized = PillowImage.fromarray(pixels).resize(
        (shape_px[1], shape_px[0]),
        PillowImage.Resampling.BILINEAR,
        box=(max(left, 0.0), max(top, 0.0), min(right, pixels.shape[1]), min(bottom, pixels.shape[0])),
    )
    return np.array(resized)


def in_micrometres(
    tiling: Tiling, values: NDArray[np.generic], size_um: tuple[float, float], *, pixels: int = 1
) -> Image:
    """Lay one value a tile out as a flat image of the whole slide, 0 where there is no tile: a heat map.

    Parameters
    ----------
    size_um
        Height and width of the slide.
    pixels
        Along a side of a tile.
    """
    rows, columns = (max(1, math.ceil(side / tiling.size_um - 1e-6)) for side in size_um)
    grid = np.zeros((rows, columns), values.dtype)
    grid[tiling.rows, tiling.columns] = values
    fine = grid.repeat(pixels, axis=0).repeat(pixels, axis=1)
    return Image(fine, Geometry.axis_aligned(fine.shape, (tiling.size_um / pixels / UM_PER_MM,) * 2))
