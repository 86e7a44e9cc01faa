"""What the networks cannot do on real tissue is not assessed there, by name; and on slides that look like those of training it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import Case, read_case
from preop.imaging import Image
from preop.slides import Slide, find_tissue, write_slide
from primary_growth_pattern.appearance import MEASURES, appearance_of, ranges_of, unlike
from primary_growth_pattern.examination import SLIDE, score_slide
from primary_growth_pattern.findings import NetworksInfo, RealTissueFigure
from primary_growth_pattern.inference import load_model, predict
from primary_growth_pattern.limits import LYMPHOCYTES, RESTS_ON, STROMA, TUMOUR, not_assessed
from primary_growth_pattern.score_card import DEFINITIONS, NOT_MEASURED
from primary_growth_pattern.tissue import load_networks, readable
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

FOLDER = ROOT / "algorithms" / "primary_growth_pattern"
INFO = load_networks(FOLDER / "model" / "networks").info
UNKNOWN_LOOK = "density 0.3 instead of 0.7 to 1.2"


def with_figures(**values: float) -> NetworksInfo:
    """The shipped networks, had they been compared with real tissue like this."""
    figures = {
        name.replace("_", " "): RealTissueFigure(
            measure="Dice by area", value=value, expected=0.8, measured_on="fields"
        )
        for name, value in values.items()
    }
    return INFO.model_copy(update={"real_tissue": figures})


def test_every_item_rests_on_something_that_the_networks_find() -> None:
    assert RESTS_ON.keys() == DEFINITIONS.keys()
    assert all(RESTS_ON.values())


def test_on_a_slide_like_those_of_the_validation_only_items_that_failed_there_are_not_assessed() -> None:
    assert not_assessed(INFO, None) == INFO.unreliable


def test_on_another_slide_an_item_is_assessed_only_if_all_it_rests_on_was_found_on_real_tissue() -> None:
    proven = with_figures(tumour=0.85, stroma=0.9, lymphocytes=0.6)
    reasons = not_assessed(proven, UNKNOWN_LOOK)
    assert "tumour_stroma_ratio" not in reasons
    assert "lymphocytes (Dice by area 0.60, 0.8 is asked for)" in reasons["lymphocytes"]
    assert "tumour buds (never compared)" in reasons["budding"]
    assert UNKNOWN_LOOK in reasons["budding"]
    assert reasons["necrosis"] == INFO.unreliable["necrosis"]  # it failed already where the truth is known


def test_an_item_whose_agreement_was_not_measured_is_not_assessed_anywhere() -> None:
    older = {name: figures for name, figures in INFO.agreement.items() if name != "gland_formation"}
    reasons = not_assessed(INFO.model_copy(update={"agreement": older}), None)
    assert reasons.keys() == INFO.unreliable.keys() | {"gland_formation"}
    assert "never measured" in reasons["gland_formation"]
    assert not_assessed(INFO.model_copy(update={"agreement": {}}), None) == {}  # networks that were just trained


def test_nothing_that_was_never_compared_counts_as_proven() -> None:
    assert not_assessed(with_figures(), UNKNOWN_LOOK).keys() == DEFINITIONS.keys()


def test_the_shipped_figures_are_of_the_networks_that_ship_and_name_what_they_are_of() -> None:
    assert INFO.real_tissue.keys() == {TUMOUR, LYMPHOCYTES}
    assert STROMA not in INFO.real_tissue  # no reference outlines it
    assert INFO.validated_appearance.keys() == MEASURES.keys()


def test_a_slide_is_unlike_in_the_respects_that_lie_outside_of_the_range() -> None:
    usual = dict.fromkeys(MEASURES, 1.0)
    ranges = ranges_of([usual, dict.fromkeys(MEASURES, 2.0)])
    assert (ranges["density"].low, ranges["density"].high) == pytest.approx((0.9, 2.1), abs=2e-4)
    assert unlike(usual, ranges) is None
    assert unlike(usual | {"density": 2.5}, ranges) == "density 2.5 instead of 0.9 to 2.1"
    assert unlike(usual | {"density": float("nan")}, ranges) is not None
    assert unlike(usual, {}) is None  # nothing is known of slides on which networks were validated


def test_more_dye_and_more_blur_show_in_the_measures(tmp_path: Path) -> None:
    from scipy import ndimage

    rng = np.random.default_rng(0)
    pattern = ndimage.gaussian_filter(rng.standard_normal((512, 512)), 1.0)
    pale = 200 - 60 * (pattern > 0)[..., None] * np.array([0.6, 1.0, 0.5])
    found = {}
    for name, pixels in {
        "pale": pale,
        "dark": 0.6 * pale,
        "blurred": ndimage.gaussian_filter(pale, (2, 2, 0)),
    }.items():
        path = tmp_path / f"{name}.tif"
        write_slide([pixels.astype(np.uint8)], (512, 512), 1.0, path)
        with Slide(path) as slide:
            found[name] = appearance_of(slide, slide_mask(slide))
    assert found["dark"]["density"] == pytest.approx(found["pale"]["density"] - 3 * np.log10(0.6), abs=0.03)
    assert found["blurred"]["sharpness"] < 0.7 * found["pale"]["sharpness"]


def slide_mask(slide: Slide) -> Image:
    geometry = slide.geometry(16.0)
    return Image(np.ones(geometry.shape, np.uint8), geometry)


@pytest.mark.parametrize("name", ["desmoplastic", "not_desmoplastic", "not_desmoplastic_mask"])
def test_bundled_cases_look_like_the_slides_of_the_validation(name: str) -> None:
    case = read_case(read_algorithm(FOLDER), FOLDER / "test" / name / "input")
    with case.open(SLIDE, Slide) as slide:
        mask = case.flat_mask("tissue-mask", pixel_mm=0.016) if "tissue-mask" in case else readable(find_tissue(slide))
        assert unlike(appearance_of(slide, mask), INFO.validated_appearance) is None


def test_no_field_of_real_tissue_looks_like_the_slides_of_the_validation(data: Path, tmp_path: Path) -> None:
    histology = data / "real" / "histology"
    fields = [(path, 0.62) for path in sorted((histology / "glas").glob("train_*.jpg"))[::6]]
    fields += [(path, 0.55) for path in sorted((histology / "crc_nuclei").glob("img*.jpg"))[::8]]
    if not fields:
        pytest.skip(f"no fields of real tissue below {histology}")
    for path, um_per_pixel in fields:
        pixels = np.asarray(PillowImage.open(path).convert("RGB"))
        stored = tmp_path / "field.tif"
        write_slide([pixels], pixels.shape[:2], um_per_pixel, stored)
        with Slide(stored) as slide:
            assert unlike(appearance_of(slide, slide_mask(slide)), INFO.validated_appearance), path.name


def test_of_a_real_field_no_item_is_assessed_and_each_says_why(data: Path, tmp_path: Path) -> None:
    path = data / "real" / "histology" / "glas" / "train_1.jpg"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    pixels = np.asarray(PillowImage.open(path).convert("RGB"))
    write_slide([pixels], pixels.shape[:2], 0.62, tmp_path / "field.tif")
    with Slide(tmp_path / "field.tif") as slide:
        card = score_slide(slide, load_networks(FOLDER / "model" / "networks"))
    assert not any(item.assessed for item in card.items)
    assert "on real tissue the networks were not shown to find" in str(card.item("tumour_stroma_ratio").not_assessed)


def test_nothing_is_decided_on_the_small_real_region_and_its_items_are_not_assessed_by_name(data: Path) -> None:
    path = data / "slides" / "cmu_1_small_region.svs"
    if not path.is_file():
        pytest.skip(f"there is no {path}")
    algorithm = read_algorithm(FOLDER)
    outputs = predict(Case(algorithm, "cmu", {SLIDE: path}, {}), load_model(FOLDER / "model", algorithm))
    explanation = outputs["growth-pattern-explanation"]
    assert explanation["assessable"] == "no"  # it has less tissue than the one field in which buds are counted
    assert explanation["decision"] == "none"
    assert explanation["models"]["score card"]["likelihood"] is None
    assert len(explanation["items_not_assessed"]) == len(DEFINITIONS) + len(NOT_MEASURED)
    assert "looks like none of those on which it was validated" in explanation["items_not_assessed"]["Tumour budding"]
