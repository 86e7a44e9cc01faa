"""The liver algorithm as the platform runs it: all answers follow from one distribution, bad cases end in one sentence."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import altair as alt
import numpy as np
import pytest
import torch

from liver_growth_pattern import inference
from liver_growth_pattern.explanation import FOUND_BY_NETWORK, FOUND_ON_ANOTHER_KIND_OF_SCAN
from liver_growth_pattern.inference import predict
from liver_growth_pattern.lesions import CT, SEGMENTATION, find_lesions
from liver_growth_pattern.model import DETECTION_NETWORK, LIVER, ORGAN_NETWORKS, load_model
from liver_growth_pattern.simulation import CENTRES, draw_facts, draw_patient
from preop.errors import InvalidInputError, InvalidModelError
from preop.folders import sha256
from preop.grandchallenge.cases import Case, read_case
from preop.grandchallenge.outputs import check_outputs
from preop.imaging import Geometry, Image, read_image
from preop.segmentation import write_organ_network
from tests.conftest import ROOT
from tests.segmentation.networks import dataset_of, make_network, plans_of, weights_of

from .conftest import ALGORITHM

pytestmark = pytest.mark.slow

FOLDER = ROOT / "algorithms" / "liver_growth_pattern"
MODEL = load_model(FOLDER / "model", ALGORITHM)
NAME = "non_desmoplastic"
PATTERNS = ("desmoplastic", "replacement", "pushing")


def in_memory(ct: Image, lesions: Image) -> Case:
    return Case(ALGORITHM, "case", {CT: Path("ct"), SEGMENTATION: Path("lesions")}, {}, {CT: ct, SEGMENTATION: lesions})


def ct_alone(ct: Image) -> Case:
    return Case(ALGORITHM, "case", {CT: Path("ct")}, {}, {CT: ct})


def bundled(case: str = NAME) -> tuple[Image, Image]:
    read = read_case(ALGORITHM, FOLDER / "test" / case / "input")
    return read.image(CT), read.image(SEGMENTATION)


@pytest.fixture(scope="module")
def outputs() -> dict[str, Any]:
    return predict(in_memory(*bundled()), MODEL)


def test_the_answers_of_a_metastasis_do_not_contradict_each_other(outputs: dict[str, Any]) -> None:
    for row in outputs["growth-patterns"]["metastases"]:
        shares = [row["shares"][pattern] for pattern in PATTERNS]
        assert sum(share["expected"] for share in shares) == pytest.approx(1)
        assert all(share["low"] <= share["high"] for share in shares)
        assert sum(row["probability_predominant"].values()) == pytest.approx(1)
        assert row["predominant"] == max(row["probability_predominant"], key=row["probability_predominant"].get)
        half = row["probability_desmoplastic_half_or_more"]
        assert row["probability_purely_desmoplastic"] <= half <= 1


def test_the_patient_follows_from_the_metastases(outputs: dict[str, Any]) -> None:
    result = outputs["growth-patterns"]
    likelihood = outputs["non-desmoplastic-likelihood"]
    pure = [row["probability_purely_desmoplastic"] for row in result["metastases"]]
    assert result["metastases_judged"] == len(pure) == 3
    assert 1 - likelihood <= min(pure) + 1e-9
    assert result["probability_all_metastases_purely_desmoplastic"] == pytest.approx(1 - likelihood)
    called = likelihood >= result["decision_threshold"]
    assert result["decision"] == ("non-desmoplastic" if called else "desmoplastic")


def test_points_map_and_chart_show_the_table(outputs: dict[str, Any]) -> None:
    _, lesions = bundled()
    rows = outputs["growth-patterns"]["metastases"]
    for row, point in zip(rows, outputs["liver-metastases"]["points"], strict=True):
        place = lesions.geometry.index_zyx(np.array([point["point"]]))[0].round().astype(int)
        assert lesions.voxels[tuple(place)] == row["metastasis"]
        assert point["name"] == f"metastasis {row['metastasis']}: {row['predominant']}"
        assert point["probability"] == pytest.approx(1 - row["probability_purely_desmoplastic"])
        shown = np.unique(outputs["growth-pattern-map"].voxels[lesions.voxels == row["metastasis"]])
        assert shown.tolist() == [1 + PATTERNS.index(row["predominant"])]
    assert not outputs["growth-pattern-map"].voxels[lesions.voxels == 0].any()
    chart = outputs["growth-pattern-chart"]
    alt.Chart.from_dict(chart, validate=True)
    assert len(chart["data"]["values"]) == 3 * len(rows)


def test_what_a_metastasis_is_judged_by_is_told_by_learner_region_and_feature(outputs: dict[str, Any]) -> None:
    explanation = outputs["growth-pattern-explanation"]
    assert set(explanation["weight_of"]) == {"radiomics", "network"}
    for row in explanation["metastases"]:
        assert set(row["by_region"]) == {"core", "inner ring", "outer ring"}
        sizes = [abs(each["contribution_log_odds"]) for each in row["features"]]
        assert sizes == sorted(sizes, reverse=True)
        assert all(each["label"].split(":")[0] in {*row["by_region"], "volume"} for each in row["features"])


def test_all_outputs_are_what_the_platform_takes(outputs: dict[str, Any]) -> None:
    check_outputs(outputs, ALGORITHM, in_memory(*bundled()))


def test_a_mask_gives_the_metastases_that_its_labels_would(outputs: dict[str, Any]) -> None:
    ct, lesions = bundled()
    by_mask = predict(in_memory(ct, lesions.with_voxels((lesions.voxels > 0).astype(np.uint8))), MODEL)
    assert by_mask["non-desmoplastic-likelihood"] == pytest.approx(outputs["non-desmoplastic-likelihood"], abs=1e-4)


def test_the_shipped_model_says_that_it_was_trained_on_simulated_patients(outputs: dict[str, Any]) -> None:
    assert MODEL.info.training_data.simulated
    result = outputs["growth-patterns"]
    assert result["model"]["simulated_patients"]
    assert (
        result["warnings"][-1]
        == "The model was trained on simulated patients: its figures say nothing about real ones."
    )
    assert "not a medical device" in result["disclaimer"]


def test_the_model_is_a_few_megabytes() -> None:
    assert sum(path.stat().st_size for path in (FOLDER / "model").iterdir()) < 8e6


# --- patients for whom it is not made


def warnings_of(ct: Image, lesions: Image) -> list[str]:
    return list(predict(in_memory(ct, lesions), MODEL)["growth-patterns"]["warnings"])


def test_an_arterial_phase_is_warned_of() -> None:
    number = next(i for i in range(50) if len(draw_facts(8, i).metastases) == 1)
    portal, arterial = (draw_patient(8, number, only_around=True, arterial=each) for each in (False, True))
    assert any("arterial phase" in warning for warning in warnings_of(arterial.ct, arterial.reader))
    assert not any("arterial phase" in warning for warning in warnings_of(portal.ct, portal.reader))


def test_thick_slices_are_warned_of() -> None:
    ct, lesions = bundled()
    thick = Geometry(ct.shape, (9.0, *ct.spacing_mm[1:]), ct.geometry.origin_mm, ct.geometry.direction)
    warnings = warnings_of(Image(ct.voxels, thick), Image(lesions.voxels, thick))
    assert any("Slices are 9 mm apart" in warning for warning in warnings)


def test_60_metastases_are_judged_and_warned_of() -> None:
    shape, spacing = (30, 220, 220), (5.0, 1.2, 1.2)
    rng = np.random.default_rng(0)
    hu = rng.normal(110, 10, shape).astype(np.int16)
    hu[0] = -100  # fat below the liver
    labels = np.zeros(shape, dtype=np.uint8)
    places = [(z, y, x) for z in (4, 11, 18, 25) for y in range(20, 220, 50) for x in range(20, 220, 50)][:60]
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    for number, (cz, cy, cx) in enumerate(places, start=1):
        ball = (5.0 * (z - cz)) ** 2 + (1.2 * (y - cy)) ** 2 + (1.2 * (x - cx)) ** 2 <= 8**2
        hu[ball] -= 40
        labels[ball] = number
    grid = Geometry.axis_aligned(shape, spacing)
    outputs = predict(in_memory(Image(hu, grid), Image(labels, grid)), MODEL)
    assert len(outputs["growth-patterns"]["metastases"]) == 60
    assert any("60 metastases were assessed" in warning for warning in outputs["growth-patterns"]["warnings"])


def test_a_metastasis_outside_the_liver_is_marked_as_not_judged() -> None:
    ct, lesions = bundled()
    hu, labels = (
        np.pad(image.voxels, ((0, 0), (0, 60), (0, 0)), constant_values=fill)
        for image, fill in ((ct, -100), (lesions, 0))
    )
    z, y, x = np.ogrid[: hu.shape[0], : hu.shape[1], : hu.shape[2]]
    grid = Geometry(hu.shape, ct.spacing_mm, ct.geometry.origin_mm, ct.geometry.direction)
    middle = hu.shape[0] // 2, hu.shape[1] - 20, hu.shape[2] // 2
    spacing = ct.spacing_mm
    distance = sum(((axis - place) * mm) ** 2 for axis, place, mm in zip((z, y, x), middle, spacing, strict=True))
    labels[distance <= 6**2] = 9
    outputs = predict(in_memory(Image(hu, grid), Image(labels, grid)), MODEL)
    assert {row["metastasis"] for row in outputs["growth-patterns"]["metastases"]} == {1, 2, 3}
    assert (outputs["growth-pattern-map"].voxels[labels == 9] == 4).all()
    assert any("no liver around: 1 metastasis (9)" in note for note in outputs["growth-patterns"]["notes"])


def test_an_empty_segmentation_is_refused() -> None:
    ct, lesions = bundled()
    with pytest.raises(InvalidInputError, match="is empty: not one metastasis is segmented"):
        predict(in_memory(ct, lesions.with_voxels(lesions.voxels * 0)), MODEL)


# --- CT alone


@pytest.fixture
def with_networks(tmp_path: Path) -> Path:
    """The shipped model with small networks of random weights that find metastases and the liver."""
    folder = tmp_path / "model"
    shutil.copytree(FOLDER / "model", folder, ignore=shutil.ignore_patterns(DETECTION_NETWORK))
    make_network(folder / DETECTION_NETWORK, plans_of(spacing=(5.0, 1.5, 1.5)), dataset_of(PATTERNS))
    plans = plans_of(spacing=(3.0, 3.0, 3.0))
    weights = weights_of(plans, 1, 2, seed=0)
    outputs = max(name for name in weights if name.endswith("bias") and "seg_layers" in name)
    weights[outputs] = weights[outputs] + torch.tensor([0.0, 100.0])  # everything is liver
    write_organ_network(folder / ORGAN_NETWORKS, plans, weights, ["liver"])
    sealed(folder)
    return folder


def sealed(folder: Path) -> None:
    info = json.loads((folder / "model.json").read_text())
    files = {str(path.relative_to(folder)): sha256(path) for path in folder.rglob("*") if path.is_file()}
    info["files"] = {name: digest for name, digest in files.items() if name != "model.json"}
    (folder / "model.json").write_text(json.dumps(info))


def test_ct_alone_without_a_network_is_refused() -> None:
    ct, _ = bundled()
    with pytest.raises(InvalidModelError, match=r"holds no network that could draw it \(lesion_detection/\)"):
        predict(ct_alone(ct), replace(MODEL, detection=None))


def test_whoever_gives_outlines_is_not_told_to_approve_them(outputs: dict[str, Any]) -> None:
    assert FOUND_BY_NETWORK not in outputs["growth-patterns"]["assessable_reasons"]


def test_the_network_of_the_model_finds_and_classifies_in_one_pass(with_networks: Path) -> None:
    ct, _ = bundled()
    labels, patterns, _ = inference._detect(ct, load_model(with_networks, ALGORITHM))
    assert labels.geometry.difference(ct.geometry) is None
    assert sorted(patterns) == list(range(1, int(labels.voxels.max()) + 1))
    assert set(patterns.values()) <= set(PATTERNS)


def network_that_is_sure_of(drawn: Image) -> SimpleNamespace:
    """What a network gives that sees the first pattern where 1 is drawn, the second where 2 is."""
    sure = {
        pattern: drawn.with_voxels((drawn.voxels == value).astype(np.float32))
        for value, pattern in enumerate(PATTERNS, start=1)
    }
    return network_that_sees(drawn, sure)


def network_that_sees(drawn: Image, probabilities: dict[str, Image]) -> SimpleNamespace:
    """What a network gives that knows these labels."""

    def segment(_: Image, names: list[str]) -> tuple[Image, dict[str, Image]]:
        return drawn, {name: probabilities[name] for name in names}

    return SimpleNamespace(labels=dict.fromkeys(probabilities, 1), segment_with_probabilities=segment)


def test_a_metastasis_is_found_where_no_pattern_alone_is_likelier_than_none() -> None:
    ct, lesions = bundled()
    inside = lesions.voxels > 0
    shares = {
        pattern: ct.with_voxels(np.where(inside, share, 0))
        for pattern, share in zip(PATTERNS, (0.2, 0.25, 0.1), strict=True)
    }
    unsure = replace(MODEL, detection=network_that_sees(lesions, shares))  # type: ignore[arg-type]
    labels, patterns, liver = inference._detect(ct, unsure)
    assert ((labels.voxels > 0) == inside).all()
    assert set(patterns.values()) == {PATTERNS[1]}
    assert liver is None


def test_what_lies_outside_of_the_liver_that_the_network_draws_is_no_metastasis() -> None:
    ct, _ = bundled()
    sure, liver = np.zeros((2, *ct.shape), dtype=np.float32)
    half = ct.shape[2] // 2
    liver[:, :, : half - 4] = 0.9
    metastasis, elsewhere = (
        (slice(3, 7), slice(20, 30), slice(10, 20)),
        (slice(3, 7), slice(20, 30), slice(half, half + 10)),
    )
    sure[metastasis] = sure[elsewhere] = 0.9
    liver[metastasis] = 0
    nothing = np.zeros(ct.shape, dtype=np.float32)
    seen = {PATTERNS[0]: sure, PATTERNS[1]: nothing, PATTERNS[2]: nothing, LIVER: liver}
    network = network_that_sees(ct, {name: ct.with_voxels(voxels) for name, voxels in seen.items()})
    found = inference._detect(ct, replace(MODEL, detection=network))  # type: ignore[arg-type]
    assert found.patterns == {1: PATTERNS[0]}
    assert found.metastases.voxels[metastasis].all()
    assert not found.metastases.voxels[elsewhere].any()
    assert found.liver is not None
    assert (found.liver.voxels == ((liver > 0) | (found.metastases.voxels > 0))).all()


def test_ct_alone_gives_what_the_same_segmentation_would(with_networks: Path) -> None:
    ct, lesions = bundled()
    model = load_model(with_networks, ALGORITHM)

    # A detection network that draws these metastases, and sees another pattern in each.
    by_network = replace(model, detection=network_that_is_sure_of(lesions))  # type: ignore[arg-type]
    alone = predict(ct_alone(ct), by_network)
    drawn = predict(in_memory(ct, lesions), model)
    assert alone["non-desmoplastic-likelihood"] == pytest.approx(drawn["non-desmoplastic-likelihood"], abs=1e-5)
    for row in alone["growth-patterns"]["metastases"]:
        place = ct.geometry.index_zyx(np.array([row["position_mm"]]))[0].round().astype(int)
        assert row["pattern_by_detection"] == PATTERNS[lesions.voxels[tuple(place)] - 1]
    assert not any("told by density" in note for note in alone["growth-patterns"]["notes"])
    assert FOUND_BY_NETWORK in alone["growth-patterns"]["assessable_reasons"]


def test_what_the_network_outlines_on_a_real_ct_is_not_assessed(data: Path) -> None:
    ct = read_image(data / "liver" / "crlm_ct_1004.nii.gz")
    outputs = predict(ct_alone(ct), MODEL)
    check_outputs(outputs, ALGORITHM, ct_alone(ct))
    result = outputs["growth-patterns"]
    assert (result["assessable"], result["decision"], result["metastases"]) == ("no", "none", [])
    assert result["assessable_reasons"][0] == FOUND_ON_ANOTHER_KIND_OF_SCAN
    data_of_training = MODEL.info.training_data
    assert outputs["non-desmoplastic-likelihood"] == data_of_training.events / data_of_training.patients


def test_a_network_that_finds_nothing_is_said_so() -> None:
    ct, _ = bundled()

    nothing = ct.with_voxels(np.zeros(ct.shape, dtype=np.uint8))
    model = replace(MODEL, detection=network_that_is_sure_of(nothing))  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="found no metastasis on the CT"):
        predict(ct_alone(ct), model)


def test_a_detection_network_without_a_class_for_each_pattern_is_refused(with_networks: Path) -> None:
    shutil.rmtree(with_networks / DETECTION_NETWORK)
    make_network(with_networks / DETECTION_NETWORK, plans_of(), dataset_of(["metastasis"]))
    sealed(with_networks)
    with pytest.raises(InvalidModelError, match="has no class desmoplastic; expected one for each predominant pattern"):
        load_model(with_networks, ALGORITHM)


def test_a_changed_file_is_refused(with_networks: Path) -> None:
    path = with_networks / "growth-patterns.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(InvalidModelError, match=r"growth-patterns\.json is not the file that was written"):
        load_model(with_networks, ALGORITHM)


# --- a real CT


def test_a_hand_placed_ellipsoid_in_a_real_liver_is_measured_and_is_no_metastasis(data: Path) -> None:
    ct = read_image(data / "liver" / "crlm_ct_1004.nii.gz")
    lesions = ellipsoid_in(ct)
    outputs = predict(in_memory(ct, lesions), MODEL)
    check_outputs(outputs, ALGORITHM, in_memory(ct, lesions))
    (seen,) = find_lesions(ct, lesions).seen
    assert 30 < seen.lesion.liver_hu < 200
    assert seen.lesion.liver_share > 0.2
    assert outputs["growth-patterns"]["metastases"] == []
    assert outputs["growth-patterns"]["decision"] == "none"


def ellipsoid_in(ct: Image) -> Image:
    """The ellipsoid of docs/growth-patterns.md."""
    import sys

    sys.path.insert(0, str(ROOT / "docs"))
    from liver_pictures import hand_placed_ellipsoid

    return hand_placed_ellipsoid(ct)


def test_the_simulated_centres_are_those_of_the_card() -> None:
    assert max(centre.ct.spacing_mm[0] for centre in CENTRES) == MODEL.description.slice_mm.high
