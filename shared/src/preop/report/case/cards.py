"""What stands for a case on other pages: its picture, its sentence, and where its page is."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from preop.atomic import write_text
from preop.grandchallenge.values import read_json, to_json
from preop.report.case.drawing import Drawing
from preop.report.html import render
from preop.report.sections import Gallery, GalleryItem

CARD_FILE = "card.json"


@dataclass(frozen=True)
class Card:
    """A case on another page.

    Attributes
    ----------
    page
        The file of its page.
    picture
        Data URI of an SVG that needs nothing else.
    """

    case: str
    page: Path
    sentence: str
    picture: str

    @classmethod
    def of(cls, case: str, page: Path, sentence: str, drawing: Drawing) -> Card:
        """Make it of the picture of the page."""
        svg = render("thumbnail.svg", drawing=drawing).encode()
        return cls(case, page, sentence, f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}")

    def write(self, folder: Path) -> None:
        """Keep it beside its page."""
        content = {"case": self.case, "page": self.page.name, "sentence": self.sentence, "picture": self.picture}
        write_text(folder / CARD_FILE, to_json(content))

    @classmethod
    def read(cls, folder: Path) -> Card:
        """Take up the one that was kept."""
        kept = read_json(folder / CARD_FILE)
        return cls(kept["case"], folder / kept["page"], kept["sentence"], kept["picture"])


def gallery(cards: Iterable[Card], beside: Path, *, shows: Mapping[str, str] | None = None) -> Gallery:
    """Show cases on a page, each leading to its own.

    Parameters
    ----------
    beside
        The page on which they are shown.
    shows
        What there is to see in a case, by its name; else the answer stands below its picture.
    """
    told = shows or {}
    return Gallery(
        [
            GalleryItem(link(card.page, beside), card.picture, card.case, told.get(card.case, card.sentence))
            for card in cards
        ]
    )


def link(page: Path, beside: Path) -> str:
    """Address of a page as another one in its neighbourhood names it: relative, so that both can be moved together."""
    return quote(Path(os.path.relpath(page, beside.parent)).as_posix())
