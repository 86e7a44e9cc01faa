"""The page of a training run that predicts one yes or no in several ways: which one, what together, how far they agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preop.report.charts import (
    ScoredCase,
    Spec,
    calibration_chart,
    forest_chart,
    format_estimate,
    roc_comparison_chart,
    score_chart,
)
from preop.report.html import inline, render
from preop.report.pages import CASES_OF_A_CALIBRATION_GROUP
from preop.report.way_evidence import Patient, ReaderAgreement, WayAgreement, WaysEvidence, read_way_evidence
from preop.statistics import Estimate, calibration_curve, difference_in_words, p_value_in_words, recalibrate, roc_curve

if TYPE_CHECKING:
    from markupsafe import Markup

_MOST_GROUPS = 10
_DASH = "\N{EN DASH}"


def ways_training_page(
    evidence: Mapping[str, Any], path: Path, *, title: str, source: str = "not stated", simulated: bool = False
) -> None:
    """Write the page of a training run that predicts in several ways.

    Parameters
    ----------
    evidence
        As :class:`preop.report.way_evidence.WaysEvidence` describes it.
    path
        The HTML file to write.
    title
        Of the study.
    source
        Where the patients come from.
    simulated
        Whether they are simulated: then no figure says anything about patients.

    Raises
    ------
    InvalidInputError
        If the evidence is anything else.
    """
    study = read_way_evidence(evidence)
    page = render(
        "ways.html",
        title=title,
        source=source,
        simulated=simulated,
        study=study,
        lead=_lead(study),
        rows=[_way_row(study, way.name, baseline=way.baseline) for way in study.ways],
        comparisons=[_comparison_row(study, *pair) for pair in study.compared],
        oracle="" if study.oracle is None else f"{study.oracle:.2f}",
        charts=[inline(chart) for chart in _charts(study)],
        agreements=[_agreement_row(pair) for pair in study.agreements],
        readers=[_reader_row(row) for row in study.reader_agreements],
        weights=_weights(study),
        centres=[
            (centre.name, way, f"{centre.events} / {centre.patients}", format_estimate(area))
            for centre in study.centres
            for way, area in centre.areas.items()
        ],
        method=_method(study),
        settings=[(name.replace("_", " "), _setting(value)) for name, value in study.settings.items()],
        patients=[_patient_row(study, patient) for patient in study.patients],
    )
    path.write_text(page, encoding="utf-8")


def _lead(study: WaysEvidence) -> str:
    events = int(study.labels.sum())
    centres = len({patient.centre for patient in study.patients} - {""})
    return (
        f"{len(study.patients)} patients{f' from {centres} centres' if centres > 1 else ''}: {events} with "
        f"{study.positive_name}, {len(study.patients) - events} without. Each was predicted by models that had not seen the "
        "patient."
    )


def _way_row(study: WaysEvidence, name: str, *, baseline: bool) -> dict[str, Any]:
    counts = study.counts(name)
    shares = (
        counts.sensitivity,
        counts.specificity,
        counts.positive_predictive_value,
        counts.negative_predictive_value,
        counts.accuracy,
    )
    return {
        "name": name,
        "kind": "baseline" if baseline else "",
        "cells": [format_estimate(study.auc(name)), *map(_cell, shares)],
        "brier": _DASH if baseline else f"{study.brier(name):.3f}",
        "slope": _DASH if baseline else _slope(study, name),
    }


def _slope(study: WaysEvidence, name: str) -> str:
    slope = recalibrate(study.labels, study.scores(name)).slope
    return _DASH if math.isnan(slope.value) else _minus(format_estimate(slope))


def _comparison_row(study: WaysEvidence, way: str, other: str) -> tuple[str, str, str, str, str]:
    comparison = study.compare(way, other)
    known = not math.isnan(comparison.p_value)
    p_value = p_value_in_words(comparison.p_value).removeprefix("p ").removeprefix("= ") if known else _DASH
    answer = "yes" if study.adds(way, other) else "not shown"
    return way, other, difference_in_words(comparison.difference), p_value, answer


def _charts(study: WaysEvidence) -> list[Spec]:
    labels, final = study.labels, study.final.name
    shown = [way.name for way in study.predicting][:2]
    yes, no = study.positive_name, f"no {study.positive_name}"
    positives_first = sorted(study.patients, key=lambda patient: -patient.outcome)
    charts = [
        forest_chart(
            {way.name: study.auc(way.name) for way in study.ways},
            axis="AUC on held-out patients",
            title="Discrimination of each way",
            subtitle="DeLong's intervals; dashed: chance",
            no_effect=0.5,
        ),
        roc_comparison_chart(
            {name: roc_curve(labels, study.scores(name)) for name in shown},
            {name: study.auc(name) for name in shown},
            title="ROC curves",
        ),
        score_chart(
            [ScoredCase(item.patient, yes if item.outcome else no, item.scores[final]) for item in positives_first],
            reference_title="",
            threshold=study.final.threshold,
            title=f"Likelihood of each patient: {final}",
        ),
    ]
    groups = min(labels.size // CASES_OF_A_CALIBRATION_GROUP, _MOST_GROUPS)
    if groups > 1:
        curve = calibration_curve(labels, study.scores(final), groups=groups)
        charts.append(calibration_chart(curve, title=f"Calibration: {final}"))
    return charts


def _agreement_row(pair: WayAgreement) -> tuple[str, str, str, str]:
    kappa = pair.decisions.quadratic_weighted_kappa
    return (
        f"{pair.first} and {pair.second}",
        f"{pair.rank_correlation:.2f}",
        format_estimate(pair.decisions.accuracy),
        _cell(kappa),
    )


def _reader_row(row: ReaderAgreement) -> tuple[str, ...]:
    numbers = (row.intraclass, row.rank_correlation)
    return (
        row.item,
        str(row.patients),
        *(_DASH if math.isnan(number) else _minus(f"{number:.2f}") for number in numbers),
        _minus(f"{row.difference:+.3g}"),
    )


def _weights(study: WaysEvidence) -> Markup | None:
    """Draw what each item adds to the log odds."""
    if not study.weights:
        return None
    estimates = {
        weight.name: Estimate(
            weight.log_odds,
            math.nan if weight.lower is None else weight.lower,
            math.nan if weight.upper is None else weight.upper,
        )
        for weight in study.weights
    }
    return inline(
        forest_chart(
            estimates,
            axis="log odds where it is unfavourable",
            title="Weight of each item",
            subtitle="of the final model, on all patients; 95 % intervals",
            no_effect=0.0,
        )
    )


def _method(study: WaysEvidence) -> list[str]:
    return [
        f"Validation: {study.protocol.rstrip('.')}.",
        (
            "Decisions: at the threshold with the largest sum of sensitivity and specificity on all other folds (Youden). "
            "Predictive values hold for the share of the outcome in these patients."
        ),
        (
            "Intervals: DeLong's for AUCs and their differences, Wilson's for shares, the large-sample one for kappa. Items "
            "beside readers: intraclass correlation ICC(2,1) (Shrout and Fleiss 1979), Spearman's rank correlation, and the "
            "mean of measured less read."
        ),
    ]


def _patient_row(study: WaysEvidence, patient: Patient) -> dict[str, Any]:
    return {
        "name": patient.patient,
        "outcome": study.positive_name if patient.outcome else f"no {study.positive_name}",
        "scores": [_minus(f"{patient.scores[way.name]:.3g}") for way in study.ways],
        "fold": patient.fold,
        "centre": patient.centre or _DASH,
    }


def _cell(estimate: Estimate | None) -> str:
    return _DASH if estimate is None else format_estimate(estimate)


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _setting(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
