"""Simulated patients of this study: contrast CT of a pelvis with bladder cancer, its lymph nodes, what pathology found.

Which nodes are positive, how they differ and how likely they are by the best possible observer is drawn and reckoned
in ``nodes.py``; where they lie among bones, muscles, gut and vessels in ``pelvis.py``; this module makes scans of both
and writes cohorts. Sizes, densities and protocols are what textbooks give unless a comment says otherwise, and nothing
but the nodes themselves depends on whether they are positive. Nothing learned from these patients says anything about
real ones.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

import preop
from preop.cohort import write_source
from preop.errors import InvalidInputError
from preop.folders import claim_folder
from preop.grandchallenge.models import DataSource
from preop.imaging import Geometry, Image, crop_geometry, write_image
from preop.imaging.regions import Box
from preop.simulation import (
    CtScanner,
    average,
    ceiling_auc,
    correlated_noise,
    draw_contour,
    finer,
    occupancy,
    paint,
    random_field,
)

from .nodes import Ceiling, Nodes, Side, ceiling, draw_nodes, draw_pathology
from .pelvis import SKIN_MM, Floats, Pelvis, PlacedNode, Sex, Shape, Structure, Tissue, random_pelvis

Progress = Callable[[int, int], None]

SOURCE = DataSource(
    description="Simulated pelves with bladder cancer, and lymph nodes of which some are stated to be positive",
    source="preop simulate bladder_lymph_nodes",
    citation="none",
    licence="Apache-2.0",
    simulated=True,
)
COLUMNS = (
    "patient",
    "centre",
    "ct",
    "lymph_nodes",
    "sex",
    "age_years",
    "positive_nodes_low",
    "positive_nodes_high",
    "removed_nodes",
)
TRUTH_COLUMNS = (
    "patient",
    "label",
    "station",
    "side",
    "x_mm",
    "y_mm",
    "z_mm",
    "short_axis_mm",
    "long_axis_mm",
    "enhancement_hu",
    "heterogeneity_hu",
    "hilar_part",
    "necrotic_part",
    "positive",
    "ceiling_probability",
)

MALE = 0.75
AGE_YEARS = (69, 9)  # mean, standard deviation
AGE_RANGE_YEARS = (35, 90)
# Most reports give the count; some as a range of this width at most, some say only that there are positive nodes.
RANGE_WIDTH = 4
GIVEN_AS_RANGE, GIVEN_AS_STAGE = 0.05, 0.05

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
    "marrow": (140, 70),
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
NODE_TEXTURE_MM = 2.5  # correlation length
GRAIN_MM = (6.0, 3.6, 3.6)  # of normal tissue
WOBBLE_CORRELATION_MM = (34.0, 26.0, 26.0)

# Large anatomy is painted on this grid (z, y, x) and brought to the scan's; vessels and nodes on the scan's own,
# divided into parts no larger than these.
ANATOMY_MM = (2.0, 1.6, 1.6)
VESSEL_PARTS_MM = (1.3, 1.0, 1.0)
NODE_PARTS_MM = (0.8, 0.45, 0.45)

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
        CtScanner((3.0, 0.78, 0.78), resolution_mm=1.3, noise_hu=12, noise_correlation_mm=(2.0, 1.4, 1.4)),
        artery_hu=155,
        vein_hu=150,
    ),
    Centre(
        "centre_b",
        0.25,
        CtScanner((2.0, 0.70, 0.70), resolution_mm=1.0, noise_hu=18, noise_correlation_mm=(1.5, 1.0, 1.0)),
        artery_hu=185,
        vein_hu=125,
        enhancement=0.92,
    ),
    Centre(
        "centre_c",
        0.2,
        CtScanner((5.0, 0.86, 0.86), resolution_mm=1.6, noise_hu=9, noise_correlation_mm=(3.0, 1.9, 1.9)),
        artery_hu=140,
        vein_hu=145,
        enhancement=1.05,
    ),
    Centre(
        "centre_d",
        0.15,
        CtScanner((2.5, 0.94, 0.94), resolution_mm=1.5, noise_hu=14, noise_correlation_mm=(2.0, 1.7, 1.7)),
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


@dataclass(frozen=True)
class NodeTruth:
    """What is known of one node.

    Attributes
    ----------
    label
        Its value in the label map, from 1.
    x_mm, y_mm, z_mm
        Its centre in the scan's world.
    short_axis_mm, long_axis_mm
        True diameters.
    ceiling_probability
        Probability that it is positive, for an observer who knows all its variables.

    The others as in ``nodes.Nodes``.
    """

    label: int
    station: str
    side: str
    x_mm: float
    y_mm: float
    z_mm: float
    short_axis_mm: float
    long_axis_mm: float
    enhancement_hu: float
    heterogeneity_hu: float
    hilar_part: float
    necrotic_part: float
    positive: bool
    ceiling_probability: float


@dataclass(frozen=True, eq=False)
class PatientFacts:
    """A patient before anything is drawn.

    Attributes
    ----------
    centre
        Where the scan is made.
    sex, age_years, tumour_side
        Facts of no influence on the nodes, but for the side.
    nodes
        All that is drawn of the nodes.
    ceiling
        What the best observer knows.
    positive_nodes, removed_nodes
        What the pathologist counted; not only nodes of the CT.
    """

    centre: Centre
    sex: Sex
    age_years: int
    tumour_side: Side
    nodes: Nodes
    ceiling: Ceiling
    positive_nodes: int
    removed_nodes: int


@dataclass(frozen=True, eq=False)
class SimulatedPatient:
    """A simulated patient with the scan.

    Attributes
    ----------
    facts
        The patient.
    ct
        CT in HU (int16).
    lymph_nodes
        The nodes as a reader drew them, one label a node from 1 (uint8), on the same grid.
    nodes
        The truth of each node, in the order of the labels.
    """

    facts: PatientFacts
    ct: Image
    lymph_nodes: Image
    nodes: tuple[NodeTruth, ...]


def draw_facts(seed: int, number: int = 0, *, centre: Centre | None = None) -> PatientFacts:
    """Draw a patient without any image, in well under a millisecond a node.

    Parameters
    ----------
    seed
        Seed of the cohort, 0 or more.
    number
        Which patient of the cohort, from 0; independent of the others.
    centre
        Where the scan is made; drawn by the centres' shares where not given. It changes nothing else.
    """
    rng = _generator(seed, number, "patient")
    chosen = CENTRES[rng.choice(len(CENTRES), p=[each.share for each in CENTRES])]
    tumour_side: Side = "left" if rng.random() < 0.5 else "right"
    nodes = draw_nodes(rng, tumour_side)
    positive_nodes, removed_nodes = draw_pathology(rng, nodes)
    return PatientFacts(
        centre=centre or chosen,
        sex="male" if rng.random() < MALE else "female",
        age_years=int(np.clip(round(rng.normal(*AGE_YEARS)), *AGE_RANGE_YEARS)),
        tumour_side=tumour_side,
        nodes=nodes,
        ceiling=ceiling(nodes, tumour_side),
        positive_nodes=positive_nodes,
        removed_nodes=removed_nodes,
    )


def draw_patient(
    seed: int,
    number: int = 0,
    *,
    centre: Centre | None = None,
    contrast: bool = True,
    around_nodes_mm: float | None = None,
) -> SimulatedPatient:
    """Simulate one patient in memory; the same arguments give the same voxels, whoever is simulated beside them.

    Parameters
    ----------
    seed, number, centre
        As for ``draw_facts``.
    contrast
        Whether contrast was given; without it vessels, muscles and nodes look alike.
    around_nodes_mm
        Scan only so far around the centres of the nodes instead of the whole pelvis, which takes less than half the
        time; 27 mm is enough for cubes of 48 mm.
    """
    facts = draw_facts(seed, number, centre=centre)
    pelvis, shift = _placed(seed, number, facts)
    rng = _generator(seed, number, "scan")
    grid = _scanned(rng, pelvis, facts.centre, around_nodes_mm)
    densities = _densities(rng, facts.centre, contrast=contrast)
    canvas = _anatomy(rng, pelvis, grid, densities)
    for vessels in pelvis.vessels:
        for shape in vessels.shapes:
            _paint_vessel(canvas, grid, shape, densities.hu[vessels.tissue][0])
    labels = np.zeros(grid.shape, dtype=np.uint8)
    for i, place in enumerate(pelvis.nodes):
        _paint_node(rng, canvas, labels, grid, place, facts.nodes, i, densities.enhancement)
    ct = facts.centre.ct.scan(rng, Image(canvas, grid))
    x, y, z = (np.array(grid.origin_mm) + shift).tolist()
    frame = Geometry(grid.shape, grid.spacing_mm, (x, y, z), grid.direction)
    return SimulatedPatient(facts, Image(ct.voxels, frame), Image(labels, frame), _truth(facts, pelvis, shift))


def simulate(
    patients: int,
    seed: int,
    output: Path,
    progress: Progress | None = None,
    *,
    given_as_range: float = GIVEN_AS_RANGE,
    given_as_stage: float = GIVEN_AS_STAGE,
    around_nodes_mm: float | None = None,
) -> None:
    """Write a simulated cohort: ``cohort.csv``, the images it names, ``node_truth.csv``, and a README.

    An interrupted run can be repeated: images that are complete are not made again.

    Parameters
    ----------
    patients
        How many, 2 or more.
    seed
        The same seed gives the same files.
    output
        A new or empty folder, or one that the same call began.
    progress
        Called with the number of patients done and their total.
    given_as_range, given_as_stage
        Shares of the pN+ patients whose count is given as a range, and not at all.
    around_nodes_mm
        As for ``draw_patient``.

    Raises
    ------
    InvalidInputError
        If there are fewer than 2 patients, or the seed is negative.
    InvalidOutputError
        If the folder holds anything else, or cannot be written.
    """
    if patients < 2 or seed < 0:
        raise InvalidInputError(
            f"{patients} patients with seed {seed} were asked for; expected 2 patients or more and a seed of 0 or more."
        )
    claim_folder(
        output,
        {
            "algorithm": "bladder_lymph_nodes",
            "patients": patients,
            "seed": seed,
            "given_as_range": given_as_range,
            "given_as_stage": given_as_stage,
            "around_nodes_mm": around_nodes_mm or "whole pelvis",
            "preop": preop.__version__,
        },
    )
    rows, truth, probabilities = [], [], []
    for number in range(patients):
        patient = f"simulated_{number + 1:0{len(str(patients))}d}"
        facts = draw_facts(seed, number)
        reported = _reported(_generator(seed, number, "report"), facts.positive_nodes, given_as_range, given_as_stage)
        _write_images(seed, number, output / "images" / patient, around_nodes_mm)
        rows.append(_row(patient, facts, reported))
        truth += [{"patient": patient, **asdict(node)} for node in _truth(facts, *_placed(seed, number, facts))]
        probabilities.append(facts.ceiling.patient)
        if progress is not None:
            progress(number + 1, patients)
    _write_readme(output / "README.md", patients, seed, np.array(probabilities))
    _write_csv(output / "node_truth.csv", TRUTH_COLUMNS, truth)
    _write_csv(output / "cohort.csv", COLUMNS, rows)
    write_source(SOURCE, output / "cohort.csv")


# --- the scan ---------------------------------------------------------------------------------------------------------


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


def _placed(seed: int, number: int, facts: PatientFacts) -> tuple[Pelvis, Floats]:
    """Draw a patient's anatomy, and where its origin lies in the scanner's world (3,) in x, y, z."""
    rng = _generator(seed, number, "anatomy")
    pelvis = random_pelvis(rng, facts.sex, facts.tumour_side, facts.nodes)
    return pelvis, np.round(rng.uniform([-20, -150, -900], [20, -50, -300]), 1)


def _scanned(rng: np.random.Generator, pelvis: Pelvis, centre: Centre, around_nodes_mm: float | None) -> Geometry:
    """Grid around the body or the nodes, in the anatomy's frame."""
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
    wobble = _sampled(field.voxels, field.geometry, coarse)
    outline: tuple[Tissue, Tissue] = ("skin", "fat")
    body = [Structure(tissue, (pelvis.trunk,), depth, 1.5) for tissue, depth in zip(outline, (0, SKIN_MM), strict=True)]
    for structure in (*body, *pelvis.organs):
        mean, spread = densities.hu[structure.tissue]
        for part in structure.shapes:
            box = _box_of(part, coarse, margin_mm=3 * structure.wobble_mm + ANATOMY_MM[0])
            if part is pelvis.trunk:
                box = tuple(slice(0, size) for size in shape)
            if not _empty(box):
                distance = part.distance_mm(*_coordinates(crop_geometry(coarse, box)))
                distance = distance + np.float32(structure.wobble_mm) * wobble[box] + np.float32(structure.inset_mm)
                paint(canvas[box], occupancy(distance, ANATOMY_MM[-1]), mean + spread * grain[box])
    return _sampled(canvas, coarse, grid)


