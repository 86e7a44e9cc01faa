"""Several models side by side: which predicts, whether combining them is better, how far they agree."""

from __future__ import annotations

from preop.evidence import ModelsEvidence
from preop.evidence.comparisons import is_better
from preop.evidence.models import ModelAgreement, ReaderAgreement
from preop.report.blocks import (
    DECISION_COLUMNS,
    UNSEEN,
    Content,
    calibration_charts,
    cell,
    charts,
    decision_cells,
    from_centres,
    method_section,
    number,
    p_value_cell,
    patients_section,
    slope_cell,
)
from preop.report.charts import ScoredCase, Spec, forest_chart, roc_comparison_chart, score_chart
from preop.report.sections import DASH, Block, Cell, Column, Row, Section, Table
from preop.statistics import difference_in_words
from preop.wording import counted


def content(study: ModelsEvidence, source: str) -> Content:
    """Models, agreement, items, centres, methods, and the table of patients."""
    sections = [
        Section("Each model", _models(study), name="models"),
        Section("Agreement between models", _agreement(study), name="agreement"),
        Section("Items", _items(study), name="items"),
        Section("Each centre, by models from all others", _centres(study), name="centres"),
        method_section(study, _METHOD, source),
        _table(study),
    ]
    return Content(_lead(study), sections)


def _lead(study: ModelsEvidence) -> str:
    patients, events = len(study.patients), study.predictions[study.final.name].events
    return (
        f"{counted(patients, 'patient')}{from_centres(patient.centre for patient in study.patients)}: {events} with "
        f"{study.positive_name}, {patients - events} without. {UNSEEN}"
    )


def _models(study: ModelsEvidence) -> list[Block]:
    columns = [
        Column("Model", "name"),
        Column("AUC", "estimate"),
        *DECISION_COLUMNS,
        Column("Brier score", "number"),
        Column("Calibration slope", "estimate"),
    ]
    oracle = (
        f"Oracle: an observer who knows what these simulated patients are made from reaches an AUC of {study.oracle_auc:.2f}."
        if study.oracle_auc is not None
        else ""
    )
    compared = [
        Column("Model", "name"),
        Column("Compared with"),
        Column("Difference of the AUCs", "value"),
        Column("p", "number"),
        Column("Better?"),
    ]
    return [
        Table(columns, [_model_row(study, model.name, baseline=model.baseline) for model in study.models], oracle),
        Table(compared, [_comparison_row(study, *pair) for pair in study.pairs]),
        *charts(*_charts(study)),
    ]


def _model_row(study: ModelsEvidence, name: str, *, baseline: bool) -> Row:
    predictions = study.predictions[name]
    return Row(
        [
            Cell(name, "baseline" if baseline else ""),
            cell(study.auc(name)),
            *decision_cells(predictions.counts),
            DASH if baseline else number(predictions.brier, ".3f"),
            DASH if baseline else slope_cell(predictions),
        ]
    )


def _comparison_row(study: ModelsEvidence, model: str, other: str) -> Row:
    comparison = study.compare(model, other)
    better = is_better(comparison.difference.value, comparison.p_value)
    return Row(
        [
            model,
            other,
            difference_in_words(comparison.difference),
            p_value_cell(comparison.p_value),
            "yes" if better else "not shown",
        ]
    )


def _charts(study: ModelsEvidence) -> list[Spec]:
    final = study.final.name
    shown = [model.name for model in study.predicting][:2]
    yes, no = study.positive_name, f"no {study.positive_name}"
    positives_first = sorted(study.patients, key=lambda patient: -patient.outcome)
    return [
        forest_chart(
            {model.name: study.auc(model.name) for model in study.models},
            axis="AUC on held-out patients",
            title="Discrimination of each model",
            subtitle="DeLong's intervals; dashed: chance",
            no_effect=0.5,
        ),
        roc_comparison_chart(
            {name: study.predictions[name].roc for name in shown},
            {name: study.auc(name) for name in shown},
            title="ROC curves",
        ),
        score_chart(
            [ScoredCase(item.patient, yes if item.outcome else no, item.scores[final]) for item in positives_first],
            reference_title="",
            threshold=study.final.threshold,
            title=f"Likelihood of each patient: {final}",
        ),
        *calibration_charts(study.predictions[final], f"Calibration: {final}"),
    ]


def _agreement(study: ModelsEvidence) -> list[Block]:
    columns = [
        Column("Models", "name"),
        Column("Rank correlation", "number"),
        Column("Same decision", "value"),
        Column("Kappa", "value"),
    ]
    rows = [_agreement_row(pair) for pair in study.agreements]
    return [Table(columns, rows)] if rows else ["There is one model only."]


def _agreement_row(pair: ModelAgreement) -> Row:
    return Row(
        [
            f"{pair.first} and {pair.second}",
            number(pair.rank_correlation),
            cell(pair.decisions.accuracy),
            cell(pair.decisions.quadratic_weighted_kappa),
        ]
    )


def _items(study: ModelsEvidence) -> list[Block]:
    blocks: list[Block] = []
    if study.weights:
        blocks += charts(
            forest_chart(
                {weight.name: weight.estimate for weight in study.weights},
                axis="log odds where it is unfavourable",
                title="Weight of each item",
                subtitle="of the final model, on all patients; 95 % intervals",
                no_effect=0.0,
            )
        )
    readers = study.reader_agreements
    if not readers:
        return [*blocks, "The cohort has no reader's scores."]
    columns = [
        Column("Item", "name"),
        *(Column(name, "number") for name in ("Patients", "ICC", "Rank correlation", "Mean difference")),
    ]
    return [*blocks, "As measured, compared with readers' scores:", Table(columns, list(map(_reader_row, readers)))]


def _reader_row(row: ReaderAgreement) -> Row:
    return Row(
        [
            row.item,
            str(row.patients),
            number(row.intraclass),
            number(row.rank_correlation),
            number(row.difference, "+.3g"),
        ]
    )


def _centres(study: ModelsEvidence) -> list[Block]:
    columns = [Column("Centre", "name"), Column("Model"), Column("With / all", "number"), Column("AUC", "value")]
    rows = [
        Row([centre.name, model, f"{centre.events} / {centre.patients}", cell(area)])
        for centre in study.centres
        for model, area in centre.aucs.items()
    ]
    return [Table(columns, rows)] if rows else ["Not validated by centre."]


_METHOD = (
    (
        "Decisions: at the threshold with the largest sum of sensitivity and specificity on all other folds (Youden). "
        "Predictive values hold for the share of the outcome in these patients."
    ),
    (
        "Intervals: DeLong's for AUCs and their differences, Wilson's for shares, the large-sample one for kappa. Items "
        "compared with readers: intraclass correlation ICC(2,1) (Shrout and Fleiss 1979), Spearman's rank correlation, and "
        "the mean difference, measured minus read."
    ),
)


def _table(study: ModelsEvidence) -> Section:
    columns = [
        Column("Patient", "name"),
        Column("Outcome"),
        *(Column(model.name, "number") for model in study.models),
        Column("Fold"),
        Column("Centre"),
    ]
    rows = [
        Row(
            [
                patient.patient,
                study.positive_name if patient.outcome else f"no {study.positive_name}",
                *(number(patient.scores[model.name], ".3g") for model in study.models),
                patient.fold,
                patient.centre or DASH,
            ]
        )
        for patient in study.patients
    ]
    return patients_section(columns, rows)
