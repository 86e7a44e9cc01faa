"""A thorax from the lower neck to the upper abdomen, every organ labelled as TotalSegmentator names it.

Organs are painted over one another as simple shapes in the frame of an average thorax, whose origin is the carina (x to
the left, y to the back, z to the head), and then bent into a patient: scaled, and warped by a smooth random field, so
that neighbours stay neighbours. It is a schema of the anatomy, not a segmentation of anyone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.anatomy import TOTAL_CLASSES, Organs
from preop.imaging import Geometry, Image, resample_like
from preop.simulation import Ellipsoid, Segment, Shape, coordinates, random_field, sample_aligned

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.uint8]
Points = Sequence[tuple[float, float, float]]

SIDES = (("right", -1.0), ("left", 1.0))
INDICES = MappingProxyType(
    {
        **TOTAL_CLASSES,
        "spleen": 1,
        "kidney_right": 2,
        "kidney_left": 3,
        "liver": 5,
        "stomach": 6,
        "adrenal_gland_right": 8,
        "adrenal_gland_left": 9,
        "thyroid_gland": 17,
        **{f"vertebrae_L{6 - number}": 26 + number for number in range(3, 6)},
        "vertebrae_C6": 45,
        "vertebrae_C5": 46,
        "subclavian_artery_right": 55,
        "subclavian_artery_left": 56,
        "common_carotid_artery_right": 57,
        "inferior_vena_cava": 63,
        "humerus_left": 69,
        "humerus_right": 70,
        "scapula_left": 71,
        "scapula_right": 72,
        "autochthon_left": 86,
        "autochthon_right": 87,
        **{f"rib_left_{number}": 91 + number for number in range(1, 13)},
        **{f"rib_right_{number}": 103 + number for number in range(1, 13)},
        "costal_cartilages": 117,
    }
)
"""Label of every organ that is drawn: TotalSegmentator's task ``total``."""

AIR, FAT, MUSCLE, VEIN, AIRWAY = 0, 201, 202, 203, 204
"""Tissues beside the labelled organs: what surrounds them, veins and bronchi that have no label."""

SPACING_MM = 2.0
FRAME_LOW_MM, FRAME_HIGH_MM = (-186.0, -142.0, -236.0), (186.0, 132.0, 146.0)

_BONES = ("rib_", "vertebrae_", "sternum", "clavicula", "scapula", "humerus", "costal")
NECK_ABOVE_LUNGS_MM, ABDOMEN_BELOW_LUNGS_MM = 60.0, 30.0

# How patients differ (standard deviations): lengths along x, y, z, the warp that bends them, and places of parts.
SCALE = (0.05, 0.06, 0.05)
WARP_MM, WARP_CORRELATION_MM = 3.0, (110.0, 80.0, 80.0)
PART_MM = 0.8


@dataclass(frozen=True, eq=False)
class Body:
    """A patient's organs, and what lies around them.

    Attributes
    ----------
    organs
        Labelled organs on a grid of 2 mm along the patient's axes.
    tissue
        The same with the codes of the tissues beside the organs (uint8).
    """

    organs: Organs
    tissue: Image

    @classmethod
    def of_tissue(cls, tissue: Image) -> Body:
        """Take the codes of unlabelled tissue out of a label map."""
        labels = np.where(tissue.voxels > max(INDICES.values()), 0, tissue.voxels).astype(np.uint8)
        return cls(Organs(tissue.with_voxels(labels), INDICES), tissue)


def random_body(rng: np.random.Generator) -> Body:
    """Draw a patient's thorax, anywhere in the scanner's world."""
    bent = _bent(rng, _paint(rng))
    x, y, z = (
        np.array(bent.geometry.origin_mm) + np.round(rng.uniform((-20, -180, -900), (20, -80, -300)), 1)
    ).tolist()
    return Body.of_tissue(Image(bent.voxels, replace(bent.geometry, origin_mm=(x, y, z))))