def _sampled(voxels: Floats, source: Geometry, grid: Geometry) -> Floats:
    """Interpolate linearly to another grid along the same axes, averaged over the thickness of its slices.

    A product of one matrix an axis takes a sixth of the time of a general resampling.
    """
    matrices = []
    for axis in range(3):
        start = (grid.origin_mm[2 - axis] - source.origin_mm[2 - axis]) / source.spacing_mm[axis]
        step = grid.spacing_mm[axis] / source.spacing_mm[axis]
        parts = math.ceil(2 * step) if axis == 0 else 1
        within = (np.arange(parts) + 0.5) / parts - 0.5
        at = start + step * (np.arange(grid.shape[axis])[:, None, None] + within[:, None])
        hat = np.maximum(1 - np.abs(np.clip(at, 0, source.shape[axis] - 1) - np.arange(source.shape[axis])), 0)
        matrices.append(hat.mean(axis=1).astype(np.float32))
    along_z, along_y, along_x = matrices
    slices = np.tensordot(along_z, voxels, 1)
    return np.asarray(along_y @ (slices @ along_x.T))


def _paint_vessel(canvas: Floats, grid: Geometry, shape: Shape, hu: float) -> None:
    box = _box_of(shape, grid, margin_mm=1)
    if _empty(box):
        return
    part = crop_geometry(grid, box)
    fine = finer(part, _factors(grid, VESSEL_PARTS_MM))
    inside = occupancy(shape.distance_mm(*_coordinates(fine)), fine.spacing_mm[-1])
    paint(canvas[box], average(Image(inside, fine), part).voxels, hu)


