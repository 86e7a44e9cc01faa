"""A simulated pelvis with bladder cancer, as signed distances in millimetres.

The world is the patient's (x to the left, y to the back, z to the head), its origin between the centres of the
femoral heads. Lengths of an average pelvis are written out below, for the left side where there are two, and varied
from patient to patient; it is a schema of the anatomy, not a segmentation of anyone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from preop.simulation import Ellipsoid, Segment, Shape

from .disease import Nodes, Side
from .placement import Floats, PlacedNode, place_nodes

Points = Sequence[tuple[float, float, float]]
Sex = Literal["female", "male"]
Tissue = Literal[
    "artery",
    "bladder_wall",
    "bowel_wall",
    "canal",
    "cartilage",
    "cortical_bone",
    "faeces",
    "fat",
    "gas",
    "gland",
    "marrow",
    "muscle",
    "skin",
    "tumour",
    "urine",
    "vein",
]

# Top and bottom of the scan: from the fourth lumbar vertebra to the obturator foramen.
BOTTOM_MM, TOP_MM = -36.0, 152.0
SKIN_MM = 2.0
CORTEX_MM = 1.8

# How much a structure may differ from patient to patient: all lengths together, and each point of a structure.
SIZE = (1.0, 0.05)
POINT_MM = 1.5


@dataclass(frozen=True, eq=False)
class Sheet:
    """A plate that each axial slice cuts in a thick curved line: an iliac wing, the sacrum, a flat muscle.

    Attributes
    ----------
    levels_mm
        Heights z at which the line is known (k,), rising; between them it is interpolated.
    lines_mm
        Its n points at each height (k, n, 2) in x, y.
    half_mm
        Half of its thickness at each of them (k, n).
    """

    levels_mm: Floats
    lines_mm: Floats
    half_mm: Floats

    @property
    def box_mm(self) -> tuple[Floats, Floats]:
        """Lowest and highest corner (x, y, z)."""
        widest = float(self.half_mm.max())
        low, high = self.lines_mm.min(axis=(0, 1)) - widest, self.lines_mm.max(axis=(0, 1)) + widest
        return np.append(low, self.levels_mm[0]), np.append(high, self.levels_mm[-1])

    def distance_mm(self, x_mm: Floats, y_mm: Floats, z_mm: Floats) -> Floats:
        """Signed distance within the slice; never less than the distance above or below the plate."""
        z = np.asarray(z_mm, dtype=np.float32)
        points = [
            [
                np.interp(z, self.levels_mm, values).astype(np.float32)
                for values in (line[:, 0], line[:, 1], self.half_mm[:, i])
            ]
            for i, line in enumerate(np.moveaxis(self.lines_mm, 1, 0))
        ]
        nearest: Floats = np.maximum(np.float32(self.levels_mm[0]) - z, z - np.float32(self.levels_mm[-1]))
        inside: Floats | None = None
        for (ax, ay, ah), (bx, by, bh) in pairwise(points):
            lx, ly = bx - ax, by - ay
            dx, dy = x_mm - ax, y_mm - ay
            part = np.clip((dx * lx + dy * ly) / np.maximum(lx * lx + ly * ly, 1e-3), 0, 1)
            distance = np.sqrt((dx - part * lx) ** 2 + (dy - part * ly) ** 2) - (ah + part * (bh - ah))
            inside = distance if inside is None else np.minimum(inside, distance)
        return np.maximum(nearest, nearest if inside is None else inside)


@dataclass(frozen=True, eq=False)
class Trunk:
    """The outline of the body: a rounded rectangle in each slice.

    Attributes
    ----------
    centre_y_mm
        Height of its middle above the line between the femoral heads' centres, towards the back.
    levels_mm, semi_axes_mm
        Heights z (k,), and half width and half depth there (k, 2).
    """

    centre_y_mm: float
    levels_mm: Floats
    semi_axes_mm: Floats

    @property
    def box_mm(self) -> tuple[Floats, Floats]:
        """Lowest and highest corner (x, y, z)."""
        a, b = self.semi_axes_mm.max(axis=0)
        low, high = [-a, self.centre_y_mm - b, self.levels_mm[0]], [a, self.centre_y_mm + b, self.levels_mm[-1]]
        return np.array(low), np.array(high)

    def distance_mm(self, x_mm: Floats, y_mm: Floats, z_mm: Floats) -> Floats:
        """Signed distance, to first order near the surface."""
        z = np.asarray(z_mm, dtype=np.float32)
        a, b = (np.interp(z, self.levels_mm, axis).astype(np.float32) for axis in self.semi_axes_mm.T)
        u, v = np.abs(x_mm / a), np.abs((y_mm - np.float32(self.centre_y_mm)) / b)
        # A superellipse of power 2.5 lies between an ellipse and a box as a trunk does.
        level = (u**2.5 + v**2.5) ** np.float32(0.4)
        return np.asarray((level - 1) * np.minimum(a, b))


@dataclass(frozen=True, eq=False)
class Structure:
    """Shapes of one tissue, painted over what lies beneath.

    Attributes
    ----------
    tissue
        Which one.
    shapes
        Where it is.
    inset_mm
        How much smaller than the shapes: for marrow within bone, urine within the wall.
    wobble_mm
        Standard deviation of its surface around the shapes'.
    """

    tissue: Tissue
    shapes: tuple[Shape, ...]
    inset_mm: float = 0.0
    wobble_mm: float = 1.0


@dataclass(frozen=True, eq=False)
class Pelvis:
    """The anatomy of one patient.

    Attributes
    ----------
    trunk
        Outline of the body.
    organs
        What is large, in the order of painting.
    vessels
        Veins and arteries, painted over it.
    nodes
        Places of the lymph nodes, in their order.
    """

    trunk: Trunk
    organs: tuple[Structure, ...]
    vessels: tuple[Structure, ...]
    nodes: tuple[PlacedNode, ...]


def random_pelvis(rng: np.random.Generator, sex: Sex, tumour_side: Side, nodes: Nodes) -> Pelvis:
    """Draw the anatomy of a patient around the given lymph nodes."""
    build = _Builder(rng, float(rng.normal(*SIZE)))
    organs = (*_muscles(build), *_bones(build), *_gut(build), *_urogenital(build, sex, tumour_side))
    paths: dict[Side, dict[str, Floats]] = {side: _vessel_paths(build, side) for side in SIDES}
    vessels = _vessels(build, paths)
    placed = place_nodes(rng, nodes, paths, [shape for s in (*organs, *vessels) for shape in s.shapes])
    return Pelvis(_trunk(build), organs, vessels, placed)


@dataclass(frozen=True)
class _Builder:
    """Makes shapes of written-out lengths for one patient: scaled, shifted at random, mirrored for the right side."""

    rng: np.random.Generator
    size: float

    def points(self, points: Points, side: Side | None = "left") -> Floats:
        varied = np.array(points, dtype=np.float64) + self.rng.normal(scale=POINT_MM, size=(len(points), 3))
        varied[:, 0] *= -1 if side == "right" else 1
        return np.asarray(self.size * varied)

    def tube(self, points: Points | Floats, radii_mm: Sequence[float], side: Side | None = "left") -> tuple[Shape, ...]:
        at = points if isinstance(points, np.ndarray) else self.points(points, side)
        radii = [self.size * radius for radius in radii_mm]
        return tuple(Segment(at[i : i + 2], (radii[i], radii[i + 1])) for i in range(len(at) - 1))

    def sheet(self, levels: dict[float, Sequence[tuple[float, float, float]]], side: Side | None = "left") -> Sheet:
        """Make a sheet of points (x, y, half thickness) at each height."""
        rising = dict(sorted(levels.items()))
        table = np.array(list(rising.values()), dtype=np.float64)
        table[..., :2] += self.rng.normal(scale=POINT_MM, size=table.shape[1:])[..., :2]
        table[..., 0] *= -1 if side == "right" else 1
        table *= self.size
        return Sheet(self.size * np.array(list(rising)), table[..., :2], table[..., 2])

    def ball(self, centre: tuple[float, float, float], semi_axes: tuple[float, float, float]) -> Ellipsoid:
        x, y, z = self.points([centre])[0].tolist()
        a, b, c = (self.size * length * float(np.exp(self.rng.normal(scale=0.08))) for length in semi_axes)
        return Ellipsoid((x, y, z), (a, b, c))


SIDES: tuple[Side, Side] = ("left", "right")


def _trunk(build: _Builder) -> Trunk:
    fat_mm = build.rng.uniform(12, 42)
    levels = build.size * np.array([BOTTOM_MM, 20, 70, TOP_MM])
    wide = build.size * np.array([152, 150, 142, 136]) + fat_mm * np.array([0.9, 1.0, 1.0, 0.9])
    deep = build.size * np.array([108, 114, 112, 108]) + fat_mm * np.array([0.6, 0.65, 0.65, 0.6])
    return Trunk(build.size * 14.0, levels, np.stack([wide, deep], axis=1))


def _muscles(build: _Builder) -> list[Structure]:
    shapes: list[Shape] = []
    for side in SIDES:
        gluteus_maximus = build.sheet(
            {
                105: [(48, 104, 3), (62, 100, 4), (80, 88, 4), (98, 74, 3)],
                60: [(24, 112, 8), (60, 114, 13), (95, 96, 13), (122, 64, 6)],
                10: [(22, 112, 12), (58, 112, 17), (98, 94, 16), (130, 58, 8)],
                -45: [(30, 100, 12), (68, 102, 16), (108, 84, 15), (134, 50, 7)],
            },
            side,
        )
        gluteus_medius = build.sheet(
            {
                132: [(88, 50, 2), (112, 28, 2), (126, 2, 2)],
                80: [(84, 66, 7), (114, 34, 13), (133, -18, 10)],
                40: [(94, 54, 9), (117, 24, 15), (124, -16, 12)],
                5: [(118, 42, 4), (133, 18, 8), (128, -14, 7)],
            },
            side,
        )
        iliacus = build.sheet(
            {
                128: [(74, 36, 2), (96, 16, 3), (110, -4, 2)],
                90: [(66, 40, 4), (86, 14, 8), (110, -26, 6)],
                60: [(72, 22, 4), (80, 0, 8), (98, -36, 7)],
                25: [(78, -24, 3), (84, -34, 8), (94, -38, 6)],
            },
            side,
        )
        obturator_internus = build.sheet(
            {
                42: [(67, 30, 1), (69, 14, 2), (70, 2, 1)],
                20: [(60, 34, 4), (61, 12, 6), (63, -8, 4)],
                -5: [(54, 38, 5), (55, 14, 7), (56, -10, 5)],
                -40: [(48, 34, 5), (48, 10, 7), (45, -14, 5)],
            },
            side,
        )
        rectus = build.sheet(
            {
                170: [(7, -88, 3), (30, -89, 5), (58, -82, 3)],
                40: [(6, -82, 3), (24, -83, 6), (46, -77, 3)],
                -8: [(5, -60, 3), (12, -61, 5), (22, -58, 3)],
            },
            side,
        )
        obliques = build.sheet(
            {
                170: [(62, -81, 3), (104, -50, 9), (120, -6, 10), (108, 40, 7)],
                105: [(60, -81, 3), (100, -62, 6), (120, -40, 6), (126, -16, 3)],
                60: [(52, -78, 2), (82, -70, 3), (108, -56, 3), (116, -46, 2)],
                25: [(40, -76, 1), (60, -70, 2), (80, -64, 2), (90, -58, 1)],
            },
            side,
        )
        erector_spinae = build.sheet(
            {
                170: [(13, 92, 10), (34, 88, 19), (56, 78, 12)],
                125: [(12, 98, 9), (30, 94, 17), (48, 86, 8)],
                95: [(9, 102, 6), (22, 100, 11), (34, 98, 6)],
                58: [(6, 104, 2), (10, 105, 3), (15, 106, 2)],
            },
            side,
        )
        shapes += [gluteus_maximus, gluteus_medius, iliacus, obturator_internus, rectus, obliques, erector_spinae]
        psoas: Points = [(38, 30, 175), (49, 14, 110), (61, -7, 70), (73, -31, 28), (82, -38, 0), (94, -14, -45)]
        shapes += build.tube(psoas, (17, 17, 15, 13, 12, 13), side)
        shapes += build.tube([(26, 78, 55), (60, 62, 35), (96, 40, 20)], (7, 9, 6), side)  # piriformis
        shapes += build.tube([(121, -48, 75), (116, -58, 20), (100, -66, -55)], (3, 7, 8), side)  # sartorius
        thigh_front = build.sheet(
            {
                60: [(126, -42, 1), (130, -36, 3), (132, -30, 1)],
                15: [(108, -38, 4), (124, -44, 7), (137, -26, 3)],
                -20: [(104, -44, 8), (120, -44, 11), (138, -18, 9)],
                -60: [(100, -44, 14), (122, -40, 17), (136, -4, 18)],
            },
            side,
        )
        adductors = build.sheet(
            {
                -8: [(16, -52, 1), (22, -50, 2), (30, -46, 1)],
                -28: [(18, -40, 7), (34, -34, 10), (58, -26, 8)],
                -60: [(26, -22, 17), (46, -14, 20), (74, -18, 16)],
            },
            side,
        )
        shapes += [thigh_front, adductors]
        shapes += build.tube([(40, -42, 2), (62, -34, -25), (84, -22, -50)], (5, 12, 14), side)  # pectineus
        shapes += build.tube([(44, 4, -20), (64, 10, -24), (98, 22, -20)], (9, 11, 6), side)  # obturator externus
        shapes += build.tube([(66, 42, -30), (116, 26, -36)], (8, 8), side)  # quadratus femoris
        shapes.append(
            build.sheet(
                {
                    0: [(47, 24, 1), (40, 34, 1), (28, 44, 1)],
                    -45: [(36, 12, 2), (20, 34, 3), (8, 48, 3)],
                },
                side,
            )  # levator ani
        )
    return [Structure("muscle", tuple(shapes), wobble_mm=1.2)]


def _bones(build: _Builder) -> list[Structure]:
    bones: list[Shape] = []
    joints: list[Shape] = []
    femurs: list[Shape] = []
    for side in SIDES:
        sign = -1 if side == "right" else 1
        bones.append(
            build.sheet(
                {
                    136: [(70, 60, 2), (88, 42, 5), (104, 20, 5), (116, -6, 2)],
                    100: [(55, 86, 5), (68, 60, 7), (96, 20, 3.5), (123, -28, 5)],
                    72: [(57, 86, 7), (66, 58, 9), (92, 12, 5), (117, -42, 5)],
                    42: [(66, 46, 6), (74, 28, 10), (85, 0, 10), (104, -34, 5)],
                    18: [(70, 30, 8), (76, 14, 11), (83, -2, 11), (88, -18, 7)],
                },
                side,
            )  # ilium
        )
        bones += build.tube([(74, 24, 14), (68, 34, -14), (62, 40, -50)], (12, 11, 14), side)  # ischium
        bones += build.tube(
            [(74, -16, 14), (46, -38, 3), (16, -48, -10), (9, -49, -24)], (10, 6.5, 8, 7), side
        )  # pubis
        bones += build.tube([(10, -46, -26), (24, -34, -44)], (6, 6), side)
        head = (sign * 89.0, 0.0, 0.0)
        bones.append(build.ball((sign * 80.0, 4.0, 3.0), (20, 30, 27)))  # acetabulum
        hip = build.ball(head, (24, 24, 24))
        joints.append(Ellipsoid(hip.centre_mm, (27, 27, 27)))
        femurs.append(hip)
        femurs += build.tube([(90, 0, 0), (116, 12, -18), (130, 16, -26)], (17, 14, 16), side)
        femurs += build.tube([(132, 20, -6), (130, 16, -50)], (11, 17), side)
    sacrum = build.sheet(
        {
            104: [(-46, 66, 5), (-26, 56, 10), (0, 48, 16), (26, 56, 10), (46, 66, 5)],
            80: [(-46, 74, 9), (-26, 66, 13), (0, 60, 16), (26, 66, 13), (46, 74, 9)],
            55: [(-38, 86, 6), (-20, 81, 10), (0, 78, 12), (20, 81, 10), (38, 86, 6)],
            30: [(-24, 91, 4), (-12, 89, 8), (0, 88, 9), (12, 89, 8), (24, 91, 4)],
            10: [(-12, 87, 2), (-6, 86, 5), (0, 86, 6), (6, 86, 5), (12, 87, 2)],
            -12: [(-4, 76, 1), (-2, 76, 2), (0, 76, 2), (2, 76, 2), (4, 76, 1)],
        },
        None,
    )
    fifth = build.sheet({112: [(-12, 39, 14), (12, 39, 14)], 138: [(-12, 36, 14), (12, 36, 14)]}, None)
    fourth = build.sheet({147: [(-11, 36, 14), (11, 36, 14)], 175: [(-11, 36, 14), (11, 36, 14)]}, None)
    discs = [
        build.sheet({104: [(-11, 44, 13), (11, 44, 13)], 112: [(-11, 40, 13), (11, 40, 13)]}, None),
        build.sheet({138: [(-11, 36, 13), (11, 36, 13)], 147: [(-11, 36, 13), (11, 36, 13)]}, None),
    ]
    arches = (
        *build.tube([(0, 82, 122), (0, 100, 116)], (4, 5), None),
        *build.tube(
            [(-18, 66, 120), (-12, 74, 118), (0, 82, 118), (12, 74, 118), (18, 66, 120)], (7, 4, 4, 4, 7), None
        ),
        *build.tube([(-44, 58, 128), (-20, 56, 126), (20, 56, 126), (44, 58, 128)], (3, 5, 5, 3), None),
        *build.tube([(0, 84, 152), (0, 98, 146)], (4, 5), None),
        *build.tube([(0, 92, 95), (0, 100, 60)], (5, 3), None),
    )
    canal = build.tube([(0, 64, 175), (0, 67, 115), (0, 78, 85), (0, 88, 60)], (9, 9, 7, 3), None)
    bones += [sacrum, fifth, fourth, *arches]
    return [
        Structure("cartilage", tuple(discs), wobble_mm=0.3),
        Structure("cortical_bone", tuple(bones), wobble_mm=0.7),
        Structure("marrow", tuple(bones), inset_mm=CORTEX_MM, wobble_mm=1.0),
        Structure("canal", canal, wobble_mm=0.3),
        Structure("cartilage", tuple(joints), wobble_mm=0.3),
        Structure("cortical_bone", tuple(femurs), wobble_mm=0.3),
        Structure("marrow", tuple(femurs), inset_mm=CORTEX_MM, wobble_mm=0.5),
    ]


def _gut(build: _Builder) -> list[Structure]:
    rectum: Points = [(0, 62, -45), (0, 52, -14), (0, 54, 18), (-4, 44, 48), (2, 26, 72)]
    sigmoid: Points = [(2, 26, 72), (28, -6, 84), (20, -38, 78), (58, -52, 88), (86, -44, 118), (98, -18, 175)]
    colon = (
        *build.tube(rectum, (10, 16, 18, 15, 13), None),
        *build.tube(sigmoid, (13, 13, 12, 13, 14, 15), None),
        *build.tube([(-74, -46, 76), (-88, -38, 105), (-96, -22, 175)], (20, 25, 23), None),  # caecum
    )
    loops: list[Shape] = []
    gas: list[Shape] = []
    for _ in range(int(build.rng.integers(13, 19))):
        x, y, z = build.rng.uniform([-60, -68, 68], [60, -10, 156])
        turn = build.rng.uniform(0, 2 * np.pi)
        bow = np.array([np.cos(turn), 0.5 * np.sin(turn), 0.5 * build.rng.normal()])
        middle = np.array([x, y, z])
        ends = [middle - 26 * bow, middle + build.rng.normal(scale=7, size=3), middle + 26 * bow]
        radius = build.rng.uniform(9, 13)
        loops += build.tube(np.clip(ends, [-72, -72, 66], [72, -4, 178]), (radius, radius, radius), None)
        if build.rng.random() < 0.35:
            gas.append(Ellipsoid((x, y - 0.35 * radius, z), (0.7 * radius, 0.45 * radius, 0.7 * radius)))
    for segment in colon:
        low, high = segment.box_mm
        reach = 0.3 * float((high - low).min())
        x, y, z = ((low + high) / 2).tolist()
        if build.rng.random() < 0.6:
            part = build.rng.uniform(0.5, 0.9)
            gas.append(Ellipsoid((x, y - 0.3 * reach, z), (part * reach, 0.6 * part * reach, 1.2 * part * reach)))
    return [
        Structure("bowel_wall", tuple(loops), wobble_mm=1.5),
        Structure("faeces", tuple(loops), inset_mm=2.2, wobble_mm=1.5),
        Structure("bowel_wall", colon, wobble_mm=1.2),
        Structure("faeces", colon, inset_mm=2.8, wobble_mm=1.2),
        Structure("gas", tuple(gas), wobble_mm=1.2),
    ]


def _urogenital(build: _Builder, sex: Sex, tumour_side: Side) -> list[Structure]:
    rng = build.rng
    fill = float(rng.uniform(0.75, 1.05))
    bladder = build.ball((0, -22, 16), (42 * fill, 29 * fill, 27 * fill))
    glands = [build.ball((0, 2, -26), (23, 17, 15)), build.ball((0, 18, -4), (24, 6, 7))]  # prostate, seminal vesicles
    if sex == "female":
        glands = [build.ball((float(rng.normal(scale=8)), 20, 42), (25, 18, 20)), build.ball((0, 22, 0), (14, 8, 26))]
    sign = 1 if tumour_side == "left" else -1
    polar, azimuth = rng.uniform(-0.5, 0.5), rng.uniform(-0.7, 0.9)
    direction = np.array([sign * np.cos(azimuth) * np.cos(polar), np.sin(azimuth) * np.cos(polar), np.sin(polar)])
    x, y, z = (np.array(bladder.centre_mm) + 0.88 * direction * np.array(bladder.semi_axes_mm)).tolist()
    radius = float(rng.uniform(7, 15))
    tumour = Ellipsoid(
        (x, y, z), (radius, radius * float(rng.uniform(0.8, 1.2)), radius * float(rng.uniform(0.8, 1.2)))
    )
    return [
        Structure("gland", tuple(glands), wobble_mm=1.0),
        Structure("bladder_wall", (bladder,), wobble_mm=1.0),
        Structure("urine", (bladder,), inset_mm=float(rng.uniform(3, 5)), wobble_mm=1.0),
        Structure("tumour", (tumour,), wobble_mm=1.5),
    ]


def _vessel_paths(build: _Builder, side: Side) -> dict[str, Floats]:
    """Centre lines (n, 3) of one side's vessels and of the chains of nodes along them."""
    fork_y = 10.0
    origin = {"left": [(4, 11, 146), (18, 8, 126)], "right": [(0, 11, 146), (20, 9, 124)]}[side]
    confluence = {"left": [(-10, 15, 136), (10, 15, 124)], "right": [(12, 16, 136), (20, 18, 116)]}[side]
    common_artery: Points = [*origin, (28, fork_y, 106), (37, 13, 90)]
    common_vein: Points = [*confluence, (28, 20, 106), (38, 25, 90)]
    artery, vein = build.points(common_artery, side), build.points(common_vein, side)
    external: Points = [(42, -6, 70), (50, -25, 48), (58, -40, 25), (64, -49, 5), (67, -53, -45)]
    external_vein: Points = [(44, 10, 70), (46, -12, 48), (54, -28, 25), (54, -43, 3), (56, -46, -45)]
    internal: Points = [(41, 27, 76), (44, 39, 58), (50, 48, 40), (54, 52, 22)]
    internal_vein: Points = [(40, 34, 76), (42, 46, 58), (46, 54, 40), (50, 57, 22)]
    return {
        "common artery": artery,
        "common vein": vein,
        "external artery": np.vstack([artery[-1:], build.points(external, side)]),
        "external vein": np.vstack([vein[-1:], build.points(external_vein, side)]),
        "internal artery": np.vstack([artery[-1:], build.points(internal, side)]),
        "internal vein": np.vstack([vein[-1:], build.points(internal_vein, side)]),
        "obturator artery": build.points([(43, 33, 64), (49, 12, 38), (51, -8, 16), (50, -14, -2)], side),
        "gluteal artery": build.points([(44, 39, 58), (60, 54, 50), (80, 58, 44)], side),
        "vesical artery": build.points([(43, 34, 60), (42, 14, 34), (34, 0, 18)], side),
        "obturator nodes": build.points([(50, 12, 44), (49, 0, 30), (47, -14, 15), (44, -20, 2)], side),
        "presacral nodes": build.points([(13, 33, 92), (13, 45, 75), (12, 58, 55), (11, 70, 35)], side),
    }


def _vessels(build: _Builder, paths: Mapping[Side, dict[str, Floats]]) -> tuple[Structure, ...]:
    width = float(build.rng.normal(1.0, 0.1))

    def tubes(*lines: tuple[str, float]) -> tuple[Shape, ...]:
        return tuple(
            segment
            for name, radius in lines
            for side in SIDES
            for segment in build.tube(paths[side][name], [width * radius] * len(paths[side][name]), side)
        )

    inferior_cava = build.tube([(-12, 15, 136), (-15, 16, 175)], (9, 10), None)
    aorta = build.tube([(2, 10, 145), (3, 10, 175)], (8, 8), None)
    veins = tubes(("common vein", 6.0), ("external vein", 5.3), ("internal vein", 3.3))
    arteries = tubes(("common artery", 4.8), ("external artery", 4.0), ("internal artery", 2.8))
    branches = tubes(("obturator artery", 1.2), ("gluteal artery", 1.9), ("vesical artery", 1.1))
    return (Structure("vein", (*inferior_cava, *veins)), Structure("artery", (*aorta, *arteries, *branches)))
