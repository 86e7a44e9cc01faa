"""How the scanners of a PET/CT see a simulated thorax: tissues in HU and SUV, lung vessels, lesions, resolution, noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Geometry, Image, crop_geometry
from preop.imaging.regions import Box
from preop.simulation import (
    CtScanner,
    PetScanner,
    Segment,
    Shape,
    average,
    coordinates,
    correlated_noise,
    finer,
    occupancy,
    paint,
    sample_aligned,
)

from .anatomy import AIR, AIRWAY, FAT, INDICES, MUSCLE, VEIN, Body
from .placing import Lump

Floats = NDArray[np.floating[Any]]

LOBES = tuple(name for name in INDICES if name.startswith("lung_"))
ARTERIES = (
    *("aorta", "brachiocephalic_trunk", "subclavian_artery_right", "subclavian_artery_left"),
    *("common_carotid_artery_right", "common_carotid_artery_left"),
)
VEINS = ("brachiocephalic_vein_left", "brachiocephalic_vein_right", "superior_vena_cava", "inferior_vena_cava")
BONES = ("vertebrae_", "rib_", "sternum", "clavicula", "scapula", "humerus")

# Mean density in HU and uptake in SUV; vessels depend on centre and patient. Soft tissue where nothing is listed.
SOFT_TISSUE = (50.0, 0.9)
TISSUES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(LOBES, (-845.0, 0.45)),
    **{name: (190.0, 1.3) for name in INDICES if name.startswith(BONES)},
    "trachea": (-990.0, 0.35),
    "esophagus": (42.0, 1.5),
    "spinal_cord": (38.0, 1.3),
    "thyroid_gland": (110.0, 1.2),
    "liver": (105.0, 2.3),
    "spleen": (115.0, 1.8),
    "stomach": (35.0, 1.9),
    "kidney_left": (165.0, 4.0),
    "kidney_right": (165.0, 4.0),
    "adrenal_gland_left": (70.0, 1.5),
    "adrenal_gland_right": (70.0, 1.5),
    "autochthon_left": (58.0, 0.65),
    "autochthon_right": (58.0, 0.65),
    "costal_cartilages": (105.0, 0.5),
}
CODES = {AIR: (-1000.0, 0.0), FAT: (-98.0, 0.35), MUSCLE: (56.0, 0.65), AIRWAY: (-980.0, 0.3)}
BLOOD_SUV = 1.7
HEART_HU_SHARE = 0.85  # of the enhancement of arteries
LUNG_GRADIENT_HU = 0.4  # per mm to the back, where blood collects
MYOCARDIUM = ((1.7, 2.6), (3.5, 6.0), (7.0, 11.0))  # fasting varies; chances as below
MYOCARDIUM_CHANCES = (0.5, 0.3, 0.2)
VENTRICLE_MM = (14.0, 30.0)  # radii of its cavity and of the whole
FISSURE_HU = 140.0  # how much denser than lung a voxel is that a fissure crosses
NODE_HU, TUMOUR_HU = 62.0, 55.0

GRAIN_MM, GRAIN_HU, GRAIN_SUV = 5.0, 9.0, 0.08
GRAIN_TILE = 48
VESSEL_BRANCHES = 90  # in each lung
VESSEL_TIP_MM = 0.7
VESSEL_EXPONENT = 2.7  # Murray's law, nearly

CT_PARTS_MM, PET_PARTS_MM = 0.8, 1.4
AROUND_MM = 2.0
AIR_AROUND_MM = 8.0
BREATHING_MM = (0.8, 0.8, 2.5)  # shift between CT and PET, standard deviation along x, y, z


@dataclass(frozen=True)
class Centre:
    """A hospital with its PET/CT protocol.

    Attributes
    ----------
    name, share
        Which, and its share of the patients.
    ct, pet
        Scanners and reconstructions.
    artery_hu, vein_hu
        Mean density of the vessels after contrast.
    suv_scale
        How its uptake reads beside the others'.
    matrix
        Size of the CT (z, y, x), or None for one that is cut to the body.
    """

    name: str
    share: float
    ct: CtScanner
    pet: PetScanner
    artery_hu: float
    vein_hu: float
    suv_scale: float = 1.0
    matrix: tuple[int, int, int] | None = None


def _ct(slice_mm: float, pixel_mm: float, resolution_mm: float, noise_hu: float) -> CtScanner:
    correlation = max(1.2 * pixel_mm, 1.5)
    return CtScanner((slice_mm, pixel_mm, pixel_mm), resolution_mm, noise_hu, (slice_mm, correlation, correlation))


def _pet(voxel_mm: float, resolution_mm: float, noise: float) -> PetScanner:
    return PetScanner((voxel_mm,) * 3, resolution_mm, noise, (resolution_mm,) * 3)


CENTRES = (
    Centre("centre_a", 0.4, _ct(3.0, 1.5, 1.8, 16), _pet(4.0, 6.0, 0.10), artery_hu=200, vein_hu=165),
    Centre("centre_b", 0.25, _ct(2.5, 1.4, 1.6, 20), _pet(3.6, 5.0, 0.14), artery_hu=170, vein_hu=175, suv_scale=1.08),
    Centre("centre_c", 0.2, _ct(3.0, 1.6, 2.2, 11), _pet(4.1, 7.0, 0.08), artery_hu=230, vein_hu=140, suv_scale=0.93),
    Centre("centre_d", 0.15, _ct(4.0, 1.5, 1.8, 14), _pet(4.0, 5.5, 0.12), artery_hu=185, vein_hu=180),
)
# Not part of a cohort: 256 x 256 x 300 voxels, to measure how long an algorithm takes.
THIN = Centre(
    "thin",
    0.0,
    _ct(1.3, 1.5, 1.6, 22),
    _pet(4.0, 6.0, 0.10),
    artery_hu=200,
    vein_hu=165,
    matrix=(300, 256, 256),
)


def scan(rng: np.random.Generator, body: Body, lumps: list[Lump], centre: Centre) -> tuple[Image, Image, Image]:
    """Scan a thorax with its lesions.

    Returns
    -------
    CT in HU (int16), PET in SUV (float32) on its own grid, and the lesions on the CT's grid (uint8), by their labels.
    """
    ct_grid = _grid(rng, body, centre.ct.spacing_mm, centre.matrix)
    grain = _grain(rng, body.tissue.shape)
    hu, suv = _tissue_maps(rng, centre)
    lungs = body.organs.mask(*LOBES)
    density = hu[body.tissue.voxels] + np.float32(GRAIN_HU) * grain
    density -= lungs * _gradient(body)
    density[_fissures(body)] += np.float32(FISSURE_HU)
    for sign in (-1, 1):
        _draw_vessels(rng, body, density, lungs, sign, float(hu[INDICES["pulmonary_vein"]]))
    canvas = sample_aligned(density, body.tissue.geometry, ct_grid)
    labels = np.zeros(ct_grid.shape, dtype=np.uint8)
    for lump in lumps:
        _paint_lump(lump, canvas, ct_grid, CT_PARTS_MM, _density_of(lump), labels)
    ct = centre.ct.scan(rng, Image(canvas, ct_grid))
    pet = _pet_of(rng, body, lumps, centre, suv, grain)
    return ct, pet, Image(labels, ct_grid)


def _pet_of(
    rng: np.random.Generator, body: Body, lumps: list[Lump], centre: Centre, suv: Floats, grain: Floats
) -> Image:
    grid = _grid(rng, body, centre.pet.spacing_mm, None)
    uptake = suv[body.tissue.voxels] * (1 + np.float32(GRAIN_SUV) * grain)
    uptake[_left_ventricle(body)] *= np.float32(_myocardium(rng) / BLOOD_SUV)
    canvas = sample_aligned(uptake, body.tissue.geometry, grid, averaged_axes=(0, 1, 2))
    for lump in lumps:
        _paint_lump(lump, canvas, grid, PET_PARTS_MM, lump.lesion.suv_max_true)
    pet = centre.pet.scan(rng, Image(np.maximum(canvas, 0) * np.float32(centre.suv_scale), grid))
    x, y, z = (np.array(grid.origin_mm) + rng.normal(0, BREATHING_MM)).tolist()
    return Image(pet.voxels, replace(grid, origin_mm=(x, y, z)))


# --- tissues ----------------------------------------------------------------------------------------------------------


def _tissue_maps(rng: np.random.Generator, centre: Centre) -> tuple[Floats, Floats]:
    """Draw density in HU and uptake of every label and code of a patient (256,) each."""
    hu, suv = (np.full(256, value, dtype=np.float32) for value in SOFT_TISSUE)
    for name, values in TISSUES.items():
        hu[INDICES[name]], suv[INDICES[name]] = values
    contrast = math.exp(rng.normal(0, 0.1))
    artery, vein = 45 + contrast * (centre.artery_hu - 45), 45 + contrast * (centre.vein_hu - 45)
    for names, density in ((ARTERIES, artery), (VEINS, vein), (("pulmonary_vein",), artery)):
        for name in names:
            hu[INDICES[name]], suv[INDICES[name]] = density, BLOOD_SUV
    hu[INDICES["heart"]], suv[INDICES["heart"]] = 45 + HEART_HU_SHARE * (artery - 45), BLOOD_SUV
    suv *= np.exp(rng.normal(0, 0.1, 256)).astype(np.float32)
    for code, values in {**CODES, VEIN: (vein, BLOOD_SUV)}.items():
        hu[code], suv[code] = values
    hu[[INDICES[name] for name in LOBES]] += np.float32(rng.normal(0, 20))
    blood = [INDICES[name] for name in (*ARTERIES, *VEINS, "pulmonary_vein", "heart")]
    suv[blood] = BLOOD_SUV * math.exp(rng.normal(0, 0.12))
    return hu, suv


def _grain(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Draw uneven tissue: a small piece of noise, which wraps around, laid side by side."""
    tile = correlated_noise(rng, (GRAIN_TILE,) * 3, (2.0,) * 3, (GRAIN_MM,) * 3)
    repeats = [math.ceil(size / GRAIN_TILE) for size in shape]
    return np.tile(tile, repeats)[tuple(slice(0, size) for size in shape)]


