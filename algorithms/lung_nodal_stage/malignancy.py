"""The probability that a node is malignant: a logistic regression on its size and uptake that a person can read.

It is fitted by maximum likelihood with an L2 penalty on what is known of each patient, the finest level that there is:
which nodes are malignant; which of the sampled stations held a metastasis; or nothing but the pathological N category. A
station is involved where any node in it is malignant, and the probability of a category follows from the nodes exactly
(``preop.staging``), so that all levels teach the same few coefficients, and cohorts may mix them. What a level needs:
nodes some dozens of either kind; stations their names as sampled and as positive; categories alone some hundreds of
patients, because a category says little of each node.

Beside it stands the clinical rule: uptake above the mediastinal blood pool, or above the liver, is malignant (the visual
scale of Barrington et al. 2014, doi 10.1200/JCO.2013.53.5229).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.staging import Edition, N, NodeShares, Side, Station, probabilities_of_nodes
from preop.tabular import LogisticModel
from preop.tabular.logistic import Term

from .lesions import Lesion

LABELS = {
    "log_short_axis": "short axis",
    "log_volume": "volume",
    "log_suv_max": "SUVmax",
    "log_suv_peak": "SUVpeak",
    "log_blood_pool_ratio": "SUVmax over blood pool",
    "log_liver_ratio": "SUVmax over liver",
}
"""Features, and what a reader calls them; all are natural logarithms, because effects on uptake and size are factors."""

MALIGNANT_FROM = 0.5
"""Probability from which a node counts as malignant where a decision is needed."""

MIN_SUV, MIN_ML = 0.1, 0.01
"""Smaller values are noise; a logarithm needs some."""

OCCULT = 0.02
"""Share of patients whose pathology no visible node explains: metastases that nothing shows, and errors of the table."""


@dataclass(frozen=True)
class Truth:
    """What is known of a patient's nodes after surgery.

    Attributes
    ----------
    nodes
        Whether each node that was found is malignant, None where nobody knows.
    stations
        Whether each sampled station held a metastasis.
    category, side, edition
        Pathological N with its edition of TNM, and the side of the primary; the category is None where unknown.
    """

    nodes: tuple[bool | None, ...]
    stations: Mapping[Station, bool] = field(default_factory=dict)
    category: N | None = None
    side: Side | None = None
    edition: Edition = Edition.NINTH


@dataclass(frozen=True)
class Example:
    """A patient to learn from: features of each node, its shares in stations, and what is known."""

    rows: tuple[Mapping[str, float], ...]
    shares: tuple[Mapping[Station, float], ...]
    truth: Truth


def features_of(lesion: Lesion) -> dict[str, float]:
    """Give what the model knows of a node; NaN where the blood pool or the liver is not in view."""
    return {
        "log_short_axis": math.log(lesion.short_axis_mm),
        "log_volume": math.log(max(lesion.volume_ml, MIN_ML)),
        "log_suv_max": math.log(max(lesion.suv_max, MIN_SUV)),
        "log_suv_peak": math.log(max(lesion.suv_peak, MIN_SUV)),
        "log_blood_pool_ratio": _log_ratio(lesion.blood_pool_ratio),
        "log_liver_ratio": _log_ratio(lesion.liver_ratio),
    }


def above(lesion: Lesion, reference: str) -> bool | None:
    """Apply the clinical rule: uptake above the ``blood_pool`` or the ``liver``; None where that is not in view."""
    ratio = lesion.blood_pool_ratio if reference == "blood_pool" else lesion.liver_ratio
    return None if ratio is None else ratio > 1


def fit(examples: Sequence[Example], *, penalty: float, folds: Sequence[Sequence[int]]) -> LogisticModel:
    """Fit the model on all patients, and recalibrate its log odds on patients left out.

    Parameters
    ----------
    penalty
        Of the squared coefficients, which are those of standardised features.
    folds
        Patients of each fold, as places in ``examples``.

    Raises
    ------
    InvalidInputError
        If no patient has a node.
    """
    if not any(example.rows for example in examples):
        raise InvalidInputError(
            f"No lymph node was found in any of {len(examples)} patients, and without nodes nothing can be learned: look at "
            "what the networks draw, or give the lesions."
        )
    scale = _Scale.of([row for example in examples for row in example.rows])
    prepared = [_Prepared.of(example, scale) for example in examples]
    weights = _fitted(prepared, penalty)
    out_of_fold: list[NDArray[np.float64]] = [np.zeros(0)] * len(prepared)
    for fold in folds:
        held_out = set(fold)
        others = _fitted([each for place, each in enumerate(prepared) if place not in held_out], penalty)
        for place in fold:
            out_of_fold[place] = prepared[place].log_odds(others)
    slope, intercept = _recalibrated(prepared, out_of_fold)
    weights = np.append(slope * weights[:-1], slope * weights[-1] + intercept)
    held_out_predictions = np.concatenate([1 / (1 + np.exp(-(slope * each + intercept))) for each in out_of_fold])
    return scale.model(weights, penalty, held_out_predictions)


def log_likelihood(probabilities: Sequence[float], example: Example) -> float:
    """Log-probability of what is known of a patient, given that of each node, by the finest level that is known."""
    truth = example.truth
    known = [(p, node) for p, node in zip(probabilities, truth.nodes, strict=True) if node is not None]
    if known or any(node is not None for node in truth.nodes):
        return sum(math.log(p if malignant else 1 - p) for p, malignant in known)
    if truth.stations:
        return sum(
            _log_of_station(station, probabilities, example.shares, positive=positive)
            for station, positive in truth.stations.items()
        )
    if truth.category is None or truth.category is N.NX:
        return 0.0
    nodes = [NodeShares(p, shares) for p, shares in zip(probabilities, example.shares, strict=True)]
    of = probabilities_of_nodes(nodes, truth.side, truth.edition).of
    return math.log((1 - OCCULT) * of.get(truth.category, 0.0) + OCCULT / len(of))


def _log_of_station(
    station: Station, probabilities: Sequence[float], shares: Sequence[Mapping[Station, float]], *, positive: bool
) -> float:
    spared = math.prod(
        1 - p * sum(share for name, share in each.items() if name.on_map == station.on_map)
        for p, each in zip(probabilities, shares, strict=True)
    )
    return math.log((1 - OCCULT) * (1 - spared if positive else spared) + OCCULT / 2)


@dataclass(frozen=True, eq=False)
class _Scale:
    """Standardisation of the features: medians for what is missing, means and deviations, and quantiles of each."""

    median: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    quantiles: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, float]]) -> _Scale:
        table = _table(rows)
        # A feature that nobody has, as the ratio to a liver that is never in view, says nothing.
        table[:, np.isnan(table).all(0)] = 0.0
        median = np.nanmedian(table, axis=0)
        filled = np.where(np.isnan(table), median, table)
        deviation = filled.std(0)
        return cls(
            median,
            filled.mean(0),
            np.where(deviation > 0, deviation, 1.0),
            np.quantile(filled, np.linspace(0, 1, 21), axis=0),
        )

    def apply(self, rows: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
        table = _table(rows)
        return np.asarray((np.where(np.isnan(table), self.median, table) - self.mean) / self.deviation)

    def model(
        self, weights: NDArray[np.float64], penalty: float, held_out_predictions: NDArray[np.float64]
    ) -> LogisticModel:
        terms = tuple(
            Term(
                name,
                float(weights[place]),
                float(self.median[place]),
                float(self.mean[place]),
                float(self.deviation[place]),
                tuple(self.quantiles[:, place].tolist()),
            )
            for place, name in enumerate(LABELS)
        )
        quantiles = tuple(np.quantile(held_out_predictions, np.linspace(0, 1, 21)).tolist())
        return LogisticModel(terms, float(weights[-1]), MALIGNANT_FROM, 1 / penalty, quantiles)


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A patient with standardised features (nodes, features)."""

    example: Example
    values: NDArray[np.float64]

    @classmethod
    def of(cls, example: Example, scale: _Scale) -> _Prepared:
        return cls(example, scale.apply(example.rows))

    def log_odds(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self.values @ weights[:-1] + weights[-1])

    def log_likelihood(self, log_odds: NDArray[np.float64]) -> float:
        # Never quite certain: the logarithm of an impossible report is no number to climb by.
        probabilities = np.clip(1 / (1 + np.exp(-np.clip(log_odds, -30, 30))), 1e-9, 1 - 1e-9)
        return log_likelihood(probabilities.tolist(), self.example)


