"""Masks and label maps: whole numbers on the grid of their scan, and one region chosen from several."""

from __future__ import annotations

import fnmatch
import itertools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from preop.errors import InvalidInputError
from preop.imaging.files import read_content
from preop.imaging.images import Geometry, Image
from preop.imaging.orientation import reorient_like

ROUNDED = 1e-5
"""A header that rescales labels rounds them by less than this share. It leaves 0 as it is: the tiny values that B-splines
leave there are no rounding."""
MAX_LABELS = 1000
"""More different values are a scan, not a mask."""
_LISTED = 20


def read_mask(path: Path, *, label: int | str | None = None, like: Geometry | None = None) -> Image:
    """Read one region as a mask.

    Parameters
    ----------
    path
        A label map in any format that :func:`preop.imaging.read_image` knows, a DICOM segmentation (SEG), or DICOM contours
        (RTSTRUCT); for DICOM, the file or the folder that holds it alone.
    label
        Which region, where there are several: its number, its name, or a pattern of it with ``*``.
    like
        The scan's grid: a mask that is stored in another order or direction of axes is brought to it.

    Returns
    -------
    Booleans, on the grid ``like`` where one is given.

    Raises
    ------
    InvalidInputError
        If values are not whole numbers, there are several regions and none is named, none or several have the name, the
        region is empty, or the mask lies on another grid.
    """
    contours = _contours_in(path)
    if contours is not None:
        return _of_contours(contours, label, like)
    segments = _segments_in(path)
    if segments is not None:
        return _of_segments(segments, label, like)
    labels, names = _read_whole(path)
    labels = labels if like is None else on_grid(labels, like, name=path.name)
    values = [int(value) for value in np.unique(labels.voxels) if value != 0]
    if label is None and any(value < 0 for value in values):
        raise InvalidInputError(
            f"{path.name} holds the value {values[0]}; expected whole numbers from 0: is this the mask, or the scan?"
        )
    wanted = _choose(values, names, label, path.name)
    return Image(labels.voxels == wanted, labels.geometry, labels.notes)


def read_labels(path: Path, *, label: str | None = None, like: Geometry | None = None, scan: str = "the scan") -> Image:
    """Read a label map with all its values: one number a structure, as those who drew it gave them.

    Parameters
    ----------
    path
        As for :func:`read_mask`.
    label
        Of contours and DICOM segmentations, the regions whose names fit this pattern alone, numbered from 1 in the order of
        their own numbers.
    like
        The scan's grid, as there.
    scan
        What the scan is called in messages.

    Raises
    ------
    InvalidInputError
        If values are not whole numbers, or the map lies on another grid than ``like``.
    """
    contours = _contours_in(path)
    segments = None if contours is not None else _segments_in(path)
    if label and (found := contours or segments):
        return _regions(found, label, like, read=_of_contours if contours else _of_segments)
    if contours is not None:
        return _as_labels(_of_contours(contours, None, like))
    if segments is not None:
        from preop.imaging.dicom.segmentations import draw_segments

        voxels, grid = draw_segments(segments, like)
        return Image(voxels, grid)
    labels, _ = _read_whole(path)
    return labels if like is None else on_grid(labels, like, name=path.name, scan=scan)


def on_grid(labels: Image, grid: Geometry, *, name: str, scan: str = "the scan") -> Image:
    """Bring a mask to the order and direction of a scan's axes, without resampling.

    A grid that is off by less than a tenth of a voxel everywhere, as after a program that rounds or straightens axes, is the
    scan's, and that is told.

    Raises
    ------
    InvalidInputError
        If it lies on another grid.
    """
    turned = labels
    if len(grid.shape) == labels.voxels.ndim == 3 and grid.difference(labels.geometry):
        turned = reorient_like(labels, grid)
    if (difference := grid.difference(turned.geometry)) and _nearly(grid, turned.geometry):
        note = f"lies off the grid of {scan} by less than a tenth of a voxel ({difference}); it was taken as the same"
        return Image(turned.voxels, grid, (*labels.notes, f"{note}."))
    if difference:
        # In its own order of axes where that is the scan's: numbers that a person finds in the header.
        compared = labels if grid.shape == labels.shape else turned
        difference = grid.difference(compared.geometry)
        raise InvalidInputError(f"{name} does not lie on the grid of {scan} ({difference}): resample it to that scan.")
    return Image(turned.voxels, grid, labels.notes)


