"""Contours of radiotherapy structures (RTSTRUCT) as masks on the grid of a scan.

A voxel belongs to a structure where its centre lies inside the contour; contours within contours are holes (DICOM PS3.3,
section C.8.8.6).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging.dicom.files import read_object
from preop.imaging.images import Geometry, Voxels
from preop.wording import counted

OFF_SLICE_VOXELS = 0.3
"""A contour further from every slice of the scan was drawn on another one."""
_SAME_POINT = 1e-2
"""Points of two contours that are nearer, in voxels, are one."""
_AREAS = {"CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "CLOSED_PLANAR_XOR"}


def structure_names(path: Path) -> dict[int, str]:
    """Names of the regions by their numbers."""
    return _names(read_object(path))


def draw_structure(path: Path, number: int, grid: Geometry) -> tuple[Voxels, tuple[str, ...]]:
    """Fill the contours of one region on a grid.

    Returns
    -------
    Booleans of the grid's shape, and what a reader should know.

    Raises
    ------
    InvalidInputError
        If the region has no closed contours, or they do not lie in slices of the grid.
    """
    dataset = read_object(path)
    name = _names(dataset)[number]
    contours = [
        contour
        for item in dataset.get("ROIContourSequence", [])
        if int(item.ReferencedROINumber) == number
        for contour in item.get("ContourSequence", [])
    ]
    closed = [each for each in contours if str(each.ContourGeometricType).upper() in _AREAS]
    if not closed:
        kinds = sorted({str(each.ContourGeometricType) for each in contours}) or ["no contour"]
        raise InvalidInputError(
            f"The structure {name} of {path.name} encloses nothing: it holds {', '.join(kinds)}; expected closed contours."
        )
    outlines = [_outline(each, name, path) for each in closed]
    axis = _across(outlines, grid, name, path)
    by_slice: dict[int, list[NDArray[np.float64]]] = defaultdict(list)
    outside = 0
    for outline in outlines:
        index = grid.index_zyx(outline)
        at = float(index[:, axis].mean())
        number_of_slice = round(at)
        if not 0 <= number_of_slice < grid.shape[axis]:
            outside += 1
            continue
        _check_on_slice(at, name, path)
        by_slice[number_of_slice].append(np.delete(index, axis, axis=1))
    if not by_slice:
        raise InvalidInputError(f"The structure {name} of {path.name} lies outside the scan: is it of another one?")
    mask = np.zeros(grid.shape, dtype=bool)
    planes = np.moveaxis(mask, axis, 0)
    for place, polygons in by_slice.items():
        for polygon in _without_doubles(polygons):
            planes[place] ^= inside_polygon(polygon, planes.shape[1:])
    return mask, _notes(name, sorted(by_slice), outside)


def inside_polygon(polygon: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Find the pixels (rows, columns) whose centres lie inside a polygon (n, 2), by the even-odd rule."""
    found = np.zeros(shape, dtype=bool)
    rows, columns = polygon.T
    next_rows, next_columns = np.roll(rows, -1), np.roll(columns, -1)
    first, last = max(int(np.ceil(rows.min())), 0), min(int(np.floor(rows.max())), shape[0] - 1)
    centres = np.arange(shape[1])
    for row in range(first, last + 1):
        crosses = (rows <= row) != (next_rows <= row)
        share = (row - rows[crosses]) / (next_rows[crosses] - rows[crosses])
        at = np.sort(columns[crosses] + share * (next_columns[crosses] - columns[crosses]))
        # A centre is inside where an odd number of edges lies before it.
        found[row] = np.searchsorted(at, centres, side="right") % 2 == 1
    return found


def _names(dataset: Any) -> dict[int, str]:
    return {int(each.ROINumber): str(each.get("ROIName", "")) for each in dataset.get("StructureSetROISequence", [])}


def _outline(contour: Any, name: str, path: Path) -> NDArray[np.float64]:
    points = np.array([float(each) for each in contour.get("ContourData", [])])
    if points.size < 9 or points.size % 3 or not np.isfinite(points).all():
        raise InvalidInputError(
            f"The structure {name} of {path.name} has a contour of {points.size} numbers; expected three or more points."
        )
    return points.reshape(-1, 3)


def _across(outlines: list[NDArray[np.float64]], grid: Geometry, name: str, path: Path) -> int:
    """Tell along which axis (z, y, x) of the grid the contours are flat."""
    heights = np.max([np.ptp(grid.index_zyx(outline), axis=0) for outline in outlines], axis=0)
    axis = int(heights.argmin())
    if heights[axis] > 2 * OFF_SLICE_VOXELS:
        raise InvalidInputError(
            f"The contours of {name} in {path.name} are not parallel to the scan's slices (up to {heights[axis]:.2g} slices "
            "high); give the scan on which they were drawn."
        )
    return axis


def _check_on_slice(at: float, name: str, path: Path) -> None:
    if abs(at - round(at)) > OFF_SLICE_VOXELS:
        raise InvalidInputError(
            f"The contours of {name} in {path.name} lie between the scan's slices ({abs(at - round(at)):.2f} of their distance "
            "from one); give the scan on which they were drawn."
        )


def _without_doubles(polygons: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Take a contour that is there twice once, wherever it begins and whichever way it runs: as a hole in itself it would be lost."""
    kept: list[NDArray[np.float64]] = []
    for each in polygons:
        if not any(_same_points(each, other) for other in kept):
            kept.append(each)
    return kept


def _same_points(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether each point of one polygon is one of the other, and the other way round."""
    from scipy.spatial import cKDTree

    if np.abs([one.min(axis=0) - other.min(axis=0), one.max(axis=0) - other.max(axis=0)]).max() > _SAME_POINT:
        return False
    return bool(max(cKDTree(one).query(other)[0].max(), cKDTree(other).query(one)[0].max()) <= _SAME_POINT)


def _notes(name: str, places: list[int], outside: int) -> tuple[str, ...]:
    notes = []
    empty = places[-1] - places[0] + 1 - len(places)
    if empty:
        notes.append(
            f"{name} has no contour on {empty} of the {places[-1] - places[0] + 1} slices that it spans; they were left empty."
        )
    if outside:
        notes.append(f"{counted(outside, 'contour')} of {name} {'lies' if outside == 1 else 'lie'} outside the scan.")
    return tuple(notes)
