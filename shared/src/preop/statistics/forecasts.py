"""Predicted distributions of a count against what was counted.

A distribution is the probability of 0, 1, 2, ..., the last of them that of as many or more.

References
----------
Epstein ES. A scoring system for probability forecasts of ranked categories. J Appl Meteorol 1969;8:985-7.
Czado C, Gneiting T, Held L. Predictive model assessment for count data. Biometrics 2009;65:1254-61.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError
from preop.statistics.checks import as_numbers
from preop.statistics.intervals import Estimate, mean_estimate, wilson

# Probabilities of float32, or rounded to four places, do not add up to exactly 1.
_ROUNDING = 0.01


@dataclass(frozen=True)
class CountPoint:
    """One group of similar expectations.

    Attributes
    ----------
    expected
        Mean of the expected counts.
    observed
        Mean of the counts, with Student's t interval.
    cases
        Number of cases.
    """

    expected: float
    observed: Estimate
    cases: int


@dataclass(frozen=True)
class Coverage:
    """How often intervals hold what was counted.

    Attributes
    ----------
    observed
        Share of the intervals, with Wilson's interval.
    promised
        Probability that the intervals hold by the distributions themselves: counts are whole, so it is above the nominal
        one.
    """

    observed: Estimate
    promised: float


def count_calibration(counts: ArrayLike, expected: ArrayLike, *, groups: int = 10) -> list[CountPoint]:
    """Counted against expected, in groups of about equal size from the lowest to the highest expectation.

    Equal expectations stay together, so there may be fewer groups than asked for.

    Raises
    ------
    InvalidInputError
        If the arrays do not fit, or fewer than one group is asked for.
    """
    found, predicted = as_numbers(counts, "counts"), as_numbers(expected, "expected counts")
    if groups < 1 or found.shape != predicted.shape or found.ndim != 1 or not found.size:
        raise InvalidInputError(
            f"A calibration of {found.size} counts by {predicted.size} expectations in {groups} groups was asked for; "
            "expected one expectation for each count, and at least one group."
        )
    inner_edges = np.unique(np.quantile(predicted, np.arange(1, groups) / groups))
    group_of_case = np.searchsorted(inner_edges, predicted, side="left")
    return [
        CountPoint(float(predicted[inside].mean()), mean_estimate(found[inside]), int(inside.sum()))
        for inside in (group_of_case == group for group in np.unique(group_of_case))
    ]


def ranked_probability_scores(counts: ArrayLike, distributions: ArrayLike) -> NDArray[np.float64]:
    """Sum of squared differences of predicted and true cumulative distribution (Epstein 1969; Czado 2009, section 3.2).

    Parameters
    ----------
    counts
        Whole numbers (n,).
    distributions
        Probability of 0, 1, 2, ..., the last of as many or more, (n, m).

    Returns
    -------
    One a case (n,): 0 is perfect; a prediction of one number for certain scores its distance.

    Raises
    ------
    InvalidInputError
        If the arrays do not fit, or a row is no distribution.
    """
    found, cumulative = _checked(counts, distributions)
    below = np.arange(cumulative.shape[1]) >= found[:, None]
    return np.asarray(((cumulative - below) ** 2).sum(axis=1))


def distribution_of_the_others(counts: ArrayLike, most: int) -> NDArray[np.float64]:
    """For each case, the share of 0, 1, 2, ..., ``most`` or more among all other cases: (n, most + 1).

    What one would predict who knows nothing but the cohort.

    Raises
    ------
    InvalidInputError
        If there are fewer than two cases.
    """
    found = np.minimum(np.asarray(counts, dtype=np.intp), most)
    if found.ndim != 1 or found.size < 2:
        raise InvalidInputError(f"There are {found.size} counts; expected at least two, for each to have others.")
    own = found[:, None] == np.arange(most + 1)
    return np.asarray((own.sum(axis=0) - own) / (found.size - 1))


def central_coverage(counts: ArrayLike, distributions: ArrayLike, probability: float = 0.9) -> Coverage:
    """Tell how often counts lie in the central interval of their distribution, from quantile to quantile.

    Parameters
    ----------
    counts, distributions
        As for :func:`ranked_probability_scores`.
    probability
        At least what the interval holds by the distribution: 0.9 for that from the 5 % to the 95 % quantile.

    Raises
    ------
    InvalidInputError
        As :func:`ranked_probability_scores`.
    """
    found, cumulative = _checked(counts, distributions)
    tail = (1 - probability) / 2
    lower = (cumulative >= tail).argmax(axis=1)
    upper = (cumulative >= 1 - tail).argmax(axis=1)
    rows = np.arange(found.size)
    below = np.where(lower > 0, cumulative[rows, lower - 1], 0.0)
    held = (lower <= found) & (found <= upper)
    return Coverage(wilson(int(held.sum()), held.size), float((cumulative[rows, upper] - below).mean()))


def _checked(counts: ArrayLike, distributions: ArrayLike) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Counts, none above the last column; and cumulative distributions that end at 1."""
    found, shares = np.asarray(counts), as_numbers(distributions, "distributions")
    if found.ndim != 1 or shares.ndim != 2 or found.shape[0] != shares.shape[0] or not shares.size:
        raise InvalidInputError(
            f"There are counts of shape {found.shape} and distributions of shape {shares.shape}; expected one row for each."
        )
    if (found < 0).any() or (found != np.round(found)).any():
        raise InvalidInputError(f"The counts hold {found.min():g}; expected whole numbers from 0.")
    sums = shares.sum(axis=1)
    if not (shares >= 0).all() or not (np.abs(sums - 1) <= _ROUNDING).all():
        raise InvalidInputError(
            "A distribution holds a negative number or does not add up to 1; expected probabilities."
        )
    cumulative = np.cumsum(shares / sums[:, None], axis=1)
    cumulative[:, -1] = 1.0
    return np.minimum(found.astype(np.intp), shares.shape[1] - 1), cumulative
