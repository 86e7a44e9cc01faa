"""Figures from the evidence of a study; nothing here is stored, all of it can be computed again.

The evidence is what :func:`preop.tabular.train_and_validate` gives, or the same read back from a JSON file.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.statistics import (
    BinaryCounts,
    Estimate,
    PairedComparison,
    RocBand,
    adjust_p_values,
    auc,
    auc_bootstrap,
    compare_resampled,
    corrected_resampled_t,
    difference_in_words,
    mean_roc_band,
    p_value_in_words,
)

Json = Mapping[str, Any]
FORMAT = 1
SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class MeanPrediction:
    """One prediction a row: the mean of those splits in which it was held out.

    Attributes
    ----------
    rows
        Numbers of the rows that were held out at least once, (r,).
    labels
        Their outcome.
    probabilities
        Mean of the predicted probabilities.
    decisions
        Whether most of the splits called it positive, at the threshold of their training rows.
    """

    rows: NDArray[np.intp]
    labels: NDArray[np.bool_]
    probabilities: NDArray[np.float64]
    decisions: NDArray[np.bool_]

    @property
    def counts(self) -> BinaryCounts:
        """The four-fold table of the decisions."""
        return BinaryCounts.of(self.labels, self.decisions)


@dataclass(frozen=True)
class BaselineComparison:
    """A model against a baseline, on the same patients and splits.

    Attributes
    ----------
    model, baseline
        Their names.
    patients
        How many rows both were judged on.
    model_auc, baseline_auc
        Mean over the splits.
    auc
        Difference, with the corrected resampled t test.
    adjusted_p_value
        After Holm, for all comparisons of the study.
    """

    model: str
    baseline: str
    patients: int
    model_auc: float
    baseline_auc: float
    auc: PairedComparison
    adjusted_p_value: float

    @property
    def adds(self) -> bool:
        """Whether the model is shown to be better."""
        return self.auc.difference.value > 0 and self.adjusted_p_value < SIGNIFICANT


@dataclass(frozen=True)
class FeatureUse:
    """How often the splits of a model took a feature, and what it weighed there.

    Attributes
    ----------
    name
        Of the feature.
    share
        Of the splits.
    log_odds
        Mean over those splits, for one standard deviation; None where the model is not linear.
    same_sign
        Share of those splits in which the weight had the sign of the mean.
    """

    name: str
    share: float
    log_odds: float | None
    same_sign: float | None


def check_evidence(evidence: Json) -> None:
    """Refuse what is not the evidence of a study.

    Raises
    ------
    InvalidInputError
        If a part is missing, or it was written in another format.
    """
    parts = {"format", "outcome", "patients", "models", "runs", "comparisons", "splits", "settings", "warnings"}
    missing = sorted(parts - evidence.keys())
    if missing or evidence["format"] != FORMAT:
        raise InvalidInputError(
            f"The evidence lacks {missing[0]}; expected what a training run wrote."
            if missing
            else f"The evidence has the format {evidence['format']}; expected {FORMAT}."
        )


def figures(evidence: Json) -> dict[str, Any]:
    """Give the figures that ``model.json`` states: patients, events and AUC of each model, and each comparison."""
    labels = _labels(evidence)
    return {
        "models": {
            name: {
                "patients": len(run_of(evidence, name)["rows"]),
                "events": int(labels[run_of(evidence, name)["rows"]].sum()),
                "auc": auc_of(evidence, name).as_dict(),
                "baseline": model["baseline"],
            }
            for name, model in evidence["models"].items()
        },
        "comparisons": [
            {
                "model": item.model,
                "baseline": item.baseline,
                "auc_difference": item.auc.difference.as_dict(),
                "p_value": None if math.isnan(item.auc.p_value) else item.auc.p_value,
            }
            for item in comparisons(evidence)
        ],
        "verdict": verdict(evidence),
    }


def run_of(evidence: Json, name: str) -> Json:
    """Nested validation of a model on all its patients."""
    run: Json = evidence["runs"][evidence["models"][name]["run"]]
    return run


def auc_of(evidence: Json, name: str) -> Estimate:
    """Mean AUC of a model over the splits, with its corrected resampled t interval."""
    run = run_of(evidence, name)
    scores = [score for score in _split_aucs(evidence, run) if not math.isnan(score)]
    return corrected_resampled_t(scores, **_sizes(run))


def roc_of(evidence: Json, name: str) -> RocBand:
    """Mean ROC curve of a model over the splits, with its band."""
    labels, run = _labels(evidence), run_of(evidence, name)
    splits = [(labels[split["rows"]], split["probabilities"]) for split in run["splits"]]
    return mean_roc_band([(truth, scores) for truth, scores in splits if 0 < truth.sum() < truth.size], **_sizes(run))


def predictions_of(evidence: Json, name: str) -> MeanPrediction:
    """Give each patient's mean prediction by a model over the splits in which the patient was held out."""
    probabilities, decisions = defaultdict(list), defaultdict(list)
    for split in run_of(evidence, name)["splits"]:
        for row, probability in zip(split["rows"], split["probabilities"], strict=True):
            probabilities[row].append(probability)
            decisions[row].append(probability >= split["threshold"])
    rows = np.array(sorted(probabilities), dtype=np.intp)
    return MeanPrediction(
        rows,
        _labels(evidence)[rows],
        np.array([np.mean(probabilities[row]) for row in rows]),
        np.array([np.mean(decisions[row]) >= 0.5 for row in rows]),
    )


