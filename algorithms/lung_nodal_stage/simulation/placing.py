"""Where the lesions of a simulated patient lie: nodes inside their stations, the primary in its lobe, others in organs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.anatomy import StationMap, stations_of_points
from preop.anatomy.landmarks import Hilum
from preop.imaging import Geometry, bounding_box
from preop.staging import Side

from .anatomy import AIRWAY, VEIN, Body
from .disease import Disease, SimulatedLesion

Floats = NDArray[np.floating[Any]]

ROUGHNESS = {"primary": 0.10, "node": 0.04, "distant": 0.08, "physiological": 0.04}
GAP_MM = 2.0  # between two lesions
TRIES = 25
SMALLEST_MM = 3.0
SHRINKING = 0.85
CENTRAL_MM = 45.0  # distance of a central primary's centre from the lobar origins; others are further away
LARYNX_ABOVE_TRACHEA_MM = 9.0
LOWER_OESOPHAGUS_MM = 25.0
ORGANS: Mapping[str, tuple[str, ...]] = {
    "bone": (*(f"vertebrae_T{number}" for number in range(3, 13)), "sternum"),
    "liver": ("liver",),
    "adrenal": ("adrenal_gland_left", "adrenal_gland_right"),
    "thyroid": ("thyroid_gland",),
    "gastro-oesophageal": ("esophagus",),
}


@dataclass(frozen=True, eq=False)
class Lump:
    """A lesion in its place: an ellipsoid, turned any way, whose radius varies by waves along its axes.

    Attributes
    ----------
    lesion
        What it is.
    centre_mm
        In x, y, z.
    semi_axes_mm
        Half of its shortest, middle and longest diameter.
    frame
        Directions of these three (3, 3), one a row, in x, y, z.
    phases
        Of the waves (3,).
    """

    lesion: SimulatedLesion
    centre_mm: Floats
    semi_axes_mm: Floats
    frame: Floats
    phases: Floats

    @property
    def box_mm(self) -> tuple[Floats, Floats]:
        """Lowest and highest corner (x, y, z) of a box around it."""
        widest = 1 + 3 * ROUGHNESS[self.lesion.kind]
        reach = widest * np.linalg.norm(self.frame * self.semi_axes_mm[:, None], axis=0)
        return self.centre_mm - reach, self.centre_mm + reach

    @property
    def radius_mm(self) -> float:
        """Of a ball that holds nearly all of it."""
        return float(self.semi_axes_mm[2])

    def distance_mm(self, x_mm: Floats, y_mm: Floats, z_mm: Floats) -> Floats:
        """Signed distance to its surface, to first order; the arrays broadcast."""
        offsets = [p - np.float32(q) for p, q in zip((x_mm, y_mm, z_mm), self.centre_mm, strict=True)]
        axes = (self.frame / self.semi_axes_mm[:, None]).astype(np.float32)
        scaled = [sum(a * b for a, b in zip(offsets, axis, strict=True)) for axis in axes]
        level = np.sqrt(sum(part**2 for part in scaled))
        waves = sum(np.sin(3 * part + np.float32(phase)) for part, phase in zip(scaled, self.phases, strict=True))
        surface = 1 + np.float32(ROUGHNESS[self.lesion.kind] * math.sqrt(2 / 3)) * waves
        slope = np.sqrt(sum((part / np.float32(a)) ** 2 for part, a in zip(scaled, self.semi_axes_mm, strict=True)))
        return np.asarray((level - surface) / np.maximum(slope / np.maximum(level, 1e-3), 1 / (2 * self.radius_mm)))

    def points_mm(self) -> Floats:
        """Points (n, 3) spread over its inside, in x, y, z."""
        steps = np.linspace(-0.9, 0.9, 7)
        grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
        inside = grid[np.linalg.norm(grid, axis=1) <= 1] * self.semi_axes_mm
        return np.asarray(self.centre_mm + inside @ self.frame)


def place(rng: np.random.Generator, body: Body, stations: StationMap, disease: Disease) -> list[Lump]:
    """Find a place for every lesion; a lesion of an organ that is not in view is left out.

    A node's centre lies in its station and out of vessels and airway, and the station holds the largest part of it. Where
    the station is too narrow for it, the node is made smaller.
    """
    lumps: list[Lump] = []
    for lesion in disease.lesions:
        lump = _placed(rng, lesion, body, stations, disease, lumps)
        if lump is not None:
            lumps.append(lump)
    return [replace(lump, lesion=replace(lump.lesion, label=label)) for label, lump in enumerate(lumps, 1)]


def _placed(
    rng: np.random.Generator,
    lesion: SimulatedLesion,
    body: Body,
    stations: StationMap,
    disease: Disease,
    others: Sequence[Lump],
) -> Lump | None:
    if lesion.station is not None:
        return _placed_node(rng, lesion, body, stations, others)
    if lesion.kind == "primary":
        points, depth = _points(body.organs.labels.geometry, body.organs.mask(disease.lobe))
        return _placed_primary(rng, lesion, points, depth, stations, disease)
    if lesion.site == "larynx":
        marks = stations.landmarks
        if not math.isfinite(marks.airway.top):
            return None
        x, y = float(marks.airway.midline.value[-1]), float(marks.airway.front.value[-1])
        centre = np.array([x + rng.choice([-7, 7]), y + 4, marks.airway.top + LARYNX_ABOVE_TRACHEA_MM])
        return _lump(rng, lesion, centre)
    mask = body.organs.mask(*ORGANS[lesion.site])
    if not mask.any():
        return None
    points, depth = _points(body.organs.labels.geometry, mask)
    if lesion.site == "gastro-oesophageal":
        low = points[:, 2] < points[:, 2].min() + LOWER_OESOPHAGUS_MM
        points, depth = points[low], depth[low]
    deep = points[depth >= min(lesion.short_axis_mm / 2, float(np.quantile(depth, 0.9)))]
    return _lump(rng, lesion, deep[rng.integers(len(deep))])


def _placed_primary(
    rng: np.random.Generator,
    lesion: SimulatedLesion,
    points: Floats,
    depth: Floats,
    stations: StationMap,
    disease: Disease,
) -> Lump:
    """Put the primary into its lobe, near the lobar origins or well away from them, not through the pleura."""
    marks = stations.landmarks
    hilum = marks.hilum_right if disease.primary_side is Side.RIGHT else marks.hilum_left
    away = _from_line(points, hilum) - (0 if disease.central else lesion.short_axis_mm / 2)
    wanted = (away < CENTRAL_MM) if disease.central else (away > CENTRAL_MM)
    inside = depth >= min(0.6 * lesion.short_axis_mm / 2, float(np.quantile(depth, 0.8)))
    # A small lobe may have no such place: then depth within it decides.
    chosen = points[wanted & inside] if (wanted & inside).any() else points[depth >= np.quantile(depth, 0.95)]
    return _lump(rng, lesion, chosen[rng.integers(len(chosen))])


def _placed_node(
    rng: np.random.Generator, lesion: SimulatedLesion, body: Body, stations: StationMap, others: Sequence[Lump]
) -> Lump | None:
    station = str(lesion.station)
    mask = stations.mask(station)
    if not mask.any():
        return None
    points, depth = _points(stations.labels.geometry, mask)
    tissue = body.tissue
    index = np.rint(tissue.geometry.index_zyx(points)).astype(int)
    index = np.clip(index, 0, np.array(tissue.shape) - 1)
    free = ~np.isin(tissue.voxels[tuple(index.T)], (VEIN, AIRWAY))
    points, depth = points[free], depth[free]
    while True:
        # Away from the border by up to its radius, where there is room.
        least = min(lesion.short_axis_mm / 2, 0.6 * float(depth.max()))
        deep = points[depth >= least]
        for _ in range(TRIES):
            lump = _lump(rng, lesion, deep[rng.integers(len(deep))])
            found = stations_of_points(lump.points_mm(), stations)
            if found.station == station and not _touches(lump, others):
                return replace(lump, lesion=replace(lump.lesion, border_mm=found.border_mm))
        if lesion.short_axis_mm < SMALLEST_MM:
            return None
        lesion = replace(lesion, short_axis_mm=lesion.short_axis_mm * SHRINKING)


def _lump(rng: np.random.Generator, lesion: SimulatedLesion, centre_mm: Floats) -> Lump:
    """Put a lesion at a place, turned at random."""
    short = lesion.short_axis_mm / 2
    frame = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    semi_axes = short * np.array([1.0, (1 + lesion.elongation) / 2, lesion.elongation])
    x, y, z = np.round(centre_mm, 2).tolist()
    return Lump(
        replace(lesion, centre_mm=(x, y, z)), np.array([x, y, z]), semi_axes, frame, rng.uniform(0, 2 * np.pi, 3)
    )


def _touches(lump: Lump, others: Sequence[Lump]) -> bool:
    return any(
        np.linalg.norm(lump.centre_mm - other.centre_mm) < lump.radius_mm + other.radius_mm + GAP_MM for other in others
    )


def _points(grid: Geometry, mask: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Voxel centres of a mask in the world (n, 3), and how deep each lies in it in mm (n,)."""
    from scipy import ndimage

    box = bounding_box(mask)
    inside = np.pad(mask[box], 1)
    depth = ndimage.distance_transform_edt(inside, sampling=grid.spacing_mm)[1:-1, 1:-1, 1:-1]
    index = np.argwhere(mask[box])
    return grid.world_mm(index + [part.start for part in box]), depth[tuple(index.T)]


def _from_line(points: Floats, hilum: Hilum) -> Floats:
    """Distance in mm of points (n, 3) from the vertical line of lobar origins."""
    x, y, high = hilum.upper
    beyond = np.maximum(points[:, 2] - high, 0) + np.maximum(hilum.lower[2] - points[:, 2], 0)
    return np.asarray(np.sqrt((points[:, 0] - x) ** 2 + (points[:, 1] - y) ** 2 + beyond**2))
