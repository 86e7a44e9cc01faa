"""The pages of a cohort: one a patient, kept until its input or output changes, each with a picture that leads to it."""

import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from preop.cohort import Cohort, read_cohort
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.outputs import write_outputs
from preop.imaging import Geometry, Image, write_image
from preop.report.case import cohort_pages, gallery
from preop.report.evaluation import evaluation_page
from preop.report.index import StudyEntry, index_page
from tests.conftest import ROOT
from tests.report.reading import Page as ReadPage

GRID = Geometry.axis_aligned((3, 12, 10), (3.0, 1.0, 1.0))
NAMES = ("../x", "b & <b>")


@pytest.fixture
def cohort(toy: Algorithm, tmp_path: Path) -> Cohort:
    for number in range(len(NAMES)):
        voxels = np.random.default_rng(number).normal(size=GRID.shape).astype(np.float32)
        write_image(Image(voxels, GRID), tmp_path / f"{number}.mha")
    rows = [f"{name};{number}.mha" for number, name in enumerate(NAMES)]
    (tmp_path / "cohort.csv").write_text("\n".join(["patient;scan", *rows]))
    return read_cohort(tmp_path / "cohort.csv", toy)


def predicted(cohort: Cohort, folder: Path) -> dict[str, Path]:
    found = {}
    for number, patient in enumerate(cohort.patients):
        place = folder / f"predictions/{number}"
        (place / "output").mkdir(parents=True)
        scan = patient.case.image("scan")
        regions = scan.with_voxels((scan.voxels > 0).astype(np.uint8))
        outputs = {"score": 0.5, "regions": regions, "heat": scan.with_voxels(np.abs(scan.voxels))}
        write_outputs(outputs, patient.case, place / "output")
        found[patient.name] = place
    return found


@pytest.mark.usefixtures("in_this_process")
def test_only_pages_of_which_something_changed_are_made_again(cohort: Cohort, toy_model: Path, tmp_path: Path) -> None:
    predictions = predicted(cohort, tmp_path)
    cards, failures = cohort_pages(cohort, predictions, tmp_path / "cases", model=toy_model)
    assert failures == {}
    times = {name: card.page.stat().st_mtime_ns for name, card in cards.items()}
    (predictions[NAMES[1]] / "output" / "score.json").write_text("0.75")
    again, _ = cohort_pages(cohort, predictions, tmp_path / "cases", model=toy_model)
    assert again[NAMES[0]] == cards[NAMES[0]]
    assert again[NAMES[0]].page.stat().st_mtime_ns == times[NAMES[0]]
    assert "0.75" in again[NAMES[1]].page.read_text(encoding="utf-8")


@pytest.mark.usefixtures("in_this_process")
def test_a_patient_whose_outputs_are_damaged_has_no_page_and_a_reason(
    cohort: Cohort, toy_model: Path, tmp_path: Path
) -> None:
    predictions = predicted(cohort, tmp_path)
    (predictions[NAMES[0]] / "output" / "score.json").write_text("{")
    cards, failures = cohort_pages(cohort, predictions, tmp_path / "cases", model=toy_model)
    assert list(cards) == [NAMES[1]]
    assert "score.json is not valid JSON" in failures[NAMES[0]]


@pytest.mark.usefixtures("in_this_process")
def test_pictures_on_other_pages_lead_to_the_pages_of_their_cases(
    cohort: Cohort, toy_model: Path, tmp_path: Path
) -> None:
    cards, _ = cohort_pages(cohort, predicted(cohort, tmp_path), tmp_path / "cases", model=toy_model)
    results, index = tmp_path / "results.html", tmp_path / "index.html"
    metrics = json.loads((ROOT / "evaluation/test/binary/expected/metrics.json").read_text())
    evaluation_page(metrics, results, cases=gallery(cards.values(), results))
    index_page([StudyEntry("toy", "Toy", "From, to.", results, list(cards.values()))], index)
    for page in (results, index):
        text = page.read_text(encoding="utf-8")
        assert "<b>" not in text
        away = [each for each in ReadPage(text).addresses if not each.startswith(("#", "data:"))]
        assert away
        assert all((page.parent / unquote(each)).is_file() for each in away)
        assert {card.page for card in cards.values()} <= {page.parent / unquote(each) for each in away}
        assert "data:image/svg+xml" in text
