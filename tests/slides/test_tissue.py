from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from preop.errors import InvalidInputError
from preop.slides import Slide, Tissue, assessable, find_tissue
from preop.slides.levels import Pixels
from preop.slides.tissue import DYES, densities, dyes
from tests.slides.pictures import disc, inked, stained

Write = Callable[..., Path]
UM_PER_PIXEL = 0.5
SIDE = 2048
INKS = {
    "blue": (40, 60, 180),
    "green": (30, 150, 90),
    "turquoise": (40, 160, 170),
    "black": (40, 40, 40),
    "red": (220, 40, 30),
}


def labels_of(path: Path) -> np.ndarray:
    with Slide(path) as slide:
        return find_tissue(slide).voxels


def cells(where: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Cells of 32 pixels that lie wholly in a mask of pixels."""
    rows, columns = (side // 32 for side in where.shape)
    found = where[: rows * 32, : columns * 32].reshape(rows, 32, columns, 32).all(axis=(1, 3))
    return np.pad(found, [(0, shape[0] - rows), (0, shape[1] - columns)])


def shares_of(labels: np.ndarray, where: np.ndarray) -> np.ndarray:
    inside = labels[cells(where, labels.shape)]
    return np.bincount(inside, minlength=5) / inside.size


@pytest.fixture(scope="module")
def tissue() -> Pixels:
    return disc(SIDE)


def distance() -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    return np.hypot(y, x)


def test_tissue_is_told_from_background(write: Write, tissue: Pixels) -> None:
    labels = labels_of(write(tissue))
    assert shares_of(labels, distance() < 0.34)[Tissue.TISSUE] == 1
    assert shares_of(labels, distance() > 0.36)[Tissue.BACKGROUND] == 1


@pytest.mark.parametrize("colour", INKS.values(), ids=INKS)
def test_ink_is_no_tissue_beside_it_or_on_it(write: Write, tissue: Pixels, colour: tuple[int, int, int]) -> None:
    where = np.zeros((SIDE, SIDE), bool)
    where[96:256, 100:1900] = True  # beside
    where[1000:1200, 100:1150] = True  # partly on it
    labels = labels_of(write(inked(tissue, where, colour)))
    assert shares_of(labels, where)[Tissue.PEN] > 0.95
    away = ndimage.distance_transform_edt(~where[::8, ::8]).repeat(8, 0).repeat(8, 1) > 15
    assert shares_of(labels, away)[Tissue.PEN] == 0
    assert shares_of(labels, away & (distance() < 0.34))[Tissue.TISSUE] > 0.99


def test_a_fold_is_found(write: Write, tissue: Pixels) -> None:
    where = np.zeros((SIDE, SIDE), bool)
    where[600:1500, 900:1100] = True
    folded = tissue.copy()
    folded[where] = (245 * (tissue[where] / 245.0) ** 2).astype(np.uint8)
    labels = labels_of(write(folded))
    assert shares_of(labels, where)[Tissue.FOLD] > 0.75
    y, x = np.mgrid[:SIDE, :SIDE]
    away = (y < 500) | (y > 1600) | (x < 800) | (x > 1200)
    assert shares_of(labels, away)[Tissue.FOLD] == 0


def test_what_is_out_of_focus_is_found(write: Write, tissue: Pixels) -> None:
    blurred = tissue.copy()
    blurred[:, :1000] = ndimage.gaussian_filter(tissue, (8, 8, 0))[:, :1000]
    labels = labels_of(write(blurred))
    across = np.arange(SIDE)[None, :] + np.zeros((SIDE, 1), int)
    assert shares_of(labels, (distance() < 0.3) & (across < 900))[Tissue.BLUR] > 0.95
    assert shares_of(labels, (distance() < 0.3) & (across > 1100))[Tissue.TISSUE] > 0.99


def test_dense_epithelium_and_lymphoid_tissue_are_no_folds(write: Write) -> None:
    rng = np.random.default_rng(1)
    fibres = ndimage.gaussian_filter(rng.standard_normal((2048, 2048)), (1, 8))
    nuclei = ndimage.gaussian_filter((rng.random((2048, 2048)) < 0.02).astype(float), 4) * 25
    dense = np.zeros((2048, 2048))
    dense[800:1200, 400:1600] = 1
    labels = labels_of(write(stained(0.1 + dense * nuclei, (0.4 + 0.5 * fibres).clip(0.1))))
    assert not (labels == Tissue.FOLD).any()


@pytest.mark.parametrize("ink", [None, INKS["green"]], ids=["nothing", "only pen"])
def test_a_slide_without_tissue_has_no_tiles(write: Write, ink: tuple[int, int, int] | None) -> None:
    picture = np.full((1024, 1024, 3), 243, np.uint8)
    if ink:
        picture[300:500, 100:900] = ink
    with Slide(write(picture)) as slide:
        mask = assessable(find_tissue(slide))
        assert not mask.voxels.any()
        with pytest.raises(InvalidInputError, match="has no tile of 128 micrometres of which 50% are tissue"):
            slide.tiling(within=mask)


def test_the_real_region_is_tissue_without_artefacts(data: Path) -> None:
    labels = labels_of(data / "slides" / "cmu_1_small_region.svs")
    found = np.bincount(labels.ravel(), minlength=5) / labels.size
    assert 0.37 < found[Tissue.TISSUE] < 0.43  # of the cells 39 % hold dye
    assert found[2:].tolist() == [0, 0, 0]


def test_pen_and_blur_are_found_on_the_real_region(write: Write, data: Path) -> None:
    with Slide(data / "slides" / "cmu_1_small_region.svs") as slide:
        picture = slide.overview(0.499)
    where = np.zeros(picture.shape[:2], bool)
    where[1700:1900, 200:2000] = True
    drawn = inked(picture, where, INKS["blue"])
    drawn[2200:] = ndimage.gaussian_filter(picture, (8, 8, 0))[2200:]
    labels = labels_of(write(drawn, 0.499))
    assert shares_of(labels, where)[Tissue.PEN] > 0.9
    blurred = labels[2300 // 32 :]
    assert (blurred == Tissue.BLUR).sum() > 0.85 * (blurred != Tissue.BACKGROUND).sum()
    sharp = labels[: 1600 // 32]
    assert (sharp == Tissue.TISSUE).sum() > 0.99 * (sharp != Tissue.BACKGROUND).sum()


def test_dyes_are_unmixed() -> None:
    amounts = np.array([[[0.5, 0.0], [0.2, 0.7]]])
    light = 245 * 10.0 ** -(amounts @ DYES)
    assert dyes(densities(light, 245.0)) == pytest.approx(amounts, abs=0.01)
