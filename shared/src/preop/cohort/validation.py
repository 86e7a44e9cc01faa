"""Running an algorithm over a cohort, so that the evaluation can score it against the reference standard.

The result has the form of a submission to a challenge: ``predictions/`` and ``ground_truth/``.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from preop.atomic import replacing, write_text
from preop.cohort.copies import refuse_copies
from preop.cohort.measuring import INDEX_FILE, Outcome, keep_up, patient_key
from preop.cohort.running import refuse_to_start_again
from preop.cohort.serving import predicting
from preop.cohort.table import CENTRE_COLUMN, PATIENT_COLUMN, Cohort
from preop.engines.base import DEFAULT_OPTIONS, Engine
from preop.engines.programs import algorithm_program
from preop.engines.submissions import job_of
from preop.errors import InvalidInputError
from preop.folders import Contents, Results, code_digest, locked, open_resumable_run, versions_digest
from preop.grandchallenge.options import Options
from preop.grandchallenge.predictions import write_predictions
from preop.study import read_model_info
from preop.toml import to_toml


def predict_cohort(
    cohort: Cohort,
    model: Path,
    output: Path,
    *,
    task: Path,
    engine: Engine,
    options: Options = DEFAULT_OPTIONS,
) -> Outcome:
    """Run the algorithm on every patient of a cohort; those are not run again for whom nothing changed since.

    The model is whoever's: of it only ``model.json`` and checksums are read here, all else by the engine.

    Parameters
    ----------
    model
        Model folder.
    output
        A new or empty folder, or one that the same algorithm and model began.
    task
        ``task.toml`` of the evaluation for this algorithm.
    engine
        What runs the algorithm.
    options
        What the user says beyond the platform's contract.

    Returns
    -------
    Where the outputs lie, and why the algorithm failed on which patients; those count as failed jobs.

    Raises
    ------
    InvalidModelError
        If the model cannot be loaded.
    InvalidInputError
        If the reference standard of a patient is missing, or patients share an image.
    InvalidOutputError
        If the folder holds something else, or another run is at work in it.
    """
    refuse_to_start_again()
    algorithm = cohort.algorithm
    read_model_info(model, algorithm, None)
    reference = reference_of(cohort, task)
    with locked(output):
        contents = Contents(output / INDEX_FILE)
        open_resumable_run(output, {"algorithm": algorithm.name, "model": contents.of(model)})
        refuse_copies(cohort, contents)
        predictions = output / "predictions"
        predictions.mkdir(exist_ok=True)
        results = Results(predictions, [patient.name for patient in cohort.patients])
        # Cases are told apart by the names of their images, in which neither folders nor endings survive.
        case_names = {patient.name: results[patient.name].name for patient in cohort.patients}
        write_ground_truth(cohort, reference, case_names, output / "ground_truth")
        common = {"the program": versions_digest(), "the algorithm": code_digest(algorithm.folder)}
        with predicting(engine, algorithm_program(algorithm), model, output, options=options) as ready:
            outcome = keep_up(
                [(patient.name, patient) for patient in cohort.patients],
                results,
                ready.predict,
                key_of=lambda patient: {**common, **patient_key(patient, contents, columns=())},
                description=f"Running {algorithm.name}",
                contents=contents,
                mapped=ready.map,
            )
        jobs = [
            job_of(
                replace(patient.case, name=case_names[patient.name]),
                case_names[patient.name],
                error_message=outcome.failures.get(patient.name),
            )
            for patient in cohort.patients
        ]
        write_predictions(predictions, jobs)
    return replace(outcome, notes=(*cohort.notes, *outcome.notes))


def reference_of(cohort: Cohort, task: Path) -> dict[str, Any]:
    """Describe the task of the evaluation with these patients, each of whom must have the reference standard.

    Raises
    ------
    InvalidInputError
        If one has none.
    """
    described = tomllib.loads(task.read_text(encoding="utf-8"))
    column = described["reference_column"]
    if missing := [patient.name for patient in cohort.patients if not patient.row.get(column)]:
        raise InvalidInputError(
            f"{cohort.path.name} has no {column} for {missing[0]}, and a validation needs the reference standard of all."
        )
    return described | {"simulated": cohort.source.simulated, "source": cohort.source.description}


def write_ground_truth(cohort: Cohort, task: dict[str, Any], case_names: Mapping[str, str], folder: Path) -> None:
    """Make the evaluation's ground truth from the reference columns of the cohort table.

    Patients whose names cannot name a case have theirs in a column of its own.
    """
    folder.mkdir(exist_ok=True)
    write_text(folder / "task.toml", to_toml(task))
    column = task["reference_column"]
    renamed = any(case != name for name, case in case_names.items())
    with replacing(folder / "reference.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("case", column, CENTRE_COLUMN, *([PATIENT_COLUMN] if renamed else [])))
        for patient in cohort.patients:
            cells = (case_names[patient.name], patient.row[column], patient.centre)
            writer.writerow((*cells, *([patient.name] if renamed else [])))
