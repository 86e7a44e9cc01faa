"""The table of what a model said: one row a patient, with what was said or why nothing was."""

import csv
from pathlib import Path

from preop.cohort import Outcome, answers_of, read_cohort
from preop.grandchallenge.algorithm import Algorithm
from preop.report.predictions import predictions_page
from tests.cohort.test_validation import scan


def test_each_patient_has_a_row_and_the_page_no_figure_of_performance(
    toy: Algorithm, toy_model: Path, tmp_path: Path
) -> None:
    scan(tmp_path, "1.mha", 0.5)
    scan(tmp_path, "2.mha", 0.7)
    (tmp_path / "cohort.csv").write_text("patient,scan,centre\n007,1.mha,A\nbroken,2.mha,B\n")
    (tmp_path / "007" / "output").mkdir(parents=True)
    (tmp_path / "007" / "output" / "score.json").write_text("1e-05")
    cohort = read_cohort(tmp_path / "cohort.csv", toy)
    answers = answers_of(cohort, Outcome({"007": tmp_path / "007"}, {"broken": "It is <flat>."}, ()))
    answers.write(tmp_path / "predictions.csv")
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open(encoding="utf-8")))
    assert rows == [
        {"patient": "007", "centre": "A", "score": "1e-05", "error": ""},
        {"patient": "broken", "centre": "B", "score": "", "error": "It is <flat>."},
    ]
    predictions_page(cohort, answers, {}, tmp_path / "predictions.csv", tmp_path / "index.html", model=toy_model)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "1 patient could not be run" in page
    assert "It is &lt;flat&gt;." in page
    assert "0.00" in page
    assert "AUC" not in page
    assert "toy 1.0.0, trained 2026-01-01, seed 0" in page
    assert cohort.sha256 in page
