"""Comparing what a run wrote with what it should have written, within declared tolerances.

Numbers differ in their last digits from one processor to another, so that each test folder declares in its
``tolerance.toml`` how much they may; nothing else may differ, and no output may be missing or too many.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from preop.errors import InvalidInputError
from preop.imaging import read_image
from preop.toml import read_toml

TOLERANCE_FILE = "tolerance.toml"
_IMAGE_SUFFIXES = (".mha", ".tif", ".tiff")
_JSON_SUFFIX = ".json"
_PICTURE_SUFFIX = ".jpeg"
_SHOWN_DIFFERENCES = 10


class FileTolerance(BaseModel):
    """How much one file may differ; by default not at all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    absolute: float = Field(0, ge=0, description="largest difference of a number in a JSON file")
    relative: float = Field(0, ge=0, description="the same as a share of the expected number; the larger one counts")
    voxel_absolute: float = Field(0, ge=0, description="largest difference at which two voxels still count as equal")
    voxel_share: float = Field(0, ge=0, le=1, description="share of the voxels that may be unequal, as for labels")


class Tolerance(FileTolerance):
    """How much a folder of outputs may differ: in general, and for single files by their path in the folder."""

    files: dict[str, FileTolerance] = {}

    def of(self, relative_path: str) -> FileTolerance:
        """Give the tolerance of one file: what is said for it alone goes before what is said for all."""
        own = self.files.get(relative_path)
        general = self.model_dump(exclude={"files"})
        return FileTolerance(**{**general, **(own.model_dump(exclude_unset=True) if own else {})})


def read_tolerance(folder: Path) -> Tolerance:
    """Read the ``tolerance.toml`` of a folder of test cases.

    Raises
    ------
    InvalidInputError
        If it is missing, is not TOML, or says something that is not a tolerance.
    """
    path = folder / TOLERANCE_FILE
    if not path.is_file():
        raise InvalidInputError(f"{folder} holds no {TOLERANCE_FILE}: declare how much the outputs may differ.")
    return read_toml(path, Tolerance)


def compare_outputs(expected: Path, actual: Path, tolerance: Tolerance) -> list[str]:
    """Say in words how the files of a folder differ from what is expected.

    JSON files are compared value by value, images by type, size, spacing, origin, direction and voxels, thumbnails by
    size and pixels, and all others byte by byte.

    Parameters
    ----------
    expected, actual
        Folders as ``/output`` is; ``expected`` must be there.

    Returns
    -------
    One line per difference, in the order of the files' paths, at most ten for a file and then their number; none if both
    are equal within the tolerance.

    Raises
    ------
    InvalidInputError
        If ``expected`` holds no file: nothing would be compared; or if a tolerance names a file that it does not hold.
    """
    wanted, found = _files_of(expected), _files_of(actual)
    if not wanted:
        raise InvalidInputError(f"{expected} holds no expected output to compare with.")
    if unknown := sorted(tolerance.files.keys() - wanted.keys()):
        raise InvalidInputError(f"A tolerance is declared for {unknown[0]}, which is not among the expected outputs.")
    differences: list[str] = []
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            differences.append(f"{name} is missing")
        elif name not in wanted:
            differences.append(f"{name} was not expected")
        else:
            compare = _comparison_of(name)
            lines = _first(compare(wanted[name], found[name], tolerance.of(name)))
            differences += [f"{name}{line}" for line in lines]
    return differences


def _first(lines: list[str]) -> list[str]:
    """Keep the first differences of a file, and count the others."""
    others = len(lines) - _SHOWN_DIFFERENCES
    return [*lines[:_SHOWN_DIFFERENCES], f": and {others} more differences"] if others > 0 else lines


def _files_of(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}


def _comparison_of(name: str) -> Callable[[Path, Path, FileTolerance], list[str]]:
    suffix = Path(name).suffix.lower()
    if suffix == _JSON_SUFFIX:
        return _compare_json
    if suffix == _PICTURE_SUFFIX:
        return _compare_pictures
    return _compare_images if suffix in _IMAGE_SUFFIXES else _compare_bytes


