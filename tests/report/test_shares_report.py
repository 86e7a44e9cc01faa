"""The report on shares of growth patterns, on evidence made by hand."""

import json
from pathlib import Path
from typing import Any

from preop.evidence import SharesEvidence
from preop.report.training import write_report
from preop.study import DataSource
from tests.evidence.by_hand import shares_evidence
from tests.report.reading import Page


def page_of(folder: Path, **changed: Any) -> Page:
    source = DataSource(description="made up", simulated=True)
    page = write_report(SharesEvidence.read(shares_evidence(**changed)), folder, title="Liver", source=source)
    return Page(page.read_text(encoding="utf-8"))


def test_report_says_who_and_how_well(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    assert (
        "5 patients with 6 metastases, of 5 of which the shares were reported; 2 patients non-desmoplastic" in page.text
    )
    assert "2 desmoplastic, 1 of unknown pattern." in page.text
    assert "Source of the patients: made up" in page.text
    assert page.stands_alone()
    assert page.leads_somewhere()
    assert any(row[:2] == ["observer who knows the simulation", "1.000"] for row in page.rows)
    assert ["a1", "desmoplastic", "0.10", "1", "100 % (100 %)", "0", "a"] in page.rows


def test_evidence_is_written_beside_the_report(tmp_path: Path) -> None:
    page_of(tmp_path)
    content = json.loads((tmp_path / "evidence.json").read_text())
    assert SharesEvidence.read(content) == SharesEvidence.read(shares_evidence())


def test_report_without_reports_of_shares_says_so(tmp_path: Path) -> None:
    patients = shares_evidence()["patients"]
    for patient in patients:
        for lesion in patient["lesions"]:
            lesion["report"] = None
    page = page_of(tmp_path, patients=patients, oracle=None)
    assert "No shares were reported: how well they are predicted is not known." in page.text
    assert "observer" not in page.text
