"""One page that leads to all others of a run: a picture for each study, its result page, and the page of every case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preop.report.case import Card, gallery, link
from preop.report.sections import Gallery, GalleryItem, Links, Page, Section, write_page
from preop.wording import counted


@dataclass(frozen=True)
class StudyEntry:
    """A study on the page.

    Attributes
    ----------
    results
        Its result page.
    cards
        Its cases; the first one lends the study its picture.
    shows
        What there is to see in a case, by its name; else the answer stands below its picture.
    """

    name: str
    title: str
    summary: str
    results: Path
    cards: Sequence[Card]
    shows: Mapping[str, str] = field(default_factory=dict)


def index_page(entries: Sequence[StudyEntry], path: Path) -> None:
    """Write the page.

    Parameters
    ----------
    path
        The HTML file to write; it stands above, or beside, all that it leads to.
    """
    firsts = [(entry, entry.cards[0]) for entry in entries if entry.cards]
    pictures = [
        GalleryItem(link(card.page, path), card.picture, entry.title, f"Case {card.case}: {card.sentence}")
        for entry, card in firsts
    ]
    cases = sum(len(entry.cards) for entry in entries)
    page = Page(
        kicker="Bundled examples",
        title="What the algorithms say, case by case",
        lead=f"{counted(len(entries), 'study', 'studies')}, {counted(cases, 'case')} of simulated patients. A picture leads to the page of its case.",
        sections=[
            Section("At a glance", [Gallery(pictures)]),
            *(Section(entry.title, _blocks(entry, path), entry.name) for entry in entries),
        ],
    )
    write_page(page, path)


def _blocks(entry: StudyEntry, path: Path) -> list[str | Links | Gallery]:
    blocks: list[str | Links | Gallery] = [entry.summary, Links([(link(entry.results, path), "Result page")])]
    if entry.cards:
        blocks.append(gallery(entry.cards, path, shows=entry.shows))
    return blocks
