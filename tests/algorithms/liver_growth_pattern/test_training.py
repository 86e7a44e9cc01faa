"""Training on a cohort whose patterns are known by metastasis or only by patient, and validation on other patients."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from liver_growth_pattern.external import validate
from liver_growth_pattern.fitted import MODELS
from liver_growth_pattern.inference import predict
from liver_growth_pattern.learning import state_of
from liver_growth_pattern.model import load_model
from liver_growth_pattern.reports import UNKNOWN
from liver_growth_pattern.training import fit, prepare, read_shares, stated_pattern
from preop.cohort import Cohort, Patient
from preop.errors import InvalidInputError
from preop.evidence import SharesEvidence
from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import check_outputs
from preop.staging import PURE, Shares

from .conftest import ALGORITHM, QUICK

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_this_process")]
PURE_SHARES, MIXED_SHARES = Shares(1, 0, 0), Shares(0.5, 0.5, 0)


def patient(**row: str) -> Patient:
    return Patient("p", "", Case(ALGORITHM, "p", {}, {}), row)


@pytest.mark.parametrize(
    ("row", "shares", "expected"),
    [
        ({"non_desmoplastic": "1"}, {}, 1),
        ({"non_desmoplastic": "0"}, {1: PURE_SHARES}, 0),
        ({"non_desmoplastic": "1"}, {1: PURE_SHARES}, 1),  # another metastasis was not on CT
        ({}, {1: MIXED_SHARES}, UNKNOWN),
    ],
)
def test_the_pattern_of_a_patient_may_be_stated(row: dict[str, str], shares: dict[int, Shares], expected: int) -> None:
    assert stated_pattern(patient(**row), shares) == expected


@pytest.mark.parametrize(
    ("row", "shares", "sentence"),
    [
        ({}, {}, "has neither non_desmoplastic nor a row"),
        ({"non_desmoplastic": "0"}, {2: MIXED_SHARES}, "metastasis 2 is not purely desmoplastic"),
        ({"non_desmoplastic": "2"}, {}, "non_desmoplastic is 0 or 1"),
        ({"non_desmoplastic": "no"}, {}, "expected a number"),
    ],
)
def test_what_cannot_be_is_refused(row: dict[str, str], shares: dict[int, Shares], sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        stated_pattern(patient(**row), shares)


def test_reports_decide_where_nothing_is_stated() -> None:
    assert state_of([PURE, 3], UNKNOWN) == 1
    assert state_of([PURE, PURE], UNKNOWN) == 0
    assert state_of([PURE, UNKNOWN], UNKNOWN) == UNKNOWN
    assert state_of([UNKNOWN], 0) == 0


def test_shares_that_do_not_sum_to_one_name_the_patient(cohort: Cohort, tmp_path: Path) -> None:
    table = tmp_path / "cohort.csv"
    (tmp_path / "lesion_shares.csv").write_text("patient,label,desmoplastic,replacement,pushing\np1,2,0.5,0.2,0.2\n")
    with pytest.raises(InvalidInputError, match=r"patient p1, label 2: The shares of the interface"):
        read_shares(Cohort(table, ALGORITHM, cohort.source, cohort.patients))


def test_the_trained_model_predicts_its_own_kind_of_case(cohort: Cohort, trained: Path) -> None:
    model = load_model(trained / "model", ALGORITHM)
    case = cohort.patients[0].case
    check_outputs(predict(case, model), ALGORITHM, case)
    assert model.info.training_data.simulated
    assert model.info.training_data.patients == len(cohort.patients)
    assert model.info.training_data.cohort_sha256 == cohort.sha256


def test_the_evidence_holds_every_patient_with_what_is_known(cohort: Cohort, trained: Path) -> None:
    evidence = json.loads((trained / "report" / "evidence.json").read_text())
    shares = read_shares(cohort)
    assert [row["patient"] for row in evidence["patients"]] == [each.name for each in cohort.patients]
    for row, each in zip(evidence["patients"], cohort.patients, strict=True):
        assert row["non_desmoplastic"] == int(each.row["non_desmoplastic"])
        for lesion in row["lesions"]:
            reported = shares.get(each.name, {}).get(lesion["label"])
            assert lesion["report"] == (None if reported is None else pytest.approx(reported.as_tuple()))
        assert set(row["predictions"]) == set(MODELS)
        assert row["second"] is not None
    assert any(lesion["report"] is None for row in evidence["patients"] for lesion in row["lesions"])


def test_no_patient_is_in_two_folds(trained: Path) -> None:
    evidence = json.loads((trained / "report" / "evidence.json").read_text())
    folds = [row["fold"] for row in evidence["patients"]]
    assert set(folds) == {"0", "1"}
    positive = [
        np.mean([row["non_desmoplastic"] for row in evidence["patients"] if row["fold"] == fold]) for fold in "01"
    ]
    assert abs(positive[0] - positive[1]) < 0.2


def test_what_a_model_states_follows_from_the_evidence(trained: Path) -> None:
    evidence = json.loads((trained / "report" / "evidence.json").read_text())
    stated = json.loads((trained / "model" / "model.json").read_text())["validation"]
    assert stated == json.loads(SharesEvidence.read(evidence).validation.model_dump_json())


def test_the_report_shows_what_was_asked_for(trained: Path) -> None:
    page = (trained / "report" / "report.html").read_text()
    for words in (
        "Simulated patients",
        "mean of the cohort",
        "radiomics alone",
        "the network alone",
        "By size",
        "By centre",
        "By segmentation",
        "A second segmentation",
        "observer who knows the simulation",
    ):
        assert words in page
    assert not (trained / "report" / "work").exists()


def test_training_twice_gives_the_same_bytes(cohort: Cohort, trained: Path, tmp_path: Path) -> None:
    fit(cohort, tmp_path / "model", tmp_path / "report", QUICK)
    for name in ("network.safetensors", "growth-patterns.json"):
        assert (tmp_path / "model" / name).read_bytes() == (trained / "model" / name).read_bytes()


def test_external_patients_take_one_command(cohort: Cohort, trained: Path, tmp_path: Path) -> None:
    page = validate(cohort.path, trained / "model", tmp_path / "external")
    assert "External validation" in page.read_text()
    evidence = json.loads((tmp_path / "external" / "evidence.json").read_text())
    assert {row["fold"] for row in evidence["patients"]} == {"external"}
    model = load_model(trained / "model", ALGORITHM)
    case = cohort.patients[2].case
    alone = predict(case, model)["non-desmoplastic-likelihood"]
    assert evidence["patients"][2]["predictions"]["combination"]["non_desmoplastic"] == pytest.approx(alone, abs=1e-5)


def test_an_interrupted_preparation_goes_on(cohort: Cohort, tmp_path: Path) -> None:
    few = replace(cohort, patients=cohort.patients[:2])
    first, _ = prepare(few, tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("lesions.json")}
    again, _ = prepare(few, tmp_path)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("lesions.json")}
    assert [each.patient.reports for each in first] == [each.patient.reports for each in again]
