"""Architecture of a simulated slide: which tissue lies where, every cell that will be drawn, and its artefacts.

A section through the wall of the colon, its lumen above: mucosa, muscle, fat, and a tumour that has grown down into them.
Maps have pixels of 4 micrometres. They, and the lists of cells, are the truth: what is painted follows from them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.simulation import correlated_noise
from primary_growth_pattern.definitions import HOT_SPOT_RADIUS_UM, STROMA, UM2_PER_MM2, Margin, Maturity, TissueLabel

from .disease import Biology

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

MAP_UM = 4.0


class Cell(IntEnum):
    """Kinds of cells that are drawn one by one."""

    TUMOUR = 0
    FIBROBLAST = 1
    MUSCLE = 2
    LYMPHOCYTE = 3
    BUD = 4


@dataclass(frozen=True, eq=False)
class Architecture:
    """A slide before it is painted.

    Attributes
    ----------
    labels
        Tissue map (uint8), pixels of 4 micrometres.
    lumens
        Where glands of the tumour are hollow, a part of the tumour; and gaps around them, a part of the stroma.
    cells_um
        Centre of each cell, y and x (n, 2).
    kinds, angles
        Of each cell: :class:`Cell`, and the direction of its long axis in radians from the x axis (n,).
    buds_um
        Centre of each tumour bud, y and x (b, 2): a single tumour cell or a group of up to four in the stroma.
    bud_sizes
        Number of its cells (b,).
    aggregates_um
        Centre and diameter of each lymphoid aggregate, (a, 3).
    folds, pen, blur
        Where tissue lies double, where ink covers the glass, and what is out of focus.
    """

    labels: NDArray[np.uint8]
    lumens: Mask
    cells_um: NDArray[np.float64]
    kinds: NDArray[np.uint8]
    angles: NDArray[np.float64]
    buds_um: NDArray[np.float64]
    bud_sizes: NDArray[np.int64]
    aggregates_um: NDArray[np.float64]
    folds: Mask
    pen: Mask
    blur: Mask


@dataclass(frozen=True)
class Build:
    """How glands and stroma are built; the usual build is that of all simulated patients.

    Attributes
    ----------
    gland_um
        Correlation length of the glands.
    lumen_share
        Hollow part of the epithelium.
    cell_um
        Distance between the nuclei of the epithelium.
    apical_um
        Width of the epithelium without nuclei around a lumen.
    retraction_um
        Width of the gap that shrinkage leaves around glands.
    cellularity
        Factor on the number of cells of stroma, muscle and fat.
    """

    gland_um: float = 130.0
    lumen_share: float = 0.13
    cell_um: float = 9.5
    apical_um: float = 0.0
    retraction_um: float = 0.0
    cellularity: float = 1.0


USUAL = Build()


def random_build(rng: np.random.Generator) -> Build:
    """Draw another build, from solid sheets to glands with wide lumens."""
    return Build(
        gland_um=float(rng.uniform(70, 230)),
        lumen_share=float(rng.uniform(0.0, 0.45)),
        cell_um=float(rng.uniform(6.5, 10.5)),
        apical_um=float(rng.choice([0.0, 4.0, 8.0, 12.0])),
        retraction_um=float(rng.choice([0.0, 0.0, 4.0, 8.0])),
        cellularity=float(rng.uniform(0.7, 3.5)),
    )


# Layers of the wall, as parts of its thickness; a mucosa is about 0.7 mm thick.
_MUCOSA_MM = 0.7
_FAT_BEGINS = 0.62
_FRONT = 0.66
_TUMOUR_HALF_WIDTH = 0.36

_FRONT_ROUGHNESS_UM: dict[str, tuple[tuple[float, float], ...]] = {  # amplitude and length
    "pushing": ((60, 1200),),
    "infiltrating": ((160, 700), (110, 220)),
}
_RIM_UM = 160.0
_SOLID_UM = 450.0  # correlation length of parts without lumens
_LESS_MATURE_SHARE = 0.45

_AGGREGATE_CELL_UM = 7.0
_PER_MM2 = {
    TissueLabel.MATURE_STROMA: 900.0,
    TissueLabel.INTERMEDIATE_STROMA: 500.0,
    TissueLabel.IMMATURE_STROMA: 700.0,
    TissueLabel.FAT: 60.0,
}
_MUSCLE_PER_MM2 = 800.0
_STRAY_LYMPHOCYTES_PER_MM2 = 4.0
_REACTION_UM = 500.0  # on either side of the front
_INTRAEPITHELIAL = 0.6  # as dense in the epithelium as in the stroma

_BUD_CELLS = (0.35, 0.30, 0.20, 0.15)
_OTHER_BUDS = 0.3  # per area, beside the hot spot's
_LARGER_GROUPS = 0.25  # groups of 5 to 8 cells, which are no buds, for each bud
_BUD_TO_TUMOUR_UM = 28.0
_BUD_TO_BUD_UM = 40.0
_BEYOND_FRONT_UM = (250.0, 900.0)


def draw_architecture(
    rng: np.random.Generator, biology: Biology, shape: tuple[int, int], *, artefacts: bool, build: Build = USUAL
) -> Architecture:
    """Draw a slide.

    Parameters
    ----------
    shape
        Height and width in map pixels of 4 micrometres.
    artefacts
        Whether there are a fold, ink and a part out of focus.
    """
    wall = _Wall(rng, shape, biology.margin)
    labels, lumens, direction = _tissue(rng, biology, wall, build)
    aggregates_um = _add_aggregates(rng, biology, wall, labels)
    from scipy import ndimage

    to_tumour_um = MAP_UM * ndimage.distance_transform_edt(labels != TissueLabel.TUMOUR)
    cells = [
        _tumour_cells(rng, labels, lumens, direction, build),
        *(
            _scattered(rng, labels == label, build.cellularity * per_mm2, Cell.FIBROBLAST, 0.35)
            for label, per_mm2 in _PER_MM2.items()
        ),
        _scattered(rng, labels == TissueLabel.MUSCLE, build.cellularity * _MUSCLE_PER_MM2, Cell.MUSCLE, 0.12),
        *_lymphocytes(rng, labels, lumens, biology.til_per_mm2),
        *_reaction_at_the_front(rng, biology.front_til_per_mm2, wall, labels),
    ]
    buds_um, bud_sizes, bud_cells = _buds(rng, biology.buds, wall, labels, to_tumour_um)
    points, kinds, angles = (np.concatenate(parts) for parts in zip(*cells, bud_cells, strict=True))
    # Tumour cells give way to nothing; but no fibroblast lies on a bud.
    free = _far_from(points, buds_um, 14.0) | (kinds == Cell.BUD)
    folds, pen, blur = _artefacts(rng, wall) if artefacts else (np.zeros(shape, bool),) * 3
    if build.retraction_um:
        lumens |= np.isin(labels, list(STROMA.values())) & (to_tumour_um <= build.retraction_um)
        free &= ~lumens[_pixel(points)] | (kinds == Cell.BUD)
    return Architecture(
        labels, lumens, points[free], kinds[free], angles[free], buds_um, bud_sizes, aggregates_um, folds, pen, blur
    )


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], length_um: float) -> NDArray[np.float32]:
    """Draw a field on a map: mean 0, standard deviation about 1, correlation length as stated."""
    from PIL import Image

    knot_um = max(length_um / 4, MAP_UM)
    knots = tuple(math.ceil(side * MAP_UM / knot_um) + 8 for side in shape)
    field = correlated_noise(rng, knots, (knot_um,) * 2, (length_um,) * 2)
    height, width = shape
    box = (2.0, 2.0, 2.0 + width * MAP_UM / knot_um, 2.0 + height * MAP_UM / knot_um)
    return np.array(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC, box=box))


class _Wall:
    """Where wall and tumour lie.

    Attributes
    ----------
    inside
        Tissue.
    depth_um, relative
        Below the surface, and as a part of the wall's thickness.
    tumour
        The region that the tumour takes up, with its stroma and what is in it.
    beyond_um
        Distance outside that region.
    """

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int], margin: Margin) -> None:
        from scipy import ndimage

        height, width = (side * MAP_UM for side in shape)
        y, x = (np.arange(side, dtype=np.float32) * MAP_UM for side in shape)
        surface = 0.06 * height + 70 * smooth_field(rng, (1, shape[1]), 900)[0]
        bottom = 0.94 * height + 90 * smooth_field(rng, (1, shape[1]), 700)[0]
        left, right = (side * width + 60 * smooth_field(rng, (1, shape[0]), 600)[0] for side in (0.05, 0.95))
        self.shape = shape
        self.depth_um = y[:, None] - surface
        self.relative = self.depth_um / (bottom - surface)
        self.inside = (self.depth_um > 0) & (self.relative < 1) & (x > left[:, None]) & (x < right[:, None])
        across = (x / width - 0.5 + rng.uniform(-0.03, 0.03)) / _TUMOUR_HALF_WIDTH
        reach = np.where(np.abs(across) < 1, _FRONT * np.sqrt(np.maximum(1 - across**2, 0)), -1) * (bottom - surface)
        roughness = np.zeros(shape, np.float32)
        for amplitude, length in _FRONT_ROUGHNESS_UM[margin]:
            roughness += amplitude * smooth_field(rng, shape, length)
        self.tumour = self.inside & (reach - self.depth_um + np.where(reach > 0, roughness, 0) > 0)
        self.beyond_um = MAP_UM * ndimage.distance_transform_edt(~self.tumour)


def _tissue(
    rng: np.random.Generator, biology: Biology, wall: _Wall, build: Build
) -> tuple[NDArray[np.uint8], Mask, Floats]:
    """Tissue map without aggregates, hollow parts of glands, and the direction across the gland's wall."""
    labels = np.full(wall.shape, TissueLabel.MUSCLE, np.uint8)
    labels[wall.depth_um < _MUCOSA_MM * 1000 + 40 * smooth_field(rng, wall.shape, 150)] = TissueLabel.MUCOSA
    labels[wall.relative + 0.02 * smooth_field(rng, wall.shape, 500) > _FAT_BEGINS] = TissueLabel.FAT
    rim = wall.inside & (wall.beyond_um < _RIM_UM) & (labels != TissueLabel.MUCOSA)
    region = wall.tumour | rim
    labels[region] = _stroma(rng, biology.maturity, wall.shape)[region]
    glands = smooth_field(rng, wall.shape, build.gland_um)
    mucus = _highest(smooth_field(rng, wall.shape, 350), wall.tumour, biology.mucus_share)
    rest = wall.tumour & ~mucus
    # The rim counts as stroma, so that inside the tumour there is less of it than in all.
    wanted = (1 - biology.stroma_share) * (rest.sum() + (rim & ~wall.tumour).sum()) / max(rest.sum(), 1)
    epithelium = _highest(glands, rest, min(wanted, 0.97))
    necrosis = _highest(
        smooth_field(rng, wall.shape, 300), epithelium, _part(biology.necrosis_share, wall.tumour, epithelium)
    )
    labels[mucus] = TissueLabel.MUCUS
    labels[epithelium] = TissueLabel.TUMOUR
    labels[necrosis] = TissueLabel.NECROSIS
    labels[~wall.inside] = TissueLabel.BACKGROUND
    lumens = _highest(glands, epithelium, build.lumen_share) & ~necrosis
    if biology.solid_share:
        lumens &= ~_highest(smooth_field(rng, wall.shape, _SOLID_UM), wall.tumour, biology.solid_share)
    down, right = np.gradient(glands)
    return labels, lumens, np.arctan2(down, right)


