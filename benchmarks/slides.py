"""Reading of slides beside the readers that others use: ``python benchmarks/slides.py SLIDE.tif``.

Every reader gives each tile of 256 x 256 pixels of the finest level once, row by row, as an RGB array, on one thread.
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

import numpy as np

from preop.slides import Slide
from preop.slides.levels import Pixels
from preop.slides.writing import write_slide

TILE_PX = 256
SIDE_PX = 8192
REPEATS = 3


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("slide", type=Path, nargs="?", help="TIFF as the platform stores it")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds slides/")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.slide or mirrored(arguments.data, Path(folder) / "slide.tif")
        print("| reader | tiles of 256 px a second, best of three | processor time a tile |\n|---|---|---|")
        for name, tiles in readers().items():
            tiles_per_s, ms = measured(tiles, path)
            print(f"| {name} | {tiles_per_s:,.0f} | {ms:.2f} ms |", flush=True)


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


def readers() -> dict[str, Callable[[Path], Iterator[Pixels]]]:
    """Those that are installed."""
    found: dict[str, Callable[[Path], Iterator[Pixels]]] = {"preop": by_preop, "OpenSlide": by_openslide}
    if find_spec("fastslide"):
        found["FastSlide"] = by_fastslide
    if find_spec("cucim"):
        found["cuCIM"] = by_cucim
    return found


def measured(tiles: Callable[[Path], Iterator[Pixels]], path: Path) -> tuple[float, float]:
    """Tiles a second at best, and milliseconds of the processor for one then."""
    best = (0.0, 0.0)
    for _ in range(REPEATS):
        start, processor = time.perf_counter(), time.process_time()
        count = sum(1 for tile in tiles(path) if tile.shape == (TILE_PX, TILE_PX, 3))
        speed = count / (time.perf_counter() - start)
        best = max(best, (speed, 1000 * (time.process_time() - processor) / count))
    return best


def by_preop(path: Path) -> Iterator[Pixels]:
    """Read with this library."""
    with Slide(path) as slide:
        for tile in slide.tiles(slide.tiling(size_px=TILE_PX, um_per_pixel=slide.um_per_pixel), threads=0):
            yield tile.pixels


def by_openslide(path: Path) -> Iterator[Pixels]:
    """Read with OpenSlide."""
    import openslide

    with openslide.OpenSlide(path) as slide:
        for corner in corners(*slide.dimensions):
            yield np.asarray(slide.read_region(corner, 0, (TILE_PX, TILE_PX)).convert("RGB"))


def by_fastslide(path: Path) -> Iterator[Pixels]:
    """Read with FastSlide."""
    import fastslide

    slide = fastslide.FastSlide.from_file_path(str(path))
    for corner in corners(*slide.dimensions):
        yield np.asarray(slide.read_region(corner, 0, (TILE_PX, TILE_PX)).numpy())


def by_cucim(path: Path) -> Iterator[Pixels]:
    """Read with cuCIM, on the processor."""
    from cucim import CuImage

    slide = CuImage(str(path))
    height, width = slide.shape[:2]
    for corner in corners(width, height):
        yield np.asarray(slide.read_region(corner, (TILE_PX, TILE_PX), 0))


def corners(width: int, height: int) -> Iterator[tuple[int, int]]:
    """Upper left corners, row by row."""
    return ((x, y) for y in range(0, height, TILE_PX) for x in range(0, width, TILE_PX))


if __name__ == "__main__":
    main()
