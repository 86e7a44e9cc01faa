from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from scipy import ndimage

from preop.errors import InvalidInputError
from preop.slides import Slide, Tissue, assessable, check_assessable, find_tissue
from preop.slides.levels import Pixels
from preop.slides.own_stain import own_stain
from preop.slides.tissue import DYES, densities, dyes
from tests.slides.pictures import disc, inked, stained

Write = Callable[..., Path]
Stain = tuple[float, float, float]
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


def of_another_stain(picture: Pixels, haematoxylin: Stain, eosin: Stain, strength: float = 1.0) -> Pixels:
    """The same tissue in another laboratory, separated and put together by scikit-image."""
    from skimage.color import combine_stains, hed_from_rgb, rgb_from_hed, separate_stains

    amounts = separate_stains(picture, hed_from_rgb) * strength
    vectors = rgb_from_hed.copy()
    for number, vector in enumerate((haematoxylin, eosin)):
        vectors[number] = np.array(vector) / np.linalg.norm(vector)
    return np.asarray(combine_stains(amounts, vectors) * 255, np.uint8)


def fields(folder: Path, pattern: str, count: int) -> Pixels:
    """Real fields side by side before a white rim."""
    paths = [path for path in sorted(folder.glob(pattern)) if "anno" not in path.name][:count]
    pictures = [np.asarray(PillowImage.open(path).convert("RGB")) for path in paths]
    height, width = (min(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    rows = [
        np.concatenate([picture[:height, :width] for picture in pictures[first : first + 3]], axis=1)
        for first in range(0, count, 3)
    ]
    return np.pad(np.concatenate(rows), [(200, 200), (200, 200), (0, 0)], constant_values=244)


REAL = {"glas": ("glas", "train_*.jpg", 0.62), "crc_nuclei": ("crc_nuclei", "img[2-4]*.jpg", 0.55)}


@pytest.fixture(scope="module", params=REAL)
def real(request: pytest.FixtureRequest, data: Path) -> tuple[Pixels, float]:
    folder, pattern, um_per_pixel = REAL[request.param]
    return fields(data / "real" / "histology" / folder, pattern, 9), um_per_pixel


STAINS = {
    "violet": ((0.72, 0.63, 0.28), (0.50, 0.80, 0.33), 1.0),
    "blue violet": ((0.78, 0.58, 0.22), (0.42, 0.84, 0.35), 1.0),
    "pink": ((0.45, 0.75, 0.48), (0.10, 0.90, 0.42), 1.0),
    "faded": ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), 0.4),
    "strong": ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), 1.6),
}


def test_real_tissue_of_other_scanners_is_neither_ink_nor_folded(write: Write, real: tuple[Pixels, float]) -> None:
    picture, um_per_pixel = real
    labels = labels_of(write(picture, um_per_pixel))
    inside = cells_of_inner(labels, picture, um_per_pixel)
    assert (inside == Tissue.PEN).mean() < 0.005
    assert np.isin(inside, [Tissue.FOLD, Tissue.BLUR]).mean() < 0.02
    assert (inside == Tissue.TISSUE).mean() > 0.8  # the rest is glass, and the fat of some fields


def cells_of_inner(labels: np.ndarray, picture: Pixels, um_per_pixel: float) -> np.ndarray:
    """Labels within the rim of 200 pixels."""
    rim = int(np.ceil(200 * um_per_pixel / 16))
    height, width = (int(side * um_per_pixel / 16) for side in picture.shape[:2])
    return labels[rim : height - rim, rim : width - rim]


@pytest.mark.parametrize("stain", STAINS)
def test_the_same_tissue_in_another_stain_is_no_ink(write: Write, data: Path, stain: str) -> None:
    picture = fields(data / "real" / "histology" / "glas", "train_1*.jpg", 6)
    haematoxylin, eosin, strength = STAINS[stain]
    labels = labels_of(write(of_another_stain(picture, haematoxylin, eosin, strength), 0.62))
    inside = cells_of_inner(labels, picture, 0.62)
    assert not (inside == Tissue.PEN).any()
    assert (inside == Tissue.TISSUE).mean() > 0.8


