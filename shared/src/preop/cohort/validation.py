"""Running an algorithm over a cohort, so that the evaluation can hold it against the reference standard.

The result has the form of a submission to a challenge: ``predictions/`` and ``ground_truth/``.
"""

from __future__ import annotations

import csv
import functools
import shutil
import tomllib
from pathlib import Path
from typing import Any

from preop.cohort.running import map_patients
from preop.cohort.table import CENTRE_COLUMN, Cohort, Patient
from preop.engines.submissions import job_of
from preop.errors import InvalidInputError, PreopError
from preop.folders import open_resumable_run, sha256
from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.grandchallenge.outputs import write_outputs
from preop.grandchallenge.predictions import write_predictions
from preop.study import MODEL_FILE, Inference, inference_of
from preop.toml import to_toml


def predict_cohort(cohort: Cohort, model: Path, output: Path, *, task: Path) -> dict[str, str]:
    """Run the algorithm on every patient of a cohort; patients that are done already are not run again.

    Parameters
    ----------
    model
        Model folder.
    output
        A new or empty folder, or one that the same cohort and model began.
    task
        ``task.toml`` of the evaluation for this algorithm.

    Returns
    -------
    Why the algorithm failed, by the patient it failed on; those count as failed jobs.

    Raises
    ------
    InvalidInputError
        If the model cannot be loaded, or the reference standard of a patient is missing.
    InvalidOutputError
        If the folder holds something else.
    """
    algorithm = cohort.algorithm
    inference_of(algorithm).load_model(model, algorithm)  # a wrong model is told before the first patient
    open_resumable_run(output, {"cohort": cohort.sha256, "model": _model_digest(model), "algorithm": algorithm.version})
    _write_ground_truth(cohort, task, output / "ground_truth")
    predictions = output / "predictions"
    predictions.mkdir(exist_ok=True)

    run = functools.partial(_predict, algorithm_folder=algorithm.folder, model=model, predictions=predictions)
    failures: dict[str, str] = {}
    for patient, result in map_patients(run, cohort.patients, description=f"Running {algorithm.name}"):
        if isinstance(result, PreopError):
            failures[patient.name] = str(result)
    jobs = [job_of(patient.case, patient.name, error_message=failures.get(patient.name)) for patient in cohort.patients]
    write_predictions(predictions, jobs)
    return failures


def _predict(patient: Patient, *, algorithm_folder: Path, model: Path, predictions: Path) -> None:
    output = predictions / patient.name / "output"
    if output.is_dir():
        return
    inference, loaded = _loaded(algorithm_folder, model)
    partial = predictions / patient.name / ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        write_outputs(inference.predict(patient.case, loaded), patient.case, partial)
        partial.replace(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@functools.cache
def _loaded(algorithm_folder: Path, model: Path) -> tuple[Inference, Any]:
    """Load the model once in each process."""
    algorithm: Algorithm = read_algorithm(algorithm_folder)
    inference = inference_of(algorithm)
    return inference, inference.load_model(model, algorithm)


def _model_digest(model: Path) -> str:
    return sha256(model / MODEL_FILE)


def _write_ground_truth(cohort: Cohort, task: Path, folder: Path) -> None:
    """Make the evaluation's ground truth from the reference columns of the cohort table."""
    folder.mkdir(exist_ok=True)
    described = tomllib.loads(task.read_text(encoding="utf-8"))
    described |= {"simulated": cohort.source.simulated, "source": cohort.source.description}
    (folder / "task.toml").write_text(to_toml(described), encoding="utf-8")
    column = described["reference_column"]
    rows = [(patient.name, patient.row.get(column, ""), patient.centre) for patient in cohort.patients]
    if missing := [name for name, reference, _ in rows if not reference]:
        raise InvalidInputError(
            f"{cohort.path.name} has no {column} for {missing[0]}, and a validation needs the reference standard of all."
        )
    with (folder / "reference.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("case", column, CENTRE_COLUMN))
        writer.writerows(rows)
