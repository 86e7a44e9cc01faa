"""Where a slide shows tissue that can be assessed: apart from background, pen marks, folds and parts out of focus.

Everything goes by optical density, -log10 of the share of light that passes, of cells of 16 micrometres: it is
proportional to the amount of dye (Beer-Lambert), so that a colour is the direction of its three channels, however dark.
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image
from preop.slides.levels import Pixels
from preop.slides.own_stain import could_be_tissue, own_stain
from preop.slides.slide import Slide
from preop.slides.tiling import UM_PER_MM

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

DYES = np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]])
"""Optical density of one unit of haematoxylin and of eosin in red, green and blue (Macenko 2009, usual reference)."""

_CELL_UM = 16.0

# Blur shows where the picture is fine, everything else where it is coarse.
_FINE_UM = 2.0
_CELL_PX = 8
_TILE_PX = 64 * _CELL_PX
_WHITE_RANGE = (200, 255)

# Sum of the three densities. Between the two, Otsu's threshold decides.
_PALEST_TISSUE = (0.05, 0.12)
_SMALLEST_TISSUE_MM2 = 0.03
_SMALLEST_HOLE_MM2 = 0.01  # gland lumens and fat cells belong to the tissue

# Ink has a colour apart from that of the slide's own tissue (:mod:`preop.slides.own_stain`), by shares of the density. Beside
# tissue it is smooth, too; on tissue it has a colour that no tissue has, or is denser than tissue, for it is added to it.
_APART, _APART_WHERE_SMOOTH = 0.06, 0.04
_SMOOTH = 0.06  # of the density in green, its variation: .07 or more in 99 % of the cells of real tissue in focus
_MAX_BLUE_OF_TISSUE = 0.41  # beyond: red, orange and yellow ink; of blood .40
_MIN_GREEN_OF_TISSUE = 0.34  # of what is pale
_BLACK = (
    (0.06, 0.6),
    (0.12, 2.0),
)  # greatest difference of the shares and least density of black ink: alone, on tissue
_PADDING_GREY = 6  # what was never scanned is black in some files: darker than ink, and without any detail
_PADDING_DETAIL = 1.0
_PALEST_INK = 0.25
_SMALLEST_PEN_MM2 = 0.02
_PEN_RIM_CELLS = 2
_PADDING_RIM_CELLS = 2
_PALEST_CERTAIN = 0.15

# Tissue that lies twice over itself is about twice as dense as what is usual around it, with twice the eosin, in the same
# colour; and a fold is long and narrow, unlike glands.
_SURROUNDINGS_CELLS = 26  # 0.4 mm; a fold is narrower than half of that
_DENSER = 1.4
_SAME_COLOUR = 0.05
_FOLD_LENGTH_MM = 0.3
_FOLD_LENGTH_BY_WIDTH = 3.0
_FOLD_WIDTH_MM = 0.25

# Energy of fine detail by that of coarser detail: on the real region, stored as the platform stores it, .27 or more in 99 %
# of tissue; .12 to .24 when it is blurred by a Gaussian of 2 micrometres, .05 to .08 by one of 4.
_SHARP = 0.13
_MIN_CONTRAST = 8.0  # of the coarser detail, in squared grey values: without any, focus cannot be told
_FOCUS_CELLS = 7


class Tissue(IntEnum):
    """Labels of the tissue map."""

    BACKGROUND = 0
    TISSUE = 1
    PEN = 2
    FOLD = 3
    BLUR = 4


_COLOURS = ((255, 255, 255), (90, 180, 110), (130, 60, 170), (0, 0, 0), (240, 150, 40))  # of the labels, in a picture


def find_tissue(slide: Slide, *, threads: int = 2) -> Image:
    """Map a slide.

    Parameters
    ----------
    threads
        As in :meth:`preop.slides.Slide.tiles`.

    Returns
    -------
    Labels (uint8) of :class:`Tissue`, a flat image whose first pixel lies in the slide's upper left corner.
    """
    tiling = slide.tiling(size_px=_TILE_PX, um_per_pixel=_FINE_UM)
    across = _TILE_PX // _CELL_PX
    shape = (int(tiling.rows.max() + 1) * across, int(tiling.columns.max() + 1) * across)
    colour = np.zeros((*shape, 3), np.float32)
    fine, coarse = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for tile in slide.tiles(tiling, threads=threads):
        top, left = int(tiling.rows[tile.number]) * across, int(tiling.columns[tile.number]) * across
        place = (slice(top, top + across), slice(left, left + across))
        colour[place] = _binned(tile.pixels.astype(np.float32), _CELL_PX)
        fine[place], coarse[place] = _detail(tile.pixels[..., 1].astype(np.float32))
    # A stored level within 2 % of the resolution was taken as it is; a cell is then not quite 16 micrometres.
    cell_um = tiling.um_per_pixel * _CELL_PX
    height, width = slide.geometry(cell_um).shape
    labels = _labels(colour[:height, :width], fine[:height, :width], coarse[:height, :width])
    return Image(labels, Geometry.axis_aligned(labels.shape, (cell_um / UM_PER_MM,) * 2))


def assessable(tissue: Image) -> Image:
    """Mask of the tissue that is neither covered nor folded nor out of focus."""
    return tissue.with_voxels(np.asarray(tissue.voxels == Tissue.TISSUE))


def check_assessable(tissue: Image, name: str, *, folder: Path | None = None) -> None:
    """Refuse a slide without tissue that can be assessed, and tell what was seen instead.

    Parameters
    ----------
    name
        Of the slide.
    folder
        Where the tissue map of a slide that is refused is written, as a picture to look at.

    Raises
    ------
    InvalidInputError
        If less is assessable than the smallest piece of tissue that is looked at.
    """
    counts = np.bincount(tissue.voxels.ravel(), minlength=len(Tissue))
    if counts[Tissue.TISSUE] * np.prod(tissue.spacing_mm) >= _SMALLEST_TISSUE_MM2:
        return
    seen = ", ".join(
        f"{counts[label] / counts.sum():.0%} {label.name.lower()}"
        for label in (Tissue.BACKGROUND, Tissue.PEN, Tissue.FOLD, Tissue.BLUR, Tissue.TISSUE)
    )
    written = ""
    if folder is not None:
        path = folder / f"{Path(name).stem}-tissue-map.png"
        write_tissue_map(tissue, path)
        written = f" (see {path})"
    raise InvalidInputError(
        f"{name} has no tissue that can be assessed: it was taken for {seen}{written}; if there is tissue, give a mask of it."
    )


def write_tissue_map(tissue: Image, path: Path) -> None:
    """Write a picture of a tissue map: tissue green, pen purple, folds black, blur orange."""
    from PIL import Image as PillowImage

    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(np.array(_COLOURS, np.uint8)[tissue.voxels]).save(path)


def densities(pixels: Pixels | Floats, white: Floats | float = 255.0) -> NDArray[np.float32]:
    """Optical densities of RGB (..., 3), at least 0; ``white`` is the grey value without tissue."""
    light = (np.asarray(pixels, np.float32) + 1) / (np.asarray(white, np.float32) + 1)
    return np.asarray(np.maximum(-np.log10(light), 0), np.float32)


def dyes(density: Floats) -> NDArray[np.float32]:
    """Amounts of haematoxylin and eosin (..., 2), at least 0, of which optical densities (..., 3) are the sum."""
    return np.asarray(np.maximum(density @ np.linalg.pinv(DYES), 0), np.float32)


def _labels(colour: Floats, fine: Floats, coarse: Floats) -> NDArray[np.uint8]:
    from scipy import ndimage

    padding = (colour.max(axis=2) <= _PADDING_GREY) & (coarse < _PADDING_DETAIL)
    scanned = ~ndimage.binary_dilation(padding, iterations=_PADDING_RIM_CELLS)
    if not scanned.any():
        return np.zeros(padding.shape, np.uint8)
    white = np.clip(np.percentile(colour[scanned], 99.5, axis=0), *_WHITE_RANGE)
    density = densities(colour, white) * scanned[..., None]
    total = density.sum(axis=2)
    share = density / np.maximum(total, 1e-3)[..., None]
    smooth = _is_smooth(colour[..., 1], density[..., 1], coarse)
    certain = could_be_tissue(share) & ~smooth & (total > _PALEST_CERTAIN) & ~_is_black(total, share)
    stain = own_stain(density, certain)
    apart = stain.distance(share)
    pen = _pen(total, share, apart, smooth, stain.densest)
    tissue = _tissue(total, share, apart, pen, scanned)
    labels = np.zeros(total.shape, np.uint8)
    labels[tissue] = Tissue.TISSUE
    labels[tissue & _blurred(fine, coarse)] = Tissue.BLUR
    labels[_folds(density, total, share, tissue)] = Tissue.FOLD
    labels[pen] = Tissue.PEN
    return labels


def _is_smooth(green: Floats, density: Floats, coarse: Floats) -> Mask:
    """Cells whose density in green hardly varies."""
    variation = np.sqrt(coarse) / (green + 1) / np.log(10)
    return np.asarray(variation < _SMOOTH * density)


def _is_black(total: Floats, share: Floats) -> Mask:
    return np.asarray(np.any([(np.ptp(share, axis=2) < spread) & (total > least) for spread, least in _BLACK], axis=0))


def _pen(total: Floats, share: Floats, apart: Floats, smooth: Mask, densest: float) -> Mask:
    from scipy import ndimage

    red, green, blue = np.moveaxis(share, 2, 0)
    no_tissue = (red > green) | (blue > _MAX_BLUE_OF_TISSUE) | (total > densest)
    coloured = (apart > _APART_WHERE_SMOOTH) & smooth
    coloured |= (apart > _APART) & no_tissue
    coloured |= _is_black(total, share)
    ink = ndimage.binary_opening(coloured & (total > _PALEST_INK), iterations=1)
    kept = _components_of(ink, _SMALLEST_PEN_MM2)
    # The rim of a stroke is too pale to be told by its colour.
    return np.asarray(ndimage.binary_dilation(kept, iterations=_PEN_RIM_CELLS))


def _tissue(total: Floats, share: Floats, apart: Floats, pen: Mask, scanned: Mask) -> Mask:
    from scipy import ndimage

    threshold = np.clip(_otsu(total[scanned & ~pen]), *_PALEST_TISSUE)
    coloured = (share[..., 1] > _MIN_GREEN_OF_TISSUE) | ((apart <= _APART) & (total > _PALEST_INK))
    dyed = (total > threshold) & coloured & ~pen
    closed = ndimage.binary_closing(np.pad(dyed, 2), iterations=2)[2:-2, 2:-2]
    tissue = _components_of(closed, _SMALLEST_TISSUE_MM2)
    small_holes = ~tissue & ~_components_of(~tissue, _SMALLEST_HOLE_MM2)
    return np.asarray((tissue | small_holes) & ~pen)


def _folds(density: Floats, total: Floats, share: Floats, tissue: Mask) -> Mask:
    from scipy import ndimage

    measures = np.stack([total, dyes(density)[..., 1], share[..., 0], share[..., 2]])
    usual = np.stack([_usual(values, tissue) for values in measures])
    denser = (measures[:2] > _DENSER * usual[:2]).all(axis=0)
    same = (np.abs(measures - usual)[2:] < _SAME_COLOUR).all(axis=0)
    dense = tissue & denser & same
    band = ndimage.binary_opening(ndimage.binary_closing(np.pad(dense, 3), iterations=3)[3:-3, 3:-3], iterations=1)
    labels, count = ndimage.label(band, structure=np.ones((3, 3)))
    narrow = [
        number
        for number, box in enumerate(ndimage.find_objects(labels, count), start=1)
        if _is_long_and_narrow(labels[box] == number)
    ]
    # The edge of a fold slopes, so that smoothing and opening leave it out.
    return np.asarray(ndimage.binary_dilation(np.isin(labels, narrow)) & tissue)


def _is_long_and_narrow(mask: Mask) -> bool:
    """Whether the ellipse with the same second moments is."""
    cells = np.argwhere(mask)
    if len(cells) < 3:
        return False
    width, length = 4 * np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(cells.T)), 1 / 12))
    long_enough = length * _CELL_UM >= _FOLD_LENGTH_MM * UM_PER_MM
    narrow_enough = width * _CELL_UM <= _FOLD_WIDTH_MM * UM_PER_MM
    return bool(long_enough and narrow_enough and length >= _FOLD_LENGTH_BY_WIDTH * width)


def _usual(values: Floats, tissue: Mask) -> Floats:
    """Median of the tissue around each cell, on every second row and column."""
    from scipy import ndimage

    coarse, inside = values[::2, ::2], tissue[::2, ::2]
    reach = _SURROUNDINGS_CELLS / 2
    weight = np.maximum(ndimage.gaussian_filter(inside.astype(np.float32), reach), 1e-6)
    mean = ndimage.gaussian_filter(np.where(inside, coarse, 0).astype(np.float32), reach) / weight
    median = ndimage.median_filter(np.where(inside, coarse, mean), _SURROUNDINGS_CELLS // 2)
    whole = median.repeat(2, axis=0).repeat(2, axis=1)
    return np.asarray(whole[: values.shape[0], : values.shape[1]])


def _blurred(fine: Floats, coarse: Floats) -> Mask:
    """Cells around which most that show anything are out of focus."""
    from scipy import ndimage

    fine, coarse = (ndimage.gaussian_filter(energy, 1) for energy in (fine, coarse))
    telling = coarse > _MIN_CONTRAST
    dull = telling & (fine < _SHARP * coarse)
    around = [ndimage.uniform_filter(cells.astype(np.float32), _FOCUS_CELLS) for cells in (dull, telling)]
    return np.asarray((around[0] > 0.5 * around[1]) & (around[1] > 0))


def _detail(green: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Energy in each cell of detail of about 3 micrometres, and of about 12."""
    from scipy import ndimage

    # Finer still is what JPEG leaves of a blurred picture.
    fine = ndimage.gaussian_filter(green, 0.7) - ndimage.gaussian_filter(green, 1.4)
    coarse = ndimage.uniform_filter(green, 4) - ndimage.uniform_filter(green, 12)
    return _binned(fine**2, _CELL_PX), _binned(coarse**2, _CELL_PX)


def _binned(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Mean of blocks of ``size`` x ``size`` pixels."""
    rows, columns = values.shape[0] // size, values.shape[1] // size
    return np.asarray(values.reshape(rows, size, columns, size, *values.shape[2:]).mean(axis=(1, 3)))


def _components_of(mask: Mask, least_mm2: float) -> Mask:
    """Connected parts that are large enough."""
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    sizes_mm2 = np.bincount(labels.ravel(), minlength=count + 1) * (_CELL_UM / UM_PER_MM) ** 2
    return np.asarray((sizes_mm2 >= least_mm2)[labels] & mask)


def _otsu(values: Floats) -> float:
    """Threshold that separates values into two groups of the largest variance between them (Otsu 1979); 0 without."""
    counts, edges = np.histogram(values, bins=256, range=(0, 1.5))
    centres = (edges[1:] + edges[:-1]) / 2
    below = counts.cumsum()
    above = counts.sum() - below
    sums = (counts * centres).cumsum()
    between = (sums * above - (sums[-1] - sums) * below) ** 2 / np.maximum(below * above, 1)
    return float(centres[between.argmax()]) if between.any() else 0.0
