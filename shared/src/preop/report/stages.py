"""The page of a training run on nodal stages: agreement with pathology beside that of clinical staging, cut by cut."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from preop.report.charts import (
    Spec,
    calibration_chart,
    confusion_chart,
    forest_chart,
    format_estimate,
    roc_chart,
    strip_chart,
)
from preop.report.html import inline, render
from preop.report.pages import CASES_OF_A_CALIBRATION_GROUP
from preop.staging import N, StageEvidence, read_stage_evidence
from preop.statistics import BinaryCounts, Estimate, calibration_curve, roc_curve

_MOST_GROUPS = 10
_DASH = "\N{EN DASH}"
_CUTS = {"N0 | N1 to N3": N.N1, "N0, N1 | N2, N3": N.N2}


def stage_training_page(
    evidence: Mapping[str, Any], path: Path, *, title: str, source: str = "not stated", simulated: bool = False
) -> None:
    """Write the page of a training run on nodal stages.

    Parameters
    ----------
    evidence
        As :class:`preop.staging.StageEvidence` describes it.
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
        If the evidence is not that of a training run on stages.
    """
    study = read_stage_evidence(evidence)
    page = render(
        "stages.html",
        title=title,
        source=source,
        simulated=simulated,
        study=study,
        lead=_lead(study),
        figures=_figures(study),
        rows=[_agreement_row(study, rater) for rater in study.raters if study.staged(rater)],
        cuts=[
            _cut_row(study, name, category, rater)
            for name, category in _CUTS.items()
            for rater in study.raters
            if study.staged(rater)
        ],
        confusions=[
            inline(confusion_chart(study.agreement(rater), title=rater))
            for rater in study.raters
            if study.staged(rater)
        ],
        charts=[inline(chart) for chart in _likelihood_charts(study)],
        stations=[_station_row(name, counts) for name, counts in study.stations().items()],
        nodes=_nodes(study),
        node_charts=[inline(chart) for chart in _node_charts(study)],
        terms=[(name, f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")) for name, value in study.terms.items()],
        method=_method(study),
        settings=[(name.replace("_", " "), _setting(value)) for name, value in study.settings.items()],
        patients=[_patient_row(study, place) for place in range(len(study.patients))],
    )
    path.write_text(page, encoding="utf-8")


def _lead(study: StageEvidence) -> str:
    counts = {name: sum(study.agreement(study.raters[0]).as_dict()[name].values()) for name in study.categories}
    centres = len({patient.centre for patient in study.patients} - {""})
    stages = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return (
        f"{len(study.patients)} patients{f' from {centres} centres' if centres > 1 else ''}, by pathology {stages}. Each was "
        "staged by a model that had not seen the patient."
    )


def _figures(study: StageEvidence) -> list[dict[str, str]]:
    """Give the few numbers to remember, each with that of the first reader beside it."""
    model, *others = study.raters
    beside = next((rater for rater in others if study.staged(rater)), None)
    over, under = study.over_and_under(model)
    other = study.over_and_under(beside) if beside else (None, None)
    return [
        _figure(
            "Exact category",
            study.agreement(model).accuracy,
            beside,
            study.agreement(beside).accuracy if beside else None,
        ),
        _figure(
            "Quadratic weighted kappa",
            study.agreement(model).quadratic_weighted_kappa,
            beside,
            study.agreement(beside).quadratic_weighted_kappa if beside else None,
        ),
        _figure("Staged too high", over, beside, other[0]),
        _figure("Staged too low", under, beside, other[1]),
    ]


def _figure(name: str, estimate: Estimate | None, beside: str | None, other: Estimate | None) -> dict[str, str]:
    interval = "no interval"
    if estimate is not None and not np.isnan(estimate.lower):
        interval = f"95 % interval {estimate.lower:.2f} to {estimate.upper:.2f}"
    return {
        "name": name,
        "value": _DASH if estimate is None else f"{estimate.value:.2f}",
        "interval": interval,
        "evidence": "" if beside is None or other is None else f"{other.value:.2f} by {beside}",
    }


def _agreement_row(study: StageEvidence, rater: str) -> dict[str, Any]:
    agreement = study.agreement(rater)
    over, under = study.over_and_under(rater)
    return {
        "name": rater,
        "kind": "" if rater == study.raters[0] else "beside it",
        "patients": str(agreement.cases),
        "cells": [_cell(item) for item in (agreement.accuracy, agreement.quadratic_weighted_kappa, over, under)],
    }


def _cut_row(study: StageEvidence, name: str, category: N, rater: str) -> dict[str, Any]:
    counts = study.cut(rater, category)
    shares = (
        counts.sensitivity,
        counts.specificity,
        counts.positive_predictive_value,
        counts.negative_predictive_value,
        counts.accuracy,
    )
    return {"cut": name, "name": rater, "cells": [_cell(item) for item in shares]}


def _likelihood_charts(study: StageEvidence) -> list[Spec]:
    """Draw how well the likelihood of N1 or more ranks patients, and whether it means what it says."""
    area = study.auc_of(study.raters[0])
    if area is None:
        return []
    labels, likelihoods = study.node_positive, study.likelihoods
    charts = [roc_chart(roc_curve(labels, likelihoods), area, title="N0 against N1 to N3")]
    groups = min(len(labels) // CASES_OF_A_CALIBRATION_GROUP, _MOST_GROUPS)
    if groups > 1:
        curve = calibration_curve(labels, likelihoods, groups=groups)
        charts.append(calibration_chart(curve, title="Calibration of the likelihood of N1 or more"))
    return charts


def _station_row(name: str, counts: BinaryCounts) -> dict[str, Any]:
    return {
        "name": "all stations" if name == "all" else name,
        "seen": str(counts.cases),
        "positive": str(counts.true_positives + counts.false_negatives),
        "cells": [_cell(counts.sensitivity), _cell(counts.specificity)],
    }


def _nodes(study: StageEvidence) -> str:
    if study.node_auc is None:
        return ""
    malignant = sum(node.malignant for node in study.nodes)
    return (
        f"{len(study.nodes)} nodes of which it is known, {malignant} of them malignant: AUC {study.node_auc:.2f} by models "
        "that had not seen the patient."
    )


def _node_charts(study: StageEvidence) -> list[Spec]:
    if study.node_auc is None:
        return []
    malignant = [node.probability for node in study.nodes if node.malignant]
    benign = [node.probability for node in study.nodes if not node.malignant]
    charts = [
        strip_chart(
            {"malignant": malignant, "benign": benign},
            axis="probability of malignancy",
            title="Probability of each node",
        )
    ]
    groups = min(len(study.nodes) // CASES_OF_A_CALIBRATION_GROUP, _MOST_GROUPS)
    if groups > 1:
        labels = [int(node.malignant) for node in study.nodes]
        curve = calibration_curve(labels, [node.probability for node in study.nodes], groups=groups)
        charts.append(calibration_chart(curve, title="Calibration of the probability of nodes"))
    shares = {name: counts.sensitivity for name, counts in study.stations().items() if counts.sensitivity}
    if len(shares) > 1:
        charts.append(
            forest_chart(
                {("all stations" if name == "all" else name): share for name, share in shares.items()},
                axis="sensitivity",
                title="Involved stations that were found",
                subtitle="Wilson's intervals",
            )
        )
    return charts


def _patient_row(study: StageEvidence, place: int) -> dict[str, Any]:
    patient = study.patients[place]
    said = patient.called.get(study.raters[0])
    others = [patient.called.get(rater) for rater in study.raters[1:]]
    likeliest = patient.probabilities.get(said) if said else None
    return {
        "name": patient.patient,
        "reference": str(patient.reference),
        "called": _DASH if said is None else str(said),
        "right": study.is_right(patient, study.raters[0]),
        "probability": _DASH if likeliest is None else f"{likeliest:.2f}",
        "others": [_DASH if other is None else str(other) for other in others],
        "positive": ", ".join(patient.positive) or _DASH,
        "involved": ", ".join(patient.involved) or _DASH,
        "fold": patient.fold,
        "centre": patient.centre or _DASH,
    }


def _method(study: StageEvidence) -> list[str]:
    return [
        f"Validation: {study.protocol.rstrip('.')}.",
        (
            "Quadratic weighted kappa: agreement beyond chance, where a mistake counts by the square of the number of "
            "categories it spans; 0 is chance, 1 is perfect. Where the side of the primary is unknown and decides, the "
            "algorithm says NX, which counts as the category furthest from the truth."
        ),
        (
            "Stations: every station that pathology has seen is a decision; the algorithm calls those involved that "
            "explain its category best. Stations of one patient are not independent, which the intervals leave out."
        ),
        "Intervals: Wilson's for shares, the large-sample one for kappa, DeLong's for the AUC, Student's for differences.",
    ]


def _cell(estimate: Estimate | None) -> str:
    return _DASH if estimate is None else format_estimate(estimate)


def _setting(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
