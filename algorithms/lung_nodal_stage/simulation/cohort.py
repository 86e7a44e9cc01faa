"""Simulated patients of this study: who they are, their scans, and the cohort that they make.

Which stations are involved, how nodes differ, and what a reader and the best possible observer make of them is drawn in
``disease.py``; the organs in ``anatomy.py``; nodes are put into stations of the map of these very organs
(``placing.py``), and ``scan.py`` is how the scanners see them. Nothing but the lesions depends on the stage. Nothing
learned from these patients says anything about real ones.
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from preop.anatomy import Organs, StationMap, map_stations
from preop.imaging import Image, write_image
from preop.simulation import Place, Table, random_generator, simulate_patients, write_cohort, write_table
from preop.staging import Edition, Station, nodal_stage
from preop.study import DataSource, Progress

from .anatomy import Body, body_around, random_body
from .disease import Disease, SimulatedLesion, draw_disease, involved_stations
from .placing import Lump, place
from .scan import CENTRES, Centre, scan

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

PURPOSES = ("patient", "anatomy", "places", "scan")
LESIONS_FILE, TRUTH_FILE = "lesions.csv", "lesion_truth.csv"
SMALL_CT_MM, SMALL_PET_MM = (5.0, 3.0, 3.0), (6.0, 6.0, 6.0)


@dataclass(frozen=True)
class Facts(Disease):
    """A patient before any image: the disease, and where the scan is made.

    Attributes
    ----------
    centre
        Hospital with its scanners.

    The others as in ``disease.Disease``.
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

    ``small`` gives small coarse images for tests and examples; everything else, errors too, is as in
    :func:`preop.simulation.simulate_patients`.
    """
    places = simulate_patients(
        "lung_nodal_stage",
        patients=patients,
        seed=seed,
        output=output,
        write_patient=functools.partial(_write_patient, seed=seed, small=small),
        progress=progress,
        small=small,
    )
    write_cohort(
        output,
        Table(COLUMNS, (_row(each, draw_facts(seed, each.number)) for each in places)),
        truth={TRUTH_FILE: Table(LESION_COLUMNS, (row for each in places for row in _lesions_of(each)))},
        readme=README.format(patients=patients, seed=seed),
        source=SOURCE,
    )


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


def _write_patient(at: Place, *, seed: int, small: bool) -> None:
    """Write the images of a patient if they are not there yet, and the lesions last."""
    if (at.folder / LESIONS_FILE).exists():
        return
    made = draw_small_patient(seed, at.number) if small else draw_patient(seed, at.number)
    for slug, image in ((CT, made.ct), (PET, made.pet), (SEGMENTATION, made.lesions)):
        write_image(image, at.folder / f"{slug}.mha")
    rows = (_lesion_row(at.name, lesion) for lesion in made.facts.lesions)
    write_table(at.folder / LESIONS_FILE, Table(LESION_COLUMNS, rows))


def _row(at: Place, facts: Facts) -> dict[str, Any]:
    return {
        "patient": at.name,
        **{slug: f"{at.relative}/{slug}.mha" for slug in (CT, PET, SEGMENTATION)},
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


def _lesions_of(at: Place) -> list[dict[str, str]]:
    with (at.folder / LESIONS_FILE).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _generator(seed: int, number: int, purpose: str) -> np.random.Generator:
    return random_generator(seed, number, purpose, PURPOSES)


README = """# A simulated cohort

These {patients} patients do not exist. Their scans, lesions and pathology come from a program
(`lung_nodal_stage/simulation`, seed {seed}). What is learned from them shows that the software works; it says nothing
about patients.

`cohort.csv` has one row a patient. `n_stage` is N by pathology (9th edition; `n_stage_tnm8` by the 8th), `clinical_n` the
stage that a simulated reader of the PET/CT gave without a biopsy. `sampled_stations` are those that pathology examined,
`involved_stations` those with a malignant node. `lesion-segmentation` has one label a lesion: the primary, lymph nodes
benign and malignant, distant metastases, and foci of physiological uptake.

`lesion_truth.csv` has one row a lesion, with all that decided how it looks and whether it is malignant; no algorithm may
see it. `malignancy_oracle` is the probability that a node is malignant for an observer who knows its true size and uptake,
its station and the lobe of the primary, and judges each node by itself. `border_mm` is the distance of its centre from the
nearest border of its station.
"""
