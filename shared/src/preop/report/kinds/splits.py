"""Models on feature tables: is imaging any better than its baselines, how well does each model do, what does that rest on."""

from __future__ import annotations

from collections.abc import Sequence

from preop.evidence import SplitsEvidence
from preop.evidence.claims import PermutationResult
from preop.evidence.splits import FeatureUse, FinalModel, Interval, Regression, Variable
from preop.evidence.wording import percent
from preop.report.blocks import (
    DECISION_COLUMNS,
    Content,
    calibration_charts,
    cell,
    charts,
    decision_cells,
    from_centres,
    number,
    p_value_cell,
    recalibration_in_words,
)
from preop.report.charts import decision_chart, forest_chart, roc_band_chart, share_chart, survival_chart
from preop.report.checklists import CLEAR, TRIPOD_AI, Item, Topic
from preop.report.sections import DASH, Block, Cell, Column, Heading, Mark, Note, Row, Section, Table
from preop.statistics import CohortRow, difference_in_words, p_value_in_words
from preop.wording import counted

_MAX_FEATURES = 10
_MAX_VARIABLES = 25
_TITLES = {
    Topic.RESULT: "Result",
    Topic.WARNINGS: "Warnings",
    Topic.MODELS: "All models",
    Topic.BASELINES: "Compared with the baselines",
    Topic.DETAILS: "Each model",
    Topic.FORMULA: "The trained models",
    Topic.COHORT: "The patients",
    Topic.VARIABLES: "One variable at a time",
    Topic.STABILITY: "Stability of the features",
    Topic.CENTRES: "Each centre left out",
    Topic.EXTERNAL: "Other patients",
    Topic.SURVIVAL: "Time to the event",
    Topic.METHOD: "Methods",
}


def content(study: SplitsEvidence, source: str) -> Content:
    """Models, baselines, each model, formulas, patients, variables, stability, centres, survival, methods, checklists."""
    blocks = {
        Topic.MODELS: _models(study),
        Topic.BASELINES: _baselines(study),
        Topic.DETAILS: _details(study),
        Topic.FORMULA: _formulas(study),
        Topic.COHORT: _cohort(study),
        Topic.VARIABLES: _variables(study),
        Topic.STABILITY: _stability(study),
        Topic.CENTRES: _centres(study),
        Topic.EXTERNAL: _external(study),
        Topic.SURVIVAL: _survival(study),
        Topic.METHOD: [*_method(study), f"Source of the patients: {source}"],
    }
    there = [topic for topic, found in blocks.items() if found]
    answered = [Topic.RESULT, *([Topic.WARNINGS] if study.warnings else []), *there]
    sections = [
        *(Section(_TITLES[topic], blocks[topic], name=topic.value) for topic in there),
        _checklists(answered),
    ]
    return Content(_lead(study), sections, study.warnings)


def _lead(study: SplitsEvidence) -> str:
    patients = study.patients
    people, rows, events = len(set(patients.patient)), len(patients.outcome), sum(patients.outcome)
    of_rows = "" if people == rows else f" ({counted(rows, 'row')})"
    return (
        f"{counted(people, 'patient')}{of_rows}{from_centres(patients.centre)}, {events} with {study.outcome} and {rows - events} "
        f"without. {counted(len(study.models), 'model')}, each fitted and tested {counted(study.splits.repeats, 'time')}."
    )


def _models(study: SplitsEvidence) -> list[Block]:
    forest = forest_chart(
        {f"{name} (baseline)" if study.models[name].baseline else name: study.auc(name) for name in study.ordered},
        axis="AUC on held-out patients",
        title="Discrimination of all models",
        subtitle="mean, and interval over the splits; dashed: chance",
        no_effect=0.5,
    )
    columns = [
        Column("Model", "name"),
        Column("Features", "number"),
        Column("Events / patients", "number"),
        Column("AUC", "estimate"),
        *DECISION_COLUMNS,
        Column("Prevalence", "number"),
        Column("Brier score", "number"),
    ]
    note = (
        "Features: offered to the model, not those it takes. AUC: mean, and 95 % interval over the splits, which holds the "
        "true AUC less often than that (Methods). PPV and NPV, the predictive values, hold for the prevalence in the same row."
    )
    return [*charts(forest, wide=True), Table(columns, [_model_row(study, name) for name in study.ordered], note)]