def comparisons(evidence: Json) -> list[BaselineComparison]:
    """Every model against every baseline, by the corrected resampled t test on the AUCs of the same splits."""
    found = []
    for pair in evidence["comparisons"]:
        runs = [evidence["runs"][number] for number in pair["runs"]]
        scores = np.array([_split_aucs(evidence, run) for run in runs])
        model, baseline = scores[:, ~np.isnan(scores).any(axis=0)]
        found.append(
            (pair, len(runs[0]["rows"]), model, baseline, compare_resampled(model, baseline, **_sizes(runs[0])))
        )
    p_values = [1.0 if math.isnan(item[4].p_value) else item[4].p_value for item in found]
    adjusted = adjust_p_values(p_values, method="holm").tolist() if found else []
    return [
        BaselineComparison(
            pair["model"], pair["baseline"], patients, float(model.mean()), float(baseline.mean()), test, p_value
        )
        for (pair, patients, model, baseline, test), p_value in zip(found, adjusted, strict=True)
    ]


def verdict(evidence: Json) -> list[str]:
    """Say in words whether the models add anything to their baselines: the answer first, then each model."""
    by_model = defaultdict(list)
    for item in comparisons(evidence):
        by_model[item.model].append(item)
    if not by_model:
        return []
    adding = [name for name, items in by_model.items() if all(item.adds for item in items)]
    baselines = _enumeration(list(dict.fromkeys(item.baseline for items in by_model.values() for item in items)))
    if adding:
        answer = f"{_enumeration(adding)} {'predict' if len(adding) > 1 else 'predicts'} better than {baselines} alone."
    else:
        answer = (
            f"No model is shown to predict better than {baselines} alone: in these patients, what the models add cannot "
            "be told from chance."
        )
    return [answer, *(_against_the_strongest(items) for items in by_model.values())]


def feature_use(evidence: Json, name: str) -> list[FeatureUse]:
    """How the splits of a model used its features, the most often used first."""
    splits = run_of(evidence, name)["splits"]
    weights = defaultdict(list)
    for split in splits:
        for feature, weight in split["features"].items():
            weights[feature].append(weight)
    use = []
    for feature, found in weights.items():
        linear = [weight for weight in found if weight is not None]
        mean = float(np.mean(linear)) if linear else None
        same = float(np.mean(np.sign(linear) == np.sign(mean))) if linear and mean is not None else None
        use.append(FeatureUse(feature, len(found) / len(splits), mean, same))
    return sorted(use, key=lambda item: (-item.share, -abs(item.log_odds or 0), item.name))


def concordance_of(evidence: Json, name: str) -> Estimate | None:
    """Mean concordance of a Cox model over the splits; None where fewer than two splits have one."""
    splits = evidence["models"][name]["cox"] or []
    scores = [split["concordance"] for split in splits if split["concordance"] is not None]
    if len(scores) < 2:
        return None
    return corrected_resampled_t(scores, training_cases=splits[0]["training_rows"], test_cases=len(splits[0]["rows"]))


def external_auc(part: Json) -> Estimate:
    """AUC of a model on other patients, with an interval from resampled patients."""
    return auc_bootstrap(part["outcome"], part["probabilities"], part["patients"], seed=0)


def risk_groups(evidence: Json, name: str) -> dict[str, NDArray[np.intp]]:
    """Rows that most splits in which they were held out placed above, and not above, the median risk of the training."""
    votes = defaultdict(list)
    for split in evidence["models"][name]["cox"] or []:
        for row, high in zip(split["rows"], split["high"], strict=True):
            votes[row].append(high)
    high = np.array(sorted(row for row, found in votes.items() if np.mean(found) > 0.5), dtype=np.intp)
    low = np.array(sorted(row for row, found in votes.items() if np.mean(found) <= 0.5), dtype=np.intp)
    return {"high risk": high, "low risk": low}


def _against_the_strongest(items: list[BaselineComparison]) -> str:
    item = max(items, key=lambda other: other.baseline_auc)
    p_value = "" if math.isnan(item.auc.p_value) else f", {p_value_in_words(item.auc.p_value)}"
    return (
        f"{item.model}: AUC {item.model_auc:.2f} against {item.baseline_auc:.2f} of {item.baseline}, the strongest "
        f"baseline; difference {difference_in_words(item.auc.difference)}{p_value}."
    )


def _split_aucs(evidence: Json, run: Json) -> list[float]:
    """AUC of each split, NaN where its held-out rows are of one class."""
    labels = _labels(evidence)
    return [
        auc(truth, split["probabilities"]) if 0 < truth.sum() < truth.size else math.nan
        for split in run["splits"]
        for truth in [labels[split["rows"]]]
    ]


def _sizes(run: Json) -> dict[str, int]:
    split = run["splits"][0]
    return {"training_cases": split["training_rows"], "test_cases": len(split["rows"])}


def _labels(evidence: Json) -> NDArray[np.bool_]:
    return np.array(evidence["patients"]["outcome"], dtype=np.bool_)


def _enumeration(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
