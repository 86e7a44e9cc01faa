"""Evaluation of a submission: predictions compared with their reference, case by case and together.

A case without a valid prediction, whether its job failed, is missing or gave something else than was asked for, is
kept and scored as the worst that could have been predicted: leaving out difficult cases can never pay.

Likelihoods are judged by their AUC (DeLong 1988), by sensitivity, specificity, predictive values and accuracy at the
threshold that the algorithm itself states for each case (intervals: Wilson 1927), and by the Brier score. Ordered stages are judged
by accuracy and quadratic weighted kappa (Cohen 1968), beside the table of confusions.
"""

from __future__ import annotations

import dataclasses
import sys
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from preop.errors import InvalidInputError
from preop.evidence import BinaryPredictions, OrdinalPredictions
from preop.evidence.records import stated_or_unknown
from preop.tables import number, read_table
from preop.toml import first_validation_error

if TYPE_CHECKING:
    from preop.grandchallenge.predictions import Job

TASK_FILE = "task.toml"
REFERENCE_FILE = "reference.csv"
CASE_COLUMN = "case"

# metrics.json is read by dotted paths, so no key in it may hold a dot.
CategoryName = Annotated[str, Field(min_length=1, pattern=r"^[^.]+$")]
Status = Literal["valid", "invalid", "failed", "missing"]


