"""The station of a lymph node, from its voxels or its centre and a map of stations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.anatomy.stations import STATIONS, StationMap
from preop.errors import InvalidInputError
from preop.imaging import Image

REACH_MM = 5.0
"""How far from the nearest station a voxel of a node may lie: an outline overlaps vessels and airways by about this."""

SEARCH_MM = 25.0
"""How far around a node borders are looked for."""


@dataclass(frozen=True)
class NodeStations:
    """Where a node lies.

    Attributes
    ----------
    shares
        Share of the node in each station, the largest first; they sum to 1 less what lies in no station.
    border_mm
        Distance in mm from the node's centre to the nearest other station; infinite where none is within 25 mm,
        and not a number where the node is in no station.
    """

    shares: Mapping[str, float]
    border_mm: float

    @property
    def station(self) -> str | None:
        """Station with the largest share; None where at least half of the node lies in none: it is no regional node."""
        if not self.shares or sum(self.shares.values()) <= 0.5:
            return None
        return next(iter(self.shares))


def stations_of_node(node: Image, stations: StationMap) -> NodeStations:
    """Find the stations of a segmented node.

    Parameters
    ----------
    node
        Mask of the node, on any grid in the world of the scan.

    Raises
    ------
    InvalidInputError
        If the mask is empty.
    """
    inside = np.argwhere(node.voxels)
    if not inside.size:
        raise InvalidInputError("The mask of a lymph node is empty; expected at least one voxel.")
    return stations_of_points(node.geometry.world_mm(inside), stations)


def stations_of_points(world_mm: NDArray[Any], stations: StationMap) -> NodeStations:
    """Find the stations of a node given as points of it (n, 3), or as its centre, in world coordinates (x, y, z) in mm.

    Each point counts for the station it lies in, else for the nearest within 5 mm.
    """
    from scipy import ndimage

    points = np.atleast_2d(np.asarray(world_mm, dtype=float))
    grid = stations.labels.geometry
    spacing = grid.spacing_mm
    index = np.rint(grid.index_zyx(points)).astype(int)
    centre = np.rint(grid.index_zyx(points.mean(axis=0))[0]).astype(int)
    margin = np.array([math.ceil(SEARCH_MM / size) for size in spacing])
    low = np.minimum(index.min(axis=0), centre) - margin
    size = np.maximum(index.max(axis=0), centre) + margin + 1 - low
    labels = _window(stations.labels.voxels, low, size)
    if not labels.any():
        return NodeStations({}, math.nan)
    away, nearest = ndimage.distance_transform_edt(labels == 0, sampling=spacing, return_indices=True)
    local = tuple((index - low).T)
    found = np.where(away[local] <= REACH_MM, labels[tuple(nearest[axis][local] for axis in range(3))], 0)
    counts = np.bincount(found, minlength=len(STATIONS) + 1)[1:]
    order = [label for label in np.argsort(-counts, kind="stable") if counts[label]]
    shares = {STATIONS[label]: float(counts[label] / len(points)) for label in order}
    if not shares:
        return NodeStations({}, math.nan)
    others = (labels != 0) & (labels != 1 + order[0])
    return NodeStations(shares, _distance_to(others, centre - low, spacing))


def _distance_to(mask: NDArray[np.bool_], centre: NDArray[np.int64], spacing: tuple[float, ...]) -> float:
    """Distance in mm from a voxel's centre to the nearest face of a mask's voxels; infinite beyond the search."""
    positions = np.argwhere(mask)
    if not positions.size:
        return math.inf
    gaps = np.maximum(np.abs(positions - centre) - 0.5, 0) * np.asarray(spacing)
    nearest = float(np.sqrt((gaps**2).sum(axis=1)).min())
    return nearest if nearest <= SEARCH_MM else math.inf


def _window(voxels: NDArray[Any], low: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[Any]:
    """Cut a window that may reach beyond the array; 0 stands there."""
    window = np.zeros(tuple(size), dtype=voxels.dtype)
    start, stop = np.maximum(low, 0), np.minimum(low + size, voxels.shape)
    if (start < stop).all():
        inner = tuple(slice(a - b, c - b) for a, b, c in zip(start, low, stop, strict=True))
        window[inner] = voxels[tuple(slice(a, c) for a, c in zip(start, stop, strict=True))]
    return window
