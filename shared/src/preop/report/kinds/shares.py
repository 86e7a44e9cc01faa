"""Shares of growth patterns: how well patients are ranked and shares predicted, by size, scanner and segmentation."""

from __future__ import annotations

import functools

from preop.evidence import SharesEvidence
from preop.evidence.shares import COHORT_MEAN, SharesPatient
from preop.evidence.wording import percent
from preop.report.blocks import (
    UNSEEN,
    Content,
    calibration_charts,
    charts,
    interval_figure,
    method_section,
    number,
    patients_section,
    recalibration_in_words,
)
from preop.report.blocks import cell as any_cell
from preop.report.charts import (
    ScoredCase,
    Spec,
    confusion_chart,
    count_calibration_chart,
    roc_comparison_chart,
    score_chart,
)
from preop.report.sections import DASH, Block, Column, Figures, Row, Section, Table
from preop.wording import counted

# Errors of shares differ in the third place.
_FORM = ".3f"
_cell = functools.partial(any_cell, digits=3)
_ORACLE = "observer who knows the simulation"
_PATTERN = {1: "non-desmoplastic", 0: "desmoplastic", None: "not known"}


def content(study: SharesEvidence, source: str) -> Content:
    """Patients, shares, subgroups, a second segmentation, methods, and the table of patients."""
    sections = [
        Section("Desmoplastic or not", _about_patients(study), name="patients"),
        Section("Shares of the interface", _about_shares(study), name="shares"),
        Section("Size, centre, segmentation", _subgroups(study), name="subgroups"),
        *_second(study),
        method_section(study, _METHOD, source),
        _table(study),
    ]
    return Content(_lead(study), sections)


def _lead(study: SharesEvidence) -> str:
    predictions = study.patients_by(study.final)
    unknown = len(study.patients) - predictions.cases
    return (
        f"{counted(len(study.patients), 'patient')} with {counted(study.lesions, 'metastasis', 'metastases')}, of "
        f"{len(study.reported)} of which the shares were reported; {counted(predictions.events, 'patient')} non-desmoplastic, {predictions.cases - predictions.events} desmoplastic"
        f"{f', {unknown} of unknown pattern' if unknown else ''}. {UNSEEN}"
    )


def _about_patients(study: SharesEvidence) -> list[Block]:
    oracle = study.oracle_figures
    rows = [
        Row(
            [
                words,
                _cell(study.patients_by(model).auc),
                number(study.patients_by(model).brier if study.known else None, _FORM),
                _cell(study.shares_by(model).pure_auc),
            ]
        )
        for model, words in study.models.items()
    ]
    if oracle:
        rows.append(
            Row([_ORACLE, number(oracle["patient_auc"], _FORM), DASH, number(oracle["lesion_auc_pure"], _FORM)])
        )
    columns = [
        Column("", "name"),
        Column("AUC of patients", "value"),
        Column("Brier score", "number"),
        Column("AUC of metastases, pure or mixed", "value"),
    ]
    predictions = study.patients_by(study.final)
    return [
        recalibration_in_words(predictions),
        Figures(
            [
                interval_figure("AUC of patients", predictions.auc, "non-desmoplastic or not"),
                interval_figure("AUC of metastases", study.shares_by(study.final).pure_auc, "pure or mixed"),
            ]
        ),
        Table(
            columns,
            rows,
            "Intervals: DeLong's for patients; for metastases by patient: Obuchowski's of AUCs, resampled patients else.",
        ),
        *charts(*_charts_of_patients(study)),
    ]


def _charts_of_patients(study: SharesEvidence) -> list[Spec]:
    predictions = study.patients_by(study.final)
    if not predictions.has_both_outcomes:
        return []
    both = {words: study.patients_by(model) for model, words in list(study.models.items())[:2]}
    cases = [
        ScoredCase(row.patient, _PATTERN[row.non_desmoplastic], row.predictions[study.final].non_desmoplastic)
        for row in study.known
    ]
    return [
        roc_comparison_chart(
            {words: each.roc for words, each in both.items()},
            {words: area for words, each in both.items() if (area := each.auc)},
            title="ROC curves of patients",
        ),
        score_chart(
            sorted(cases, key=lambda case: case.reference), reference_title="", title="Likelihood of non-desmoplastic"
        ),
        *calibration_charts(predictions, "Calibration of the likelihood"),
    ]