def _model_row(study: SplitsEvidence, name: str) -> Row:
    model, predictions = study.models[name], study.predictions(name)
    return Row(
        [
            Cell(name, "baseline" if model.baseline else ""),
            str(len(model.columns)),
            f"{predictions.events} / {predictions.cases}",
            cell(study.auc(name)),
            *decision_cells(predictions.counts),
            percent(predictions.counts.prevalence),
            number(predictions.brier, ".3f"),
        ]
    )


def _baselines(study: SplitsEvidence) -> list[Block]:
    columns = [
        Column("Model", "name"),
        Column("Baseline"),
        Column("Patients", "number"),
        Column("AUC of both", "value"),
        Column("Difference", "value"),
        Column("p (splits)", "number"),
        Column("p (Holm)", "number"),
        Column("p (permutations)", "number"),
        Column("Better?"),
    ]
    rows, above = [], ""
    for item in study.compared:
        same = item.model == above
        above = item.model
        rows.append(
            Row(
                [
                    "" if same else item.model,
                    item.baseline,
                    str(item.patients),
                    f"{item.model_auc:.2f} / {item.baseline_auc:.2f}",
                    difference_in_words(item.auc.difference),
                    p_value_cell(item.auc.p_value),
                    p_value_cell(item.adjusted_p_value),
                    _permutations_cell(item.permutations),
                    "yes" if item.significantly_better else "not shown",
                ],
                "more" if same else "",
            )
        )
    note = (
        "Difference: to the baseline, or to chance (0.50) where the baseline is below it, with its interval over the splits. A "
        "model counts as better only where both tests show it: the paired test on the splits after Holm's adjustment, against "
        "baseline and chance, and the permutation test through the whole validation, which is made where the first shows it. "
        "In brackets: permutations that did at least as well as the patients' own values. The p-value of the claim is the "
        "larger one. All p-values are two-sided."
    )
    return [Table(columns, rows, note)] if rows else []


def _permutations_cell(found: PermutationResult | None) -> str:
    return DASH if found is None else f"{p_value_cell(found.p_value)} ({found.as_good} of {found.done})"


def _details(study: SplitsEvidence) -> list[Block]:
    blocks: list[Block] = []
    for name in study.predicting:
        predictions = study.predictions(name)
        used = study.feature_use(name)[:_MAX_FEATURES]
        blocks += [Heading(name), recalibration_in_words(predictions)]
        blocks += charts(
            roc_band_chart(study.roc(name), study.auc(name), subtitle="mean of the splits, and band over them"),
            *calibration_charts(predictions),
            decision_chart(predictions.decision_curve),
            share_chart(
                {item.name: item.share for item in used},
                axis="share of the splits",
                title="Features it is built on",
                subtitle="how often each was taken" + ("" if len(used) < _MAX_FEATURES else f"; the first {len(used)}"),
            ),
        )
    return blocks


def _formulas(study: SplitsEvidence) -> list[Block]:
    blocks: list[Block] = [
        "Fitted on all patients who have what the model needs. Weights are log odds for one standard deviation; the other "
        "columns say how often the splits took the feature, and how often its weight then had the same sign. The files of "
        "the model hold everything needed to use it."
    ]
    columns = [
        Column("Feature", "name"),
        *(Column(name, "number") for name in ("Weight", "In splits", "Same sign")),
    ]
    for name in study.ordered:
        final = study.models[name].final
        use = {item.name: item for item in study.feature_use(name)}
        features = sorted(final.features.items(), key=lambda item: -abs(item[1] or 0))
        blocks += [
            Heading(name),
            Note(f"{_recipe(final)}; threshold {final.threshold:.3f}"),
            Table(columns, [_feature_row(feature, weight, use.get(feature)) for feature, weight in features]),
        ]
    return blocks


