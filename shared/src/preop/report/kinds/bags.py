"""Bags of instances: is the model better than the rule, which instances does it find, and how well does it count."""

from __future__ import annotations

from collections.abc import Mapping

from preop.evidence import BagEvidence
from preop.evidence.bags import BagPatient
from preop.evidence.counts import CountPredictions
from preop.evidence.instances import Ranking, as_predictions, first_by_chance, found_by_chance
from preop.report.blocks import (
    DECISION_COLUMNS,
    UNSEEN,
    Content,
    calibration_charts,
    capital,
    cell,
    charts,
    decision_cells,
    forest_of_centres,
    from_centres,
    interval_figure,
    method_section,
    number,
    patients_section,
    recalibration_in_words,
)
from preop.report.charts import (
    ScoredCase,
    Spec,
    count_calibration_chart,
    count_chart,
    found_chart,
    roc_comparison_chart,
    score_chart,
    strip_chart,
)
from preop.report.sections import DASH, Block, Cell, Column, Figure, Figures, Mark, Row, Section, Table
from preop.statistics import difference_in_words
from preop.wording import counted


def content(study: BagEvidence, source: str) -> Content:
    """Patients, instances, numbers, centres, methods, and the table of patients."""
    sections = [
        Section(f"Who has {study.positive_name}", _about_patients(study), name="patients"),
        Section(f"Which {study.instance_name}s are positive", _about_instances(study), name="ranking"),
        Section(f"How many {study.instance_name}s are positive", _about_numbers(study), name="number"),
        *_centres(study),
        method_section(study, _method(study), source),
        _table(study),
    ]
    return Content(_lead(study), sections, _warnings(study))


def _lead(study: BagEvidence) -> str:
    instances = sum(len(patient.instances) for patient in study.patients)
    unknown = f", {study.excluded} of unknown status" if study.excluded else ""
    return (
        f"{counted(len(study.patients), 'patient')}{from_centres(patient.centre for patient in study.patients)}: "
        f"{study.by_model.events} with {study.positive_name}, {study.by_model.cases - study.by_model.events} "
        f"without{unknown}; {counted(instances, study.instance_name)}. {UNSEEN}"
    )


def _warnings(study: BagEvidence) -> list[str]:
    """Say who is left out of which figures."""
    found = []
    if study.excluded:
        found.append(
            f"{_patients(study.excluded)} left out of all figures: the report leaves open whether any "
            f"{study.instance_name} is positive."
        )
    inexact = sum(patient.low != patient.high for patient in study.known)
    if study.count and inexact:
        found.append(
            f"{_patients(inexact, f' with {study.positive_name}')} left out where numbers are compared, as the report gives no "
            "exact one: the others have fewer positives than all, so that the model seems to expect too many."
        )
    without = study.by_model.events - len(study.ranked)
    if study.ranked and without:
        found.append(
            f"{_patients(without, f' with {study.positive_name}')} left out of the ranking: no {study.instance_name} is known to "
            "be positive, or not all are known."
        )
    return found


def _patients(patients: int, which: str = "") -> str:
    return f"{counted(patients, 'patient')}{which} {'is' if patients == 1 else 'are'}"


def _about_patients(study: BagEvidence) -> list[Block]:
    rule = f"{study.rule.name} (over {study.rule.threshold:g} {study.rule.unit})"
    rows = [
        Row(
            [
                study.model,
                cell(study.model_auc),
                *decision_cells(study.by_model.counts),
                number(study.by_model.brier, ".3f"),
            ]
        ),
        Row([Cell(rule, "baseline"), cell(study.rule_auc), *decision_cells(study.by_rule.counts), DASH]),
    ]
    columns = [Column("", "name"), Column("AUC", "estimate"), *DECISION_COLUMNS, Column("Brier score", "number")]
    note = (
        f"PPV and NPV, the predictive values, hold for the share of {study.positive_name} in these patients. "
        f"{recalibration_in_words(study.by_model)} {_oracle(study)}"
    )
    return [Figures(_figures(study)), Table(columns, rows, note.strip()), *charts(*_patient_charts(study))]


def _figures(study: BagEvidence) -> list[Figure]:
    """Give the few numbers to remember."""
    oracle = study.oracle
    found = [
        interval_figure("AUC of the model", study.model_auc, _of_oracle(oracle.patient_auc if oracle else None)),
        interval_figure(f"AUC of the {study.rule.score_name}", study.rule_auc, study.rule.name),
    ]
    model, rule, rule_name = study.model_ranking, study.rule_ranking, study.rule.instance_score_name
    if model and rule:
        of_oracle = _of_oracle(oracle.instance_auc if oracle else None)
        found += [
            interval_figure(
                f"AUC of {study.instance_name}s", model.auc, of_oracle or f"{rule.auc.value:.2f} by {rule_name}"
            ),
            interval_figure(
                f"First-ranked {study.instance_name} is positive",
                model.first_is_positive,
                f"{rule.first_is_positive.value:.2f} by {rule_name}, {first_by_chance(study.ranked):.2f} by chance",
            ),
        ]
    return found