def _gradient(body: Body) -> Floats:
    """How much lighter than average the lung is at each depth, lying on the back: (1, y, 1)."""
    _, y, _ = coordinates(body.tissue.geometry)
    return np.asarray(-np.float32(LUNG_GRADIENT_HU) * (y - y.mean()))


def _fissures(body: Body) -> NDArray[np.bool_]:
    """Voxels of lung below or behind which another lobe begins."""
    labels = body.organs.labels.voxels
    low, high = (body.organs.indices[name] for name in (LOBES[0], LOBES[-1]))
    found = np.zeros(labels.shape, dtype=bool)
    for axis in (0, 1):
        here, there = (np.take(labels, range(start, labels.shape[axis] - 1 + start), axis) for start in (0, 1))
        borders = (here != there) & (here >= low) & (here <= high) & (there >= low) & (there <= high)
        found[tuple(slice(0, size) for size in borders.shape)] |= borders
    return found


def _left_ventricle(body: Body) -> NDArray[np.bool_]:
    """Muscle of the left ventricle: a thick shell in the lower left part of the heart's label."""
    heart = body.organs.mask("heart")
    if not heart.any():
        return heart
    points = body.tissue.geometry.world_mm(np.argwhere(heart))
    centre = [np.quantile(points[:, 0], 0.72), np.quantile(points[:, 1], 0.4), np.quantile(points[:, 2], 0.3)]
    distance = np.sqrt(
        sum((p - np.float32(q)) ** 2 for p, q in zip(coordinates(body.tissue.geometry), centre, strict=True))
    )
    return np.asarray(heart & (distance < VENTRICLE_MM[1]) & (distance > VENTRICLE_MM[0]))


