"""Evaluation of a submission: predictions compared with their reference, case by case and together.

A case without a valid prediction, whether its job failed, is missing or gave something else than was asked for, is
kept and scored as the worst that could have been predicted: leaving out difficult cases can never pay.

What is evaluated, and which figures are stated, is declared in the ground truth (``tasks.py``); the truth is read in
``reference.py``, what was predicted in ``predictions.py``, cases are scored in ``scoring.py``, and every figure comes from
``preop.evidence.judging``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from evaluation.predictions import NOT_STATED, Assessable, Prediction, Status, match_jobs, predict
from evaluation.reference import REFERENCE_FILE, ReferenceCase, read_reference
from evaluation.scoring import Scores, score
from evaluation.tasks import TASK_FILE, Task, description, read_task
from preop.evidence.judging import aggregates_of, groups_of, key
from preop.evidence.judging.base import Chosen
from preop.tables import number

if TYPE_CHECKING:
    from preop.grandchallenge.predictions import Job


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
    Content of ``metrics.json``: ``task``, ``results`` (one entry a case), ``aggregates`` (nested, no lists) and ``curves``
    (what charts are drawn from). A figure that the cases do not determine is null, with the reason in ``not_computed``;
    every other value may be ranked.

    Raises
    ------
    InvalidInputError
        If the ground truth cannot be used, or a job has no case, an unknown case or that of another job.
    """
    task = read_task(ground_truth / TASK_FILE)
    reference = read_reference(ground_truth, task)
    job_of_case = match_jobs(jobs, reference, task)
    predictions = [predict(job_of_case.get(case.name), task) for case in reference]
    scores = score(reference, predictions, task)
    return {
        "task": description(task),
        "results": [
            _result(case, prediction, own, task)
            for case, prediction, own in zip(reference, predictions, scores.results, strict=True)
        ],
        "aggregates": _aggregates(reference, predictions, scores, task),
        "curves": scores.judged.curves(),
    }


def _result(case: ReferenceCase, prediction: Prediction, own: Mapping[str, Any], task: Task) -> dict[str, Any]:
    return {
        "case": case.name,
        "status": prediction.status,
        "reason": prediction.reason,
        "output": prediction.value,
        **own,
        **({} if task.assessable_socket is None else {"assessable": prediction.assessable}),
        "attributes": dict(case.attributes),
    }


def _aggregates(
    reference: Sequence[ReferenceCase], predictions: Sequence[Prediction], scores: Scores, task: Task
) -> dict[str, Any]:
    found: dict[str, Any] = {"cases": _count_status(predictions)}
    owners = list(scores.case_of_row)
    if task.patient_column is not None:
        found["patients"] = len({case.attributes[task.patient_column] or case.name for case in reference})
    declined = None
    if task.assessable_socket is not None:
        said = [prediction.assessable for prediction in predictions]
        counted = Counter(said)
        found["assessable"] = {key(name.replace(" ", "_")): counted[name] for name in get_args(Assessable)}
        if set(said) != {NOT_STATED}:
            declined = np.array([said[place] == "no" for place in owners])
    groups = {
        column: {name: chosen[owners] for name, chosen in _groups(reference, column, edges).items()}
        for column, edges in task.subgroups.items()
    }
    found |= scores.aggregates
    found |= aggregates_of(scores.judged, declined=declined, groups={**groups, **scores.row_groups})
    if task.comparators:
        found["comparisons"] = {key(each.name): {"name": each.name} | scores.compare(each) for each in task.comparators}
    return found


def _groups(reference: Sequence[ReferenceCase], column: str, edges: Sequence[float]) -> dict[str, Chosen]:
    cells = [case.attributes[column] for case in reference]
    numbers = None
    if edges:
        numbers = [number(cell, f"{column} of {REFERENCE_FILE}") if cell else math.nan for cell in cells]
    return groups_of(cells, edges, numbers)


def _count_status(predictions: Sequence[Prediction]) -> dict[str, int]:
    counted = Counter(prediction.status for prediction in predictions)
    return {"all": len(predictions), **{status: counted[status] for status in get_args(Status)}}


def charts(metrics: Mapping[str, Any], ground_truth: Path) -> dict[str, Any]:
    """Draw the charts that the task asks for, by the files of their sockets; one that the cases do not determine is empty."""
    from preop.report.evaluation import charts_of, empty_chart

    wanted = read_task(ground_truth / TASK_FILE).charts
    drawn = charts_of(metrics) if wanted else {}
    return {file: drawn.get(name) or empty_chart(name) for name, file in wanted.items()}


def main() -> None:
    """Evaluate what lies in the platform's folders."""
    from preop.grandchallenge.runtime import run_evaluation

    run_evaluation(evaluate, charts)


if __name__ == "__main__":
    main()
