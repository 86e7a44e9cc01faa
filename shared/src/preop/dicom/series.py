"""Objects of an index as what a person chooses among: volumes, contours and segmentations, slides.

One series can hold several volumes: of two orientations, of several phases, echoes or acquisitions in one place. Each is a
candidate of its own.
"""

from __future__ import annotations

import shutil
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from preop.dicom.headers import UNPACKING, Header, Place
from preop.dicom.index import Index
from preop.errors import InvalidInputError
from preop.imaging.dicom.files import RT_STRUCTURES, SEGMENTATIONS
from preop.imaging.dicom.slices import PHASE_TAGS

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_WHOLE = "VOLUME"
_TURNED = 2
"""Decimals to which directions of slices are compared."""
_PLACED = 2
"""Decimals of a millimetre to which places of slices are compared."""


class Content(StrEnum):
    """What a candidate is."""

    VOLUME = "volume"
    REGIONS = "regions"
    SLIDE = "slide"


@dataclass(frozen=True, eq=False)
class Series:
    """One volume, set of regions, or slide.

    Attributes
    ----------
    places
        Its files.
    headers
        Of them, in the same order; the first stands for all.
    part
        Which volume of its series, where that holds several: "echo time 4.6".
    """

    content: Content
    places: tuple[Place, ...]
    headers: tuple[Header, ...]
    part: str = ""

    @property
    def header(self) -> Header:
        """Header of its first object."""
        return self.headers[0]

    @cached_property
    def name(self) -> str:
        """What tells it from all others: the UID of its series, and what it is within that."""
        uid = self.text("SeriesInstanceUID")
        if self.content is Content.REGIONS:  # a series may hold several sets of contours
            return self.text("SOPInstanceUID")
        return f"{uid} {self.part}".strip()

    @property
    def is_dicom(self) -> bool:
        """Whether it is DICOM: slides of scanners are not."""
        return "SOPInstanceUID" in self.header

    def text(self, tag: str) -> str:
        """Value of a tag as text, "" where it is not there."""
        value = self.header.get(tag, "")
        return value if isinstance(value, str) else "\\".join(value)

    def number(self, tag: str) -> float | None:
        """First value of a tag as a number, None where it is none."""
        value = self.header.get(tag, "")
        try:
            return float(value if isinstance(value, str) else value[0])
        except (ValueError, IndexError):
            return None

    @property
    def described(self) -> str:
        """All words that describe it, in small letters."""
        tags = ("SeriesDescription", "ProtocolName", "ContrastBolusAgent", "ImageType")
        return " ".join(self.text(tag) for tag in tags).casefold()

    @property
    def slices(self) -> int:
        """Number of slices, or frames."""
        return sum(int(float(header.get("NumberOfFrames", 1))) for header in self.headers)

    @property
    def regions(self) -> Mapping[int, str]:
        """Names of contours or segments, by their place."""
        return dict(enumerate(self.header.get("Regions", []), 1))

    @contextmanager
    def files(self) -> Iterator[list[Path]]:
        """Its files on the disk; members of archives are unpacked for as long as they are needed."""
        with TemporaryDirectory(prefix="preop-dicom-") as folder:
            yield list(_on_disk(self.places, Path(folder)))


