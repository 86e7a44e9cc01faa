"""The report on bags of instances, on evidence made by hand."""

import copy

import pytest

from preop.evidence import BagEvidence
from preop.report.training import training_report
from tests.report.reading import Page

pytestmark = pytest.mark.slow


@pytest.fixture
def page_of(tmp_path):
    def write(evidence, **options):
        training_report(
            BagEvidence.read(evidence), tmp_path / "page.html", title="Bladder", source="made up", **options
        )
        return Page((tmp_path / "page.html").read_text(encoding="utf-8"))

    return write


def copies(evidence, times):
    """Make a larger cohort of the same patients under other names."""
    rows = [
        copy.deepcopy(patient) | {"patient": f"{patient['patient']} of {number}"}
        for number in range(times)
        for patient in evidence["patients"]
    ]
    return evidence | {"patients": rows, "by_centre": {}}


def test_page_stands_alone_and_is_the_same_every_time(bag_evidence, tmp_path):
    first, second = tmp_path / "first.html", tmp_path / "second.html"
    training_report(BagEvidence.read(bag_evidence), first, title="Bladder")
    training_report(BagEvidence.read(bag_evidence), second, title="Bladder")
    text = first.read_text(encoding="utf-8")
    assert text == second.read_text(encoding="utf-8")
    page = Page(text)
    assert page.stands_alone()
    assert page.leads_somewhere()
    assert "Not a medical device" in page.text


def test_page_says_who_and_what_and_whether_it_is_better(bag_evidence, page_of):
    page = page_of(bag_evidence)
    assert (
        "7 patients from 2 centres: 3 with pN+, 3 without, 1 of unknown status; 11 lymph nodes. Each was predicted "
        "by models that had not seen the patient."
    ) in page.text
    assert "The model was not shown to predict pN+ better than the size rule" in page.text
    assert "AUC of the model 0.89 95 % interval" in page.text
    assert "AUC of the largest short axis 0.67" in page.text
    assert "First-ranked lymph node is positive 1.00" in page.text
    assert "0.50 by short axis, 0.42 by chance" in page.text
    assert "the final model decides at 0.30" in page.text
    assert "Settings: learning rate 0.001." in page.text
    assert "Source of the patients: made up" in page.text


def test_page_says_what_is_left_out(bag_evidence, page_of):
    page = page_of(bag_evidence)
    assert "3 warnings" in page.text
    assert (
        "1 patient is left out of all figures: the report leaves open whether any lymph node is positive." in page.text
    )
    assert "1 patient with pN+ is left out where numbers are compared" in page.text
    assert "1 patient with pN+ is left out of the ranking" in page.text


def test_oracle_stands_beside_what_was_reached(bag_evidence, page_of):
    oracle = "reaches an AUC of 0.95 for patients and 0.97 for lymph nodes"
    assert oracle in page_of(bag_evidence).text
    page = page_of(bag_evidence | {"oracle": None})
    assert "oracle" not in page.text.lower()


def test_table_tells_each_patient_the_likeliest_first(bag_evidence, page_of):
    rows = page_of(bag_evidence).rows
    header = rows.index(
        [
            "Patient",
            "Lymph nodes",
            "Reported positive",
            "Expected",
            "Likelihood",
            "Decision",
            "Largest short axis (mm)",
            "Fold",
            "Centre",
        ]
    )
    assert rows[header + 1] == ["open", "0", "not known", "2.0", "0.99", "left out", "30.0", "0", "A"]
    assert rows[header + 2] == ["p1", "4", "2", "2.0", "0.90", "right", "12.0", "0", "A"]
    assert rows[header + 4] == ["n2", "1", "0", "1.0", "0.40", "wrong", "10.0", "1", "A"]
    assert rows[header + 5] == ["p3", "1", "1 or more", "0.3", "0.30", "wrong", "9.0", "0", "A"]
    assert len(rows) == header + 8


def test_model_and_rule_stand_below_each_other_at_their_thresholds(bag_evidence, page_of):
    rows = page_of(bag_evidence).rows
    header = next(number for number, row in enumerate(rows) if row[1:4] == ["AUC", "Sensitivity", "Specificity"])
    model, rule = rows[header + 1 : header + 3]
    assert (model[0], rule[0]) == ("count head", "size rule (over 8 mm)")
    assert [cell[:4] for cell in model[1:4]] == ["0.89", "0.67", "0.67"]
    assert [cell[:4] for cell in rule[1:4]] == ["0.67", "0.67", "0.67"]


def test_a_model_without_a_mistake_has_figures_without_intervals(bag_evidence, page_of):
    for patient in bag_evidence["patients"][:6]:
        patient["probability"] = float(patient["low"] > 0)
    page = page_of(bag_evidence)
    assert "AUC of the model 1.00 no interval" in page.text
    assert "No calibration slope is determined" in page.text
    assert "nan" not in page.text


def test_centres_are_shown_where_each_was_left_out(bag_evidence, page_of):
    rows = page_of(bag_evidence).rows
    assert ["A", "1 / 2", "1.00", "1.00"] in rows
    assert ["B", "1 / 1", "\N{EN DASH}", "\N{EN DASH}"] in rows
    assert "Each centre left out" not in page_of(bag_evidence | {"by_centre": {}}).text


def test_calibrations_are_drawn_where_there_are_twenty_patients(bag_evidence, page_of):
    # ROC and scores; found, ROC and strip of nodes; forest of centres.
    assert page_of(bag_evidence).tags.count("svg") == 6
    # Without centres, with calibration of likelihood and number, and the numbers of all patients.
    assert page_of(copies(bag_evidence, 4)).tags.count("svg") == 8


def test_what_is_not_known_is_said_so(bag_evidence, page_of):
    for patient in bag_evidence["patients"]:
        patient["counts"] = patient["expected"] = None
        for instance in patient["instances"]:
            instance["truth"] = None
    page = page_of(bag_evidence)
    assert "does not say which lymph nodes are positive" in page.text
    assert "Not compared: the model gives no number" in page.text
    assert "One warning" in page.text


def test_only_simulated_patients_are_called_simulated(bag_evidence, page_of):
    warning = "Performance on simulated patients is not clinical performance"
    assert warning in page_of(bag_evidence, simulated=True).text
    assert warning not in page_of(bag_evidence).text


def test_text_of_others_is_escaped(bag_evidence, page_of):
    hostile = "<script>alert(1)</script>"
    bag_evidence["patients"][2]["patient"] = hostile
    page = page_of(bag_evidence | {"model": hostile, "instance_name": "<b>node</b>", "by_centre": {}})
    assert not {"script", "b"} & set(page.tags)
    assert hostile in [row[0] for row in page.rows]
