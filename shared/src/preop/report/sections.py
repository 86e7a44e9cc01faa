"""A page as data: its answer in words, warnings, and sections of text, figures, tables and charts, written as one HTML file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from preop.report.charts import Spec
from preop.report.grouping import Group, grouped
from preop.report.html import render

DASH = "\N{EN DASH}"
"""Where the cases do not determine a number."""

ColumnKind = Literal["name", "text", "long", "number", "value", "estimate", "outcome"]
"""What a column holds: names, text, sentences, numbers to the right, values on one line, values with their interval below, outcomes."""
Mark = Literal["", "wrong", "open", "more", "unscored"]
"""What is particular about a row: a wrong decision, one that is left open, one that belongs to the row above, no prediction."""


@dataclass(frozen=True)
class Note:
    """A remark in small type."""

    text: str
    kind: ClassVar = "note"


@dataclass(frozen=True)
class Heading:
    """The beginning of a part of a section."""

    text: str
    kind: ClassVar = "heading"


@dataclass(frozen=True)
class Figure:
    """One of the few numbers to remember: its name, the number, its interval, and what to compare it with."""

    name: str
    value: str
    interval: str = ""
    beside: str = ""


@dataclass(frozen=True)
class Figures:
    """Figures side by side."""

    figures: Sequence[Figure]
    kind: ClassVar = "figures"


@dataclass(frozen=True)
class Charts:
    """Charts side by side, or each over the whole width."""

    charts: Sequence[Spec]
    wide: bool = False
    kind: ClassVar = "charts"


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    heading: str
    kind: ColumnKind = "text"


@dataclass(frozen=True)
class Cell:
    """A cell of a table with something beside its text: a tag, or links (anchor and words) that stand for it."""

    text: str
    tag: str = ""
    links: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Row:
    """A row of a table, as many cells as there are columns."""

    cells: Sequence[str | Cell]
    mark: Mark = ""

    def pairs(self, columns: Sequence[Column]) -> Iterator[tuple[Column, Cell]]:
        """Each cell with its column."""
        for column, cell in zip(columns, self.cells, strict=True):
            yield column, cell if isinstance(cell, Cell) else Cell(cell)


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    columns
        Their headings are left out where all are empty.
    rows
        From the top.
    note
        What is said below it.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    note: str = ""
    kind: ClassVar = "table"

    @property
    def has_headings(self) -> bool:
        """Whether any column has a heading."""
        return any(column.heading for column in self.columns)


@dataclass(frozen=True)
class GalleryItem:
    """A picture that leads to another page.

    Attributes
    ----------
    href
        Address of the page, relative to this one.
    picture
        Data URI of an image.
    """

    href: str
    picture: str
    name: str
    text: str = ""


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side, each a link."""

    items: Sequence[GalleryItem]
    kind: ClassVar = "gallery"


@dataclass(frozen=True)
class Links:
    """Links to other pages: address and words."""

    links: Sequence[tuple[str, str]]
    kind: ClassVar = "links"


@dataclass(frozen=True)
class FlowStep:
    """A stage that cases pass: how many reach it, in words what they are, and what is said beside it."""

    count: int
    words: str
    beside: Sequence[str] = ()


@dataclass(frozen=True)
class Flow:
    """How many cases reach which stage, from the top."""

    steps: Sequence[FlowStep]
    kind: ClassVar = "flow"


Block = str | Note | Heading | Figures | Table | Charts | Gallery | Links | Flow
"""A part of a section; a text is a paragraph."""


@dataclass(frozen=True)
class Section:
    """A heading with its blocks, in their order.

    Attributes
    ----------
    name
        What a link to it ends in; it follows from the heading where none is given.
    detail
        Whether it is printed only where the reader asks for all.
    """

    heading: str
    blocks: Sequence[Block]
    name: str = ""
    detail: bool = False

    @property
    def anchor(self) -> str:
        """What a link to it ends in."""
        return self.name or re.sub(r"\W+", "-", self.heading.lower()).strip("-")


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes
    ----------
    kicker, title, lead
        What kind of page, on what, and in a sentence with which patients.
    sections
        In their order.
    verdict
        The answer: a sentence, and others that are listed below it.
    warnings
        What a reader has to know before trusting it.
    simulated
        Whether the patients are simulated: then no figure says anything about patients.
    figure
        The chart to see first.
    provenance
        What a reader needs to say where the figures come from: names and values.
    """

    kicker: str
    title: str
    lead: str
    sections: Sequence[Section]
    verdict: Sequence[str] = ()
    warnings: Sequence[str] = ()
    simulated: bool = False
    figure: Spec | None = None
    provenance: Sequence[tuple[str, str]] = ()

    @property
    def grouped_warnings(self) -> list[Group]:
        """The warnings, those that say the same of several things together."""
        return grouped(self.warnings)

    @property
    def has_details(self) -> bool:
        """Whether a part is printed only where all is asked for."""
        return any(section.detail for section in self.sections)


def write_page(page: Page, path: Path) -> None:
    """Write a page as one HTML file that needs nothing else."""
    # A reason that others wrote may hold half of a surrogate pair, which no file can.
    path.write_text(render("page.html", page=page), encoding="utf-8", errors="backslashreplace")
