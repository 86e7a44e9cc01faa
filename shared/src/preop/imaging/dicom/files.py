"""Which files of a folder are DICOM, and what their headers say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preop.errors import InvalidInputError

MAGIC = b"DICM"
MAGIC_AT = 128
RT_STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage, and Label Map Segmentation Storage."""
_DIRECTORY = "1.2.840.10008.1.3.10"
# What pydicom raises, at the place of the fault, for files that are cut off, damaged or written in a way it does not know.
_UNREADABLE = (EOFError, OSError, ValueError, KeyError, AttributeError, NotImplementedError)


def is_dicom(start: bytes) -> bool:
    """Tell from the first bytes whether a file is DICOM with its preamble."""
    return start[MAGIC_AT : MAGIC_AT + 4] == MAGIC


def read_headers(path: Path | Sequence[Path]) -> list[tuple[Path, Any]]:
    """Read the headers of one file, of these files, or of all DICOM files of a folder, without their pixels.

    Raises
    ------
    InvalidInputError
        If there is none, or one ends inside its header.
    """
    if not isinstance(path, Path):
        files, name = sorted(path), "The series"
    elif path.is_dir():
        files, name = (
            sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")),
            path.name,
        )
    else:
        files, name = [path], path.name
    found = [(file, header) for file in files if (header := _header(file)) is not None]
    if not found:
        raise InvalidInputError(f"{name} holds no DICOM file; expected the slices of one series.")
    return found


def object_in(path: Path, classes: tuple[str, ...]) -> Path | None:
    """Find the one object of some classes: the file itself, or the only DICOM file of a folder."""
    if path.is_dir():
        files = [file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
        path = files[0] if len(files) == 1 else path
    if not path.is_file():
        return None
    header = _header(path)
    return path if header is not None and str(header.get("SOPClassUID", "")) in classes else None


def read_object(path: Path) -> Any:
    """Read a whole DICOM file.

    Raises
    ------
    InvalidInputError
        If it is cut off or damaged.
    """
    import pydicom

    try:
        return pydicom.dcmread(path, force=True)
    except _UNREADABLE as error:
        raise InvalidInputError(f"{path.name} cannot be read as DICOM: {error or 'it is cut off'}.") from error


def _header(file: Path) -> Any | None:
    """Read a header; None of what is no DICOM object or the directory of a disk."""
    import pydicom

    with file.open("rb") as content:
        start = content.read(MAGIC_AT + 4)
    try:
        # Old files lack the preamble; what else lacks it shows no class either.
        header = pydicom.dcmread(file, stop_before_pixels=True, force=not is_dicom(start))
        kind = str(header.get("SOPClassUID", "") or header.file_meta.get("MediaStorageSOPClassUID", ""))
    except _UNREADABLE as error:
        if is_dicom(start) or file.suffix.lower() == ".dcm":
            raise InvalidInputError(f"{file.name} cannot be read as DICOM: {error or 'it is cut off'}.") from error
        return None
    if not kind:
        if file.suffix.lower() == ".dcm":
            raise InvalidInputError(f"{file.name} is no DICOM file, or is cut off inside its header; copy it again.")
        return None
    return None if kind == _DIRECTORY else header
