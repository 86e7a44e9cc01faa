"""Measuring a cohort patient by patient: what is finished is kept for as long as nothing that went into it changes."""

from __future__ import annotations

import functools
import json
import shutil
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preop.atomic import remove_leftovers, write_text
from preop.cohort.copies import refuse_copies
from preop.cohort.running import Mapped, PatientFailedError, map_patients, refuse_to_start_again
from preop.cohort.table import Cohort, Patient
from preop.errors import InvalidInputError, PreopError
from preop.folders import Contents, Place, Results, changes_told, code_digest, digest_of, locked, versions_digest
from preop.wording import counted

INDEX_FILE = ".checksums.json"
LOG_FILE = "failures.log"


@dataclass(frozen=True)
class Outcome:
    """What became of the patients.

    Attributes
    ----------
    folders
        Where the results of each finished patient lie, by name, in the order they were given.
    failures
        Why a patient has none, by name.
    notes
        What was computed anew and why, in sentences.
    log
        Where the tracebacks are of what nobody foresaw; None where there are none.
    """

    folders: dict[str, Path]
    failures: dict[str, str]
    notes: tuple[str, ...]
    log: Path | None = None


class FailedPatientsError(InvalidInputError):
    """Patients could not be measured: the sentence is followed by one line for each of them."""


def measure_patients(
    cohort: Cohort,
    work: Path,
    function: Callable[[Patient, Path], None],
    *,
    settings: Any = None,
    inputs: Sequence[Path] = (),
    further: Callable[[Patient], Sequence[Path]] = lambda _: (),
    columns: Collection[str] | None = None,
    description: str,
) -> dict[str, Path]:
    """Call a function for each patient of a cohort that is to be learned from; all of them must succeed.

    A patient is done again if anything changed that goes in: one of the images, the row, ``settings``, ``inputs``, this
    library or a package below it. Patients who share an image are refused unless they are of one group.

    Parameters
    ----------
    work
        Folder of the results; locked meanwhile.
    function
        Called in another process with the patient and a new folder, in which it writes what it finds; so it must be a
        function of a module (or a ``functools.partial`` of one).
    settings
        Whatever else the function is told, as JSON or a pydantic model.
    inputs
        Files and folders that it reads beside the patient's, such as networks; the algorithm's code is among them anyway.
    further
        Files of a patient that it reads beside the inputs of the case.
    columns
        Columns of the table that the function reads beside those of the inputs; left out, a change in any of them counts.
    description
        What the progress bar says.

    Returns
    -------
    Folder of each patient's results, by name, in the order of the cohort.

    Raises
    ------
    FailedPatientsError
        If patients failed, with all reasons; what was finished is kept.
    InvalidInputError
        If patients of different groups share an image.
    InvalidOutputError
        If another run is at work in the folder.
    """
    refuse_to_start_again()
    with locked(work):
        contents = Contents(work / INDEX_FILE)
        refuse_copies(cohort, contents)
        common = {
            "the settings": digest_of([_plain(settings)]),
            "the program": versions_digest(),
            "the algorithm": code_digest(cohort.algorithm.folder),
        }
        for path in inputs:
            common[path.name] = digest_of([common.get(path.name, ""), contents.of(path)])
        outcome = keep_up(
            [(patient.name, patient) for patient in cohort.patients],
            Results(work, [patient.name for patient in cohort.patients]),
            function,
            key_of=lambda patient: {
                **common,
                **patient_key(patient, contents, columns),
                "further files": digest_of([contents.of(path) for path in further(patient)]),
            },
            description=description,
            contents=contents,
        )
    tell(outcome.notes)
    if outcome.failures:
        raise FailedPatientsError(failures_told(outcome.failures, len(cohort.patients), work, outcome.log))
    return outcome.folders


