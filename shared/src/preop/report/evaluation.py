"""The page of an evaluation: one HTML file that stands alone, without scripts and without a network, on a phone or on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preop.errors import InvalidInputError
from preop.evidence import BinaryPredictions, OrdinalPredictions
from preop.evidence import Figure as StatedFigure
from preop.report.blocks import calibration_charts, capital, interval_figure, number
from preop.report.charts import ScoredCase, Spec, confusion_chart, roc_chart, score_chart
from preop.report.sections import Charts, Column, Figure, Figures, Gallery, Page, Row, Section, Table, write_page
from preop.statistics import Estimate

Json = Mapping[str, Any]

_INTERVALS = (
    "Intervals cover the true value in 95 of 100 repetitions of such a study: DeLong's for the AUC (on the logit scale), "
    "Wilson's for proportions, the large-sample one for kappa. A dash stands where the cases do not determine a number."
)
_WORST = (
    "A case whose job failed, is missing or gave something else than was asked for is kept and scored as the worst that "
    "could have been predicted."
)
CHOSEN = (
    "They were chosen to illustrate, also how the model fails, and are no sample of patients: no AUC or other figure of "
    "performance follows from them."
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


def evaluation_page(
    metrics: Json,
    path: Path,
    *,
    cases: Gallery | None = None,
    shows: Mapping[str, str] | None = None,
    on_training: str = "",
    remarks: Sequence[str] = (),
) -> None:
    """Write the page of an evaluation.

    Parameters
    ----------
    metrics
        Content of the evaluation's ``metrics.json``.
    path
        The HTML file to write.
    cases
        Pictures of the cases, each leading to its page.
    shows
        What there is to see in each case, by its name, where cases were chosen to illustrate: then no figure is given, for
        they are no sample of patients.
    on_training
        Says that patients are ones the model was trained on, where they are: said before all else, and the figures are
        called so.
    remarks
        What else a reader should know of how the figures came about.

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
    if shows:
        write_page(_illustrations(task, results, aggregates, shows, cases), path)
        return
    figures, charts = (_binary if task["kind"] == "binary" else _ordinal)(task, results, aggregates)
    page = Page(
        kicker=f"Evaluation of {task['study']}",
        title=task["title"],
        lead=f"{on_training} {_summary(task, results)}".lstrip(),
        warnings=_unscored(aggregates["cases"]),
        simulated=task["simulated"],
        sections=[
            Section("Results on training patients" if on_training else "Results", [Figures(figures)]),
            *([Section("Case by case", [cases])] if cases is not None else []),
            Section("Charts", [Charts(charts)]),
            Section("Cases", [_cases(task, results)]),
            Section(
                "How to read this",
                [*_METHOD[task["kind"]], *remarks, f"Source of patients and reference: {task['source']}"],
            ),
        ],
    )
    write_page(page, path)


def _illustrations(
    task: Json, results: Sequence[Json], aggregates: Json, shows: Mapping[str, str], cases: Gallery | None
) -> Page:
    """Lay out cases that were chosen for what they show."""
    return Page(
        kicker=f"Examples of {task['study']}",
        title=task["title"],
        lead=f"{len(results)} cases. {CHOSEN}",
        warnings=_unscored(aggregates["cases"]),
        simulated=task["simulated"],
        sections=[
            *([Section("Case by case", [cases])] if cases is not None else []),
            Section("What to see", [_cases(task, results, shows)]),
            Section("Where they come from", [f"Source of patients and reference: {task['source']}"]),
        ],
    )


def _summary(task: Json, results: Sequence[Json]) -> str:
    counted = Counter(result["reference"] for result in results)
    if task["kind"] == "binary":
        finding = _words(task["reference_column"])
        return f"{len(results)} cases, {counted[1]} with {finding} and {counted[0]} without."
    stages = ", ".join(f"{count} {stage}" for stage, count in sorted(counted.items()))
    return f"{len(results)} cases: {stages}."


