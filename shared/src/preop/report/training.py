"""The report of a training run, or of a validation on other patients: one page for every kind of evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from preop.evidence import Evidence
from preop.grandchallenge.values import to_json
from preop.report.charts import Spec
from preop.report.kinds import content_of
from preop.report.sections import Charts, Page, Section, write_page
from preop.study import DataSource, model_provenance

EVIDENCE_FILE, REPORT_FILE = "evidence.json", "report.html"
TRAINING = "Training report"


def write_report(
    evidence: Evidence,
    folder: Path,
    *,
    title: str,
    source: DataSource,
    kicker: str = TRAINING,
    model: Path | None = None,
) -> Path:
    """Write ``evidence.json`` and ``report.html`` into a folder, and give the latter.

    Parameters
    ----------
    title
        Of the study.
    source
        Where the patients come from.
    kicker
        What kind of report it is.
    model
        Folder of the model that was trained, for the foot of the page.

    Raises
    ------
    MissingToolError
        If there is time to event, and lifelines is not installed.
    """
    page = folder / REPORT_FILE
    training_report(
        evidence,
        page,
        title=title,
        source=source.description,
        simulated=source.simulated,
        kicker=kicker,
        provenance=[] if model is None else model_provenance(model),
    )
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
    provenance: Sequence[tuple[str, str]] = (),
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
    provenance
        Names and values for the foot of the page.

    Raises
    ------
    MissingToolError
        As :func:`write_report`.
    """
    content = content_of(evidence, source)
    figure, sections = _figure_first(content.sections)
    page = Page(
        kicker=kicker,
        title=title,
        lead=content.lead,
        sections=[sections[0], *(replace(section, detail=True) for section in sections[1:])],
        verdict=evidence.validation.verdict,
        warnings=content.warnings,
        simulated=simulated,
        figure=figure,
        provenance=provenance,
    )
    write_page(page, path)


def _figure_first(sections: Sequence[Section]) -> tuple[Spec | None, list[Section]]:
    """Take the chart that stands above everything out of the first section: it says most of the answer."""
    first, *others = sections
    for place, block in enumerate(first.blocks):
        if isinstance(block, Charts):
            figure, *rest = block.charts
            left = [replace(block, charts=rest)] if rest else []
            blocks = [*first.blocks[:place], *left, *first.blocks[place + 1 :]]
            return figure, [replace(first, blocks=blocks), *others]
    return None, [*sections]
