"""CT of a simulated liver at centres with different scanners, and its metastases as a reader and a network draw them.

What a metastasis looks like depends on its interface with the liver, place by place: where it is desmoplastic, a smooth
capsule of another density; where it replaces the liver, an irregular border over which both mix; where it pushes, a
smooth border without a capsule, a pressed liver and vessels that are pushed aside. That reports of CT describe the
patterns so is known, how clearly they can be seen is assumed.

Before noise, the density of a place depends on nothing but the place, and noise near a metastasis comes from a stream of
its own. So a scan of the surroundings of the metastases alone has the same voxels there as a scan of everything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Geometry, Image, crop_geometry
from preop.imaging.regions import Box
from preop.simulation import (
    CtScanner,
    Segment,
    average,
    coordinates,
    draw_contour,
    finer,
    occupancy,
    random_field,
    sample_aligned,
)

from .anatomy import HIGH_MM, LOW_MM, Abdomen, Floats, Tissue
from .disease import Metastases

# Mean HU in the portal venous phase, the liver's apart.
HU: dict[Tissue, float] = {
    "air": -1000,
    "bone": 280,
    "fat": -104,
    "gas": -850,
    "blood": 150,
    "kidney": 175,
    "liver": 108,
    "lung": -830,
    "muscle": 62,
    "skin": 10,
    "spleen": 122,
    "stomach": 25,
}
ARTERIAL_HU: dict[Tissue, float] = {"blood": 270, "kidney": 190, "liver": 66, "spleen": 130}
BETWEEN_LIVERS_HU = 8.0
VESSEL_HU, ARTERIAL_VESSEL_HU = 55.0, 12.0  # denser than the liver
TEXTURE_HU = 4.0

# Shape of a metastasis: its radius varies by smooth waves over directions; patterns change along others.
ROUGHNESS, LOBE = 0.06, 0.8
PATCH = 0.9
DIRECTIONS = (90, 180)  # a map of the sphere, polar and azimuthal

HALO_MM = 4.0  # over which the liver beside a metastasis is changed, whatever the pattern
PRESSED_MM, PRESSED_HU = 5.0, -7.0  # liver beside a pushing border
PUSH_REACH_MM = 12.0
IRREGULAR_MM = (3.5, 3.5, 3.5)  # correlation length of an infiltrating border
INNER_TEXTURE_MM = (4.0, 4.0, 4.0)
RIM_OF_RADIUS = 0.55  # from here inwards a metastasis is as dense as in its centre

PARTS_MM = (1.25, 0.9, 0.9)  # voxels near a metastasis are divided into parts no larger than these
AROUND_MM = 17.0  # of a metastasis, drawn in detail
BLUR_REACH_MM = 3.0

# How a reader and a network draw (assumed): everywhere too wide or narrow, from stroke to stroke, length of a stroke.
READER_MM, NETWORK_MM = (0.4, 0.5, 8.0), (0.7, 0.7, 12.0)

_WAVES = 12


@dataclass(frozen=True)
class Centre:
    """A hospital with its CT protocol: name, share of the patients, scanner, and how strongly the liver enhances there."""

    name: str
    share: float
    ct: CtScanner
    enhancement: float = 1.0


CENTRES = (
    Centre(
        "centre_a",
        0.35,
        CtScanner((3.0, 0.78, 0.78), resolution_mm=1.2, noise_hu=12, noise_correlation_mm=(2, 1.5, 1.5)),
    ),
    Centre(
        "centre_b",
        0.25,
        CtScanner((2.0, 0.72, 0.72), resolution_mm=1.0, noise_hu=15, noise_correlation_mm=(1.6, 1.2, 1.2)),
        enhancement=0.94,
    ),
    Centre(
        "centre_c",
        0.25,
        CtScanner((5.0, 0.82, 0.82), resolution_mm=1.4, noise_hu=9, noise_correlation_mm=(3, 1.8, 1.8)),
        enhancement=1.04,
    ),
    Centre(
        "centre_d",
        0.15,
        CtScanner((4.0, 0.90, 0.90), resolution_mm=1.5, noise_hu=11, noise_correlation_mm=(2.6, 1.7, 1.7)),
    ),
)
EXTERNAL_CENTRES = (
    Centre(
        "centre_x",
        0.5,
        CtScanner((2.5, 0.68, 0.68), resolution_mm=0.9, noise_hu=18, noise_correlation_mm=(1.5, 1.1, 1.1)),
        enhancement=0.97,
    ),
    Centre(
        "centre_y",
        0.5,
        CtScanner((5.0, 0.96, 0.96), resolution_mm=1.7, noise_hu=10, noise_correlation_mm=(3, 2, 2)),
        enhancement=1.02,
    ),
)


@dataclass(frozen=True, eq=False)
class Surface:
    """The surface of a metastasis by direction from its centre, on a map of polar and azimuthal angles.

    Attributes
    ----------
    centre_mm
        In x, y, z.
    radius_mm
        Distance of the surface (polar, azimuthal).
    pattern
        0 desmoplastic, 1 replacement, 2 pushing (polar, azimuthal).
    """

    centre_mm: Floats
    radius_mm: Floats
    pattern: NDArray[np.int8]

    def look_up(self, dx: Floats, dy: Floats, dz: Floats) -> tuple[Floats, Floats, NDArray[np.int8]]:
        """Distance from the centre, and radius and pattern of the surface in its direction, for offsets in mm."""
        distance = np.sqrt(dx * dx + dy * dy + dz * dz)
        polar = np.arccos(np.clip(dz / np.maximum(distance, 1e-3), -1, 1))
        azimuthal = np.arctan2(dy, dx) + np.float32(np.pi)
        rows = np.minimum((polar * (DIRECTIONS[0] / np.pi)).astype(np.intp), DIRECTIONS[0] - 1)
        columns = np.minimum((azimuthal * (DIRECTIONS[1] / (2 * np.pi))).astype(np.intp), DIRECTIONS[1] - 1)
        return distance, self.radius_mm[rows, columns], self.pattern[rows, columns]


def random_surface(rng: np.random.Generator, centre_mm: Floats, radius_mm: float, shares: Floats) -> Surface:
    """Draw a lobulated surface, and lay each pattern over its share of the area in patches."""
    polar = (np.arange(DIRECTIONS[0]) + 0.5) / DIRECTIONS[0] * np.pi
    azimuthal = (np.arange(DIRECTIONS[1]) + 0.5) / DIRECTIONS[1] * 2 * np.pi - np.pi
    sine = np.sin(polar)[:, None]
    directions = np.stack(
        [
            sine * np.cos(azimuthal),
            sine * np.sin(azimuthal),
            np.broadcast_to(np.cos(polar)[:, None], (DIRECTIONS[0], DIRECTIONS[1])),
        ],
        axis=-1,
    )
    stretch = np.exp(rng.normal(scale=0.12, size=3))
    level = np.linalg.norm(directions / stretch, axis=-1)
    radius = (1 + ROUGHNESS * _waves(rng, directions, LOBE)) / level
    area = sine * radius**2
    radius *= radius_mm / ((sine * radius**3).sum() / np.broadcast_to(sine, radius.shape).sum()) ** (1 / 3)
    first, second = (_waves(rng, directions, PATCH) for _ in range(2))
    pattern = np.full(radius.shape, 2, dtype=np.int8)
    desmoplastic = _lowest_part(first, area, float(shares[0]))
    rest = ~desmoplastic
    of_rest = float(shares[1]) / max(1 - float(shares[0]), 1e-9)
    pattern[rest & _lowest_part(second, np.where(rest, area, 0), of_rest)] = 1
    pattern[desmoplastic] = 0
    return Surface(centre_mm, radius.astype(np.float32), pattern)


def _waves(rng: np.random.Generator, directions: Floats, length: float) -> Floats:
    """Smooth random function on the sphere with mean 0, variance 1 and this correlation length in radii."""
    waves = rng.normal(scale=np.sqrt(2) / length, size=(_WAVES, 3))
    phases = rng.uniform(0, 2 * np.pi, _WAVES)
    return np.asarray(np.cos(directions @ waves.T + phases).sum(axis=-1) * np.sqrt(2 / _WAVES))


def _lowest_part(values: Floats, weights: Floats, share: float) -> NDArray[np.bool_]:
    """Where a function is lowest, over a share of the weights."""
    order = np.argsort(values, axis=None)
    cumulated = np.cumsum(np.broadcast_to(weights, values.shape).ravel()[order])
    chosen = np.zeros(values.size, dtype=bool)
    chosen[order[: np.searchsorted(cumulated, share * cumulated[-1] * (1 + 1e-12) - 1e-9, side="right")]] = True
    if share >= 1:
        chosen[:] = True
    elif share <= 0:
        chosen[:] = False
    return chosen.reshape(values.shape)


@dataclass(frozen=True, eq=False)
class Liver:
    """All of a patient that is scanned; the density of any place follows from it.

    Attributes
    ----------
    abdomen
        Everything but metastases.
    metastases, surfaces
        What grows in it, and where.
    irregular, texture
        Random fields in and around each metastasis.
    liver_hu, vessel_hu
        Of this patient, in this phase.
    """

    abdomen: Abdomen
    metastases: Metastases
    surfaces: tuple[Surface, ...]
    irregular: tuple[Image, ...]
    texture: tuple[Image, ...]
    liver_hu: float
    vessel_hu: float


def liver_densities(rng: np.random.Generator, centre: Centre, *, arterial: bool) -> dict[Tissue, float]:
    """Draw how dense the tissues of a patient are at a centre."""
    hu = HU | (ARTERIAL_HU if arterial else {})
    return hu | {"liver": centre.enhancement * (hu["liver"] + BETWEEN_LIVERS_HU * float(rng.standard_normal()))}


def grow(
    rng: np.random.Generator,
    abdomen: Abdomen,
    metastases: Metastases,
    centres: Floats,
    liver_hu: float,
    *,
    arterial: bool,
) -> Liver:
    """Give each metastasis its surface and its unevenness."""
    surfaces, irregular, texture = [], [], []
    for centre, radius, shares in zip(centres, metastases.radius_mm, metastases.shares, strict=True):
        surface = random_surface(rng, centre, float(radius), shares)
        reach = float(surface.radius_mm.max()) + AROUND_MM + 2
        x, y, z = (centre - reach).tolist()
        box = Geometry.axis_aligned((math.ceil(2 * reach),) * 3, (1.0,) * 3, (x, y, z))
        surfaces.append(surface)
        irregular.append(random_field(rng, box, IRREGULAR_MM))
        texture.append(random_field(rng, box, INNER_TEXTURE_MM))
    added = ARTERIAL_VESSEL_HU if arterial else VESSEL_HU
    return Liver(abdomen, metastases, tuple(surfaces), tuple(irregular), tuple(texture), liver_hu, liver_hu + added)


def scanned_grid(rng: np.random.Generator, centre: Centre) -> Geometry:
    """Lay the voxels of a scanner over the upper abdomen."""
    spacing = np.array(centre.ct.spacing_mm)
    shape = np.ceil((HIGH_MM - LOW_MM)[::-1] / spacing).astype(int)
    x, y, z = (LOW_MM + rng.uniform(0, 1, 3) * spacing[::-1]).tolist()
    return Geometry.axis_aligned(tuple(shape.tolist()), centre.ct.spacing_mm, (x, y, z))


def scan(
    seed: tuple[int, int], liver: Liver, centre: Centre, grid: Geometry, *, only_around: bool
) -> tuple[Image, Image, Image]:
    """Scan a liver, and have its metastases drawn.

    Parameters
    ----------
    seed
        Of the noise, and of who draws: a stream for each metastasis.
    only_around
        Leave out what is far from all metastases: it is stored as air, and the image ends there.

    Returns
    -------
    CT in HU (int16), and the label maps of a reader and of a network, from 1 in the metastases' order (uint8).
    """
    boxes = [_box_around(surface, grid, AROUND_MM) for surface in liver.surfaces]
    whole = tuple(slice(0, size) for size in grid.shape)
    part = _union([_widened(box, grid) for box in boxes]) if only_around else whole
    grid = crop_geometry(grid, part)
    boxes = [_within(box, part) for box in boxes]
    hu = np.full(grid.shape, -1024, dtype=np.int16)
    if not only_around:
        rng = np.random.default_rng([*seed, 0])
        hu[:] = centre.ct.scan(rng, Image(_plain(liver, grid), grid)).voxels
    reader = np.zeros(grid.shape, dtype=np.uint8)
    network = np.zeros(grid.shape, dtype=np.uint8)
    for label, box in enumerate(boxes, start=1):
        rng = np.random.default_rng([*seed, label])
        wide = _widened(box, grid)
        here = crop_geometry(grid, wide)
        inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, wide, strict=True))
        hu[box] = centre.ct.scan(rng, Image(_detailed(liver, here), here)).voxels[inner]
        distance = _distance(liver.surfaces[label - 1], here)
        for drawn, (habit, wander, stroke) in ((reader, READER_MM), (network, NETWORK_MM)):
            mask = draw_contour(rng, distance, habit_mm=habit, wander_mm=wander, stroke_mm=stroke).voxels
            free = drawn[wide] == 0
            drawn[wide][_largest_piece(mask & free)] = label
    return Image(hu, grid), Image(reader, grid), Image(network, grid)


# --- density of places ------------------------------------------------------------------------------------------------


def _plain(liver: Liver, grid: Geometry) -> Floats:
    """Density of a whole scan, vessels in their undisturbed places, without metastases."""
    canvas = _sampled(liver.abdomen.tissues, grid).astype(np.float32)
    for vessel in liver.abdomen.vessels:
        box = _box_between(vessel.ends_mm.min(axis=0), vessel.ends_mm.max(axis=0), grid, max(vessel.radii_mm) + 1.0)
        part = crop_geometry(grid, box)
        fine = finer(part, _factors(grid))
        inside = occupancy(vessel.distance_mm(*coordinates(fine)), fine.spacing_mm[-1])
        cover = average(Image(inside, fine), part).voxels
        canvas[box] += cover * np.maximum(liver.vessel_hu - canvas[box], 0)
    return canvas


def _detailed(liver: Liver, grid: Geometry) -> Floats:
    """Density near metastases: a function of the place alone, averaged over each voxel."""
    fine = finer(grid, _factors(grid))
    x, y, z = coordinates(fine)
    hu = _sampled(liver.abdomen.tissues, fine).astype(np.float32)
    near = [number for number, surface in enumerate(liver.surfaces) if _reaches(surface, fine)]
    seen = {number: _seen(liver, number, fine) for number in near}
    places = [np.broadcast_to(axis, fine.shape) for axis in (x, y, z)]
    for number in near:
        places = _pushed_from(liver, number, seen[number], places)
    hu += _vessel_cover(liver.abdomen.vessels, places, fine) * np.maximum(liver.vessel_hu - hu, 0)
    inside_liver = occupancy(_sampled(liver.abdomen.liver_mm, fine), 1.0)
    for number in near:
        _grow_into(hu, liver, number, seen[number], inside_liver, fine)
    return average(Image(hu, fine), grid).voxels


@dataclass(frozen=True, eq=False)
class _Seen:
    """A metastasis from each place: distance to its surface, distance to its centre, pattern there, offsets."""

    surface_mm: Floats
    centre_mm: Floats
    radius_mm: Floats
    pattern: NDArray[np.int8]
    offsets_mm: tuple[Floats, Floats, Floats]


def _seen(liver: Liver, number: int, grid: Geometry) -> _Seen:
    surface = liver.surfaces[number]
    dx, dy, dz = (
        np.broadcast_to(p - np.float32(q), grid.shape)
        for p, q in zip(coordinates(grid), surface.centre_mm, strict=True)
    )
    distance, radius, pattern = surface.look_up(dx, dy, dz)
    return _Seen(distance - radius, distance, radius, pattern, (dx, dy, dz))


def _distance(surface: Surface, grid: Geometry) -> Image:
    """Signed distance to the surface along the ray from the centre, on the scan's grid."""
    dx, dy, dz = (
        np.broadcast_to(p - np.float32(q), grid.shape)
        for p, q in zip(coordinates(grid), surface.centre_mm, strict=True)
    )
    distance, radius, _ = surface.look_up(dx, dy, dz)
    return Image(np.asarray(distance - radius, dtype=np.float32), grid)


