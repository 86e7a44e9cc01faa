"""Simulated patients of this study: a limb with a sarcoma in CT, MR and FDG-PET, clinical information, the true risk.

What a patient is drawn from follows the public cohort, 39 patients of the TCIA collection Soft-tissue-Sarcoma
(Vallieres et al. 2015, doi 10.1088/0031-9155/60/14/5471): sizes and clinical shares were measured there unless a
comment says otherwise. ``disease`` draws what decides the outcome, ``anatomy`` the limb around the tumour, and ``scan``
what scanners and readers see of it; this module puts patients together and writes cohorts. How much FDG a tumour takes
up does not decide the outcome: uptake predicts it only through the grade, size, necrosis and heterogeneity that it
shows. Nothing learned from these patients says anything about real ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from preop.imaging import write_image
from preop.simulation import Place, Table, random_generator, simulate_patients, write_cohort
from preop.statistics import oracle_auc
from preop.study import DataSource, Progress

from .anatomy import ARM, THIGH, Limb, TumourMakeup, random_limb
from .disease import OUTCOME, Latent, draw_fat_fraction, draw_follow_up_days, draw_histology, draw_latent
from .draws import choose, normal_within
from .scan import CENTRES, REALISTIC, SMALL, Centre, Detail, Scan, scan_ct, scan_mr, scan_pet

Modality = Literal["ct", "mr", "t2_fs", "contrast_t1", "pet"]

SOURCE = DataSource(
    description="Simulated limbs with a tumour, and a stated chance of lung metastasis",
    source="preop simulate sarcoma_lung_metastasis",
    citation="none",
    licence="Apache-2.0",
    simulated=True,
)

# Each draws from a stream of its own, so that one scan can be made without the others.
PURPOSES = ("patient", "ct", "mr", "pet", "pet_use", "follow_up", "t2_fs", "contrast_t1", "sequences")
CLINICAL_COLUMNS = ("age_years", "sex", "histology", "grade", "site", "margin")
# The scans a patient may have, and the columns of the image and of the tumour drawn on it.
SCAN_COLUMNS: dict[Modality, tuple[str, str]] = {
    "ct": ("ct-image", "ct-tumour-segmentation"),
    "mr": ("t1-mri", "t1-mri-tumour-segmentation"),
    "t2_fs": ("t2-fs-mri", "t2-fs-mri-tumour-segmentation"),
    "contrast_t1": ("contrast-t1-mri", "contrast-t1-mri-tumour-segmentation"),
    "pet": ("pet-image", "pet-tumour-segmentation"),
}
COLUMNS = (
    "patient",
    "centre",
    *chain.from_iterable(SCAN_COLUMNS.values()),
    *CLINICAL_COLUMNS,
    "lung_metastasis",
    "follow_up_days",
    "true_probability",
)

FEMALE = 22 / 39
AGE_YEARS = (56, 16)  # mean, standard deviation; 16 to 83 in the cohort
AGE_RANGE_YEARS = (16, 90)
# Assumed: a margin is known only after surgery, which comes after these scans.
MARGIN = {None: 0.6, "unknown": 0.1, "negative": 0.24, "positive": 0.06}
CLINICAL_VALUE_MISSING = 0.05
# Assumed, as is the use of PET: for most patients beside the others, for a few the only scan there is.
SCANS: dict[tuple[Modality, ...], float] = {("ct", "mr"): 0.7, ("ct",): 0.15, ("mr",): 0.15}
# Of an examination by MR, the sequences beside T1.
SEQUENCES: dict[tuple[Modality, ...], float] = {
    ("t2_fs", "contrast_t1"): 0.45,
    ("t2_fs",): 0.3,
    ("contrast_t1",): 0.1,
    (): 0.15,
}
PET_USE = {"besides": 0.65, "alone": 0.05, "none": 0.3}


@dataclass(frozen=True)
class SimulatedPatient:
    """All that is known of a simulated patient; the scans have grids and frames of their own.

    Attributes
    ----------
    centre
        Name of the hospital.
    limb
        The anatomy that all scanners saw.
    ct, t1, t2_fs, contrast_t1, pet
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
    t2_fs: Scan | None
    contrast_t1: Scan | None
    pet: Scan | None
    clinical: dict[str, str | float]
    latent: Latent
    true_probability: float
    lung_metastasis: int


