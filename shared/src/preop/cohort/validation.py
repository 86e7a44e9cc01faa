"""Running an algorithm over a cohort, so that the evaluation can score it against the reference standard.

The result has the form of a submission to a challenge: ``predictions/`` and ``ground_truth/``.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from preop.atomic import replacing, write_text
from preop.cohort.cluster import Cluster
from preop.cohort.copies import read_elsewhere, refuse_copies
from preop.cohort.measuring import INDEX_FILE, Outcome, keep_up, patient_key
from preop.cohort.overlap import Overlap, find_overlap, looks_at_voxels
from preop.cohort.running import map_patients, refuse_to_start_again
from preop.cohort.serving import predicting
from preop.cohort.table import CENTRE_COLUMN, GROUP_COLUMN, PATIENT_COLUMN, Cohort, Patient
from preop.engines.base import DEFAULT_OPTIONS, Engine
from preop.engines.containers import ContainerEngine
from preop.engines.programs import Program, algorithm_program
from preop.engines.submissions import job_of
from preop.errors import InvalidInputError, PreopError
from preop.folders import Contents, Results, code_digest, digest_of, locked, open_resumable_run, versions_digest
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.options import Options
from preop.grandchallenge.predictions import write_predictions
from preop.study import read_model_info
from preop.toml import to_toml


@dataclass(frozen=True, kw_only=True)
class Predicted(Outcome):
    """What became of the patients of a validation.

    Attributes
    ----------
    content_sha256
        Checksum of all images and values, and of the reference standard, wherever they lie.
    overlap
        Which of the patients the model has learned from.
    """

    content_sha256: str
    overlap: Overlap


def predict_cohort(
    cohort: Cohort,
    model: Path,
    output: Path,
    *,
    task: Path | None,
    engine: Engine,
    options: Options = DEFAULT_OPTIONS,
    program: Program | None = None,
    cluster: Cluster | None = None,
    archive: Path | None = None,
    expected_sha256: str | None = None,
) -> Predicted:
    """Run the algorithm on every patient of a cohort; those are not run again for whom nothing changed since.

    The model is whoever's: of it only ``model.json`` and checksums are read here, all else by the engine.

    Parameters
    ----------
    model
        Model folder.
    output
        A new or empty folder, or one that the same algorithm and model began.
    task
        ``task.toml`` of the evaluation for this algorithm; None where the patients have no reference standard.
    engine
        What runs the algorithm.
    options
        What the user says beyond the platform's contract.
    program
        What is run; by default the algorithm as it lies in the checkout, or the image that was built from it.
    cluster
        Where it runs; by default on this machine.
    archive
        That of the image of ``program``, which machines of the cluster load where they do not have it.
    expected_sha256
        Checksum of all that is known of the patients, where it must be that of an earlier run.

    Returns
    -------
    Where the outputs lie, and why the algorithm failed on which patients, which count as failed jobs; and what of the
    patients goes into the record.

    Raises
    ------
    InvalidModelError
        If the model cannot be loaded.
    InvalidInputError
        If the reference standard of a patient is missing, patients share an image, or they are not those of an earlier run.
    InvalidOutputError
        If the folder holds something else, or another run is at work in it.
    """
    refuse_to_start_again()
    algorithm = cohort.algorithm
    info = read_model_info(model, algorithm, None)
    program = program or algorithm_program(algorithm)
    mapped = map_patients if cluster is None else cluster.map
    reference = None if task is None else reference_of(cohort, task)
    with locked(output):
        contents = Contents(output / INDEX_FILE)
        open_resumable_run(output, {"algorithm": algorithm.name, "model": contents.of(model)})
        if cluster is not None:
            read_elsewhere(cohort, contents, mapped, voxels=looks_at_voxels(cohort, info))
        refuse_copies(cohort, contents, mapped=mapped)
        content = _content_of(cohort, contents, column="" if reference is None else reference["reference_column"])
        if expected_sha256 not in {None, content}:
            raise InvalidInputError(
                f"The patients of {cohort.path.name} are not those of the record, or their images or values have changed: "
                f"the checksum of their content is {content[:12]} and not {str(expected_sha256)[:12]}."
            )
        overlap = find_overlap(cohort, model, info, contents, mapped=mapped)
        predictions = output / "predictions"
        predictions.mkdir(exist_ok=True)
        results = Results(predictions, [patient.name for patient in cohort.patients])
        # Cases are told apart by the names of their images, in which neither folders nor endings survive.
        case_names = {patient.name: results[patient.name].name for patient in cohort.patients}
        if reference is not None:
            write_ground_truth(cohort, reference, case_names, output / "ground_truth")
        common = _program_key(engine, program, algorithm) | {"the options": digest_of([asdict(options)])}
        with (
            predicting(engine, program, model, output, options=options)
            if cluster is None
            else cluster.predicting(engine, program, model, output, options=options, archive=archive)
        ) as ready:
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
    noted = replace(outcome, notes=(*cohort.notes, *outcome.notes))
    return Predicted(**vars(noted), content_sha256=content, overlap=overlap)


def _program_key(engine: Engine, program: Program, algorithm: Algorithm) -> dict[str, str]:
    """Checksums of what runs: the image, or else the code of the checkout and what lies below it."""
    image = engine.image_of(program) if isinstance(engine, ContainerEngine) else None
    if image is not None:
        return {"the image": image}
    return {"the program": versions_digest(), "the algorithm": code_digest(algorithm.folder)}


def _content_of(cohort: Cohort, contents: Contents, *, column: str) -> str:
    """Checksum of all that is known of the patients, wherever it lies."""

    def of(patient: Patient) -> object:
        try:
            return sorted(patient_key(patient, contents, columns=(column, CENTRE_COLUMN)).items())
        except PreopError as error:  # it has failed
            return type(error).__name__

    return digest_of(of(patient) for patient in cohort.patients)


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
    known = {"simulated": cohort.source.simulated, "source": cohort.source.description}
    return {
        key: value for key, value in (described | _divided(cohort, described) | known).items() if value not in ({}, [])
    }


def _divided(cohort: Cohort, described: Mapping[str, Any]) -> dict[str, Any]:
    """Say by what the evaluation divides and compares: centres and persons, and what the task names and the table has."""
    there = set(cohort.patients[0].row)
    centres = {patient.centre for patient in cohort.patients} - {""}
    groups = {column: edges for column, edges in described.get("subgroups", {}).items() if column in there}
    several = len({patient.group for patient in cohort.patients}) < len(cohort.patients)
    return {
        "subgroups": ({CENTRE_COLUMN: []} if len(centres) > 1 else {}) | groups,
        "comparators": [each for each in described.get("comparators", []) if each["column"] in there],
        **({"patient_column": GROUP_COLUMN} if several else {}),
    }


def write_ground_truth(cohort: Cohort, task: dict[str, Any], case_names: Mapping[str, str], folder: Path) -> None:
    """Make the evaluation's ground truth from the reference columns of the cohort table.

    Patients whose names cannot name a case have theirs in a column of its own.
    """
    folder.mkdir(exist_ok=True)
    write_text(folder / "task.toml", to_toml(task))
    column = task["reference_column"]
    named = [*task.get("subgroups", {}), *(each["column"] for each in task.get("comparators", []))]
    others = [each for each in dict.fromkeys(named) if each not in {CENTRE_COLUMN, column}]
    persons = [GROUP_COLUMN] if task.get("patient_column") == GROUP_COLUMN else []
    renamed = any(case != name for name, case in case_names.items())
    with replacing(folder / "reference.csv") as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("case", column, CENTRE_COLUMN, *others, *persons, *([PATIENT_COLUMN] if renamed else [])))
        for patient in cohort.patients:
            cells = [case_names[patient.name], patient.row[column], patient.centre, *map(patient.row.get, others)]
            cells += [patient.group] if persons else []
            writer.writerow((*cells, *([patient.name] if renamed else [])))