def _pushed_from(liver: Liver, number: int, seen: _Seen, places: list[Floats]) -> list[Floats]:
    """Where what lies at a place came from, before a pushing border moved it outwards."""
    outside = (seen.pattern == 2) & (seen.surface_mm > 0) & (seen.surface_mm < PUSH_REACH_MM)
    if not outside.any():
        return places
    fade = np.where(outside, 1 - seen.surface_mm / np.float32(PUSH_REACH_MM), 0) ** 2
    back = np.float32(liver.metastases.displacement_mm[number]) * fade / np.maximum(seen.centre_mm, 1)
    return [place - back * offset for place, offset in zip(places, seen.offsets_mm, strict=True)]


def _vessel_cover(vessels: tuple[Segment, ...], places: list[Floats], grid: Geometry) -> Floats:
    cover = np.zeros(grid.shape, dtype=np.float32)
    for vessel in vessels:
        reach = max(vessel.radii_mm) + 10.0
        box = _box_between(vessel.ends_mm.min(axis=0), vessel.ends_mm.max(axis=0), grid, reach)
        if any(part.start >= part.stop for part in box):
            continue
        inside = occupancy(vessel.distance_mm(*(place[box] for place in places)), grid.spacing_mm[-1])
        np.maximum(cover[box], inside, out=cover[box])
    return cover