def _of_oracle(auc: float | None) -> str:
    return "" if auc is None else f"oracle of the simulation {auc:.2f}"


def _oracle(study: BagEvidence) -> str:
    """Say what could be reached at all."""
    if study.oracle is None:
        return ""
    areas = {"patients": study.oracle.patient_auc, f"{study.instance_name}s": study.oracle.instance_auc}
    words = " and ".join(f"{area:.2f} for {name}" for name, area in areas.items() if area is not None)
    return (
        "Oracle: an observer who knows the variables that these simulated patients are made from reaches an AUC of "
        f"{words}; apart from chance, no model can do better."
        if words
        else ""
    )


def _patient_charts(study: BagEvidence) -> list[Spec]:
    both = {study.model: study.by_model, study.rule.score_name: study.by_rule}
    yes, no = study.positive_name, f"no {study.positive_name}"
    positives_first = sorted(study.known, key=lambda patient: not patient.positive)
    return [
        roc_comparison_chart(
            {name: predictions.roc for name, predictions in both.items()},
            {study.model: study.model_auc, study.rule.score_name: study.rule_auc},
            operating_points={name: point for name, each in both.items() if (point := each.operating_point)},
            title="ROC curves of patients",
            subtitle=f"dots: thresholds of the other folds; {study.rule.threshold:g} {study.rule.unit}",
        ),
        score_chart(
            [ScoredCase(item.patient, yes if item.positive else no, item.probability) for item in positives_first],
            reference_title="",
            threshold=study.threshold,
            title="Likelihood of each patient",
        ),
        *calibration_charts(study.by_model, "Calibration of the likelihood"),
    ]


def _about_instances(study: BagEvidence) -> list[Block]:
    model, rule = study.model_ranking, study.rule_ranking
    if not model or not rule:
        return [
            f"Not known: the reference standard does not say which {study.instance_name}s are positive, so that nothing can be "
            "said of how well the model finds them."
        ]
    columns = [
        Column("Ranked by", "name"),
        Column("AUC of all together", "estimate"),
        Column("Mean AUC of a patient", "estimate"),
        Column("First is positive", "estimate"),
        Column("Reviewed to find 80 %", "number"),
    ]
    difference = study.ranking_difference
    note = (
        f"Reviewed to find 80 %: how many {study.instance_name}s of each patient, the highest first, until that share of all "
        "positive ones is found."
    )
    if difference:
        note += f" Mean difference of a patient's AUCs: {difference_in_words(difference)}."
    return [
        f"Within {counted(len(study.ranked), 'patient')} with {study.positive_name} of whom each {study.instance_name} is known.",
        Table(columns, [_ranking_row(study.model, model), _ranking_row(study.rule.instance_score_name, rule)], note),
        *charts(*_ranking_charts(study, model, rule)),
    ]


def _ranking_row(name: str, ranking: Ranking) -> Row:
    estimates = (ranking.auc, ranking.auc_of_patients, ranking.first_is_positive)
    return Row([name, *map(cell, estimates), str(ranking.to_review)])


def _ranking_charts(study: BagEvidence, model: Ranking, rule: Ranking) -> list[Spec]:
    by_model, by_rule = (as_predictions(study.ranked, score) for score in ("contribution", "rule_score"))
    name = study.rule.instance_score_name
    found = {study.model: model.found, name: rule.found, "in no order": found_by_chance(study.ranked)}
    return [
        found_chart(
            {ranking: shares.tolist() for ranking, shares in found.items()},
            axis=f"{study.instance_name}s reviewed in each patient",
            title=f"Finding the positive {study.instance_name}s",
            subtitle="the highest first; dashed: 80 %",
            share=0.8,
        ),
        roc_comparison_chart(
            {study.model: by_model.roc, name: by_rule.roc},
            {study.model: model.auc, name: rule.auc},
            title=f"ROC curves of {study.instance_name}s",
            subtitle=f"within patients with {study.positive_name}",
        ),
        strip_chart(
            {
                "positive": by_model.scores[by_model.labels].tolist(),
                "negative": by_model.scores[~by_model.labels].tolist(),
            },
            axis="contribution to the prediction",
            title=f"Contributions of {study.instance_name}s",
        ),
    ]