def _unscored(cases: Json) -> list[str]:
    unscored = cases["all"] - cases["valid"]
    if not unscored:
        return []
    has, is_ = ("has", "is") if unscored == 1 else ("have", "are")
    return [
        f"{unscored} of {cases['all']} cases {has} no valid prediction and {is_} scored as the worst that could have been "
        "predicted."
    ]


def _binary(task: Json, results: Sequence[Json], aggregates: Json) -> tuple[list[Figure], list[Spec]]:
    counts = aggregates["counts"]
    figures = [_figure("AUC", aggregates["auc"])]
    for key, (name, right, wrong) in _BINARY_FIGURES.items():
        hits = sum(counts[part] for part in right)
        figures.append(_figure(name, aggregates[key], f"{hits} of {hits + sum(counts[part] for part in wrong)}"))
    figures += [
        Figure("Brier score", f"{aggregates['brier_score']:.3f}", beside="0 is perfect"),
        Figure("Threshold", number(aggregates["threshold"]), beside=_threshold_in_words(aggregates)),
    ]
    predictions = BinaryPredictions.of(
        [result["reference"] for result in results], [result["scored_as"] for result in results]
    )
    point = (aggregates["sensitivity"]["value"], aggregates["specificity"]["value"])
    positives_first = sorted(results, key=lambda result: -result["reference"])
    return figures, [
        roc_chart(predictions.roc, _estimate(aggregates["auc"]), operating_point=point),
        score_chart(
            [
                ScoredCase(result["case"], _yes_or_no(result["reference"]), result["scored_as"], _is_valid(result))
                for result in positives_first
            ],
            threshold=aggregates["threshold"],
            reference_title=_words(task["reference_column"]),
        ),
        *calibration_charts(predictions),
    ]


def _ordinal(_task: Json, results: Sequence[Json], aggregates: Json) -> tuple[list[Figure], list[Spec]]:
    confusion = aggregates["confusion"]
    right = sum(confusion[stage][stage] for stage in confusion)
    predictions = OrdinalPredictions.of(
        [result["reference"] for result in results], [result["scored_as"] for result in results], tuple(confusion)
    )
    figures = [
        _figure("Quadratic weighted kappa", aggregates["quadratic_weighted_kappa"]),
        _figure("Accuracy", aggregates["accuracy"], f"{right} of {aggregates['cases']['all']}"),
    ]
    return figures, [confusion_chart(predictions.agreement)]


def _cases(task: Json, results: Sequence[Json], shows: Mapping[str, str] | None = None) -> Table:
    binary = task["kind"] == "binary"
    columns = [
        Column("Case", "name"),
        Column("Output", "number" if binary else "text"),
        Column(capital(_words(task["reference_column"]))),
        Column("Outcome", "outcome"),
        *([] if shows is None else [Column("What to see")]),
        *(Column(capital(_words(name))) for name in results[0]["attributes"]),
    ]
    return Table(columns, [_row(result, shows) for result in results])


def _row(result: Json, shows: Mapping[str, str] | None) -> Row:
    output, reference = result["output"], result["reference"]
    return Row(
        [
            result["case"],
            number(output) if output is None or isinstance(output, float) else str(output),
            reference if isinstance(reference, str) else _yes_or_no(reference),
            _outcome(result),
            *([] if shows is None else [shows.get(result["case"], "")]),
            *result["attributes"].values(),
        ],
        "unscored" if not _is_valid(result) else "" if result["correct"] else "wrong",
    )


def _figure(name: str, estimate: Json, beside: str = "") -> Figure:
    return interval_figure(name, _estimate(estimate), beside)


def _threshold_in_words(aggregates: Json) -> str:
    return "as the algorithm states" if aggregates["threshold"] is not None else "one for each combination of inputs"


def _outcome(result: Json) -> str:
    if not _is_valid(result):
        return str(result["reason"])
    return "right" if result["correct"] else "wrong"


def _is_valid(result: Json) -> bool:
    return bool(result["status"] == "valid")


def _yes_or_no(label: int) -> str:
    return "yes" if label else "no"


def _estimate(content: Json) -> Estimate:
    return StatedFigure(**content).estimate


def _words(column: str) -> str:
    return column.replace("_", " ")