def _grow_into(hu: Floats, liver: Liver, number: int, seen: _Seen, inside_liver: Floats, grid: Geometry) -> None:
    """Paint a metastasis and what it does to the liver beside it, in place."""
    of, pattern = liver.metastases, seen.pattern
    desmoplastic, replacing, pushing = (pattern == kind for kind in range(3))
    fine_mm = grid.spacing_mm[-1]
    irregular = _sampled(liver.irregular[number], grid)
    surface = seen.surface_mm + np.where(replacing, np.float32(of.roughness_mm[number]) * irregular, 0)

    halo = np.clip(1 - surface / np.float32(HALO_MM), 0, 1) * (surface > 0)
    hu += np.float32(of.halo_hu[number]) * halo * inside_liver
    pressed = np.clip(1 - surface / np.float32(PRESSED_MM), 0, 1) * pushing * (surface > 0)
    hu += np.float32(PRESSED_HU) * pressed * inside_liver
    capsule = occupancy(np.abs(surface - of.capsule_mm[number] / 2) - of.capsule_mm[number] / 2, fine_mm)
    hu += capsule * desmoplastic * inside_liver * (liver.liver_hu + of.capsule_hu[number] - hu)

    edge_mm = np.where(replacing, np.float32(of.infiltration_mm[number]), np.float32(of.edge_mm[number]))
    inside = np.clip(0.5 - surface / edge_mm, 0, 1)
    depth = np.clip((1 - seen.centre_mm / seen.radius_mm) / (1 - RIM_OF_RADIUS), 0, 1)
    tumour = liver.liver_hu + of.rim_hu[number] + (of.centre_hu[number] - of.rim_hu[number]) * depth
    tumour += np.float32(of.texture_hu[number]) * _sampled(liver.texture[number], grid)
    hu += inside * (tumour - hu)


