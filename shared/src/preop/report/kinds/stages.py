"""Nodal stages: agreement with pathology beside that of clinical staging, cut by cut, stations and nodes."""

from __future__ import annotations

from preop.evidence import StagedPatient, StageEvidence
from preop.evidence.stages import ALL_STATIONS
from preop.report.blocks import (
    DECISION_COLUMNS,
    Content,
    calibration_charts,
    cell,
    charts,
    decision_cells,
    from_centres,
    interval_figure,
    method_section,
    number,
    patients_section,
)
from preop.report.charts import Spec, confusion_chart, forest_chart, roc_chart, strip_chart
from preop.report.sections import DASH, Block, Column, Figure, Figures, Row, Section, Table
from preop.staging import N
from preop.statistics import Estimate
from preop.wording import counted

_CUTS = {"N0 | N1 to N3": N.N1, "N0, N1 | N2, N3": N.N2}


def content(study: StageEvidence, source: str) -> Content:
    """Agreement, decisions, stations, nodes, methods, and the table of patients."""
    sections = [
        Section("Agreement with pathology", _agreement(study), name="agreement"),
        Section("Decisions between categories", _cuts(study), name="cuts"),
        Section("Which stations", _stations(study), name="stations"),
        Section("Which nodes", _nodes(study), name="nodes"),
        method_section(study, _METHOD, source),
        _table(study),
    ]
    return Content(_lead(study), sections)


def _lead(study: StageEvidence) -> str:
    counts = {name: sum(row.values()) for name, row in study.agreement(study.algorithm).as_dict().items()}
    stages = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return (
        f"{counted(len(study.patients), 'patient')}{from_centres(patient.centre for patient in study.patients)}, by pathology {stages}. "
        "Each was staged by a model that had not seen the patient."
    )


def _agreement(study: StageEvidence) -> list[Block]:
    columns = [
        Column("Staged by", "name"),
        Column("Patients", "number"),
        Column("Exact category", "estimate"),
        Column("Quadratic weighted kappa", "estimate"),
        Column("Too high", "estimate"),
        Column("Too low", "estimate"),
    ]
    rows = []
    for rater in study.staging:
        agreement, shares = study.agreement(rater), study.predictions(rater).over_and_under
        estimates = (agreement.accuracy, agreement.quadratic_weighted_kappa, *shares)
        rows.append(Row([rater, str(agreement.cases), *map(cell, estimates)]))
    confusions = (confusion_chart(study.agreement(rater), title=rater) for rater in study.staging)
    return [Figures(_figures(study)), Table(columns, rows), *charts(*confusions)]


def _figures(study: StageEvidence) -> list[Figure]:
    """Give the few numbers to remember, each with that of the first reader."""
    beside = next((rater for rater in study.staging if rater != study.algorithm), None)
    names = ("Exact category", "Quadratic weighted kappa", "Staged too high", "Staged too low")
    others = [""] * len(names)
    if beside is not None:
        others = ["" if each is None else f"{each.value:.2f} by {beside}" for each in _estimates(study, beside)]
    own = _estimates(study, study.algorithm)
    return [interval_figure(*figure) for figure in zip(names, own, others, strict=True)]


def _estimates(study: StageEvidence, rater: str) -> list[Estimate | None]:
    agreement = study.agreement(rater)
    return [agreement.accuracy, agreement.quadratic_weighted_kappa, *study.predictions(rater).over_and_under]


def _cuts(study: StageEvidence) -> list[Block]:
    rows = [
        Row([name, rater, *decision_cells(study.cut(rater, category))])
        for name, category in _CUTS.items()
        for rater in study.staging
    ]
    note = "PPV and NPV, the predictive values, hold for the share of these categories in these patients."
    return [
        Table([Column("Cut", "name"), Column("Staged by"), *DECISION_COLUMNS], rows, note),
        *charts(*_likelihood_charts(study)),
    ]


