"""The report of a training run, or of a validation on other patients: one page for every kind of evidence."""

from __future__ import annotations

from pathlib import Path

from preop.evidence import Evidence
from preop.grandchallenge.values import to_json
from preop.report.kinds import content_of
from preop.report.sections import Page, write_page
from preop.study import DataSource

EVIDENCE_FILE, REPORT_FILE = "evidence.json", "report.html"
TRAINING = "Training report"


def write_report(evidence: Evidence, folder: Path, *, title: str, source: DataSource, kicker: str = TRAINING) -> Path:
    """Write ``evidence.json`` and ``report.html`` into a folder, and give the latter.

    Parameters
    ----------
    title
        Of the study.
    source
        Where the patients come from.
    kicker
        What kind of report it is.

    Raises
    ------
    MissingToolError
        If there is time to event, and lifelines is not installed.
    """
    page = folder / REPORT_FILE
    training_report(evidence, page, title=title, source=source.description, simulated=source.simulated, kicker=kicker)
    (folder / EVIDENCE_FILE).write_text(to_json(evidence.model_dump(mode="json")), encoding="utf-8")
    return page


def training_report(
    evidence: Evidence,
    path: Path,
    *,
    title: str,
    source: str = "not stated",
    simulated: bool = False,
    kicker: str = TRAINING,
) -> None:
    """Write the page alone.

    Parameters
    ----------
    path
        The HTML file to write.
    source
        Where the patients come from, in a line.
    simulated
        Whether they are simulated: then no figure says anything about patients.

    Raises
    ------
    MissingToolError
        As :func:`write_report`.
    """
    content = content_of(evidence, source)
    page = Page(
        kicker=kicker,
        title=title,
        lead=content.lead,
        sections=content.sections,
        verdict=evidence.validation.verdict,
        warnings=content.warnings,
        simulated=simulated,
    )
    write_page(page, path)