def _nearly(grid: Geometry, other: Geometry) -> bool:
    """Whether no corner of two grids of one size is further apart than a tenth of a voxel."""
    if grid.shape != other.shape:
        return False
    corners = np.array(list(itertools.product(*((0, size - 1) for size in grid.shape))), dtype=float)
    apart = np.abs(grid.world_mm(corners) - other.world_mm(corners)).max()
    return bool(apart < min(grid.spacing_mm) / 10)


def _read_whole(path: Path) -> tuple[Image, dict[int, str]]:
    """Read a label map, refusing values that are not whole; and the names of its values."""
    content = read_content(path)
    image = content.image
    voxels = image.voxels
    if voxels.dtype.kind == "f":
        whole = np.rint(voxels)
        fractional = np.abs(voxels - whole) > ROUNDED * np.abs(whole)
        if fractional.any():
            raise InvalidInputError(
                _fractional(path, voxels[fractional].min(), voxels[fractional].max(), fractional.sum())
            )
        voxels = whole.astype(np.int32) if np.abs(whole).max(initial=0) < 2**31 else whole.astype(np.int64)
    return Image(voxels, image.geometry, image.notes), {**_names_beside(path), **content.label_names}


def _fractional(path: Path, low: float, high: float, count: int) -> str:
    ending = "".join(path.suffixes[-2:]) if path.name.endswith(".gz") else path.suffix
    whole = f"{path.name.removesuffix(ending)}_whole{ending}"
    command = f"import SimpleITK as s; s.WriteImage(s.Cast(s.ReadImage('{path.name}') >= 0.5, s.sitkUInt8), '{whole}')"
    return (
        f"{path.name} holds {count:,} voxels with fractions ({low:.3g} to {high:.3g}), as linear or B-spline interpolation "
        "leaves them; expected whole numbers: resample the original mask with nearest neighbour, or cut this one at a half: "
        f'python -c "{command}"'
    )


def _choose(values: list[int], names: Mapping[int, str], label: int | str | None, name: str) -> int:
    """Find the one value that is meant."""
    if not values:
        raise InvalidInputError(f"{name} is empty: all its voxels are 0; expected at least one voxel greater than 0.")
    if label is None or label == "":
        if len(values) > 1:
            more = "; this looks like a scan, not a mask" if len(values) > MAX_LABELS else ""
            raise InvalidInputError(
                f"{name} holds {len(values)} values ({_listed(values, names)}){more}; expected one: name the region with --label."
            )
        return values[0]
    found = _matching(values, names, str(label))
    if len(found) != 1:
        what = "is not in" if not found else f"fits {len(found)} regions ({_listed(found, names)}) of"
        raise InvalidInputError(f"The label {label} {what} {name}; it holds {_listed(values, names)}.")
    return found[0]


def _matching(values: list[int], names: Mapping[int, str], label: str) -> list[int]:
    """Values whose number or name a label is; a name in other letters of case, or a pattern, if none is it exactly."""
    exact = [value for value in values if names.get(value) == label]
    if exact:
        return exact
    if _is_whole(label):
        return [value for value in values if value == int(float(label))]
    wanted = label.casefold()
    same = [value for value in values if names.get(value, "").casefold() == wanted]
    return same or [
        value for value in values if value in names and fnmatch.fnmatchcase(names[value].casefold(), wanted)
    ]


def _is_whole(label: str) -> bool:
    """Tell a number, also one that a table wrote as 2.0."""
    return bool(re.fullmatch(r"[+-]?[0-9]{1,15}(\.0*)?", label))


def _listed(values: list[int], names: Mapping[int, str]) -> str:
    written = [f"{value} {names[value]}" if names.get(value) else str(value) for value in values[:_LISTED]]
    return ", ".join(written) + (" ..." if len(values) > _LISTED else "")


