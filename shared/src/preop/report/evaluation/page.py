"""The page of an evaluation: one HTML file that stands alone, without scripts and without a network, on a phone or on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preop.errors import InvalidInputError
from preop.report.blocks import capital, interval_figure, number
from preop.report.charts import Spec
from preop.report.checklists import STARD, STARD_AI, TRIPOD_AI, Item
from preop.report.evaluation.charts import GROUPS, charts_of, estimate, words
from preop.report.evaluation.tables import comparisons_tables, figures_table, groups_tables, unknown_figures
from preop.report.sections import (
    Block,
    Cell,
    Charts,
    Column,
    Figure,
    Figures,
    Flow,
    FlowStep,
    Gallery,
    Heading,
    Page,
    Row,
    Section,
    Table,
    write_page,
)
from preop.wording import counted

Json = Mapping[str, Any]

_INTERVALS = (
    "Intervals cover the true value in 95 of 100 repetitions of such a study. A dash stands where the cases do not determine "
    "a number."
)
_WORST = (
    "A case whose job failed, is missing or gave something else than was asked for is kept and scored as the worst that "
    "could have been predicted."
)
_DECLINED = (
    "A case that the algorithm declined, by saying that it could not assess it, is among all cases with whatever was "
    "predicted of it; the figures without the declined cases stand beside."
)
CHOSEN = (
    "They were chosen to illustrate, also how the model fails, and are no sample of patients: no AUC or other figure of "
    "performance follows from them."
)
_BINARY_METHOD = (
    "AUC: how often a positive case gets a higher likelihood than a negative one; 0.5 is chance, 1 is perfect. "
    "Sensitivity, specificity, predictive values and accuracy are at the threshold that the algorithm states. "
    "Brier score: mean squared difference of likelihood and outcome; 0 is perfect. Average precision: mean precision over the "
    "positives in the order of their likelihoods; chance gives the prevalence. Net benefit: true positives a case, less false "
    "positives weighed by the odds of the risk at which one would act."
)
_ORDINAL_METHOD = (
    "Accuracy: share of cases with exactly the right stage. Quadratic weighted kappa: agreement beyond chance, where "
    "a mistake counts by the square of the number of stages it spans; 0 is chance, 1 is perfect. Ordinal AUC: how often, of two "
    "cases of different stages, the one of the higher stage is given the higher one."
)
_METHOD = {
    "binary": _BINARY_METHOD,
    "instances": (
        "Each named part of a case, such as a lymph node station, is judged by its likelihood; a part that the algorithm does not "
        "list has 0. Intervals are by patient. " + _BINARY_METHOD
    ),
    "ordinal": _ORDINAL_METHOD,
    "count": (
        "Ranked probability score: squared distance of the predicted and the true cumulative distribution; 0 is perfect, and a "
        "number predicted for certain scores its distance. Coverage: how often the central interval holds the true number."
    ),
    "shares": (
        "Absolute error: mean over the parts. Squared error (Brier) and cross entropy are proper scores: nothing but the true "
        "shares has the best expectation. Agreement of a part is ICC(2,1)."
    ),
    "detection": (
        "A mark hits a lesion within the stated distance; further marks of a lesion that was hit are false. Average precision: "
        "mean over the lesions of the precision at which each is found, 0 for those never found."
    ),
    "survival": (
        "Concordance: how often, of two cases that can be compared, the one with the higher risk has the event first; 0.5 is "
        "chance. The observed share at the horizon is Kaplan and Meier's."
    ),
}
_REMEMBERED = {
    "binary": (
        "auc",
        "sensitivity",
        "specificity",
        "positive_predictive_value",
        "negative_predictive_value",
        "accuracy",
    ),
    "instances": ("auc", "sensitivity", "specificity", "accuracy"),
    "ordinal": ("quadratic_weighted_kappa", "accuracy", "ordinal_auc"),
    "count": ("absolute_error", "ranked_probability_score", "exact"),
    "shares": ("absolute_error", "same_largest_part"),
    "detection": ("average_precision", "sensitivity", "false_marks_a_case"),
    "survival": ("concordance",),
}
_OF_COUNTS = {
    "sensitivity": (("true_positives",), ("false_negatives",)),
    "specificity": (("true_negatives",), ("false_positives",)),
    "positive_predictive_value": (("true_positives",), ("false_positives",)),
    "negative_predictive_value": (("true_negatives",), ("false_negatives",)),
    "accuracy": (("true_positives", "true_negatives"), ("false_positives", "false_negatives")),
}
# A table of more cases is no longer read, and makes a page that no browser opens: the rest is in metrics.json.
_MOST_ROWS = 1000
_SECTIONS = {
    "results": "Results",
    "patients": "Patients",
    "figures": "All figures",
    "comparisons": "Beside others",
    "groups": "Groups",
    "charts": "Charts",
    "failures": "Without a valid prediction",
    "unknown": "What could not be computed",
    "cases": "Cases",
    "method": "How to read this",
}
_SUMMARY = ("results", "patients", "figures", "comparisons", "groups", "charts")
"""What is printed unless all is asked for."""


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
    charts = charts_of(metrics)
    content: dict[str, list[Block]] = {
        "results": [Figures(_remembered(task, aggregates))],
        "patients": [Flow(_flow(task, aggregates, results))],
        "figures": figures_table(aggregates),
        "comparisons": comparisons_tables(aggregates),
        "groups": [*groups_tables(aggregates), *_drawn(charts, groups=True)],
        "charts": _drawn(charts, groups=False),
        "failures": _failures(results),
        "unknown": _unknown(aggregates),
        "cases": _cases(task, results),
        "method": [
            _METHOD[task["kind"]],
            _WORST,
            *([_DECLINED] if "assessable" in aggregates else []),
            _INTERVALS,
            *remarks,
            f"Source of patients and reference: {task['source']}",
        ],
    }
    titles = _SECTIONS | ({"results": "Results on training patients"} if on_training else {})
    sections = [
        Section(titles[name], blocks, name=name, detail=name not in _SUMMARY)
        for name, blocks in content.items()
        if blocks
    ]
    if cases is not None:
        sections.insert(1, Section("Case by case", [cases], detail=True))
    page = Page(
        kicker=f"Evaluation of {task['study']}",
        title=task["title"],
        lead=f"{on_training} {_summary(task, results, aggregates)}".lstrip(),
        warnings=_unscored(aggregates["cases"]),
        simulated=task["simulated"],
        sections=[*sections, _checklists({section.name for section in sections})],
    )
    write_page(page, path)


def _drawn(charts: Mapping[str, Spec], *, groups: bool) -> list[Block]:
    """Charts of groups, one below the other, or all others, side by side."""
    chosen = [chart for name, chart in charts.items() if name.startswith(GROUPS) is groups]
    return [Charts(chosen, wide=groups)] if chosen else []


def _illustrations(
    task: Json, results: Sequence[Json], aggregates: Json, shows: Mapping[str, str], cases: Gallery | None
) -> Page:
    """Lay out cases that were chosen for what they show."""
    return Page(
        kicker=f"Examples of {task['study']}",
        title=task["title"],
        lead=f"{counted(len(results), 'case')}. {CHOSEN}",
        warnings=_unscored(aggregates["cases"]),
        simulated=task["simulated"],
        sections=[
            *([Section("Case by case", [cases])] if cases is not None else []),
            Section("What to see", _cases(task, results, shows)),
            Section("Where they come from", [f"Source of patients and reference: {task['source']}"]),
        ],
    )


def _summary(task: Json, results: Sequence[Json], aggregates: Json) -> str:
    many = counted(len(results), "case")
    if "patients" in aggregates:
        many += f" of {counted(aggregates['patients'], 'patient')}"
    if task["kind"] == "binary":
        events = Counter(result["reference"] for result in results)
        return f"{many}, {events[1]} with {words(task['reference_column'])} and {events[0]} without."
    if task["kind"] == "ordinal":
        stages = Counter(result["reference"] for result in results)
        return f"{many}: {', '.join(f'{count} {stage}' for stage, count in sorted(stages.items()))}."
    if "events" in aggregates and task["kind"] == "survival":
        return f"{many}, {aggregates['events']} with the event."
    if "lesions" in aggregates:
        return f"{many} with {counted(aggregates['lesions'], 'lesion')}."
    return f"{many}."


def _unscored(cases: Json) -> list[str]:
    unscored = cases["all"] - cases["valid"]
    if not unscored:
        return []
    has, is_ = ("has", "is") if unscored == 1 else ("have", "are")
    return [
        f"{unscored} of {counted(cases['all'], 'case')} {has} no valid prediction and {is_} scored as the worst that could have been "
        "predicted."
    ]


def _remembered(task: Json, aggregates: Json) -> list[Figure]:
    """The few figures to remember."""
    names = {"auc": "AUC", "ordinal_auc": "Ordinal AUC"}
    figures = [
        interval_figure(
            names.get(name, capital(words(name))), estimate(aggregates[name]), _evidence(task, aggregates, name)
        )
        for name in _REMEMBERED[task["kind"]]
    ]
    if task["kind"] == "binary":
        stated = aggregates["threshold"] is not None
        beside = "as the algorithm states" if stated else "one for each combination of inputs"
        figures += [
            Figure("Brier score", f"{aggregates['brier_score']:.3f}", beside="0 is perfect"),
            Figure("Threshold", number(aggregates["threshold"]), beside=beside),
        ]
    return figures


def _evidence(task: Json, aggregates: Json, name: str) -> str:
    """How many of how many cases a share is."""
    if "counts" in aggregates and name in _OF_COUNTS:
        right, wrong = (sum(aggregates["counts"][part] for part in parts) for parts in _OF_COUNTS[name])
        return f"{right} of {right + wrong}"
    if task["kind"] == "ordinal" and name == "accuracy":
        right = sum(row[stage] for stage, row in aggregates["confusion"].items())
        return f"{right} of {aggregates['cases']['all']}"
    return ""


def _flow(task: Json, aggregates: Json, results: Sequence[Json]) -> list[FlowStep]:
    cases = aggregates["cases"]
    ran = cases["all"] - cases["missing"]
    steps = [
        FlowStep(cases["all"], "cases in the reference", [_summary(task, results, aggregates)]),
        FlowStep(ran, "with a job", [f"{cases['missing']} without a job"] if cases["missing"] else []),
        FlowStep(
            ran - cases["failed"], "whose job succeeded", [f"{cases['failed']} failed"] if cases["failed"] else []
        ),
        FlowStep(
            cases["valid"],
            "with a valid prediction",
            [f"{cases['invalid']} gave something else than was asked for"] if cases["invalid"] else [],
        ),
    ]
    if "assessable" in aggregates:
        said = aggregates["assessable"]
        beside = [
            f"{said[name]} {text}"
            for name, text in {
                "limited": "assessable with limits",
                "no": "declined as not assessable",
                "not_stated": "not said to be assessable or not",
            }.items()
            if said[name]
        ]
        steps.append(FlowStep(said["yes"] + said["limited"], "called assessable by the algorithm", beside))
    unscored = cases["all"] - cases["valid"]
    steps.append(
        FlowStep(
            cases["all"],
            "in the figures of all cases",
            [f"{unscored} of them as the worst possible"] if unscored else [],
        )
    )
    return steps


def _failures(results: Sequence[Json]) -> list[Block]:
    """Reasons why cases have no valid prediction, the most frequent first."""
    reasons = Counter((result["status"], result["reason"]) for result in results if not _is_valid(result))
    if not reasons:
        return []
    named: dict[tuple[str, str], str] = {}
    for result in results:
        named.setdefault((result["status"], result["reason"]), result["case"])
    columns = [Column("Cases", "number"), Column("Status"), Column("Reason", "long"), Column("Such as", "name")]
    rows = [
        Row([str(count), status, reason, named[status, reason]])
        for (status, reason), count in reasons.most_common(_MOST_ROWS)
    ]
    return [Table(columns, rows)]


def _unknown(aggregates: Json) -> list[Block]:
    found = unknown_figures(aggregates)
    return (
        [Table([Column("Figure", "name"), Column("Why", "long")], [Row(list(pair)) for pair in found])] if found else []
    )


def _cases(task: Json, results: Sequence[Json], shows: Mapping[str, str] | None = None) -> list[Block]:
    says = any("assessable" in result for result in results)
    columns = [
        Column("Case", "name"),
        Column("Output", "number" if task["kind"] == "binary" else "text"),
        Column(_reference_heading(task)),
        Column("Outcome", "outcome"),
        *([Column("Assessable")] if says else []),
        *([] if shows is None else [Column("What to see")]),
        *(Column(capital(words(name))) for name in results[0]["attributes"]),
    ]
    # Those that went wrong are what a reader looks for.
    kept = sorted(range(len(results)), key=lambda place: (_outcome(task, results[place]) == "right", place))[
        :_MOST_ROWS
    ]
    rows = [_row(task, results[place], shows, says=says) for place in sorted(kept)]
    left = len(results) - len(rows)
    note = (
        f"{left} more cases are in metrics.json; none that went wrong is left out before those that were right."
        if left
        else ""
    )
    return [Table(columns, rows, note=note)]


def _reference_heading(task: Json) -> str:
    return capital(words(task.get("reference_column", "reference")))


def _row(task: Json, result: Json, shows: Mapping[str, str] | None, *, says: bool) -> Row:
    outcome = _outcome(task, result)
    return Row(
        [
            result["case"],
            _shown(task, result),
            _reference(task, result["reference"]),
            outcome,
            *([str(result.get("assessable", ""))] if says else []),
            *([] if shows is None else [shows.get(result["case"], "")]),
            *result["attributes"].values(),
        ],
        "unscored" if not _is_valid(result) else "wrong" if outcome == "wrong" else "",
    )


def _shown(task: Json, result: Json) -> str:
    """The output in a few words."""
    output, kind = result["output"], task["kind"]
    if output is None or isinstance(output, float):
        return number(output)
    if kind == "count":
        return f"{result['scored_as']:.1f}"
    if kind == "shares":
        return ", ".join(f"{name} {share:.0%}".replace("%", " %") for name, share in result["scored_as"].items())
    if kind == "detection":
        return f"{counted(len(output), 'mark')}, {result['false_marks']} false"
    if kind == "instances":
        return f"{len(output)} listed"
    return str(output)


def _reference(task: Json, reference: Any) -> str:
    match task["kind"]:
        case "binary":
            return "yes" if reference else "no"
        case "survival":
            return f"{'event' if reference['event'] else 'no event'} at {reference['time']:g}"
        case "shares":
            return ", ".join(f"{name} {share:.0%}".replace("%", " %") for name, share in reference.items())
        case "detection":
            return f"{reference} lesions"
        case "instances":
            return f"{reference} instances"
    return str(reference)


def _outcome(task: Json, result: Json) -> str:
    if not _is_valid(result):
        return str(result["reason"])
    if result["correct"] is not None:
        return "right" if result["correct"] else "wrong"
    if task["kind"] == "detection":
        return f"{result['scored_as']} of {result['reference']} found"
    return f"{result['scored_as']} of {result['reference']} right" if task["kind"] == "instances" else ""


def _is_valid(result: Json) -> bool:
    return bool(result["status"] == "valid")


def _checklists(there: set[str]) -> Section:
    blocks: list[Block] = [
        "Where this page answers an item, at least in part. All others are for the authors to write, in the paper and the "
        "description of the cohort. STARD-AI consists of the items of STARD 2015 and of those that it changes or adds, which "
        "stand here by their subject."
    ]
    columns = [Column("Item", "name"), Column("What it asks for"), Column("Where on this page")]
    guidelines = {
        "TRIPOD+AI (Collins 2024)": TRIPOD_AI,
        "STARD (Bossuyt 2015)": STARD,
        "STARD-AI (Sounderajah 2025), beyond STARD": STARD_AI,
    }
    for name, items in guidelines.items():
        blocks += [Heading(name), Table(columns, [_item_row(item, there) for item in items])]
    return Section("Reporting checklists", blocks, name="checklists", detail=True)


def _item_row(item: Item, there: set[str]) -> Row:
    links = [(place, _SECTIONS[place]) for place in item.in_evaluation if place in there]
    if not links:
        return Row([item.name, item.words, "to be written by the authors"], "open")
    return Row([item.name, item.words, Cell("", links=links)])
