"""What is kept of a header: what tells whose it is, which series and volume it belongs to, and what it is good for."""

from __future__ import annotations

import functools
import io
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

IDENTIFYING = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "PatientBirthDate",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
    "InstitutionName",
    "InstitutionAddress",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "NameOfPhysiciansReadingStudy",
    "StationName",
    "DeviceSerialNumber",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "FrameOfReferenceUID",
)
"""Of the profile of DICOM PS3.15, annex E, those that tell of a person: no file of a cohort may hold their values."""
_DESCRIBING = (
    "SpecificCharacterSet",
    "SOPClassUID",
    "Modality",
    "StudyTime",
    "StudyDescription",
    "SeriesTime",
    "SeriesNumber",
    "SeriesDescription",
    "ProtocolName",
    "Manufacturer",
    "ManufacturerModelName",
    "BodyPartExamined",
    "ImageType",
    "ConvolutionKernel",
    "SliceThickness",
    "ContrastBolusAgent",
    "AcquisitionTime",
    "AcquisitionNumber",
    "EchoTime",
    "RepetitionTime",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "DiffusionBValue",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "Units",
    "CorrectedImage",
    "BurnedInAnnotation",
    "InstanceNumber",
    "ContainerIdentifier",
    "TotalPixelMatrixColumns",
)
_SEQUENCES = (
    "ReferencedFrameOfReferenceSequence",
    "ReferencedSeriesSequence",
    "StructureSetROISequence",
    "SegmentSequence",
    "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
)
TAGS = (*IDENTIFYING, *_DESCRIBING, *_SEQUENCES)
_DIRECTORY = "1.2.840.10008.1.3.10"
_START = 64 * 1024
"""So much of a file is read, or unpacked, at first: headers are shorter, as a rule."""
_MOST = 4 * 2**30
"""A packed file may not claim to be larger."""
_LONGEST_HEADER = 256 * 2**20
"""So much of a file is read in search of the end of its header: that of 10,000 frames or many contours is a few MiB."""
UNPACKING = (RuntimeError, NotImplementedError, zipfile.BadZipFile, EOFError, zlib.error)
"""What a damaged, encrypted or unknown archive raises when a member is read."""

Header = Mapping[str, Any]
"""Values by the keywords of DICOM: texts, and lists of texts where there are several. Besides ``References``, the series that
contours or segments were drawn on, and ``Regions``, their names."""


@dataclass(frozen=True, order=True)
class Place:
    """Where an object lies: a file, or a member of a zip archive."""

    path: Path
    member: str = ""

    def __str__(self) -> str:
        """Name it for a person."""
        return f"{self.path}, {self.member}" if self.member else str(self.path)


def read_header(place: Place) -> Header | str | None:
    """Read what is kept of one object's header.

    Returns
    -------
    The header; None of what is no DICOM object; a sentence of what is damaged.
    """
    try:
        if not place.member:
            with place.path.open("rb") as file:
                return _of_stream(file, place.path.name)
        with zipfile.ZipFile(place.path) as archive:
            return _of_member(archive, place.member)
    except (OSError, *UNPACKING) as error:
        return f"it cannot be read ({error})"


def read_members(archive: Path) -> dict[str, Header | str | None]:
    """Read the headers of all members of a zip archive, by their names."""
    found: dict[str, Header | str | None] = {}
    try:
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if not info.is_dir() and not Path(info.filename).name.startswith("."):
                    found[info.filename] = _of_member(opened, info.filename)
    except (OSError, zipfile.BadZipFile) as error:
        return {"": f"the archive cannot be unpacked ({error})"}
    return found


def _of_member(archive: zipfile.ZipFile, name: str) -> Header | str | None:
    if archive.getinfo(name).file_size > _MOST:
        return f"it claims to be {archive.getinfo(name).file_size / 2**30:.0f} GiB large"
    if name.lower().endswith(".zip"):
        return "it is an archive inside of an archive: unpack it"
    try:
        with archive.open(name) as packed:
            return _of_stream(packed, name)
    except UNPACKING as error:
        return f"it cannot be unpacked ({error})"


def _of_stream(file: IO[bytes], name: str) -> Header | str | None:
    """Read a header from the beginning of a file, and from all of it where that was too short."""
    start = file.read(_START)
    content = io.BytesIO(start)
    found = _parsed(content, name)
    # pydicom says nothing of a header that ends between two elements: the end was reached where it needed more.
    if found is not None and content.tell() >= len(start) == _START:  # skipping goes beyond the end
        whole = start + file.read(_LONGEST_HEADER - _START + 1)
        content = io.BytesIO(whole)
        found = _parsed(content, name)
        if len(whole) > _LONGEST_HEADER and content.tell() >= len(whole):
            return f"its header is longer than {_LONGEST_HEADER // 2**20} MiB"
    return found