def _recipe(final: FinalModel) -> str:
    return "; ".join(
        f"{part.classifier}, {part.features} features by {part.selection}, capacity {part.capacity:g}"
        for part in final.members
    )


def _feature_row(feature: str, weight: float | None, use: FeatureUse | None) -> Row:
    same_sign = None if use is None else use.same_sign
    return Row(
        [
            feature,
            number(weight, "+.2f"),
            percent(0 if use is None else use.share),
            DASH if same_sign is None else percent(same_sign),
        ]
    )


def _cohort(study: SplitsEvidence) -> list[Block]:
    rows, events = len(study.patients.outcome), sum(study.patients.outcome)
    columns = [
        Column("Variable", "name"),
        Column(""),
        Column("Missing", "number"),
        Column(f"All (n = {rows})", "value"),
        Column(f"Without {study.outcome} (n = {rows - events})", "value"),
        Column(f"With {study.outcome} (n = {events})", "value"),
        Column("p", "number"),
        Column("Test"),
    ]
    return [
        Table(
            columns,
            list(map(_cohort_row, study.cohort)),
            "Median [quartiles] or number (%). p-values are not adjusted.",
        )
    ]


def _cohort_row(row: CohortRow) -> Row:
    first = bool(row.test) or not row.level
    mark: Mark = "" if first else "more"
    return Row(
        [
            row.variable if first else "",
            row.level,
            str(row.missing) if first else "",
            row.overall,
            row.without,
            row.with_outcome,
            p_value_cell(row.p_value) if first else "",
            row.test,
        ],
        mark,
    )


def _variables(study: SplitsEvidence) -> list[Block]:
    found = study.univariable
    significant = sum(row.adjusted_p_value < 0.05 for row in found)
    sentence = (
        f"{counted(len(found), 'variable')} {'varies' if len(found) == 1 else 'vary'} in these patients; {significant} {'differs' if significant == 1 else 'differ'} by "
        "outcome at a false discovery rate of 5 %."
    )
    if len(found) > _MAX_VARIABLES:
        sentence += f" The {_MAX_VARIABLES} with the smallest p-values:"
    columns = [
        Column("Variable", "name"),
        Column("Patients", "number"),
        Column("AUC", "value"),
        Column("p", "number"),
        Column("p (BH)", "number"),
        Column("Odds ratio for one standard deviation", "value"),
    ]
    note = (
        "AUC below 0.5: smaller in those with the outcome. * Firth's correction: fewer than ten events, or classes that "
        "separate."
    )
    blocks: list[Block] = [sentence, Table(columns, list(map(_variable_row, found[:_MAX_VARIABLES])), note)]
    for name, regression in study.regressions.items():
        blocks += _regression(name, regression)
    return blocks


def _variable_row(row: Variable) -> Row:
    return Row(
        [
            row.name,
            str(row.cases),
            cell(row.auc.estimate),
            p_value_cell(row.p_value),
            p_value_cell(row.adjusted_p_value),
            _odds(row.odds_ratio) + (" *" if row.firth else ""),
        ]
    )


def _regression(name: str, regression: Regression) -> list[Block]:
    correction = "; Firth's correction." if regression.firth else "."
    return [
        Heading(f"Multivariable: {name}"),
        f"{counted(regression.cases, 'patient')} with all of these, {regression.events} with the outcome{correction}",
        Table(
            [Column("Variable", "name"), Column("Odds ratio for one unit", "value"), Column("p", "number")],
            [Row([row.name, _odds(row.odds_ratio), p_value_cell(row.p_value)]) for row in regression.variables],
        ),
    ]