def _myocardium(rng: np.random.Generator) -> float:
    return float(rng.uniform(*MYOCARDIUM[int(rng.choice(len(MYOCARDIUM), p=MYOCARDIUM_CHANCES))]))


def _draw_vessels(
    rng: np.random.Generator, body: Body, density: Floats, lungs: NDArray[np.bool_], sign: int, hu: float
) -> None:
    """Draw a tree of vessels from the hilum into a lung, where it is lung."""
    grid = body.tissue.geometry
    lobes = [name for name in LOBES if name.endswith("right" if sign < 0 else "left")]
    inside = np.argwhere(body.organs.mask(*lobes)[::2, ::2, ::2]) * 2
    if not len(inside):
        return
    tips = grid.world_mm(inside[rng.integers(len(inside), size=VESSEL_BRANCHES)])
    for segment in _tree(_root(body, tips, sign), tips):
        box = _box(segment, grid, AROUND_MM)
        if _empty(box):
            continue
        covered = occupancy(segment.distance_mm(*coordinates(crop_geometry(grid, box))), grid.spacing_mm[0])
        paint(density[box], covered * lungs[box], hu)


def _root(body: Body, tips: Floats, sign: int) -> Floats:
    """Where vessels enter a lung: the outer end of the pulmonary veins, or the innermost part of the lung."""
    veins = body.organs.mask("pulmonary_vein")
    if veins.any():
        points = body.tissue.geometry.world_mm(np.argwhere(veins))
        outer = points[np.argsort(sign * points[:, 0])[-20:]]
        return np.asarray(outer.mean(axis=0))
    return np.asarray(tips[np.argmin(sign * tips[:, 0])])


