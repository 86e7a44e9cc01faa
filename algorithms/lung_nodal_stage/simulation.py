"""Simulated patients of this study: PET/CT of a chest with lung cancer, the stations of its nodes, what pathology found.

Which stations are involved, how nodes differ, and what a reader and the best possible observer say of them is drawn in
``spread.py``; the organs in ``thorax.py``, where nodes are put into stations of the map of these very organs
(``placing.py``); how the scanners see them in ``scan.py``; this module puts patients together and writes cohorts. Nothing
but the lesions depends on the stage. Nothing learned from these patients says anything about real ones.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

import preop
from preop.anatomy import Organs, StationMap, map_stations
from preop.cohort import map_patients, write_source
from preop.errors import InvalidInputError
from preop.folders import open_resumable_run
from preop.imaging import Image, write_image
from preop.staging import Edition, Station, nodal_stage
from preop.study import DataSource

from .placing import Lump, place
from .scan import CENTRES, THIN, Centre, scan
from .spread import Disease, SimulatedLesion, draw_disease, involved_stations
from .thorax import Body, body_around, random_body

__all__ = [
    "CENTRES",
    "THIN",
    "Centre",
    "Facts",
    "SimulatedLesion",
    "SimulatedPatient",
    "draw_anatomy",
    "draw_facts",
    "draw_patient",
    "draw_small_patient",
    "simulate",
]

Progress = Callable[[int, int], None]

CT, PET, SEGMENTATION = "chest-ct", "fdg-pet", "lesion-segmentation"
SOURCE = DataSource(
    description="Simulated chests with lung cancer, and lymph nodes of which some are stated to be malignant",
    source="preop simulate lung_nodal_stage",
    citation="none",
    licence="Apache-2.0",
    simulated=True,
)
COLUMNS = (
    "patient",
    CT,
    PET,
    SEGMENTATION,
    "centre",
    "primary_side",
    "clinical_n",
    "n_stage",
    "n_stage_tnm8",
    "sampled_stations",
    "involved_stations",
)
LESION_COLUMNS = (
    "patient",
    "label",
    "kind",
    "site",
    "station",
    "border_mm",
    "x_mm",
    "y_mm",
    "z_mm",
    "short_axis_mm",
    "suv_max_true",
    "malignant",
    "malignancy_oracle",
)

SMALL_CT_MM, SMALL_PET_MM = (5.0, 3.0, 3.0), (6.0, 6.0, 6.0)


@dataclass(frozen=True)
class Facts(Disease):
    """A patient before any image: the disease, and where the scan is made.

    Attributes
    ----------
    centre
        Hospital with its scanners.

    The others as in ``spread.Disease``.
    """

    centre: Centre


@dataclass(frozen=True, eq=False)
class SimulatedPatient:
    """A simulated patient with the scans.

    Attributes
    ----------
    facts
        The patient; its lesions are those that could be placed, with their places.
    ct
        CT in HU (int16).
    pet
        PET in SUV by body weight (float32), on its own coarser grid.
    organs
        The true organs, as TotalSegmentator names them, on a grid of 2 mm.
    stations
        The map of stations of these organs.
    lesions
        One label a lesion (uint8), on the grid of the CT.
    """

    facts: Facts
    ct: Image
    pet: Image
    organs: Organs
    stations: StationMap
    lesions: Image


def draw_facts(seed: int, number: int = 0, *, centre: Centre | None = None) -> Facts:
    """Draw a patient without any image, in a millisecond.

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
    chosen = CENTRES[int(rng.choice(len(CENTRES), p=[each.share for each in CENTRES]))]
    disease = draw_disease(rng)
    values = {field.name: getattr(disease, field.name) for field in fields(disease)}
    return Facts(**values, centre=centre or chosen)


def draw_anatomy(seed: int, number: int = 0) -> Organs:
    """Draw the organs of a patient alone."""
    return random_body(_generator(seed, number, "anatomy")).organs


def draw_patient(
    seed: int, number: int = 0, template: Organs | None = None, *, centre: Centre | None = None
) -> SimulatedPatient:
    """Simulate one patient in memory; the same arguments give the same voxels, whoever is simulated beside them.

    Parameters
    ----------
    seed, number, centre
        As for ``draw_facts``.
    template
        Labelled organs to build on, such as those of a real person; drawn where not given.
    """
    facts = draw_facts(seed, number, centre=centre)
    body, stations, lumps = _placed(seed, number, facts, template)
    ct, pet, lesions = scan(_generator(seed, number, "scan"), body, lumps, facts.centre)
    return SimulatedPatient(_with_places(facts, lumps), ct, pet, body.organs, stations, lesions)


def draw_small_patient(seed: int, number: int = 0, template: Organs | None = None) -> SimulatedPatient:
    """Simulate one patient in small coarse images, for tests and examples."""
    centre = draw_facts(seed, number).centre
    coarse = replace(
        centre,
        ct=replace(centre.ct, spacing_mm=SMALL_CT_MM),
        pet=replace(centre.pet, spacing_mm=SMALL_PET_MM),
    )
    return draw_patient(seed, number, template, centre=coarse)


