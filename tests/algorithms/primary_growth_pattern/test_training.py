"""Training of both models on a cohort, of which some patients have several slides."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from preop.cohort import Cohort, Patient, read_cohort, write_source
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import check_outputs
from preop.mil import Settings as MilSettings
from primary_growth_pattern.examination import SLIDE, card_of_patient
from primary_growth_pattern.inference import load_model, predict
from primary_growth_pattern.score_card import DEFINITIONS, NOT_MEASURED, Item, ScoreCard
from primary_growth_pattern.simulation import SOURCE, draw_patient
from primary_growth_pattern.training import Settings, fit, growth_pattern, prepare, slides_of
from primary_growth_pattern.weakly_supervised import NetworkSettings
from tests.conftest import ROOT, one_process

pytestmark = pytest.mark.slow

FOLDER = ROOT / "algorithms" / "primary_growth_pattern"
ALGORITHM = read_algorithm(FOLDER)
SHAPE_PX = (3072, 1536)
PATIENTS = 8
QUICK = MilSettings(epochs=2, folds=2, instances_per_batch=256)


@pytest.fixture(autouse=True, scope="module")
def _in_this_process() -> Iterator[None]:
    with one_process():
        yield


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Narrow slides; the first patient has a second one, and readers' scores of two items."""
    folder = tmp_path_factory.mktemp("primary")
    rows = []
    for number in range(PATIENTS):
        name = f"p{number}"
        draw_patient(11, number, shape_px=SHAPE_PX).write_slide(folder / f"{name}.tif")
        rows.append(
            {"patient": name, SLIDE: f"{name}.tif", "centre": "AB"[number % 2], "desmoplastic": number // 2 % 2}
        )
        rows[-1] |= {"reader_budding": number, "reader_tumour_stroma_ratio": 0.5, f"{SLIDE}-2": ""}
    rows[0][f"{SLIDE}-2"] = "p1.tif"
    with (folder / "cohort.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_source(SOURCE, folder / "cohort.csv")
    return read_cohort(folder / "cohort.csv", ALGORITHM)


@pytest.fixture(scope="module")
def trained(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    fit(cohort, folder / "model", folder / "report", Settings(training=QUICK, folds=2))
    return folder


def test_the_trained_model_predicts_its_own_kind_of_case(cohort: Cohort, trained: Path) -> None:
    model = load_model(trained / "model", ALGORITHM)
    case = cohort.patients[0].case
    check_outputs(predict(case, model), ALGORITHM, case)
    assert model.info.training_data.simulated
    assert model.info.training_data.patients == PATIENTS
    assert model.info.training_data.cohort_sha256 == cohort.sha256
    assert {"encoder/weights.safetensors", "networks/tissue.safetensors"} <= model.info.files.keys()


def test_the_evidence_holds_every_patient_by_every_model(cohort: Cohort, trained: Path) -> None:
    evidence = json.loads((trained / "report" / "evidence.json").read_text())
    assert [row["patient"] for row in evidence["patients"]] == [each.name for each in cohort.patients]
    assert [row["outcome"] for row in evidence["patients"]] == [number // 2 % 2 for number in range(PATIENTS)]
    assert {row["patient"] for row in evidence["by_centre"]["A"]} == {"p0", "p2", "p4", "p6"}
    for row in evidence["patients"]:
        assert set(row["scores"]) == {"unfavourable items, counted", "score card", "tiles", "combined"}
    read = {(row["patient"], row["item"]): row["read"] for row in evidence["readings"]}
    assert all(value == 0.5 for (_, item), value in read.items() if item == "Tumour-stroma ratio")
    assert any(item == "Tumour-stroma ratio" for _, item in read)


def test_the_report_shows_both_models_and_that_patients_are_simulated(trained: Path) -> None:
    page = (trained / "report" / "report.html").read_text()
    for words in ("Simulated patients", "score card and tiles", "Tumour-stroma ratio", "combined"):
        assert words in page
    assert not (trained / "report" / "work").exists()


def test_slides_of_a_patient_are_one_bag_and_an_interrupted_preparation_goes_on(cohort: Cohort, tmp_path: Path) -> None:
    few = Cohort(cohort.path, ALGORITHM, cohort.source, cohort.patients[:2])
    (both, second), _ = prepare(few, FOLDER / "model", NetworkSettings(), tmp_path)
    assert both.bag.size == both.min_tiles + both.max_tiles
    assert second.bag.size in (both.min_tiles, both.max_tiles)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    (again, _), _ = prepare(few, FOLDER / "model", NetworkSettings(instances="regions"), tmp_path)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert again.card == both.card
    assert len(again.bag.instances) == 2  # tiles of regions, and which are there


def item(name: str, value: float | None) -> Item:
    return Item(
        name=name,
        title=name,
        value=value,
        unit="",
        category=None,
        cut_off=None,
        rule="",
        source="",
        unfavourable=None,
        not_assessed=None if value is not None else "no tumour",
        measures={},
        regions=(),
    )


def test_an_item_is_that_of_the_slide_where_it_is_largest() -> None:
    first = ScoreCard(items=tuple(item(name, 1.0) for name in DEFINITIONS))
    second = ScoreCard(items=tuple(item(name, 2.0 if name == "budding" else None) for name in DEFINITIONS))
    third = ScoreCard(items=tuple(item(name, None) for name in DEFINITIONS))
    merged = card_of_patient([first, second, third])
    assert merged.item("budding").value == 2
    assert merged.item("margin").value == 1
    assert card_of_patient([third, third]).item("margin").value is None
    assert [each.name for each in merged.items] == [*DEFINITIONS, *NOT_MEASURED]


def patient(**row: str) -> Patient:
    return Patient("p", "", Case(ALGORITHM, "p", {SLIDE: Path("p.tif")}, {}), row)


def test_an_unknown_growth_pattern_or_a_missing_slide_is_refused(tmp_path: Path) -> None:
    assert growth_pattern(patient(desmoplastic="1"))
    for value, sentence in (("2", "expected 0 or 1"), ("", "expected a number"), ("often", "expected a number")):
        with pytest.raises(InvalidInputError, match=sentence):
            growth_pattern(patient(desmoplastic=value))
    with pytest.raises(InvalidInputError, match=r"Patient p: there is no file .*second\.tif"):
        slides_of(patient(**{f"{SLIDE}-2": "second.tif"}), tmp_path)
