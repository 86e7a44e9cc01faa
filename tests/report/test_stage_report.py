"""The report on nodal stages, on evidence made by hand."""

import pytest

from preop.evidence import StageEvidence
from preop.report.training import training_report
from tests.evidence.by_hand import stage_evidence
from tests.report.reading import Page


@pytest.fixture
def page(tmp_path):
    training_report(
        StageEvidence.read(stage_evidence()), tmp_path / "page.html", title="Lung", source="made up", simulated=True
    )
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def test_page_stands_alone_and_is_the_same_every_time(tmp_path):
    first, second = tmp_path / "first.html", tmp_path / "second.html"
    training_report(StageEvidence.read(stage_evidence()), first, title="Lung")
    training_report(StageEvidence.read(stage_evidence()), second, title="Lung")
    text = first.read_text(encoding="utf-8")
    assert text == second.read_text(encoding="utf-8")
    page = Page(text)
    assert page.stands_alone()
    assert page.leads_somewhere()
    assert "Simulated patients." not in page.text


def test_page_says_who_was_staged_and_whether_it_is_better(page):
    assert "30 patients from 2 centres, by pathology 10 N0, 5 N1, 5 N2a, 5 N2b, 5 N3." in page.text
    assert "The algorithm's category was right more often than that of the reader." in page.text
    assert "Exact category 1.00" in page.text
    assert "0.33 by the reader" in page.text
    assert "Simulated patients." in page.text
    assert "Source of the patients: made up" in page.text


def test_page_shows_cuts_stations_nodes_and_the_model(page):
    assert "N0, N1 | N2, N3" in page.text
    assert ["all stations", "60", "15"] in [row[:3] for row in page.rows]
    assert "10 nodes whose malignancy is known, 5 of them malignant: AUC 1.00" in page.text
    assert ["SUVmax", "+1.50"] in page.rows
    assert ["volume", "\N{MINUS SIGN}0.25"] in page.rows


def test_a_reader_who_said_nothing_is_left_out(tmp_path):
    content = stage_evidence()
    for patient in content["patients"]:
        patient["called"]["the reader"] = None
    training_report(StageEvidence.read(content), tmp_path / "page.html", title="Lung")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "The algorithm gave the category of pathology in 100 % of the patients." in page.text
    assert "by the reader" not in page.text