@dataclass(frozen=True)
class PatientFacts:
    """A patient before scanning; the attributes as in ``SimulatedPatient``."""

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
    facts = draw_facts(seed, number, detail)
    scans = {kind: _scan(kind, facts, seed, number, detail) for kind in facts.scans}
    return SimulatedPatient(
        centre=facts.centre.name,
        limb=facts.limb,
        ct=scans.get("ct"),
        t1=scans.get("mr"),
        t2_fs=scans.get("t2_fs"),
        contrast_t1=scans.get("contrast_t1"),
        pet=scans.get("pet"),
        clinical=facts.clinical,
        latent=facts.latent,
        true_probability=facts.latent.true_probability,
        lung_metastasis=facts.lung_metastasis,
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
    detail = SMALL if small else REALISTIC
    places = simulate_patients(
        "sarcoma_lung_metastasis",
        patients=patients,
        seed=seed,
        output=output,
        write_patient=partial(_write_scans, seed=seed, detail=detail),
        progress=progress,
        small=small,
    )
    rows = [_row(place, draw_facts(seed, place.number, detail), seed) for place in places]
    write_cohort(
        output,
        Table(COLUMNS, rows),
        truth={},
        readme=_readme(seed, np.array([row["true_probability"] for row in rows])),
        source=SOURCE,
    )


# --- the patient ------------------------------------------------------------------------------------------------------


def draw_facts(seed: int, number: int, detail: Detail) -> PatientFacts:
    """Draw a patient without any image."""
    rng = random_generator(seed, number, "patient", PURPOSES)
    latent = draw_latent(rng, largest_cm3=detail.largest_cm3)
    histology = draw_histology(rng, latent.grade)
    makeup = TumourMakeup(
        volume_cm3=latent.volume_cm3,
        necrotic_fraction=latent.necrotic_fraction,
        fat_fraction=draw_fat_fraction(rng, histology, latent.grade),
        heterogeneity=latent.heterogeneity,
    )
    # Tumours of the arm are rare, and small: 2 of the cohort's 39, of 28 and 585 cm3.
    in_arm = rng.random() < 0.3 and latent.volume_cm3 < 120
    return PatientFacts(
        centre=CENTRES[rng.choice(len(CENTRES), p=[centre.share for centre in CENTRES])],
        limb=random_limb(rng, ARM if in_arm else THIGH, makeup),
        scans=_with_pet(_with_sequences(choose(rng, SCANS), seed, number), seed, number),
        histology=histology,
        clinical=_clinical(rng, latent, histology),
        latent=latent,
        lung_metastasis=int(rng.random() < latent.true_probability),
    )


def _with_sequences(scans: tuple[Modality, ...], seed: int, number: int) -> tuple[Modality, ...]:
    """Add the other sequences of an examination by MR."""
    others: tuple[Modality, ...] = choose(random_generator(seed, number, "sequences", PURPOSES), SEQUENCES)
    return (*scans, *others) if "mr" in scans else scans


def _with_pet(others: tuple[Modality, ...], seed: int, number: int) -> tuple[Modality, ...]:
    """Add PET to a patient's scans, or put it in their place, or do neither."""
    use = choose(random_generator(seed, number, "pet_use", PURPOSES), PET_USE)
    scans: dict[str, tuple[Modality, ...]] = {"besides": (*others, "pet"), "alone": ("pet",), "none": others}
    return scans[use]


def _clinical(rng: np.random.Generator, latent: Latent, histology: str) -> dict[str, str | float]:
    complete: dict[str, str | float | None] = {
        "age_years": round(normal_within(rng, *AGE_YEARS, AGE_RANGE_YEARS)),
        "sex": "female" if rng.random() < FEMALE else "male",
        "histology": histology,
        "grade": latent.grade,
        "site": "extremity",  # a limb is what the images show
        "margin": choose(rng, MARGIN),
    }
    noted = rng.random(len(complete)) >= CLINICAL_VALUE_MISSING
    return {
        name: value for (name, value), kept in zip(complete.items(), noted, strict=True) if kept and value is not None
    }


def _scan(kind: Modality, facts: PatientFacts, seed: int, number: int, detail: Detail) -> Scan:
    rng = random_generator(seed, number, kind, PURPOSES)
    if kind == "ct":
        return scan_ct(rng, facts.limb, facts.centre, detail)
    if kind == "mr":
        return scan_mr(rng, facts.limb, facts.centre, detail)
    if kind in ("t2_fs", "contrast_t1"):
        return scan_mr(rng, facts.limb, facts.centre, detail, kind)
    return scan_pet(rng, facts.limb, facts.centre, detail, latent=facts.latent, histology=facts.histology)


# --- the cohort -------------------------------------------------------------------------------------------------------


def _row(place: Place, facts: PatientFacts, seed: int) -> dict[str, Any]:
    rng = random_generator(seed, place.number, "follow_up", PURPOSES)
    probability, metastasis = facts.latent.true_probability, bool(facts.lung_metastasis)
    return {
        "patient": place.name,
        "centre": facts.centre.name,
        **{name: f"{place.relative}/{name}.mha" for kind in facts.scans for name in SCAN_COLUMNS[kind]},
        **{name: facts.clinical.get(name) for name in CLINICAL_COLUMNS},
        "lung_metastasis": facts.lung_metastasis,
        "follow_up_days": draw_follow_up_days(rng, probability, metastasis=metastasis),
        "true_probability": round(probability, 6),
    }


def _write_scans(place: Place, *, seed: int, detail: Detail) -> None:
    """Write the scans of a patient that are not there yet."""
    facts = draw_facts(seed, place.number, detail)
    for kind in facts.scans:
        paths = [place.folder / f"{name}.mha" for name in SCAN_COLUMNS[kind]]
        if not all(path.exists() for path in paths):
            made = _scan(kind, facts, seed, place.number, detail)
            for path, image in zip(paths, (made.image, made.tumour), strict=True):
                write_image(image, path)


def _readme(seed: int, probabilities: NDArray[np.float64]) -> str:
    terms = " ".join(f"{value:+g} * {name}" for name, value in OUTCOME.coefficients.items())
    return f"""# A simulated cohort

These {len(probabilities)} patients do not exist. Their scans, clinical values and outcomes come from a program
(`sarcoma_lung_metastasis/simulation`, seed {seed}). What is learned from them shows that the software works; it
says nothing about patients.

`cohort.csv` has one row per patient; an empty cell means that the scan was not made or the value not recorded.
`pet-image` is FDG-PET in SUV by body weight. `lung_metastasis` was drawn with `true_probability`, which no algorithm
may see:

    logit P = {OUTCOME.intercept:g} {terms}

`follow_up_days` is the time to the metastasis, at a rate that is constant in time and by which it has come to a share of
`true_probability` of such patients after five years; of the others, when they were last seen, after two to five years.

An observer who knows `true_probability` can expect an AUC of {oracle_auc(probabilities):.3f} on these patients; no algorithm can
expect more. `volume_cm3` and the others are those of the simulated tumour; noise, finite resolution and a reader's
contour lie between them and the algorithm. FDG uptake is not among them: it rises with grade, varies with
heterogeneity and is absent from necrosis, and predicts nothing of the outcome beyond that.
"""
