"""A simulated limb with a soft-tissue sarcoma: which tissue fills each voxel.

The limb runs along z; x points to the patient's left, y to the back (LPS), both in mm from the limb's axis. Skin,
fascia, muscles and vessels are placed in a resting limb; the tumour pushes them aside, so that they bend around it.
The femur or humerus does not bend: it stands beside the tumour.

Sizes are those of the public cohort's images (TCIA collection Soft-tissue-Sarcoma; Vallieres et al. 2015,
doi 10.1088/0031-9155/60/14/5471).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Geometry, Image, bounding_box, crop, resample_like
from preop.imaging.regions import Box
from preop.simulation import Blob, Tube, distance_map, ellipse_distance_mm, occupancy, random_blob, random_field

Floats = NDArray[np.floating[Any]]
Tissue = Literal[
    "air",
    "skin",
    "fat",
    "fibrous",
    "muscle",
    "oedema",
    "vessel",
    "cortical_bone",
    "marrow",
    "tumour",
    "necrosis",
    "tumour_fat",
]

SKIN_MM = 2.0
SEPTUM_MM = (0.8, 2.0)  # fat between two muscles
BONE_GAP_MM = (5.0, 15.0)  # between tumour and bone
OEDEMA_MM = 9.0
# The tumour draws the tissue at its surface out from this share of its distance to the tumour's centre, and the
# push fades over half the tumour's radius; both chosen so that septa bend around it as in the cohort's images.
PUSH = 0.6
PUSH_FADES_RADII = 0.5
LOBE_RADII = 0.6  # correlation length of what differs from one part of a tumour to another
RIM, RIM_MM = (
    0.4,
    6.0,
)  # by how much more, as a share, a tumour's surface takes up contrast, and how deep that fades (assumed)
MIN_UPTAKE = np.float32(0.1)  # of living tumour, as a share of its average


@dataclass(frozen=True)
class Plan:
    """Cross-section of a kind of limb, with the fascia as a circle of radius 1: x to the middle of the body, y to the back.

    Attributes
    ----------
    radius_mm
        Range of the fascia's radius.
    fat_mm
        Range of the thickness of the subcutaneous fat.
    bone, bone_radius_mm, cortex_mm
        Place, outer radius and wall of the bone's shaft.
    muscles
        Places (x, y) of the muscles' centres.
    bundles
        Places of the bundles of vessels and nerve.
    tumour
        Range of the tumour's distance from the limb's axis.
    """

    radius_mm: tuple[float, float]
    fat_mm: tuple[float, float]
    bone: tuple[float, float]
    bone_radius_mm: float
    cortex_mm: float
    muscles: tuple[tuple[float, float], ...]
    bundles: tuple[tuple[float, float], ...]
    tumour: tuple[float, float]


THIGH = Plan(
    radius_mm=(58, 74),
    fat_mm=(8, 26),
    bone=(-0.08, -0.18),
    bone_radius_mm=14,
    cortex_mm=5.5,
    muscles=(
        (0.05, -0.78),  # rectus femoris
        (-0.62, -0.40),  # vastus lateralis
        (0.52, -0.48),  # vastus medialis
        (-0.08, -0.25),  # vastus intermedius, around the femur
        (0.78, -0.12),  # sartorius
        (0.86, 0.30),  # gracilis
        (0.50, 0.02),  # adductor longus
        (0.30, 0.34),  # adductor magnus
        (0.42, 0.74),  # semimembranosus
        (0.02, 0.80),  # semitendinosus
        (-0.42, 0.68),  # biceps femoris, long head
        (-0.45, 0.28),  # biceps femoris, short head
    ),
    bundles=((0.62, -0.20), (-0.06, 0.50)),  # femoral vessels; sciatic nerve
    tumour=(0.30, 0.55),
)
ARM = Plan(
    radius_mm=(38, 46),
    fat_mm=(4, 12),
    bone=(0.0, 0.02),
    bone_radius_mm=11,
    cortex_mm=4,
    muscles=(
        (0.15, -0.65),  # biceps brachii, short head
        (-0.25, -0.62),  # biceps brachii, long head
        (0.0, -0.15),  # brachialis
        (-0.60, 0.35),  # triceps, lateral head
        (0.45, 0.55),  # triceps, long head
        (0.0, 0.40),  # triceps, medial head
    ),
    bundles=((0.62, -0.10),),  # brachial vessels
    tumour=(0.35, 0.55),
)


@dataclass(frozen=True)
class TumourMakeup:
    """What the tumour consists of.

    Attributes
    ----------
    volume_cm3
        Its volume.
    necrotic_fraction
        Share of its volume that is necrotic.
    fat_fraction
        Share of its volume that is fat (of a liposarcoma).
    heterogeneity
        Contrast of its texture as a multiple of the average tumour's.
    """

    volume_cm3: float
    necrotic_fraction: float
    fat_fraction: float
    heterogeneity: float


@dataclass(frozen=True)
class Layer:
    """A tissue to be painted over what lies beneath.

    Attributes
    ----------
    tissue
        Which one.
    inside
        Fraction of each voxel of ``box`` that it fills, 0 to 1.
    box
        The part of the grid that ``inside`` covers.
    texture
        Its own texture in standard deviations, or None for the fine grain of any tissue.
    """

    tissue: Tissue
    inside: Floats
    box: Box = (slice(None), slice(None), slice(None))
    texture: Floats | float | None = None


@dataclass(frozen=True, eq=False)
class Limb:
    """One limb with its tumour; lengths in mm.

    Attributes
    ----------
    semi_axes_mm
        Of the fascia at z = 0, (x, y).
    taper
        Relative change of the cross-section per mm of z.
    fat_mm, septum_mm
        Thickness of the subcutaneous fat and of the fat between muscles.
    muscles_mm
        Centres of the muscles at z = 0 (n, 2), and their shift per mm of z (n, 2).
    bone, cortex_mm
        Shaft and its wall.
    fat_sheaths, vessels
        Fat around the bundles, and the vessels and nerves inside and in the subcutaneous fat.
    blob
        The tumour's true surface.
    makeup
        What it consists of.
    fields
        Random fields over the limb: "outline", "bend_x", "bend_y", "patches", and in the tumour "core" and "texture".
    """

    semi_axes_mm: tuple[float, float]
    taper: float
    fat_mm: float
    septum_mm: float
    muscles_mm: tuple[NDArray[np.float64], NDArray[np.float64]]
    bone: Tube
    cortex_mm: float
    fat_sheaths: tuple[Tube, ...]
    vessels: tuple[Tube, ...]
    blob: Blob
    makeup: TumourMakeup
    fields: dict[str, Image]

    @cached_property
    def _tumour_distance(self) -> Image:
        # Knots this close put 95 % of the surface within 0.15 mm in the median of 80 tumours, 0.34 mm in the worst.
        spacing_mm = max(_radius_mm(self.blob) / 10, 3)
        return distance_map(self.blob, _box_around(self.blob, margin_mm=40, spacing_mm=spacing_mm))

    @cached_property
    def _thresholds(self) -> dict[Tissue, float]:
        """Value above which each of the fields that divide the tumour fills its fraction of it."""
        distance = self._tumour_distance
        within = distance.voxels < 0
        fractions = {"necrosis": self.makeup.necrotic_fraction, "tumour_fat": self.makeup.fat_fraction}
        return {
            name: float(np.quantile(field[within], 1 - fractions[name]))
            for name, field in self._dividing_fields(distance).items()
        }

    def tumour_distance_mm(self, grid: Geometry) -> Image:
        """Signed distance to the tumour's surface on a grid, negative inside."""
        return resample_like(self._tumour_distance, grid, interpolation="linear")

    def uptake_pattern(self, rng: np.random.Generator, spread: float) -> Image:
        """Draw how a tracer's uptake by living tumour varies: a factor around 1, wherever the tumour may be.

        It varies from lobe to lobe, a lobe being as large as a necrosis, and a third as much with the texture that
        every scanner sees.

        Parameters
        ----------
        spread
            Standard deviation of the factor between lobes.
        """
        box = _box_around(self.blob, margin_mm=5, spacing_mm=4)
        lobes = random_field(rng, box, (LOBE_RADII * _radius_mm(self.blob),) * 3)
        uneven = resample_like(lobes, box, interpolation="linear").voxels + self._field("texture", box) / 3
        return Image(np.maximum(1 + np.float32(spread) * uneven, MIN_UPTAKE), box)

    def rim_pattern(self) -> Image:
        """Give how much more contrast living tumour takes up near its surface: a factor above 1, wherever it may be."""
        distance = self.tumour_distance_mm(_box_around(self.blob, margin_mm=5, spacing_mm=3))
        fades = np.exp(-np.maximum(-distance.voxels, 0) / np.float32(RIM_MM))
        return distance.with_voxels(1 + np.float32(RIM) * fades)

    def layers(self, grid: Geometry) -> Iterator[Layer]:
        """Give the tissues of each voxel in the order of painting: first the skin, last the tumour's parts."""
        edge_mm = grid.spacing_mm[-1]
        tumour = self.tumour_distance_mm(grid)
        x, y, z = self._resting_place(*_coordinates(grid), tumour.voxels)
        bend_x, bend_y, patches = (self._field(name, grid) for name in ("bend_x", "bend_y", "patches"))

        grown = 1 + np.float32(self.taper) * z
        ellipse_mm = ellipse_distance_mm(x / grown, y / grown, self.semi_axes_mm)
        skin_mm = ellipse_mm - self.fat_mm + (0.15 * self.fat_mm + 1) * self._field("outline", grid)
        yield Layer("skin", occupancy(skin_mm, edge_mm))
        below_skin = occupancy(skin_mm + SKIN_MM, edge_mm)
        yield Layer("fat", below_skin)
        yield Layer("fibrous", below_skin * occupancy(np.abs(patches) - 0.02, 0.2))

        apart_mm = self._distance_between_muscles_mm(x + 4 * bend_x, y + 4 * bend_y, z)
        septum_mm = self.septum_mm * np.maximum(0.7 + 0.6 * patches, 0.15)
        muscle = occupancy(ellipse_mm + 2 * bend_x, edge_mm) * (1 - occupancy(apart_mm - septum_mm / 2, edge_mm))
        yield Layer("muscle", muscle)
        fades_mm = OEDEMA_MM * np.maximum(1 + 0.6 * patches, 0.1)
        yield Layer("oedema", muscle * np.exp(-np.maximum(tumour.voxels, 0) / fades_mm))

        for tube in self.fat_sheaths:
            yield Layer("fat", occupancy(tube.distance_mm(x, y, z), edge_mm))
        for tube in self.vessels:
            yield Layer("vessel", occupancy(tube.distance_mm(x, y, z), edge_mm))
        shaft_mm = self.bone.distance_mm(*_coordinates(grid)) + np.float32(0.5) * bend_x
        yield Layer("cortical_bone", occupancy(shaft_mm, edge_mm))
        yield Layer("marrow", occupancy(shaft_mm + self.cortex_mm + 0.5 * patches, 2 * edge_mm))  # spongy inner wall
        yield from self._tumour_layers(tumour, patches)

    def _tumour_layers(self, distance_mm: Image, patches: Floats) -> Iterator[Layer]:
        near = distance_mm.voxels < 3
        if not near.any():
            return
        box = bounding_box(near)
        part, patches = crop(distance_mm, box), patches[box]
        edge_mm = part.spacing_mm[-1]
        yield Layer("fat", occupancy(part.voxels - patches, edge_mm), box)  # what it has pushed out, here and there
        inside = occupancy(part.voxels, edge_mm)
        texture = self._field("texture", part.geometry)
        yield Layer("tumour", inside, box, self.makeup.heterogeneity * texture)
        for name, field in self._dividing_fields(part).items():
            yield Layer(name, inside * np.clip(0.5 + 2 * (field - self._thresholds[name]), 0, 1), box)

    def _dividing_fields(self, tumour_mm: Image) -> dict[Tissue, Floats]:
        """Fields whose highest parts are another tissue than living tumour, given the distance to its surface."""
        depth = np.maximum(-tumour_mm.voxels / _radius_mm(self.blob), 0)
        core = self._field("core", tumour_mm.geometry)
        divided: dict[Tissue, Floats] = {"necrosis": core + 2.5 * depth}
        if self.makeup.fat_fraction > 0:
            divided["tumour_fat"] = self._field("texture", tumour_mm.geometry) - core
        return divided

    def _resting_place(self, x: Floats, y: Floats, z: Floats, tumour_mm: Floats) -> tuple[Floats, Floats, Floats]:
        """Where the matter at x, y, z lay before the tumour grew, now ``tumour_mm`` from its surface."""
        fades_mm = np.float32(PUSH_FADES_RADII * _radius_mm(self.blob))
        pull = np.float32(PUSH) * np.exp(-np.maximum(tumour_mm, 0) / fades_mm)
        centre_x, centre_y, _ = np.asarray(self.blob.centre_mm, dtype=np.float32)
        return x - (x - centre_x) * pull, y - (y - centre_y) * pull, z

    def _distance_between_muscles_mm(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """Distance to the nearest border between two muscles, which are the Voronoi cells of their centres."""
        nearest: Floats = np.full(x.shape, np.inf, dtype=np.float32)
        second = nearest.copy()
        for centre, shift in zip(*(pair.astype(np.float32) for pair in self.muscles_mm), strict=True):
            squared = (x - (centre[0] + shift[0] * z)) ** 2 + (y - (centre[1] + shift[1] * z)) ** 2
            np.minimum(second, np.maximum(nearest, squared), out=second)
            np.minimum(nearest, squared, out=nearest)
        # |p-a|^2 - |p-b|^2 over twice |a-b| is the distance to the border; |a-b| is near the sum of both distances.
        return np.asarray((second - nearest) / (2 * (np.sqrt(second) + np.sqrt(nearest))))

    def _field(self, name: str, grid: Geometry) -> Floats:
        return resample_like(self.fields[name], grid, interpolation="linear").voxels


def random_limb(rng: np.random.Generator, plan: Plan, makeup: TumourMakeup) -> Limb:
    """Draw a limb of a kind around a tumour of a given makeup."""
    radius_mm = rng.uniform(*plan.radius_mm)
    mirrored = np.array([rng.choice([-1, 1]), 1])  # a left or a right limb
    scale = radius_mm * mirrored
    # Where the resting limb meets the pushed-out tumour surface there must still be muscle.
    deepest = 0.8 - (1 - PUSH) * (3 / 4 / np.pi * 1000 * makeup.volume_cm3) ** (1 / 3) / radius_mm
    angle, reach = rng.uniform(0, 2 * np.pi), radius_mm * min(rng.uniform(*plan.tumour), deepest)
    centre = (float(reach * np.cos(angle)), float(reach * np.sin(angle)), 0.0)
    blob = random_blob(
        rng,
        centre_mm=centre,
        volume_mm3=1000 * makeup.volume_cm3,
        # Along the limb 1.35 (1.10 to 1.88) times as long as across, and across 1.14 times as wide as deep: median
        # and 10th to 90th percentile of the public cohort's masks.
        proportions=(*_shuffled(rng, 1.0, rng.uniform(1.0, 1.3)), float(np.exp(rng.normal(0.32, 0.2)))),
        roughness=rng.uniform(0.06, 0.16),
        lobe_radius=rng.uniform(0.45, 0.9),
    )
    muscles = np.array(plan.muscles) * scale + rng.normal(scale=0.04 * radius_mm, size=(len(plan.muscles), 2))
    bundles = np.array(plan.bundles) * scale
    return Limb(
        semi_axes_mm=(radius_mm * rng.uniform(0.95, 1.05), radius_mm * rng.uniform(0.95, 1.1)),
        taper=rng.uniform(0.0003, 0.0015),
        fat_mm=rng.uniform(*plan.fat_mm),
        septum_mm=rng.uniform(*SEPTUM_MM),
        muscles_mm=(muscles, rng.normal(scale=0.05, size=muscles.shape)),
        bone=_bone_beside(rng, blob, np.array(plan.bone) * scale, plan.bone_radius_mm),
        cortex_mm=plan.cortex_mm * rng.uniform(0.8, 1.1),
        fat_sheaths=tuple(Tube((float(x), float(y)), (0.0, 0.0), 0.1 * radius_mm) for x, y in bundles),
        vessels=_vessels(rng, bundles, radius_mm),
        blob=blob,
        makeup=makeup,
        fields=_fields(rng, blob),
    )


def _bone_beside(rng: np.random.Generator, blob: Blob, resting: NDArray[np.float64], radius_mm: float) -> Tube:
    """Stand the bone where it rests, or as far off as the tumour has pushed it."""
    away = resting - np.asarray(blob.centre_mm[:2])
    distance_mm = float(np.linalg.norm(away))
    away = away / distance_mm
    nearest_mm = blob.reach_mm(np.array([*away, 0.0])) + rng.uniform(*BONE_GAP_MM) + radius_mm
    x, y = np.asarray(blob.centre_mm[:2]) + away * max(distance_mm, nearest_mm)
    lean = rng.uniform(-0.03, 0.03)
    return Tube((float(x), float(y)), (float(-away[1] * lean), float(away[0] * lean)), radius_mm)


def _vessels(rng: np.random.Generator, bundles: NDArray[np.float64], radius_mm: float) -> tuple[Tube, ...]:
    """Artery and vein of each bundle, and veins in the subcutaneous fat."""
    tubes = []
    for x, y in bundles:
        for side, share in ((-0.03, 0.03), (0.03, 0.04)):
            dx, dy = rng.normal(scale=0.03, size=2) * radius_mm
            tubes.append(Tube((float(x + side * radius_mm + dx), float(y + dy)), (0.0, 0.0), share * radius_mm))
    for angle in rng.uniform(0, 2 * np.pi, 2):
        x, y = 1.12 * radius_mm * np.cos(angle), 1.12 * radius_mm * np.sin(angle)
        tubes.append(Tube((float(x), float(y)), (float(rng.normal(scale=0.1)), 0.0), rng.uniform(1.2, 2.2)))
    return tuple(tubes)


def _fields(rng: np.random.Generator, blob: Blob) -> dict[str, Image]:
    limb = _box_around(blob, margin_mm=60, spacing_mm=5)
    tumour = _box_around(blob, margin_mm=5, spacing_mm=5)
    lobe_mm = LOBE_RADII * _radius_mm(blob)
    return {
        "outline": random_field(rng, limb, (90, 50, 50)),
        "bend_x": random_field(rng, limb, (80, 28, 28)),
        "bend_y": random_field(rng, limb, (80, 28, 28)),
        "patches": random_field(rng, limb, (25, 14, 14)),
        "core": random_field(rng, tumour, (lobe_mm, lobe_mm, lobe_mm)),
        "texture": random_field(rng, tumour, (9, 7, 7)),
    }


def _box_around(blob: Blob, *, margin_mm: float, spacing_mm: float) -> Geometry:
    """Grid of cubes around a blob."""
    low, high = blob.surface_mm.min(axis=0) - margin_mm, blob.surface_mm.max(axis=0) + margin_mm
    depth, height, width = np.ceil((high - low) / spacing_mm).astype(int)[::-1].tolist()
    x, y, z = low.tolist()
    return Geometry.axis_aligned((depth + 1, height + 1, width + 1), (spacing_mm,) * 3, (x, y, z))


def _coordinates(grid: Geometry) -> tuple[Floats, Floats, Floats]:
    """World x, y (1, ny, nx) and z (nz, 1, 1) of a grid whose slices are perpendicular to the limb, float32."""
    depth, height, width = grid.shape
    index = np.indices((1, height, width)).reshape(3, -1).T
    x, y, _ = grid.world_mm(index).T.reshape(3, 1, height, width).astype(np.float32)
    along = np.zeros((depth, 3))
    along[:, 0] = np.arange(depth)
    z = grid.world_mm(along)[:, 2].astype(np.float32)
    return x, y, z[:, None, None]


def _radius_mm(blob: Blob) -> float:
    """Radius of the ball of the same volume, by its semi-axes."""
    return float(np.prod(blob.semi_axes_mm) ** (1 / 3))


def _shuffled(rng: np.random.Generator, first: float, second: float) -> tuple[float, float]:
    return (first, second) if rng.random() < 0.5 else (second, first)
