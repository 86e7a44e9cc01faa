"""What all objects that are written have in common: who made them, of whom, and UIDs that a second writing gives again."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preop.atomic import replacing
from preop.dicom.series import Series
from preop.errors import MissingToolError

if TYPE_CHECKING:
    from highdicom.sr.coding import CodedConcept

MANUFACTURER = "preop"
SCHEME = "99PREOP"
"""Of codes that no standard has: the names of the inputs and outputs of algorithms."""
_TYPE_2 = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator"),
)
"""What objects of an examination have to have, if empty (DICOM PS3.3, C.7.1.1, C.7.2.1 and C.7.4.1)."""
_LONGEST_CODE = 16  # DICOM PS3.5, SH
_LONGEST_TEXT = 64  # LO


def require_writer() -> None:
    """Refuse to begin where what writes DICOM is not installed.

    Raises
    ------
    MissingToolError
        With what to type.
    """
    if importlib.util.find_spec("highdicom") is None:
        raise MissingToolError(
            "highdicom, which writes results as DICOM, is not installed: requirements/install.sh hospital"
        )


def equipment(name: str, algorithm_version: str) -> dict[str, Any]:
    """What says which program made an object, as highdicom takes it."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": name[:_LONGEST_TEXT],
        "software_versions": f"{name} {algorithm_version}, preop {version('preop')}"[:_LONGEST_TEXT],
    }


def uid_of(*parts: object) -> str:
    """Make a UID of what an object is made of, so that the same result is not stored twice (DICOM PS3.5, B.2)."""
    digest = hashlib.sha256("\n".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def code(value: str, meaning: str | None = None) -> CodedConcept:
    """Make a code of this project's own; long values are told apart by digits of a checksum."""
    from highdicom.sr.coding import CodedConcept

    short = value if len(value) <= _LONGEST_CODE else f"{value[:9]}-{hashlib.sha256(value.encode()).hexdigest()[:6]}"
    return CodedConcept(value=short, scheme_designator=SCHEME, meaning=(meaning or value)[:_LONGEST_TEXT])


def headers_of(series: Series) -> list[Any]:
    """Read the headers of a series, whole and without pixels, for objects that refer to it; what has to be there is, if empty."""
    import pydicom

    with series.files() as files:
        headers = [pydicom.dcmread(file, stop_before_pixels=True, force=True) for file in files]
    for header in headers:
        for tag in _TYPE_2:
            if tag not in header:
                setattr(header, tag, "")
        if not header.get("FrameOfReferenceUID"):
            header.FrameOfReferenceUID = uid_of("frame", header.SeriesInstanceUID)
    return headers


def write_object(dataset: Any, path: Path) -> Path:
    """Write an object, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        dataset.save_as(partial, enforce_file_format=True)
    return path


def of_patient_and_study(header: Any) -> Mapping[str, Any]:
    """Values that tell of whom an object is, and to which examination it belongs."""
    tags = (
        *(
            "PatientID",
            "IssuerOfPatientID",
            "PatientName",
            "PatientBirthDate",
            "PatientSex",
            "PatientAge",
            "PatientWeight",
        ),
        *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber"),
        *("ReferringPhysicianName", "SpecificCharacterSet"),
    )
    return {tag: header[tag].value for tag in tags if tag in header}


def referenced(headers: Sequence[Any]) -> list[tuple[str, str]]:
    """Class and UID of each object."""
    return [(str(header.SOPClassUID), str(header.SOPInstanceUID)) for header in headers]
