"""Shapes in millimetres: lobulated blobs, ellipsoids, round cones and tubes, as signed distances (negative inside)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Geometry, Image

Floats = NDArray[np.floating[Any]]

_WAVES = 16  # enough for their sum to look Gaussian
_DIRECTIONS = 4000  # the volume of a blob is then right to better than 0.1 %


@dataclass(frozen=True, eq=False)
class Blob:
    """A star-convex body: an ellipsoid whose radius varies smoothly with direction.

    In direction u of the ellipsoid's own coordinates (the semi-axes scaled to 1) its surface lies at
    1 + roughness * g(u), where g is a sum of plane waves: a random field on the unit sphere.

    Attributes
    ----------
    centre_mm, semi_axes_mm
        In world order x, y, z.
    roughness
        Standard deviation of the radius as a fraction of it.
    waves
        Wave vectors (n, 3) in radians per semi-axis.
    phases
        Their phases (n,) in radians.
    """

    centre_mm: tuple[float, float, float]
    semi_axes_mm: tuple[float, float, float]
    roughness: float
    waves: NDArray[np.float64]
    phases: NDArray[np.float64]

    def level(self, world_mm: Floats) -> NDArray[np.float64]:
        """Distance from the centre as a fraction of the surface's: below 1 inside, for points (..., 3) in x, y, z."""
        scaled = (world_mm - np.asarray(self.centre_mm)) / np.asarray(self.semi_axes_mm)
        radius = np.linalg.norm(scaled, axis=-1)
        directions = scaled / np.maximum(radius, 1e-9)[..., None]
        return np.asarray(radius / self._surface(directions))

    @property
    def volume_mm3(self) -> float:
        """Volume, integrated over directions."""
        radii = self._surface(_directions())
        return float(4 / 3 * np.pi * np.prod(self.semi_axes_mm) * np.mean(radii**3))

    @cached_property
    def surface_mm(self) -> NDArray[np.float64]:
        """Points (n, 3) spread over the surface, world order x, y, z."""
        directions = _directions()
        return np.asarray(
            self.centre_mm + directions * self._surface(directions)[:, None] * np.asarray(self.semi_axes_mm)
        )

    def reach_mm(self, direction: Floats) -> float:
        """How far the body reaches from its centre along a unit vector (3,) in x, y, z."""
        return float(((self.surface_mm - np.asarray(self.centre_mm)) @ direction).max())

    def _surface(self, directions: Floats) -> Floats:
        field = np.cos(directions @ self.waves.T + self.phases).sum(axis=-1) * np.sqrt(2 / len(self.phases))
        # A lobe may hang on a neck, but never reach the centre.
        return np.asarray(np.maximum(1 + self.roughness * field, 0.2))


def random_blob(
    rng: np.random.Generator,
    *,
    centre_mm: tuple[float, float, float],
    volume_mm3: float,
    proportions: tuple[float, float, float] = (1.0, 1.0, 1.0),
    roughness: float = 0.12,
    lobe_radius: float = 0.7,
) -> Blob:
    """Draw a blob of exactly the given volume.

    Parameters
    ----------
    proportions
        Ratios of the semi-axes along x, y, z.
    roughness
        Standard deviation of the radius as a fraction of it.
    lobe_radius
        Correlation length of the surface as a fraction of the radius: small for many small lobes.
    """
    # A Gaussian spectrum of width sqrt(2)/L gives exp(-d^2/L^2), the correlation of random_field.
    waves = rng.normal(scale=np.sqrt(2) / lobe_radius, size=(_WAVES, 3))
    phases = rng.uniform(0, 2 * np.pi, _WAVES)
    raw = Blob(centre_mm, proportions, roughness, waves, phases)
    scale = (volume_mm3 / raw.volume_mm3) ** (1 / 3)
    x, y, z = (scale * part for part in proportions)
    return Blob(centre_mm, (x, y, z), roughness, waves, phases)


def distance_map(blob: Blob, box: Geometry) -> Image:
    """Signed distance in mm to a blob's surface on a box of 3 or more voxels a side, float32; first order at the surface.

    Away from its surface a blob is smooth: evaluate it on a coarse box and resample linearly to the scanner's grid.
    """
    index = np.indices(box.shape).reshape(3, -1).T
    level = blob.level(box.world_mm(index)).reshape(box.shape)
    slope = np.sqrt(sum(part**2 for part in np.gradient(level, *box.spacing_mm, edge_order=2)))
    # At the centre itself the slope vanishes by symmetry.
    steepness = np.maximum(slope, 1 / (3 * max(blob.semi_axes_mm)))
    return Image(((level - 1) / steepness).astype(np.float32), box)


def ellipse_distance_mm(x_mm: Floats, y_mm: Floats, semi_axes_mm: tuple[Floats | float, Floats | float]) -> Floats:
    """Signed distance to an ellipse around the origin, exact on its axes and to first order near its edge."""
    a, b = semi_axes_mm
    u, v = x_mm / a, y_mm / b
    level = np.sqrt(u * u + v * v)
    steepness = np.sqrt((u / a) ** 2 + (v / b) ** 2) / np.maximum(level, 1e-6)
    return np.asarray((level - 1) / np.maximum(steepness, 1e-6))


