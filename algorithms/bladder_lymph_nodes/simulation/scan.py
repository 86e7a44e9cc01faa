"""CT of a simulated pelvis, at centres with different scanners, and the lymph nodes as a reader draws them on it.

Densities and protocols are what textbooks give unless a comment says otherwise. Nothing here knows which nodes are
positive.
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
    Shape,
    average,
    coordinates,
    correlated_noise,
    draw_contour,
    finer,
    occupancy,
    paint,
    random_field,
    sample_aligned,
)

from .anatomy import SKIN_MM, Pelvis, Structure, Tissue
from .disease import Nodes
from .placement import Floats, PlacedNode

# Mean HU and its standard deviation in the tissue, without contrast.
HU: dict[Tissue, tuple[float, float]] = {
    "artery": (42, 0),
    "bladder_wall": (36, 5),
    "bowel_wall": (38, 6),
    "canal": (15, 8),
    "cartilage": (75, 10),
    "cortical_bone": (850, 90),
    "faeces": (22, 22),
    "fat": (-104, 9),
    "gas": (-880, 30),
    "gland": (40, 6),
    "marrow": (170, 40),
    "muscle": (52, 9),
    "skin": (5, 10),
    "tumour": (38, 6),
    "urine": (6, 2),
    "vein": (42, 0),
}
# What contrast adds in the portal venous phase; arteries and veins depend on the centre.
ENHANCEMENT_HU: dict[Tissue, float] = {
    "bladder_wall": 30,
    "bowel_wall": 48,
    "cartilage": 5,
    "gland": 45,
    "marrow": 10,
    "muscle": 12,
    "skin": 10,
    "tumour": 52,
}
NODE_HU = 38.0  # without contrast
HILUM_HU, NECROSIS_HU = -60.0, 22.0
NECROSIS_ENHANCEMENT = 0.1  # of the node's
BETWEEN_PATIENTS = 0.10  # standard deviation of how strongly all tissues enhance
NODE_ROUGHNESS = 0.05  # standard deviation of a node's radius as a part of it
STRANDING_MM, STRANDED_HU = 2.5, 25.0  # how far around a node, and the density of what infiltrates the fat
NODE_TEXTURE_MM = 2.5  # correlation length
GRAIN_MM = (5.0, 3.2, 3.2)  # of normal tissue
WOBBLE_CORRELATION_MM = (34.0, 26.0, 26.0)

# Large anatomy is painted on this grid (z, y, x) and brought to the scan's; vessels and nodes on the scan's own,
# divided into parts no larger than these.
ANATOMY_MM = (2.0, 1.6, 1.6)
VESSEL_PARTS_MM = (1.3, 1.0, 1.0)
NODE_PARTS_MM = (0.8, 0.45, 0.45)
AROUND_NODE_MM = 1.5  # for the edge, and a reader who draws too far

# How a reader draws a node (assumed).
READER_HABIT_MM, READER_WANDER_MM, READER_STROKE_MM = 0.2, 0.35, 4.0

AIR_AROUND_MM = 6.0


@dataclass(frozen=True)
class Centre:
    """A hospital with its CT protocol.

    Attributes
    ----------
    name, share
        Which, and its share of the patients.
    ct
        Scanner and reconstruction.
    artery_hu, vein_hu
        Mean density of the vessels at its delay after contrast.
    enhancement
        How strongly tissue enhances then, beside the portal venous phase.
    matrix
        Size of the image (z, y, x), or None for one that is cut to the body.
    """

    name: str
    share: float
    ct: CtScanner
    artery_hu: float
    vein_hu: float
    enhancement: float = 1.0
    matrix: tuple[int, int, int] | None = None


CENTRES = (
    Centre(
        "centre_a",
        0.4,
        CtScanner((2.0, 0.78, 0.78), resolution_mm=1.3, noise_hu=12, noise_correlation_mm=(1.8, 1.4, 1.4)),
        artery_hu=155,
        vein_hu=150,
    ),
    Centre(
        "centre_b",
        0.25,
        CtScanner((1.5, 0.70, 0.70), resolution_mm=1.0, noise_hu=17, noise_correlation_mm=(1.3, 1.0, 1.0)),
        artery_hu=185,
        vein_hu=125,
        enhancement=0.92,
    ),
    Centre(
        "centre_c",
        0.1,
        CtScanner((5.0, 0.86, 0.86), resolution_mm=1.6, noise_hu=9, noise_correlation_mm=(3.0, 1.9, 1.9)),
        artery_hu=140,
        vein_hu=145,
        enhancement=1.05,
    ),
    Centre(
        "centre_d",
        0.25,
        CtScanner((3.0, 0.94, 0.94), resolution_mm=1.5, noise_hu=14, noise_correlation_mm=(2.0, 1.7, 1.7)),
        artery_hu=165,
        vein_hu=140,
    ),
)
# Not part of a cohort: a whole thin reconstruction, to measure how long an algorithm takes.
THIN = Centre(
    "thin",
    0.0,
    CtScanner((1.0, 0.8, 0.8), resolution_mm=1.2, noise_hu=22, noise_correlation_mm=(1.2, 1.2, 1.2)),
    artery_hu=160,
    vein_hu=140,
    matrix=(200, 512, 512),
)


def scanned_grid(
    rng: np.random.Generator, pelvis: Pelvis, centre: Centre, around_nodes_mm: float | None = None
) -> Geometry:
    """Lay the voxels of a scan over the body, or over the nodes, in the anatomy's frame.

    Parameters
    ----------
    around_nodes_mm
        How far around the centres of the nodes, or None for the whole body; a centre with a matrix of its own scans
        that.
    """
    spacing = np.array(centre.ct.spacing_mm)
    low, high = (
        corner + AIR_AROUND_MM * np.array([sign, sign, 0])
        for sign, corner in zip((-1, 1), pelvis.trunk.box_mm, strict=True)
    )
    if around_nodes_mm is not None:
        places = np.array([place.centre_mm for place in pelvis.nodes])
        low = np.maximum(low, places.min(axis=0) - around_nodes_mm)
        high = np.minimum(high, places.max(axis=0) + around_nodes_mm)
    shape = np.ceil((high - low)[::-1] / spacing).astype(int)
    if centre.matrix is not None:
        shape = np.array(centre.matrix)
    first = (low + high) / 2 - (shape - 1)[::-1] / 2 * spacing[::-1] + rng.uniform(-0.5, 0.5, 3) * spacing[::-1]
    x, y, z = first.tolist()
    return Geometry.axis_aligned(tuple(shape.tolist()), centre.ct.spacing_mm, (x, y, z))


def scan(
    rng: np.random.Generator, pelvis: Pelvis, nodes: Nodes, centre: Centre, grid: Geometry, *, contrast: bool
) -> tuple[Image, Image]:
    """Scan a pelvis, and have its nodes drawn.

    Returns
    -------
    CT in HU (int16), and the label map of the nodes, from 1 in their order (uint8), on the same grid.
    """
    densities = _densities(rng, centre, contrast=contrast)
    canvas = _anatomy(rng, pelvis, grid, densities)
    for vessels in pelvis.vessels:
        for shape in vessels.shapes:
            _paint_vessel(canvas, grid, shape, densities.hu[vessels.tissue][0])
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for i, place in enumerate(pelvis.nodes):
        around = max(AROUND_NODE_MM, STRANDING_MM if nodes.stranding[i] else 0.0)
        box = _box_of(place, grid, margin_mm=around)
        if not _empty(box):
            _paint_node(rng, canvas, labels, grid, box, _Look.of(nodes, i, densities.enhancement), place, i + 1)
    return centre.ct.scan(rng, Image(canvas, grid)), Image(labels, grid)


# --- tissues ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Densities:
    """How a patient's tissues look at a centre: mean and standard deviation in HU, and how strongly nodes enhance."""

    hu: dict[Tissue, tuple[float, float]]
    enhancement: float


