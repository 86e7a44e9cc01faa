"""Reading of slides beside the readers that others use: ``python benchmarks/slides.py SLIDE.tif``.

Every reader gives each tile of 256 x 256 pixels of the finest level once, as an RGB array, on one thread: row by row, in
random order, and row by row half a stored tile off the grid of the file. The readers take turns.
Without a slide one is made, as the platform would store it, of the real slide region of OpenSlide's test data
(``--data``), mirrored to 8,192 x 8,192 pixels. FastSlide and cuCIM take part where they are installed
(``pip install fastslide cucim-cu12``); they are no part of the locks.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from preop.slides import Slide
from preop.slides.levels import Pixels
from preop.slides.tiling import Tiling
from preop.slides.writing import write_slide

TILE_PX = 256
SIDE_PX = 8192
REPEATS = 3
OFF_GRID_PX = 64

Corners = list[tuple[int, int]]
Read = Callable[[Path, Corners], Iterator[Pixels]]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path, nargs="?", help="TIFF as the platform stores it")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds slides/")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.slide or mirrored(arguments.data, Path(folder) / "slide.tif")
        print("| reader | order | tiles of 256 px a second, best of three | processor time a tile |\n|---|---|---|---|")
        for order, corners_px in orders(path).items():
            best = dict.fromkeys(readers(), (0.0, 0.0))
            for _ in range(REPEATS):
                for name, tiles in readers().items():
                    best[name] = max(best[name], measured(tiles, path, corners_px))
            for name, (tiles_per_s, ms) in best.items():
                print(f"| {name} | {order} | {tiles_per_s:,.0f} | {ms:.2f} ms |", flush=True)


def orders(path: Path) -> dict[str, Corners]:
    """Upper left corners (x, y) of tiles in each order; on the grid, they are the stored tiles' corners."""
    with Slide(path) as slide:
        height, width = slide.levels[0].shape
    on_grid = [(x, y) for y in range(0, height - TILE_PX, TILE_PX) for x in range(0, width - TILE_PX, TILE_PX)]
    shuffled = [on_grid[place] for place in np.random.default_rng(0).permutation(len(on_grid))]
    return {
        "in order": on_grid,
        "random": shuffled,
        "off the grid": [(x + OFF_GRID_PX, y + OFF_GRID_PX) for x, y in on_grid],
    }


def mirrored(data: Path, path: Path, side_px: int = SIDE_PX) -> Path:
    """Make a square slide of the real region, again and again."""
    with Slide(data / "slides" / "cmu_1_small_region.svs") as slide:
        um_per_pixel = slide.um_per_pixel
        region = slide.overview(um_per_pixel)
    wide = np.concatenate([region, region[:, ::-1]], axis=1)
    both = np.concatenate([wide, wide[::-1]])
    times = [-(-side_px // side) for side in both.shape[:2]]
    write_slide([np.tile(both, (*times, 1))[:side_px, :side_px]], (side_px, side_px), um_per_pixel, path)
    return path


def readers() -> dict[str, Read]:
    """Those that are installed."""
    found: dict[str, Read] = {"preop": by_preop, "OpenSlide": by_openslide, "tifffile": by_tifffile}
    if find_spec("fastslide"):
        found["FastSlide"] = by_fastslide
    if find_spec("cucim"):
        found["cuCIM"] = by_cucim
    return found


def measured(tiles: Read, path: Path, corners: Corners) -> tuple[float, float]:
    """Tiles a second, and milliseconds of the processor for one."""
    start, processor = time.perf_counter(), time.process_time()
    count = sum(1 for tile in tiles(path, corners) if tile.shape == (TILE_PX, TILE_PX, 3))
    return count / (time.perf_counter() - start), 1000 * (time.process_time() - processor) / count


def by_preop(path: Path, corners: Corners) -> Iterator[Pixels]:
    """Read with this library: a tiling where the corners are one, else region by region."""
    with Slide(path) as slide:
        um = slide.um_per_pixel
        if corners == sorted(corners, key=lambda corner: corner[::-1]) and corners[0] == (0, 0):
            columns, rows = (np.array(corners, dtype=np.int32) // TILE_PX).T
            for tile in slide.tiles(Tiling(um, TILE_PX, rows, columns), threads=0):
                yield tile.pixels
        else:
            for x, y in corners:
                yield slide.read_region((y * um, x * um), (TILE_PX, TILE_PX), um)


def by_openslide(path: Path, corners: Corners) -> Iterator[Pixels]:
    """Read with OpenSlide."""
    import openslide

    with openslide.OpenSlide(path) as slide:
        for corner in corners:
            yield np.asarray(slide.read_region(corner, 0, (TILE_PX, TILE_PX)).convert("RGB"))


def by_tifffile(path: Path, corners: Corners) -> Iterator[Pixels]:
    """Read with tifffile: the stored tiles that a tile lies in, decoded by it and put together."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        side = page.tilelength
        columns = -(-page.imagewidth // side)
        for x, y in corners:
            first, last = (y // side, x // side), ((y + TILE_PX - 1) // side, (x + TILE_PX - 1) // side)
            rows, across = range(first[0], last[0] + 1), range(first[1], last[1] + 1)
            stored = [[_stored_tile(file, page, row * columns + column) for column in across] for row in rows]
            top, left = y - first[0] * side, x - first[1] * side
            whole = np.concatenate([np.concatenate(row, axis=1) for row in stored])
            yield whole[top : top + TILE_PX, left : left + TILE_PX]


def by_fastslide(path: Path, corners: Corners) -> Iterator[Pixels]:
    """Read with FastSlide."""
    import fastslide

    slide = fastslide.FastSlide.from_file_path(str(path))
    for corner in corners:
        yield np.asarray(slide.read_region(corner, 0, (TILE_PX, TILE_PX)).numpy())


def by_cucim(path: Path, corners: Corners) -> Iterator[Pixels]:
    """Read with cuCIM, on the processor."""
    from cucim import CuImage

    slide = CuImage(str(path))
    for corner in corners:
        yield np.asarray(slide.read_region(corner, (TILE_PX, TILE_PX), 0))


def _stored_tile(file: Any, page: Any, number: int) -> Pixels:
    """Read and decode one tile as it is stored."""
    file.filehandle.seek(page.dataoffsets[number])
    data = file.filehandle.read(page.databytecounts[number])
    return np.asarray(page.decode(data, number, jpegtables=page.jpegtables)[0][0])


if __name__ == "__main__":
    main()
