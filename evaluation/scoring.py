"""Scores of each case, and all cases as the library judges them; what is not valid counts as the worst possible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluation.predictions import Prediction, distribution
from evaluation.reference import REFERENCE_FILE, Mark, ReferenceCase, whole
from evaluation.tasks import (
    BinaryTask,
    Comparator,
    CountTask,
    DetectionTask,
    InstancesTask,
    MarksComparator,
    NumberComparator,
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
from preop.statistics import Marks, Matched, match_marks
from preop.tables import number

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
        Gives the comparison with a comparator of the task.
    row_groups
        Groups of the rows of ``judged`` that no column of the reference makes.
    """

    results: Scored
    judged: Judged
    case_of_row: Sequence[int]
    compare: Callable[[Any], dict[str, Any]]
    aggregates: dict[str, Any] = field(default_factory=dict)
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

    def compare(comparator: Comparator) -> dict[str, Any]:
        return _beside_likelihoods(judged, comparator, [case.attributes[comparator.column] for case in reference])

    return Scores(results, judged, range(len(reference)), compare, {"threshold": common_threshold(predictions)})


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

    def compare(comparator: Comparator) -> dict[str, Any]:
        known, cells = _said([case.attributes[comparator.column] for case in reference])
        strange = [cell for cell in cells if cell not in task.categories]
        if strange:
            raise InvalidInputError(
                f"{REFERENCE_FILE} says {comparator.column} '{strange[0]}'; expected one of {', '.join(task.categories)}."
            )
        if not cells:
            return _nothing_said(comparator.column)
        part = judged.take(known)
        return part.compare(OrdinalPredictions.of(part.predictions.references, cells, task.categories))

    return Scores(results, judged, range(len(reference)), compare)


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

    def compare(comparator: NumberComparator) -> dict[str, Any]:
        known, cells = _said([case.attributes[comparator.column] for case in reference])
        what = f"{comparator.column} of {REFERENCE_FILE}"
        others = [distribution(number(cell, what), what, task) for cell in cells]
        return judged.take(known).compare(np.array(others)) if others else _nothing_said(comparator.column)

    return Scores(results, judged, range(len(reference)), compare)


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

    def compare(comparator: NumberComparator) -> dict[str, Any]:
        columns = task.columns_of(comparator)
        known = np.array([any(case.attributes[column] for column in columns) for case in reference], dtype=np.bool_)
        others = [
            whole(
                [number(case.attributes[column], f"{column} of {REFERENCE_FILE}") for column in columns],
                f"{REFERENCE_FILE} has, by {comparator.name}, the shares",
                f" of the case '{case.name}'",
            )
            for case, own in zip(reference, known, strict=True)
            if own
        ]
        return judged.take(known).compare(np.array(others)) if others else _nothing_said(columns[0])

    return Scores(results, judged, range(len(reference)), compare)


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

    def compare(comparator: NumberComparator) -> dict[str, Any]:
        known, cells = _said([case.attributes[comparator.column] for case in reference])
        others = np.array([number(cell, f"{comparator.column} of {REFERENCE_FILE}") for cell in cells])
        return judged.take(known).compare(others) if cells else _nothing_said(comparator.column)

    return Scores(results, judged, range(len(reference)), compare)


def _detections(
    reference: Sequence[ReferenceCase],
    predictions: Sequence[Prediction],
    task: DetectionTask,
    patients: tuple[str, ...] | None,
) -> Scores:
    """Points; in a case that is not valid nothing is found."""
    matched = [
        _matched(case, prediction.value or (), task) for case, prediction in zip(reference, predictions, strict=True)
    ]
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

    def compare(comparator: MarksComparator) -> dict[str, Any]:
        return judged.compare([_matched(case, case.marked[comparator.name], task) for case in reference])

    return Scores(results, judged, range(len(reference)), compare)


def _matched(case: ReferenceCase, points: Sequence[Mark], task: DetectionTask) -> Matched:
    marks = Marks([point for point, _ in points], np.array([chance for _, chance in points]))
    return match_marks([point for point, _ in case.truth], marks, task.hit_distance_mm)


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

    def compare(comparator: Comparator) -> dict[str, Any]:
        cells = [cell for case in reference for cell in case.said[comparator.column]]
        return _beside_likelihoods(judged, comparator, cells)

    stated = {"threshold": task.threshold, "instances": len(labels)}
    return Scores(results, judged, owners, compare, stated, groups)


def _said(cells: Sequence[str]) -> tuple[Chosen, list[str]]:
    """Of which cases something was said (n,), and what."""
    return np.array([bool(cell) for cell in cells], dtype=np.bool_), [cell for cell in cells if cell]


def _nothing_said(column: str) -> dict[str, Any]:
    return {"cases": 0, "not_computed": {"all": f"The column {column} is empty."}}


def _beside_likelihoods(judged: JudgedBinary, comparator: Comparator, cells: Sequence[str]) -> dict[str, Any]:
    """Compare with likelihoods, or with 0 and 1, where there are any."""
    known, given = _said(cells)
    if not given:
        return _nothing_said(comparator.column)
    part = judged.take(known)
    values = np.array([_probability(cell, comparator) for cell in given])
    called = None
    if comparator.threshold is not None:
        called = values >= comparator.threshold
    elif np.isin(values, (0, 1)).all():
        called = values == 1
    return part.compare(BinaryPredictions.of(part.predictions.labels, values, called))


def _probability(cell: str, comparator: Comparator) -> float:
    value = number(cell, f"the column {comparator.column}")
    if not 0 <= value <= 1:
        raise InvalidInputError(f"The column {comparator.column} says {cell}; expected a number between 0 and 1.")
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