def _densities(rng: np.random.Generator, centre: Centre, *, contrast: bool) -> _Densities:
    strength = math.exp(BETWEEN_PATIENTS * rng.standard_normal()) * float(contrast)
    tissue = centre.enhancement * strength
    hu = {name: (mean + tissue * ENHANCEMENT_HU.get(name, 0.0), spread) for name, (mean, spread) in HU.items()}
    vessels: tuple[tuple[Tissue, float], ...] = (("artery", centre.artery_hu), ("vein", centre.vein_hu))
    for name, enhanced in vessels:
        unenhanced, spread = HU[name]
        hu[name] = (unenhanced + strength * (enhanced - unenhanced), spread)
    return _Densities(hu, tissue)


def _anatomy(rng: np.random.Generator, pelvis: Pelvis, grid: Geometry, densities: _Densities) -> Floats:
    """Paint all but vessels and nodes on a coarse grid, and bring it to the scan's."""
    shape = tuple(
        math.ceil(size * spacing / coarse) + 3
        for size, spacing, coarse in zip(grid.shape, grid.spacing_mm, ANATOMY_MM, strict=True)
    )
    first = np.array(grid.origin_mm) - (np.array(grid.spacing_mm) / 2 + np.array(ANATOMY_MM) / 2)[::-1]
    x, y, z = first.tolist()
    coarse = Geometry.axis_aligned(shape, ANATOMY_MM, (x, y, z))
    canvas = np.full(shape, -1000.0, dtype=np.float32)
    grain = correlated_noise(rng, shape, ANATOMY_MM, GRAIN_MM)
    field = random_field(rng, coarse, WOBBLE_CORRELATION_MM)
    wobble = sample_aligned(field.voxels, field.geometry, coarse)
    outline: tuple[Tissue, Tissue] = ("skin", "fat")
    body = [Structure(tissue, (pelvis.trunk,), depth, 1.5) for tissue, depth in zip(outline, (0, SKIN_MM), strict=True)]
    for structure in (*body, *pelvis.organs):
        mean, spread = densities.hu[structure.tissue]
        for part in structure.shapes:
            box = _box_of(part, coarse, margin_mm=3 * structure.wobble_mm + ANATOMY_MM[0])
            if part is pelvis.trunk:
                box = tuple(slice(0, size) for size in shape)
            if not _empty(box):
                distance = part.distance_mm(*coordinates(crop_geometry(coarse, box)))
                distance = distance + np.float32(structure.wobble_mm) * wobble[box] + np.float32(structure.inset_mm)
                paint(canvas[box], occupancy(distance, ANATOMY_MM[-1]), mean + spread * grain[box])
    return sample_aligned(canvas, coarse, grid)