def series_of(index: Index) -> list[Series]:
    """Sort the objects of an index into candidates, in an order that depends on nothing but them."""
    groups: dict[tuple[str, str, str], list[tuple[Place, Header]]] = defaultdict(list)
    for place, header in index.objects.items():
        key = tuple(str(header.get(tag, "")) for tag in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"))
        groups[key[0], key[1], key[2]].append((place, header))
    found: list[Series] = []
    for members in groups.values():
        found += _candidates(members)
    found += [_scanner_slide(path) for path in index.slides]
    return sorted(found, key=lambda each: (each.text("PatientID"), each.text("StudyDate"), _order(each), each.name))


def _scanner_slide(path: Path) -> Series:
    """A slide that is no DICOM: its file is named after the patient, as a rule; the table of choices can say otherwise."""
    header = {"PatientID": path.stem, "Modality": "SM", "SeriesDescription": path.name, "SeriesInstanceUID": str(path)}
    return Series(Content.SLIDE, (Place(path),), ({**header, "StudyInstanceUID": str(path.parent)},))


def _order(series: Series) -> tuple[float, str]:
    number = series.number("SeriesNumber")
    return (1e9 if number is None else number, series.part)


def _candidates(members: Sequence[tuple[Place, Header]]) -> Iterator[Series]:
    regions = [each for each in members if each[1].get("SOPClassUID") in {RT_STRUCTURES, *SEGMENTATIONS}]
    slides = [each for each in members if each[1].get("SOPClassUID") == WHOLE_SLIDE]
    images = [
        each
        for each in members
        if "Rows" in each[1]
        and each not in regions
        and each not in slides
        and each[1].get("Modality") not in {"PR", "KO"}
    ]
    for place, header in regions:
        yield Series(Content.REGIONS, (place,), (header,))
    flavours: dict[str, list[tuple[Place, Header]]] = defaultdict(list)
    for slide in slides:
        flavours[_flavour(slide[1])].append(slide)
    for flavour, levels in flavours.items():
        yield _series(Content.SLIDE, levels, "" if flavour == _WHOLE else flavour.lower())
    if images:
        yield from _volumes(images)


def _flavour(header: Header) -> str:
    """What an image of a slide shows: VOLUME, LABEL, OVERVIEW or THUMBNAIL (DICOM PS3.3, C.8.12.4.1.1)."""
    values = header.get("ImageType", [])
    return str(values[2]) if not isinstance(values, str) and len(values) > 2 else ""


def _series(content: Content, members: Sequence[tuple[Place, Header]], part: str = "") -> Series:
    return Series(content, tuple(place for place, _ in members), tuple(header for _, header in members), part)


def _volumes(images: Sequence[tuple[Place, Header]]) -> Iterator[Series]:
    """Part a series by the direction of its slices, then by what tells slices in one place apart."""
    turned: dict[str, list[tuple[Place, Header]]] = defaultdict(list)
    for image in images:
        turned[_direction(image[1])].append(image)
    for number, members in enumerate(turned.values(), 1):
        part = f"orientation {number}" if len(turned) > 1 else ""
        yield from (
            _series(Content.VOLUME, volume, ", ".join(filter(None, (part, phase))))
            for phase, volume in _phases(members)
        )


def _direction(header: Header) -> str:
    try:
        return " ".join(f"{round(float(value), _TURNED) + 0.0:.2f}" for value in header["ImageOrientationPatient"])
    except (KeyError, ValueError):
        return ""


def _phases(members: Sequence[tuple[Place, Header]]) -> Iterator[tuple[str, Sequence[tuple[Place, Header]]]]:
    """Part a stack whose places are all taken several times by the first tag under which each is taken once."""
    places = [_where(header) for _, header in members]
    times = len(members) / max(len(set(places)), 1)
    if times < 1.5 or "" in places:
        yield "", members
        return
    for tag, words in PHASE_TAGS.items():
        phases: dict[str, list[tuple[Place, Header]]] = defaultdict(list)
        for member in members:
            phases[_value(member[1], tag)].append(member)
        if len(phases) > 1 and all(
            len({_where(header) for _, header in phase}) == len(phase) for phase in phases.values()
        ):
            for value, phase in sorted(phases.items()):
                yield f"{words} {value or 'none'}", phase
            return
    yield "", members


def _value(header: Header, tag: str) -> str:
    value: Any = header.get(tag, "")
    return value if isinstance(value, str) else "\\".join(value)


def _where(header: Header) -> str:
    try:
        return " ".join(f"{round(float(value), _PLACED) + 0.0:.2f}" for value in header["ImagePositionPatient"])
    except (KeyError, ValueError):
        return ""


def _on_disk(places: Sequence[Place], folder: Path) -> Iterator[Path]:
    """Give files as they are, and unpack members under names of their own: theirs may lead anywhere.

    Raises
    ------
    InvalidInputError
        If a member cannot be unpacked, or is larger than what is free on the disk.
    """
    with ExitStack() as stack:
        opened: dict[Path, zipfile.ZipFile] = {}
        for number, place in enumerate(places):
            if not place.member:
                yield place.path
                continue
            target = folder / f"{number:06d}.dcm"
            try:
                if place.path not in opened:
                    opened[place.path] = stack.enter_context(zipfile.ZipFile(place.path))
                _unpack(opened[place.path], place, target)
            except (OSError, KeyError, *UNPACKING) as error:
                raise InvalidInputError(f"{place} cannot be unpacked ({error}): copy it again.") from error
            yield target


def _unpack(archive: zipfile.ZipFile, place: Place, target: Path) -> None:
    size, free = archive.getinfo(place.member).file_size, shutil.disk_usage(target.parent).free
    if size > free:
        raise InvalidInputError(
            f"{place} is {size / 2**30:.1f} GiB large unpacked, and {free / 2**30:.1f} GiB are free in {target.parent.parent}."
        )
    with archive.open(place.member) as packed, target.open("wb") as file:
        shutil.copyfileobj(packed, file, 2**20)