def _tree(root: Floats, tips: Floats) -> list[Segment]:
    """Grow a tree from a root to tips, the nearest first; each joins where it has the shortest way.

    The radius of a branch follows from the tips beyond it (Murray 1926, doi 10.1073/pnas.12.3.207).
    """
    order = np.argsort(np.linalg.norm(tips - root, axis=1))
    nodes = np.concatenate([root[None], tips[order]])
    parents = np.zeros(len(nodes), dtype=int)
    for i in range(1, len(nodes)):
        parents[i] = np.argmin(np.linalg.norm(nodes[:i] - nodes[i], axis=1))
    beyond = np.zeros(len(nodes))
    for i in range(len(nodes) - 1, 0, -1):
        beyond[i] += 1
        beyond[parents[i]] += beyond[i]
    radii = VESSEL_TIP_MM * np.maximum(beyond, 1) ** (1 / VESSEL_EXPONENT)
    return [
        Segment(np.stack([nodes[parents[i]], nodes[i]]), (float(radii[i]), float(max(radii[i] * 0.8, VESSEL_TIP_MM))))
        for i in range(1, len(nodes))
    ]


# --- lesions ----------------------------------------------------------------------------------------------------------


def _density_of(lump: Lump) -> float | None:
    """Density in HU; none of its own for physiological uptake, which has no mass."""
    return {"node": NODE_HU, "physiological": None}.get(lump.lesion.kind, TUMOUR_HU)


def _paint_lump(
    lump: Lump,
    canvas: Floats,
    grid: Geometry,
    parts_mm: float,
    value: float | None,
    labels: NDArray[np.uint8] | None = None,
) -> None:
    """Paint a lesion into the voxels it covers, in part at its edge; label the voxels of which it covers most."""
    box = _box(lump, grid, AROUND_MM)
    if _empty(box):
        return
    part = crop_geometry(grid, box)
    fine = finer(part, tuple(math.ceil(spacing / parts_mm) for spacing in grid.spacing_mm))
    inside = occupancy(lump.distance_mm(*coordinates(fine)), min(fine.spacing_mm))
    cover = average(Image(inside, fine), part).voxels
    if value is not None:
        paint(canvas[box], cover, value)
    if labels is not None:
        covered = cover > min(0.5, float(cover.max()) * 0.99)
        labels[box][covered & (labels[box] == 0)] = lump.lesion.label


# --- grids ------------------------------------------------------------------------------------------------------------


def _grid(
    rng: np.random.Generator,
    body: Body,
    spacing_mm: tuple[float, float, float],
    matrix: tuple[int, int, int] | None,
) -> Geometry:
    """Lay the voxels of a scan over the body with some air around, or as many as the matrix has around its middle."""
    tissue = body.tissue.voxels
    seen = [np.flatnonzero(tissue.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    ends = body.tissue.geometry.world_mm(np.array([[each[0] for each in seen], [each[-1] for each in seen]]))
    air = np.array([AIR_AROUND_MM, AIR_AROUND_MM, 0])
    low, high = ends[0] - air, ends[1] + air
    spacing = np.array(spacing_mm)
    shape = np.floor((high - low)[::-1] / spacing).astype(int) + 1 if matrix is None else np.array(matrix)
    first = (low + high) / 2 - ((shape - 1) / 2 * spacing)[::-1] + rng.uniform(-0.5, 0.5, 3) * spacing[::-1]
    x, y, z = np.round(first, 2).tolist()
    return Geometry.axis_aligned(tuple(shape.tolist()), spacing_mm, (x, y, z))


def _box(shape: Shape | Lump, grid: Geometry, margin_mm: float) -> Box:
    """Voxels of the box around a shape, cut at the grid's edges."""
    low, high = shape.box_mm
    first, last = grid.index_zyx(np.array([low - margin_mm, high + margin_mm]))
    return tuple(
        slice(max(math.floor(a), 0), min(math.ceil(b) + 1, size))
        for a, b, size in zip(first, last, grid.shape, strict=True)
    )


def _empty(box: Box) -> bool:
    return any(part.start >= part.stop for part in box)
