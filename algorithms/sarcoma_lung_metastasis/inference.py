"""Risk of lung metastasis of a soft-tissue sarcoma.

The tumour is measured on each scan the patient has (shape and intensity by the IBSI standard), clinical information
is added as far as it is known, and a penalised logistic regression, one for each accepted combination of inputs,
turns the features into a likelihood. What each feature adds is reported in log odds.
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
from preop.grandchallenge.models import ModelInfo, read_model_info
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm
from preop.grandchallenge.values import read_json
from preop.report.charts import Contribution as ChartRow
from preop.report.charts import contributions_chart
from preop.tabular import Contribution, LogisticModel

from .features import GRADES, measure

WEIGHTS_FILE = "weights.json"
DISCLAIMER = "Research only: this is not a medical device and must not guide the care of a patient."


def _yes_or_no(value: float) -> str:
    return "yes" if value >= 0.5 else "no"


def _grade(value: float) -> str:
    return next(name for name, number in GRADES.items() if number == round(value))


# What a reader sees: the name of a feature, and how its value is written.
LABELS: dict[str, tuple[str, Callable[[float], str]]] = {
    "log_volume_ml": ("volume", lambda value: f"{math.exp(value):.0f} ml"),
    "sphericity": ("sphericity", "{:.2f}".format),
    "elongation": ("elongation", "{:.2f}".format),
    "flatness": ("flatness", "{:.2f}".format),
    "mean": ("mean intensity", "{:.1f}".format),
    "spread": ("standard deviation of intensity", "{:.1f}".format),
    "skewness": ("skewness of intensity", "{:.2f}".format),
    "kurtosis": ("kurtosis of intensity", "{:.2f}".format),
    "p10": ("10th percentile of intensity", "{:.1f}".format),
    "p90": ("90th percentile of intensity", "{:.1f}".format),
    "age_years": ("age", "{:.0f} years".format),
    "male": ("male sex", _yes_or_no),
    "grade": ("grade", _grade),
    "liposarcoma": ("liposarcoma", _yes_or_no),
    "extremity": ("in an extremity", _yes_or_no),
    "margin_positive": ("positive margin", _yes_or_no),
}
SCAN_LABELS = {"ct": "CT", "t1": "T1 MR"}
INTENSITY_UNITS = {"ct": "HU", "t1": "% of fat"}
WITH_UNIT = {"mean", "spread", "p10", "p90"}


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
    """Name a combination of inputs, as the model's files do."""
    return " + ".join(sorted(slugs))


def label_of(feature: str) -> str:
    """Name a feature in words."""
    scan, _, name = feature.partition("_")
    return f"{SCAN_LABELS[scan]} {LABELS[name][0]}" if scan in SCAN_LABELS else LABELS[feature][0]


def _written(part: Contribution) -> str:
    """Write the value of a feature for a reader."""
    scan, _, name = part.name.partition("_")
    _, write = LABELS[name if scan in SCAN_LABELS else part.name]
    written = f"{write(part.value)} {INTENSITY_UNITS[scan]}" if name in WITH_UNIT else write(part.value)
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
        "validation": info.validation["interfaces"][key],
    }


def _warnings(parts: list[Contribution], row: Mapping[str, float], info: ModelInfo, key: str) -> list[str]:
    """Tell in words what a reader should know before trusting the number."""
    warnings = [
        f"{label_of(part.name)} ({_written(part)}) lies outside the range of the training cohort."
        for part in parts
        if part.outside_training_range
    ]
    warnings += [f"{label_of(part.name)} is not known; the training median was used." for part in parts if part.missing]
    used = {part.name for part in parts}
    warnings += [
        f"{label_of(name)} was given but is not used: the training cohort could not teach its effect."
        for name, value in row.items()
        if name not in used and not math.isnan(value)
    ]
    auc = info.validation["interfaces"][key]["auc"]["value"]
    warnings += [
        f"In cross-validation this model (AUC {auc:.2f}) did no better than {name} alone ({baseline['value']:.2f})."
        for name, baseline in info.validation["baselines"].items()
        if auc <= baseline["value"]
    ]
    if info.training_data.simulated:
        warnings.append("The model was trained on simulated patients: its figures say nothing about real ones.")
    return warnings


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
