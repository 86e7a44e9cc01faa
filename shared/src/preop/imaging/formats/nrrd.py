"""NRRD, as one file or with its data beside it (teem.sourceforge.net/nrrd/format.html), voxels by ITK.

ITK's reader (teem) refuses what is cut off or damaged by itself. It says nothing of spacings that are missing or no numbers,
nor of axes that are sheared: these are looked for here. Segmentations of 3D Slicer name their values in the header.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from preop.errors import InvalidInputError
from preop.imaging.formats.content import Content, beside, check_finite, check_size
from preop.imaging.formats.grids import grid_of
from preop.imaging.images import Geometry, Image

_LONGEST_HEADER = 2**20
_SPACES = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
    "": (1, 1, 1),
}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|nan|[-+]?inf"
_SEGMENT = re.compile(r"segment(\d+)_(name|labelvalue|layer)", re.IGNORECASE)
_READER_ERROR = re.compile(r"\[nrrd\] [^:]*: (.*)")


def is_nrrd(start: bytes) -> bool:
    """Tell from the first bytes whether a file is NRRD."""
    return start.startswith(b"NRRD")


def read_nrrd(path: Path) -> Content:
    """Read voxels, place and label names.

    Raises
    ------
    InvalidInputError
        If the header is not that of one scan, or the voxels are not all there.
    """
    import SimpleITK as sitk

    fields = _fields(path)
    geometry, notes = _place(fields, path.name)
    missing = [file.name for file in nrrd_data_files(path) if not file.is_file()]
    if missing:
        raise InvalidInputError(
            f"{path.name} has its voxels in {missing[0]}, which is missing; put it beside the header."
        )
    try:
        image = sitk.ReadImage(os.fspath(path), imageIO="NrrdImageIO")
    except RuntimeError as error:
        reasons = _READER_ERROR.findall(str(error))
        reason = reasons[-1] if reasons else "its data do not fit its header"
        raise InvalidInputError(f"{path.name} is damaged or cut off: {' '.join(reason.split())}.") from error
    voxels = sitk.GetArrayFromImage(image)
    if voxels.size != np.prod(geometry.shape):
        raise InvalidInputError(f"{path.name} is damaged: its voxels do not fit the size in its header.")
    voxels = voxels.reshape(geometry.shape)
    check_finite(voxels, name=path.name)
    return Content(Image(voxels, geometry, notes), _segment_names(fields))


def read_nrrd_geometry(path: Path) -> Geometry:
    """Read where the voxels lie, without reading them."""
    return _place(_fields(path), path.name)[0]


def nrrd_data_files(path: Path) -> list[Path]:
    """List the files beside a header that hold its voxels."""
    where = _fields(path).get("data file") or _fields(path).get("datafile")
    if not where:
        return []
    if where.upper().startswith("LIST") or "%" in where:
        raise InvalidInputError(f"{path.name} has its voxels in several files ({where[:60]}); expected one file.")
    return [beside(path, where)]


def _fields(path: Path) -> dict[str, str]:
    """Read the fields of the header by name, and what programs add as ``name:=value``."""
    with path.open("rb") as file:
        start = file.read(_LONGEST_HEADER)
    fields: dict[str, str] = {}
    for line in start.decode("latin-1").split("\n")[1:]:
        text = line.strip("\r")
        if not text:
            return fields
        name, found, value = text.partition(":")
        if found and not text.startswith("#"):
            fields[name.strip().lower()] = value.removeprefix("=").strip()
    return fields


def _place(fields: Mapping[str, str], name: str) -> tuple[Geometry, tuple[str, ...]]:
    if fields.get("type", "block") == "block":
        raise InvalidInputError(f"{name} holds no single number a voxel (type {fields.get('type', 'not stated')}).")
    sizes = fields.get("sizes", "").split()
    if not sizes or not all(size.isdigit() for size in sizes) or fields.get("dimension") != str(len(sizes)):
        raise InvalidInputError(
            f"{name} states the dimension {fields.get('dimension', '(none)')} and the sizes {' '.join(sizes) or '(none)'}, "
            "which do not fit together; its header is damaged."
        )
    size = [int(each) for each in sizes]
    kinds = fields.get("kinds", "").split() or ["domain"] * len(size)
    vectors = _vectors(fields.get("space directions", ""))
    spacings = fields.get("spacings", "").split()
    if len(kinds) != len(size) or (vectors and len(vectors) != len(size)) or (spacings and len(spacings) != len(size)):
        raise InvalidInputError(f"{name} describes another number of axes than it has; its header is damaged.")
    channels = [i for i, kind in enumerate(kinds) if kind not in {"domain", "space", "???", "none"}]
    channels = [i for i in channels if not vectors or vectors[i] is None] or [
        i for i, v in enumerate(vectors) if v is None
    ]
    for axis in reversed(channels):
        if size[axis] != 1:
            raise InvalidInputError(f"{name} has {size[axis]} channels or layers; expected one value a voxel.")
    kept = [i for i in range(len(size)) if i not in channels]
    check_size(tuple(size[i] for i in kept), name=name)
    shape = tuple(size[i] for i in reversed(kept))
    units = {unit.lower() for unit in re.findall(r'"([^"]*)"', fields.get("space units", ""))} - {
        "mm",
        "",
        "millimeter",
    }
    if units:
        raise InvalidInputError(
            f"{name} gives its sizes in {', '.join(sorted(units))}; expected mm: convert its header."
        )
    signs = _SPACES.get(fields.get("space", "").lower())
    if signs is None:
        raise InvalidInputError(
            f"{name} lies in the space {fields['space']}; expected left-posterior-superior or right-anterior-superior."
        )
    origin = (_vectors(fields.get("space origin", "")) or [None])[0]
    if not vectors and not spacings:
        raise InvalidInputError(f"{name} does not state the size of its voxels; add space directions to its header.")
    if not vectors:
        along = np.array([_number(spacings[i]) for i in kept])
        steps = np.diag(along)
    else:
        steps = np.array([vectors[i] for i in kept], dtype=np.float64).T
    if len(kept) == 2:
        lengths = np.linalg.norm(steps, axis=0)
        return Geometry.axis_aligned(shape, tuple(lengths[::-1].tolist())), ()
    if steps.shape != (3, 3):
        raise InvalidInputError(f"{name} has directions of {steps.shape[0]} numbers; expected 3 for each axis.")
    flip = np.array(signs, dtype=np.float64)
    place = np.zeros(3) if origin is None else np.asarray(origin, dtype=np.float64)
    return grid_of(shape, flip[:, None] * steps, flip * place, name=name)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _vectors(text: str) -> list[Any]:
    """Read vectors in brackets; None where an axis has no direction in space."""
    parts = re.findall(r"none|\([^)]*\)", text)
    return [None if part == "none" else [float(each) for each in re.findall(_NUMBER, part)] for part in parts]


def _segment_names(fields: Mapping[str, str]) -> dict[int, str]:
    """Names that 3D Slicer gives to the values of a segmentation."""
    segments: dict[str, dict[str, str]] = {}
    for key, value in fields.items():
        if found := _SEGMENT.fullmatch(key):
            segments.setdefault(found[1], {})[found[2].lower()] = value
    return {
        int(segment["labelvalue"]): segment["name"]
        for segment in segments.values()
        if segment.get("labelvalue", "").isdigit() and "name" in segment
    }
