"""The pages of many cases: those of a validation in processes of their own, and only where something changed."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from preop.cohort import Cohort, Patient
from preop.cohort.measuring import INDEX_FILE, keep_up, patient_key
from preop.cohort.running import Mapped
from preop.folders import Contents, Results, code_digest, locked, versions_digest
from preop.report.case.cards import Card
from preop.report.case.writing import PAGE_FILE, case_page_file


class _Predicted(NamedTuple):
    patient: Patient
    outputs: Path


def cohort_pages(
    cohort: Cohort,
    predictions: Mapping[str, Path],
    folder: Path,
    *,
    model: Path,
    index: Path | None = None,
    mapped: Mapped | None = None,
) -> tuple[dict[str, Card], Mapping[str, str]]:
    """Write the page of each patient of a cohort whose outputs are there.

    Parameters
    ----------
    predictions
        Folder of each patient that holds ``output``, by the patient's name.
    folder
        Gets a folder for each patient; pages whose input and output are as they were are kept.
    model
        Model folder that made the outputs.
    index
        Where checksums of the inputs are remembered; by default in the folder.
    mapped
        What writes the pages; by default processes of this machine.

    Returns
    -------
    The card of each case by the patient's name, and why others have no page.

    Raises
    ------
    InvalidOutputError
        If another run is at work in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    items = [
        (patient.name, _Predicted(patient, predictions[patient.name] / "output"))
        for patient in cohort.patients
        if patient.name in predictions
    ]
    with locked(folder):
        contents = Contents(index or folder / INDEX_FILE)
        common = {
            "the program": versions_digest(),
            "the algorithm": code_digest(cohort.algorithm.folder),
            "the model": contents.of(model),
        }
        outcome = keep_up(
            items,
            Results(folder, [name for name, _ in items]),
            functools.partial(_write, model=model),
            key_of=lambda each: {
                **common,
                **patient_key(each.patient, contents, columns=()),
                "the outputs": contents.of(each.outputs),
            },
            description="Writing pages",
            contents=contents,
            mapped=mapped,
        )
    return {name: Card.read(place) for name, place in outcome.folders.items()}, outcome.failures


def _write(predicted: _Predicted, folder: Path, *, model: Path) -> None:
    case = predicted.patient.case
    case_page_file(case, predicted.outputs, folder / PAGE_FILE, model=model, name=predicted.patient.name).write(folder)