class Shape(Protocol):
    """A body that can be painted into its own box."""

    @property
    def box_mm(self) -> tuple[Floats, Floats]:
        """Lowest and highest corner (x, y, z) of a box around it."""

    def distance_mm(self, x_mm: Floats, y_mm: Floats, z_mm: Floats) -> Floats:
        """Signed distance to its surface, negative inside; the arrays broadcast."""


@dataclass(frozen=True, eq=False)
class Segment:
    """A round cone between two points: a piece of a vessel, an airway, a gut, a bone or a round muscle.

    Attributes
    ----------
    ends_mm
        Both ends (2, 3) in x, y, z.
    radii_mm
        Radius at either end.
    """

    ends_mm: Floats
    radii_mm: tuple[float, float]

    @property
    def box_mm(self) -> tuple[Floats, Floats]:
        """Lowest and highest corner (x, y, z)."""
        widest = max(self.radii_mm)
        return self.ends_mm.min(axis=0) - widest, self.ends_mm.max(axis=0) + widest

    def distance_mm(self, x_mm: Floats, y_mm: Floats, z_mm: Floats) -> Floats:
        """Signed distance, exact for equal radii."""
        first, along = self.ends_mm[0], self.ends_mm[1] - self.ends_mm[0]
        dx, dy, dz = (p - np.float32(q) for p, q in zip((x_mm, y_mm, z_mm), first, strict=True))
        ax, ay, az = (along / max(float(along @ along), 1e-6)).astype(np.float32)
        part = np.clip(dx * ax + dy * ay + dz * az, 0, 1)
        lx, ly, lz = along.astype(np.float32)
        axis_mm = np.sqrt((dx - part * lx) ** 2 + (dy - part * ly) ** 2 + (dz - part * lz) ** 2)
        start, end = self.radii_mm
        return np.asarray(axis_mm - (np.float32(start) + part * np.float32(end - start)))


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """An ellipsoid along the axes of the world.

    Attributes
    ----------
    centre_mm, semi_axes_mm
        In x, y, z.
    """

    centre_mm: tuple[float, float, float]
    semi_axes_mm: tuple[float, float, float]

    @property
    def box_mm(self) -> tuple[Floats, Floats]:
        """Lowest and highest corner (x, y, z)."""
        centre, reach = np.array(self.centre_mm), np.array(self.semi_axes_mm)
        return centre - reach, centre + reach

    def distance_mm(self, x_mm: Floats, y_mm: Floats, z_mm: Floats) -> Floats:
        """Signed distance, to first order near the surface."""
        scaled = [
            (p - np.float32(q)) / np.float32(a)
            for p, q, a in zip((x_mm, y_mm, z_mm), self.centre_mm, self.semi_axes_mm, strict=True)
        ]
        level = np.sqrt(sum(part**2 for part in scaled))
        slope = np.sqrt(
            sum((part / np.float32(a)) ** 2 for part, a in zip(scaled, self.semi_axes_mm, strict=True))
        ) / np.maximum(level, 1e-3)
        return np.asarray((level - 1) / np.maximum(slope, 1 / max(self.semi_axes_mm)))


@dataclass(frozen=True)
class Tube:
    """A straight round tube that runs roughly along z: a bone's shaft, a vessel, a nerve.

    Attributes
    ----------
    centre_mm
        Where its axis crosses z = 0, (x, y).
    slope
        How far the axis moves in x and y per mm of z.
    radius_mm
        Its radius.
    """

    centre_mm: tuple[float, float]
    slope: tuple[float, float]
    radius_mm: float

    def distance_mm(self, x_mm: Floats, y_mm: Floats, z_mm: Floats) -> Floats:
        """Signed distance to its wall; the arrays broadcast."""
        dx = x_mm - (self.centre_mm[0] + self.slope[0] * z_mm)
        dy = y_mm - (self.centre_mm[1] + self.slope[1] * z_mm)
        return np.asarray(np.sqrt(dx * dx + dy * dy) - self.radius_mm)


def occupancy(distance_mm: Floats, edge_mm: float) -> Floats:
    """Fraction of a voxel that lies inside a shape, from the signed distance of its centre and the voxel's width."""
    return np.asarray(np.clip(0.5 - distance_mm / edge_mm, 0, 1))


def _directions() -> NDArray[np.float64]:
    """Give unit vectors (n, 3) spread evenly over the sphere (Fibonacci lattice)."""
    step = np.arange(_DIRECTIONS) + 0.5
    cosine = 1 - 2 * step / _DIRECTIONS
    sine = np.sqrt(1 - cosine**2)
    turn = np.pi * (1 + np.sqrt(5)) * step
    return np.stack([sine * np.cos(turn), sine * np.sin(turn), cosine], axis=-1)
