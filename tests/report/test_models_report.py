"""The report on several models side by side."""

from pathlib import Path
from typing import Any

from preop.evidence import ModelsEvidence
from preop.report.training import training_report
from tests.evidence.by_hand import models_evidence
from tests.report.reading import Page


def page_of(folder: Path, **changed: Any) -> Page:
    training_report(
        ModelsEvidence.read(models_evidence(**changed)), folder / "report.html", title="A study", simulated=True
    )
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_page_says_which_model_and_whether_combining_them_is_better(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    for words in (
        "Simulated patients.",
        "Tiles is worse than count alone",
        "Combined was not shown to be better than card alone",
        "Weight of each item",
        "Oracle: an observer who knows",
        "p39",
    ):
        assert words in page.text
    assert page.stands_alone()
    assert page.leads_somewhere()


def test_page_says_what_the_cohort_does_not_have(tmp_path: Path) -> None:
    page = page_of(tmp_path, readings=[], weights=[], by_centre={}, oracle_auc=None)
    assert "The cohort has no reader's scores." in page.text
    assert "Not validated by centre" in page.text
    assert "Oracle" not in page.text


def test_models_and_what_they_are_compared_with_stand_in_tables(tmp_path: Path) -> None:
    rows = page_of(tmp_path).rows
    # A baseline gives no likelihood, so it has neither Brier score nor slope.
    assert next(row for row in rows if row[:2] == ["count", "1.00"])[-2:] == ["\N{EN DASH}", "\N{EN DASH}"]
    better = next(row for row in rows if row[:2] == ["combined", "tiles"])
    assert better[-1] == "yes"