def _paint_node(
    rng: np.random.Generator,
    canvas: Floats,
    labels: Any,
    grid: Geometry,
    place: PlacedNode,
    nodes: Nodes,
    i: int,
    strength: float,
) -> None:
    """Paint a node, and what a reader draws of it where no other node has been drawn."""
    reach = np.full(3, 1.25 * place.semi_axes_mm[2] + 2)
    box = _box(place.centre_mm - reach, place.centre_mm + reach, grid)
    if _empty(box):
        return
    part = crop_geometry(grid, box)
    fine = finer(part, _factors(grid, NODE_PARTS_MM))
    u, v, w = _in_frame(place, fine)
    short, middle, long = (np.float32(axis) for axis in place.semi_axes_mm)
    level = np.sqrt((u / short) ** 2 + (v / middle) ** 2 + (w / long) ** 2)
    phases = rng.uniform(0, 2 * np.pi, 3)
    lobes = np.sin(3 * u / short + phases[0]) + np.sin(3 * v / middle + phases[1]) + np.sin(3 * w / long + phases[2])
    surface = 1 + np.float32(NODE_ROUGHNESS * math.sqrt(2 / 3)) * lobes
    slope = np.sqrt((u / short**2) ** 2 + (v / middle**2) ** 2 + (w / long**2) ** 2) / np.maximum(level, 1e-3)
    distance = (level - surface) / np.maximum(slope, 1 / (2 * long))

    enhanced = strength * nodes.enhancement_hu[i]
    hu = (
        NODE_HU
        + enhanced
        + strength
        * nodes.heterogeneity_hu[i]
        * correlated_noise(rng, fine.shape, fine.spacing_mm, (NODE_TEXTURE_MM,) * 3)
    )
    edge = fine.spacing_mm[-1]
    # A ball of the ellipsoid's own coordinates whose share of the volume is the part: the hilum at the surface where
    # the vessels enter, the necrosis off the middle.
    hilum = float(nodes.hilar_part[i]) ** (1 / 3)
    necrosis = float(nodes.necrotic_part[i]) ** (1 / 3)
    if hilum:
        at = np.sqrt((u / short - (1 - 0.8 * hilum)) ** 2 + (v / middle) ** 2 + (w / long) ** 2)
        paint(hu, occupancy((at - hilum) * short, edge), HILUM_HU)
    if necrosis:
        off = rng.uniform(-0.3, 0.3, 3) * (1 - necrosis)
        at = np.sqrt((u / short - off[0]) ** 2 + (v / middle - off[1]) ** 2 + (w / long - off[2]) ** 2)
        paint(hu, occupancy((at - necrosis) * short, edge), NECROSIS_HU + NECROSIS_ENHANCEMENT * enhanced)
    inside = occupancy(distance, edge)
    cover = average(Image(inside, fine), part).voxels
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
        drawn = cover == np.where(free, cover, -1).max()
    labels[box][drawn & free] = i + 1


