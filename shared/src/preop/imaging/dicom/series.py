"""A DICOM series as one regular volume: sorted by position along the normal of its slices, checked, and straightened.

What is not one volume is refused with the slices that show it; what can be mended without guessing is mended and told: a
localizer or another orientation is left out, the same slice twice is taken once, a gantry tilt is sheared back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging.dicom.files import read_headers
from preop.imaging.dicom.slices import PHASE_TAGS, Slice, slices_of
from preop.imaging.dicom.suv import SuvScale, suv_scale
from preop.imaging.formats.content import Content, check_finite
from preop.imaging.images import Geometry, Image

SAME_PLACE_MM = 1e-2
SAME_DIRECTION = 1e-3
UNEVEN_VOXELS = 0.1
"""A slice further from its place in an even stack, or from the line through all, makes the stack no volume."""
APART = 1.9
"""Slices further apart than so many times their thickness are told of: regular gaps look like every second slice is missing."""
FEW = 0.2
"""Slices of another orientation that are fewer than this share of all are taken for localizers."""
_WHOLE = (np.int16, np.uint16, np.int32)


def read_series(path: Path | Sequence[Path]) -> Content:
    """Read the one series of a folder, one file, or these files, as a volume; a PET in SUV by body weight.

    Raises
    ------
    InvalidInputError
        If it is not one regular volume, with the slices that show it.
    """
    name = _name(path)
    slices, notes, scale = _volume_slices(path)
    tilt = _drift(slices)
    voxels = _stacked(slices)
    if scale is not None and scale.factor != 1:
        voxels = (voxels * scale.factor).astype(np.float32)
    check_finite(voxels, name=name)
    geometry = _geometry(slices, name)
    thickness = slices[0].thickness_mm
    if len(slices) > 1 and thickness is not None and geometry.spacing_mm[0] > APART * thickness:
        notes.append(
            f"its slices are {thickness:g} mm thick and {geometry.spacing_mm[0]:.2f} mm apart: if every second one is missing, "
            "export the series again."
        )
    if tilt is not None:
        voxels, geometry, note = _straightened(voxels, geometry, slices, tilt)
        notes.append(note)
    return Content(Image(voxels, geometry, tuple(notes)))


def read_series_geometry(path: Path) -> Geometry:
    """Tell where the voxels of a series will lie; pixels are read only where a tilt widens the grid."""
    slices, _, _ = _volume_slices(path, compare=False)
    return _geometry(slices, path.name) if _drift(slices) is None else read_series(path).image.geometry


def _volume_slices(
    path: Path | Sequence[Path], *, compare: bool = True
) -> tuple[list[Slice], list[str], SuvScale | None]:
    """Find the slices of the volume, in order, say what was left out, and what makes SUV of a PET."""
    name = _name(path)
    images, notes = _images_of_one_series(path)
    slices = [each for file, header in images for each in slices_of(file, header)]
    slices, others = _of_one_orientation(slices)
    if others:
        notes.append(f"left out, for it has another orientation: {_named(others)}.")
    localizers = [each for each in slices if each.is_localizer]
    if localizers and len(localizers) < len(slices):
        slices = [each for each in slices if not each.is_localizer]
        notes.append(f"left out, for it is a localizer: {_named(localizers)}.")
    _check_alike(slices)
    slices, twice = _sorted_without_doubles(slices, name, compare=compare)
    if twice:
        notes.append(f"taken once, for it is there twice: {_named(twice)}.")
    _check_even(slices)
    headers = [header for _, header in images]
    scale = suv_scale(headers) if compare and str(headers[0].get("Modality", "")) == "PT" else None
    return slices, [*notes, *(scale.notes if scale else ()), *_unit_notes(headers)], scale


def _name(path: Path | Sequence[Path]) -> str:
    return path.name if isinstance(path, Path) else "The series"


def _images_of_one_series(path: Path | Sequence[Path]) -> tuple[list[tuple[Path, Any]], list[str]]:
    headers, name = read_headers(path), _name(path)
    images = [(file, header) for file, header in headers if "Rows" in header and "Columns" in header]
    others = [(file, header) for file, header in headers if "Rows" not in header]
    if not images:
        kinds = sorted({_class_name(header) for _, header in others})
        raise InvalidInputError(f"{name} holds no image but {', '.join(kinds)}; expected the slices of one series.")
    series: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    for file, header in images:
        series[str(header.get("SeriesInstanceUID", ""))].append((file, header))
    if len(series) > 1:
        found = "; ".join(f"{_description(group[0][1])}, {len(group)} files" for group in series.values())
        raise InvalidInputError(
            f"{name} holds {len(series)} DICOM series ({found}); expected exactly one: keep one series a folder."
        )
    notes = []
    if others:
        notes.append(
            f"left out, for it is no image: {', '.join(f'{f.name} ({_class_name(h)})' for f, h in others[:3])}."
        )
    enhanced = [file for file, header in images if "PerFrameFunctionalGroupsSequence" in header]
    if enhanced and len(images) > 1:
        raise InvalidInputError(
            f"{name} holds {len(images)} files of one series, {enhanced[0].name} with several frames; expected single "
            "slices, or one multi-frame image."
        )
    return images, notes


def _of_one_orientation(slices: list[Slice]) -> tuple[list[Slice], list[Slice]]:
    """Keep the orientation that most slices have; few others are localizers, many are another volume."""
    groups: list[list[Slice]] = []
    for each in slices:
        for group in groups:
            if np.abs(group[0].orientation - each.orientation).max() < SAME_DIRECTION * 5:
                group.append(each)
                break
        else:
            groups.append([each])
    groups.sort(key=len, reverse=True)
    others = [each for group in groups[1:] for each in group]
    if len(others) > FEW * len(slices) or (others and len(groups[0]) < 2):
        raise InvalidInputError(
            f"The series has slices of {len(groups)} orientations ({', '.join(str(len(group)) for group in groups[:5])} "
            f"slices; {groups[0][0].name} and {others[0].name} differ); expected one: keep those of one volume."
        )
    return groups[0], others


def _check_alike(slices: Sequence[Slice]) -> None:
    """Refuse slices whose pixels have another size or number than those of the others."""
    sizes = np.array([each.size[::-1] for each in slices], dtype=np.float64)
    _check_usual(slices, sizes, "{0:g} x {1:g} pixels", tolerance=0.0)
    spacings = np.array([each.spacing_mm[::-1] for each in slices])
    _check_usual(slices, spacings, "pixels of {0:.6g} x {1:.6g} mm", tolerance=1e-4)
    for tag, words in (("ConvolutionKernel", "reconstruction kernels"), ("EchoTime", "echo times")):
        found = sorted({each.phase.get(tag, "none") for each in slices})
        if len(found) > 1:
            raise InvalidInputError(
                f"The series holds slices of {len(found)} {words} ({', '.join(found[:5])}); expected one volume: keep the slices "
                "of one."
            )


def _check_usual(slices: Sequence[Slice], values: NDArray[np.float64], what: str, *, tolerance: float) -> None:
    usual = np.median(values, axis=0)
    odd = np.flatnonzero((np.abs(values - usual) > tolerance * usual).any(axis=1))
    if odd.size:
        raise InvalidInputError(
            f"{_named([slices[place] for place in odd.tolist()])} of {len(slices)} slices has {what.format(*values[odd[0]])}, the others "
            f"{what.format(*usual)}; expected one size: keep the slices of one volume."
        )


def _sorted_without_doubles(slices: list[Slice], name: str, *, compare: bool) -> tuple[list[Slice], list[Slice]]:
    """Order slices along their normal; of the same slice twice, take one."""
    normal = slices[0].normal
    ordered = sorted(slices, key=lambda each: (round(float(each.position @ normal), 3), each.name))
    kept: list[Slice] = []
    twice: list[Slice] = []
    pairs: list[tuple[Slice, Slice]] = []
    for each in ordered:
        if kept and np.linalg.norm(each.position - kept[-1].position) < SAME_PLACE_MM:
            pairs.append((kept[-1], each))
            twice.append(each)
        else:
            kept.append(each)
    phases = _differing_phase(pairs)
    if phases is not None and (len(pairs) >= len(kept) / 2 or not _identical(pairs)):
        words, values = phases
        raise InvalidInputError(
            f"{name} holds {_volumes(len(slices), len(kept))} in one place, which differ in their {words} "
            f"({', '.join(values[:6])}); expected one: keep the slices of one volume."
        )
    if compare and not _identical(pairs):
        one, other = next(pair for pair in pairs if not _identical([pair]))
        raise InvalidInputError(
            f"{one.name} and {other.name} lie in the same place and differ; expected one slice a place: keep those of one volume."
        )
    return kept, twice


def _volumes(slices: int, places: int) -> str:
    return f"{slices / places:g} volumes" if slices % places == 0 else f"{slices} slices for {places} places"


def _differing_phase(pairs: Sequence[tuple[Slice, Slice]]) -> tuple[str, list[str]] | None:
    """Name what tells slices in one place apart, and its values."""
    for tag, words in PHASE_TAGS.items():
        values = {each.phase.get(tag, "none") for pair in pairs for each in pair}
        if pairs and all(one.phase.get(tag) != other.phase.get(tag) for one, other in pairs):
            return words, sorted(values)
    return None


def _identical(pairs: Sequence[tuple[Slice, Slice]]) -> bool:
    return all(np.array_equal(one.voxels(), other.voxels()) for one, other in pairs)


def _check_even(slices: Sequence[Slice]) -> None:
    """Refuse a stack with a gap or with uneven distances, saying where."""
    if len(slices) < 3:
        return
    normal = slices[0].normal
    at = np.array([float(each.position @ normal) for each in slices])
    gaps = np.diff(at)
    usual = float(np.median(gaps))
    wide = np.flatnonzero(gaps > 1.5 * usual)
    regular = np.isclose(gaps / usual, np.round(gaps / usual), atol=UNEVEN_VOXELS).all()
    if len(wide) and regular:
        place = int(wide[0])
        missing = int(np.sum(np.round(gaps[wide] / usual) - 1))
        raise InvalidInputError(
            f"{missing} {'slice is' if missing == 1 else 'slices are'} missing: between {slices[place].name} and "
            f"{slices[place + 1].name} (at {at[place]:.2f} and {at[place + 1]:.2f} mm) lie {gaps[place]:.2f} mm, between the "
            f"others {usual:.2f} mm; export the series again, with all its slices."
        )
    even = np.linspace(at[0], at[-1], len(at))
    if np.abs(at - even).max() > UNEVEN_VOXELS * usual:
        place = int(np.abs(gaps - usual).argmax())
        raise InvalidInputError(
            f"The slices are {gaps.min():.2f} to {gaps.max():.2f} mm apart ({gaps[place]:.2f} mm between {slices[place].name} and "
            f"{slices[place + 1].name}, mostly {usual:.2f} mm); expected even distances: export one volume of even slices."
        )


def _drift(slices: Sequence[Slice]) -> NDArray[np.float64] | None:
    """Way (x, y, z) in mm that slices move within their plane from one to the next; None of a straight stack.

    Raises
    ------
    InvalidInputError
        If single slices lie beside the line through all.
    """
    if len(slices) < 2:
        return None
    positions = np.array([each.position for each in slices])
    axes = slices[0].orientation
    pixel = np.array(slices[0].spacing_mm[::-1])
    along = (positions - positions[0]) @ axes.T
    steps = along[-1] / (len(slices) - 1)
    beside = np.abs(along - np.arange(len(slices))[:, None] * steps) / pixel
    if beside.max() > UNEVEN_VOXELS:
        worst = int(beside.max(axis=1).argmax())
        raise InvalidInputError(
            f"{slices[worst].name} lies {beside[worst].max():.2g} pixels beside the line through the other slices; expected one "
            "straight stack: keep the slices of one volume."
        )
    if (np.abs(along[-1]) / pixel).max() <= UNEVEN_VOXELS:
        return None
    return np.asarray(steps @ axes)


def _geometry(slices: Sequence[Slice], name: str) -> Geometry:
    first = slices[0]
    axes = np.column_stack([first.orientation[0], first.orientation[1], first.normal])
    if len(slices) == 1:
        if first.thickness_mm is None:
            raise InvalidInputError(f"{name} is a single slice that does not state its thickness; expected a volume.")
        between = first.thickness_mm
    else:
        between = float((slices[-1].position - first.position) @ first.normal) / (len(slices) - 1)
    return Geometry(
        shape=(len(slices), *first.size),
        spacing_mm=(between, *first.spacing_mm),
        origin_mm=tuple(first.position.tolist()),
        direction=tuple((axes + 0.0).ravel().tolist()),
    )


def _stacked(slices: Sequence[Slice]) -> NDArray[Any]:
    """Read the slices; whole numbers only where all slices hold nothing else."""
    planes = [each.voxels() for each in slices]
    for each, plane in zip(slices, planes, strict=True):
        if plane.shape != each.size:
            raise InvalidInputError(f"{each.name} holds {plane.shape} pixels; expected {each.size} by its header.")
    volume = np.stack(planes)
    if volume.dtype.kind == "f" and not (np.isfinite(volume).all() and (volume == np.rint(volume)).all()):
        return volume
    low, high = float(volume.min()), float(volume.max())
    for dtype in _WHOLE:
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            return volume.astype(dtype)
    return volume


def _straightened(
    voxels: NDArray[Any], geometry: Geometry, slices: Sequence[Slice], step: NDArray[np.float64]
) -> tuple[NDArray[Any], Geometry, str]:
    """Shear a tilted stack back: every slice is moved within its plane, on a grid wide enough for all."""
    from scipy import ndimage

    rows_columns = np.array(slices[0].spacing_mm)
    # Pixels that a slice lies further along rows and columns than the one before.
    moved = np.array([step @ slices[0].orientation[1], step @ slices[0].orientation[0]]) / rows_columns
    shifts = np.arange(len(slices))[:, None] * moved
    first = np.floor(shifts.min(axis=0) + 1e-6).astype(int)
    more = np.ceil(shifts.max(axis=0) - 1e-6).astype(int) - first
    lowest = float(voxels.min())
    shape = (len(slices), *(np.array(voxels.shape[1:]) + more).tolist())
    straight = np.empty(shape, dtype=np.float32 if voxels.dtype.itemsize <= 4 else np.float64)
    for number, plane in enumerate(voxels):
        padded = np.full(shape[1:], lowest)
        padded[: plane.shape[0], : plane.shape[1]] = plane
        straight[number] = ndimage.shift(padded, shifts[number] - first, order=1, mode="constant", cval=lowest)
    angle = np.degrees(np.arctan2(np.linalg.norm(step), geometry.spacing_mm[0]))
    origin = geometry.world_mm(np.array([[0, *first]]))[0]
    return (
        straight,
        Geometry(shape, geometry.spacing_mm, tuple(origin.tolist()), geometry.direction),
        f"its slices are tilted by {angle:.3g} degrees (gantry tilt); they were moved back by linear interpolation, the last "
        f"by {np.linalg.norm(step) * (len(slices) - 1):.1f} mm.",
    )


def _unit_notes(headers: Sequence[Any]) -> list[str]:
    """Say where the header of a CT itself states another unit than HU."""
    types = sorted({str(header.get("RescaleType", "") or "") for header in headers} - {""})
    if str(headers[0].get("Modality", "")) == "CT" and types and types != ["HU"]:
        return [f"the CT is not in HU by its header (RescaleType {', '.join(types)})."]
    return []


def _named(slices: Sequence[Slice]) -> str:
    names = [each.name for each in slices]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _description(header: Any) -> str:
    return " ".join(str(header.get(tag, "") or "") for tag in ("Modality", "SeriesDescription")).strip() or "unnamed"


def _class_name(header: Any) -> str:
    return str(getattr(header.get("SOPClassUID", ""), "name", "") or header.get("Modality", "another object"))
