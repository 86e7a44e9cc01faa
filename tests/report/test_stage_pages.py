"""The page of a training run on stages, on evidence made by hand."""

import pytest
from test_pages import Page

from preop.errors import InvalidInputError
from preop.report import stage_training_page

STAGES = ("N0", "N0", "N1", "N2a", "N2b", "N3")


def evidence(times=5):
    patients = [
        {
            "patient": f"{stage} {number}",
            "centre": "A" if number % 2 else "B",
            "fold": str(number),
            "reference": stage,
            "called": {"the algorithm": stage, "the reader": "N0"},
            "probabilities": {"N0": 0.8 if stage == "N0" else 0.1, stage: 0.7},
            "sampled": ["4R", "7"],
            "positive": ["4R"] if stage > "N1" else [],
            "involved": ["4R"] if stage > "N2a" else [],
        }
        for number in range(times)
        for stage in STAGES
    ]
    nodes = [
        {"patient": "N1 0", "station": "10R", "probability": 0.1 * place, "malignant": place > 4} for place in range(10)
    ]
    return {
        "format": 1,
        "protocol": "5-fold cross-validation.",
        "raters": ["the algorithm", "the reader"],
        "terms": {"SUVmax": 1.5, "volume": -0.25},
        "settings": {"penalty": 1.0},
        "patients": patients,
        "nodes": nodes,
    }


@pytest.fixture
def page(tmp_path):
    stage_training_page(evidence(), tmp_path / "page.html", title="Lung", source="made up", simulated=True)
    return Page((tmp_path / "page.html").read_text(encoding="utf-8"))


def test_page_stands_alone_and_is_the_same_every_time(tmp_path):
    first, second = tmp_path / "first.html", tmp_path / "second.html"
    stage_training_page(evidence(), first, title="Lung")
    stage_training_page(evidence(), second, title="Lung")
    text = first.read_text(encoding="utf-8")
    assert text == second.read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.addresses
    assert all(address.startswith("#") and f'id="{address[1:]}"' in text for address in page.addresses)
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
    assert "all stations 60 15 0.67" in page.text
    assert "10 nodes of which it is known, 5 of them malignant: AUC 1.00" in page.text
    assert "SUVmax+1.50" in page.text
    assert "volume\N{MINUS SIGN}0.25" in page.text


def test_a_reader_who_said_nothing_is_left_out(tmp_path):
    content = evidence()
    for patient in content["patients"]:
        patient["called"]["the reader"] = None
    stage_training_page(content, tmp_path / "page.html", title="Lung")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "The algorithm gave the category of pathology in 100% of the patients." in page.text
    assert "by the reader" not in page.text


def test_other_evidence_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="This is no evidence of a validation of stages"):
        stage_training_page({"format": 2}, tmp_path / "page.html", title="Lung")