def simulate(patients: int, seed: int, output: Path, progress: Progress | None = None, *, small: bool = False) -> None:
    """Write a simulated cohort: ``cohort.csv``, the images it names, the truth of the lesions, and a README.

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
        Small coarse images for tests and examples.

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
            "algorithm": "lung_nodal_stage",
            "patients": patients,
            "seed": seed,
            "small": small,
            "preop": preop.__version__,
        },
    )
    names = [f"simulated_{number + 1:0{len(str(patients))}d}" for number in range(patients)]
    folders = [(number, output / "images" / name) for number, name in enumerate(names)]
    write = functools.partial(_write_patient, seed=seed, small=small)
    for done, (_, error) in enumerate(map_patients(write, folders, description=None), start=1):
        if error is not None:
            raise error
        if progress is not None:
            progress(done, patients)
    rows = [_row(name, draw_facts(seed, number)) for number, name in enumerate(names)]
    lesions = [row for _, folder in folders for row in _read_csv(folder / LESIONS_FILE)]
    _write_readme(output / "README.md", patients, seed)
    _write_csv(output / "lesion_truth.csv", LESION_COLUMNS, lesions)
    _write_csv(output / "cohort.csv", COLUMNS, rows)
    write_source(SOURCE, output / "cohort.csv")


# --- the patient ------------------------------------------------------------------------------------------------------


def _placed(seed: int, number: int, facts: Facts, template: Organs | None) -> tuple[Body, StationMap, list[Lump]]:
    """Draw a patient's anatomy, map its stations, and put the lesions there."""
    body = random_body(_generator(seed, number, "anatomy")) if template is None else body_around(template)
    stations = map_stations(body.organs)
    return body, stations, place(_generator(seed, number, "places"), body, stations, facts)


def _with_places(facts: Facts, lumps: list[Lump]) -> Facts:
    """Take the lesions as placed; where a template has no room for a malignant node, the stage follows."""
    lesions = tuple(lump.lesion for lump in lumps)
    if involved_stations(lesions) == facts.involved:
        return replace(facts, lesions=lesions)
    involved = [Station.parse(name) for name in involved_stations(lesions)]
    return replace(
        facts,
        lesions=lesions,
        n_tnm9=nodal_stage(involved, facts.primary_side).category,
        n_tnm8=nodal_stage(involved, facts.primary_side, Edition.EIGHTH).category,
    )


# --- the cohort -------------------------------------------------------------------------------------------------------

LESIONS_FILE = "lesions.csv"


def _write_patient(patient: tuple[int, Path], *, seed: int, small: bool) -> None:
    """Write the images of a patient, by number, into a folder if they are not there yet, and the lesions last."""
    number, folder = patient
    if (folder / LESIONS_FILE).exists():
        return
    made = draw_small_patient(seed, number) if small else draw_patient(seed, number)
    for slug, image in ((CT, made.ct), (PET, made.pet), (SEGMENTATION, made.lesions)):
        write_image(image, folder / f"{slug}.mha")
    _write_csv(
        folder / LESIONS_FILE, LESION_COLUMNS, [_lesion_row(folder.name, lesion) for lesion in made.facts.lesions]
    )


def _row(patient: str, facts: Facts) -> dict[str, Any]:
    return {
        "patient": patient,
        **{slug: f"images/{patient}/{slug}.mha" for slug in (CT, PET, SEGMENTATION)},
        "centre": facts.centre.name,
        "primary_side": str(facts.primary_side),
        "clinical_n": str(facts.clinical_n),
        "n_stage": str(facts.n_tnm9),
        "n_stage_tnm8": str(facts.n_tnm8),
        "sampled_stations": " ".join(facts.sampled),
        "involved_stations": " ".join(facts.involved),
    }


def _lesion_row(patient: str, lesion: SimulatedLesion) -> dict[str, Any]:
    x, y, z = lesion.centre_mm
    return {
        "patient": patient,
        "label": lesion.label,
        "kind": lesion.kind,
        "site": lesion.site,
        "station": lesion.station or "",
        "border_mm": round(lesion.border_mm, 2) if lesion.station else "",
        "x_mm": round(x, 2),
        "y_mm": round(y, 2),
        "z_mm": round(z, 2),
        "short_axis_mm": round(lesion.short_axis_mm, 3),
        "suv_max_true": round(lesion.suv_max_true, 3),
        "malignant": int(lesion.malignant),
        "malignancy_oracle": round(lesion.malignancy_oracle, 6),
    }


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write_csv(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    partial = path.with_name(f".{path.name}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)


def _write_readme(path: Path, patients: int, seed: int) -> None:
    path.write_text(
        f"""# A simulated cohort

These {patients} patients do not exist. Their scans, lesions and pathology come from a program
(`lung_nodal_stage/simulation.py`, seed {seed}). What is learned from them shows that the software works; it says nothing
about patients.

`cohort.csv` has one row a patient. `n_stage` is N by pathology (9th edition; `n_stage_tnm8` by the 8th), `clinical_n` what
a simulated reader of the PET/CT said without a biopsy. `sampled_stations` are those that pathology has seen,
`involved_stations` those with a malignant node. `lesion-segmentation` has one label a lesion: the primary, lymph nodes
benign and malignant, distant metastases, and foci of physiological uptake.

`lesion_truth.csv` has one row a lesion, with all that decided how it looks and whether it is malignant; no algorithm may
see it. `malignancy_oracle` is the chance that a node is malignant for an observer who knows its true size and uptake,
its station and the lobe of the primary, and judges each node by itself. `border_mm` is how far its centre lies from the
next station.
""",
        encoding="utf-8",
    )


# --- chance -----------------------------------------------------------------------------------------------------------


def _generator(seed: int, number: int, purpose: Literal["patient", "anatomy", "places", "scan"]) -> np.random.Generator:
    """Give each patient and purpose its own stream."""
    return np.random.default_rng([seed, number, ("patient", "anatomy", "places", "scan").index(purpose)])
