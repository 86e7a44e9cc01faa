"""What the tissue of a slide looks like, stain and texture, and whether slides on which items were validated look like it.

Networks that learned from simulated slides, or from those of one laboratory, can be wrong without a sign on slides of another
kind. What they find there counts where it was held against real tissue and was good enough (``limits.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Image
from preop.slides import Slide
from preop.study import Range

from .findings import INPUT_UM
from .stain import density

MEASURES = {
    "red_share": "share of red in the density",
    "blue_share": "share of blue in the density",
    "density": "density",
    "hues": "variation of the share of red",
    "other_colours": "colour that two dyes do not explain",
    "sharpness": "detail of 1 micrometre by that of 4",
    "coarseness": "detail of 4 micrometres by that of 16",
}

_TILE_PX = 128  # as wide as the tiles that the encoder describes: what has any has some of these
_TILES = 64
_MIN_TISSUE = 0.5
_MIN_DENSITY = 0.15  # sum of the three densities: less is glass
_MARGIN = 0.1  # of a range, on either side: of slides of the same kind, some lie just outside of any few


def appearance_of(slide: Slide, mask: Image, *, threads: int = 2) -> dict[str, float]:
    """Measure each of ``MEASURES``: the median of up to 64 tiles of 0.13 mm that lie evenly among those of the tissue.

    Parameters
    ----------
    mask
        Flat mask of the tissue, of the whole slide.
    threads
        As in :meth:`preop.slides.Slide.tiles`.

    Raises
    ------
    InvalidInputError
        If no tile is half tissue, or the slide is coarser than the networks read.
    """
    tiling = slide.tiling(size_px=_TILE_PX, um_per_pixel=INPUT_UM, within=mask, min_share=_MIN_TISSUE)
    chosen = np.unique(np.linspace(0, len(tiling) - 1, _TILES).astype(np.intp))
    found = [_measured(density(tile.pixels)) for tile in slide.tiles(tiling.only(chosen), threads=threads)]
    rows = [row for row in found if row is not None]
    if not rows:
        return dict.fromkeys(MEASURES, float("nan"))
    return dict(zip(MEASURES, np.median(rows, axis=0).tolist(), strict=True))


def ranges_of(appearances: Sequence[Mapping[str, float]]) -> dict[str, Range]:
    """Range of each measure among slides, a tenth wider on either side."""
    ranges = {}
    for name in MEASURES:
        values = [each[name] for each in appearances]
        margin = _MARGIN * (max(values) - min(values))
        ranges[name] = Range.of((min(values) - margin, max(values) + margin), digits=4)
    return ranges


def unlike(appearance: Mapping[str, float], validated: Mapping[str, Range]) -> str | None:
    """Say in which respects a slide looks like none of those on which items were validated; None where in none.

    Parameters
    ----------
    validated
        Range of each measure among those slides; empty where that is not known.
    """
    apart = [
        f"{MEASURES[name]} {appearance[name]:.3g} instead of {expected.low:.3g} to {expected.high:.3g}"
        for name, expected in validated.items()
        if appearance[name] not in expected
    ]
    return ", ".join(apart) or None


def _measured(densities: NDArray[np.float32]) -> list[float] | None:
    """Measure a tile, in the order of ``MEASURES``; None where it is all but glass."""
    from scipy import ndimage

    tissue = densities[densities.sum(axis=2) > _MIN_DENSITY]
    if len(tissue) < 0.1 * densities.shape[0] * densities.shape[1]:
        return None
    mean = tissue.mean(axis=0)
    variances = np.linalg.eigvalsh(np.cov(tissue.T.astype(np.float64)))
    green = densities[..., 1]
    smoothed = [ndimage.gaussian_filter(green, sigma) for sigma in (1, 4, 16)]
    fine, middle, coarse = (
        float(np.std(finer - coarser)) for finer, coarser in zip((green, *smoothed[:-1]), smoothed, strict=True)
    )
    return [
        float(mean[0] / mean.sum()),
        float(mean[2] / mean.sum()),
        float(mean.sum()),
        float(np.std(tissue[:, 0] / tissue.sum(axis=1))),
        float(np.sqrt(max(variances[0], 0) / max(variances.sum(), 1e-12))),
        fine / max(middle, 1e-6),
        middle / max(coarse, 1e-6),
    ]
