import json
from pathlib import Path

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.evidence import BinaryPredictions
from preop.report.checklists import STARD, STARD_AI, TRIPOD_AI
from preop.report.evaluation import evaluation_page
from tests.report.reading import Page

CASES = Path(__file__).parents[2] / "evaluation" / "test"


def metrics_of(case):
    return json.loads((CASES / case / "expected" / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture
def page_of(tmp_path):
    def write(metrics):
        evaluation_page(metrics, tmp_path / "page.html")
        return Page((tmp_path / "page.html").read_text(encoding="utf-8"))

    return write


def rows_from(page, headings):
    return page.rows[page.rows.index(headings) :]


def test_guidelines_say_where_an_item_is_answered_or_that_it_is_for_the_authors(page_of):
    """Of TRIPOD+AI and STARD by their numbers; of STARD-AI what it changes in STARD or adds, by its subject."""
    rows = [row for row in page_of(metrics_of("binary")).rows if row[0] != "Item"]
    items = {(row[0], row[1]): row[2] for row in rows if len(row) == 3}
    for item in (*TRIPOD_AI, *STARD, *STARD_AI):
        assert items[item.name, item.words] == "to be written by the authors" or item.in_evaluation
    assert {item.name.rstrip("ab") for item in STARD} == {str(number) for number in range(1, 31)}
    assert not [item.name for item in STARD_AI if item.name[0].isdigit()]
    subjects = {item.name: items[item.name, item.words] for item in STARD_AI}
    assert subjects["Errors and fairness"] == "Cases"  # these have no groups
    assert subjects["Source of the data"] == "How to read this"
    assert subjects["Commercial interests"] == "to be written by the authors"


@pytest.mark.parametrize("case", ["binary", "separated", "ordinal", "detection", "survival"])
def test_page_stands_alone_and_is_the_same_every_time(case, tmp_path):
    first, second = tmp_path / "first.html", tmp_path / "second.html"
    evaluation_page(metrics_of(case), first)
    evaluation_page(metrics_of(case), second)
    assert first.read_bytes() == second.read_bytes()
    page = Page(first.read_text(encoding="utf-8"))
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.leads_somewhere()
    assert "url(" not in first.read_text(encoding="utf-8")
    assert "Not a medical device" in page.text


def test_binary_page_shows_figures_with_their_intervals_and_evidence(page_of):
    page = page_of(metrics_of("binary"))
    assert "9 cases, 4 with lung metastasis and 5 without." in page.text
    assert "AUC 0.20 95 % interval 0.03 to 0.66" in page.text
    assert "Sensitivity 0.50 95 % interval 0.15 to 0.85 2 of 4" in page.text
    assert "Positive predictive value 0.33 95 % interval 0.10 to 0.70 2 of 6" in page.text
    assert "Brier score 0.573" in page.text
    assert page.tags.count("svg") == 4  # ROC, precision, scores, net benefit


def test_table_tells_each_case_and_why_it_has_no_prediction(page_of):
    page = page_of(metrics_of("binary"))
    cases = rows_from(page, ["Case", "Output", "Lung metastasis", "Outcome", "Centre"])
    assert cases[1] == ["patient_1", "0.90", "yes", "right", "A"]
    assert cases[3] == ["patient_3", "0.30", "yes", "wrong", "A"]
    assert cases[9] == ["patient_9", "\N{EN DASH}", "no", "There is no job for this case.", "B"]
    assert "4 of 9 cases have no valid prediction and are scored as the worst" in page.text


def test_ordinal_page_shows_stages(page_of):
    page = page_of(metrics_of("ordinal"))
    assert "10 cases: 4 N0, 2 N1, 2 N2, 2 N3." in page.text
    assert "Quadratic weighted kappa 0.57 95 % interval \N{MINUS SIGN}0.45 to 0.95" in page.text
    assert "Accuracy 0.60 95 % interval 0.31 to 0.83 6 of 10" in page.text
    assert "1 of 10 cases has no valid prediction and is scored" in page.text
    assert rows_from(page, ["Case", "Output", "N stage", "Outcome"])[4] == ["lung_04", "N1", "N0", "wrong"]


def test_what_the_cases_do_not_determine_is_said_so(page_of):
    assert "AUC 1.00 no interval" in page_of(metrics_of("separated")).text


def test_only_simulated_patients_are_called_simulated(page_of):
    metrics = metrics_of("binary")
    warning = "Performance on simulated patients is not clinical performance"
    assert warning in page_of(metrics).text
    metrics["task"]["simulated"] = False
    assert warning not in page_of(metrics).text


def test_calibration_is_drawn_from_twenty_cases_on(page_of):
    points = BinaryPredictions.of([0, 1] * 10, np.linspace(0, 1, 20)).calibration
    metrics = metrics_of("binary")
    assert metrics["curves"]["calibration"] == []
    metrics["curves"]["calibration"] = [
        {"predicted": point.predicted, "observed": point.observed.as_dict(), "cases": point.cases} for point in points
    ]
    assert page_of(metrics).tags.count("svg") == 5


def test_text_of_others_is_escaped(page_of):
    metrics = metrics_of("binary")
    metrics["results"][0]["case"] = "<script>alert(1)</script>"
    page = page_of(metrics)
    assert "script" not in page.tags
    assert (
        rows_from(page, ["Case", "Output", "Lung metastasis", "Outcome", "Centre"])[1][0] == "<script>alert(1)</script>"
    )


@pytest.mark.parametrize("part", ["task", "results", "aggregates"])
def test_metrics_of_another_evaluation_are_refused(part, tmp_path):
    metrics = metrics_of("binary")
    del metrics[part]
    with pytest.raises(InvalidInputError, match=part):
        evaluation_page(metrics, tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_cases_that_were_chosen_are_shown_without_a_figure_of_performance(tmp_path):
    metrics = metrics_of("binary")
    evaluation_page(metrics, tmp_path / "page.html", shows={"patient_1": "Right: it is positive."})
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert page.rows[0] == ["Case", "Output", "Lung metastasis", "Outcome", "What to see", "Centre"]
    assert page.rows[1] == ["patient_1", "0.90", "yes", "right", "Right: it is positive.", "A"]
    assert "9 cases. They were chosen to illustrate" in page.text
    assert "AUC 0" not in page.text
    assert page.tags.count("svg") == 0