def _compare_bytes(expected: Path, actual: Path, _tolerance: FileTolerance) -> list[str]:
    return [] if expected.read_bytes() == actual.read_bytes() else [": its content differs"]


def _compare_json(expected: Path, actual: Path, tolerance: FileTolerance) -> list[str]:
    wanted = json.loads(expected.read_text(encoding="utf-8"))
    try:
        found = json.loads(actual.read_text(encoding="utf-8"))
    except ValueError:
        return [": it is not valid JSON"]
    return _value_differences(wanted, found, tolerance, place="")


def _value_differences(wanted: Any, found: Any, tolerance: FileTolerance, *, place: str) -> list[str]:
    """Compare two JSON values; ``place`` is where they stand in the file."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        lines = [f"{place}: the key {key!r} is missing" for key in wanted if key not in found]
        lines += [f"{place}: the key {key!r} was not expected" for key in found if key not in wanted]
        pairs = {f"{place} > {key}": (wanted[key], found[key]) for key in wanted if key in found}
    elif isinstance(wanted, list) and isinstance(found, list):
        lines = [] if len(wanted) == len(found) else [f"{place}: {len(found)} items, expected {len(wanted)}"]
        pairs = {f"{place}[{i}]": pair for i, pair in enumerate(zip(wanted, found, strict=False))}
    elif _is_number(wanted) and _is_number(found):
        return _number_differences(wanted, found, tolerance, place)
    else:
        equal = type(wanted) is type(found) and wanted == found
        return [] if equal else [f"{place}: {_short(found)}, expected {_short(wanted)}"]
    for inner, (a, b) in pairs.items():
        lines += _value_differences(a, b, tolerance, place=inner)
    return lines


def _number_differences(wanted: float, found: float, tolerance: FileTolerance, place: str) -> list[str]:
    if not math.isfinite(found):
        return [f"{place}: {found} is not a finite number, expected {wanted!r}"]
    allowed = max(tolerance.absolute, tolerance.relative * abs(wanted))
    if abs(found - wanted) <= allowed:
        return []
    return [f"{place}: {found!r}, expected {wanted!r} (tolerance {allowed:g})"]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _compare_images(expected: Path, actual: Path, tolerance: FileTolerance) -> list[str]:
    wanted = read_image(expected)
    try:
        found = read_image(actual)
    except InvalidInputError as error:
        return [f": {error}"]
    if geometry := wanted.geometry.difference(found.geometry):
        return [f": {geometry}"]
    lines = []
    if wanted.voxels.dtype != found.voxels.dtype:
        lines.append(f": voxels of type {found.voxels.dtype}, expected {wanted.voxels.dtype}")
    return lines + _pixel_differences(wanted.voxels, found.voxels, tolerance)


def _compare_pictures(expected: Path, actual: Path, tolerance: FileTolerance) -> list[str]:
    from PIL import Image as PillowImage
    from PIL import UnidentifiedImageError

    wanted = np.asarray(PillowImage.open(expected).convert("RGB"))
    try:
        found = np.asarray(PillowImage.open(actual).convert("RGB"))
    except (UnidentifiedImageError, OSError):
        return [": it is not a valid picture"]
    if wanted.shape != found.shape:
        return [f": {found.shape[1]} x {found.shape[0]} pixels, expected {wanted.shape[1]} x {wanted.shape[0]}"]
    return _pixel_differences(wanted, found, tolerance)


def _pixel_differences(wanted: NDArray[Any], found: NDArray[Any], tolerance: FileTolerance) -> list[str]:
    difference = np.abs(wanted.astype(np.float64) - found.astype(np.float64))
    unequal = int((difference > tolerance.voxel_absolute).sum())
    if unequal <= tolerance.voxel_share * difference.size:
        return []
    return [
        f": {unequal} of {difference.size} voxels differ, by up to {difference.max():g} (tolerance "
        f"{tolerance.voxel_absolute:g}, or more in a share of {tolerance.voxel_share:g})"
    ]