def _about_shares(study: SharesEvidence) -> list[Block]:
    rows = []
    for model, words in study.models.items():
        shares = study.shares_by(model)
        agreement = shares.agreement
        rows.append(
            Row(
                [
                    words,
                    _cell(shares.error),
                    number(float(shares.log_scores.mean()) if shares.log_scores.size else None, _FORM),
                    _cell(agreement.accuracy if agreement else None),
                    _cell(agreement.kappa if agreement else None),
                ]
            )
        )
    rows.append(Row([COHORT_MEAN, _cell(study.cohort_mean_error), DASH, DASH, DASH]))
    oracle = study.oracle_figures
    if oracle:
        rows.append(Row([_ORACLE, number(oracle["error_of_shares"], _FORM), DASH, DASH, DASH]))
    columns = [
        Column("", "name"),
        Column("Error of shares", "value"),
        Column("Log score", "number"),
        Column("Predominant pattern", "value"),
        Column("Kappa", "value"),
    ]
    own = study.shares_by(study.final)
    note = (
        "Error: absolute, mean over three patterns and all metastases, with an interval from resampled patients. Log score: "
        "mean logarithm of the probability of the report, out of 231 possible ones; higher is better."
    )
    return [
        Figures(
            [
                interval_figure(
                    "Mean absolute error", own.error, f"{_cell(study.cohort_mean_error)} by the {COHORT_MEAN}", 3
                ),
                interval_figure(
                    "Predominant pattern right", own.agreement.accuracy if own.agreement else None, "of three"
                ),
            ]
        ),
        Table(columns, rows, note),
        *charts(*_charts_of_shares(study)),
    ]


def _charts_of_shares(study: SharesEvidence) -> list[Spec]:
    shares = study.shares_by(study.final)
    agreement = shares.agreement
    if agreement is None:
        return []
    points = shares.calibration
    calibration = (
        [count_calibration_chart(points, axis="desmoplastic share (%)", title="Calibration of the share")]
        if points
        else []
    )
    return [confusion_chart(agreement, title="Predominant pattern"), *calibration]


def _subgroups(study: SharesEvidence) -> list[Block]:
    tables = [
        Table(
            [
                Column(f"By {by}", "name"),
                Column("Metastases", "number"),
                Column("Pure", "number"),
                Column("Error of shares", "value"),
                Column("AUC, pure or mixed", "value"),
            ],
            [
                Row(
                    [
                        name or "not stated",
                        str(len(part.patients)),
                        str(int(part.is_pure.sum())),
                        _cell(part.error),
                        _cell(part.pure_auc),
                    ]
                )
                for name, part in parts.items()
            ],
        )
        for by, parts in study.subgroups.items()
    ]
    return [*tables] or ["All metastases are alike in size, centre and who outlined them."]


def _second(study: SharesEvidence) -> list[Section]:
    second, first = study.second, study.shares_by(study.final)
    if second is None:
        return []
    columns = [Column("", "name"), Column("Error of shares", "value"), Column("AUC, pure or mixed", "value")]
    return [
        Section(
            "A second segmentation",
            [
                f"{second.lesions} metastases were outlined twice, and predicted by the same models: the desmoplastic share "
                f"differs by {_cell(second.difference)} on average, intraclass correlation {number(second.intraclass, '.3f')}.",
                Table(
                    columns,
                    [
                        Row(["as given", _cell(first.error), _cell(first.pure_auc)]),
                        Row(["second segmentation", _cell(second.error), _cell(second.pure_auc)]),
                    ],
                ),
            ],
            name="second",
        )
    ]


_METHOD = (
    (
        "One distribution over the 231 possible reports in steps of 5 % gives all answers. A patient is desmoplastic only if "
        "the whole interface of every metastasis is; metastases of a patient are correlated as in the training patients."
    ),
)


def _table(study: SharesEvidence) -> Section:
    """All patients, the likeliest non-desmoplastic first."""
    columns = [
        Column("Patient", "name"),
        Column("Pathology"),
        Column("Likelihood", "number"),
        Column("Metastases", "number"),
        Column("Desmoplastic share"),
        Column("Fold"),
        Column("Centre"),
    ]
    likeliest = sorted(study.patients, key=lambda row: -row.predictions[study.final].non_desmoplastic)
    note = "The likeliest non-desmoplastic first. Share: expected desmoplastic share of each metastasis (reported)."
    return patients_section(columns, [_patient_row(study, patient) for patient in likeliest], note)


def _patient_row(study: SharesEvidence, patient: SharesPatient) -> Row:
    predicted = patient.predictions[study.final]
    shares = ", ".join(
        percent(each.mean[0]) + (f" ({percent(lesion.report[0])})" if lesion.report else "")
        for each, lesion in zip(predicted.lesions, patient.lesions, strict=True)
    )
    return Row(
        [
            patient.patient,
            _PATTERN[patient.non_desmoplastic],
            number(predicted.non_desmoplastic),
            str(len(patient.lesions)),
            shares,
            patient.fold,
            patient.centre or DASH,
        ]
    )
