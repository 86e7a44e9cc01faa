"""The slide algorithm as the platform runs it: both models can be traced to items and tiles, bad cases end in one sentence."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import panimg
import pytest
import tifffile

from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import Case, read_case
from preop.grandchallenge.outputs import check_outputs, write_outputs
from preop.grandchallenge.roots import Roots
from preop.imaging import Geometry, Image, read_tiff, write_tiff
from preop.slides import Slide, write_slide
from primary_growth_pattern.examination import MASK, SLIDE, Examined, examine
from primary_growth_pattern.explanation import SHOWN_TILES, assess
from primary_growth_pattern.findings import NetworksInfo
from primary_growth_pattern.inference import combine, load_model, predict
from primary_growth_pattern.model import CARD, COMBINED, TILES
from primary_growth_pattern.score_card import DEFINITIONS
from tests.conftest import ROOT
from tests.slides.pictures import disc, inked

pytestmark = pytest.mark.slow

FOLDER = ROOT / "algorithms" / "primary_growth_pattern"
ALGORITHM = read_algorithm(FOLDER)
MODEL = load_model(FOLDER / "model", ALGORITHM)
PLAIN, MASKED = "not_desmoplastic", "not_desmoplastic_mask"


@cache
def outputs_of(name: str = PLAIN) -> dict[str, Any]:
    return predict(case_of(name), MODEL)


def case_of(name: str) -> Case:
    return read_case(ALGORITHM, FOLDER / "test" / name / "input")


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """A case with a mask and the shipped model, free to be damaged."""
    shutil.copytree(FOLDER / "test" / MASKED / "input", tmp_path / "input")
    shutil.copytree(FOLDER / "model", tmp_path / "model")
    (tmp_path / "output").mkdir()
    return Roots(tmp_path / "input", tmp_path / "output", tmp_path / "model")


def file_of(roots: Roots, slug: str) -> Path:
    (path,) = (roots.input / ALGORITHM.input(slug).relative_path).iterdir()
    return path


def test_the_combined_likelihood_is_the_mean_of_both_log_odds() -> None:
    assert combine(0.2, 0.8) == pytest.approx(0.5)
    assert combine(0.9, 0.9) == pytest.approx(0.9)
    assert 0 < combine(0, 0) < combine(0, 1) < combine(1, 1) < 1
    models = outputs_of()["growth-pattern-explanation"]["models"]
    single = [models[name]["likelihood"] for name in (CARD, TILES)]
    mean = np.mean([math.log(likelihood / (1 - likelihood)) for likelihood in single])
    assert outputs_of()["desmoplastic-growth-likelihood"] == pytest.approx(1 / (1 + math.exp(-mean)))
    assert models[COMBINED]["likelihood"] == outputs_of()["desmoplastic-growth-likelihood"]


def test_a_score_card_without_an_assessed_item_leaves_no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    unreliable = dict.fromkeys(DEFINITIONS, "not on this slide")
    monkeypatch.setattr(NetworksInfo, "unreliable", property(lambda _: unreliable))
    outputs = predict(case_of(PLAIN), MODEL)
    explanation = outputs["growth-pattern-explanation"]
    assert explanation["assessable"] == "no"
    assert explanation["assessable_reasons"] == ["No item of the score card could be assessed: not on this slide."]
    assert explanation["decision"] == "none"
    assert {(each["likelihood"] is None, each["decision"]) for each in explanation["models"].values()} >= {
        (True, "none")
    }
    assert "no item assessed" in json.dumps(outputs["score-card-chart"])


@cache
def plain_slide() -> Examined:
    with case_of(PLAIN).open(SLIDE, Slide) as slide:
        return examine(slide, MODEL.networks, MODEL.encoder)


def test_a_mask_that_lies_on_background_is_told() -> None:
    seen = replace(plain_slide(), background_fraction=0.4)
    found = assess(seen, MODEL.training_patients.compare(seen.likeness, "slide"), MODEL, card_says=True)
    assert found.verdict == "limited"
    assert any(limit.startswith("40% of the given mask lies on what looks like background") for limit in found.limits)


def test_a_slide_with_less_tissue_than_one_field_leaves_no_decision() -> None:
    seen = plain_slide()
    few = replace(
        seen, tiles=replace(seen.tiles, tiling=seen.tiles.tiling.only(np.arange(40)), values=seen.tiles.values[:40])
    )
    found = assess(few, MODEL.training_patients.compare(seen.likeness, "slide"), MODEL, card_says=True)
    assert found.verdict == "no"
    assert found.prevents[0].startswith("There is too little tissue: 0.66 mm2; expected 0.79 mm2")


def test_the_score_card_explains_its_likelihood() -> None:
    explanation, card = outputs_of()["growth-pattern-explanation"], outputs_of()["score-card"]
    parts = explanation["score_card"]
    log_odds = parts["intercept_log_odds"] + sum(part["log_odds"] for part in parts["contributions"])
    assert explanation["models"][CARD]["likelihood"] == pytest.approx(1 / (1 + math.exp(-log_odds)))
    unfavourable = {item["title"] for item in card["items"] if item["unfavourable"]}
    assert set(explanation["unfavourable_items"]) == unfavourable
    for item in card["items"]:
        assert (item["value"] is None) == (item["not_assessed"] is not None)
        assert item["source"]


def test_the_heat_map_holds_what_each_tile_adds() -> None:
    heat = outputs_of()["growth-pattern-heat-map"]
    tiles = outputs_of()["growth-pattern-explanation"]["tiles"]
    per_tile = heat.voxels[4::8, 4::8]
    assert np.count_nonzero(per_tile) == tiles["number"]
    influential = tiles["most_influential"]
    assert len(influential) == SHOWN_TILES
    for tile in influential:
        place = tuple(round(tile[axis] / tiles["side_um"]) for axis in ("y_um", "x_um"))
        assert per_tile[place] == pytest.approx(tile["contribution_log_odds"])
    sizes = [abs(tile["contribution_log_odds"]) for tile in influential]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == pytest.approx(np.abs(per_tile).max())


def test_the_sheet_shows_the_most_influential_tiles() -> None:
    sheet, tiles = outputs_of()["most-influential-tiles"].pixels, outputs_of()["growth-pattern-explanation"]["tiles"]
    side = sheet.shape[1] // 5
    assert sheet.shape == (2 * side, 5 * side, 3)
    with case_of(PLAIN).open(SLIDE, Slide) as slide:
        for place, tile in enumerate(tiles["most_influential"]):
            corner = (place // 5 * side + 16, place % 5 * side + 16)
            shown = sheet[corner[0] : corner[0] + 256, corner[1] : corner[1] + 256]
            region = slide.read_region((tile["y_um"], tile["x_um"]), (256, 256), tiles["side_um"] / 256)
            assert np.array_equal(shown, region)
            frame = sheet[corner[0] - 4, corner[1]]
            assert (frame[0] > frame[2]) == (tile["contribution_log_odds"] > 0)  # orange or blue


def test_the_maps_cover_the_slide() -> None:
    with case_of(PLAIN).open(SLIDE, Slide) as slide:
        size_mm = np.array(slide.size_um) / 1000
    for slug in ("tissue-map", "growth-pattern-heat-map"):
        image = outputs_of()[slug]
        covered_mm = np.array(image.shape) * image.spacing_mm
        assert (covered_mm >= size_mm - 0.02).all()
        assert (covered_mm < size_mm + 0.13).all()


def test_the_platform_takes_tissue_map_and_heat_map(tmp_path: Path) -> None:
    case = case_of(PLAIN)
    (tmp_path / "output").mkdir()
    write_outputs(outputs_of(), case, tmp_path / "output")
    for slug in ("tissue-map", "growth-pattern-heat-map"):
        result = panimg.convert(
            input_directory=tmp_path / "output" / ALGORITHM.output(slug).relative_path,
            output_directory=tmp_path / slug,
        )
        (image,) = result.new_images
        assert image.voxel_width_mm == pytest.approx(outputs_of()[slug].spacing_mm[1], rel=1e-5)
        if slug == "tissue-map":
            assert set(image.segments) <= {0, *ALGORITHM.output(slug).overlay_segments.values()}


def test_a_mask_says_where_to_look() -> None:
    outputs, case = outputs_of(MASKED), case_of(MASKED)
    check_outputs(outputs, ALGORITHM, case)
    mask = case.flat_mask(MASK, pixel_mm=0.016)
    heat = outputs["growth-pattern-heat-map"]
    tile = round(0.128 / mask.spacing_mm[0])
    rows, columns = np.nonzero(heat.voxels[4::8, 4::8])
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        assert mask.voxels[row * tile : (row + 1) * tile, column * tile : (column + 1) * tile].mean() > 0.45


def test_the_model_says_that_it_was_trained_on_simulated_patients() -> None:
    assert MODEL.info.training_data.simulated
    explanation = outputs_of()["growth-pattern-explanation"]
    assert explanation["model"]["simulated_patients"]
    assert explanation["warnings"][-1] == (
        "The model was trained on simulated patients: its figures say nothing about real ones."
    )
    assert "not a medical device" in explanation["disclaimer"]


def test_the_chart_is_valid_vega_lite() -> None:
    chart = outputs_of()["score-card-chart"]
    alt.Chart.from_dict(chart, validate=True)
    assert "likelihood of desmoplastic growth" in json.dumps(chart)


def without_tissue(roots: Roots) -> None:
    replace_slide(roots, np.full((2048, 2048, 3), 245, np.uint8))


def only_pen(roots: Roots) -> None:
    white = np.full((2048, 2048, 3), 245, np.uint8)
    stroke = np.zeros((2048, 2048), bool)
    stroke[600:900, 200:1800] = True
    replace_slide(roots, inked(white, stroke, (30, 60, 160)))


def replace_slide(roots: Roots, picture: np.ndarray) -> None:
    """Another slide in the place of the given one, and no mask."""
    write_slide([picture], picture.shape[:2], 0.5, file_of(roots, SLIDE))
    path = roots.input / "inputs.json"
    path.write_text(json.dumps([item for item in json.loads(path.read_text()) if item["socket"]["slug"] == SLIDE]))


def without_resolution(roots: Roots) -> None:
    tifffile.imwrite(file_of(roots, SLIDE), disc(1024), tile=(256, 256), photometric="rgb")


def single_level(roots: Roots) -> None:
    tifffile.imwrite(
        file_of(roots, SLIDE),
        iter([b"x"] * 40 * 40),  # never decoded
        shape=(10_240, 10_240, 3),
        dtype=np.uint8,
        tile=(256, 256),
        photometric="rgb",
        compression="zlib",
        resolution=(20_000, 20_000),
        resolutionunit="CENTIMETER",
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def another_mask(roots: Roots) -> None:
    mask = read_tiff(file_of(roots, MASK))
    smaller = mask.voxels[: mask.shape[0] // 2].copy()
    write_tiff(Image(smaller, Geometry.axis_aligned(smaller.shape, mask.spacing_mm)), file_of(roots, MASK))


def empty_mask(roots: Roots) -> None:
    mask = read_tiff(file_of(roots, MASK))
    write_tiff(mask.with_voxels(np.zeros_like(mask.voxels)), file_of(roots, MASK))


BAD_CASES: dict[str, tuple[Callable[[Roots], object], str]] = {
    "no tissue": (without_tissue, "no tissue that can be assessed: it was taken for 100% background, 0% pen"),
    "only pen": (only_pen, "no tissue that can be assessed: it was taken for "),
    "no resolution": (
        without_resolution,
        "primary-tumour-slide: not_desmoplastic_mask.tif does not state its resolution",
    ),
    "a single level": (single_level, "has a single level of 10240 x 10240 pixels"),
    "a cut slide": (lambda roots: cut(file_of(roots, SLIDE)), "is damaged or cut off"),
    "no slide": (lambda roots: file_of(roots, SLIDE).write_text("no slide"), "not_desmoplastic_mask.tif"),
    "the mask of another slide": (another_mask, "expected a mask of the whole slide"),
    "an empty mask": (empty_mask, "tissue-mask is empty"),
    "no model": (lambda roots: (roots.model / "model.json").unlink(), "There is no model in "),
    "cut weights": (
        lambda roots: cut(roots.model / "encoder" / "weights.safetensors"),
        "encoder/weights.safetensors is not the file that was written",
    ),
}


@pytest.mark.parametrize("name", BAD_CASES)
def test_a_bad_case_ends_with_one_sentence_and_nothing_half_written(
    roots: Roots, name: str, refused: Callable[..., str]
) -> None:
    damage, sentence = BAD_CASES[name]
    damage(roots)
    assert sentence in refused(FOLDER, roots, load_model, predict)


def test_a_real_slide_of_which_nothing_can_be_scored_is_limited_and_its_score_card_decides_nothing(data: Path) -> None:
    case = Case(ALGORITHM, "real", {SLIDE: data / "slides" / "cmu_1_small_region.svs"}, {})
    explanation = predict(case, MODEL)["growth-pattern-explanation"]
    assert explanation["assessable"] in {"limited", "no"}
    assert explanation["models"][CARD] == {
        "likelihood": None,
        "decision_threshold": MODEL.description.thresholds[CARD],
        "decision": "none",
    }
