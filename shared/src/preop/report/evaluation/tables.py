"""Figures of an evaluation as tables: all of them, those of groups, and those beside other readers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from preop.evidence.wording import minus
from preop.report.blocks import capital, cell, p_value_cell
from preop.report.evaluation.charts import estimate, words
from preop.report.sections import DASH, Block, Column, Heading, Note, Row, Table
from preop.wording import counted

Json = Mapping[str, Any]

_NAMES = {
    "auc": "AUC",
    "partial_auc": "Partial AUC: mean specificity from sensitivity {from_sensitivity:g} on",
    "positive_predictive_value": "Positive predictive value",
    "positive_likelihood_ratio": "Positive likelihood ratio",
    "brier_score": "Brier score",
    "slope": "Calibration slope",
    "intercept": "Calibration intercept",
    "expected_error": "Expected calibration error",
    "ordinal_auc": "Ordinal AUC (Obuchowski)",
    "over_staged": "Staged too high",
    "under_staged": "Staged too low",
    "exact": "Likeliest number exactly right",
    "score_less_that_of_the_cohort": "Ranked probability score less that of the cohort",
    "concordance": "Concordance (Harrell's C)",
    "false_marks_a_case": "False marks a case",
    "observed_to_expected": "Observed to expected events",
}
# What is not a figure of performance, or stands elsewhere on the page.
_ELSEWHERE = {
    *("cases", "patients", "assessable", "counts", "confusion", "subgroups", "comparisons", "without_declined"),
    *("not_computed", "threshold", "brier_score_interval", "places", "events", "lesions", "marks", "instances"),
    *("prevalence", "from_sensitivity", "probability", "promised", "horizon", "treat_all"),
}
_LIMITS = (
    "The interval of a share is Wilson's, of the AUC DeLong's, of a likelihood ratio Simel's, of a predictive value at a "
    "stated prevalence Mercaldo's, of kappa and the ordinal AUC the jackknife's; all others, and all where patients have "
    "several cases, come from resampled patients."
)


def figures_table(aggregates: Json) -> list[Block]:
    """All figures, beside those without the cases that the algorithm declined, and by place where lesions have one."""
    declined = aggregates.get("without_declined")
    if declined and declined["cases"] == aggregates["cases"]["all"]:  # none was: the same figures
        declined = None
    others = dict(_rows(declined)) if declined else {}
    columns = [Column("Figure", "name"), Column("All cases", "value")]
    if declined:
        columns.append(Column(f"Without the declined (n = {declined['cases']})", "value"))
    rows = [Row([name, text, *([others.get(name, DASH)] if declined else [])]) for name, text in _rows(aggregates)]
    blocks: list[Block] = [Table(columns, rows, note=_LIMITS)]
    if "places" in aggregates:
        places = [
            Row([name, str(place["lesions"]), cell(estimate(place["sensitivity"]))])
            for name, place in aggregates["places"].items()
        ]
        blocks += [
            Heading("By place"),
            Table([Column("Place", "name"), Column("Lesions", "number"), Column("Sensitivity", "value")], places),
        ]
    return blocks


def groups_tables(aggregates: Json) -> list[Block]:
    """Figures of each group, with a warning where one is small."""
    blocks: list[Block] = []
    for column, groups in aggregates.get("subgroups", {}).items():
        measured = [name for name, content in next(iter(groups.values())).items() if _is_estimate(content)]
        headings = [Column(capital(words(column)), "name"), Column("Cases", "number")]
        headings += [Column(_name(name, {}), "estimate") for name in measured]
        rows = [
            Row(
                [
                    group["name"] + (" *" if group["small"] else ""),
                    str(group["cases"]),
                    *(cell(estimate(group[name])) for name in measured),
                ],
                "open" if group["small"] else "",
            )
            for group in groups.values()
        ]
        small = any(group["small"] for group in groups.values())
        note = "* Fewer than ten cases, or fewer than ten of an outcome: such a group says little." if small else ""
        blocks.append(Table(headings, rows, note=note))
    return blocks


def comparisons_tables(aggregates: Json) -> list[Block]:
    """The algorithm beside each reader, clinical stage or other algorithm, on the same cases."""
    blocks: list[Block] = []
    for comparison in aggregates.get("comparisons", {}).values():
        blocks.append(Heading(f"Beside {comparison['name']} ({counted(comparison['cases'], 'case')})"))
        headings = ("Algorithm", capital(comparison["name"]), "Difference", "p")
        columns = [Column("Figure", "name"), *(Column(name, "value") for name in headings)]
        rows = [Row([name, *cells]) for name, cells in _compared(comparison)]
        blocks.append(Table(columns, rows) if rows else Note("There is nothing to compare with."))
    if blocks:
        blocks.append(
            Note(
                "Difference: the algorithm less the other. The p-value of a share is McNemar's exact one, with Newcombe's interval of "
                "the difference; that of AUCs DeLong's; that of errors and scores comes from turning the differences of patients "
                "round, and that of concordances from the jackknife, both with Student's t interval; those of kappa, of the ordinal "
                "AUC and of detection come from resampled patients. Where patients have several cases, all are by patient. No "
                "p-value is adjusted for the number of figures."
            )
        )
    return blocks


def unknown_figures(aggregates: Json) -> list[tuple[str, str]]:
    """What could not be computed, and why."""
    found = []
    for name, reason in _reasons(aggregates):
        if reason:
            found.append((_name(name, {}), reason))
    return list(dict.fromkeys(found))


def _reasons(content: Json) -> Iterator[tuple[str, str]]:
    yield from content.get("not_computed", {}).items()
    for name, part in content.items():
        if isinstance(part, Mapping) and name not in _ELSEWHERE:
            yield from _reasons(part)


def _rows(content: Json, group: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of all figures, those inside others after them."""
    for name, part in content.items():
        if name in _ELSEWHERE:
            continue
        if _is_estimate(part):
            yield group + _name(name, part), cell(estimate(part))
        elif isinstance(part, Mapping):
            yield from _rows(part, _group(name, part))
        elif isinstance(part, int | float) and not isinstance(part, bool):
            yield group + _name(name, {}), _with_ends(part, content.get(f"{name}_interval"))


