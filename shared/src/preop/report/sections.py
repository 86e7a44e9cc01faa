"""A page of sections: the answer in words first, then figures, tables and charts, for studies that have no page of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from preop.report.charts import Spec
from preop.report.html import inline, render


@dataclass(frozen=True)
class Figure:
    """One of the few numbers to remember: its name, the number, its interval, and what it stands beside."""

    name: str
    value: str
    interval: str = ""
    beside: str = ""


@dataclass(frozen=True)
class Table:
    """A table of text; the first cell of a row names it.

    Attributes
    ----------
    columns
        Headings, the first over the names.
    rows
        As many cells each.
    note
        What stands below.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it, in this order."""

    heading: str
    paragraphs: Sequence[str] = ()
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()
    charts: Sequence[Spec] = ()


def sections_page(
    path: Path,
    *,
    kicker: str,
    title: str,
    lead: str,
    verdict: Sequence[str],
    sections: Sequence[Section],
    warnings: Sequence[str] = (),
    simulated: bool = False,
) -> None:
    """Write a page.

    Parameters
    ----------
    path
        The HTML file to write.
    kicker, title, lead
        What kind of page, on what, and in a sentence with which patients.
    verdict
        The answer: a sentence, and others that stand below it.
    warnings
        What a reader has to know before trusting it.
    simulated
        Whether the patients are simulated: then no figure says anything about patients.
    """
    page = render(
        "sections.html",
        kicker=kicker,
        title=title,
        lead=lead,
        verdict=verdict,
        warnings=warnings,
        simulated=simulated,
        sections=[(section, [inline(chart) for chart in section.charts]) for section in sections],
    )
    path.write_text(page, encoding="utf-8")
