"""Result pages: one HTML file each that stands alone, without scripts and without a network, on a phone or on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preop.errors import InvalidInputError
from preop.report.charts import (
    ScoredCase,
    Spec,
    calibration_chart,
    confusion_chart,
    roc_chart,
    score_chart,
)
from preop.report.html import inline, render
from preop.statistics import Agreement, Estimate, calibration_curve, roc_curve

Json = Mapping[str, Any]

# With fewer cases a group of the calibration curve holds too few to say anything.
CASES_OF_A_CALIBRATION_GROUP = 10

_INTERVALS = (
    "Intervals cover the true value in 95 of 100 repetitions of such a study: DeLong's for the AUC (on the logit scale), "
    "Wilson's for proportions, the large-sample one for kappa. A dash stands where the cases do not determine a number."
)
_WORST = (
    "A case whose job failed, is missing or gave something else than was asked for is kept and scored as the worst that "
    "could have been predicted."
)
_BINARY_METHOD = (
    "AUC: how often a positive case gets a higher likelihood than a negative one; 0.5 is chance, 1 is perfect. "
    "Sensitivity, specificity, predictive values and accuracy are at the threshold that the algorithm states. "
    "Brier score: mean squared difference of likelihood and outcome; 0 is perfect."
)
_ORDINAL_METHOD = (
    "Accuracy: share of cases with exactly the right stage. Quadratic weighted kappa: agreement beyond chance, where "
    "a mistake counts by the square of the number of stages it spans; 0 is chance, 1 is perfect."
)
_METHOD = {
    "binary": (_BINARY_METHOD, _WORST, _INTERVALS),
    "ordinal": (_ORDINAL_METHOD, _WORST, _INTERVALS),
}
_BINARY_FIGURES = {
    "sensitivity": ("Sensitivity", ("true_positives",), ("false_negatives",)),
    "specificity": ("Specificity", ("true_negatives",), ("false_positives",)),
    "positive_predictive_value": ("Positive predictive value", ("true_positives",), ("false_positives",)),
    "negative_predictive_value": ("Negative predictive value", ("true_negatives",), ("false_negatives",)),
    "accuracy": ("Accuracy", ("true_positives", "true_negatives"), ("false_positives", "false_negatives")),
}


@dataclass(frozen=True)
class _Figure:
    name: str
    value: str
    interval: str = ""
    evidence: str = ""


@dataclass(frozen=True)
class _Row:
    name: str
    output: str
    reference: str
    outcome: str
    correct: bool
    valid: bool
    attributes: tuple[str, ...]


def evaluation_page(metrics: Json, path: Path) -> None:
    """Write the page of an evaluation.

    Parameters
    ----------
    metrics
        Content of the evaluation's ``metrics.json``.
    path
        The HTML file to write.

    Raises
    ------
    InvalidInputError
        If the metrics are not those of this project's evaluation.
    """
    missing = sorted({"task", "results", "aggregates"} - metrics.keys())
    if missing or metrics["task"].get("kind") not in _METHOD:
        raise InvalidInputError(
            f"The metrics lack {missing[0] if missing else 'a known kind of task'}; "
            "expected the metrics.json that the evaluation of this project writes."
        )
    task, results, aggregates = metrics["task"], metrics["results"], metrics["aggregates"]
    binary = task["kind"] == "binary"
    page = render(
        "evaluation.html",
        task=task,
        summary=_summary(task, results),
        unscored=aggregates["cases"]["all"] - aggregates["cases"]["valid"],
        figures=_binary_figures(aggregates) if binary else _ordinal_figures(aggregates),
        charts=[inline(chart) for chart in (_binary_charts if binary else _ordinal_charts)(task, results, aggregates)],
        cases=[_row(result) for result in results],
        reference_title=_capital(_words(task["reference_column"])),
        columns=[_capital(_words(column)) for column in results[0]["attributes"]],
        numeric=binary,
        method=_METHOD[task["kind"]],
    )
    path.write_text(page, encoding="utf-8")


def _summary(task: Json, results: Sequence[Json]) -> str:
    counted = Counter(result["reference"] for result in results)
    if task["kind"] == "binary":
        finding = _words(task["reference_column"])
        return f"{len(results)} cases, {counted[1]} with {finding} and {counted[0]} without."
    stages = ", ".join(f"{count} {stage}" for stage, count in sorted(counted.items()))
    return f"{len(results)} cases: {stages}."


def _binary_figures(aggregates: Json) -> list[_Figure]:
    counts = aggregates["counts"]
    figures = [_figure("AUC", aggregates["auc"])]
    for key, (name, right, wrong) in _BINARY_FIGURES.items():
        hits = sum(counts[part] for part in right)
        figures.append(_figure(name, aggregates[key], f"{hits} of {hits + sum(counts[part] for part in wrong)}"))
    return [
        *figures,
        _Figure("Brier score", f"{aggregates['brier_score']:.3f}", evidence="0 is perfect"),
        _Figure("Threshold", _number(aggregates["threshold"]), evidence=_threshold_in_words(aggregates)),
    ]


def _threshold_in_words(aggregates: Json) -> str:
    return "as the algorithm states" if aggregates["threshold"] is not None else "one for each combination of inputs"


def _ordinal_figures(aggregates: Json) -> list[_Figure]:
    confusion = aggregates["confusion"]
    right = sum(confusion[stage][stage] for stage in confusion)
    return [
        _figure("Quadratic weighted kappa", aggregates["quadratic_weighted_kappa"]),
        _figure("Accuracy", aggregates["accuracy"], f"{right} of {aggregates['cases']['all']}"),
    ]


def _figure(name: str, estimate: Json, evidence: str = "") -> _Figure:
    if estimate["lower"] is None:
        return _Figure(name, _number(estimate["value"]), "no interval", evidence)
    interval = f"95 % interval {estimate['lower']:.2f} to {estimate['upper']:.2f}"
    return _Figure(name, _number(estimate["value"]), interval, evidence)


def _binary_charts(task: Json, results: Sequence[Json], aggregates: Json) -> list[Spec]:
    labels = [result["reference"] for result in results]
    scores = [result["scored_as"] for result in results]
    point = (aggregates["sensitivity"]["value"], aggregates["specificity"]["value"])
    positives_first = sorted(results, key=lambda result: -result["reference"])
    charts = [
        roc_chart(roc_curve(labels, scores), _estimate(aggregates["auc"]), operating_point=point),
        score_chart(
            [
                ScoredCase(result["case"], _yes_or_no(result["reference"]), result["scored_as"], _is_valid(result))
                for result in positives_first
            ],
            threshold=aggregates["threshold"],
            reference_title=_words(task["reference_column"]),
        ),
    ]
    groups = min(len(results) // CASES_OF_A_CALIBRATION_GROUP, 10)
    if groups > 1:
        charts.append(calibration_chart(calibration_curve(labels, scores, groups=groups)))
    return charts


def _ordinal_charts(_task: Json, results: Sequence[Json], aggregates: Json) -> list[Spec]:
    stages = tuple(aggregates["confusion"])
    reference = [result["reference"] for result in results]
    return [confusion_chart(Agreement.of(reference, [result["scored_as"] for result in results], stages))]


def _row(result: Json) -> _Row:
    output = result["output"]
    reference = result["reference"]
    return _Row(
        name=result["case"],
        output=_number(output) if output is None or isinstance(output, float) else str(output),
        reference=reference if isinstance(reference, str) else _yes_or_no(reference),
        outcome=_outcome(result),
        correct=result["correct"],
        valid=_is_valid(result),
        attributes=tuple(result["attributes"].values()),
    )


def _outcome(result: Json) -> str:
    if not _is_valid(result):
        return str(result["reason"])
    return "right" if result["correct"] else "wrong"


def _is_valid(result: Json) -> bool:
    return bool(result["status"] == "valid")


def _yes_or_no(label: int) -> str:
    return "yes" if label else "no"


def _estimate(content: Json) -> Estimate:
    if content["lower"] is None:
        return Estimate.without_interval(content["value"])
    return Estimate(content["value"], content["lower"], content["upper"])


def _number(value: float | None) -> str:
    return "\N{EN DASH}" if value is None else f"{value:.2f}"


def _words(column: str) -> str:
    return column.replace("_", " ")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