class _Task(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(description="What is predicted, as a heading")
    study: str = Field(description="Name of the algorithm's folder")
    case_sockets: list[str] = Field(
        min_length=1, description="Input slugs whose image name or value names the case; the first present counts"
    )
    prediction_socket: str = Field(description="Output slug of the prediction")
    reference_column: str = Field(description="Column of reference.csv that holds the truth")
    simulated: bool = Field(description="Whether the patients are simulated")
    source: str = Field(description="Where patients and truth come from, in a sentence")


class BinaryTask(_Task):
    """A likelihood between 0 and 1 against a truth of 0 or 1."""

    kind: Literal["binary"]
    threshold_socket: str = Field(description="Output slug of the JSON object that states the decision threshold")
    threshold_key: str = Field(description="Key of the threshold in that object")


class OrdinalTask(_Task):
    """A stage against the true stage."""

    kind: Literal["ordinal"]
    categories: list[CategoryName] = Field(min_length=2, description="The stages in their order")

    @field_validator("categories")
    @classmethod
    def _each_once(cls, categories: list[str]) -> list[str]:
        if len(set(categories)) < len(categories):
            raise ValueError(f"{', '.join(categories)} names a stage twice")
        return categories


Task = BinaryTask | OrdinalTask


@dataclass(frozen=True)
class ReferenceCase:
    """One row of the ground truth: the truth as written, and the columns that are kept beside it."""

    name: str
    truth: str
    attributes: Mapping[str, str]


@dataclass(frozen=True)
class Prediction:
    """What one case got: ``value`` and ``threshold`` where valid, else the reason why not."""

    status: Status
    reason: str = ""
    value: float | str | None = None
    threshold: float | None = None


def evaluate(jobs: Sequence[Job], ground_truth: Path) -> dict[str, Any]:
    """Join predictions with their reference and score them.

    Parameters
    ----------
    jobs
        The runs of the submitted algorithm, in any order.
    ground_truth
        Folder with ``task.toml`` and ``reference.csv``.

    Returns
    -------
    Content of ``metrics.json``: ``task``, ``results`` (one entry a case) and ``aggregates`` (nested, no lists). The
    interval of an estimate is null where the cases do not determine one; a predictive value may itself be null, every
    other value may be ranked.

    Raises
    ------
    InvalidInputError
        If the ground truth cannot be used or holds one class only, or a job has no case, an unknown case or that of
        another job.
    """
    task = read_task(ground_truth / TASK_FILE)
    reference = read_reference(ground_truth / REFERENCE_FILE, task)
    job_of_case = match_jobs(jobs, reference, task)
    predictions = [predict(job_of_case.get(case.name), task) for case in reference]
    if isinstance(task, BinaryTask):
        scored, aggregates = score_likelihoods(reference, predictions)
    else:
        scored, aggregates = score_stages(reference, predictions, task)
    return {
        "task": _description(task),
        "results": [
            {
                "case": case.name,
                "status": prediction.status,
                "reason": prediction.reason,
                "output": prediction.value,
                **score,
                "attributes": dict(case.attributes),
            }
            for case, prediction, score in zip(reference, predictions, scored, strict=True)
        ],
        "aggregates": {"cases": _count_status(predictions), **aggregates},
    }


def score_likelihoods(
    reference: Sequence[ReferenceCase], predictions: Sequence[Prediction]
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Score likelihoods; what is not valid counts as certain of the wrong outcome, and as the wrong decision."""
    labels = [int(case.truth) for case in reference]
    scores = [
        1.0 - label if prediction.value is None else float(prediction.value)
        for label, prediction in zip(labels, predictions, strict=True)
    ]
    decisions = [
        1 - label if prediction.threshold is None else int(score >= prediction.threshold)
        for label, score, prediction in zip(labels, scores, predictions, strict=True)
    ]
    judged = BinaryPredictions.of(labels, scores, decisions)
    scored = [
        {
            "reference": label,
            "scored_as": score,
            "threshold": prediction.threshold,
            "decision": decision,
            "correct": decision == label,
        }
        for label, score, prediction, decision in zip(labels, scores, predictions, decisions, strict=True)
    ]
    measures = ("sensitivity", "specificity", "positive_predictive_value", "negative_predictive_value", "accuracy")
    aggregates = {
        "auc": stated_or_unknown(judged.auc),
        "threshold": common_threshold(predictions),
        **{name: stated_or_unknown(getattr(judged.counts, name)) for name in measures},
        "brier_score": judged.brier,
        "counts": dataclasses.asdict(judged.counts),
    }
    return scored, aggregates


def score_stages(
    reference: Sequence[ReferenceCase], predictions: Sequence[Prediction], task: OrdinalTask
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Score stages; what is not valid counts as the stage furthest from the truth."""
    truths = [case.truth for case in reference]
    given = [None if prediction.value is None else str(prediction.value) for prediction in predictions]
    judged = OrdinalPredictions.of(truths, given, task.categories)
    agreement = judged.agreement
    scored = [
        {"reference": truth, "scored_as": stage, "correct": stage == truth}
        for truth, stage in zip(judged.references, judged.predictions, strict=True)
    ]
    aggregates = {
        "accuracy": agreement.accuracy.as_dict(),
        "quadratic_weighted_kappa": stated_or_unknown(agreement.quadratic_weighted_kappa),
        "confusion": agreement.as_dict(),
    }
    return scored, aggregates


def match_jobs(jobs: Sequence[Job], reference: Sequence[ReferenceCase], task: Task) -> dict[str, Job]:
    """Find the job of each case by the name that its inputs carry.

    Raises
    ------
    InvalidInputError
        If a job has no case, one that the reference does not know, or that of another job.
    """
    known = {case.name for case in reference}
    job_of_case: dict[str, Job] = {}
    for job in jobs:
        name = next((name for name in map(job.case_name, task.case_sockets) if name is not None), None)
        if name is None:
            raise InvalidInputError(
                f"Job {job.pk} has none of the inputs that name its case ({', '.join(task.case_sockets)})."
            )
        if name not in known:
            raise InvalidInputError(
                f"Job {job.pk} is about the case '{name}', which {REFERENCE_FILE} does not hold; "
                "expected a submission on the cases of this ground truth."
            )
        if name in job_of_case:
            raise InvalidInputError(
                f"The jobs {job_of_case[name].pk} and {job.pk} are about the same case '{name}'; expected one job each."
            )
        job_of_case[name] = job
    return job_of_case


def predict(job: Job | None, task: Task) -> Prediction:
    """Take the prediction of a case from its job, or say why there is none."""
    if job is None:
        return Prediction("missing", "There is no job for this case.")
    if not job.succeeded:
        return Prediction("failed", job.error_message or "The algorithm failed on this case.")
    try:
        if isinstance(task, BinaryTask):
            return Prediction("valid", value=_likelihood(job, task), threshold=_threshold(job, task))
        return Prediction("valid", value=_stage(job, task))
    except InvalidInputError as error:
        # The same submission gives the same bytes wherever its files lie.
        return Prediction("invalid", str(error).replace(str(job.folder), f"{job.pk}/output"))


def common_threshold(predictions: Sequence[Prediction]) -> float | None:
    """Give the decision threshold that all valid predictions state; None where none is valid or they state several.

    An algorithm that takes several combinations of inputs has a model, and so a threshold, for each of them.
    """
    stated = {prediction.threshold for prediction in predictions if prediction.threshold is not None}
    return stated.pop() if len(stated) == 1 else None


def read_task(path: Path) -> Task:
    """Read what is to be evaluated.

    Raises
    ------
    InvalidInputError
        If the file is missing, broken or does not describe a task.
    """
    adapter: TypeAdapter[Task] = TypeAdapter(Annotated[Task, Field(discriminator="kind")])
    try:
        return adapter.validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"The task in {path} cannot be used: {first_validation_error(error) if isinstance(error, ValidationError) else error}."
        ) from error


def read_reference(path: Path, task: Task) -> list[ReferenceCase]:
    """Read the truth of each case, in the order of the table.

    Raises
    ------
    InvalidInputError
        If the table is missing, lacks a column, names a case twice or not at all, holds another truth than the task
        allows, or knows one class only.
    """
    table = read_table(path, key=CASE_COLUMN, expected=[task.reference_column], what="reference table")
    for note in table.notes:
        print(note, file=sys.stderr)
    cases = [_reference_case(row, line, task) for row, line in zip(table.rows, table.lines, strict=True)]
    if len({case.truth for case in cases}) < 2:
        raise InvalidInputError(
            f"All {len(cases)} cases of {REFERENCE_FILE} have the same {task.reference_column}; "
            "expected at least two classes, for nothing can be told apart in one."
        )
    return cases


def _reference_case(row: Mapping[str, str], line: int, task: Task) -> ReferenceCase:
    columns = dict(row)
    name, cell = columns.pop(CASE_COLUMN), columns.pop(task.reference_column, "")
    if not cell:
        raise InvalidInputError(f"{REFERENCE_FILE} has no '{task.reference_column}' in line {line}.")
    allowed = ["0", "1"] if isinstance(task, BinaryTask) else task.categories
    truth = _as_label(cell) if isinstance(task, BinaryTask) else cell
    if truth not in allowed:
        raise InvalidInputError(
            f"{REFERENCE_FILE} says {task.reference_column} '{cell}' in line {line}; "
            f"expected one of {', '.join(allowed)}."
        )
    return ReferenceCase(name, truth, columns)


def _as_label(cell: str) -> str:
    """Write a whole number as one, for spreadsheets make 1.0 of 1."""
    try:
        value = number(cell, "")
    except InvalidInputError:
        return cell
    return str(int(value)) if value.is_integer() else cell


def _likelihood(job: Job, task: BinaryTask) -> float:
    return _between_0_and_1(job.value(task.prediction_socket), task.prediction_socket)


def _threshold(job: Job, task: BinaryTask) -> float:
    stated = job.value(task.threshold_socket)
    if not isinstance(stated, dict) or task.threshold_key not in stated:
        raise InvalidInputError(f"{task.threshold_socket} does not state '{task.threshold_key}'.")
    return _between_0_and_1(stated[task.threshold_key], f"{task.threshold_key} of {task.threshold_socket}")


def _stage(job: Job, task: OrdinalTask) -> str:
    stage = job.value(task.prediction_socket)
    if stage not in task.categories:
        raise InvalidInputError(
            f"{task.prediction_socket} is {stage!r:.60}; expected one of {', '.join(task.categories)}."
        )
    return cast("str", stage)


def _between_0_and_1(value: object, what: str) -> float:
    # To Python, true is a number too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInputError(f"{what} is {value!r:.60}; expected a number between 0 and 1.")
    return float(value)


def _count_status(predictions: Sequence[Prediction]) -> dict[str, int]:
    counted = Counter(prediction.status for prediction in predictions)
    statuses: tuple[Status, ...] = ("valid", "invalid", "failed", "missing")
    return {"all": len(predictions), **{status: counted[status] for status in statuses}}


def _description(task: Task) -> dict[str, Any]:
    """Say in ``metrics.json`` what was evaluated, so that a reader of that file alone can tell."""
    about = {"title", "study", "kind", "reference_column", "simulated", "source"}
    return task.model_dump(include=about)


def main() -> None:
    """Evaluate what lies in the platform's folders."""
    from preop.grandchallenge.runtime import run_evaluation

    run_evaluation(evaluate)


if __name__ == "__main__":
    main()