def _stroma(rng: np.random.Generator, maturity: Maturity, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Labels of stroma: patches of the least mature in the next more mature."""
    more_mature: Maturity = "intermediate" if maturity == "immature" and rng.random() < 0.5 else "mature"
    labels = np.full(shape, STROMA[more_mature], np.uint8)
    if maturity != "mature":
        labels[_highest(smooth_field(rng, shape, 450), np.ones(shape, bool), _LESS_MATURE_SHARE)] = STROMA[maturity]
    return labels


def _add_aggregates(
    rng: np.random.Generator, biology: Biology, wall: _Wall, labels: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Put lymphoid aggregates beyond the front, as far as there is room; centre y, x and diameter of each (a, 3)."""
    nearest, furthest = _BEYOND_FRONT_UM
    allowed = np.isin(labels, [TissueLabel.MUSCLE, TissueLabel.FAT]) & (wall.relative < 0.93)
    y, x = np.mgrid[: wall.shape[0], : wall.shape[1]].astype(np.float32) * MAP_UM
    wobble = 1 + 0.12 * smooth_field(rng, wall.shape, 200)
    found: list[tuple[float, float, float]] = []
    for number in range(biology.aggregates):
        largest_um = 1000 * biology.largest_aggregate_mm
        diameter = largest_um if number == 0 else rng.uniform(min(180, largest_um), min(450, largest_um))
        places = allowed & (wall.beyond_um > nearest + diameter / 2 - 150) & (wall.beyond_um < furthest + diameter / 2)
        for known_y, known_x, known in found:
            places &= np.hypot(y - known_y, x - known_x) > (known + diameter) / 2 + 120
        if not places.any():
            break
        row, column = rng.choice(np.argwhere(places))
        centre = (float(row) * MAP_UM, float(column) * MAP_UM)
        inside = (np.hypot(y - centre[0], x - centre[1]) * wobble < diameter / 2) & (labels != TissueLabel.BACKGROUND)
        labels[inside & ~wall.tumour] = TissueLabel.LYMPHOID
        found.append((*centre, diameter))
    return np.array(found, np.float64).reshape(-1, 3)


Cells = tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.float64]]