def _in_frame(place: PlacedNode, grid: Geometry) -> list[Floats]:
    """Coordinates of a grid's voxels along a node's three axes."""
    x, y, z = _coordinates(grid)
    dx, dy, dz = (p - np.float32(q) for p, q in zip((x, y, z), place.centre_mm, strict=True))
    return [dx * np.float32(ax) + dy * np.float32(ay) + dz * np.float32(az) for ax, ay, az in place.frame]


def _truth(facts: PatientFacts, pelvis: Pelvis, shift: Floats) -> tuple[NodeTruth, ...]:
    nodes = facts.nodes
    rows = []
    for i, place in enumerate(pelvis.nodes):
        x, y, z = np.round(place.centre_mm + shift, 2).tolist()
        rows.append(
            NodeTruth(
                label=i + 1,
                station=str(nodes.station[i]),
                side=str(nodes.side[i]),
                x_mm=x,
                y_mm=y,
                z_mm=z,
                short_axis_mm=round(float(nodes.short_axis_mm[i]), 3),
                long_axis_mm=round(float(nodes.short_axis_mm[i] * nodes.elongation[i]), 3),
                enhancement_hu=round(float(nodes.enhancement_hu[i]), 2),
                heterogeneity_hu=round(float(nodes.heterogeneity_hu[i]), 2),
                hilar_part=round(float(nodes.hilar_part[i]), 4),
                necrotic_part=round(float(nodes.necrotic_part[i]), 4),
                positive=bool(nodes.positive[i]),
                ceiling_probability=round(float(facts.ceiling.node[i]), 6),
            )
        )
    return tuple(rows)


