"""Scores of each case, and all cases as the library judges them; what is not valid counts as the worst possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluation.predictions import Prediction
from evaluation.reference import REFERENCE_FILE, ReferenceCase
from evaluation.tasks import (
    BinaryTask,
    Comparator,
    CountTask,
    DetectionTask,
    InstancesTask,
    OrdinalTask,
    SharesTask,
    SurvivalTask,
    Task,
)
from preop.errors import InvalidInputError
from preop.evidence import BinaryPredictions, OrdinalPredictions
from preop.evidence.judging import (
    BinarySettings,
    Judged,
    JudgedBinary,
    JudgedCounts,
    JudgedDetections,
    JudgedOrdinal,
    JudgedShares,
    JudgedSurvival,
)
from preop.evidence.judging.base import Chosen
from preop.statistics import Marks, match_marks
from preop.tables import number

Cells = Sequence[str]
Scored = list[dict[str, Any]]


@dataclass(frozen=True)
class Scores:
    """Cases that were scored.

    Attributes
    ----------
    results
        What ``metrics.json`` says of each case.
    judged
        All of them; of instances, a row each.
    case_of_row
        Place of the case of each row of ``judged``.
    aggregates
        What is said of all cases beside the figures.
    compare
        Takes a comparator and its cells (n,), and gives the comparison.
    row_groups
        Groups of the rows of ``judged`` that no column of the reference makes.
    """

    results: Scored
    judged: Judged
    case_of_row: Sequence[int]
    aggregates: dict[str, Any] = field(default_factory=dict)
    compare: Callable[[Comparator, Cells], dict[str, Any]] | None = None
    row_groups: Mapping[str, Mapping[str, Chosen]] = field(default_factory=dict)


def score(reference: Sequence[ReferenceCase], predictions: Sequence[Prediction], task: Task) -> Scores:
    """Score all cases by their kind of task."""
    patients = None
    if task.patient_column is not None:
        patients = tuple(case.attributes[task.patient_column] or case.name for case in reference)
    return _SCORERS[type(task)](reference, predictions, task, patients)


def common_threshold(predictions: Sequence[Prediction]) -> float | None:
    """Give the decision threshold that all valid predictions state; None where none is valid or they state several.

    An algorithm that takes several combinations of inputs has a model, and so a threshold, for each of them.
    """
    stated = {prediction.threshold for prediction in predictions if prediction.threshold is not None}
    return stated.pop() if len(stated) == 1 else None


def _binary(
    reference: Sequence[ReferenceCase],
    predictions: Sequence[Prediction],
    task: BinaryTask,
    patients: tuple[str, ...] | None,
) -> Scores:
    """Likelihoods; what is not valid counts as certain of the wrong outcome, and as the wrong decision."""
    labels = [case.truth for case in reference]
    scores = [
        1.0 - label if prediction.value is None else prediction.value
        for label, prediction in zip(labels, predictions, strict=True)
    ]
    decisions = [
        1 - label if prediction.threshold is None else int(score >= prediction.threshold)
        for label, score, prediction in zip(labels, scores, predictions, strict=True)
    ]
    results = [
        {
            "reference": label,
            "scored_as": score,
            "threshold": prediction.threshold,
            "decision": decision,
            "correct": decision == label,
        }
        for label, score, prediction, decision in zip(labels, scores, predictions, decisions, strict=True)
    ]
    judged = JudgedBinary(
        BinaryPredictions.of(labels, scores, decisions, patients),
        BinarySettings(task.prevalence, task.partial_auc_sensitivity, tuple(task.net_benefit_thresholds)),
        task.resampling,
    )

    def compare(comparator: Comparator, cells: Cells) -> dict[str, Any]:
        known = np.array([bool(cell) for cell in cells])
        part = judged.take(known)
        values = np.array([_probability(cell, comparator) for cell in cells if cell])
        called = None
        if comparator.threshold is not None:
            called = values >= comparator.threshold
        elif np.isin(values, (0, 1)).all():
            called = values == 1
        return part.compare(BinaryPredictions.of(part.predictions.labels, values, called))

    return Scores(results, judged, range(len(reference)), {"threshold": common_threshold(predictions)}, compare)


def _ordinal(
    reference: Sequence[ReferenceCase],
    predictions: Sequence[Prediction],
    task: OrdinalTask,
    patients: tuple[str, ...] | None,
) -> Scores:
    """Stages; what is not valid counts as the stage furthest from the truth."""
    given = OrdinalPredictions.of(
        [case.truth for case in reference], [prediction.value for prediction in predictions], task.categories
    )
    results = [
        {"reference": truth, "scored_as": stage, "correct": stage == truth}
        for truth, stage in zip(given.references, given.predictions, strict=True)
    ]
    judged = JudgedOrdinal(given, patients, task.resampling)

    def compare(comparator: Comparator, cells: Cells) -> dict[str, Any]:
        known = np.array([bool(cell) for cell in cells])
        part = judged.take(known)
        strange = [cell for cell in cells if cell and cell not in task.categories]
        if strange:
            raise InvalidInputError(
                f"{REFERENCE_FILE} says {comparator.column} '{strange[0]}'; expected one of {', '.join(task.categories)}."
            )
        stages = [cell for cell in cells if cell]
        return part.compare(OrdinalPredictions.of(part.predictions.references, stages, task.categories))

    return Scores(results, judged, range(len(reference)), {}, compare)


def _counts(
    reference: Sequence[ReferenceCase],
    predictions: Sequence[Prediction],
    task: CountTask,
    patients: tuple[str, ...] | None,
) -> Scores:
    """Numbers; what is not valid counts as certain of 0 or the largest, whichever is further from the truth."""
    truths = [case.truth for case in reference]
    rows = []
    for truth, prediction in zip(truths, predictions, strict=True):
        worst = [0.0] * (task.largest + 1)
        worst[task.largest if 2 * truth <= task.largest else 0] = 1.0
        rows.append(worst if prediction.value is None else prediction.value)
    table = np.array(rows)
    expected = table @ np.arange(task.largest + 1)
    results = [
        {"reference": truth, "scored_as": float(mean), "correct": int(row.argmax()) == min(truth, task.largest)}
        for truth, mean, row in zip(truths, expected, table, strict=True)
    ]
    judged = JudgedCounts(np.array(truths, dtype=np.float64), table, patients, task.resampling)
    return Scores(results, judged, range(len(reference)))


def _shares(
    reference: Sequence[ReferenceCase],
    predictions: Sequence[Prediction],
    task: SharesTask,
    patients: tuple[str, ...] | None,
) -> Scores:
    """Shares; what is not valid counts as a whole of the part that is smallest in truth."""
    truths = np.array([case.truth for case in reference])
    table = np.array(
        [
            np.eye(len(task.parts))[truth.argmin()] if prediction.value is None else prediction.value
            for truth, prediction in zip(truths, predictions, strict=True)
        ]
    )
    results = [
        {
            "reference": dict(zip(task.parts, truth.tolist(), strict=True)),
            "scored_as": dict(zip(task.parts, shares.tolist(), strict=True)),
            "correct": bool(truth.argmax() == shares.argmax()),
        }
        for truth, shares in zip(truths, table, strict=True)
    ]
    judged = JudgedShares(truths, table, patients, task.resampling, tuple(task.parts))
    return Scores(results, judged, range(len(reference)))


def _survival(
    reference: Sequence[ReferenceCase],
    predictions: Sequence[Prediction],
    task: SurvivalTask,
    patients: tuple[str, ...] | None,
) -> Scores:
    """Risks; what is not valid counts as below all others where there was an event, and above them where there was none."""
    given = [prediction.value for prediction in predictions if prediction.value is not None] or [0.0]
    lowest, highest = (0.0, 1.0) if task.horizon else (min(given) - 1, max(given) + 1)
    risks = [
        (lowest if case.truth[1] else highest) if prediction.value is None else prediction.value
        for case, prediction in zip(reference, predictions, strict=True)
    ]
    results = [
        {"reference": {"time": case.truth[0], "event": case.truth[1]}, "scored_as": risk, "correct": None}
        for case, risk in zip(reference, risks, strict=True)
    ]
    judged = JudgedSurvival(
        np.array([case.truth[0] for case in reference]),
        np.array([case.truth[1] for case in reference], dtype=np.bool_),
        np.array(risks),
        task.horizon,
        patients,
    )
    return Scores(results, judged, range(len(reference)))


def _detections(
    reference: Sequence[ReferenceCase],
    predictions: Sequence[Prediction],
    task: DetectionTask,
    patients: tuple[str, ...] | None,
) -> Scores:
    """Points; in a case that is not valid nothing is found."""
    matched = []
    for case, prediction in zip(reference, predictions, strict=True):
        points = prediction.value or ()
        marks = Marks([point for point, _ in points], np.array([chance for _, chance in points]))
        matched.append(match_marks([point for point, _ in case.truth], marks, task.hit_distance_mm))
    results = [
        {
            "reference": len(case.truth),
            "scored_as": int((each.found_at >= task.threshold).sum()),
            "false_marks": int((each.false_scores >= task.threshold).sum()),
            "correct": None,
        }
        for case, each in zip(reference, matched, strict=True)
    ]
    judged = JudgedDetections(
        tuple(matched),
        tuple(tuple(place for _, place in case.truth) for case in reference),
        tuple(task.false_marks),
        task.threshold,
        patients,
        task.resampling,
    )
    return Scores(results, judged, range(len(reference)))


def _instances(
    reference: Sequence[ReferenceCase],
    predictions: Sequence[Prediction],
    task: InstancesTask,
    patients: tuple[str, ...] | None,
) -> Scores:
    """Named instances; in a case that is not valid each counts as certain of the wrong outcome."""
    names, labels, scores, owners = [], [], [], []
    results = []
    for place, (case, prediction) in enumerate(zip(reference, predictions, strict=True)):
        right = 0
        for name, label in case.truth:
            likelihood = 1.0 - label if prediction.value is None else prediction.value.get(name, 0.0)
            right += int((likelihood >= task.threshold) == bool(label) and prediction.value is not None)
            names.append(name)
            labels.append(label)
            scores.append(likelihood)
            owners.append(place)
        results.append({"reference": len(case.truth), "scored_as": right, "correct": None})
    if not labels:
        raise InvalidInputError(f"{task.instance_file} has no instance; expected at least one.")
    decisions = [
        1 - label if predictions[owner].value is None else int(score >= task.threshold)
        for label, score, owner in zip(labels, scores, owners, strict=True)
    ]
    of_patients = [patients[owner] if patients else reference[owner].name for owner in owners]
    judged = JudgedBinary(
        BinaryPredictions.of(labels, scores, decisions, of_patients), BinarySettings(), task.resampling
    )
    column = np.array(names)
    groups = {"instance": {name: column == name for name in Counter(names)}}
    return Scores(results, judged, owners, {"threshold": task.threshold, "instances": len(labels)}, row_groups=groups)


def _probability(cell: str, comparator: Comparator) -> float:
    value = number(cell, f"{comparator.column} of {REFERENCE_FILE}")
    if not 0 <= value <= 1:
        raise InvalidInputError(f"{REFERENCE_FILE} says {comparator.column} {cell}; expected a number between 0 and 1.")
    return value


_SCORERS: dict[type[Task], Callable[..., Scores]] = {
    BinaryTask: _binary,
    OrdinalTask: _ordinal,
    CountTask: _counts,
    SharesTask: _shares,
    SurvivalTask: _survival,
    DetectionTask: _detections,
    InstancesTask: _instances,
}