def _paint_vessel(canvas: Floats, grid: Geometry, shape: Shape, hu: float) -> None:
    box = _box_of(shape, grid, margin_mm=1)
    if _empty(box):
        return
    part = crop_geometry(grid, box)
    fine = finer(part, _factors(grid, VESSEL_PARTS_MM))
    inside = occupancy(shape.distance_mm(*coordinates(fine)), fine.spacing_mm[-1])
    paint(canvas[box], average(Image(inside, fine), part).voxels, hu)


@dataclass(frozen=True)
class _Look:
    """How a node looks in a scan: density and texture of its tissue in HU, and the parts that are fat and necrosis."""

    hu: float
    texture_hu: float
    necrosis_hu: float
    hilar_part: float
    necrotic_part: float
    stranding: float

    @classmethod
    def of(cls, nodes: Nodes, i: int, enhancement: float) -> _Look:
        """Look of one node where contrast is so strong beside the portal venous phase."""
        added = enhancement * float(nodes.enhancement_hu[i])
        return cls(
            hu=NODE_HU + added,
            texture_hu=enhancement * float(nodes.heterogeneity_hu[i]),
            necrosis_hu=NECROSIS_HU + NECROSIS_ENHANCEMENT * added,
            hilar_part=float(nodes.hilar_part[i]),
            necrotic_part=float(nodes.necrotic_part[i]),
            stranding=float(nodes.stranding[i]),
        )


def _paint_node(
    rng: np.random.Generator,
    canvas: Floats,
    labels: NDArray[np.uint8],
    grid: Geometry,
    box: Box,
    look: _Look,
    place: PlacedNode,
    label: int,
) -> None:
    """Paint a node into its box, and label what a reader draws of it where no other node has been drawn."""
    part = crop_geometry(grid, box)
    fine = finer(part, _factors(grid, NODE_PARTS_MM))
    scaled = place.scaled(*coordinates(fine))
    distance = _lobulated_mm(rng, scaled, place)
    inside = occupancy(distance, fine.spacing_mm[-1])
    cover = average(Image(inside, fine), part).voxels
    if look.stranding:
        _paint_stranding(rng, canvas[box], distance, fine, part, look.stranding)
    hu = _node_hu(rng, scaled, fine, place, look)
    canvas[box] += average(Image(inside * hu, fine), part).voxels - cover * canvas[box]

    drawn = draw_contour(
        rng,
        average(Image(distance, fine), part),
        habit_mm=READER_HABIT_MM,
        wander_mm=READER_WANDER_MM,
        stroke_mm=READER_STROKE_MM,
    ).voxels
    free = labels[box] == 0
    if not (drawn & free).any():  # so small that it lies between slices: a reader marks where it shows most
        drawn = np.arange(free.size).reshape(free.shape) == np.argmax(np.where(free, cover, -1))
    labels[box][_largest_piece(drawn & free)] = label


