"""Size and neighbours of every station of a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.anatomy.stations import STATIONS, StationMap

SMALLEST_CONTACT_MM2 = 20.0
"""Shared surface from which two stations count as neighbours."""


@dataclass(frozen=True)
class StationMeasures:
    """One station in numbers.

    Attributes
    ----------
    station
        Its name.
    volume_ml
        Volume in ml.
    extent_mm
        Size of its box in mm: left to right, front to back, head to foot.
    neighbours
        Stations that share at least 20 mm2 of surface with it, in the map's order.
    """

    station: str
    volume_ml: float
    extent_mm: tuple[float, float, float]
    neighbours: tuple[str, ...]


def measure_stations(stations: StationMap) -> list[StationMeasures]:
    """Measure every station that was placed, in the order of ``STATIONS``."""
    labels, spacing = stations.labels.voxels, stations.labels.spacing_mm
    contact = _contact_mm2(labels, spacing)
    measures = []
    for label, name in enumerate(STATIONS, 1):
        voxels = np.argwhere(labels == label)
        if not voxels.size:
            continue
        z, y, x = (np.ptp(voxels, axis=0) + 1) * np.asarray(spacing)
        touching = np.flatnonzero(contact[label] >= SMALLEST_CONTACT_MM2)
        measures.append(
            StationMeasures(
                station=name,
                volume_ml=len(voxels) * stations.labels.geometry.voxel_volume_mm3 / 1000,
                extent_mm=(float(x), float(y), float(z)),
                neighbours=tuple(STATIONS[other - 1] for other in touching),
            )
        )
    return measures


def _contact_mm2(labels: NDArray[Any], spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Surface in mm2 that each pair of labels shares, 0 for what is no station: (labels, labels)."""
    count = len(STATIONS) + 1
    contact = np.zeros((count, count))
    for axis in range(3):
        face = np.prod(spacing) / spacing[axis]
        first, second = (np.take(labels, range(start, labels.shape[axis] - 1 + start), axis) for start in (0, 1))
        pairs = np.bincount((first.astype(np.int64) * count + second).ravel(), minlength=count * count)
        contact += face * pairs.reshape(count, count)
    contact += contact.T
    contact[0] = contact[:, 0] = 0
    np.fill_diagonal(contact, 0)
    return contact