def body_around(organs: Organs) -> Body:
    """Lay flesh around given organs, of which only the chest is kept; all that is not labelled is made up.

    Parameters
    ----------
    organs
        Labelled as TotalSegmentator does, from the neck to the upper abdomen at least.
    """
    from scipy import ndimage

    labels = _on_chest_grid(organs)
    coarse = labels.voxels[::2, ::2, ::2] != 0
    # Between the organs of a slice nothing is further than 5 cm from two of them, so a closing fills the trunk.
    wide = np.pad(coarse, ((0, 0), (16, 16), (16, 16)))
    closed = ~_widened(~_widened(wide, 14), 14)[:, 16:-16, 16:-16]
    filled = np.stack([ndimage.binary_fill_holes(each) for each in closed | coarse])
    trunk = ndimage.gaussian_filter(filled.astype(np.float32), (1, 3, 3)) > 0.4
    bones = np.isin(labels.voxels[::2, ::2, ::2], [INDICES[name] for name in INDICES if name.startswith(_BONES)])
    tissue = np.full(coarse.shape, AIR, dtype=np.uint8)
    tissue[ndimage.gaussian_filter(_widened(filled, 2).astype(np.float32), (1, 3, 3)) > 0.2] = FAT
    tissue[_widened(bones, 3) & trunk] = MUSCLE
    whole = tissue.repeat(2, 0).repeat(2, 1).repeat(2, 2)[tuple(slice(0, size) for size in labels.shape)]
    return Body.of_tissue(labels.with_voxels(np.where(labels.voxels > 0, labels.voxels, whole).astype(np.uint8)))


def _on_chest_grid(organs: Organs) -> Image:
    """Bring labels to 2 mm along the patient's axes, from below the lungs to the neck; other organs are left out."""
    geometry = organs.labels.geometry
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in geometry.shape])).reshape(3, -1).T
    world = geometry.world_mm(corners)
    low, high = world.min(axis=0), world.max(axis=0)
    lungs = geometry.world_mm(np.argwhere(organs.mask(*(name for name in INDICES if name.startswith("lung_")))))
    low[2] = max(low[2], lungs[:, 2].min() - ABDOMEN_BELOW_LUNGS_MM)
    high[2] = min(high[2], lungs[:, 2].max() + NECK_ABOVE_LUNGS_MM)
    shape = np.floor((high - low)[::-1] / SPACING_MM).astype(int) + 1
    x, y, z = low.tolist()
    grid = Geometry.axis_aligned(tuple(shape.tolist()), (SPACING_MM,) * 3, (x, y, z))
    labels = resample_like(organs.labels, grid, interpolation="nearest", outside=0)
    # Labels that are TotalSegmentator's hold organs that the given names may leave out.
    names = {name: index for name, index in organs.indices.items() if name in INDICES}
    if all(INDICES[name] == index for name, index in names.items()):
        names = dict(INDICES)
    named = np.zeros(max(256, int(labels.voxels.max()) + 1), dtype=np.uint8)
    for name, index in names.items():
        named[index] = INDICES[name]
    return labels.with_voxels(named[labels.voxels])


