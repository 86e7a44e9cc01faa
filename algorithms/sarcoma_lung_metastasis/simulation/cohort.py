"""Simulated patients of this study: a limb with a sarcoma in CT, T1 MR and FDG-PET, clinical information, the true risk.

What a patient is drawn from follows the public cohort, 39 patients of the TCIA collection Soft-tissue-Sarcoma
(Vallieres et al. 2015, doi 10.1088/0031-9155/60/14/5471): the sizes, spacings, HU, noise and clinical shares below
were measured there unless a comment says otherwise. The outcome does not: it follows ``OUTCOME``, a stated model of
latent variables, so that the best possible AUC is known. How much FDG a tumour takes up is none of them: uptake speaks
of the outcome only through the grade, size, necrosis and heterogeneity that it shows. Nothing learned from these
patients says anything about real ones.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np

import preop
from preop.cohort import write_source
from preop.errors import InvalidInputError
from preop.folders import open_resumable_run
from preop.imaging import Geometry, Image, crop_geometry, resample_like, write_image
from preop.simulation import (
    CtScanner,
    LogisticOutcome,
    MrScanner,
    PetScanner,
    average,
    correlated_noise,
    draw_contour,
    finer,
    paint,
    slabs,
)
from preop.statistics import oracle_auc
from preop.study import DataSource

from .limb import ARM, THIGH, Floats, Limb, Tissue, TumourMakeup, random_limb

Progress = Callable[[int, int], None]
Modality = Literal["ct", "mr", "pet"]

SOURCE = DataSource(
    description="Simulated limbs with a tumour, and a stated chance of lung metastasis",
    source="preop simulate sarcoma_lung_metastasis",
    citation="none",
    licence="Apache-2.0",
    simulated=True,
)

CLINICAL_COLUMNS = ("age_years", "sex", "histology", "grade", "site", "margin")
# The scans a patient may have, and the columns of the image and of the tumour drawn on it.
SCAN_COLUMNS: dict[Modality, tuple[str, str]] = {
    "ct": ("ct-image", "ct-tumour-segmentation"),
    "mr": ("t1-mri", "t1-mri-tumour-segmentation"),
    "pet": ("pet-image", "pet-tumour-segmentation"),
}
COLUMNS = (
    "patient",
    "centre",
    *chain.from_iterable(SCAN_COLUMNS.values()),
    *CLINICAL_COLUMNS,
    "lung_metastasis",
    "true_probability",
)

# Grades of the 38 patients whose grade is known: 4 low, 12 intermediate, 22 high.
GRADES = {"low": 4 / 38, "intermediate": 12 / 38, "high": 22 / 38}
FEMALE = 22 / 39
AGE_YEARS = (56, 16)  # mean, standard deviation; 16 to 83 in the cohort
AGE_RANGE_YEARS = (16, 90)
LN_VOLUME_CM3 = (5.55, 1.19)  # mean, standard deviation
VOLUME_RANGE_CM3 = (17.0, 1500.0)  # the cohort has two larger ones, of 1,981 and 2,333
# The cohort's low-grade tumours are liposarcomas and malignant fibrous histiocytomas (today: undifferentiated
# pleomorphic sarcomas), two of each. It has no nerve sheath tumour; their share is assumed.
HISTOLOGY_OF_LOW_GRADE = {
    "liposarcoma": 0.5,
    "undifferentiated_pleomorphic_sarcoma": 0.3,
    "fibrosarcoma": 0.1,
    "other": 0.1,
}
HISTOLOGY = {
    "undifferentiated_pleomorphic_sarcoma": 0.34,
    "leiomyosarcoma": 0.28,
    "liposarcoma": 0.13,
    "synovial_sarcoma": 0.08,
    "extraskeletal_bone_sarcoma": 0.08,
    "fibrosarcoma": 0.03,
    "malignant_peripheral_nerve_sheath_tumour": 0.03,
    "other": 0.03,
}
# Assumed: a margin is known only after surgery, which comes after these scans.
MARGIN = {None: 0.6, "unknown": 0.1, "negative": 0.24, "positive": 0.06}
CLINICAL_VALUE_MISSING = 0.05
# Assumed, as is the use of PET: for most patients beside the others, for a few the only scan there is.
SCANS: dict[tuple[Modality, ...], float] = {("ct", "mr"): 0.7, ("ct",): 0.15, ("mr",): 0.15}
PET_USE = {"besides": 0.65, "alone": 0.05, "none": 0.3}

OUTCOME = LogisticOutcome(
    intercept=-4.35,  # for an event rate near the cohort's 15 of 39
    coefficients={
        "low_grade": -1.5,
        "high_grade": 0.6,
        "ln_volume_cm3": 0.5,
        "necrotic_fraction": 3.0,
        "ln_heterogeneity": 1.5,
    },
)


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
class Latent:
    """What decides the outcome, and can be seen in the scans more or less well."""

    grade: Literal["low", "intermediate", "high"]
    volume_cm3: float
    necrotic_fraction: float
    heterogeneity: float

    @property
    def true_probability(self) -> float:
        """Probability of lung metastasis by ``OUTCOME``."""
        return OUTCOME.probability(
            {
                "low_grade": float(self.grade == "low"),
                "high_grade": float(self.grade == "high"),
                "ln_volume_cm3": math.log(self.volume_cm3),
                "necrotic_fraction": self.necrotic_fraction,
                "ln_heterogeneity": math.log(self.heterogeneity),
            }
        )


@dataclass(frozen=True)
class Scan:
    """An image and the tumour as a reader drew it on it."""

    image: Image
    tumour: Image


@dataclass(frozen=True)
class SimulatedPatient:
    """All that is known of a simulated patient; the scans have grids and frames of their own.

    Attributes
    ----------
    centre
        Name of the hospital.
    limb
        The anatomy that all scanners saw.
    ct, t1, pet
        The scans, or None where that scanner was not used; PET in SUV by body weight.
    clinical
        What the clinic noted, as the algorithm's clinical information: every key may be absent.
    latent
        What decided the outcome.
    true_probability, lung_metastasis
        The probability of the outcome, and the outcome drawn with it (0 or 1).
    """

    centre: str
    limb: Limb
    ct: Scan | None
    t1: Scan | None
    pet: Scan | None
    clinical: dict[str, str | float]
    latent: Latent
    true_probability: float
    lung_metastasis: int


@dataclass(frozen=True)
class _Plan:
    """A patient before scanning."""

    centre: Centre
    limb: Limb
    scans: tuple[Modality, ...]
    histology: str
    clinical: dict[str, str | float]
    latent: Latent
    lung_metastasis: int


def simulate_patient(seed: int, number: int = 0, *, small: bool = False) -> SimulatedPatient:
    """Simulate one patient; the same seed and number give the same patient, whoever is simulated beside them.

    Parameters
    ----------
    seed
        Seed of the cohort, 0 or more.
    number
        Which patient of the cohort, from 0.
    small
        Small coarse images for tests and examples, instead of ones like the public cohort's.
    """
    detail = SMALL if small else REALISTIC
    plan = _draw_patient(seed, number, detail)
    scans = {kind: SCANNING[kind](plan, seed, number, detail) for kind in plan.scans}
    return SimulatedPatient(
        centre=plan.centre.name,
        limb=plan.limb,
        ct=scans.get("ct"),
        t1=scans.get("mr"),
        pet=scans.get("pet"),
        clinical=plan.clinical,
        latent=plan.latent,
        true_probability=plan.latent.true_probability,
        lung_metastasis=plan.lung_metastasis,
    )


def simulate(patients: int, seed: int, output: Path, progress: Progress | None = None, *, small: bool = False) -> None:
    """Write a simulated cohort: ``cohort.csv``, the images it names, and a README that says what it is.

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
    small
        Small coarse images, for tests and examples.

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
    open_resumable_run(
        output,
        {
            "algorithm": "sarcoma_lung_metastasis",
            "patients": patients,
            "seed": seed,
            "small": small,
            "preop": preop.__version__,
        },
    )
    detail = SMALL if small else REALISTIC
    rows = []
    for number in range(patients):
        plan = _draw_patient(seed, number, detail)
        patient = f"simulated_{number + 1:0{len(str(patients))}d}"
        rows.append(_row(patient, plan) | _write_scans(plan, seed, number, detail, output / "images" / patient))
        if progress is not None:
            progress(number + 1, patients)
    _write_readme(output / "README.md", patients, seed, np.array([row["true_probability"] for row in rows]))
    _write_csv(output / "cohort.csv", rows)
    write_source(SOURCE, output / "cohort.csv")


