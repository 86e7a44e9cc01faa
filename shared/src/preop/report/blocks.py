"""Cells, sentences and sections that the pages of several kinds of evidence have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preop.evidence import BinaryPredictions, CentreFigures, Evidence
from preop.evidence.wording import estimate_in_words, minus
from preop.report.charts import Spec, calibration_chart, forest_chart
from preop.report.sections import DASH, Block, Charts, Column, Figure, Note, Row, Section, Table
from preop.statistics import BinaryCounts, Estimate, p_value_in_words

DECISION_COLUMNS = tuple(Column(name, "estimate") for name in ("Sensitivity", "Specificity", "PPV", "NPV", "Accuracy"))
"""Headings of :func:`decision_cells`."""
UNSEEN = "Each was predicted by models that had not seen the patient."


@dataclass(frozen=True)
class Content:
    """What a kind of evidence brings to a report: which patients, the sections, and who is left out of what."""

    lead: str
    sections: Sequence[Section]
    warnings: Sequence[str] = ()


def cell(estimate: Estimate | None, digits: int = 2) -> str:
    """Write an estimate; a dash where there is none."""
    return DASH if estimate is None or math.isnan(estimate.value) else minus(estimate_in_words(estimate, digits))


def number(value: float | None, form: str = ".2f") -> str:
    """Write a number; a dash where there is none."""
    return DASH if value is None or math.isnan(value) else minus(f"{value:{form}}")


def p_value_cell(p_value: float | None) -> str:
    """Write a p-value below a heading that names it: ``0.04``, ``< 0.001``."""
    if p_value is None or math.isnan(p_value):
        return DASH
    return p_value_in_words(p_value).removeprefix("p ").removeprefix("= ")


def interval_figure(name: str, estimate: Estimate | None, beside: str = "", digits: int = 2) -> Figure:
    """Write an estimate as one of the few numbers to remember."""
    if estimate is None or math.isnan(estimate.value):
        return Figure(name, DASH, "", beside)
    value, lower, upper = (minus(f"{end:.{digits}f}") for end in (estimate.value, estimate.lower, estimate.upper))
    interval = "no interval" if math.isnan(estimate.lower) else f"95 % interval {lower} to {upper}"
    return Figure(name, value, interval, beside)


def decision_cells(counts: BinaryCounts) -> list[str]:
    """Sensitivity, specificity, predictive values and accuracy of decisions."""
    shares = (
        counts.sensitivity,
        counts.specificity,
        counts.positive_predictive_value,
        counts.negative_predictive_value,
        counts.accuracy,
    )
    return [cell(share) for share in shares]


def recalibration_in_words(predictions: BinaryPredictions) -> str:
    """Say whether likelihoods are too extreme or too high."""
    found = predictions.recalibration
    if found is None:
        return "All patients have the same outcome."
    if not predictions.has_slope:
        return "No calibration slope is determined: the likelihoods are all alike, or separate both outcomes."
    return (
        f"Calibration slope {cell(found.slope)} (1 is right, below 1 too extreme), intercept {cell(found.intercept)} (0 is "
        "right, below 0 too high)."
    )


def slope_cell(predictions: BinaryPredictions) -> str:
    """Write the calibration slope; a dash where none is determined."""
    found = predictions.recalibration
    return DASH if found is None else cell(found.slope)


def calibration_charts(predictions: BinaryPredictions, title: str = "Calibration") -> list[Spec]:
    """Draw the calibration curve, where there are cases enough."""
    points = predictions.calibration
    return [calibration_chart(points, title=title)] if points else []


def charts(*found: Spec, wide: bool = False) -> list[Block]:
    """Set charts side by side, where there are any."""
    return [Charts(found, wide=wide)] if found else []


def from_centres(centres: Iterable[str]) -> str:
    """Say from how many centres patients come, where there are several."""
    known = len(set(centres) - {""})
    return f" from {known} centres" if known > 1 else ""


def capital(words: str) -> str:
    """Begin a heading."""
    return words[:1].upper() + words[1:]


def forest_of_centres(centres: Sequence[CentreFigures], model: str) -> list[Block]:
    """Draw the AUCs of a model on each centre that was left out, where any is determined."""
    estimates = {centre.name: centre.aucs[model] for centre in centres if model in centre.aucs}
    if not estimates:
        return []
    return charts(
        forest_chart(
            estimates,
            axis="AUC on the centre that was left out",
            title=f"Each centre left out: {model}",
            subtitle="DeLong's intervals; dashed: chance",
            no_effect=0.5,
        ),
        wide=True,
    )


def method_section(evidence: Evidence, sentences: Sequence[str], source: str) -> Section:
    """Say how patients were held out, how figures were obtained, with which settings, and where the patients come from."""
    settings = "; ".join(_setting(*item) for item in evidence.settings.items())
    return Section(
        "Methods",
        [
            f"Validation: {evidence.protocol.rstrip('.')}.",
            *sentences,
            *([f"Settings: {settings}."] if settings else []),
            f"Source of the patients: {source}",
        ],
        name="method",
    )


def patients_section(columns: Sequence[Column], rows: Sequence[Row], note: str = "") -> Section:
    """Table of all patients."""
    return Section("All patients", [Table(columns, rows), *([Note(note)] if note else [])], name="table")


def _setting(name: str, value: Any) -> str:
    words = name.replace("_", " ")
    if isinstance(value, Mapping):
        return f"{words} ({', '.join(_setting(*item) for item in value.items())})"
    if isinstance(value, list | tuple):
        return f"{words} {' / '.join(map(str, value))}"
    return f"{words} {value:g}" if isinstance(value, float) else f"{words} {value}"
