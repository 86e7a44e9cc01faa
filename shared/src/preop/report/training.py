"""The page of a training run: whether imaging adds anything, how well each model does, and what that rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preop.report.charts import (
    calibration_chart,
    decision_chart,
    forest_chart,
    format_estimate,
    roc_band_chart,
    share_chart,
    survival_chart,
)
from preop.report.checklists import CLEAR, TRIPOD_AI, Item, Section
from preop.report.html import inline, render
from preop.statistics import (
    Estimate,
    brier_score,
    calibration_curve,
    decision_curve,
    difference_in_words,
    kaplan_meier,
    log_rank,
    p_value_in_words,
    recalibrate,
)
from preop.tabular.evidence import (
    auc_of,
    check_evidence,
    comparisons,
    concordance_of,
    external_auc,
    feature_use,
    predictions_of,
    risk_groups,
    roc_of,
    verdict,
)

if TYPE_CHECKING:
    from markupsafe import Markup

Json = Mapping[str, Any]

_CASES_OF_A_CALIBRATION_GROUP = 10
_MOST_FEATURES = 10
_MOST_VARIABLES = 25
_DASH = "\N{EN DASH}"
_TITLES = {
    Section.RESULT: "Result",
    Section.WARNINGS: "Warnings",
    Section.MODELS: "All models",
    Section.BASELINES: "Against the baselines",
    Section.DETAILS: "Each model",
    Section.FORMULA: "The trained models",
    Section.COHORT: "The patients",
    Section.VARIABLES: "One variable at a time",
    Section.STABILITY: "Stability of the features",
    Section.CENTRES: "Each centre left out",
    Section.EXTERNAL: "Other patients",
    Section.SURVIVAL: "Time to the event",
    Section.METHOD: "How it was done",
}


@dataclass(frozen=True)
class _Detail:
    name: str
    sentence: str
    charts: list[Markup]


def training_page(
    evidence: Json, path: Path, *, title: str, source: str = "not stated", simulated: bool = False
) -> None:
    """Write the page of a training run.

    Parameters
    ----------
    evidence
        What :func:`preop.tabular.train_and_validate` gave.
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
        If the evidence is not that of a training run.
    MissingToolError
        If there is time to event, and lifelines is not installed.
    """
    check_evidence(evidence)
    names = list(evidence["models"])
    models = [name for name in names if not evidence["models"][name]["baseline"]] or names
    ordered = [*models, *(name for name in names if name not in models)]
    centres = _centres(evidence, ordered)
    survival = _survival(evidence, ordered)
    external = _external(evidence)
    sections = _sections(evidence, centres=bool(centres), survival=bool(survival), external=bool(external))
    page = render(
        "training.html",
        title=title,
        source=source,
        simulated=simulated,
        section=Section,
        sections=sections,
        titles=_TITLES,
        lead=_lead(evidence),
        verdict=verdict(evidence),
        warnings=evidence["warnings"],
        forest=inline(_forest(evidence, ordered)),
        models=[_model_row(evidence, name) for name in ordered],
        comparisons=[_comparison_row(item) for item in comparisons(evidence)],
        details=[_detail(evidence, name) for name in models],
        formulas=[_formula(evidence, name) for name in ordered],
        outcome=evidence["outcome"],
        cohort=[_cohort_row(row) for row in evidence["cohort"]],
        cohort_sizes=_cohort_sizes(evidence),
        univariable=[_variable_row(row) for row in evidence["univariable"][:_MOST_VARIABLES]],
        univariable_count=len(evidence["univariable"]),
        univariable_significant=sum(row["adjusted_p_value"] < 0.05 for row in evidence["univariable"]),
        regressions={name: _regression(item) for name, item in evidence["regressions"].items()},
        stability=_stability(evidence),
        centres=centres,
        external=external,
        survival=survival,
        method=_method(evidence),
        software=", ".join(f"{name} {number}" for name, number in evidence["software"].items()),
        checklists={
            "TRIPOD+AI (Collins 2024)": [_checked(item, sections) for item in TRIPOD_AI],
            "CLEAR (Kocak 2023)": [_checked(item, sections) for item in CLEAR],
        },
    )
    path.write_text(page, encoding="utf-8")


def _sections(evidence: Json, *, centres: bool, survival: bool, external: bool) -> list[Section]:
    """Sections that the page has."""
    there = {
        Section.WARNINGS: bool(evidence["warnings"]),
        Section.BASELINES: bool(evidence["comparisons"]),
        Section.STABILITY: bool(evidence["stability"]),
        Section.CENTRES: centres,
        Section.EXTERNAL: external,
        Section.SURVIVAL: survival,
    }
    return [section for section in Section if there.get(section, True)]


def _lead(evidence: Json) -> str:
    patients, splits = evidence["patients"], evidence["splits"]
    people, events = len(set(patients["patient"])), int(np.sum(patients["outcome"]))
    rows = "" if people == len(patients["outcome"]) else f" ({len(patients['outcome'])} rows)"
    centres = len(set(patients["centre"]) - {""})
    return (
        f"{people} patients{rows}, {events} with {evidence['outcome']} and {len(patients['outcome']) - events} without"
        f"{f', from {centres} centres' if centres > 1 else ''}. {len(evidence['models'])} models, each fitted and "
        f"judged {splits['repeats']} times."
    )


def _forest(evidence: Json, names: Sequence[str]) -> dict[str, Any]:
    estimates = {
        f"{name} (baseline)" if evidence["models"][name]["baseline"] else name: auc_of(evidence, name) for name in names
    }
    return forest_chart(
        estimates,
        axis="AUC on held-out patients",
        title="Discrimination of all models",
        subtitle="mean over the splits with corrected resampled t interval; dashed: chance",
        no_effect=0.5,
    )


def _model_row(evidence: Json, name: str) -> dict[str, str]:
    model, prediction = evidence["models"][name], predictions_of(evidence, name)
    counts = prediction.counts
    return {
        "name": name,
        "kind": "baseline" if model["baseline"] else "",
        "features": str(len(model["columns"])),
        "patients": f"{prediction.labels.sum()} / {prediction.labels.size}",
        "auc": format_estimate(auc_of(evidence, name)),
        "sensitivity": _share(counts.sensitivity),
        "specificity": _share(counts.specificity),
        "ppv": _share(counts.positive_predictive_value),
        "npv": _share(counts.negative_predictive_value),
        "accuracy": _share(counts.accuracy),
        "prevalence": f"{counts.prevalence:.0%}".replace("%", " %"),
        "brier": f"{brier_score(prediction.labels, prediction.probabilities):.3f}",
        "slope": format_estimate(recalibrate(prediction.labels, prediction.probabilities).slope),
    }


def _comparison_row(item: Any) -> dict[str, Any]:
    return {
        "model": item.model,
        "baseline": item.baseline,
        "patients": item.patients,
        "aucs": f"{item.model_auc:.2f} / {item.baseline_auc:.2f}",
        "difference": difference_in_words(item.auc.difference),
        "p_value": _p_value(item.auc.p_value),
        "adjusted": _p_value(item.adjusted_p_value),
        "answer": "yes" if item.adds else "not shown",
    }


def _detail(evidence: Json, name: str) -> _Detail:
    prediction = predictions_of(evidence, name)
    labels, probabilities = prediction.labels, prediction.probabilities
    charts = [
        roc_band_chart(roc_of(evidence, name), auc_of(evidence, name), subtitle="mean of the splits, and its band")
    ]
    groups = min(labels.size // _CASES_OF_A_CALIBRATION_GROUP, 10)
    if groups > 1:
        charts.append(calibration_chart(calibration_curve(labels, probabilities, groups=groups)))
    charts.append(decision_chart(decision_curve(labels, probabilities, np.arange(0.01, 0.81, 0.01))))
    used = feature_use(evidence, name)[:_MOST_FEATURES]
    charts.append(
        share_chart(
            {item.name: item.share for item in used},
            axis="share of the splits",
            title="Features it is built on",
            subtitle="how often each was taken" + ("" if len(used) < _MOST_FEATURES else f"; the first {len(used)}"),
        )
    )
    recalibrated = recalibrate(labels, probabilities)
    sentence = (
        f"Calibration slope {format_estimate(recalibrated.slope)} (1 is right, below 1 too extreme), "
        f"intercept {format_estimate(recalibrated.intercept)} (0 is right, below 0 too high)."
    )
    return _Detail(name, _minus(sentence), [inline(chart) for chart in charts])


def _formula(evidence: Json, name: str) -> dict[str, Any]:
    final = evidence["models"][name]["final"]
    use = {item.name: item for item in feature_use(evidence, name)}
    members = [
        f"{part['classifier']}, {part['features']} features by {part['selection']}, capacity {part['capacity']:g}"
        for part in final["members"]
    ]
    return {
        "name": name,
        "recipe": "; ".join(members),
        "threshold": f"{final['threshold']:.3f}",
        "features": [
            {
                "name": feature,
                "weight": _DASH if weight is None else _minus(f"{weight:+.2f}"),
                "share": f"{use[feature].share:.0%}".replace("%", " %") if feature in use else "0 %",
                "same_sign": _same_sign(use[feature].same_sign) if feature in use else _DASH,
            }
            for feature, weight in sorted(final["features"].items(), key=lambda item: -abs(item[1] or 0))
        ],
    }


def _same_sign(share: float | None) -> str:
    return _DASH if share is None else f"{share:.0%}".replace("%", " %")


def _cohort_row(row: Json) -> dict[str, Any]:
    return {
        **row,
        "first": bool(row["test"]) or not row["level"],
        "p_value": _DASH if row["p_value"] is None else _p_value(row["p_value"]),
    }


def _cohort_sizes(evidence: Json) -> tuple[int, int, int]:
    outcome = evidence["patients"]["outcome"]
    return len(outcome), len(outcome) - sum(outcome), sum(outcome)


def _variable_row(row: Json) -> dict[str, str]:
    return {
        "name": row["name"],
        "cases": str(row["cases"]),
        "auc": format_estimate(_estimate(row["auc"])),
        "p_value": _p_value(row["p_value"]),
        "adjusted": _p_value(row["adjusted_p_value"]),
        "odds_ratio": _odds(row["odds_ratio"]) + (" *" if row["firth"] else ""),
    }


def _regression(item: Json) -> dict[str, Any]:
    return {
        "sentence": f"{item['cases']} patients with all of these, {item['events']} with the outcome"
        + ("; Firth's correction." if item["firth"] else "."),
        "rows": [
            {
                "name": row["name"],
                "odds_ratio": _odds(row["odds_ratio"]),
                "p_value": _p_value(row["p_value"]),
            }
            for row in item["variables"]
        ],
    }


def _stability(evidence: Json) -> dict[str, Any]:
    measured = {name: value for name, value in evidence["stability"].items() if value is not None}
    limit = evidence["settings"]["minimum_icc"]
    unstable = sorted((value, name) for name, value in measured.items() if value < limit)
    return {
        "sentence": f"{len(measured)} features were measured again on perturbed regions or images; "
        f"{len(unstable)} of them have an intraclass correlation below {limit:g} and are left out wherever that is so in "
        "the training patients.",
        "unstable": [{"name": name, "icc": _minus(f"{value:.2f}")} for value, name in unstable[:_MOST_VARIABLES]],
    }


def _centres(evidence: Json, names: Sequence[str]) -> list[dict[str, str]]:
    from preop.statistics import auc_delong

    rows = []
    outcome = np.array(evidence["patients"]["outcome"], dtype=np.bool_)
    for name in names:
        for centre, part in evidence["models"][name]["centres"].items():
            labels = outcome[part["rows"]]
            both = 0 < labels.sum() < labels.size
            rows.append(
                {
                    "name": name,
                    "centre": centre,
                    "patients": f"{labels.sum()} / {labels.size}",
                    "auc": format_estimate(auc_delong(labels, part["probabilities"])) if both else _DASH,
                }
            )
    return rows


def _external(evidence: Json) -> list[dict[str, str]]:
    return [
        {
            "cohort": cohort,
            "name": name,
            "patients": f"{sum(part['outcome'])} / {len(part['outcome'])}",
            "auc": format_estimate(external_auc(part)),
        }
        for cohort, parts in evidence.get("external", {}).items()
        for name, part in parts.items()
    ]


def _survival(evidence: Json, names: Sequence[str]) -> dict[str, Any]:
    follow_up = evidence["patients"]["follow_up"]
    if follow_up is None:
        return {}
    days, event = np.array(follow_up["days"]), np.array(follow_up["event"], dtype=np.bool_)
    rows, charts = [], []
    for name in names:
        c_index = concordance_of(evidence, name)
        rows.append({"name": name, "concordance": _DASH if c_index is None else format_estimate(c_index)})
        groups = {group: index for group, index in risk_groups(evidence, name).items() if index.size}
        if len(groups) < 2 or evidence["models"][name]["baseline"]:
            continue
        index = np.concatenate(list(groups.values()))
        p_value = log_rank(days[index], event[index], [group for group, part in groups.items() for _ in part])
        curves = {group: kaplan_meier(days[part], event[part]) for group, part in groups.items()}
        charts.append(inline(survival_chart(curves, title=name, subtitle=f"log-rank {p_value_in_words(p_value)}")))
    return {"rows": rows, "charts": charts}


def _method(evidence: Json) -> list[str]:
    settings, splits = evidence["settings"], evidence["splits"]
    search = (
        "all combinations were tried"
        if settings["search"] == "grid"
        else f"a free search tried {settings['trials']} combinations"
    )
    sizes = ", ".join(str(size) for size in settings["most_features"])
    return [
        f"Validation: {splits['repeats']} random splits by patient, stratified by outcome, with "
        f"{splits['test_share']:.0%} of the patients held out (seed {splits['seed']}); the same splits for all models on "
        "the same patients.".replace("%", " %"),
        (
            "Everything that learns does so on the training patients of each split: which columns can be used (known in at "
            "least half of the patients, and not the same in nearly all), stability, harmonisation, the median that stands "
            "in for a missing value, scaling, selection, the classifier and its settings, calibration, and the threshold."
        ),
        f"Classifiers: {', '.join(settings['classifiers'])}; selection: {', '.join(settings['selections'])}, with at most "
        f"{sizes} features, of which no two have a rank correlation above {settings['maximum_correlation']:g}. In five "
        f"inner folds {search}; the smallest log loss decided"
        + (", or the simplest within one standard error of it" if settings["one_standard_error"] else "")
        + (f"; the best {settings['ensemble']} were averaged" if settings["ensemble"] > 1 else "")
        + ". Classes were not reweighted: that would spoil the probabilities.",
        (
            "Threshold: the largest sum of sensitivity and specificity on the inner out-of-fold predictions of the training "
            "patients (Youden)."
        ),
        (
            "AUC and concordance: mean over the splits; intervals and paired tests are corrected for the patients that the "
            "splits share (Nadeau and Bengio 2003); p-values of the comparisons with baselines are also adjusted after Holm."
        ),
        (
            "Sensitivity, specificity, predictive values, Brier score, calibration and decision curve: one prediction a "
            "patient, the mean of the splits in which the patient was held out; Wilson's intervals. Predictive values hold "
            "for the prevalence in these patients."
        ),
        (
            "One variable at a time: Mann-Whitney test, adjusted after Benjamini and Hochberg; odds ratios by logistic "
            "regression with profile likelihood intervals. It describes these patients; nothing was selected by it."
        ),
    ]


def _checked(item: Item, sections: Sequence[Section]) -> dict[str, Any]:
    there = [section for section in item.sections if section in sections]
    return {"number": item.number, "words": item.words, "sections": there}


def _share(estimate: Estimate | None) -> str:
    return _DASH if estimate is None else format_estimate(estimate)


def _estimate(content: Json) -> Estimate:
    numbers = [math.nan if content[part] is None else content[part] for part in ("value", "lower", "upper")]
    return Estimate(*numbers)


def _odds(content: Json) -> str:
    parts = [content[part] for part in ("value", "lower", "upper")]
    value, lower, upper = ("\N{INFINITY}" if part is None else _significant(part) for part in parts)
    return f"{value} [{lower}, {upper}]"


def _significant(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:.3g}"


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def _p_value(p_value: float) -> str:
    return _DASH if math.isnan(p_value) else p_value_in_words(p_value).removeprefix("p ").removeprefix("= ")