# --- the patient ------------------------------------------------------------------------------------------------------


def _draw_patient(seed: int, number: int, detail: Detail) -> _Plan:
    rng = _generator(seed, number, "patient")
    latent = draw_latent(rng, largest_cm3=detail.largest_cm3)
    histology = _choose(rng, HISTOLOGY_OF_LOW_GRADE if latent.grade == "low" else HISTOLOGY)
    makeup = TumourMakeup(
        volume_cm3=latent.volume_cm3,
        necrotic_fraction=latent.necrotic_fraction,
        fat_fraction=_fat_fraction(rng, histology, latent.grade),
        heterogeneity=latent.heterogeneity,
    )
    # Tumours of the arm are rare, and small: 2 of the cohort's 39, of 28 and 585 cm3.
    in_arm = rng.random() < 0.3 and latent.volume_cm3 < 120
    return _Plan(
        centre=CENTRES[rng.choice(len(CENTRES), p=[centre.share for centre in CENTRES])],
        limb=random_limb(rng, ARM if in_arm else THIGH, makeup),
        scans=_with_pet(_choose(rng, SCANS), seed, number),
        histology=histology,
        clinical=_clinical(rng, latent, histology),
        latent=latent,
        lung_metastasis=int(rng.random() < latent.true_probability),
    )