def _likelihood_charts(study: StageEvidence) -> list[Spec]:
    """Draw how well the likelihood of N1 or more ranks patients, and whether it means what it says."""
    predictions = study.node_positive
    area = predictions.auc
    if area is None:
        return []
    return [
        roc_chart(predictions.roc, area, title="N0 or N1 to N3"),
        *calibration_charts(predictions, "Calibration of the likelihood of N1 or more"),
    ]


def _stations(study: StageEvidence) -> list[Block]:
    columns = [
        Column("Station", "name"),
        Column("Sampled", "number"),
        Column("Positive", "number"),
        Column("Sensitivity", "value"),
        Column("Specificity", "value"),
    ]
    rows = [
        Row(
            [
                _station(name),
                str(counts.cases),
                str(counts.true_positives + counts.false_negatives),
                cell(counts.sensitivity),
                cell(counts.specificity),
            ]
        )
        for name, counts in study.stations().items()
    ]
    return [Table(columns, rows)] if rows else ["Not known: the cohort does not say which stations were sampled."]


def _nodes(study: StageEvidence) -> list[Block]:
    blocks: list[Block] = []
    if study.terms:
        blocks += [
            "How the model rates a node: log odds of malignancy for one standard deviation of the logarithm of a feature.",
            Table(
                [Column("", "name"), Column("", "value")],
                [Row([name, number(value, "+.2f")]) for name, value in study.terms.items()],
            ),
        ]
    nodes = study.by_node
    if study.node_auc is not None and nodes is not None:
        blocks.append(
            f"{counted(nodes.cases, 'node')} whose malignancy is known, {nodes.events} of them malignant: AUC {study.node_auc:.2f} by "
            "models that had not seen the patient."
        )
        blocks += charts(
            strip_chart(
                {
                    "malignant": nodes.scores[nodes.labels].tolist(),
                    "benign": nodes.scores[~nodes.labels].tolist(),
                },
                axis="probability of malignancy",
                title="Probability of each node",
            ),
            *calibration_charts(nodes, "Calibration of the probability of nodes"),
            *_station_chart(study),
        )
    return blocks or ["Not known: the cohort does not say which nodes are malignant."]


def _station_chart(study: StageEvidence) -> list[Spec]:
    shares = {_station(name): found.sensitivity for name, found in study.stations().items() if found.sensitivity}
    if len(shares) < 2:
        return []
    return [
        forest_chart(
            shares, axis="sensitivity", title="Involved stations that were found", subtitle="Wilson's intervals"
        )
    ]


def _station(name: str) -> str:
    return "all stations" if name == ALL_STATIONS else name


_METHOD = (
    (
        "Quadratic weighted kappa: agreement beyond chance, where a mistake counts by the square of the number of categories "
        "it spans; 0 is chance, 1 is perfect. Where the side of the primary is unknown and decisive, the algorithm gives NX, "
        "which counts as the category furthest from the truth."
    ),
    (
        "Stations: every station that pathology has examined is a decision; the algorithm calls those involved that explain "
        "its category best. Stations of one patient are not independent, which the intervals do not account for."
    ),
    "Intervals: Wilson's for shares, the large-sample one for kappa, DeLong's for the AUC, Student's for differences.",
)


def _table(study: StageEvidence) -> Section:
    columns = [
        Column("Patient", "name"),
        Column("Pathology"),
        Column("Algorithm", "outcome"),
        Column("Its probability", "number"),
        *(Column(rater) for rater in study.raters[1:]),
        Column("Positive stations"),
        Column("Called involved"),
        Column("Fold"),
        Column("Centre"),
    ]
    return patients_section(columns, [_patient_row(study, patient) for patient in study.patients])


def _patient_row(study: StageEvidence, patient: StagedPatient) -> Row:
    called = [patient.called.get(rater) for rater in study.raters]
    own, *others = [DASH if category is None else str(category) for category in called]
    likelihood = None if called[0] is None else patient.probabilities.get(called[0])
    return Row(
        [
            patient.patient,
            str(patient.reference),
            own,
            number(likelihood),
            *others,
            ", ".join(patient.positive) or DASH,
            ", ".join(patient.involved) or DASH,
            patient.fold,
            patient.centre or DASH,
        ],
        "" if study.is_right(patient, study.algorithm) else "wrong",
    )
