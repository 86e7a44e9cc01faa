"""CT, MR and FDG-PET of a simulated limb at centres with different scanners, and the tumour as a reader draws it.

Sizes, spacings, HU, SUV and noise were measured on the public cohort unless a comment says otherwise. Nothing here
knows the outcome.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from preop.imaging import Geometry, Image, crop_geometry, resample_like
from preop.simulation import (
    CtScanner,
    MrScanner,
    PetScanner,
    average,
    correlated_noise,
    draw_contour,
    finer,
    paint,
    slabs,
)

from .anatomy import Floats, Limb, Tissue
from .disease import VOLUME_RANGE_CM3, Latent
from .draws import normal_within


@dataclass(frozen=True)
class Appearance:
    """How a tissue looks.

    Attributes
    ----------
    mean
        Its mean.
    texture
        Standard deviation of its texture.
    streaks
        How far streaks of fat change it.
    pattern
        A factor from place to place, or None for 1 everywhere.
    """

    mean: float
    texture: float
    streaks: float = 0.0
    pattern: Image | None = None


# In HU. Fat, muscle and tumour as measured; the rest as textbooks give it.
CT_APPEARANCE: dict[Tissue, Appearance] = {
    "air": Appearance(-1000, 0),
    "skin": Appearance(10, 15),
    "fat": Appearance(-100, 9),
    "fibrous": Appearance(-60, 10),
    "muscle": Appearance(54, 6, streaks=-25),
    "oedema": Appearance(40, 5),
    "vessel": Appearance(42, 3),
    "cortical_bone": Appearance(1400, 60),
    "marrow": Appearance(-10, 40),
    "tumour": Appearance(39, 6),
    "necrosis": Appearance(16, 4),
    "tumour_fat": Appearance(-80, 12),
}
TUMOUR_HU_BETWEEN_PATIENTS = 6
# Relative to subcutaneous fat, to which the cohort's T1 images are normalised.
MR_APPEARANCE: dict[Tissue, Appearance] = {
    "air": Appearance(0, 0),
    "skin": Appearance(0.42, 0.04),
    "fat": Appearance(0.97, 0.03),
    "fibrous": Appearance(0.72, 0.04),
    "muscle": Appearance(0.29, 0.018, streaks=0.11),
    "oedema": Appearance(0.26, 0.015),
    "vessel": Appearance(0.10, 0.03),
    "cortical_bone": Appearance(0.03, 0.01),
    "marrow": Appearance(0.90, 0.04),
    "tumour": Appearance(0.315, 0.025),
    "necrosis": Appearance(0.235, 0.012),
    "tumour_fat": Appearance(0.85, 0.05),
}
TUMOUR_SIGNAL_BETWEEN_PATIENTS = 0.07  # of its logarithm
# No public cohort of these two is at hand: as textbooks give it, relative to the subcutaneous fat of a T1 image. With fat
# suppressed, T2 shows fluid brightest (necrosis, oedema, slow blood), then tumour, then muscle, and fat dark.
T2_FS_APPEARANCE: dict[Tissue, Appearance] = {
    "air": Appearance(0, 0),
    "skin": Appearance(0.18, 0.03),
    "fat": Appearance(0.08, 0.01),
    "fibrous": Appearance(0.10, 0.02),
    "muscle": Appearance(0.24, 0.015, streaks=-0.05),
    "oedema": Appearance(0.44, 0.03),
    "vessel": Appearance(0.55, 0.08),
    "cortical_bone": Appearance(0.02, 0.01),
    "marrow": Appearance(0.07, 0.01),
    "tumour": Appearance(0.62, 0.06),
    "necrosis": Appearance(1.0, 0.05),
    "tumour_fat": Appearance(0.11, 0.03),
}
# After contrast, living tumour and vessels take it up, muscle a little, and necrosis not.
CONTRAST_T1_APPEARANCE: dict[Tissue, Appearance] = MR_APPEARANCE | {
    "skin": Appearance(0.50, 0.04),
    "muscle": Appearance(0.33, 0.02, streaks=0.10),
    "oedema": Appearance(0.36, 0.02),
    "vessel": Appearance(0.80, 0.06),
    "tumour": Appearance(0.52, 0.05),
    "necrosis": Appearance(0.24, 0.012),
}
ENHANCEMENT_BETWEEN_PATIENTS = 0.15  # of its logarithm, as of the tumour's signal on T2
# In SUV by body weight. Air, fat, muscle, marrow of the shaft and necrosis as measured; the rest is assumed.
PET_APPEARANCE: dict[Tissue, Appearance] = {
    "air": Appearance(0.01, 0),
    "skin": Appearance(0.5, 0.05),
    "fat": Appearance(0.35, 0.03),
    "fibrous": Appearance(0.4, 0.03),
    "muscle": Appearance(0.8, 0.05, streaks=-0.2),
    "oedema": Appearance(1.0, 0.05),
    "vessel": Appearance(1.5, 0.05),
    "cortical_bone": Appearance(0.3, 0.02),
    "marrow": Appearance(0.45, 0.05),
    "tumour": Appearance(1, 0),  # as TUMOUR_SUV says
    "necrosis": Appearance(0.3, 0.03),
    "tumour_fat": Appearance(0.35, 0.03),
}
Sequence = Literal["t1", "t2_fs", "contrast_t1"]
# How tissues look, and how far the logarithm of the tumour's signal differs between patients.
_SEQUENCES: dict[Sequence, tuple[dict[Tissue, Appearance], float]] = {
    "t1": (MR_APPEARANCE, TUMOUR_SIGNAL_BETWEEN_PATIENTS),
    "t2_fs": (T2_FS_APPEARANCE, ENHANCEMENT_BETWEEN_PATIENTS),
    "contrast_t1": (CONTRAST_T1_APPEARANCE, ENHANCEMENT_BETWEEN_PATIENTS),
}
SUV_BETWEEN_PATIENTS = 0.2  # of the logarithm of all normal tissues' uptake
# Mean uptake of living tumour by grade, and the standard deviation of its logarithm between patients of a grade: chosen
# so that the SUVmax and the mean SUV of whole tumours, necrosis included, spread about as the cohort's do. None of the
# cohort's has a mean beyond the upper limit.
TUMOUR_SUV = {"low": 2.8, "intermediate": 3.5, "high": 5.5}
TUMOUR_SUV_BETWEEN_PATIENTS = 0.5
TUMOUR_SUV_RANGE = (0.8, 12.5)
LIPOSARCOMA_SUV = 0.6  # as a share of that
# Standard deviation of uptake from lobe to lobe in the average tumour, as a share of it.
TUMOUR_SUV_SPREAD = 0.4
GRAIN_MM = (12.0, 2.0, 2.0)  # muscle fibres and fat lobules run along the limb
STREAKS_ABOVE = 1.3  # standard deviations of the grain: a tenth of the muscle has some fat

# Tissues are painted on voxels no larger than this (z, y, x).
PARTS_MM = (2.6, 1.2, 1.2)
PET_PARTS_MM = (3.4, 2.8, 2.8)  # less than half of what a PET scanner resolves
SLAB_VOXELS = 300_000  # painted at a time

# Assumed, as is how far the hand wanders. Each scan is drawn anew; the cohort has one contour for CT and PET (Dice .99).
READER_HABIT_MM = 0.5
READER_WANDER_MM = 0.8


@dataclass(frozen=True)
class Centre:
    """A hospital with its scanners."""

    name: str
    share: float
    ct: CtScanner
    mr: MrScanner
    pet: PetScanner


# The first CT has the cohort's spacing and noise (SD 13 to 36 HU, median 23; correlation at one voxel .77 along x,
# .16 along y, .32 along z). The others, and the MR protocols, are typical ones: the cohort's T1 images come
# resampled to the CT. The PET scanners have the three spacings of the cohort (27, 7 and 5 of its 39 patients), with the
# noise in muscle and fat that images of each spacing have (relative SD .25, .37 and .27 at any uptake; correlation from
# voxel to voxel .40 to .46 along x, .57 to .67 along y, .45 to .61 along z) and edges as steep as theirs.
CENTRES = (
    Centre(
        "centre_a",
        0.5,
        CtScanner((3.27, 0.98, 0.98), resolution_mm=1.6, noise_hu=22, noise_correlation_mm=(3.0, 0.9, 2.0)),
        MrScanner((5.0, 0.86, 0.86), resolution_mm=1.0, noise=0.012, bias=0.06, bias_correlation_mm=180, scale=620),
        PetScanner((3.27, 5.47, 5.47), resolution_mm=6.5, noise=0.25, noise_correlation_mm=(4.7, 8.2, 6.8)),
    ),
    Centre(
        "centre_b",
        0.3,
        CtScanner((3.0, 0.88, 0.88), resolution_mm=1.3, noise_hu=14, noise_correlation_mm=(2.0, 1.4, 1.4)),
        MrScanner((6.0, 0.78, 0.78), resolution_mm=0.9, noise=0.02, bias=0.10, bias_correlation_mm=150, scale=290),
        PetScanner((3.27, 3.91, 3.91), resolution_mm=5.5, noise=0.36, noise_correlation_mm=(4.0, 5.7, 5.0)),
    ),
    Centre(
        "centre_c",
        0.2,
        CtScanner((5.0, 0.98, 0.98), resolution_mm=1.9, noise_hu=10, noise_correlation_mm=(4.0, 2.4, 2.4)),
        MrScanner((4.0, 0.94, 0.94), resolution_mm=1.1, noise=0.009, bias=0.08, bias_correlation_mm=200, scale=1350),
        PetScanner((3.27, 4.69, 4.69), resolution_mm=6.0, noise=0.27, noise_correlation_mm=(4.3, 8.2, 6.1)),
    ),
)


@dataclass(frozen=True)
class Detail:
    """How large the images are made.

    Attributes
    ----------
    margin_mm
        Space around the tumour that is scanned.
    largest_cm3
        Largest tumour.
    ct_spacing_mm, mr_spacing_mm, pet_spacing_mm
        Voxel spacing (z, y, x) instead of the scanner's own, or None.
    """

    margin_mm: float = 30
    largest_cm3: float = VOLUME_RANGE_CM3[1]
    ct_spacing_mm: tuple[float, float, float] | None = None
    mr_spacing_mm: tuple[float, float, float] | None = None
    pet_spacing_mm: tuple[float, float, float] | None = None


REALISTIC = Detail()  # the cohort's crops: the tumour and 30 mm around it
# To go with the program.
SMALL = Detail(
    margin_mm=20, largest_cm3=150, ct_spacing_mm=(4, 2, 2), mr_spacing_mm=(5, 2, 2), pet_spacing_mm=(5, 5, 5)
)


@dataclass(frozen=True)
class Scan:
    """An image and the tumour as a reader drew it on it."""

    image: Image
    tumour: Image


def scan_ct(rng: np.random.Generator, limb: Limb, centre: Centre, detail: Detail) -> Scan:
    """Scan a limb by CT, and have the tumour drawn on it."""
    scanner = centre.ct
    grid = scanned_grid(rng, limb, detail.ct_spacing_mm or scanner.spacing_mm, detail.margin_mm)
    tumour_hu = CT_APPEARANCE["tumour"].mean + TUMOUR_HU_BETWEEN_PATIENTS * rng.standard_normal()
    hu = _tissue_map(rng, limb, grid, CT_APPEARANCE | {"tumour": replace(CT_APPEARANCE["tumour"], mean=tumour_hu)})
    return _read(rng, limb, scanner.scan(rng, hu))


def scan_mr(rng: np.random.Generator, limb: Limb, centre: Centre, detail: Detail, sequence: Sequence = "t1") -> Scan:
    """Scan a limb by MR, and have the tumour drawn on it."""
    scanner = centre.mr
    grid = scanned_grid(rng, limb, detail.mr_spacing_mm or scanner.spacing_mm, detail.margin_mm)
    appearance, spread = _SEQUENCES[sequence]
    signal = appearance["tumour"].mean * math.exp(spread * rng.standard_normal())
    rim = limb.rim_pattern() if sequence == "contrast_t1" else None
    tissues = appearance | {"tumour": replace(appearance["tumour"], mean=signal, pattern=rim)}
    return _read(rng, limb, scanner.scan(rng, _tissue_map(rng, limb, grid, tissues)))


def scan_pet(
    rng: np.random.Generator, limb: Limb, centre: Centre, detail: Detail, *, latent: Latent, histology: str
) -> Scan:
    """Scan a limb by FDG-PET, in SUV by body weight, and have the tumour drawn on it.

    Parameters
    ----------
    latent, histology
        Decide, with chance, how much the tumour takes up.
    """
    scanner = centre.pet
    grid = scanned_grid(rng, limb, detail.pet_spacing_mm or scanner.spacing_mm, detail.margin_mm)
    suv = _tissue_map(rng, limb, grid, _uptake(rng, limb, latent, histology), PET_PARTS_MM)
    return _read(rng, limb, scanner.scan(rng, suv))


def _uptake(rng: np.random.Generator, limb: Limb, latent: Latent, histology: str) -> dict[Tissue, Appearance]:
    """Draw the uptake of a patient's tissues: of normal ones alike, of the tumour by its grade and kind."""
    level = math.exp(SUV_BETWEEN_PATIENTS * rng.standard_normal())
    tissues = {
        tissue: replace(
            normal, mean=level * normal.mean, texture=level * normal.texture, streaks=level * normal.streaks
        )
        for tissue, normal in PET_APPEARANCE.items()
    }
    low, high = TUMOUR_SUV_RANGE
    mean = TUMOUR_SUV[latent.grade] * (LIPOSARCOMA_SUV if histology == "liposarcoma" else 1)
    suv = math.exp(normal_within(rng, math.log(mean), TUMOUR_SUV_BETWEEN_PATIENTS, (math.log(low), math.log(high))))
    pattern = limb.uptake_pattern(rng, TUMOUR_SUV_SPREAD * latent.heterogeneity)
    return tissues | {"tumour": replace(PET_APPEARANCE["tumour"], mean=suv, pattern=pattern)}