def _with_pet(others: tuple[Modality, ...], seed: int, number: int) -> tuple[Modality, ...]:
    """Add PET to a patient's scans, or put it in their place, or do neither."""
    use = _choose(_generator(seed, number, "pet_use"), PET_USE)
    scans: dict[str, tuple[Modality, ...]] = {"besides": (*others, "pet"), "alone": ("pet",), "none": others}
    return scans[use]


def draw_latent(rng: np.random.Generator, *, largest_cm3: float = VOLUME_RANGE_CM3[1]) -> Latent:
    """Draw what decides a patient's outcome.

    Necrosis is commoner in large and in high-grade tumours; how much so is assumed, for the cohort has no pathology.
    """
    grade: Any = _choose(rng, GRADES)
    mean, deviation = LN_VOLUME_CM3
    volume_cm3 = _normal_within(rng, mean, deviation, (math.log(VOLUME_RANGE_CM3[0]), math.log(largest_cm3)))
    size = (volume_cm3 - mean) / deviation
    necrosis = -1.9 + 0.4 * size + 0.6 * (grade == "high") + 0.9 * rng.standard_normal()
    return Latent(
        grade=grade,
        volume_cm3=math.exp(volume_cm3),
        necrotic_fraction=1 / (1 + math.exp(-necrosis)),
        heterogeneity=math.exp(0.35 * rng.standard_normal()),
    )


def _clinical(rng: np.random.Generator, latent: Latent, histology: str) -> dict[str, str | float]:
    complete: dict[str, str | float | None] = {
        "age_years": round(_normal_within(rng, *AGE_YEARS, AGE_RANGE_YEARS)),
        "sex": "female" if rng.random() < FEMALE else "male",
        "histology": histology,
        "grade": latent.grade,
        "site": "extremity",  # a limb is what the images show
        "margin": _choose(rng, MARGIN),
    }
    noted = rng.random(len(complete)) >= CLINICAL_VALUE_MISSING
    return {
        name: value for (name, value), kept in zip(complete.items(), noted, strict=True) if kept and value is not None
    }


def _fat_fraction(rng: np.random.Generator, histology: str, grade: str) -> float:
    """Share of fat in a tumour: much in a well differentiated liposarcoma, little in other liposarcomas (assumed)."""
    if histology != "liposarcoma":
        return 0.0
    return float(rng.uniform(0.3, 0.7) if grade == "low" else rng.uniform(0.0, 0.12))


# --- the scans --------------------------------------------------------------------------------------------------------


def _scan_ct(plan: _Plan, seed: int, number: int, detail: Detail) -> Scan:
    rng = _generator(seed, number, "ct")
    scanner = plan.centre.ct
    grid = _scanned(rng, plan.limb, detail.ct_spacing_mm or scanner.spacing_mm, detail.margin_mm)
    tumour_hu = CT_APPEARANCE["tumour"].mean + TUMOUR_HU_BETWEEN_PATIENTS * rng.standard_normal()
    hu = _tissue_map(rng, plan.limb, grid, CT_APPEARANCE | {"tumour": replace(CT_APPEARANCE["tumour"], mean=tumour_hu)})
    return _read(rng, plan.limb, scanner.scan(rng, hu))


def _scan_mr(plan: _Plan, seed: int, number: int, detail: Detail) -> Scan:
    rng = _generator(seed, number, "mr")
    scanner = plan.centre.mr
    grid = _scanned(rng, plan.limb, detail.mr_spacing_mm or scanner.spacing_mm, detail.margin_mm)
    signal = MR_APPEARANCE["tumour"].mean * math.exp(TUMOUR_SIGNAL_BETWEEN_PATIENTS * rng.standard_normal())
    tissues = MR_APPEARANCE | {"tumour": replace(MR_APPEARANCE["tumour"], mean=signal)}
    return _read(rng, plan.limb, scanner.scan(rng, _tissue_map(rng, plan.limb, grid, tissues)))


def _scan_pet(plan: _Plan, seed: int, number: int, detail: Detail) -> Scan:
    rng = _generator(seed, number, "pet")
    scanner = plan.centre.pet
    grid = _scanned(rng, plan.limb, detail.pet_spacing_mm or scanner.spacing_mm, detail.margin_mm)
    suv = _tissue_map(rng, plan.limb, grid, _uptake(rng, plan), PET_PARTS_MM)
    return _read(rng, plan.limb, scanner.scan(rng, suv))


