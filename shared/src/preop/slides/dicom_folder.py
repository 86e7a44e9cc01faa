"""The slide among the DICOM files of a folder: scanners write label, overview and other series beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from preop.errors import InvalidInputError

WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""VL Whole Slide Microscopy Image Storage (DICOM PS3.4, B.5)."""

_FLAVOUR = 2  # third value of Image Type (DICOM PS3.3, C.8.12.4.1.1): VOLUME, LABEL, OVERVIEW or THUMBNAIL
_TAGS = ("SOPClassUID", "SeriesInstanceUID", "ImageType", "ContainerIdentifier", "SeriesDescription")


def whole_slide_in(folder: Path) -> Path:
    """Find the slide in a folder; OpenSlide finds the other files of its series.

    Returns
    -------
    One of its files.

    Raises
    ------
    InvalidInputError
        If there is none, or there are several.
    """
    found: dict[str, tuple[Path, str]] = {}
    others: set[str] = set()
    for path in sorted(file for file in folder.rglob("*") if file.is_file()):
        header = _header(path)
        if header is None:
            continue
        if header.get("SOPClassUID") != WHOLE_SLIDE:
            others.add(header.SOPClassUID.name if "SOPClassUID" in header else "no class")
        elif _flavour(header) == "VOLUME":
            found.setdefault(str(header.get("SeriesInstanceUID")), (path, _name(header)))
    if len(found) > 1:
        slides = ", ".join(f"{name} ({path.name})" for path, name in found.values())
        raise InvalidInputError(
            f"{folder.name} holds {len(found)} slides: {slides}; expected one: put each into a folder of its own."
        )
    if not found:
        beside = f", but {', '.join(sorted(others))}" if others else ""
        raise InvalidInputError(
            f"{folder.name} is a folder without a DICOM whole-slide image{beside}; expected the files of one slide."
        )
    return next(iter(found.values()))[0]


def _header(path: Path) -> Any | None:
    """Few elements of a DICOM file; None of any other."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        return dcmread(path, stop_before_pixels=True, specific_tags=list(_TAGS))
    except InvalidDicomError:
        return None
    # A damaged file fails anywhere in the reader, in any way.
    except Exception as error:
        raise InvalidInputError(f"{path} cannot be read as DICOM: it is damaged or cut off; copy it again.") from error


def _flavour(header: Any) -> str:
    values = list(header.get("ImageType") or [])
    return str(values[_FLAVOUR]) if len(values) > _FLAVOUR else ""


def _name(header: Any) -> str:
    return str(header.get("ContainerIdentifier") or header.get("SeriesDescription") or header.get("SeriesInstanceUID"))
