"""Penalised logistic regression that can be read: every coefficient, and what each feature of a patient adds.

A fitted model is a table of numbers, kept as JSON: it cannot run code, and a statistician can check it by hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Term:
    """One feature of a fitted model.

    Attributes
    ----------
    name
        Column of the feature table.
    coefficient
        Log odds for each standard deviation.
    median, mean, standard_deviation
        Of the training cohort; the median stands in for a missing value.
    quantiles
        Training values at 0, 5, ..., 100 %.
    """

    name: str
    coefficient: float
    median: float
    mean: float
    standard_deviation: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class Contribution:
    """What one feature of a patient adds to the log odds.

    Attributes
    ----------
    name
        Feature.
    value
        The patient's value, or the training median where it is missing.
    missing
        Whether it is.
    log_odds
        What it adds: 0 for a patient at the training mean.
    training_percentile
        Share of the training cohort with a smaller value, in %.
    outside_training_range
        Whether the value lies beyond all training values.
    """

    name: str
    value: float
    missing: bool
    log_odds: float
    training_percentile: float
    outside_training_range: bool


@dataclass(frozen=True)
class LogisticModel:
    """A fitted model.

    Attributes
    ----------
    terms
        One for each feature.
    intercept
        Log odds of a patient at the training mean of all features.
    threshold
        Probability from which a patient counts as positive: Youden's index on inner out-of-fold predictions.
    penalty
        Inverse strength of the L2 penalty that was chosen.
    out_of_fold_quantiles
        Inner out-of-fold probabilities of the training cohort at 0, 5, ..., 100 %.
    """

    terms: tuple[Term, ...]
    intercept: float
    threshold: float
    penalty: float
    out_of_fold_quantiles: tuple[float, ...]

    def contributions(self, row: Mapping[str, float]) -> list[Contribution]:
        """Say what each feature of a patient adds to the log odds; NaN or an absent feature counts as missing."""
        return [_contribution(term, row.get(term.name, math.nan)) for term in self.terms]

    def probability(self, row: Mapping[str, float]) -> float:
        """Predicted probability of a patient."""
        log_odds = self.intercept + sum(part.log_odds for part in self.contributions(row))
        # Never the exponential of a large number: that would overflow.
        return 1 / (1 + math.exp(-log_odds)) if log_odds > 0 else math.exp(log_odds) / (1 + math.exp(log_odds))

    def probabilities(self, table: pd.DataFrame) -> NDArray[np.float64]:
        """Predicted probability of each row of a feature table."""
        return np.array([self.probability({str(name): row[name] for name in row.index}) for _, row in table.iterrows()])

    def training_percentile(self, probability: float) -> float:
        """Share of the training cohort with a smaller out-of-fold probability, in %."""
        return _percentile(probability, self.out_of_fold_quantiles)

    def to_dict(self) -> dict[str, Any]:
        """Give the model as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Make the model from what ``to_dict`` gave."""
        terms = tuple(Term(**{**term, "quantiles": tuple(term["quantiles"])}) for term in content["terms"])
        return cls(**{**content, "terms": terms, "out_of_fold_quantiles": tuple(content["out_of_fold_quantiles"])})


def _contribution(term: Term, value: float) -> Contribution:
    missing = math.isnan(value)
    used = term.median if missing else value
    return Contribution(
        name=term.name,
        value=used,
        missing=missing,
        log_odds=term.coefficient * (used - term.mean) / term.standard_deviation,
        training_percentile=_percentile(used, term.quantiles),
        outside_training_range=not term.quantiles[0] <= used <= term.quantiles[-1],
    )


def _percentile(value: float, quantiles: tuple[float, ...]) -> float:
    """Interpolate between stored quantiles, in %; the middle of a run of equal ones."""
    below = np.searchsorted(quantiles, value, side="left")
    above = np.searchsorted(quantiles, value, side="right")
    if below < above:
        position = float(below + above - 1) / 2
    elif below in (0, len(quantiles)):
        position = 0.0 if below == 0 else len(quantiles) - 1.0
    else:
        step = quantiles[below] - quantiles[below - 1]
        position = below - 1 + (value - quantiles[below - 1]) / step
    return float(100 * position / (len(quantiles) - 1))