# --- grids and readers ------------------------------------------------------------------------------------------------


def _sampled(field: Image, grid: Geometry) -> Floats:
    """Interpolate on a grid along the same axes, averaged over the thickness of its slices."""
    return sample_aligned(field.voxels, field.geometry, grid)


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    pieces, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    return mask if count < 2 else np.asarray(pieces == np.bincount(pieces[mask]).argmax())


def _reaches(surface: Surface, grid: Geometry) -> bool:
    first, last = grid.world_mm(np.array([[0, 0, 0], np.array(grid.shape) - 1]))
    reach = float(surface.radius_mm.max()) + AROUND_MM
    return bool(((surface.centre_mm + reach > first) & (surface.centre_mm - reach < last)).all())


def _box_around(surface: Surface, grid: Geometry, margin_mm: float) -> Box:
    reach = float(surface.radius_mm.max())
    return _box_between(surface.centre_mm - reach, surface.centre_mm + reach, grid, margin_mm)


def _box_between(low: Floats, high: Floats, grid: Geometry, margin_mm: float) -> Box:
    """Voxels between two corners (x, y, z), with a margin, cut at the grid's edges."""
    first, last = grid.index_zyx(np.array([low - margin_mm, high + margin_mm]))
    return tuple(
        slice(min(max(math.floor(a), 0), size), max(min(math.ceil(b) + 1, size), 0))
        for a, b, size in zip(first, last, grid.shape, strict=True)
    )


def _widened(box: Box, grid: Geometry) -> Box:
    """As far around a box as the blur of a scanner reaches within a slice."""
    margin = [0, *(math.ceil(BLUR_REACH_MM / mm) for mm in grid.spacing_mm[1:])]
    return tuple(
        slice(max(part.start - wide, 0), min(part.stop + wide, size))
        for part, wide, size in zip(box, margin, grid.shape, strict=True)
    )


def _union(boxes: list[Box]) -> Box:
    return tuple(
        slice(min(part.start for part in axis), max(part.stop for part in axis)) for axis in zip(*boxes, strict=True)
    )


def _within(box: Box, part: Box) -> Box:
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(box, part, strict=True))


def _factors(grid: Geometry) -> tuple[int, ...]:
    return tuple(math.ceil(spacing / part - 1e-6) for spacing, part in zip(grid.spacing_mm, PARTS_MM, strict=True))