def keep_up(
    items: Sequence[tuple[str, Any]],
    results: Results,
    function: Callable[[Any, Path], None],
    *,
    key_of: Callable[[Any], Mapping[str, str]],
    description: str,
    contents: Contents,
    mapped: Mapped | None = None,
) -> Outcome:
    """Do those of a folder of results that are missing or made of something else; the caller holds its lock.

    Parameters
    ----------
    items
        Name of each result, and what the function is called with, before the new folder that it fills.
    key_of
        Checksums of all that goes into a result.
    mapped
        What calls the function for all that is to be done; by default processes of this machine.
    """
    results.tidy()
    failures: dict[str, str] = {}
    keys: dict[str, Mapping[str, str]] = {}
    changed: dict[str, list[str]] = {}
    todo = []
    for name, item in items:
        try:
            keys[name] = key_of(item)
        except PreopError as error:
            failures[name] = str(error)
            results.drop(name)
            continue
        differences = results.changed(name, keys[name])
        if differences:
            changed[name] = differences
            results.drop(name)
        if differences is None or differences:
            todo.append(_Task(name, item, keys[name], results.place(name)))
    contents.save()
    log: dict[str, str] = {}
    unforeseen = False
    run = functools.partial(_make, function=function)
    with closing((mapped or map_patients)(run, todo, description=description)) as finished:
        for task, result in finished:
            if isinstance(result, PreopError):
                failures[task.name] = str(result)
                details = result.details if isinstance(result, PatientFailedError) else ""
                unforeseen |= bool(details)
                log[task.name] = f"{task.name}: {result}\n{details}\n"
    log_file = results.folder / LOG_FILE
    log_file.unlink(missing_ok=True)
    if log:
        write_text(log_file, "".join(log[name] for name, _ in items if name in log))  # whoever ended first
    folders = {name: results[name] for name, _ in items if name not in failures}
    return Outcome(folders, failures, tuple(changes_told(changed)), log_file if unforeseen else None)


def patient_key(patient: Patient, contents: Contents, columns: Collection[str] | None) -> dict[str, str]:
    """Checksums of the inputs of a patient: each file with those that belong to it, the values, and cells of the row."""
    case = patient.case
    files = {slug: contents.of(path) for slug, path in {**case.image_paths, **case.feature_files}.items()}
    cells = patient.row if columns is None else {column: patient.row.get(column, "") for column in columns}
    cells = {column: cell for column, cell in cells.items() if column not in files}  # what it points to counts
    said = [patient.name, dict(case.values), dict(case.labels), case.um_per_pixel, dict(cells)]
    return {**files, "the row": digest_of(said)}


def failures_told(failures: Mapping[str, str], patients: int, where: Path, log: Path | None = None) -> str:
    """Say which patients failed and why: a sentence, a line for each, and where more is written."""
    count = f"{len(failures)} of {counted(patients, 'patient')} failed"
    lines = "\n".join(f"{name}: {reason}" for name, reason in sorted(failures.items()))
    more = "" if log is None else f"\nTracebacks are in {log}"
    return (
        f"{count}; what was finished is kept in {where}, and the same command goes on from there. Mend these patients, or "
        f"take their rows out of the table:\n{lines}{more}"
    )


def tell(notes: Sequence[str]) -> None:
    """Show sentences to the user, apart from the output."""
    for note in notes:
        print(note, file=sys.stderr)


@dataclass(frozen=True)
class _Task:
    name: str
    item: Any
    key: Mapping[str, str]
    place: Place


def _make(task: _Task, *, function: Callable[[Any, Path], None]) -> None:
    with task.place.making(task.key) as folder:
        function(task.item, folder)


def _plain(settings: Any) -> Any:
    return json.loads(settings.model_dump_json()) if hasattr(settings, "model_dump_json") else settings


def learning_folder(work: Path, cohort: Cohort, measured: Mapping[str, Path], *, tables: Sequence[str] = ()) -> Path:
    """Give the folder for what is learned from these results, so that a stopped training goes on from there.

    It is another one as soon as a result, the table, or the algorithm's code changes; what was learned from others is
    removed.

    Parameters
    ----------
    work
        Folder of the training.
    measured
        Results by patient, as :func:`measure_patients` gives them.
    tables
        Names of tables beside the cohort's that are learned from as well, where they are there.
    """
    work.mkdir(parents=True, exist_ok=True)
    contents = Contents(work / INDEX_FILE)
    beside = [cohort.path.with_name(name) for name in tables]
    digest = digest_of(
        [
            cohort.sha256,
            code_digest(cohort.algorithm.folder),
            versions_digest(),
            [contents.of(path) for path in beside if path.is_file()],
            [[name, contents.of(folder)] for name, folder in measured.items()],
        ]
    )
    contents.save()
    folder = work / f"learned-{digest[:16]}"
    for other in work.glob("learned-*"):
        if other != folder:
            shutil.rmtree(other)
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    return folder
