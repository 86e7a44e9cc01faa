"""A liver with its vessels and neighbours in millimetres, and the places where its metastases lie.

The world is the patient's (x to the left, y to the back, z to the head), its origin in the right lobe. Lengths are those
of an average liver, varied from patient to patient; it is a schema of the anatomy, not a segmentation of anyone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Geometry, Image
from preop.simulation import Ellipsoid, Segment, coordinates, occupancy, paint, random_field, sample_aligned

from .disease import Metastases

Floats = NDArray[np.floating[Any]]
Vector = tuple[float, float, float]
Tissue = Literal["air", "bone", "fat", "gas", "blood", "kidney", "liver", "lung", "muscle", "skin", "spleen", "stomach"]

# Corners of what is scanned, x, y, z.
LOW_MM, HIGH_MM = np.array([-160.0, -115.0, -85.0]), np.array([190.0, 135.0, 105.0])
ANATOMY_MM = (2.5, 2.0, 2.0)  # grid (z, y, x) on which all but vessels and metastases is painted
WOBBLE_MM = 3.0
SIZE = (1.0, 0.05)  # of all lengths together
TEXTURE_MM = (7.0, 7.0, 7.0)  # correlation length of liver tissue

GAP_MM = 5.0  # at least, between two metastases
OVERHANG_MM = 2.0  # how far one may bulge out of the liver
TRIES = 400


@dataclass(frozen=True, eq=False)
class Abdomen:
    """The anatomy of one patient without metastases.

    Attributes
    ----------
    tissues
        Density in HU without noise on a coarse grid, vessels left out.
    liver_mm
        Signed distance to the surface of the liver on the same grid, negative inside.
    vessels
        Portal and hepatic veins within the liver.
    """

    tissues: Image
    liver_mm: Image
    vessels: tuple[Segment, ...]


def random_abdomen(rng: np.random.Generator, hu: dict[Tissue, float], texture_hu: float) -> Abdomen:
    """Draw the anatomy of a patient whose tissues have these mean densities."""
    size = float(rng.normal(*SIZE))
    spacing = np.array(ANATOMY_MM)
    shape = tuple(np.ceil((HIGH_MM - LOW_MM)[::-1] / spacing).astype(int).tolist())
    x0, y0, z0 = LOW_MM.tolist()
    grid = Geometry.axis_aligned(shape, ANATOMY_MM, (x0, y0, z0))
    x, y, z = coordinates(grid)
    bulges = random_field(rng, grid, (45.0, 40.0, 40.0))
    wobble = WOBBLE_MM * sample_aligned(bulges.voxels, bulges.geometry, grid)

    def ball(centre: Vector, semi_axes: Vector) -> Ellipsoid:
        a, b, c = (size * length * float(np.exp(rng.normal(scale=0.07))) for length in semi_axes)
        cx, cy, cz = (size * (place + float(rng.normal(scale=2.0))) for place in centre)
        return Ellipsoid((cx, cy, cz), (a, b, c))

    lobes = (ball((-38, 5, 0), (84, 74, 72)), ball((45, -38, 22), (66, 38, 34)), ball((0, -15, 5), (60, 45, 45)))
    liver = np.minimum.reduce([lobe.distance_mm(x, y, z) for lobe in lobes]) + wobble
    trunk = Ellipsoid((15.0, 8.0, 0.0), (162.0 * size, 112.0 * size, 2000.0)).distance_mm(x, y, z)
    canvas = np.full(shape, hu["air"], dtype=np.float32)

    def lay(tissue: Tissue, distance_mm: Floats) -> None:
        paint(canvas, occupancy(distance_mm, ANATOMY_MM[-1]), hu[tissue])

    wall_mm = float(rng.uniform(10, 28))
    lay("skin", trunk)
    lay("fat", trunk + 2)
    lay("muscle", trunk + wall_mm)
    lay("fat", trunk + wall_mm + 14)
    dome = ball((15, 5, 120), (150, 105, 78))
    lay("lung", np.maximum(dome.distance_mm(x, y, z), trunk + wall_mm + 14) + 0.5 * wobble)
    organs: tuple[tuple[Tissue, Ellipsoid], ...] = (
        ("blood", ball((40, -35, 105), (60, 45, 45))),
        ("kidney", ball((-55, 72, -72), (27, 27, 50))),
        ("kidney", ball((85, 70, -50), (27, 27, 55))),
        ("spleen", ball((128, 45, 22), (28, 42, 45))),
        ("stomach", ball((100, -25, 0), (42, 40, 55))),
        ("gas", ball((98, -48, 22), (26, 14, 28))),
        ("bone", ball((14, 88, 0), (23, 19, 600))),
        ("blood", ball((22, 58, 0), (11, 11, 600))),
        ("blood", ball((-8, 52, 0), (12, 10, 600))),
    )
    for tissue, organ in organs:
        lay(tissue, organ.distance_mm(x, y, z) + 0.5 * wobble)
    lay("liver", liver)
    grain = random_field(rng, grid, TEXTURE_MM)
    texture = sample_aligned(grain.voxels, grain.geometry, grid)
    canvas += np.float32(texture_hu) * texture * occupancy(liver, ANATOMY_MM[-1])
    liver_mm = Image(liver.astype(np.float32), grid)
    return Abdomen(Image(canvas, grid), liver_mm, _vessels(rng, liver_mm, size))


def place_metastases(rng: np.random.Generator, abdomen: Abdomen, metastases: Metastases) -> Floats:
    """Find centres (n, 3) in x, y, z inside the liver, the largest metastasis first; apart from each other if they can."""
    grid = abdomen.liver_mm.geometry
    depth = -abdomen.liver_mm.voxels
    centres = np.zeros((len(metastases), 3))
    placed: list[int] = []
    for i in np.argsort(-metastases.radius_mm, kind="stable").tolist():
        radius = float(metastases.radius_mm[i])
        candidates = np.argwhere(depth > max(min(radius - OVERHANG_MM, float(depth.max()) - 4), 0.0))
        chosen = candidates[rng.integers(len(candidates), size=TRIES)]
        places = grid.world_mm(chosen + rng.uniform(-0.5, 0.5, chosen.shape))
        if placed:
            others = centres[placed]
            apart = np.linalg.norm(places[:, None] - others, axis=-1) - metastases.radius_mm[placed] - radius
            room = apart.min(axis=1)
            free = np.flatnonzero(room > GAP_MM)
            centres[i] = places[free[0] if len(free) else int(room.argmax())]
        else:
            centres[i] = places[0]
        placed.append(i)
    return centres


def _vessels(rng: np.random.Generator, liver_mm: Image, size: float) -> tuple[Segment, ...]:
    """Let the portal vein grow from the hilum and three hepatic veins from the vena cava, until they leave the liver."""
    roots = (
        ((2.0, 18.0, -18.0), (-0.9, -0.1, 0.3), 6.0, 6),
        ((2.0, 18.0, -18.0), (0.7, -0.7, 0.3), 5.0, 5),
        ((-4.0, 40.0, 38.0), (-0.9, -0.2, -0.3), 4.5, 5),
        ((-4.0, 40.0, 38.0), (-0.3, -0.8, -0.4), 4.5, 5),
        ((-4.0, 40.0, 38.0), (0.6, -0.8, -0.1), 4.0, 5),
    )
    vessels: list[Segment] = []
    for start, direction, radius, generations in roots:
        _grow(rng, liver_mm, size * np.array(start), np.array(direction), size * radius, generations, vessels)
    return tuple(vessels)


def _grow(
    rng: np.random.Generator,
    liver_mm: Image,
    start: Floats,
    direction: Floats,
    radius_mm: float,
    generations: int,
    vessels: list[Segment],
) -> None:
    direction = direction / np.linalg.norm(direction)
    end = start + direction * float(rng.uniform(5.0, 7.5)) * math.sqrt(radius_mm) * 1.6
    place = np.rint(liver_mm.geometry.index_zyx(end[None])[0]).astype(int)
    inside = all(0 <= p < n for p, n in zip(place, liver_mm.shape, strict=True)) and liver_mm.voxels[tuple(place)] < -4
    if not inside:
        return
    vessels.append(Segment(np.stack([start, end]), (radius_mm, radius_mm)))
    if generations == 0:
        return
    for part in _forks(rng):
        turned = direction + rng.normal(scale=0.55, size=3)
        _grow(rng, liver_mm, end, turned, radius_mm * part, generations - 1, vessels)


def _forks(rng: np.random.Generator) -> Sequence[float]:
    """Radii of the branches beside the stem's; their cubes sum to that of the stem (Murray 1926)."""
    first = float(rng.uniform(0.55, 0.92))
    return first, (1 - first**3) ** (1 / 3)