def scanned_grid(
    rng: np.random.Generator, limb: Limb, spacing_mm: tuple[float, float, float], margin_mm: float
) -> Geometry:
    """Grid around the tumour, in the limb's frame, of a patient who lies turned by a few degrees."""
    angle = rng.uniform(-0.15, 0.15)
    turn = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    turned = limb.blob.surface_mm @ turn
    low, high = turned.min(axis=0) - margin_mm, turned.max(axis=0) + margin_mm
    shape = tuple(np.ceil((high - low)[::-1] / np.array(spacing_mm)).astype(int).tolist())
    x, y, z = (turn @ low).tolist()
    return Geometry(shape, spacing_mm, (x, y, z), tuple(turn.ravel().tolist()))


def _tissue_map(
    rng: np.random.Generator,
    limb: Limb,
    grid: Geometry,
    appearance: Mapping[Tissue, Appearance],
    parts_mm: tuple[float, float, float] = PARTS_MM,
) -> Image:
    """Paint the limb on a finer grid and average it over the voxels of the scan."""
    factors = tuple(math.ceil(spacing / part) for spacing, part in zip(grid.spacing_mm, parts_mm, strict=True))
    depth = factors[0]
    fine = finer(grid, factors)
    grain = correlated_noise(rng, fine.shape, fine.spacing_mm, GRAIN_MM)
    voxels = np.empty(grid.shape, dtype=np.float32)
    slices = max(SLAB_VOXELS // (depth * fine.shape[1] * fine.shape[2]), 1)
    for part, slab in slabs(grid, slices):
        fine_part = slice(part.start * depth, part.stop * depth)
        voxels[part] = average(_painted(limb, finer(slab, factors), appearance, grain[fine_part]), slab).voxels
    return Image(voxels, grid)


def _painted(limb: Limb, grid: Geometry, appearance: Mapping[Tissue, Appearance], grain: Floats) -> Image:
    canvas = np.full(grid.shape, appearance["air"].mean, dtype=np.float32)
    streaks = np.maximum(grain - STREAKS_ABOVE, 0)
    for layer in limb.layers(grid):
        tissue = appearance[layer.tissue]
        texture = grain[layer.box] if layer.texture is None else layer.texture
        value = tissue.mean + tissue.texture * texture
        if tissue.streaks:
            value += tissue.streaks * streaks[layer.box]
        if tissue.pattern is not None:
            part = crop_geometry(grid, layer.box)
            value *= resample_like(tissue.pattern, part, interpolation="linear").voxels
        paint(canvas[layer.box], layer.inside, value)
    return Image(canvas, grid)


def _read(rng: np.random.Generator, limb: Limb, image: Image) -> Scan:
    """Have the tumour drawn, and give both images the scanner's frame instead of the limb's."""
    distance = limb.tumour_distance_mm(image.geometry)
    mask = draw_contour(rng, distance, habit_mm=READER_HABIT_MM, wander_mm=READER_WANDER_MM)
    x, y, z = np.round(rng.uniform([-150, -150, -900], [50, 50, -300]), 2).tolist()
    frame = Geometry.axis_aligned(image.shape, image.spacing_mm, (x, y, z))
    return Scan(Image(image.voxels, frame), Image(mask.voxels, frame))
