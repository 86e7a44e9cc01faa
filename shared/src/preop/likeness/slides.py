"""What an H&E slide looks like, whatever it shows: its stains, how dense and how sharp it is, and how much of it is tissue.

Stains are found as the two extreme directions of optical density (Macenko 2009, doi 10.1109/ISBI.2009.5193250).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Image
from preop.likeness.references import Measure
from preop.slides import Slide
from preop.slides.tissue import densities

SLIDE_MEASURES = (
    Measure("um_per_pixel", "the size of a pixel", "micrometres", ratio=True, resolution=0.1),
    Measure("tissue_share", "the share of the slide that is tissue", resolution=0.1),
    Measure("density_p10", "the palest tenth of the tissue (sum of optical densities)", ratio=True, resolution=0.05),
    Measure("density", "the density of the tissue (sum of optical densities)", ratio=True, resolution=0.05),
    Measure("density_p90", "the densest tenth of the tissue (sum of optical densities)", ratio=True, resolution=0.05),
    Measure("haematoxylin_red", "the share of red in haematoxylin", resolution=0.01),
    Measure("haematoxylin_blue", "the share of blue in haematoxylin", resolution=0.01),
    Measure("eosin_red", "the share of red in eosin", resolution=0.01),
    Measure("eosin_blue", "the share of blue in eosin", resolution=0.01),
    Measure("other_colours", "the variation of colour that no two stains explain", ratio=True, resolution=0.1),
    Measure("sharpness", "the sharpness (detail of 2 micrometres by that of 12)", ratio=True, resolution=0.05),
    Measure("contrast", "the contrast of cells and tissue (grey values)", ratio=True, resolution=0.05),
)

UM_PER_PIXEL = 1.0
TILE_PX = 128
_TILES = 128
_LEAST_TISSUE = 0.5
_LEAST_DENSITY = 0.15
_EXTREMES = (1, 99)
_PIXEL_STEP = 3  # every third pixel of every third row is enough for a colour

Floats = NDArray[np.floating[Any]]


def slide_measures(slide: Slide, tissue: Image, *, threads: int = 2) -> dict[str, float]:
    """Measure a slide on up to 128 tiles that lie evenly among those of its tissue.

    Parameters
    ----------
    tissue
        Flat mask of the tissue to look at, of the whole slide.
    threads
        As in :meth:`preop.slides.Slide.tiles`.

    Returns
    -------
    Value of each of ``SLIDE_MEASURES``; NaN of what does not show.

    Raises
    ------
    InvalidInputError
        If the tissue fills no tile by half, or the slide is much coarser than 1 micrometre a pixel.
    """
    tiling = slide.tiling(size_px=TILE_PX, um_per_pixel=UM_PER_PIXEL, within=tissue, min_share=_LEAST_TISSUE)
    chosen = np.unique(np.linspace(0, len(tiling) - 1, _TILES).round().astype(int))
    colours, fine, coarse = [], [], []
    for tile in slide.tiles(tiling.only(chosen), threads=threads):
        density = densities(tile.pixels[::_PIXEL_STEP, ::_PIXEL_STEP]).reshape(-1, 3)
        colours.append(density[density.sum(axis=1) > _LEAST_DENSITY])
        energies = _detail(tile.pixels[..., 1].astype(np.float32))
        fine.append(energies[0])
        coarse.append(energies[1])
    detail, contrast = float(np.mean(fine)), float(np.mean(coarse))
    return {
        "um_per_pixel": slide.um_per_pixel,
        "tissue_share": float((tissue.voxels > 0).mean()),
        **_stains(np.concatenate(colours)),
        "sharpness": detail / contrast if contrast > 0 else np.nan,
        "contrast": float(np.sqrt(contrast)),
    }


def _stains(density: Floats) -> dict[str, float]:
    """Measure the colours of pixels by their optical densities (n, 3)."""
    if len(density) < 2:
        return {}
    low, middle, high = np.percentile(density.sum(axis=1), (10, 50, 90))
    variances, directions = np.linalg.eigh(np.cov(density.T))
    plane = directions[:, 1:]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1, 1)  # the sign of an axis is arbitrary
    angles = np.arctan2(density @ plane[:, 0], density @ plane[:, 1])
    ends = [np.cos(angle) * plane[:, 1] + np.sin(angle) * plane[:, 0] for angle in np.percentile(angles, _EXTREMES)]
    shares = [end / end.sum() for end in ends]
    eosin, haematoxylin = sorted(shares, key=lambda share: float(share[0]))  # haematoxylin takes more of the red
    return {
        "density_p10": float(low),
        "density": float(middle),
        "density_p90": float(high),
        "haematoxylin_red": float(haematoxylin[0]),
        "haematoxylin_blue": float(haematoxylin[2]),
        "eosin_red": float(eosin[0]),
        "eosin_blue": float(eosin[2]),
        "other_colours": float(np.sqrt(variances[0] / variances.sum())) if variances.sum() > 0 else np.nan,
    }


def _detail(green: NDArray[np.float32]) -> tuple[float, float]:
    """Energy of detail of about 2 micrometres, and of about 12."""
    from scipy import ndimage

    fine = green - ndimage.gaussian_filter(green, 1.0)
    coarse = ndimage.uniform_filter(green, 4) - ndimage.uniform_filter(green, 12)
    return float((fine**2).mean()), float((coarse**2).mean())