# --- grids ------------------------------------------------------------------------------------------------------------


def _coordinates(grid: Geometry) -> tuple[Floats, Floats, Floats]:
    """World x (1, 1, nx), y (1, ny, 1) and z (nz, 1, 1) of a grid along the world's axes, float32."""
    x, y, z = (
        (start + step * np.arange(size)).astype(np.float32)
        for start, step, size in zip(grid.origin_mm, grid.spacing_mm[::-1], grid.shape[::-1], strict=True)
    )
    return x[None, None, :], y[None, :, None], z[:, None, None]


def _box_of(shape: Shape, grid: Geometry, *, margin_mm: float) -> Box:
    low, high = shape.box_mm
    return _box(low - margin_mm, high + margin_mm, grid)


def _box(low_mm: Floats, high_mm: Floats, grid: Geometry) -> Box:
    """Voxels between two corners, cut at the grid's edges."""
    first, last = grid.index_zyx(np.array([low_mm, high_mm]))
    return tuple(
        slice(max(math.floor(a), 0), min(math.ceil(b) + 1, size))
        for a, b, size in zip(first, last, grid.shape, strict=True)
    )


def _empty(box: Box) -> bool:
    return any(part.start >= part.stop for part in box)


def _factors(grid: Geometry, parts_mm: tuple[float, float, float]) -> tuple[int, ...]:
    """Into how many parts to divide a voxel so that none is longer than ``parts_mm``."""
    return tuple(math.ceil(spacing / part - 1e-6) for spacing, part in zip(grid.spacing_mm, parts_mm, strict=True))


