"""The page of a training run, or of a validation on other patients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from preop.report import (
    Figure,
    ScoredCase,
    Section,
    Table,
    calibration_chart,
    confusion_chart,
    count_calibration_chart,
    roc_comparison_chart,
    score_chart,
    sections_page,
)
from preop.report.charts import Spec
from preop.statistics import Estimate, auc_delong, calibration_curve, count_calibration, recalibrate, roc_curve

from .evidence import COMBINATION, MODELS, Reported, Said, agreement_of, figures, patient_scores

Json = Mapping[str, Any]

_DASH = "\N{EN DASH}"
_MINUS = "\N{MINUS SIGN}"
_CASES_OF_A_GROUP = 10
_MOST_GROUPS = 10
NAMES = {COMBINATION: "radiomics and network", "radiomics": "radiomics alone", "network": "network alone"}


def evidence_page(
    evidence: Json, path: Path, *, kicker: str, title: str, source: str = "not stated", simulated: bool = False
) -> None:
    """Write the page of held-out predictions.

    Parameters
    ----------
    evidence
        As ``training.fit`` writes it.
    kicker, title
        What kind of page, and on what.
    source
        Where the patients come from.
    simulated
        Whether they are simulated: then no figure says anything about patients.
    """
    known = figures(evidence)
    reported = Reported.of(evidence)
    states, _ = patient_scores(evidence, COMBINATION)
    sections_page(
        path,
        kicker=kicker,
        title=title,
        lead=f"{known['patients']} patients with {known['lesions']} metastases, of {known['reported_lesions']} of which the "
        f"shares were reported; {int(states.sum())} patients non-desmoplastic, {int((1 - states).sum())} desmoplastic. Each "
        "was predicted by models that had not seen the patient.",
        verdict=_verdict(known),
        simulated=simulated,
        sections=[
            _patterns_of_patients(evidence, known),
            _shares(evidence, known, reported),
            _groups(known),
            *_second(known),
            _method(evidence, source),
            _table_of_patients(evidence),
        ],
    )


def _verdict(known: Json) -> list[str]:
    comparisons = {each["baseline"]: each for each in known["comparisons"]}
    error = comparisons["mean of the cohort"]
    of_shares = known["models"][COMBINATION]["error_of_shares"]
    if of_shares is None:
        return ["Of no metastasis the shares were reported: nothing is said of how well they are predicted."]
    first = (
        "Shares of the growth patterns are predicted better than by the mean of the cohort"
        if error["adds"]
        else "Shares of the growth patterns were not shown to be predicted better than by the mean of the cohort"
    )
    sentences = [
        f"{first}: mean absolute error {_of(of_shares)} against {_of(known['error_without_looking'])}.",
    ]
    for part in ("radiomics", "network"):
        each = comparisons[part]
        sentences.append(
            f"The combination beside {NAMES[part]}: error of shares {_signed(each['difference_of_error'])} (below 0 is "
            f"better), AUC of patients {_signed(each['difference_of_patient_auc'])} (above 0 is better)."
        )
    return sentences


def _patterns_of_patients(evidence: Json, known: Json) -> Section:
    of = known["models"]
    oracle = known["oracle"] or {}
    rows = [
        [
            NAMES[model],
            _of(of[model]["patient_auc"]),
            _number(of[model]["brier_score"]),
            _of(of[model]["lesion_auc_pure"]),
        ]
        for model in MODELS
    ]
    if oracle:
        rows.append(
            [
                "observer who knows the simulation",
                _number(oracle["patient_auc"]),
                _DASH,
                _number(oracle["lesion_auc_pure"]),
            ]
        )
    states, scores = patient_scores(evidence, COMBINATION)
    return Section(
        "Desmoplastic or not",
        paragraphs=[_recalibration(states, scores)],
        figures=[
            _figure("AUC of patients", of[COMBINATION]["patient_auc"], "non-desmoplastic or not"),
            _figure("AUC of metastases", of[COMBINATION]["lesion_auc_pure"], "pure or mixed"),
        ],
        tables=[
            Table(
                ["", "AUC of patients", "Brier score", "AUC of metastases, pure or mixed"],
                rows,
                "Intervals: DeLong's for patients, resampled patients for metastases.",
            )
        ],
        charts=_charts_of_patients(evidence),
    )


def _charts_of_patients(evidence: Json) -> list[Spec]:
    states, scores = patient_scores(evidence, COMBINATION)
    if not 0 < states.sum() < states.size:
        return []
    both = {NAMES[model]: patient_scores(evidence, model)[1] for model in (COMBINATION, "radiomics")}
    cases = [
        ScoredCase(row["patient"], "non-desmoplastic" if row["state"] else "desmoplastic", score)
        for row, score in zip((row for row in evidence["patients"] if row["state"] >= 0), scores.tolist(), strict=True)
    ]
    charts: list[Spec] = [
        roc_comparison_chart(
            {name: roc_curve(states, said) for name, said in both.items()},
            {name: auc_delong(states, said) for name, said in both.items()},
            title="ROC curves of patients",
        ),
        score_chart(
            sorted(cases, key=lambda case: case.reference), reference_title="", title="Likelihood of non-desmoplastic"
        ),
    ]
    groups = min(states.size // _CASES_OF_A_GROUP, _MOST_GROUPS)
    if groups > 1:
        charts.append(
            calibration_chart(calibration_curve(states, scores, groups=groups), title="Calibration of the likelihood")
        )
    return charts


def _shares(evidence: Json, known: Json, reported: Reported) -> Section:
    of = known["models"]
    oracle = known["oracle"] or {}
    rows = [
        [
            NAMES[model],
            _of(of[model]["error_of_shares"]),
            _number(of[model]["log_score"]),
            _of(of[model]["predominant_accuracy"]),
            _of(of[model]["predominant_kappa"]),
        ]
        for model in MODELS
    ]
    rows.append(["mean of the cohort", _of(known["error_without_looking"]), _DASH, _DASH, _DASH])
    if oracle:
        rows.append(["observer who knows the simulation", _number(oracle["error_of_shares"]), _DASH, _DASH, _DASH])
    return Section(
        "Shares of the interface",
        figures=[
            _figure(
                "Mean absolute error",
                of[COMBINATION]["error_of_shares"],
                f"{_of(known['error_without_looking'])} without looking",
            ),
            _figure("Predominant pattern right", of[COMBINATION]["predominant_accuracy"], "of three"),
        ],
        tables=[
            Table(
                ["", "Error of shares", "Log score", "Predominant pattern", "Kappa"],
                rows,
                "Error: absolute, mean over three patterns and all metastases, with an interval from resampled patients. Log "
                "score: mean logarithm of the probability of the report, of 231 that there are; higher is better.",
            )
        ],
        charts=_charts_of_shares(evidence, reported),
    )


def _charts_of_shares(evidence: Json, reported: Reported) -> list[Spec]:
    said = Said.of(evidence, COMBINATION)
    agreement = agreement_of(reported, said)
    if agreement is None:
        return []
    charts: list[Spec] = [confusion_chart(agreement, title="Predominant pattern")]
    groups = min(len(reported.patients) // _CASES_OF_A_GROUP, _MOST_GROUPS)
    if groups > 1:
        points = count_calibration(100 * reported.shares[:, 0], 100 * said.mean[:, 0], groups=groups)
        charts.append(count_calibration_chart(points, axis="desmoplastic share (%)", title="Calibration of the share"))
    return charts


def _groups(known: Json) -> Section:
    tables = [
        Table(
            [f"By {by}", "Metastases", "Pure", "Error of shares", "AUC, pure or mixed"],
            [
                [
                    name or "not stated",
                    str(row["lesions"]),
                    str(row["pure"]),
                    _of(row["error_of_shares"]),
                    _of(row["lesion_auc_pure"]),
                ]
                for name, row in rows.items()
            ],
        )
        for by, rows in known["by"].items()
    ]
    nothing = [] if tables else ["All metastases are alike in size, centre and who drew them."]
    return Section("Size, scanner, segmentation", paragraphs=nothing, tables=tables)


def _second(known: Json) -> list[Section]:
    second = known["second_segmentation"]
    if second is None:
        return []
    first = known["models"][COMBINATION]
    return [
        Section(
            "If another draws them",
            paragraphs=[
                f"{second['lesions']} metastases were drawn twice, and predicted by the same models: the desmoplastic share "
                f"differs by {_of(second['difference_of_desmoplastic_share'])} in the mean, intraclass correlation "
                f"{_number(second['intraclass_correlation'])}."
            ],
            tables=[
                Table(
                    ["", "Error of shares", "AUC, pure or mixed"],
                    [
                        ["as given", _of(first["error_of_shares"]), _of(first["lesion_auc_pure"])],
                        ["second segmentation", _of(second["error_of_shares"]), _of(second["lesion_auc_pure"])],
                    ],
                )
            ],
        )
    ]


def _method(evidence: Json, source: str) -> Section:
    settings = evidence["settings"]
    return Section(
        "How it was done",
        paragraphs=[
            f"Validation: {evidence['protocol']}.",
            "One distribution over the 231 reports in steps of 5 % gives all answers. A patient is desmoplastic only if the "
            "whole interface of every metastasis is; metastases of a patient resemble each other as in the training patients.",
            f"Source of the patients: {source}",
            *([f"Settings: {'; '.join(_setting(*item) for item in settings.items())}."] if settings else []),
        ],
    )


def _setting(name: str, value: Any) -> str:
    words = name.replace("_", " ")
    if isinstance(value, Mapping):
        return f"{words} ({', '.join(_setting(*item) for item in value.items())})"
    if isinstance(value, list | tuple):
        return f"{words} {' / '.join(map(str, value))}"
    return f"{words} {value}"


def _table_of_patients(evidence: Json) -> Section:
    words = {1: "non-desmoplastic", 0: "desmoplastic"}
    rows = []
    for row in sorted(evidence["patients"], key=lambda row: -row["said"][COMBINATION]["non_desmoplastic"]):
        said = row["said"][COMBINATION]
        shares = ", ".join(
            f"{each['mean'][0]:.0%}" + (f" ({lesion['report'][0]:.0%})" if lesion["report"] else "")
            for each, lesion in zip(said["lesions"], row["lesions"], strict=True)
        )
        rows.append(
            [
                row["patient"],
                words.get(row["state"], "not known"),
                f"{said['non_desmoplastic']:.2f}",
                str(len(row["lesions"])),
                shares,
                row["fold"],
                row["centre"] or _DASH,
            ]
        )
    note = "The likeliest non-desmoplastic first. Share: expected desmoplastic share of each metastasis (reported)."
    columns = ["Patient", "Pathology", "Likelihood", "Metastases", "Desmoplastic share", "Fold", "Centre"]
    return Section("All patients", tables=[Table(columns, rows, note)])


def _recalibration(states: np.ndarray[Any, Any], scores: np.ndarray[Any, Any]) -> str:
    if not 0 < states.sum() < states.size:
        return "All patients have the same pattern."
    found = recalibrate(states, scores)
    if np.isnan(found.slope.value):
        return "No calibration slope is determined: the likelihoods are all alike, or separate both outcomes."
    return (
        f"Calibration slope {_estimate(found.slope)} (1 is right, below 1 too extreme), intercept "
        f"{_estimate(found.intercept)} (0 is right, below 0 too high)."
    )


def _figure(name: str, known: Json | None, beside: str) -> Figure:
    if known is None:
        return Figure(name, _DASH, "", beside)
    interval = (
        "no interval" if known["lower"] is None else f"95 % interval {known['lower']:.2f} to {known['upper']:.2f}"
    )
    return Figure(name, f"{known['value']:.2f}", interval, beside)


def _estimate(estimate: Estimate) -> str:
    return _of(estimate.as_dict())


def _of(known: Json | None, signs: str = "") -> str:
    if known is None:
        return _DASH
    interval = "" if known["lower"] is None else f" [{known['lower']:{signs}.3f}, {known['upper']:{signs}.3f}]"
    return f"{known['value']:{signs}.3f}{interval}".replace("-", _MINUS)


def _signed(known: Json | None) -> str:
    return _of(known, "+")


def _number(value: float | None) -> str:
    return _DASH if value is None else f"{value:.3f}".replace("-", _MINUS)