def _tumour_cells(
    rng: np.random.Generator, labels: NDArray[np.uint8], lumens: Mask, direction: Floats, build: Build
) -> Cells:
    from scipy import ndimage

    with_nuclei = (labels == TissueLabel.TUMOUR) & ~lumens
    if build.apical_um:
        with_nuclei &= MAP_UM * ndimage.distance_transform_edt(~lumens) > build.apical_um
    points = _packed(rng, with_nuclei, build.cell_um)
    rows, columns = _pixel(points)
    return (
        points,
        np.full(len(points), Cell.TUMOUR, np.uint8),
        direction[rows, columns] + 0.25 * rng.standard_normal(len(points)),
    )


def _lymphocytes(rng: np.random.Generator, labels: NDArray[np.uint8], lumens: Mask, til_per_mm2: float) -> list[Cells]:
    """Infiltrating lymphocytes, denser in the stroma than in the epithelium; stray ones; and those of the aggregates."""
    epithelium = (labels == TissueLabel.TUMOUR) & ~lumens
    stroma = np.isin(labels, list(STROMA.values()))
    tumour = (labels == TissueLabel.TUMOUR).sum()
    total = til_per_mm2 * float(tumour + stroma.sum())
    in_stroma = total / max(float(stroma.sum() + _INTRAEPITHELIAL * epithelium.sum()), 1.0)
    elsewhere = np.isin(labels, [TissueLabel.MUSCLE, TissueLabel.FAT])
    packed = _packed(rng, labels == TissueLabel.LYMPHOID, _AGGREGATE_CELL_UM)
    return [
        _scattered(rng, stroma, in_stroma, Cell.LYMPHOCYTE, math.pi),
        _scattered(rng, epithelium, _INTRAEPITHELIAL * in_stroma, Cell.LYMPHOCYTE, math.pi),
        _scattered(rng, elsewhere, _STRAY_LYMPHOCYTES_PER_MM2, Cell.LYMPHOCYTE, math.pi),
        (packed, np.full(len(packed), Cell.LYMPHOCYTE, np.uint8), rng.uniform(0, math.pi, len(packed))),
    ]