# --- the cohort -------------------------------------------------------------------------------------------------------


def _reported(
    rng: np.random.Generator, positive_nodes: int, given_as_range: float, given_as_stage: float
) -> tuple[int, int | None]:
    """Give what the report says of the count: lowest and highest, or no highest if it says only that there are some."""
    way = rng.random()
    below, above = rng.integers(0, RANGE_WIDTH // 2 + 1, 2).tolist()
    if positive_nodes == 0 or way >= given_as_range + given_as_stage:
        return positive_nodes, positive_nodes
    if way < given_as_stage:
        return 1, None
    return max(positive_nodes - below, 1), positive_nodes + above


def _row(patient: str, facts: PatientFacts, reported: tuple[int, int | None]) -> dict[str, Any]:
    low, high = reported
    return {
        "patient": patient,
        "centre": facts.centre.name,
        "ct": f"images/{patient}/ct.mha",
        "lymph_nodes": f"images/{patient}/lymph_nodes.mha",
        "sex": facts.sex,
        "age_years": facts.age_years,
        "positive_nodes_low": low,
        "positive_nodes_high": high,
        "removed_nodes": facts.removed_nodes,
    }


def _write_images(seed: int, number: int, folder: Path, around_nodes_mm: float | None) -> None:
    """Write a patient's images if they are not there yet."""
    paths = (folder / "ct.mha", folder / "lymph_nodes.mha")
    if all(path.exists() for path in paths):
        return
    made = draw_patient(seed, number, around_nodes_mm=around_nodes_mm)
    for path, image in zip(paths, (made.ct, made.lymph_nodes), strict=True):
        write_image(image, path)


def _write_csv(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    partial = path.with_name(f".{path.name}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)


def _write_readme(path: Path, patients: int, seed: int, probabilities: np.ndarray[Any, Any]) -> None:
    path.write_text(
        f"""# A simulated cohort

These {patients} patients do not exist. Their scans, lymph nodes and pathology come from a program
(`bladder_lymph_nodes/simulation.py`, seed {seed}). What is learned from them shows that the software works; it says
nothing about patients.

`cohort.csv` has one row a patient. `positive_nodes_low` and `positive_nodes_high` hold the pathologist's count of
positive nodes, which is exact where both are equal; an empty `positive_nodes_high` means that the report says only
that there are some. `lymph_nodes` has one label a node. The count is not that of the positive nodes in it: one in
thirty of those was not found, and some metastases lie elsewhere.

`node_truth.csv` has one row a node, with all that decided how it looks and whether it is positive; no algorithm may
see it. `ceiling_probability` is the chance that the node is positive for an observer who knows all this. That
observer can expect an AUC of {ceiling_auc(probabilities):.3f} for pN+ on these patients; no algorithm can expect more.
""",
        encoding="utf-8",
    )


# --- chance -----------------------------------------------------------------------------------------------------------


def _generator(seed: int, number: int, purpose: Literal["patient", "anatomy", "scan", "report"]) -> np.random.Generator:
    """Give each patient and purpose its own stream."""
    return np.random.default_rng([seed, number, ("patient", "anatomy", "scan", "report").index(purpose)])
