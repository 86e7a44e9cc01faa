"""The skeleton of a simulated cohort: patients drawn one by one, images written on all cores, then tables and truth.

A study brings what is its own: how one patient is written into a folder, and the rows of its tables. An interrupted run
goes on where it stopped, because a patient's folder is complete or not there.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import preop
from preop.cohort import map_patients, write_source
from preop.errors import InvalidInputError
from preop.folders import open_resumable_run
from preop.repeatable import one_algebra_thread
from preop.study import DataSource, Progress

COHORT_FILE = "cohort.csv"
README_FILE = "README.md"
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Place:
    """Where a simulated patient goes: the number in the cohort (from 0), the name, and the folder of the images."""

    number: int
    name: str
    folder: Path

    @property
    def relative(self) -> str:
        """The folder, as the table names it."""
        return f"images/{self.name}"


@dataclass(frozen=True)
class Table:
    """A table of the cohort: its columns, and one mapping a row."""

    columns: Sequence[str]
    rows: Iterable[Row]


def simulate_patients(
    algorithm: str,
    *,
    patients: int,
    seed: int,
    output: Path,
    write_patient: Callable[[Place], None],
    progress: Progress | None = None,
    **settings: str | float | bool,
) -> list[Place]:
    """Write the images of all patients, on all cores.

    Parameters
    ----------
    algorithm
        Name of the study.
    patients, seed
        How many, and from which seed; the same seed gives the same files, however many there are.
    output
        A new or empty folder, or one that the same call began.
    write_patient
        Writes one patient into the folder of its place, which it may find begun, or complete, by an interrupted run. A
        function of a module, or a partial of one, so that other processes can find it.
    progress
        Called with the number of patients done and that of all.
    settings
        What else the patients depend on; a folder that was begun with other settings is refused.

    Returns
    -------
    The places, in the order of the cohort.

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
    about = {"algorithm": algorithm, "patients": patients, "seed": seed, **settings, "preop": preop.__version__}
    open_resumable_run(output, about)
    names = [f"simulated_{number + 1:0{len(str(patients))}d}" for number in range(patients)]
    places = [Place(number, name, output / "images" / name) for number, name in enumerate(names)]
    write = partial(_with_one_algebra_thread, write_patient)
    for done, (_, error) in enumerate(map_patients(write, places, description=None), start=1):
        if error is not None:
            raise error
        if progress is not None:
            progress(done, patients)
    return places


def _with_one_algebra_thread(write_patient: Callable[[Place], None], place: Place) -> None:
    with one_algebra_thread():
        write_patient(place)


def write_cohort(output: Path, cohort: Table, *, truth: Mapping[str, Table], readme: str, source: DataSource) -> None:
    """Write what belongs to the images: the truth of patients and instances, a README, and ``cohort.csv`` last.

    Parameters
    ----------
    truth
        Tables of the truth, by file name.
    readme
        What the cohort is, in Markdown.
    source
        Where the patients come from, as it will stand in every model and page.
    """
    (output / README_FILE).write_text(readme, encoding="utf-8")
    for name, table in truth.items():
        write_table(output / name, table)
    write_table(output / COHORT_FILE, cohort)
    write_source(source, output / COHORT_FILE)


def write_table(path: Path, table: Table) -> None:
    """Write a table as CSV, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, table.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.rows)
    unfinished.replace(path)


def random_generator(seed: int, number: int, purpose: str, purposes: Sequence[str], *more: int) -> np.random.Generator:
    """Give each patient and purpose a stream of its own, so that one part can be made without the others.

    Parameters
    ----------
    purposes
        All purposes of the study; a new one is added at the end, or all patients change.
    more
        Further numbers that tell this stream from others of the same seed.
    """
    return np.random.default_rng([seed, number, purposes.index(purpose), *more])
