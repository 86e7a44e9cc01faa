"""Risk of lung metastasis of a soft-tissue sarcoma.

The tumour is measured on each scan the patient has (shape, intensity and texture by the IBSI standard), clinical
information is added as far as it is known, and a penalised logistic regression on few selected features, one for each
accepted combination of inputs, turns them into a likelihood. What each feature adds is reported in log odds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm
from preop.grandchallenge.values import read_json
from preop.radiomics import describe
from preop.radiomics.settings import TEXTURES
from preop.report.charts import Contribution as ChartRow
from preop.report.charts import contributions_chart
from preop.study import ModelInfo, read_model_info
from preop.tabular import Contribution, LogisticModel

from .features import CLINICAL, GRADES, SCANS, measure, scan_of

WEIGHTS_FILE = "weights.json"
DISCLAIMER = "Research only: this is not a medical device and must not guide the care of a patient."


def _yes_or_no(value: float) -> str:
    return "yes" if value >= 0.5 else "no"


def _grade(value: float) -> str:
    return next(name for name, number in GRADES.items() if number == round(value))


# Clinical items: what a reader calls them, and how a value is written.
CLINICAL_LABELS: dict[str, tuple[str, Callable[[float], str]]] = {
    "age_years": ("age", "{:.0f} years".format),
    "male": ("male sex", _yes_or_no),
    "grade": ("grade", _grade),
    "liposarcoma": ("liposarcoma", _yes_or_no),
    "extremity": ("in an extremity", _yes_or_no),
    "margin_positive": ("positive margin", _yes_or_no),
}
# Features of the standard whose value has the unit of the scan's intensities.
WITH_INTENSITY_UNIT = {"stat_mean", "stat_median", "stat_min", "stat_max", "stat_p10", "stat_p90", "stat_iqr"}


@dataclass(frozen=True)
class Model:
    """The trained models, one for each combination of inputs, and where they come from."""

    info: ModelInfo
    by_interface: Mapping[str, LogisticModel]


def load_model(folder: Path, algorithm: Algorithm) -> Model:
    """Read and check a model folder."""
    info = read_model_info(folder, algorithm)
    try:
        content = read_json(folder / WEIGHTS_FILE)
        return Model(info, {key: LogisticModel.from_dict(value) for key, value in content.items()})
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidModelError(
            f"The model in {folder} is damaged: {WEIGHTS_FILE} does not hold what it should."
        ) from error


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the likelihood of lung metastasis, and what it rests on."""
    key = interface_key(case.interface)
    if key not in model.by_interface:
        raise InvalidModelError(f"The model was not trained on {', '.join(case.interface)}: train it on such patients.")
    row = measure(case)
    logistic = model.by_interface[key]
    likelihood = logistic.probability(row)
    parts = sorted(logistic.contributions(row), key=lambda part: -abs(part.log_odds))
    return {
        "lung-metastasis-likelihood": likelihood,
        "lung-metastasis-explanation": {
            "likelihood": likelihood,
            "decision_threshold": logistic.threshold,
            "decision": "high risk" if likelihood >= logistic.threshold else "low risk",
            "likelihood_percentile_in_training_cohort": logistic.training_percentile(likelihood),
            "intercept_log_odds": logistic.intercept,
            "features": [_in_words(part) for part in parts],
            "warnings": _warnings(parts, row, model.info, key),
            "model": _provenance(model.info, key),
            "disclaimer": DISCLAIMER,
        },
        "lung-metastasis-contributions": contributions_chart(
            [ChartRow(label_of(part.name), _written(part), part.log_odds) for part in parts],
            title=f"Likelihood of lung metastasis {likelihood:.0%}",
            subtitle=f"high risk from {logistic.threshold:.0%}",
        ),
    }


def interface_key(slugs: Iterable[str]) -> str:
    """Name a combination of inputs as a reader does: ``CT + PET + clinical``."""
    given = set(slugs)
    scans = [scan.label for scan in SCANS if scan.image in given]
    return " + ".join([*scans, *(["clinical"] if CLINICAL in given else [])])


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
    return f"not known (taken as {written})" if part.missing else written


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


def _provenance(info: ModelInfo, key: str) -> dict[str, Any]:
    return {
        "trained_on": info.training_data.description,
        "simulated_patients": info.training_data.simulated,
        "created": info.created,
        "validation": info.validation["models"][key],
    }


def _warnings(parts: list[Contribution], row: Mapping[str, float], info: ModelInfo, key: str) -> list[str]:
    """Tell in words what a reader should know before trusting the number."""
    warnings = [
        f"{label_of(part.name)} ({_written(part)}) lies outside the range of the training cohort."
        for part in parts
        if part.outside_training_range
    ]
    warnings += [f"{label_of(part.name)} is not known; the training median was used." for part in parts if part.missing]
    given = [name for name in CLINICAL_LABELS if not math.isnan(row.get(name, math.nan))]
    used = {part.name for part in parts}
    if unused := [label_of(name) for name in given if name not in used]:
        warnings.append(f"Given, but not used, for the model did not learn an effect of it: {', '.join(unused)}.")
    not_beaten = [
        comparison["baseline"]
        for comparison in info.validation["comparisons"]
        if comparison["model"] == key and not comparison["adds"]
    ]
    if not_beaten:
        warnings.append(
            f"In cross-validation this model was not shown to do better than {' or '.join(not_beaten)} alone."
        )
    if info.training_data.simulated:
        warnings.append("The model was trained on simulated patients: its figures say nothing about real ones.")
    return warnings


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