def _fitted(prepared: Sequence[_Prepared], penalty: float) -> NDArray[np.float64]:
    """Coefficients and, last, the intercept, which is not penalised."""

    def loss(weights: NDArray[np.float64]) -> float:
        likelihood = sum(each.log_likelihood(each.log_odds(weights)) for each in prepared)
        return float(penalty / 2 * (weights[:-1] ** 2).sum() - likelihood)

    return _minimum(loss, np.zeros(len(LABELS) + 1))


def _recalibrated(prepared: Sequence[_Prepared], out_of_fold: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Slope and intercept that make the log odds of patients left out most likely (Cox 1958); the slope stays positive."""

    def loss(weights: NDArray[np.float64]) -> float:
        slope, intercept = math.exp(weights[0]), weights[1]
        return -sum(
            each.log_likelihood(slope * log_odds + intercept)
            for each, log_odds in zip(prepared, out_of_fold, strict=True)
        ) + float(weights[0] ** 2)

    logarithm, intercept = _minimum(loss, np.zeros(2)).tolist()
    return math.exp(logarithm), intercept


def _minimum(loss: Callable[[NDArray[np.float64]], float], start: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.optimize import minimize

    return np.asarray(minimize(loss, start, method="L-BFGS-B").x)


def _table(rows: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    return np.array([[row[name] for name in LABELS] for row in rows], dtype=np.float64).reshape(-1, len(LABELS))


def _log_ratio(ratio: float | None) -> float:
    return math.nan if ratio is None else math.log(max(ratio, MIN_SUV))