def _reaction_at_the_front(
    rng: np.random.Generator, per_mm2: float, wall: _Wall, labels: NDArray[np.uint8]
) -> list[Cells]:
    """Lymphocytes on either side of the edge of the tumour with its rim, outside of glands; none draws nothing."""
    from scipy import ndimage

    if not per_mm2:
        return []
    beyond_rim_um = wall.beyond_um - MAP_UM * ndimage.distance_transform_edt(wall.tumour) - _RIM_UM
    tissue = np.isin(labels, [*STROMA.values(), TissueLabel.MUSCLE, TissueLabel.FAT])
    return [_scattered(rng, tissue & (np.abs(beyond_rim_um) < _REACTION_UM), per_mm2, Cell.LYMPHOCYTE, math.pi)]


def _buds(
    rng: np.random.Generator, wanted: int, wall: _Wall, labels: NDArray[np.uint8], to_tumour_um: Floats
) -> tuple[NDArray[np.float64], NDArray[np.int64], Cells]:
    """Buds in the stroma at the front, densest in one hot spot; groups of five and more beside them, which are none."""
    from scipy import ndimage

    stroma = np.isin(labels, list(STROMA.values())) & (to_tumour_um > _BUD_TO_TUMOUR_UM)
    inside_um = MAP_UM * ndimage.distance_transform_edt(wall.tumour)
    front = stroma & (inside_um < 400) & (wall.depth_um > 1500)
    places = np.argwhere(front) * MAP_UM
    if not len(places):
        places = np.argwhere(stroma) * MAP_UM
    centre = places[_most_crowded(rng, places)] if len(places) else np.zeros(2)
    near = np.linalg.norm(places - centre, axis=1) < HOT_SPOT_RADIUS_UM - 40
    others = rng.poisson(_OTHER_BUDS * wanted * max((~near).sum(), 0) / max(near.sum(), 1))
    groups = rng.poisson(_LARGER_GROUPS * wanted)
    chosen: list[NDArray[np.float64]] = []
    sizes: list[int] = []
    for number in range(wanted + others + groups):
        pool = places[near] if number < wanted else places[~near]
        place = _spaced(rng, pool, chosen)
        if place is not None:
            chosen.append(place)
            small = number < wanted + others
            sizes.append(int(rng.choice(4, p=_BUD_CELLS)) + 1 if small else int(rng.integers(5, 9)))
    points = np.array(chosen, np.float64).reshape(-1, 2)
    count = np.array(sizes, dtype=np.int64)
    cells = [_grouped(rng, point, size) for point, size in zip(points, count.tolist(), strict=True)]
    all_cells = np.concatenate(cells) if cells else np.zeros((0, 2))
    kinds = np.full(len(all_cells), Cell.BUD, np.uint8)
    is_bud = count <= 4
    return points[is_bud], count[is_bud], (all_cells, kinds, rng.uniform(0, math.pi, len(all_cells)))