def _names_beside(path: Path) -> dict[int, str]:
    """Read names from ``mask.json`` beside ``mask.nii.gz``: ``{"1": "organ"}`` or ``{"organ": 1}``, or that as "labels"."""
    stem = path.name
    for ending in (".gz", ".nii", ".mha", ".mhd", ".nrrd", ".nhdr", ".hdr", ".img"):
        stem = stem[: -len(ending)] if stem.lower().endswith(ending) else stem
    beside = path.with_name(f"{stem}.json")
    if not beside.is_file():
        return {}
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, ValueError):
        return {}
    table = content.get("labels", content) if isinstance(content, dict) else {}
    names: dict[int, str] = {}
    for key, value in table.items() if isinstance(table, dict) else ():
        if key.lstrip("-").isdigit() and isinstance(value, str):
            names[int(key)] = value
        elif isinstance(value, int):
            names[value] = key
    return names


def _contours_in(path: Path) -> Path | None:
    from preop.imaging.dicom.files import RT_STRUCTURES, object_in

    return object_in(path, (RT_STRUCTURES,)) if _may_be_dicom(path) else None


def _segments_in(path: Path) -> Path | None:
    from preop.imaging.dicom.files import SEGMENTATIONS, object_in

    return object_in(path, SEGMENTATIONS) if _may_be_dicom(path) else None


def _may_be_dicom(path: Path) -> bool:
    from preop.imaging.dicom.files import MAGIC_AT, is_dicom

    if not path.is_file():
        return path.is_dir()
    with path.open("rb") as file:
        return is_dicom(file.read(MAGIC_AT + 4)) or path.suffix.lower() == ".dcm"


def _of_contours(path: Path, label: int | str | None, like: Geometry | None) -> Image:
    from preop.imaging.dicom.structures import draw_structure, structure_names

    if like is None:
        raise InvalidInputError(
            f"{path.name} holds contours, which have no voxels; give the scan on which they were drawn."
        )
    names = structure_names(path)
    mask, notes = draw_structure(path, _choose(sorted(names), names, label, path.name), like)
    if not mask.any():
        raise InvalidInputError(f"{path.name} is empty on this scan: no voxel's centre lies inside its contours.")
    return Image(mask, like, notes)


def _of_segments(path: Path, label: int | str | None, like: Geometry | None) -> Image:
    from preop.imaging.dicom.segmentations import draw_segments, segment_names

    names = segment_names(path)
    chosen = _choose(sorted(names), names, label, path.name)
    labels, grid = draw_segments(path, like, chosen)
    if not (labels == chosen).any():
        raise InvalidInputError(f"{path.name} is empty: no voxel belongs to {names[chosen] or chosen}.")
    return Image(labels == chosen, grid)


def region_names(path: Path) -> dict[int, str]:
    """Names of the regions of DICOM contours or of a DICOM segmentation, by their numbers; empty of any other file.

    Raises
    ------
    InvalidInputError
        If the file is damaged.
    """
    from preop.imaging.dicom.segmentations import segment_names
    from preop.imaging.dicom.structures import structure_names

    if contours := _contours_in(path):
        return structure_names(contours)
    segments = _segments_in(path)
    return segment_names(segments) if segments else {}


def matching_regions(names: Mapping[int, str], label: int | str) -> list[int]:
    """Numbers of the regions that a label means: its number, its name, or a pattern of it with ``*``."""
    return _matching(sorted(names), names, str(label))


def _regions(
    path: Path, label: str, like: Geometry | None, *, read: Callable[[Path, int | str | None, Geometry | None], Image]
) -> Image:
    """Draw all regions that fit a pattern, each with a number; a voxel that two share is the first one's."""
    names = region_names(path)
    numbers = matching_regions(names, label)
    if not numbers:
        raise InvalidInputError(f"The label {label} is not in {path.name}; it holds {_listed(sorted(names), names)}.")
    drawn = [read(path, number, like) for number in numbers]
    voxels = np.zeros(drawn[0].shape, dtype=np.uint8 if len(drawn) < 256 else np.uint16)
    shared = 0
    for number, mask in enumerate(drawn, 1):
        shared += int((mask.voxels & (voxels > 0)).sum())
        voxels[mask.voxels & (voxels == 0)] = number
    notes = [note for mask in drawn for note in mask.notes]
    if shared:
        notes.append(f"{shared} voxels lie in two of the regions; they were counted to the first.")
    return Image(voxels, drawn[0].geometry, tuple(notes))


def _as_labels(mask: Image) -> Image:
    return Image(mask.voxels.astype(np.uint8), mask.geometry, mask.notes)