def _about_numbers(study: BagEvidence) -> list[Block]:
    if study.count is None:
        return ["Not compared: the model gives no number, or fewer than two reports do."]
    rows = [Row(cells) for cells in _number_rows(study.count)]
    columns = [Column("", "name"), Column("", "value"), Column("")]
    return [Table(columns, rows), *charts(*_number_charts(study, study.count))]


def _number_rows(count: CountPredictions) -> list[tuple[str, str, str]]:
    return [
        ("Patients whose report gives a number", str(count.patients), ""),
        ("Mean expected number", number(float(count.expected.mean())), f"{count.counted.mean():.2f} reported"),
        (
            "90 % intervals that contain the reported number",
            cell(count.coverage.observed),
            f"{count.coverage.promised:.2f} promised: numbers are whole",
        ),
        (
            "Ranked probability score",
            number(count.score, ".3f"),
            f"{count.score_of_cohort:.3f} of the cohort's own distribution",
        ),
        (
            "Difference of the two",
            difference_in_words(count.difference),
            "below 0: the model is closer to the reported number",
        ),
    ]


def _number_charts(study: BagEvidence, count: CountPredictions) -> list[Spec]:
    points = count.calibration
    if not points:
        return []
    columns = count.columns
    return [
        count_calibration_chart(points, axis=f"number of positive {study.instance_name}s"),
        count_chart(
            {name: predicted for name, (predicted, _) in columns.items()},
            title=f"Number of positive {study.instance_name}s",
            subtitle="bars: mean prediction; dots: share of the reports",
            observed={name: observed for name, (_, observed) in columns.items()},
        ),
    ]


def _centres(study: BagEvidence) -> list[Section]:
    if not study.centres:
        return []
    columns = [
        Column("Centre", "name"),
        Column(f"{study.positive_name} / patients", "number"),
        Column("AUC of the model", "value"),
        Column(f"AUC of the {study.rule.score_name}", "value"),
    ]
    rows = [
        Row(
            [
                centre.name,
                f"{centre.events} / {centre.patients}",
                cell(centre.aucs.get(study.model)),
                cell(centre.aucs.get(study.rule.name)),
            ]
        )
        for centre in study.centres
    ]
    blocks: list[Block] = [
        "Trained on the patients of all other centres, and tested on those of this one.",
        *forest_of_centres(study.centres, study.model),
        Table(columns, rows),
    ]
    return [Section("Each centre left out", blocks, name="centres")]


def _method(study: BagEvidence) -> list[str]:
    found = [
        "The likelihoods of all folds are taken together.",
        (
            "AUC of patients: how often one with the outcome has a higher likelihood than one without; DeLong's intervals and "
            "paired test. They hold for the models that were trained here; how much another training run would differ is not "
            "part of them."
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
            "prediction, compared with the truth of each. AUC of all together with an interval by patient (Obuchowski), and "
            "mean of the patients' own AUCs with Student's t interval. Equal scores count as reviewed last."
        )
    if study.count:
        found.append(
            "Number: the ranked probability score is the squared distance between the cumulative distributions of the "
            "predicted and the reported number; it is compared with that of the distribution of all other patients' numbers. "
            "90 % intervals go from the 5 % to the 95 % quantile."
        )
    return found


def _table(study: BagEvidence) -> Section:
    """All patients, the likeliest first; wrong decisions of the model are marked."""
    decisions = [] if study.by_model.decisions is None else study.by_model.decisions.tolist()
    called = dict(zip((patient.patient for patient in study.known), decisions, strict=True))
    columns = [
        Column("Patient", "name"),
        Column(f"{capital(study.instance_name)}s", "number"),
        Column("Reported positive", "number"),
        Column("Expected", "number"),
        Column("Likelihood", "number"),
        Column("Decision", "outcome"),
        Column(capital(f"{study.rule.score_name} ({study.rule.unit})"), "number"),
        Column("Fold"),
        Column("Centre"),
    ]
    rows = [_patient_row(item, called) for item in sorted(study.patients, key=lambda item: -item.probability)]
    return patients_section(
        columns, rows, "The likeliest first. Decision: of the model, by the threshold of the other folds."
    )


def _patient_row(patient: BagPatient, called: Mapping[str, bool]) -> Row:
    outcome, mark = _outcome(patient, called)
    return Row(
        [
            patient.patient,
            str(len(patient.instances)),
            patient.reported,
            number(patient.expected, ".1f"),
            number(patient.probability),
            outcome,
            number(patient.rule_score, ".1f"),
            patient.fold,
            patient.centre or DASH,
        ],
        mark,
    )


def _outcome(patient: BagPatient, called: Mapping[str, bool]) -> tuple[str, Mark]:
    if patient.patient not in called:
        return "left out", "open"
    return ("right", "") if called[patient.patient] == patient.positive else ("wrong", "wrong")
