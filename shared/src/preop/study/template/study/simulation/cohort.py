"""Simulated patients, and cohorts of them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preop.imaging import Image, write_image
from preop.simulation import Place, Table, random_generator, simulate_patients, write_cohort
from preop.study import DataSource, Progress

from .disease import Lesion, draw_lesion
from .scan import scan

SOURCE = DataSource(
    description="Simulated lesions: spheres whose size and density make malignancy more or less likely",
    source="preop simulate new_study",
    citation="none",
    licence="Apache-2.0",
    simulated=True,
)
CT, SEGMENTATION = "ct-image", "lesion-segmentation"  # sockets name the columns of cohort.csv
OUTCOME, TRUTH_FILE = "malignant", "truth.csv"
PURPOSES = ("lesion", "scan")


@dataclass(frozen=True, eq=False)
class SimulatedPatient:
    """A patient with CT in HU (int16) and the mask of the lesion (uint8)."""

    lesion: Lesion
    ct: Image
    segmentation: Image


def draw_patient(seed: int, number: int = 0, *, small: bool = False) -> SimulatedPatient:
    """Simulate a patient; the same arguments give the same voxels, whoever is simulated beside them."""
    lesion = draw_lesion(random_generator(seed, number, "lesion", PURPOSES))
    ct, segmentation = scan(random_generator(seed, number, "scan", PURPOSES), lesion, small=small)
    return SimulatedPatient(lesion, ct, segmentation)


def simulate(patients: int, seed: int, output: Path, progress: Progress | None = None, *, small: bool = False) -> None:
    """Write a simulated cohort: ``cohort.csv``, the images it names, the truth, and a README.

    Parameters
    ----------
    patients
        How many, 2 or more.
    seed
        The same seed gives the same files.
    output
        A new or empty folder, or one that the same call began.
    progress
        Called with the number of patients done and that of all.
    small
        Coarse images, for tests and examples.

    Raises
    ------
    InvalidInputError
        If there are fewer than 2 patients, or the seed is negative.
    InvalidOutputError
        If the folder holds anything else, or cannot be written.
    """
    places = simulate_patients(
        "new_study",
        patients=patients,
        seed=seed,
        output=output,
        write_patient=functools.partial(_write_images, seed=seed, small=small),
        progress=progress,
        small=small,
    )
    lesions = [draw_lesion(random_generator(seed, place.number, "lesion", PURPOSES)) for place in places]
    rows = [_row(*each) for each in zip(places, lesions, strict=True)]
    truth = [
        {"patient": place.name, "probability": round(lesion.probability, 6)}
        for place, lesion in zip(places, lesions, strict=True)
    ]
    write_cohort(
        output,
        Table(("patient", CT, SEGMENTATION, OUTCOME), rows),
        truth={TRUTH_FILE: Table(("patient", "probability"), truth)},
        readme=f"# A simulated cohort\n\nThese {patients} patients do not exist (seed {seed}). `{OUTCOME}` is 1 or 0; an\n"
        f"observer who knows how they were made gives `probability` in `{TRUTH_FILE}`.\n",
        source=SOURCE,
    )


def _row(place: Place, lesion: Lesion) -> dict[str, Any]:
    return {
        "patient": place.name,
        CT: f"{place.relative}/{CT}.mha",
        SEGMENTATION: f"{place.relative}/{SEGMENTATION}.mha",
        OUTCOME: int(lesion.malignant),
    }


def _write_images(place: Place, *, seed: int, small: bool) -> None:
    """Write the images of a patient if they are not there yet."""
    paths = [place.folder / f"{name}.mha" for name in (CT, SEGMENTATION)]
    if all(path.exists() for path in paths):
        return
    patient = draw_patient(seed, place.number, small=small)
    for path, image in zip(paths, (patient.ct, patient.segmentation), strict=True):
        write_image(image, path)