def _stability(study: SplitsEvidence) -> list[Block]:
    measured = {name: value for name, value in study.stability.items() if value is not None}
    if not study.stability:
        return []
    limit = study.settings["minimum_icc"]
    unstable = sorted((value, name) for name, value in measured.items() if value < limit)
    blocks: list[Block] = [
        f"Measured again on perturbed regions or images: {counted(len(measured), 'feature')}. An intraclass correlation below "
        f"{limit:g}: {len(unstable)}, left out wherever that is so in the training patients."
    ]
    if unstable:
        columns = [Column("Least stable features", "name"), Column("Intraclass correlation, ICC(2,1)", "number")]
        blocks.append(Table(columns, [Row([name, number(value)]) for value, name in unstable[:_MAX_VARIABLES]]))
    return blocks


def _centres(study: SplitsEvidence) -> list[Block]:
    rows = [
        Row([name, centre.name, f"{centre.events} / {centre.patients}", cell(centre.aucs.get(name))])
        for name in study.ordered
        for centre in study.centres(name)
    ]
    columns = [Column("Model", "name"), Column("Centre"), Column("Events / patients", "number"), Column("AUC", "value")]
    if not rows:
        return []
    return [
        "Trained on the patients of all other centres. Scans of the centre left out are not harmonised: the model does not "
        "know it. DeLong's intervals.",
        Table(columns, rows),
    ]


def _external(study: SplitsEvidence) -> list[Block]:
    rows = [
        Row([cohort, name, f"{sum(part.outcome)} / {len(part.outcome)}", cell(study.external_auc(cohort, name))])
        for cohort, parts in study.external.items()
        for name, part in parts.items()
    ]
    columns = [Column("Patients", "name"), Column("Model"), Column("Events / cases", "number"), Column("AUC", "value")]
    if not rows:
        return []
    return [
        "The trained models on patients who took no part in the training; intervals by resampling patients.",
        Table(columns, rows),
    ]


def _survival(study: SplitsEvidence) -> list[Block]:
    if study.patients.follow_up is None:
        return []
    curves = []
    for name in study.predicting:
        groups = study.risk_groups(name)
        if groups is not None:
            words = f"log-rank {p_value_in_words(groups.p_value)}"
            curves.append(survival_chart(groups.curves, title=name, subtitle=words))
    found = {name: study.concordance(name) for name in study.ordered}
    rows = [Row([name, cell(each)]) for name, each in found.items()]
    return [
        "Cox regression with an L2 penalty, on the same splits. Concordance: how often, of two patients, the one with the "
        "higher risk has the event first; 0.5 is chance. Curves: patients whom most of the splits that held them out placed "
        "above the median risk of the training, and the others.",
        Table([Column("Model", "name"), Column("Concordance", "value")], rows),
        *charts(*curves),
    ]


