"""Charts of an evaluation, from the curves and figures of its ``metrics.json``; nothing is computed here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preop.evidence import Figure as StatedFigure
from preop.report.blocks import capital
from preop.report.charts import (
    ScoredCase,
    Spec,
    calibration_chart,
    confusion_chart,
    count_calibration_chart,
    decision_chart,
    forest_chart,
    froc_chart,
    precision_chart,
    roc_chart,
    score_chart,
    strip_chart,
)
from preop.report.charts.base import spec_of
from preop.statistics import (
    Agreement,
    CalibrationPoint,
    CountPoint,
    DecisionCurve,
    Estimate,
    RocBand,
    RocCurve,
)

Json = Mapping[str, Any]

CHARTS = ("roc", "precision", "scores", "calibration", "net-benefit", "confusion", "froc")
"""Names of the charts that there may be, beside those of groups."""
GROUPS = "groups-"
"""What the names of charts of groups begin with."""
# More dots than these hide each other: then groups of fine marks are drawn.
_MOST_DOTS = 300
_HEADLINES = {
    "binary": ("auc", "AUC", 0.5),
    "instances": ("auc", "AUC", 0.5),
    "ordinal": ("quadratic_weighted_kappa", "quadratic weighted kappa", 0.0),
    "count": ("absolute_error", "mean absolute error", None),
    "shares": ("absolute_error", "mean absolute error", None),
    "detection": ("average_precision", "average precision", None),
    "survival": ("concordance", "concordance", 0.5),
}


def charts_of(metrics: Json) -> dict[str, Spec]:
    """Draw all charts that the cases determine, by their names.

    Parameters
    ----------
    metrics
        Content of the evaluation's ``metrics.json``.

    Returns
    -------
    Complete Vega-Lite 5 specifications: those of ``CHARTS``, and ``groups-COLUMN`` for each column that divides the cases.
    """
    task, aggregates, curves = metrics["task"], metrics["aggregates"], metrics.get("curves", {})
    found: dict[str, Spec] = {}
    if "roc" in curves:
        found["roc"] = _roc(curves["roc"], aggregates)
        prevalence = aggregates["counts"]
        positives = prevalence["true_positives"] + prevalence["false_negatives"]
        found["precision"] = precision_chart(
            curves["precision"]["sensitivity"],
            curves["precision"]["precision"],
            estimate(aggregates["average_precision"]),
            positives / sum(prevalence.values()),
        )
    if task["kind"] == "binary":
        found["scores"] = _scores(task, metrics["results"], aggregates)
    if curves.get("calibration"):
        found["calibration"] = calibration_chart(
            [
                CalibrationPoint(point["predicted"], estimate(point["observed"]), point["cases"])
                for point in curves["calibration"]
            ]
        )
    if "net_benefit" in curves and "roc" in curves:
        benefit = {name: np.array(values) for name, values in curves["net_benefit"].items()}
        found["net-benefit"] = decision_chart(DecisionCurve(**benefit, none=np.zeros_like(benefit["model"])))
    if "confusion" in aggregates:
        title = "Largest part" if task["kind"] == "shares" else "Stages"
        found["confusion"] = confusion_chart(table_of(aggregates["confusion"]), title=title)
    if curves.get("count_calibration"):
        points = [
            CountPoint(point["expected"], estimate(point["observed"]), point["cases"])
            for point in curves["count_calibration"]
        ]
        found["calibration"] = count_calibration_chart(points, axis="number")
    if "froc" in curves:
        average = estimate(aggregates["average_precision"])
        found["froc"] = froc_chart(curves["froc"]["false_marks"], curves["froc"]["sensitivity"], average)
    for column, groups in aggregates.get("subgroups", {}).items():
        if forest := _forest(task, column, groups):
            found[f"{GROUPS}{column}"] = forest
    return found


def empty_chart(name: str) -> Spec:
    """Say in the place of a chart that the cases do not determine it: the platform wants each output of a phase."""
    import altair as alt

    base = alt.Chart().mark_text()
    return spec_of([base], [], capital(words(name)), "the cases do not determine it", width=300, height=20)


def estimate(content: Json) -> Estimate:
    """Read an estimate; what is stated beside it does not count."""
    return StatedFigure(**{end: content[end] for end in ("value", "lower", "upper")}).estimate


def table_of(confusion: Mapping[str, Mapping[str, int]]) -> Agreement:
    """Read a table of confusions."""
    return Agreement(tuple(confusion), np.array([list(row.values()) for row in confusion.values()], dtype=np.int64))


def _roc(curve: Json, aggregates: Json) -> Spec:
    point = (aggregates["sensitivity"]["value"], aggregates["specificity"]["value"])
    band = {
        name: np.array([math.nan if number is None else number for number in numbers])
        for name, numbers in curve["band"].items()
    }
    drawn = RocCurve(
        np.array(curve["false_positive_rate"]),
        np.array(curve["sensitivity"]),
        np.full(len(curve["sensitivity"]), np.nan),
    )
    return roc_chart(
        drawn,
        estimate(aggregates["auc"]),
        operating_point=None if None in point else point,
        band=RocBand(band["false_positive_rate"], band["value"], band["lower"], band["upper"]),
    )


def _scores(task: Json, results: Sequence[Json], aggregates: Json) -> Spec:
    positives_first = sorted(results, key=lambda result: -result["reference"])
    if len(results) > _MOST_DOTS:
        counted = Counter(result["reference"] for result in results)
        groups = {
            name: [result["scored_as"] for result in positives_first if result["reference"] == label]
            for label, name in ((1, "yes"), (0, "no"))
            if counted[label]
        }
        return strip_chart(groups, axis="likelihood", title=f"Likelihoods by {words(task['reference_column'])}")
    return score_chart(
        [
            ScoredCase(
                result["case"], "yes" if result["reference"] else "no", result["scored_as"], result["status"] == "valid"
            )
            for result in positives_first
        ],
        threshold=aggregates["threshold"],
        reference_title=words(task["reference_column"]),
    )


def _forest(task: Json, column: str, groups: Mapping[str, Json]) -> Spec | None:
    figure, axis, no_effect = _HEADLINES[task["kind"]]
    estimates = {
        f"{group['name']} (n = {group['cases']}{', few' if group['small'] else ''})": estimate(group[figure])
        for group in groups.values()
        if group[figure]["value"] is not None
    }
    if not estimates:
        return None
    subtitle = "few: fewer than ten cases, or of an outcome" if any(group["small"] for group in groups.values()) else ""
    return forest_chart(estimates, axis=axis, title=f"By {words(column)}", subtitle=subtitle, no_effect=no_effect)


def words(column: str) -> str:
    """Write the name of a column as words."""
    return column.replace("_", " ").replace("-", " ")