def _paint_stranding(
    rng: np.random.Generator, canvas: Floats, distance: Floats, fine: Geometry, part: Geometry, stranding: float
) -> None:
    """Infiltrate the fat of a box in streaks around a node, denser near it; other tissue stays as it is."""
    streaks = np.clip(1 + correlated_noise(rng, fine.shape, fine.spacing_mm, (1.5,) * 3), 0, 2)
    share = stranding * np.clip(1 - distance / np.float32(STRANDING_MM), 0, 1) * streaks
    cover = average(Image(share.astype(np.float32), fine), part).voxels
    fat = np.clip((STRANDED_HU - canvas) / (STRANDED_HU - HU["fat"][0]), 0, 1)
    paint(canvas, np.minimum(cover, 1) * fat, STRANDED_HU)


def _largest_piece(drawn: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What a reader takes for the node where another one divides it."""
    from scipy import ndimage

    pieces, _ = ndimage.label(drawn, structure=np.ones((3, 3, 3)))
    return np.asarray(pieces == np.bincount(pieces[drawn]).argmax())


def _lobulated_mm(rng: np.random.Generator, scaled: Floats, place: PlacedNode) -> Floats:
    """Signed distance to the surface of a node, whose radius varies by waves along its axes."""
    semi_axes = np.array(place.semi_axes_mm, dtype=np.float32)
    level = np.sqrt((scaled**2).sum(axis=0))
    waves = np.sin(3 * scaled + rng.uniform(0, 2 * np.pi, (3, 1, 1, 1)).astype(np.float32)).sum(axis=0)
    slope = np.sqrt(((scaled / semi_axes[:, None, None, None]) ** 2).sum(axis=0)) / np.maximum(level, 1e-3)
    surface = 1 + np.float32(NODE_ROUGHNESS * math.sqrt(2 / 3)) * waves
    return np.asarray((level - surface) / np.maximum(slope, 1 / (2 * semi_axes[2])))


def _node_hu(rng: np.random.Generator, scaled: Floats, fine: Geometry, place: PlacedNode, look: _Look) -> Floats:
    """Density within a node: uneven tissue, the hilum at the surface where the vessels enter, necrosis off the middle.

    Both are balls in the coordinates in which the node is a ball of radius 1, of the stated share of its volume.
    """
    hu = look.hu + look.texture_hu * correlated_noise(rng, fine.shape, fine.spacing_mm, (NODE_TEXTURE_MM,) * 3)
    hilum, necrosis = look.hilar_part ** (1 / 3), look.necrotic_part ** (1 / 3)
    entry = np.array([1 - 0.8 * hilum, 0, 0])
    off = rng.uniform(-0.3, 0.3, 3) * (1 - necrosis)
    for radius, centre, density in ((hilum, entry, HILUM_HU), (necrosis, off, look.necrosis_hu)):
        if radius:
            level = np.sqrt(((scaled - centre.astype(np.float32)[:, None, None, None]) ** 2).sum(axis=0))
            distance = (level - np.float32(radius)) * np.float32(place.semi_axes_mm[0])
            paint(hu, occupancy(distance, fine.spacing_mm[-1]), density)
    return hu


# --- grids ------------------------------------------------------------------------------------------------------------


def _box_of(shape: Shape | PlacedNode, grid: Geometry, *, margin_mm: float) -> Box:
    """Voxels of the box around a shape, cut at the grid's edges."""
    low, high = shape.box_mm
    first, last = grid.index_zyx(np.array([low - margin_mm, high + margin_mm]))
    return tuple(
        slice(max(math.floor(a), 0), min(math.ceil(b) + 1, size))
        for a, b, size in zip(first, last, grid.shape, strict=True)
    )


def _empty(box: Box) -> bool:
    return any(part.start >= part.stop for part in box)


def _factors(grid: Geometry, parts_mm: tuple[float, float, float]) -> tuple[int, ...]:
    """Into how many parts to divide a voxel so that none is longer than ``parts_mm``."""
    return tuple(math.ceil(spacing / part - 1e-6) for spacing, part in zip(grid.spacing_mm, parts_mm, strict=True))
