"""Reads a page as a reader would: its words, its tags, where its links lead, and the rows of its tables."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """The parts of a page: its words, tags, anchors, addresses and the rows of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.anchors: list[str] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(text)
        self.close()
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"href", "src", "xlink:href"}]
        self.anchors += [value or "" for name, value in attrs if name == "id"]
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = self._in_cell and tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._in_cell and self.tags[-1] in {"td", "th", "a"}:
            self.rows[-1][-1] += data.strip()

    def leads_somewhere(self) -> bool:
        """Whether there are links, and each leads to a part of the page."""
        return bool(self.addresses) and all(each[:1] == "#" and each[1:] in self.anchors for each in self.addresses)

    def stands_alone(self) -> bool:
        """Whether the page needs nothing else."""
        return not {"script", "link", "img", "iframe"} & set(self.tags) and "url(" not in self.text
