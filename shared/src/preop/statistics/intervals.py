"""Estimates with their confidence intervals.

References
----------
Wilson EB. Probable inference, the law of succession, and statistical inference. J Am Stat Assoc 1927;22:209-12.
Nadeau C, Bengio Y. Inference for the generalization error. Machine Learning 2003;52:239-81.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from preop.errors import InvalidInputError
from preop.statistics.checks import as_names, as_numbers

# An interval narrower than this is rounding: scores of splits are fractions of patients.
_NO_WIDTH = 1e-12
# Patients of a few resamples, so that their number does not decide on the memory.
_DRAWN_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Estimate:
    """A number with its confidence interval.

    Attributes
    ----------
    value
        The number itself.
    lower, upper
        Ends of the interval; NaN where the data do not determine one.
    confidence
        Its nominal coverage.
    """

    value: float
    lower: float
    upper: float
    confidence: float = 0.95

    @classmethod
    def without_interval(cls, value: float) -> Estimate:
        """Make an estimate whose interval is not determined."""
        return cls(value, math.nan, math.nan)

    def within(self, lowest: float, highest: float) -> Estimate:
        """Cut a symmetric interval where the scale of the number ends."""
        lower, upper = np.clip([self.lower, self.upper], lowest, highest).tolist()
        return Estimate(self.value, lower, upper, self.confidence)

    def as_dict(self) -> dict[str, float | None]:
        """Value, lower and upper for a JSON file, with null for what is not determined."""
        numbers = {"value": self.value, "lower": self.lower, "upper": self.upper}
        return {name: number if math.isfinite(number) else None for name, number in numbers.items()}


@dataclass(frozen=True)
class PairedComparison:
    """Difference of two scores on the same splits, or the same cases.

    Attributes
    ----------
    difference
        First less second, with its interval.
    p_value
        Two-sided, of no difference; NaN where the data do not determine one, as where all splits differ alike.
    """

    difference: Estimate
    p_value: float


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Estimate:
    """Proportion with its score interval (Wilson 1927).

    Raises
    ------
    InvalidInputError
        If there are no trials, or fewer trials than successes.
    """
    from scipy.stats import binomtest

    if not 0 <= successes <= trials or trials == 0:
        raise InvalidInputError(f"A proportion of {successes} in {trials} is not defined; expected some trials.")
    interval = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    return Estimate(successes / trials, float(interval.low), float(interval.high), confidence)


def mean_estimate(values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Mean of independent values (n,) with Student's t interval, NaN where there is one value, or all are alike.

    Raises
    ------
    InvalidInputError
        If there are no values, or any is not finite.
    """
    from scipy.stats import t

    array = as_numbers(values, "values")
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise InvalidInputError(f"The values are {array.tolist()}; expected a list of at least one finite number.")
    mean = float(array.mean())
    if array.size < 2 or np.ptp(array) <= _NO_WIDTH:
        return Estimate.without_interval(mean)
    half_width = float(t.ppf((1 + confidence) / 2, array.size - 1) * array.std(ddof=1) / math.sqrt(array.size))
    return Estimate(mean, mean - half_width, mean + half_width, confidence)


def mean_bootstrap(
    values: ArrayLike, patients: Sequence[str], *, seed: int, repeats: int = 2000, confidence: float = 0.95
) -> Estimate:
    """Mean of values that come several to a patient, with an interval from resampled patients.

    Parameters
    ----------
    values
        Of each case (n,).
    patients
        Whom each case belongs to (n,).
    seed, repeats
        Of the bootstrap.

    Returns
    -------
    The interval is NaN where there is one patient, or all values are alike.

    Raises
    ------
    InvalidInputError
        If there are no values, any is not finite, or the patients differ in number.
    """
    array = as_numbers(values, "values")
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all() or len(patients) != array.size:
        raise InvalidInputError(
            f"There are {array.size} values of {len(patients)} patients; expected finite numbers, and a patient for each."
        )
    _, owner = np.unique(as_names(patients, "patients"), return_inverse=True)
    sums, sizes = np.bincount(owner, weights=array), np.bincount(owner)
    if sizes.size < 2 or np.ptp(array) <= _NO_WIDTH:
        return Estimate.without_interval(float(array.mean()))
    random, means = np.random.default_rng(seed), np.empty(repeats)
    rows = max(1, _DRAWN_AT_ONCE // sizes.size)
    for start in range(0, repeats, rows):
        drawn = random.integers(sizes.size, size=(min(rows, repeats - start), sizes.size))
        means[start : start + rows] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    lower, upper = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(array.mean()), float(lower), float(upper), confidence)


def corrected_resampled_t(
    scores: ArrayLike, *, training_cases: int, test_cases: int, confidence: float = 0.95
) -> Estimate:
    """Mean score of repeated random splits with the corrected resampled t interval (Nadeau & Bengio 2003).

    The splits share patients, so their scores vary less than independent ones would: the variance of the mean is
    taken as ``(1 / splits + test_cases / training_cases)`` times the variance of the scores.

    Parameters
    ----------
    scores
        One score a split, (splits,).
    training_cases, test_cases
        Number of cases on either side of each split.
    confidence
        Nominal coverage.

    Returns
    -------
    The interval is symmetric: :meth:`Estimate.within` cuts it where the scale of the score ends. It is NaN where all
    splits score alike, which says nothing of other patients.

    Raises
    ------
    InvalidInputError
        If there are fewer than two scores, any is not finite, or either side of a split is empty.
    """
    from scipy.stats import t

    values = as_numbers(scores, "scores of the splits")
    if values.ndim != 1 or values.size < 2 or not np.isfinite(values).all():
        raise InvalidInputError(f"The splits' scores are {values.tolist()}; expected at least two finite numbers.")
    if training_cases < 1 or test_cases < 1:
        raise InvalidInputError(f"A split has {training_cases} training and {test_cases} test cases; expected some.")
    variance_of_mean = (1 / values.size + test_cases / training_cases) * values.var(ddof=1)
    half_width = float(t.ppf((1 + confidence) / 2, values.size - 1) * math.sqrt(variance_of_mean))
    mean = float(values.mean())
    if half_width <= _NO_WIDTH:
        return Estimate.without_interval(mean)
    return Estimate(mean, mean - half_width, mean + half_width, confidence)


def compare_resampled(
    first: ArrayLike, second: ArrayLike, *, training_cases: int, test_cases: int, confidence: float = 0.95
) -> PairedComparison:
    """Compare two scores on the same random splits by the corrected resampled t test (Nadeau & Bengio 2003).

    Parameters
    ----------
    first, second
        One score a split, (splits,) each, in the same order of splits.
    training_cases, test_cases, confidence
        As in :func:`corrected_resampled_t`.

    Raises
    ------
    InvalidInputError
        As :func:`corrected_resampled_t`, or if the two differ in number.
    """
    from scipy.stats import t

    scores, others = as_numbers(first, "first scores"), as_numbers(second, "second scores")
    if scores.shape != others.shape:
        raise InvalidInputError(f"There are {scores.size} and {others.size} scores; expected the same splits for both.")
    difference = corrected_resampled_t(
        scores - others, training_cases=training_cases, test_cases=test_cases, confidence=confidence
    )
    half_width = difference.upper - difference.value
    if math.isnan(half_width):
        return PairedComparison(difference, math.nan)
    statistic = abs(difference.value) / half_width * float(t.ppf((1 + confidence) / 2, scores.size - 1))
    return PairedComparison(difference, float(2 * t.sf(statistic, scores.size - 1)))
