"""Pictures of slides: the tissue map and the tiles of a real region, and simulated slides of all centres."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from preop.slides import Slide, Tiling, Tissue, assessable, find_tissue
from preop.slides.levels import Pixels

OVERVIEW_UM = 4.0
DETAIL_UM = 0.5
SIDE_PX = 4096
GAP_PX = 8
TILE_COLOUR = (0, 90, 200)
COLOURS = {
    Tissue.BACKGROUND: (255, 255, 255),
    Tissue.TISSUE: (150, 205, 150),
    Tissue.PEN: (200, 60, 200),
    Tissue.FOLD: (30, 30, 30),
    Tissue.BLUR: (240, 180, 40),
}


def slide_pictures(real: Path, images: Path) -> None:
    """Draw ``slides-tissue.jpg`` and ``slides-simulated.jpg``; the folder ``algorithms`` must be on the path."""
    from primary_growth_pattern.simulation import CENTRES, draw_patient

    with tempfile.TemporaryDirectory() as folder:
        simulated = {centre: Path(folder) / f"{centre}.tif" for centre in CENTRES}
        for number, (centre, path) in enumerate(simulated.items()):
            draw_patient(6, number, shape_px=(SIDE_PX, SIDE_PX), centre=centre).write_slide(path)
        _save(_beside(_tissue_and_tiles(real), _tissue_and_tiles(simulated["A"])), images / "slides-tissue.jpg")
        _save(_stacked([_overview_and_details(path) for path in simulated.values()]), images / "slides-simulated.jpg")


def _tissue_and_tiles(path: Path) -> Pixels:
    """Slide, tissue map, and the tiles that are read."""
    with Slide(path) as slide:
        tissue = find_tissue(slide)
        tiling = slide.tiling(within=assessable(tissue))
        scale = 480 * OVERVIEW_UM / max(slide.size_um)
        um_per_pixel = OVERVIEW_UM / scale
        overview = slide.overview(um_per_pixel)
    table = np.array([COLOURS[label] for label in Tissue], np.uint8)
    zoom = tissue.spacing_mm[0] * 1000 / um_per_pixel
    size = tuple(round(side * zoom) for side in reversed(tissue.shape))
    coloured = np.array(Pillow.fromarray(table[tissue.voxels]).resize(size, Pillow.Resampling.NEAREST))
    height, width = overview.shape[:2]
    return _beside(overview, coloured[:height, :width], _with_tiles(overview, tiling, um_per_pixel))


def _with_tiles(overview: Pixels, tiling: Tiling, um_per_pixel: float) -> Pixels:
    picture = Pillow.fromarray(overview)
    draw = ImageDraw.Draw(picture)
    side = tiling.size_um / um_per_pixel
    for y, x in (tiling.corners_um / um_per_pixel).tolist():
        draw.rectangle((x, y, x + side, y + side), outline=TILE_COLOUR)
    return np.array(picture)


def _overview_and_details(path: Path) -> Pixels:
    with Slide(path) as slide:
        overview = slide.overview(slide.size_um[0] / 320)
        places = [(0.22, 0.48), (0.50, 0.45), (0.62, 0.30)]
        details = [
            slide.read_region((y * slide.size_um[0], x * slide.size_um[1]), (320, 320), DETAIL_UM) for y, x in places
        ]
    return _beside(overview[:320, :320], *details)


def _beside(*pictures: Pixels) -> Pixels:
    """Put pictures side by side, on white."""
    height = max(len(picture) for picture in pictures)
    padded = [
        np.pad(picture, [(0, height - len(picture)), (0, GAP_PX), (0, 0)], constant_values=255) for picture in pictures
    ]
    return np.concatenate(padded, axis=1)


def _stacked(pictures: list[Pixels]) -> Pixels:
    return np.concatenate([np.pad(picture, [(0, GAP_PX), (0, 0), (0, 0)], constant_values=255) for picture in pictures])


def _save(picture: Pixels, path: Path) -> None:
    Pillow.fromarray(picture).save(path, quality=80)