def _uptake(rng: np.random.Generator, plan: _Plan) -> dict[Tissue, Appearance]:
    """Draw the uptake of a patient's tissues: of normal ones alike, of the tumour by its grade and kind."""
    level = math.exp(SUV_BETWEEN_PATIENTS * rng.standard_normal())
    tissues = {
        tissue: replace(
            normal, mean=level * normal.mean, texture=level * normal.texture, streaks=level * normal.streaks
        )
        for tissue, normal in PET_APPEARANCE.items()
    }
    low, high = TUMOUR_SUV_RANGE
    mean = TUMOUR_SUV[plan.latent.grade] * (LIPOSARCOMA_SUV if plan.histology == "liposarcoma" else 1)
    suv = math.exp(_normal_within(rng, math.log(mean), TUMOUR_SUV_BETWEEN_PATIENTS, (math.log(low), math.log(high))))
    pattern = plan.limb.uptake_pattern(rng, TUMOUR_SUV_SPREAD * plan.latent.heterogeneity)
    return tissues | {"tumour": replace(PET_APPEARANCE["tumour"], mean=suv, pattern=pattern)}


# How each kind of scan is made.
SCANNING: dict[Modality, Callable[[_Plan, int, int, Detail], Scan]] = {
    "ct": _scan_ct,
    "mr": _scan_mr,
    "pet": _scan_pet,
}


def _scanned(
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


# --- the cohort -------------------------------------------------------------------------------------------------------


def _row(patient: str, plan: _Plan) -> dict[str, Any]:
    return {
        "patient": patient,
        "centre": plan.centre.name,
        **{name: plan.clinical.get(name) for name in CLINICAL_COLUMNS},
        "lung_metastasis": plan.lung_metastasis,
        "true_probability": round(plan.latent.true_probability, 6),
    }


def _write_scans(plan: _Plan, seed: int, number: int, detail: Detail, images: Path) -> dict[str, str]:
    """Write the scans that are not there yet to a patient's folder of ``images``, and give their columns."""
    columns: dict[str, str] = {}
    for kind in plan.scans:
        names = SCAN_COLUMNS[kind]
        paths = [images / f"{name}.mha" for name in names]
        if not all(path.exists() for path in paths):
            made = SCANNING[kind](plan, seed, number, detail)
            for path, image in zip(paths, (made.image, made.tumour), strict=True):
                write_image(image, path)
        columns |= {name: f"images/{images.name}/{path.name}" for name, path in zip(names, paths, strict=True)}
    return columns


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    partial = path.with_name(f".{path.name}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)


def _write_readme(path: Path, patients: int, seed: int, probabilities: np.ndarray[Any, Any]) -> None:
    terms = " ".join(f"{value:+g} * {name}" for name, value in OUTCOME.coefficients.items())
    path.write_text(
        f"""# A simulated cohort

These {patients} patients do not exist. Their scans, clinical values and outcomes come from a program
(`sarcoma_lung_metastasis/simulation.py`, seed {seed}). What is learned from them shows that the software works; it
says nothing about patients.

`cohort.csv` has one row a patient; an empty cell means that this was not scanned or not noted. `pet-image` is FDG-PET in
SUV by body weight. `lung_metastasis` was drawn with `true_probability`, which no algorithm may see:

    logit P = {OUTCOME.intercept:g} {terms}

An observer who knows it can expect an AUC of {oracle_auc(probabilities):.3f} on these patients; no algorithm can
expect more. `volume_cm3` and the others are those of the drawn tumour; each scan has noise, finite resolution and a
reader's contour between them and the algorithm. FDG uptake is not among them: it rises with grade, varies with
heterogeneity and is absent from necrosis, and says nothing of the outcome beyond that.
""",
        encoding="utf-8",
    )


# --- chance -----------------------------------------------------------------------------------------------------------


def _generator(
    seed: int, number: int, purpose: Literal["patient", "ct", "mr", "pet", "pet_use"]
) -> np.random.Generator:
    """Give each patient and purpose its own stream, so that one scan can be made without the other."""
    return np.random.default_rng([seed, number, ("patient", "ct", "mr", "pet", "pet_use").index(purpose)])


def _choose(rng: np.random.Generator, shares: dict[Any, float]) -> Any:
    return list(shares)[rng.choice(len(shares), p=list(shares.values()))]


def _normal_within(rng: np.random.Generator, mean: float, deviation: float, limits: tuple[float, float]) -> float:
    """Draw from a normal distribution cut off at both limits."""
    while True:
        value = float(rng.normal(mean, deviation))
        if limits[0] <= value <= limits[1]:
            return value
