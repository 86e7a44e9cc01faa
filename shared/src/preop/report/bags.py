"""The page of a training run on bags: does the model beat the rule, which instances does it find, and how well it counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preop.report.charts import (
    ScoredCase,
    Spec,
    calibration_chart,
    count_calibration_chart,
    count_chart,
    forest_chart,
    format_estimate,
    found_chart,
    roc_comparison_chart,
    score_chart,
    strip_chart,
)
from preop.report.html import inline, render
from preop.report.pages import CASES_OF_A_CALIBRATION_GROUP
from preop.statistics import (
    BinaryCounts,
    Estimate,
    calibration_curve,
    count_calibration,
    difference_in_words,
    recalibrate,
    roc_curve,
)

if TYPE_CHECKING:
    from markupsafe import Markup

    # Imported where it is used: its package imports torch, and other pages need none.
    from preop.mil.evidence import BagEvidence, CountFit, Patient, Ranking

_MOST_GROUPS = 10
_MOST_COLUMNS = 9
_DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class _Figure:
    name: str
    value: str
    interval: str
    evidence: str = ""


def bag_training_page(
    evidence: Mapping[str, Any], path: Path, *, title: str, source: str = "not stated", simulated: bool = False
) -> None:
    """Write the page of a training run on bags.

    Parameters
    ----------
    evidence
        As :class:`preop.mil.evidence.BagEvidence` describes it.
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
        If the evidence is not that of a training run on bags.
    """
    from preop.mil.evidence import read_evidence

    study = read_evidence(evidence)
    page = render(
        "bags.html",
        title=title,
        source=source,
        simulated=simulated,
        study=study,
        lead=_lead(study),
        verdict=study.verdict,
        warnings=_warnings(study),
        figures=_figures(study),
        rows=_rows(study),
        oracle=_oracle(study),
        charts=[inline(chart) for chart in _patient_charts(study)],
        recalibration=_recalibration(study),
        rankings=_rankings(study),
        difference=difference_in_words(study.ranking_difference) if study.ranking_difference else "",
        ranking_charts=_ranking_charts(study),
        count=_count_rows(study.count_fit) if study.count_fit else None,
        count_charts=_count_charts(study),
        centres=_centres(study),
        centre_chart=_centre_chart(study),
        patients=_patient_rows(study),
        score_title=_capital(f"{study.rule.score_name} ({study.rule.unit})"),
        method=_method(study),
        settings=[(name.replace("_", " "), _setting(value)) for name, value in study.settings.items()],
    )
    path.write_text(page, encoding="utf-8")


def _lead(study: BagEvidence) -> str:
    events = int(study.labels.sum())
    centres = len({patient.centre for patient in study.patients} - {""})
    instances = sum(len(patient.instances) for patient in study.patients)
    return (
        f"{len(study.patients)} patients{f' from {centres} centres' if centres > 1 else ''}: {events} with "
        f"{study.positive_name}, {len(study.known) - events} without"
        f"{f', {study.left_out} of whom it is not known' if study.left_out else ''}; {instances} {study.instance_name}s. "
        "Each was predicted by models that had not seen the patient."
    )


def _warnings(study: BagEvidence) -> list[str]:
    found = []
    if study.left_out:
        found.append(
            f"{_patients(study.left_out)} left out of all figures: the report leaves open whether any "
            f"{study.instance_name} is positive."
        )
    inexact = sum(patient.low != patient.high for patient in study.known)
    if study.count_fit and inexact:
        found.append(
            f"{_patients(inexact, f' with {study.positive_name}')} left out where numbers are compared, as the report gives no "
            "exact one: those that stay have fewer positives than all, so that the model seems to expect too many."
        )
    without = sum(patient.positive is True for patient in study.known) - len(study.ranked)
    if study.ranked and without:
        found.append(
            f"{_patients(without, f' with {study.positive_name}')} left out of the ranking: no {study.instance_name} is known to "
            "be positive, or not all are known."
        )
    return found


def _patients(number: int, which: str = "") -> str:
    return f"1 patient{which} is" if number == 1 else f"{number} patients{which} are"


def _figures(study: BagEvidence) -> list[_Figure]:
    """Give the few numbers to remember."""
    oracle = study.oracle
    found = [
        _figure("AUC of the model", study.model_auc, _beside(oracle.patient_auc if oracle else None)),
        _figure(f"AUC of the {study.rule.score_name}", study.rule_auc, study.rule.name),
    ]
    if study.model_ranking and study.rule_ranking:
        by_rule = study.rule_ranking.first_is_positive.value
        found += [
            _figure(
                f"AUC of {study.instance_name}s",
                study.model_ranking.auc,
                _beside(oracle.instance_auc if oracle else None)
                or f"{study.rule_ranking.auc.value:.2f} by {study.rule.instance_score_name}",
            ),
            _figure(
                f"First-ranked {study.instance_name} is positive",
                study.model_ranking.first_is_positive,
                f"{by_rule:.2f} by {study.rule.instance_score_name}, {study.first_by_chance:.2f} by chance",
            ),
        ]
    return found


def _figure(name: str, estimate: Estimate, evidence: str) -> _Figure:
    interval = (
        "no interval" if np.isnan(estimate.lower) else f"95 % interval {estimate.lower:.2f} to {estimate.upper:.2f}"
    )
    return _Figure(name, f"{estimate.value:.2f}", interval, evidence)


def _beside(oracle: float | None) -> str:
    return "" if oracle is None else f"oracle of the simulation {oracle:.2f}"


def _rows(study: BagEvidence) -> list[dict[str, Any]]:
    """Model and rule, one below the other."""
    rule = f"{study.rule.name} (over {study.rule.threshold:g} {study.rule.unit})"
    return [
        _row(study.model, "", study.model_auc, study.model_counts) | {"brier": f"{study.brier:.3f}"},
        _row(rule, "baseline", study.rule_auc, study.rule_counts) | {"brier": _DASH},
    ]


def _row(name: str, kind: str, area: Estimate, counts: BinaryCounts) -> dict[str, Any]:
    shares = (
        counts.sensitivity,
        counts.specificity,
        counts.positive_predictive_value,
        counts.negative_predictive_value,
        counts.accuracy,
    )
    return {
        "name": name,
        "kind": kind,
        "cells": [format_estimate(area), *(_DASH if item is None else format_estimate(item) for item in shares)],
    }


def _oracle(study: BagEvidence) -> str:
    """Say what could be reached at all."""
    if study.oracle is None:
        return ""
    areas = {"patients": study.oracle.patient_auc, f"{study.instance_name}s": study.oracle.instance_auc}
    words = " and ".join(f"{area:.2f} for {name}" for name, area in areas.items() if area is not None)
    return (
        "Oracle: an observer who knows the variables that these simulated patients are made from reaches an AUC of "
        f"{words}; but for chance, no model can do better."
        if words
        else ""
    )


def _patient_charts(study: BagEvidence) -> list[Spec]:
    labels, probabilities = study.labels, study.probabilities
    names = (study.model, study.rule.score_name)
    points = zip(names, (study.model_counts, study.rule_counts), strict=True)
    yes, no = study.positive_name, f"no {study.positive_name}"
    positives_first = sorted(study.known, key=lambda patient: not patient.positive)
    charts = [
        roc_comparison_chart(
            dict(zip(names, (roc_curve(labels, probabilities), roc_curve(labels, study.rule_scores)), strict=True)),
            dict(zip(names, (study.model_auc, study.rule_auc), strict=True)),
            operating_points={name: point for name, counts in points if (point := _operating_point(counts))},
            title="ROC curves of patients",
            subtitle=f"dots: thresholds of the other folds; {study.rule.threshold:g} {study.rule.unit}",
        ),
        score_chart(
            [ScoredCase(item.patient, yes if item.positive else no, item.probability) for item in positives_first],
            reference_title="",
            threshold=study.threshold,
            title="Likelihood of each patient",
        ),
    ]
    groups = _groups(labels.size)
    if groups > 1:
        curve = calibration_curve(labels, probabilities, groups=groups)
        charts.append(calibration_chart(curve, title="Calibration of the likelihood"))
    return charts


def _operating_point(counts: BinaryCounts) -> tuple[float, float] | None:
    sensitivity, specificity = counts.sensitivity, counts.specificity
    return (sensitivity.value, specificity.value) if sensitivity and specificity else None


def _groups(cases: int) -> int:
    return min(cases // CASES_OF_A_CALIBRATION_GROUP, _MOST_GROUPS)


def _recalibration(study: BagEvidence) -> str:
    found = recalibrate(study.labels, study.probabilities)
    if np.isnan(found.slope.value):
        return "No calibration slope is determined: the likelihoods are all alike, or separate both outcomes."
    return (
        f"Calibration slope {format_estimate(found.slope)} (1 is right, below 1 too extreme), intercept "
        f"{format_estimate(found.intercept)} (0 is right, below 0 too high)."
    ).replace("-", "\N{MINUS SIGN}")


def _rankings(study: BagEvidence) -> list[dict[str, Any]]:
    pairs = {study.model: study.model_ranking, study.rule.instance_score_name: study.rule_ranking}
    return [_ranking_row(name, ranking) for name, ranking in pairs.items() if ranking]


def _ranking_row(name: str, ranking: Ranking) -> dict[str, Any]:
    return {
        "name": name,
        "cells": [format_estimate(item) for item in (ranking.auc, ranking.auc_of_patients, ranking.first_is_positive)],
        "to_look_at": str(ranking.to_look_at),
    }


def _ranking_charts(study: BagEvidence) -> list[Markup]:
    by_model, by_rule = study.model_ranking, study.rule_ranking
    if not by_model or not by_rule:
        return []
    instances = [item for patient in study.ranked for item in patient.instances]
    truth = np.array([item.truth == 1 for item in instances])
    contributions = np.array([item.contribution for item in instances])
    names = (study.model, study.rule.instance_score_name)
    curves = (roc_curve(truth, contributions), roc_curve(truth, [item.rule_score for item in instances]))
    found = {
        study.model: by_model.found.tolist(),
        study.rule.instance_score_name: by_rule.found.tolist(),
        "in no order": study.found_by_chance.tolist(),
    }
    charts = [
        found_chart(
            found,
            axis=f"{study.instance_name}s looked at in each patient",
            title=f"Finding the positive {study.instance_name}s",
            subtitle="the highest first; dashed: 80 %",
            share=0.8,
        ),
        roc_comparison_chart(
            dict(zip(names, curves, strict=True)),
            dict(zip(names, (by_model.auc, by_rule.auc), strict=True)),
            title=f"ROC curves of {study.instance_name}s",
            subtitle=f"inside patients with {study.positive_name}",
        ),
        strip_chart(
            {"positive": contributions[truth].tolist(), "negative": contributions[~truth].tolist()},
            axis="contribution to the prediction",
            title=f"Contributions of {study.instance_name}s",
        ),
    ]
    return [inline(chart) for chart in charts]


def _count_rows(fit: CountFit) -> list[tuple[str, str, str]]:
    return [
        ("Patients whose report gives a number", str(fit.patients), ""),
        ("Mean expected number", f"{fit.expected:.2f}", f"{fit.reported:.2f} reported"),
        (
            "90 % intervals that hold the reported number",
            format_estimate(fit.coverage.observed),
            f"{fit.coverage.promised:.2f} promised: numbers are whole",
        ),
        ("Ranked probability score", f"{fit.score:.3f}", f"{fit.score_of_cohort:.3f} of the cohort's own distribution"),
        (
            "Difference of the two",
            difference_in_words(fit.difference),
            "below 0: the model is nearer to the reported number",
        ),
    ]


def _count_charts(study: BagEvidence) -> list[Markup]:
    groups = _groups(len(study.counted))
    if groups < 2:
        return []
    reported = np.array([patient.low for patient in study.counted])
    expected = np.array([patient.expected for patient in study.counted])
    mean = np.array([patient.counts for patient in study.counted]).mean(axis=0)
    most = min(_MOST_COLUMNS, mean.size) - 1
    names = [*map(str, range(most)), f"{most} or more"]
    shares = np.bincount(np.minimum(reported, most), minlength=most + 1) / reported.size
    charts = [
        count_calibration_chart(
            count_calibration(reported, expected, groups=groups), axis=f"number of positive {study.instance_name}s"
        ),
        count_chart(
            dict(zip(names, [*mean[:most].tolist(), float(mean[most:].sum())], strict=True)),
            title=f"Number of positive {study.instance_name}s",
            subtitle="bars: mean prediction; dots: share of the reports",
            observed=dict(zip(names, shares.tolist(), strict=True)),
        ),
    ]
    return [inline(chart) for chart in charts]


def _centres(study: BagEvidence) -> list[dict[str, str]]:
    return [
        {
            "name": centre.name,
            "patients": f"{centre.events} / {centre.patients}",
            "model": format_estimate(centre.model) if centre.model else _DASH,
            "rule": format_estimate(centre.rule) if centre.rule else _DASH,
        }
        for centre in study.centres
    ]


def _centre_chart(study: BagEvidence) -> Markup | None:
    estimates = {centre.name: centre.model for centre in study.centres if centre.model}
    if not estimates:
        return None
    chart = forest_chart(
        estimates,
        axis="AUC on the centre that was left out",
        title=f"Each centre left out: {study.model}",
        subtitle="DeLong's intervals; dashed: chance",
        no_effect=0.5,
    )
    return inline(chart)


def _patient_rows(study: BagEvidence) -> list[dict[str, Any]]:
    """All patients, the likeliest first; wrong decisions of the model are marked."""
    called = dict(zip((patient.patient for patient in study.known), study.decisions.tolist(), strict=True))
    return [
        _patient_row(patient, _outcome(patient, called))
        for patient in sorted(study.patients, key=lambda patient: -patient.probability)
    ]


def _outcome(patient: Patient, called: Mapping[str, bool]) -> str:
    if patient.patient not in called:
        return "left out"
    return "right" if called[patient.patient] == patient.positive else "wrong"


def _patient_row(patient: Patient, outcome: str) -> dict[str, Any]:
    return {
        "name": patient.patient,
        "instances": str(len(patient.instances)),
        "reported": patient.reported,
        "expected": _DASH if patient.expected is None else f"{patient.expected:.1f}",
        "likelihood": f"{patient.probability:.2f}",
        "outcome": outcome,
        "rule_score": f"{patient.rule_score:.1f}",
        "fold": patient.fold,
        "centre": patient.centre or _DASH,
    }


def _method(study: BagEvidence) -> list[str]:
    found = [
        f"Validation: {study.protocol.rstrip('.')}. The likelihoods of all folds are taken together.",
        (
            "AUC of patients: how often one with, by the likelihood, stands above one without; DeLong's intervals "
            "and paired test. They hold for the models that were trained here; how much another training run "
            "would differ is not in them."
        ),
        (
            "Decisions of the model: at the threshold that is best on the patients of all other folds (largest sum of "
            "sensitivity and specificity, Youden), so that no patient is judged at a threshold it helped to choose; the "
            f"final model decides at {study.threshold:.2f}. Decisions of the {study.rule.name}: positive where the "
            f"{study.rule.score_name} is over {study.rule.threshold:g} {study.rule.unit}. Wilson's intervals."
        ),
    ]
    if study.model_ranking:
        found.append(
            f"Ranking: of the {study.instance_name}s of patients with {study.positive_name} by their contribution to the "
            "prediction, against the truth of each. AUC of all together with an interval from "
            "resampled patients, and mean of the patients' own AUCs with Student's t interval. Equal scores count as "
            "looked at last."
        )
    if study.count_fit:
        found.append(
            "Number: the ranked probability score is the squared distance of the predicted and the reported number's "
            "cumulative distributions; it is held against the distribution of the numbers of all other patients. 90 % "
            "intervals go from the 5 % to the 95 % quantile."
        )
    return found


def _setting(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