def _looks_like_dicom(start: bytes) -> bool:
    """Whether a file begins as DICOM: with its preamble, or as old files do, with the first group of a data set."""
    return start[128:132] == b"DICM" or start[:2] == b"\x08\x00"


def _parsed(file: io.BytesIO, name: str) -> Header | str | None:
    import pydicom
    from pydicom import config

    start = file.read(132)
    if not _looks_like_dicom(start):
        return "it is no DICOM, or its beginning is damaged" if name.lower().endswith(".dcm") else None
    file.seek(0)
    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=_tags())
            kind = str(dataset.get("SOPClassUID", "") or dataset.file_meta.get("MediaStorageSOPClassUID", ""))
            if kind == _DIRECTORY:
                return None
            if not kind or "SOPInstanceUID" not in dataset:
                return "it is cut off inside its header, or lacks its SOP Class or Instance UID"
            return _plain(dataset)
    except Exception as error:  # noqa: BLE001 - a damaged file fails anywhere in the parser, in any way
        return f"it is damaged or cut off ({error})"
    finally:
        config.settings.reading_validation_mode = before


@functools.cache
def _tags() -> list[int]:
    """Numbers of the tags, which pydicom would look up for each file."""
    from pydicom.datadict import tag_for_keyword

    return [number for tag in TAGS if (number := tag_for_keyword(tag)) is not None]


@functools.cache
def _texts() -> dict[int, str]:
    """Keywords of those tags that are stored as text."""
    from pydicom.datadict import dictionary_VR, keyword_for_tag

    kinds = {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UI"}
    return {tag: keyword_for_tag(tag) for tag in _tags() if dictionary_VR(tag) in kinds}


def _plain(dataset: Any) -> Header:
    found: dict[str, Any] = {}
    texts = _texts()
    for tag in dataset.keys():  # noqa: SIM118 - going through a data set itself reads every value
        raw = dataset.get_item(tag)
        if (keyword := texts.get(tag)) and isinstance(raw.value, bytes) and raw.value.isascii():
            # As pydicom would, for a tenth of the time: nearly all values are short texts of plain letters.
            value = raw.value.decode("ascii").rstrip("\0 ")
            if value:
                found[keyword] = [part.strip() for part in value.split("\\")] if "\\" in value else value.strip()
        elif raw.VR != "SQ" and (element := dataset[tag]).VR != "SQ" and element.value not in (None, "", []):
            found[element.keyword] = _text(element.value)
    if "PerFrameFunctionalGroupsSequence" in dataset and "StructureSetROISequence" not in dataset:
        found["NumberOfFrames"] = str(len(dataset.PerFrameFunctionalGroupsSequence))
        found |= {tag: value for tag, value in _of_frames(dataset).items() if tag not in found}
    references = _references(dataset)
    if references:
        found["References"] = references
    regions = [
        str(each.get("ROIName", "") or each.get("SegmentLabel", ""))
        for tag in ("StructureSetROISequence", "SegmentSequence")
        for each in dataset.get(tag) or []
    ]
    if regions:
        found["Regions"] = regions
    return found


def _of_frames(dataset: Any) -> dict[str, Any]:
    """Take from the first frame of an enhanced image what a single slice says itself."""
    found: dict[str, Any] = {}
    groups = [*(dataset.get("SharedFunctionalGroupsSequence") or []), *dataset.PerFrameFunctionalGroupsSequence[:1]]
    for group in groups:
        for functional in group:
            for element in functional.value[0] if functional.VR == "SQ" and functional.value else ():
                if element.keyword in _DESCRIBING and element.value not in (None, ""):
                    found.setdefault(element.keyword, _text(element.value))
    return found


def _references(dataset: Any) -> list[str]:
    """UIDs of the series that contours (RTSTRUCT) or segments (SEG) were drawn on."""
    series = [
        each
        for frame in dataset.get("ReferencedFrameOfReferenceSequence") or []
        for study in frame.get("RTReferencedStudySequence") or []
        for each in study.get("RTReferencedSeriesSequence") or []
    ]
    found = [
        str(each.get("SeriesInstanceUID", "")) for each in (*series, *(dataset.get("ReferencedSeriesSequence") or []))
    ]
    return sorted({each for each in found if each})


def _text(value: Any) -> str | list[str]:
    if isinstance(value, str | int | float) or not hasattr(value, "__iter__"):
        return str(value)
    return [str(each) for each in value] if type(value).__name__ != "PersonName" else str(value)