def _method(study: SplitsEvidence) -> list[Block]:
    settings, splits = study.settings, study.splits
    search = (
        "all combinations were tried"
        if settings["search"] == "grid"
        else f"a free search tried {settings['trials']} combinations"
    )
    sizes = ", ".join(str(size) for size in settings["max_features"])
    kept = settings.get("kept", ())  # evidence of earlier versions has no such entry
    return [
        f"Validation: {splits.repeats} random splits by patient, stratified by outcome, with {percent(splits.test_share)} of "
        f"the patients held out (seed {splits.seed}); the same splits for all models on the same patients.",
        (
            "Everything that learns does so on the training patients of each split: which columns can be used (known in at "
            "least half of the patients, and not the same in nearly all), stability, harmonisation, the median that replaces "
            "a missing value, scaling, selection, the classifier and its settings, calibration, and the threshold."
        ),
        f"Classifiers: {', '.join(settings['classifiers'])}; selection: {', '.join(settings['selections'])}, with at most "
        f"{sizes} features, of which no two have a rank correlation above {settings['maximum_correlation']:g}"
        + (f", beside {', '.join(kept)}, which are always kept where they can be used" if kept else "")
        + f". In five inner folds {search}; the smallest log loss decided"
        + (", or the simplest within one standard error of it" if settings["one_standard_error"] else "")
        + (f"; the best {settings['ensemble']} were averaged" if settings["ensemble"] > 1 else "")
        + ". Classes were not reweighted: that would distort the probabilities.",
        (
            "Threshold: the largest sum of sensitivity and specificity on the inner out-of-fold predictions of the training "
            "patients (Youden)."
        ),
        (
            "AUC and concordance: mean over the splits. The interval over the splits (corrected resampled t, Nadeau and Bengio "
            "2003) allows for the patients that the splits share, but not for all that they share: in simulated "
            "cohorts of 60 patients it held the true AUC in 80 to 90 % instead of 95 %. Read it as the spread of the validation, not as a "
            "confidence interval."
        ),
        (
            "Better than a baseline: the corrected resampled t test on the same splits, against the baseline and against "
            "chance, adjusted after Holm for all comparisons. On noise alone it is significant too often. Where it is "
            "significant, what the model has beyond the baseline was therefore exchanged among the patients, again and again, "
            "and the whole validation, selection included, was done with it; outcomes and the baseline's values stayed where "
            "they were. The model has to do better than nearly all of these. This test is exact for imaging that has nothing "
            "to do with outcome or baseline; that imaging only repeats the baseline is what the first test guards against. "
            "The p-values of the permutations are not adjusted for the number of comparisons."
            + _permutations_in_words(study)
        ),
        (
            "Sensitivity, specificity, predictive values, Brier score, calibration and decision curve: one prediction per "
            "patient, the mean of the splits in which the patient was held out; Wilson's intervals. Predictive values hold "
            "for the prevalence in these patients."
        ),
        (
            "One variable at a time: Mann-Whitney test, adjusted after Benjamini and Hochberg; odds ratios by logistic "
            "regression with profile likelihood intervals. It describes these patients; nothing was selected by it."
        ),
        f"Software: {', '.join(f'{name} {version}' for name, version in study.software.items())}.",
    ]


def _permutations_in_words(study: SplitsEvidence) -> str:
    made = [pair.permuted for pair in study.comparisons if pair.permuted is not None]
    if not made:
        return " No comparison was significant on the splits, so none was permuted."
    most, splits = max(each.most for each in made), max(each.splits for each in made)
    where = " within their centres" if any(each.within_centres for each in made) else ""
    return (
        f" Here: up to {most} permutations{where} on the first {splits} splits for each claim, stopped as soon as it could not "
        f"be shown any more (Besag and Clifford 1991); seed {made[0].seed}."
    )


def _checklists(answered: Sequence[Topic]) -> Section:
    blocks: list[Block] = [
        "Which item this page answers, at least in part, and where. The others are for the paper, the model card and the "
        "description of the cohort."
    ]
    columns = [Column("Item", "name"), Column("What it asks for"), Column("Where")]
    for name, items in {"TRIPOD+AI (Collins 2024)": TRIPOD_AI, "CLEAR (Kocak 2023)": CLEAR}.items():
        blocks += [Heading(name), Table(columns, [_item_row(item, answered) for item in items])]
    return Section("Reporting checklists", blocks, name="checklists")


def _item_row(item: Item, answered: Sequence[Topic]) -> Row:
    there = [(topic.value, _TITLES[topic]) for topic in item.topics if topic in answered]
    if not there:
        return Row([item.name, item.words, "not answered here"], "open")
    return Row([item.name, item.words, Cell("", links=there)])


def _odds(odds: Interval) -> str:
    value, lower, upper = (
        "\N{INFINITY}" if part is None else _significant(part) for part in (odds.value, odds.lower, odds.upper)
    )
    return f"{value} [{lower}, {upper}]"


def _significant(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.3g}"