def _most_crowded(rng: np.random.Generator, places: Floats) -> int:
    """Number of a place with much stroma around it, of forty."""
    candidates = rng.choice(len(places), size=min(40, len(places)), replace=False)
    sample = places[:: max(1, len(places) // 4000)]
    around = [(np.linalg.norm(sample - places[number], axis=1) < HOT_SPOT_RADIUS_UM).sum() for number in candidates]
    return int(candidates[int(np.argmax(around))])


def _spaced(rng: np.random.Generator, pool: Floats, chosen: list[NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """Draw a place that is not next to one that was chosen; None where thirty draws find none."""
    for _ in range(30 if len(pool) else 0):
        place = pool[rng.integers(len(pool))] + rng.uniform(0, MAP_UM, 2)
        if not chosen or np.linalg.norm(np.array(chosen) - place, axis=1).min() > _BUD_TO_BUD_UM:
            return np.asarray(place)
    return None


def _grouped(rng: np.random.Generator, centre: Floats, size: int) -> NDArray[np.float64]:
    """Cells of a group, side by side around its centre."""
    if size == 1:
        return np.asarray(centre, np.float64)[None]
    angles = rng.uniform(0, 2 * math.pi) + 2 * math.pi * np.arange(size) / size
    radius = 5.0 + 1.6 * max(0, size - 3)
    return np.asarray(centre + radius * np.stack([np.sin(angles), np.cos(angles)], axis=1), np.float64)


def _artefacts(rng: np.random.Generator, wall: _Wall) -> tuple[Mask, Mask, Mask]:
    """A fold across the tissue, ink beside and partly on it, and a lane that the scanner did not focus."""
    height, width = (side * MAP_UM for side in wall.shape)
    y, x = np.mgrid[: wall.shape[0], : wall.shape[1]].astype(np.float32) * MAP_UM
    slope = rng.uniform(-0.25, 0.25)
    middle = rng.uniform(0.12, 0.3) * width + slope * (y - height / 2) + 60 * smooth_field(rng, (wall.shape[0], 1), 900)
    fold = wall.inside & (np.abs(x - middle) < rng.uniform(45, 75)) & (y > 0.2 * height) & (y < 0.8 * height)
    line = 0.97 * height + 50 * smooth_field(rng, (1, wall.shape[1]), 1500) - rng.uniform(0, 0.05) * height
    pen = (np.abs(y - line) < rng.uniform(90, 160)) & (x > 0.1 * width) & (x < rng.uniform(0.5, 0.9) * width)
    lane = rng.uniform(0.78, 0.84) * width
    blur = (x > lane) & (x < lane + 0.1 * width) & (y > 0.1 * height) & (y < 0.9 * height)
    return fold & ~pen, pen, blur & ~pen


def _packed(rng: np.random.Generator, mask: Mask, spacing_um: float) -> NDArray[np.float64]:
    """Points side by side on a jittered hexagonal grid, in the pixels of a mask (n, 2)."""
    height, width = (side * MAP_UM for side in mask.shape)
    y, x = np.meshgrid(
        np.arange(0, height, spacing_um * math.sqrt(3) / 2), np.arange(0, width, spacing_um), indexing="ij"
    )
    x[1::2] += spacing_um / 2
    points = np.stack([y.ravel(), x.ravel()], axis=1)
    points += rng.uniform(-0.25, 0.25, points.shape) * spacing_um
    points = points[((points >= 0) & (points < (height, width))).all(axis=1)]
    rows, columns = _pixel(points)
    return np.asarray(points[mask[rows, columns]])


def _scattered(rng: np.random.Generator, mask: Mask, per_mm2: float, kind: Cell, spread: float) -> Cells:
    """Points anywhere in a mask, by a Poisson process, lying within an angle of the x axis."""
    pixels = np.flatnonzero(mask)
    count = int(rng.poisson(per_mm2 * len(pixels) * MAP_UM**2 / UM2_PER_MM2))
    drawn = rng.choice(pixels, count) if count else np.zeros(0, np.intp)
    rows, columns = np.unravel_index(drawn, mask.shape)
    points = (np.stack([rows, columns], axis=1) + rng.uniform(0, 1, (count, 2))) * MAP_UM
    return points, np.full(count, kind, np.uint8), spread * rng.standard_normal(count)


def _far_from(points: Floats, others: Floats, distance_um: float) -> Mask:
    from scipy.spatial import cKDTree

    if not len(others):
        return np.ones(len(points), bool)
    nearest, _ = cKDTree(others).query(points, distance_upper_bound=distance_um)
    return np.asarray(np.isinf(nearest))


def _pixel(points_um: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    index = (points_um / MAP_UM).astype(np.intp)
    return index[:, 0], index[:, 1]


def _highest(field: Floats, within: Mask, share: float) -> Mask:
    """Part of a mask, of a share of its area, where a field is highest."""
    if share <= 0 or not within.any():
        return np.zeros(within.shape, bool)
    return np.asarray(within & (field >= np.quantile(field[within], 1 - min(share, 1.0))))


def _part(share: float, of: Mask, within: Mask) -> float:
    """Express a share of one area as the share of another."""
    return share * float(of.sum()) / max(float(within.sum()), 1.0)
