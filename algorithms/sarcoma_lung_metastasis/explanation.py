"""What a likelihood rests on, for a reader: features in words, their contributions, warnings, and the model's figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from preop.grandchallenge.outputs import Output
from preop.likeness import Likeness
from preop.radiomics import describe
from preop.radiomics.settings import TEXTURES
from preop.report.charts import Contribution as ChartRow
from preop.report.charts import contributions_chart
from preop.study import DISCLAIMER, Assessability, model_entry, simulation_warnings
from preop.tabular import Contribution, LogisticModel

from .features import GRADES, Scan, scan_of
from .model import CLINICAL_KEY, Model


def _yes_or_no(value: float) -> str:
    return "yes" if value >= 0.5 else "no"


def _grade(value: float) -> str:
    return next(name for name, number in GRADES.items() if number == round(value))


def _millimetres(log_size: float) -> str:
    return f"{math.exp(log_size):.0f} mm"


# Clinical items: what a reader calls them, and how a value is written.
CLINICAL_LABELS: dict[str, tuple[str, Callable[[float], str]]] = {
    "age_years": ("age", "{:.0f} years".format),
    "male": ("male sex", _yes_or_no),
    "grade": ("grade", _grade),
    "liposarcoma": ("liposarcoma", _yes_or_no),
    "extremity": ("in an extremity", _yes_or_no),
    "deep": ("deep to the fascia", _yes_or_no),
    "log_size_mm": ("largest diameter", _millimetres),
    "neoadjuvant": ("neoadjuvant therapy", _yes_or_no),
    "margin_positive": ("positive margin", _yes_or_no),
}
COMBINED_BASELINE = "SUVmax + clinical"
# Features of the standard whose value has the unit of the scan's intensities.
WITH_INTENSITY_UNIT = {"stat_mean", "stat_median", "stat_min", "stat_max", "stat_p10", "stat_p90", "stat_iqr"}


def explanation(
    likelihood: float,
    contributions: Sequence[Contribution],
    row: Mapping[str, float],
    likeness: Likeness,
    given: str,
    key: str,
    model: Model,
    *,
    proposed: Sequence[Scan] = (),
) -> dict[str, Any]:
    """Decision, what each feature adds, warnings, and where the model comes from.

    Parameters
    ----------
    contributions
        The largest first.
    row
        All that was measured, by feature.
    likeness
        How like the training patients the patient's scans are.
    given
        The inputs that were given, as ``interface_key`` names them.
    key
        Those that the model takes, which is its name.
    proposed
        Scans on which a network outlined the tumour.
    """
    logistic = model.by_interface[key]
    unused = [part for part in given.split(" + ") if part not in key.split(" + ")]
    return {
        **assessability(
            contributions, likeness, [*_not_approved(proposed, key), *_not_used(unused, key, model)]
        ).to_json(),
        "likelihood": likelihood,
        "decision_threshold": logistic.threshold,
        "decision": "high risk" if likelihood >= logistic.threshold else "low risk",
        "likelihood_percentile_in_training_cohort": logistic.training_percentile(likelihood),
        "inputs": given,
        **({"inputs_not_used": unused} if unused else {}),
        "inputs_with_effect": interface_with_effect(logistic, key),
        "intercept_log_odds": logistic.intercept,
        "features": [_in_words(each) for each in contributions],
        "likeness_to_training": likeness.to_json(),
        "warnings": [
            *_without_effect(logistic, key),
            *_without_weight(contributions, row),
            *_shown_in_validation(model, key),
            *simulation_warnings(model.info),
        ],
        "model": model_entry(model.info, model.info.validation.models[key].model_dump()),
        "disclaimer": DISCLAIMER,
    }


def assessability(
    contributions: Sequence[Contribution], likeness: Likeness, others: Sequence[str] = ()
) -> Assessability:
    """Say whether the patient is one that the model can judge: each value known, and scans as those of the training are.

    Parameters
    ----------
    others
        Sentences on what limits it beside.
    """
    beyond = [f"{label_of(part.name)} ({_written(part)})" for part in contributions if part.outside_training_range]
    unknown = [label_of(part.name) for part in contributions if part.missing]
    limits = [*others, *likeness.limits]
    if beyond:
        limits.append(_sentence(f"{_listed(beyond)}: outside the range of the training cohort."))
    if unknown:
        limits.append(_sentence(f"{_listed(unknown)}: unknown, and replaced by the training median."))
    return Assessability(limits=limits)


def interface_with_effect(logistic: LogisticModel, key: str) -> str:
    """Name those inputs of which the model takes anything at all, as ``interface_key`` does."""
    used = {scan.label if (scan := scan_of(term.name)) else CLINICAL_KEY for term in logistic.terms}
    return " + ".join(part for part in key.split(" + ") if part in used)


def chart(likelihood: float, contributions: Sequence[Contribution], threshold: float) -> Output:
    """Draw what each feature adds."""
    return contributions_chart(
        [ChartRow(label_of(each.name), _written(each), each.log_odds) for each in contributions],
        title=f"Likelihood of lung metastasis {likelihood:.0%}",
        subtitle=f"high risk from {threshold:.0%}",
    )


def label_of(feature: str) -> str:
    """Name a feature in words."""
    scan = scan_of(feature)
    if scan is None:
        return CLINICAL_LABELS[feature][0]
    name = feature.removeprefix(f"{scan.name}_")
    if name == "log_volume_ml":
        return f"{scan.label} volume"
    described = describe(name)
    family = f"{described.family.upper()} " if described.family in TEXTURES else ""
    return f"{scan.label} {family}{described.name[0].lower()}{described.name[1:]}"


def _in_words(part: Contribution) -> dict[str, Any]:
    return {
        "feature": part.name,
        "label": label_of(part.name),
        "value": part.value,
        "value_in_words": _written(part),
        "missing": part.missing,
        "contribution_log_odds": part.log_odds,
        "percentile_in_training_cohort": part.training_percentile,
    }


def _written(part: Contribution) -> str:
    """Write the value of a feature for a reader."""
    scan = scan_of(part.name)
    if scan is None:
        written = CLINICAL_LABELS[part.name][1](part.value)
    elif part.name.endswith("log_volume_ml"):
        written = f"{math.exp(part.value):.0f} ml"
    elif part.name.removeprefix(f"{scan.name}_") in WITH_INTENSITY_UNIT:
        written = f"{part.value:.1f} {scan.unit}"
    else:
        written = f"{part.value:.3g}"
    return f"unknown (taken as {written})" if part.missing else written


def _without_effect(logistic: LogisticModel, key: str) -> Iterator[str]:
    """Say where a model on several inputs is that on fewer of them, because training chose nothing of the others."""
    effective = interface_with_effect(logistic, key)
    if idle := [part for part in key.split(" + ") if part not in effective.split(" + ")]:
        names = _in_a_sentence(idle)
        do = "has" if len(names) == 1 else "have"
        yield (
            f"{_sentence(_listed(names))} {do} no effect on the likelihood: training chose none of the features, so this is "
            f"the {effective} model."
        )


def _not_approved(proposed: Sequence[Scan], key: str) -> Iterator[str]:
    """Say where the model judges by an outline that no person has approved."""
    if names := [scan.label for scan in proposed if scan.label in key.split(" + ")]:
        yield (
            f"The tumour on {_listed(names)} was outlined by a network, and nobody has approved that: look at the outline, and "
            "correct it where it is wrong."
        )


def _not_used(unused: Sequence[str], key: str, model: Model) -> Iterator[str]:
    """Say of each input that was given and left out, why: no model knows it, or none knows it beside the others."""
    known = {part for each in model.by_interface for part in each.split(" + ")}
    for parts, why in (
        ([part for part in unused if part not in known], "the model was trained without {}"),
        (
            [part for part in unused if part in known],
            f"the model folder holds none that takes {{}} beside {_listed(_in_a_sentence(key.split(' + ')))}",
        ),
    ):
        if parts:
            was, it = ("was", "it") if len(parts) == 1 else ("were", "them")
            yield f"{_sentence(_listed(_in_a_sentence(parts)))} {was} not used: {why.format(it)}."


def _without_weight(contributions: Sequence[Contribution], row: Mapping[str, float]) -> Iterator[str]:
    """Name the clinical items that are known of the patient, and play no part."""
    used = {part.name for part in contributions}
    given = [name for name in CLINICAL_LABELS if not math.isnan(row.get(name, math.nan))]
    if unused := [label_of(name) for name in given if name not in used]:
        yield f"Given, but without effect in this model: {', '.join(unused)}."


def _shown_in_validation(model: Model, key: str) -> Iterator[str]:
    """Say which simpler predictors the model was not shown to surpass."""
    baselines = model.info.validation.not_better_than(key)
    alone = _in_a_sentence([name for name in baselines if name != COMBINED_BASELINE])
    not_surpassed = [f"{_listed(alone, 'or')} alone"] if alone else []
    if COMBINED_BASELINE in baselines:
        not_surpassed.append("SUVmax together with clinical information")
    if not_surpassed:
        yield f"In cross-validation, this model was not shown to perform better than {', or than '.join(not_surpassed)}."


def _in_a_sentence(parts: Sequence[str]) -> list[str]:
    return ["clinical information" if part == CLINICAL_KEY else part for part in parts]


def _listed(names: Sequence[str], word: str = "and") -> str:
    *others, last = names
    return f"{', '.join(others)} {word} {last}" if others else last


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
