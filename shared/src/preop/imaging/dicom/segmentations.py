"""Segmentation objects (DICOM SEG) as masks: binary ones, and label maps (DICOM PS3.3, section A.51 and Supplement 243)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging.dicom.files import read_object
from preop.imaging.dicom.slices import Slice, decode, slices_of
from preop.imaging.images import Geometry, Voxels

OFF_GRID_VOXELS = 0.1


def segment_names(path: Path) -> dict[int, str]:
    """Names of the segments by their numbers."""
    return _names(read_object(path))


def draw_segments(path: Path, grid: Geometry | None, chosen: int | None = None) -> tuple[Voxels, Geometry]:
    """Lay segments on a grid: that of a scan, or where none is given, the one of their own frames.

    Parameters
    ----------
    chosen
        The one segment to draw; all of them without.

    Returns
    -------
    Segment numbers (z, y, x), and the grid.

    Raises
    ------
    InvalidInputError
        If the segmentation is fractional, its frames do not lie on the grid, or two segments share a voxel.
    """
    dataset = read_object(path)
    kind = str(dataset.get("SegmentationType", "")).upper()
    if kind not in {"BINARY", "LABELMAP"}:
        raise InvalidInputError(
            f"{path.name} is a segmentation of the type {kind or '(none)'}; expected whole segments (BINARY or LABELMAP): "
            "export it as a binary segmentation."
        )
    frames = decode(dataset, name=path.name)
    frames = frames if frames.ndim == 3 else frames[None]
    slices = slices_of(path, dataset)
    segments = [
        _segment_of(own, dataset) if kind == "BINARY" else None for own in dataset.PerFrameFunctionalGroupsSequence
    ]
    grid = grid or _own_grid(slices, path)
    labels = np.zeros(grid.shape, dtype=np.uint16)
    for each, frame, segment in zip(slices, frames, segments, strict=True):
        values = np.where(frame > 0, segment, 0) if segment is not None else frame
        if chosen is not None:
            values = np.where(values == chosen, chosen, 0)
        _place(values, each, labels, grid, path)
    return labels, grid


def _names(dataset: Any) -> dict[int, str]:
    return {
        int(each.SegmentNumber): str(each.get("SegmentLabel", ""))
        for each in dataset.get("SegmentSequence", [])
        if int(each.SegmentNumber) != 0
    }


def _segment_of(own: Any, dataset: Any) -> int:
    shared = dataset.get("SharedFunctionalGroupsSequence") or [{}]
    for groups in (own, shared[0]):
        if "SegmentIdentificationSequence" in groups:
            return int(groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    return 1


def _own_grid(slices: list[Slice], path: Path) -> Geometry:
    """Stack the places of the frames: the nearest two give the distance of slices."""
    first = slices[0]
    at = np.unique(np.round([float(each.position @ first.normal) for each in slices], 3))
    between = float(np.diff(at).min()) if len(at) > 1 else first.thickness_mm
    if between is None:
        raise InvalidInputError(f"{path.name} has one frame and does not state its thickness; expected a volume.")
    lowest = min(slices, key=lambda each: float(each.position @ first.normal))
    axes = np.column_stack([first.orientation[0], first.orientation[1], first.normal])
    return Geometry(
        shape=(round((at[-1] - at[0]) / between) + 1, *first.size),
        spacing_mm=(between, *first.spacing_mm),
        origin_mm=tuple(lowest.position.tolist()),
        direction=tuple((axes + 0.0).ravel().tolist()),
    )


def _place(values: NDArray[Any], each: Slice, labels: Voxels, grid: Geometry, path: Path) -> None:
    """Set the voxels of the grid in which the pixels of a frame lie."""
    rows, columns = np.nonzero(values)
    if not rows.size:
        return
    world = (
        each.position
        + (columns * each.spacing_mm[1])[:, None] * each.orientation[0]
        + (rows * each.spacing_mm[0])[:, None] * each.orientation[1]
    )
    index = grid.index_zyx(world)
    whole = np.rint(index)
    if np.abs(index - whole).max() > OFF_GRID_VOXELS or not _same_pixels(each, grid):
        raise InvalidInputError(
            f"{each.name} does not lie on the grid of the scan (up to {np.abs(index - whole).max():.2g} voxels beside it); "
            "give the scan on which it was drawn."
        )
    if (whole < 0).any() or (whole >= np.array(grid.shape)).any():
        raise InvalidInputError(f"{each.name} reaches beyond the scan; give the scan on which it was drawn.")
    place = tuple(whole.astype(int).T)
    new = values[rows, columns]
    if ((labels[place] != 0) & (labels[place] != new)).any():
        raise InvalidInputError(f"Segments of {path.name} share voxels; choose one of them.")
    labels[place] = new


def _same_pixels(each: Slice, grid: Geometry) -> bool:
    """Whether a step between pixels is a step between voxels: coarser pixels would leave gaps."""
    steps = np.array([each.orientation[1] * each.spacing_mm[0], each.orientation[0] * each.spacing_mm[1]])
    origin = np.asarray(grid.origin_mm)
    moved = grid.index_zyx(origin + steps)
    return bool(np.allclose(np.abs(moved).sum(axis=1), 1, atol=0.01))
