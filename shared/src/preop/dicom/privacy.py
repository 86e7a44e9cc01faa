"""What could tell whose data a cohort holds: words of the original headers in anything written, faces, and burned-in text.

Names, numbers, dates and UIDs of the headers are searched for in names of files and folders, in tables and other text, and
in the headers of images. Voxels are not looked at: a burned-in annotation or a face is told by the header alone.
"""

from __future__ import annotations

import gzip
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from preop.dicom.headers import IDENTIFYING, Header
from preop.dicom.series import Series

SHORTEST = 4
"""Names and numbers with fewer letters or digits are everywhere, and are not searched for."""
_TEXTS = {".csv", ".json", ".toml", ".txt", ".html", ".log", ".md"}
_NIFTI_HEADER = 352
_HEAD_WORDS = re.compile(
    r"head|brain|skull|face|kopf|sch.?del|neck|hals|orbit|sinus|whole ?body|wb\b|ganzk", re.IGNORECASE
)
_DATES = re.compile(r"(?<!\d)(?:(\d{4})([-./]?)(\d{2})\2(\d{2})|(\d{2})([-./])(\d{2})\6(\d{4}))(?!\d)")
_DATE_TAGS = {tag for tag in IDENTIFYING if tag.endswith("Date")}
_PUBLIC = {"CT", "MR", "PET", "NONE", "ANONYMOUS", "ANONYMIZED", "UNKNOWN", "HOSPITAL", "SCANNER"}


@dataclass(frozen=True)
class Leak:
    """An original value that was found.

    Attributes
    ----------
    place
        File, relative to the folder, and where in it.
    tag
        Keyword of the element whose value it is; the value itself is told nowhere.
    """

    place: str
    tag: str

    def __str__(self) -> str:
        """Name it for a person."""
        return f"{self.place} ({self.tag})"


class Originals:
    """Values of the original headers that no file may hold.

    Parameters
    ----------
    headers
        All of them.
    known
        Words that stand in every cohort of the study, such as names of columns: a patient may be called so.
    """

    def __init__(self, headers: Iterable[Header], known: Collection[str] = ()) -> None:
        self._words: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        self._dates: dict[str, str] = {}
        public = {word for text in (*known, *_PUBLIC) for word in _words(text)}
        for header in headers:
            for tag in IDENTIFYING:
                for value in _values(header, tag):
                    self._add(tag, value, public)

    def _add(self, tag: str, value: str, public: Collection[str]) -> None:
        if tag in _DATE_TAGS:
            self._dates.setdefault(re.sub(r"\D", "", value), tag)
            return
        words = _words(value)
        if "Name" in tag or "Address" in tag:
            for word in words:
                if len(word) >= SHORTEST and word not in public:
                    self._words.setdefault(word, tag)
        elif sum(map(len, words)) >= SHORTEST and not set(words) <= set(public):
            self._texts.setdefault(_folded(value), tag)

    def in_text(self, text: str) -> set[str]:
        """Tags of the values that a text holds."""
        folded = _folded(text)
        found = {self._words[word] for word in _words(text) if word in self._words}
        found |= {self._dates[day] for day in _days(folded) if day in self._dates}
        found |= {tag for value, tag in self._texts.items() if value in folded and _stands_alone(value, folded)}
        return found


def leaks(folder: Path, originals: Originals) -> list[Leak]:
    """Find original values in everything that lies in a folder."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found += [Leak(f"the name of {name}", tag) for tag in sorted(originals.in_text(path.name))]
        if path.is_file():
            for where, text in _texts(path):
                found += [Leak(f"{name}{where}", tag) for tag in sorted(originals.in_text(text))]
    return found


def cautions(series: Series) -> list[str]:
    """Say what of a series may show whose it is, beside its header."""
    found = []
    if series.text("BurnedInAnnotation").upper() == "YES":
        found.append("its pixels hold burned-in annotations")
    words = f"{series.text('BodyPartExamined')} {series.text('StudyDescription')} {series.described}"
    if _HEAD_WORDS.search(words):
        found.append("it may show a face, by which a person can be recognised")
    return found


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Give the text that a file holds outside of its pixels, with its place."""
    if path.suffix.lower() in _TEXTS:
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            yield f", line {number}", line
    elif path.name.endswith(".nii.gz"):
        with gzip.open(path) as packed:
            yield ", header", packed.read(_NIFTI_HEADER).decode("latin-1")
    elif path.suffix.lower() in {".mha", ".mhd"}:
        with path.open("rb") as file:
            yield ", header", file.read(4096).partition(b"ElementDataFile")[0].decode("latin-1")
    elif path.suffix.lower() in {".tif", ".tiff"}:
        yield from _of_tiff(path)


def _of_tiff(path: Path) -> Iterator[tuple[str, str]]:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        for number, page in enumerate(tiff.pages, 1):
            for tag in getattr(page, "tags", ()):
                if isinstance(tag.value, str | bytes) and tag.name != "JPEGTables":
                    value = tag.value if isinstance(tag.value, str) else tag.value.decode("latin-1")
                    yield f", {tag.name} of page {number}", value


def _values(header: Header, tag: str) -> list[str]:
    value = header.get(tag, [])
    return [value] if isinstance(value, str) else list(value)


def _folded(text: str) -> str:
    """Text without accents and capitals: a header writes Muller where a table writes Müller."""
    plain = unicodedata.normalize("NFKD", text)
    return "".join(each for each in plain if not unicodedata.combining(each)).casefold().strip()


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", _folded(text))


def _days(text: str) -> Iterator[str]:
    """Give all dates of a text as YYYYMMDD."""
    for found in _DATES.finditer(text):
        year, _, month, day, first, _, second, last = found.groups()
        if year:
            yield year + month + day
        else:  # day or month first: nobody can tell
            yield last + second + first
            yield last + first + second


def _stands_alone(value: str, text: str) -> bool:
    return bool(re.search(rf"(?<![\w]){re.escape(value)}(?![\w])", text))