def _with_ends(value: float, ends: Json | None) -> str:
    if ends is None or ends["lower"] is None:
        return minus(f"{value:.3f}")
    return minus(f"{value:.3f} [{ends['lower']:.3f}, {ends['upper']:.3f}]")


def _group(name: str, part: Json) -> str:
    if name == "at_prevalence":
        return f"At a prevalence of {part['prevalence']:g}: "
    if name in {"cuts", "parts"}:
        return ""
    if name == "coverage":
        return f"Coverage of the {part['probability']:.0%} interval (promised {part['promised']:.2f}): ".replace(
            "%", " %"
        )
    return "" if name == "calibration" else f"{_name(name, {})}: "


def _compared(content: Json, group: str = "") -> Iterator[tuple[str, list[str]]]:
    for name, part in content.items():
        if not isinstance(part, Mapping):
            continue
        if "p_value" in part:
            difference = cell(estimate(part["difference"]))
            sides = [cell(estimate(part[side])) for side in ("this", "other")]
            yield group + _name(name, {}), [*sides, difference, p_value_cell(part["p_value"])]
        elif name != "not_computed":
            yield from _compared(part, "" if name == "cuts" else f"{_name(name, {})}: ")


def _is_estimate(part: object) -> bool:
    return isinstance(part, Mapping) and {"value", "lower", "upper"} <= part.keys()


def _name(name: str, part: Json) -> str:
    known = _NAMES.get(name)
    if known is None:
        return capital(words(name))
    return (
        known.format(**part)
        if "{" in known and "from_sensitivity" in part
        else known.split(" from {")[0].split(": mean")[0]
    )