def _widened(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Widen a mask by so many voxels in each slice."""
    from scipy import ndimage

    size = (1, 2 * radius + 1, 2 * radius + 1)
    return np.asarray(ndimage.maximum_filter(mask.astype(np.uint8), size=size) > 0)


# --- the average thorax -----------------------------------------------------------------------------------------------


class _Canvas:
    """Labels of the average thorax, painted shape over shape."""

    def __init__(self, rng: np.random.Generator) -> None:
        low, high = np.array(FRAME_LOW_MM), np.array(FRAME_HIGH_MM)
        shape = np.rint((high - low)[::-1] / SPACING_MM).astype(int) + 1
        self.rng = rng
        self.grid = Geometry.axis_aligned(tuple(shape.tolist()), (SPACING_MM,) * 3, FRAME_LOW_MM)
        self.x, self.y, self.z = coordinates(self.grid)
        self.labels: Labels = np.zeros(self.grid.shape, dtype=np.uint8)

    def shape(self, label: int, shape: Shape, inside: NDArray[np.bool_] | None = None) -> None:
        """Paint a shape; with ``inside`` only there."""
        box = self._box(shape)
        if any(part.start >= part.stop for part in box):
            return
        k, j, i = box
        covered = shape.distance_mm(self.x[:, :, i], self.y[:, j], self.z[k]) < 0
        if inside is not None:
            covered &= inside[box]
        self.labels[box][covered] = label

    def ball(
        self,
        name: str,
        centre_mm: tuple[float, float, float],
        semi_axes_mm: tuple[float, float, float],
        inside: NDArray[np.bool_] | None = None,
    ) -> None:
        """Paint an ellipsoid."""
        self.shape(INDICES[name], Ellipsoid(centre_mm, semi_axes_mm), inside)

    def tube(self, label: str | int, points: Points, radius_mm: float, end_mm: float | None = None) -> None:
        """Paint a tube along points, each of which varies from patient to patient."""
        code = INDICES[label] if isinstance(label, str) else label
        path = np.array(points, dtype=float)
        path += self.rng.normal(0, PART_MM, path.shape)
        radii = np.linspace(radius_mm, radius_mm if end_mm is None else end_mm, len(path)).tolist()
        for ends, pair in zip(pairwise(path), pairwise(radii), strict=True):
            self.shape(code, Segment(np.array(ends), pair))

    def _box(self, shape: Shape) -> tuple[slice, slice, slice]:
        low, high = shape.box_mm
        first, last = self.grid.index_zyx(np.array([low, high]))
        k, j, i = (
            slice(max(int(np.floor(a)), 0), min(int(np.ceil(b)) + 1, size))
            for a, b, size in zip(first, last, self.grid.shape, strict=True)
        )
        return k, j, i


@dataclass(frozen=True)
class _Build:
    """What a patient's thorax is like beside its size: lengths in mm, or factors."""

    fat: float
    diaphragm: float
    heart: float
    aorta: float
    arch: float
    vertebrae: float
    fissure: float
    vein: float
    trachea_top: float

    @classmethod
    def random(cls, rng: np.random.Generator) -> _Build:
        return cls(
            fat=float(rng.uniform(6, 26)),
            diaphragm=float(rng.normal(0, 8)),
            heart=float(np.clip(rng.normal(1, 0.06), 0.88, 1.14)),
            aorta=float(np.clip(rng.normal(1, 0.07), 0.85, 1.15)),
            arch=float(np.clip(rng.normal(0, 3), -5, 6)),
            vertebrae=float(rng.normal(0, 7)),
            fissure=float(rng.normal(0, 5)),
            vein=float(np.clip(rng.normal(0, 5), -8, 12)),
            trachea_top=float(rng.uniform(106, 118)),
        )


def _paint(rng: np.random.Generator) -> Image:
    """Paint the average thorax of one build."""
    build = _Build.random(rng)
    canvas = _Canvas(rng)
    cage = _trunk(canvas, build)
    lungs = _lungs(canvas, build, cage)
    _abdomen(canvas, build, cage & ~lungs)
    _spine(canvas, build)
    _bones(canvas)
    _neck(canvas, build)
    _oesophagus(canvas)
    _heart_and_lung_vessels(canvas, build)
    _great_vessels(canvas, build)
    _airway(canvas, build)
    return Image(canvas.labels, canvas.grid)


# Half widths of the cage, its front and back: (z, half width, front, back); the lungs fill it to their apices.
_CAGE = np.array(
    [
        (-236, 140, -108, 76),
        (-180, 141, -112, 78),
        (-140, 141, -110, 82),
        (-100, 137, -106, 86),
        (-60, 129, -104, 87),
        (-20, 124, -95, 84),
        (0, 119, -88, 76),
        (20, 114, -83, 69),
        (40, 103, -71, 63),
        (60, 87, -48, 55),
        (80, 69, -25, 44),
        (96, 46, -8, 28),
        (105, 12, 0, 15),
    ],
    dtype=float,
)
_CAGE_POWER = 2.4
_CAGE_X = 3.0
# Outline of the body with raised arms: (z, half width, front, back).
_TRUNK = np.array(
    [
        (-236, 148, -118, 96),
        (-100, 152, -118, 106),
        (-20, 158, -112, 110),
        (40, 160, -96, 108),
        (75, 150, -78, 98),
        (100, 108, -72, 84),
        (118, 78, -68, 70),
        (146, 66, -68, 60),
    ],
    dtype=float,
)
# Where the mediastinum ends beside the middle: half widths to the right and the left by height (rows) and depth (columns).
_DEPTHS = (-100.0, -80.0, -60.0, -35.0, -10.0, 5.0, 20.0, 45.0, 70.0)
_HEIGHTS = (-180.0, -120.0, -80.0, -40.0, -15.0, 5.0, 30.0, 60.0, 80.0, 105.0)
_RIGHT = np.array(
    [
        (8, 14, 34, 36, 32, 20, 14, 22, 34),
        (8, 14, 36, 38, 32, 18, 10, 20, 34),
        (6, 12, 34, 40, 36, 20, 8, 20, 34),
        (4, 8, 24, 38, 42, 34, 14, 20, 34),
        (4, 7, 22, 38, 42, 36, 18, 20, 34),
        (4, 6, 20, 34, 32, 24, 14, 20, 34),
        (4, 6, 18, 34, 30, 20, 12, 20, 34),
        (6, 8, 18, 30, 26, 18, 14, 22, 36),
        (10, 14, 22, 32, 26, 20, 18, 26, 40),
        (14, 18, 26, 34, 28, 22, 22, 30, 44),
    ],
    dtype=float,
)
_LEFT = np.array(
    [
        (20, 40, 50, 42, 26, 24, 26, 26, 36),
        (24, 46, 60, 52, 30, 24, 26, 26, 36),
        (20, 44, 68, 66, 44, 26, 30, 28, 36),
        (6, 20, 44, 54, 52, 38, 34, 28, 36),
        (4, 10, 34, 54, 56, 46, 38, 28, 36),
        (4, 8, 28, 48, 54, 48, 38, 28, 36),
        (4, 6, 24, 42, 48, 44, 38, 28, 36),
        (6, 10, 24, 42, 42, 34, 26, 26, 38),
        (10, 14, 26, 44, 44, 36, 26, 28, 42),
        (14, 18, 28, 40, 40, 34, 28, 32, 46),
    ],
    dtype=float,
)


def _superellipse(canvas: _Canvas, table: Floats, power: float, inset_mm: float = 0.0) -> NDArray[np.bool_]:
    """Inside of a superellipse in each slice, from (z, half width, front, back)."""
    a, front, back = (np.interp(canvas.z, table[:, 0], table[:, column]) for column in (1, 2, 3))
    a, b = np.maximum(a - inset_mm, 1).astype(np.float32), np.maximum((back - front) / 2 - inset_mm, 1)
    middle = ((front + back) / 2).astype(np.float32)
    along_x = np.abs((canvas.x - np.float32(_CAGE_X)) / a) ** np.float32(power)
    along_y = np.abs((canvas.y - middle) / b.astype(np.float32)) ** np.float32(power)
    return np.asarray((along_x + along_y < 1) & (canvas.z <= table[-1, 0]))


def _trunk(canvas: _Canvas, build: _Build) -> NDArray[np.bool_]:
    """Paint skin and fat, the muscles of the wall, and fat within; give the inside of the cage."""
    canvas.labels[_superellipse(canvas, _TRUNK, 2.6, inset_mm=-build.fat)] = FAT
    canvas.labels[_superellipse(canvas, _TRUNK, 2.6)] = MUSCLE
    cage = _superellipse(canvas, _CAGE, _CAGE_POWER)
    canvas.labels[cage] = FAT
    return cage


def _lungs(canvas: _Canvas, build: _Build, cage: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Paint the lobes: the cage above the diaphragm and beside the mediastinum, parted by fissures."""
    x, y, z = canvas.x, canvas.y, canvas.z
    whole = np.zeros(canvas.grid.shape, dtype=bool)
    for (side, sign), widths, dome in zip(SIDES, (_RIGHT, _LEFT), (-96.0, -112.0), strict=True):
        edge = _table(canvas, widths)
        outward = np.float32(sign) * x
        across, along = (x - np.float32(sign * 72)) / np.float32(75), (y + np.float32(28)) / np.float32(72)
        diaphragm = np.float32(dome + build.diaphragm) - 48 * (across**2 + along**2)
        lung = cage & (outward > edge) & (z > diaphragm)
        whole |= lung
        if side == "right":
            behind = y > np.float32(30 + build.fissure) + np.float32(0.95) * z
            middle = ~behind & (z < np.float32(-30 + build.fissure) - np.float32(0.1) * (y + 40))
            canvas.labels[lung] = INDICES["lung_upper_lobe_right"]
            canvas.labels[lung & middle] = INDICES["lung_middle_lobe_right"]
            canvas.labels[lung & behind] = INDICES["lung_lower_lobe_right"]
        else:
            behind = y > np.float32(21 + build.fissure) + np.float32(0.76) * z
            canvas.labels[lung] = INDICES["lung_upper_lobe_left"]
            canvas.labels[lung & behind] = INDICES["lung_lower_lobe_left"]
    return whole


def _table(canvas: _Canvas, widths: Floats) -> Floats:
    """Interpolate half widths over height and depth: (z, y, 1)."""
    by_depth = np.array([np.interp(canvas.y.ravel(), _DEPTHS, row) for row in widths])
    by_height = np.array([np.interp(canvas.z.ravel(), _HEIGHTS, column) for column in by_depth.T])
    return by_height.T[:, :, None].astype(np.float32)


def _abdomen(canvas: _Canvas, build: _Build, below: NDArray[np.bool_]) -> None:
    """Paint what lies under the diaphragm; each organ stays within the wall and out of the lungs."""
    down = build.diaphragm
    below = below & (canvas.z < np.float32(-90 + down))
    canvas.ball("stomach", (52, -44, -166 + down), (52, 48, 44), below)
    canvas.ball("liver", (-66, -30, -178 + down), (92, 100, 96), below & (canvas.x < 25))
    canvas.ball("liver", (8, -62, -156 + down), (58, 44, 40), below & (canvas.x < 45))
    canvas.ball("spleen", (102, 34, -168 + down), (34, 40, 46), below)
    for side, sign in SIDES:
        canvas.ball(f"kidney_{side}", (sign * 62, 28, -232 + down), (28, 26, 46), below)
        canvas.tube(f"adrenal_gland_{side}", [(sign * 36, 14, -192), (sign * 33, 2, -178 + down / 2)], 4.0)
    canvas.tube("inferior_vena_cava", [(-22, -8, -240), (-22, -16, -150), (-20, -22, -92)], 11)


# Middle of the spinal cord by height, and the top of each vertebra from C5 down.
_CORD = np.array(
    [
        *[(-236, 49), (-200, 53), (-160, 59), (-120, 64), (-100, 66), (-60, 66), (-20, 62), (0, 58), (20, 52)],
        *[(40, 46), (60, 39), (80, 31), (100, 22), (120, 14), (146, 8)],
    ],
    dtype=float,
)
_VERTEBRAE = ("C5", "C6", "C7", *(f"T{number}" for number in range(1, 13)), "L1", "L2", "L3")
_TOPS = (152, 136, 120, 104, 87, 69, 50, 30, 10, -11, -32, -54, -77, -101, -126, -152, -180, -208, -240)
_DISC_MM = 4.0


def _spine(canvas: _Canvas, build: _Build) -> None:
    """Paint the muscles of the back, the vertebrae between discs, and the cord in its canal."""
    z = canvas.z.ravel()
    cord = np.interp(canvas.z, _CORD[:, 0], _CORD[:, 1]).astype(np.float32)
    # With the carina at another vertebra the spine keeps its curve.
    tops = np.array(_TOPS) + build.vertebrae
    number = np.clip(np.searchsorted(-tops, -z) - 1, 0, len(_VERTEBRAE) - 1)
    bone = tops[number] - z > _DISC_MM
    names = np.array([INDICES[f"vertebrae_{name}"] for name in _VERTEBRAE], dtype=np.uint8)
    label = names[number][:, None, None]
    dx, dy = canvas.x - np.float32(_CAGE_X), canvas.y - cord
    for side, sign in SIDES:
        muscle = ((canvas.x - np.float32(_CAGE_X + sign * 28)) / 26) ** 2 + ((dy - 24) / 16) ** 2 < 1
        canvas.labels[muscle] = INDICES[f"autochthon_{side}"]
    size = np.interp(canvas.z, (-236, 0, 110), (1.25, 1.0, 0.8)).astype(np.float32)
    body = (dx / (16 * size)) ** 2 + ((dy + 5 + 17 * size) / (15 * size)) ** 2 < 1
    arch = (np.abs(dx) < 13) & (dy > -9) & (dy < 11)
    spinous = (np.abs(dx) < 4) & (dy >= 9) & (dy < 30)
    transverse = (np.abs(dx) < 30) & (np.abs(dy - 4) < 5)
    upper_half = (tops[number] - z < 14)[:, None, None]
    whole = (body | ((arch | spinous | transverse) & upper_half)) & bone[:, None, None]
    canvas.labels[whole] = np.broadcast_to(label, whole.shape)[whole]
    canal = dx**2 + dy**2
    canvas.labels[canal < 81] = FAT
    canvas.labels[canal < 30] = INDICES["spinal_cord"]


def _bones(canvas: _Canvas) -> None:
    """Paint ribs with their cartilages, sternum, clavicles, shoulder blades and the heads of the humeri."""
    sternum = [(3, -108, -84), (3, -107, -55), (4, -101, -20), (5, -91, 10), (5, -78, 38)]
    canvas.tube("sternum", sternum, 6, 9)
    for x in (-14, -5, 5, 14):
        canvas.tube("sternum", [(4 + x / 2, -88, 14), (4 + x, -75, 42), (4 + 1.3 * x, -61, 64)], 6)
    for side, sign in SIDES:
        first = [(22, 14, 102), (44, 10, 99), (58, -12, 90), (52, -40, 76), (32, -58, 62)]
        canvas.tube(f"rib_{side}_1", [(sign * x + _CAGE_X, y, z) for x, y, z in first], 5)
        for number in range(2, 13):
            _rib(canvas, side, sign, number)
        canvas.tube(
            f"clavicula_{side}",
            [(sign * x + _CAGE_X, y, z) for x, y, z in ((16, -60, 69), (70, -46, 86), (122, 16, 104))],
            7,
        )
        for end in (-40, 0, 40):
            canvas.tube(f"scapula_{side}", [(sign * 118, 62, 78), (sign * (92 + abs(end) / 8), 96, end)], 8, 4)
        canvas.ball(f"humerus_{side}", (sign * 146, 20, 88), (22, 22, 26))


# Where a rib begins at the spine and ends in front, by number from 2.
_RIB_BACK = (98, 76, 54, 32, 8, -16, -42, -68, -94, -126, -160)
_RIB_FRONT = (36, 10, -24, -58, -92, -122, -150, -172, -200, -228, -230)


def _rib(canvas: _Canvas, side: str, sign: float, number: int) -> None:
    """Paint a rib around the cage, falling to the front; and the cartilage to the sternum."""
    back, front = _RIB_BACK[number - 2], _RIB_FRONT[number - 2]
    reach = 1.0 if number <= 9 else {10: 0.8, 11: 0.55, 12: 0.3}[number]
    share = np.linspace(0, reach, 10)
    z = back + (front - back) * share**1.1
    turn = np.radians(75 - 140 * share)  # from beside the spine around the side to the front
    a, y0, y1 = (np.interp(z, _CAGE[:, 0], _CAGE[:, column]) for column in (1, 2, 3))
    level = (np.abs(np.cos(turn)) ** _CAGE_POWER + np.abs(np.sin(turn)) ** _CAGE_POWER) ** (-1 / _CAGE_POWER)
    x = _CAGE_X + sign * ((a + 5) * level * np.cos(turn))
    y = (y0 + y1) / 2 + ((y1 - y0) / 2 + 5) * level * np.sin(turn)
    path = list(zip(x.tolist(), y.tolist(), z.tolist(), strict=True))
    canvas.tube(f"rib_{side}_{number}", path, 5)
    if number <= 7:
        height = 46 - 22 * (number - 2)
        depth = float(np.interp(height, (-84, -20, 10, 64), (-108, -101, -91, -61)))
        canvas.tube("costal_cartilages", [path[-1], (_CAGE_X + sign * 17, depth, max(height, -84))], 5)


def _neck(canvas: _Canvas, build: _Build) -> None:
    """Paint thyroid and the unlabelled veins from arms and neck."""
    for side, sign in SIDES:
        canvas.ball("thyroid_gland", (11 + sign * 16, -34, build.trachea_top - 10), (8, 9, 18))
        start = (-17, -28, 80) if side == "right" else (38, -28, 80)
        canvas.tube(VEIN, [start, (sign * 60, -32, 92), (sign * 118, -24, 96)], 5)
        canvas.tube(VEIN, [start, (11 + sign * 34, -32, 104), (11 + sign * 36, -30, 150)], 4.5)


def _oesophagus(canvas: _Canvas) -> None:
    path = [(24, -28, -146), (10, -20, -136), (8, -15, -118), (9, -8, -98), (8, 0, -80), (6, 6, -60), (6, 9, -35)]
    path += [(6, 10, 0), (8, 9, 20), (11, 4, 40), (13, -1, 60), (15, -5, 80), (15, -12, 100), (14, -20, 150)]
    canvas.tube("esophagus", path, 6.5)


def _heart_and_lung_vessels(canvas: _Canvas, build: _Build) -> None:
    """Paint the heart with the main pulmonary arteries, as TotalSegmentator labels it, and the pulmonary veins."""
    b = build.heart
    canvas.ball("heart", (24, -50, -74), (48 * b, 40 * b, 42 * b))
    canvas.ball("heart", (-14, -42, -66), (26 * b, 26 * b, 38))
    canvas.ball("heart", (6, -14, -56), (34, 15, 20))
    canvas.tube("heart", [(22, -62, -45), (22, -48, -14)], 14, 12)
    canvas.tube("heart", [(22, -46, -11), (34, -22, -5), (48, -6, -8)], 10, 7)
    canvas.tube("heart", [(18, -40, -15), (-8, -22, -17), (-36, -18, -20)], 10, 7)
    for points, radius in (
        ([(-22, -5, -54), (-48, 4, -62)], 6),
        ([(-22, -18, -40), (-50, -24, -26)], 6),
        ([(34, -6, -48), (54, 4, -56)], 6),
        ([(34, -18, -40), (54, -24, -26)], 6),
    ):
        canvas.tube("pulmonary_vein", points, radius, 4.5)


def _great_vessels(canvas: _Canvas, build: _Build) -> None:
    """Paint aorta with its arch and branches, and the veins to the heart."""
    up, a = build.arch, build.aorta
    arch = [(4, -40, -46), (-6, -44, -20), (-6, -43, 2), (0, -39, 18 + up), (10, -31, 26 + up), (20, -17, 29 + up)]
    canvas.tube("aorta", arch, 16 * a, 12.5 * a)
    descending = [(20, -17, 29 + up), (26, 0, 25 + up), (27, 12, 10 + up), (24, 19, -15), (19, 18, -60)]
    canvas.tube("aorta", [*descending, (13, 13, -100), (9, 6, -140), (7, -4, -190), (6, -8, -240)], 12 * a, 10 * a)
    top = 34 + up
    canvas.tube("brachiocephalic_trunk", [(4, -33, top), (3, -30, 60), (-6, -28, 82)], 6)
    canvas.tube("common_carotid_artery_right", [(-6, -28, 82), (-9, -30, 110), (-12, -30, 150)], 3.6)
    canvas.tube("subclavian_artery_right", [(-7, -27, 82), (-30, -16, 98), (-80, -18, 92)], 4.8)
    canvas.tube("common_carotid_artery_left", [(15, -24, top), (20, -23, 62), (28, -23, 84), (33, -26, 150)], 4)
    canvas.tube(
        "subclavian_artery_left", [(24, -12, top), (30, -9, 62), (40, -14, 88), (70, -20, 97), (108, -22, 92)], 5
    )
    vein = build.vein
    left = [(38, -28, 82), (22, -38, 64 + vein / 2), (2, -42, 51 + vein), (-15, -33, 40 + vein / 2)]
    canvas.tube("brachiocephalic_vein_left", left, 6.5)
    join = 39 + vein / 2
    canvas.tube("brachiocephalic_vein_right", [(-17, -29, join), (-18, -28, 82)], 6.5)
    canvas.tube("superior_vena_cava", [(-22, -30, -40), (-21, -26, 0), (-18, -27, join)], 9)
    azygos = [(-4, 25, -180), (-3, 26, -60), (-5, 20, 0), (-10, 15, 14), (-20, 0, 18), (-20, -22, 14)]
    canvas.tube(VEIN, azygos, 4)


def _airway(canvas: _Canvas, build: _Build) -> None:
    """Paint trachea and main bronchi, which have a label, and the airway beyond both ends, which has none."""
    top = build.trachea_top
    canvas.tube(AIRWAY, [(12, -31, top), (12, -32, top + 8), (12, -32, 150)], 5, 7)
    right = [(-33, 1, -15), (-37, 4, -34), (-42, 10, -52)], [(-33, 1, -12), (-52, -4, -4)]
    left = [(46, -4, -24), (52, 6, -46)], [(46, -4, -24), (60, -22, -16)]
    for path in (*right, *left):
        canvas.tube(AIRWAY, path, 5, 3.5)
    trachea = [(0, 0, 4), (0, -2, 20), (2, -7, 40), (5, -13, 60), (9, -20, 80), (12, -28, 100), (12, -31, top)]
    canvas.tube("trachea", [(-5, 0, 6), (-34, 1, -15)], 7.5, 6.5)
    canvas.tube("trachea", [(5, 0, 6), (48, -4, -25)], 7.0, 5.5)
    canvas.tube("trachea", trachea, 9)


# --- from the average to a patient ------------------------------------------------------------------------------------


def _bent(rng: np.random.Generator, average: Image) -> Image:
    """Scale and warp the average thorax to a patient's, on a grid of the same spacing."""
    scale = np.exp(rng.normal(0, SCALE))
    source = average.geometry
    low, high = np.array(FRAME_LOW_MM) * scale, np.array(FRAME_HIGH_MM) * scale
    shape = np.rint((high - low)[::-1] / SPACING_MM).astype(int) + 1
    x, y, z = low.tolist()
    grid = Geometry.axis_aligned(tuple(shape.tolist()), (SPACING_MM,) * 3, (x, y, z))
    index = np.zeros(grid.shape, dtype=np.int32)
    for axis, world in enumerate((2, 1, 0)):
        field = random_field(rng, grid, WARP_CORRELATION_MM)
        shift = sample_aligned(field.voxels, field.geometry, grid, averaged_axes=()) * np.float32(WARP_MM / SPACING_MM)
        straight = (coordinates(grid)[world] / np.float32(scale[world]) - FRAME_LOW_MM[world]) / SPACING_MM
        place = np.rint(shift + straight.astype(np.float32)).astype(np.int32)
        index *= source.shape[axis]
        index += np.clip(place, 0, source.shape[axis] - 1)
    return Image(average.voxels.ravel()[index], grid)
