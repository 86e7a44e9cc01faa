"""Simulated patients put together from disease, anatomy and scan, and cohorts of them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from liver_growth_pattern.lesions import CT, SEGMENTATION
from preop.imaging import Geometry, Image, write_image
from preop.simulation import Place, Table, random_generator, simulate_patients, write_cohort
from preop.staging import Pattern, Shares, patient_pattern
from preop.statistics import oracle_auc
from preop.study import DataSource, Progress

from .anatomy import place_metastases, random_abdomen
from .disease import Floats, Metastases, draw_metastases, draw_reports
from .scan import CENTRES, TEXTURE_HU, Centre, grow, liver_densities, scan, scanned_grid

Source = Literal["reader", "network"]

SOURCE = DataSource(
    description="Simulated livers with metastases whose interface grows in stated patterns",
    source="preop simulate liver_growth_pattern",
    citation="none",
    licence="Apache-2.0",
    simulated=True,
)
SECOND_SEGMENTATION = "second_segmentation"
OUTCOME = "non_desmoplastic"
LESION_SHARES_FILE, LESION_TRUTH_FILE, PATIENT_TRUTH_FILE = "lesion_shares.csv", "lesion_truth.csv", "patient_truth.csv"
COLUMNS = ("patient", CT, SEGMENTATION, SECOND_SEGMENTATION, "centre", "segmentation_source", "lesions", OUTCOME)
SHARE_COLUMNS = ("patient", "label", *Pattern)
LESION_TRUTH_COLUMNS = ("patient", "label", "radius_mm", *Pattern, "oracle_probability_pure")
PATIENT_TRUTH_COLUMNS = ("patient", "oracle_probability")

ONLY_PATIENT_KNOWN = 0.25  # share of patients of whom the pathologist reports only the patient's pattern
DRAWN_BY_NETWORK = 0.3  # share of patients whose segmentation comes from a network, not a reader
SMALL_SPACING_MM = (5.0, 1.6, 1.6)

# Each patient and purpose has a stream of its own; a new purpose goes to the end, or all patients change.
PURPOSES, STREAM = ("patient", "anatomy"), 7


@dataclass(frozen=True, eq=False)
class PatientFacts:
    """A patient before anything is drawn.

    Attributes
    ----------
    centre
        Where the scan is made.
    metastases
        What grows in the liver.
    reports
        What the pathologist says of each, whether or not the table of the cohort holds it.
    reported_each
        Whether it does; else only the pattern of the patient is known.
    source
        Who drew the metastases.
    """

    centre: Centre
    metastases: Metastases
    reports: tuple[Shares, ...]
    reported_each: bool
    source: Source

    @property
    def non_desmoplastic(self) -> bool:
        """What the consensus rule makes of the reports."""
        return not patient_pattern(self.reports).desmoplastic


@dataclass(frozen=True, eq=False)
class SimulatedPatient:
    """A simulated patient with the scan.

    Attributes
    ----------
    facts
        The patient.
    ct
        CT in HU (int16).
    reader, network
        The metastases as a reader and as a network draw them, one label each from 1 (uint8), on the same grid.
    centres_mm
        Their true centres in the scan's world (n, 3), x, y, z.
    liver_mm
        Signed distance to the surface of the liver, negative inside, on a coarse grid of its own.
    """

    facts: PatientFacts
    ct: Image
    reader: Image
    network: Image
    centres_mm: Floats
    liver_mm: Image


def draw_facts(
    seed: int, number: int = 0, *, centres: Sequence[Centre] = CENTRES, only_patient_known: float = ONLY_PATIENT_KNOWN
) -> PatientFacts:
    """Draw a patient without any image.

    Parameters
    ----------
    seed
        Seed of the cohort, 0 or more.
    number
        Which patient of the cohort, from 0; independent of the others.
    centres
        Where scans are made; drawn by the centres' shares. It changes nothing else.
    only_patient_known
        Share of the patients of whom no metastasis is reported by itself.
    """
    rng = random_generator(seed, number, "patient", PURPOSES, STREAM)
    centre = centres[rng.choice(len(centres), p=[each.share for each in centres])]
    source: Source = "network" if rng.random() < DRAWN_BY_NETWORK else "reader"
    reported_each = bool(rng.random() >= only_patient_known)
    metastases = draw_metastases(rng)
    return PatientFacts(centre, metastases, draw_reports(rng, metastases), reported_each, source)


def draw_patient(
    seed: int,
    number: int = 0,
    *,
    centres: Sequence[Centre] = CENTRES,
    only_around: bool = False,
    arterial: bool = False,
    facts: PatientFacts | None = None,
) -> SimulatedPatient:
    """Simulate one patient in memory; the same arguments give the same voxels, whoever is simulated beside them.

    Parameters
    ----------
    seed, number, centres
        As for ``draw_facts``.
    only_around
        Scan only what is near the metastases, in a fraction of the time; these voxels are the same.
    arterial
        Scan in the arterial phase, for which the algorithm is not made.
    facts
        The patient, where it is known already.
    """
    facts = facts or draw_facts(seed, number, centres=centres)
    rng = random_generator(seed, number, "anatomy", PURPOSES, STREAM)
    hu = liver_densities(rng, facts.centre, arterial=arterial)
    abdomen = random_abdomen(rng, hu, TEXTURE_HU)
    places = place_metastases(rng, abdomen, facts.metastases)
    liver = grow(rng, abdomen, facts.metastases, places, hu["liver"], arterial=arterial)
    shift = np.round(rng.uniform([-20, -150, -900], [20, -50, -300]), 1)
    grid = scanned_grid(rng, facts.centre)
    images = scan((seed, number), liver, facts.centre, grid, only_around=only_around)
    ct, reader, network, liver_mm = (
        Image(image.voxels, _shifted(image.geometry, shift)) for image in (*images, abdomen.liver_mm)
    )
    return SimulatedPatient(facts, ct, reader, network, places + shift, liver_mm)


def simulate(
    patients: int,
    seed: int,
    output: Path,
    progress: Progress | None = None,
    *,
    centres: Sequence[Centre] = CENTRES,
    only_patient_known: float = ONLY_PATIENT_KNOWN,
    small: bool = False,
) -> None:
    """Write a simulated cohort: ``cohort.csv``, the images it names, reports, the truth, and a README.

    Scans hold what is near the metastases. An interrupted run can be repeated: images that are complete are not made
    again.

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
    centres
        Where scans are made: ``EXTERNAL_CENTRES`` for a cohort of other scanners.
    only_patient_known
        As for ``draw_facts``.
    small
        Small coarse images for tests and examples.

    Raises
    ------
    InvalidInputError
        If there are fewer than 2 patients, or the seed is negative.
    InvalidOutputError
        If the folder holds anything else, or cannot be written.
    """
    if small:
        centres = [replace(each, ct=replace(each.ct, spacing_mm=SMALL_SPACING_MM)) for each in centres]
    places = simulate_patients(
        "liver_growth_pattern",
        patients=patients,
        seed=seed,
        output=output,
        write_patient=functools.partial(_write_images, seed=seed, centres=centres),
        progress=progress,
        centres=", ".join(each.name for each in centres),
        only_patient_known=only_patient_known,
        small=small,
    )
    drawn = [
        (place, draw_facts(seed, place.number, centres=centres, only_patient_known=only_patient_known))
        for place in places
    ]
    write_cohort(
        output,
        Table(COLUMNS, [_row(*each) for each in drawn]),
        truth={
            LESION_TRUTH_FILE: Table(LESION_TRUTH_COLUMNS, [row for each in drawn for row in _truth_rows(*each)]),
            PATIENT_TRUTH_FILE: Table(PATIENT_TRUTH_COLUMNS, [_oracle_row(*each) for each in drawn]),
            LESION_SHARES_FILE: Table(SHARE_COLUMNS, [row for each in drawn for row in _share_rows(*each)]),
        },
        readme=_readme(patients, seed, [facts for _, facts in drawn]),
        source=SOURCE,
    )


# --- the cohort -------------------------------------------------------------------------------------------------------


def _row(place: Place, facts: PatientFacts) -> dict[str, Any]:
    return {
        "patient": place.name,
        CT: f"{place.relative}/{CT}.mha",
        SEGMENTATION: f"{place.relative}/{facts.source}.mha",
        SECOND_SEGMENTATION: f"{place.relative}/{'reader' if facts.source == 'network' else 'network'}.mha",
        "centre": facts.centre.name,
        "segmentation_source": facts.source,
        "lesions": len(facts.metastases),
        OUTCOME: int(facts.non_desmoplastic),
    }


def _share_rows(place: Place, facts: PatientFacts) -> list[dict[str, Any]]:
    if not facts.reported_each:
        return []
    return [
        {"patient": place.name, "label": label, **_by_pattern(shares.as_tuple())}
        for label, shares in enumerate(facts.reports, start=1)
    ]


def _truth_rows(place: Place, facts: PatientFacts) -> list[dict[str, Any]]:
    of = facts.metastases
    return [
        {
            "patient": place.name,
            "label": i + 1,
            "radius_mm": round(float(of.radius_mm[i]), 2),
            **_by_pattern(np.round(of.shares[i], 4).tolist()),
            "oracle_probability_pure": round(float(of.pure_report[i]), 6),
        }
        for i in range(len(of))
    ]


def _oracle_row(place: Place, facts: PatientFacts) -> dict[str, Any]:
    return {"patient": place.name, "oracle_probability": round(facts.metastases.oracle, 6)}


def _by_pattern(shares: Iterable[float]) -> dict[str, float]:
    return {str(pattern): round(share, 4) for pattern, share in zip(Pattern, shares, strict=True)}


def _write_images(place: Place, *, seed: int, centres: Sequence[Centre]) -> None:
    """Write the images of a patient if they are not there yet."""
    paths = [place.folder / f"{name}.mha" for name in (CT, "reader", "network")]
    if all(path.exists() for path in paths):
        return
    patient = draw_patient(seed, place.number, centres=centres, only_around=True)
    for path, image in zip(paths, (patient.ct, patient.reader, patient.network), strict=True):
        write_image(image, path)


def _readme(patients: int, seed: int, facts: Sequence[PatientFacts]) -> str:
    oracles = np.array([each.metastases.oracle for each in facts])
    best = f"{oracle_auc(oracles):.3f}" if 0 < oracles.sum() < len(oracles) else "no number"
    return f"""# A simulated cohort

These {patients} patients do not exist. Their scans, metastases and pathology come from a program
(`liver_growth_pattern/simulation`, seed {seed}). What is learned from them shows that the software works; it says
nothing about patients.

`cohort.csv` has one row a patient; `{OUTCOME}` is 1 unless the whole interface of every metastasis was reported as
desmoplastic. `{LESION_SHARES_FILE}` has the shares that the pathologist reported of each metastasis; of patients who are
not in it only the pattern of the patient is known. `{SECOND_SEGMENTATION}` is the same scan drawn by the other of a reader
and a network. Scans are stored as air where they are far from all metastases.

`{LESION_TRUTH_FILE}` has the true shares of each metastasis, which no algorithm may see; an observer who knows them gives
`oracle_probability` in `{PATIENT_TRUTH_FILE}`, and can expect an AUC of {best} for non-desmoplastic patients.
"""


def _shifted(grid: Geometry, shift: Floats) -> Geometry:
    x, y, z = (np.array(grid.origin_mm) + shift).tolist()
    return Geometry(grid.shape, grid.spacing_mm, (x, y, z), grid.direction)