PENS = INKS | {"crimson": (210, 30, 60), "navy": (20, 30, 110), "dark green": (20, 90, 50), "orange": (240, 140, 40)}


@pytest.mark.parametrize("ink", PENS)
def test_a_broad_stroke_over_real_tissue_is_ink(write: Write, data: Path, ink: str) -> None:
    picture = fields(data / "real" / "histology" / "glas", "train_2*.jpg", 6)
    where = np.zeros(picture.shape[:2], bool)
    where[500:1000, 60:-60] = True
    labels = labels_of(write(inked(picture, where, PENS[ink]), 0.62))
    side = 16 / 0.62
    y, x = ((np.arange(count) + 0.5) * side for count in labels.shape)
    inside = ((y > 530) & (y < 970))[:, None] & ((x > 90) & (x < picture.shape[1] - 90))
    away = ((y < 440) | (y > 1060))[:, None] & np.ones(labels.shape, bool)
    assert (labels[inside] == Tissue.PEN).mean() > 0.95
    assert not (labels[away] == Tissue.PEN).any()


def test_what_was_never_scanned_is_background_though_it_is_black(write: Write, data: Path) -> None:
    picture = fields(data / "real" / "histology" / "glas", "train_3*.jpg", 6)
    padded = np.pad(picture, [(300, 500), (600, 400), (0, 0)])
    found = [np.bincount(labels_of(write(each, 0.62)).ravel(), minlength=5) for each in (picture, padded)]
    assert found[1][Tissue.PEN] == 0
    assert found[1][1:].sum() == pytest.approx(found[0][1:].sum(), rel=0.03)


def test_a_slide_without_tissue_tells_what_was_seen(write: Write, tmp_path: Path) -> None:
    picture = np.full((1024, 1024, 3), 243, np.uint8)
    picture[:512] = INKS["green"]
    with Slide(write(picture)) as slide:
        tissue = find_tissue(slide)
        with pytest.raises(
            InvalidInputError,
            match=r"slide\.tif has no tissue that can be assessed: it was taken for 4\d% background, 5\d% pen, 0% fold, 0% blur",
        ):
            check_assessable(tissue, slide.path.name, folder=tmp_path / "maps")
    drawn = np.asarray(PillowImage.open(tmp_path / "maps" / "slide-tissue-map.png"))
    assert drawn.shape == (*tissue.shape, 3)
    assert len(np.unique(drawn[tissue.voxels == Tissue.PEN], axis=0)) == 1


def test_the_stain_of_a_slide_is_the_cloud_of_its_tissue() -> None:
    rng = np.random.default_rng(0)
    share = rng.uniform(0, 1, (40, 50, 1))
    direction = share * np.array([0.25, 0.55, 0.2]) + (1 - share) * np.array([0.15, 0.5, 0.35])
    density = direction * rng.uniform(0.4, 0.8, (40, 50, 1))
    stain = own_stain(density, np.ones((40, 50), bool))
    shares = np.array([[0.2, 0.525, 0.275], [0.5, 0.4, 0.1], [0.04, 0.45, 0.51]])
    # Far from the segment between (.25, .2) and (.15, .35) of red and blue: the second by its end, the third likewise.
    expected = [0, np.hypot(0.25, 0.1), np.hypot(0.11, 0.16)]
    assert stain.distance(shares) == pytest.approx(expected, abs=0.04)
    assert stain.densest == pytest.approx(0.8, abs=0.02)


def test_dyes_are_unmixed() -> None:
    amounts = np.array([[[0.5, 0.0], [0.2, 0.7]]])
    light = 245 * 10.0 ** -(amounts @ DYES)
    assert dyes(densities(light, 245.0)) == pytest.approx(amounts, abs=0.01)
