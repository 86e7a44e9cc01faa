"""Two readers of the same cases: whether one is right more often than the other, or nearer to the truth.

References
----------
Fisher RA. The design of experiments. Oliver & Boyd 1935, section 21 (the test that turns differences round).
McNemar Q. Note on the sampling error of the difference between correlated proportions or percentages.
Psychometrika 1947;12:153-7.
Newcombe RG. Improved confidence intervals for the difference between binomial proportions based on paired data.
Stat Med 1998;17:2635-50.
Phipson B, Smyth GK. Permutation p-values should never be zero. Stat Appl Genet Mol Biol 2010;9:39.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError
from preop.statistics.checks import as_labels, as_numbers
from preop.statistics.intervals import Estimate, PairedComparison, mean_bootstrap, mean_estimate, wilson

# Up to as many patients, all ways of turning their differences round are gone through.
_MOST_FOR_ALL = 12
_SIGNS_AT_ONCE = 4_000_000
# Sums of the same numbers in another order differ by rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class PairedProportions:
    """Shares of the same cases.

    Attributes
    ----------
    difference
        First share less the second, with its interval.
    p_value
        Two-sided, of no difference: McNemar's exact test.
    only_first, only_second
        Cases that the one had and the other had not: all that the test rests on.
    """

    difference: Estimate
    p_value: float
    only_first: int
    only_second: int


def compare_proportions(first: ArrayLike, second: ArrayLike) -> PairedProportions:
    """Compare how often two readers have something, such as the right answer, on the same cases (n,).

    The interval is Newcombe's of 1998 (his method 10), from Wilson's of both shares and their correlation.

    Raises
    ------
    InvalidInputError
        If there is no case, or the two differ in number.
    """
    from statsmodels.stats.contingency_tables import mcnemar

    one, other = as_labels(first), as_labels(second)
    if one.shape != other.shape:
        raise InvalidInputError(f"There are {one.size} and {other.size} cases; expected the same for both.")
    both, only_first = int((one & other).sum()), int((one & ~other).sum())
    only_second, neither = int((~one & other).sum()), int((~one & ~other).sum())
    p_value = float(mcnemar([[both, only_first], [only_second, neither]], exact=True).pvalue)
    return PairedProportions(_newcombe(both, only_first, only_second, neither), p_value, only_first, only_second)


def compare_means(
    first: ArrayLike, second: ArrayLike, *, owners: NDArray[np.intp] | None = None, seed: int, repeats: int
) -> PairedComparison:
    """Compare a score of each case, such as its absolute error, of two readers of the same cases (n,).

    The p-value is that of the test that turns differences round by patient: if both readers err alike, each patient's difference
    could as well have had the other sign. So its error is what it says at any number of patients. All ways are gone through
    where there are at most 12 patients who differ, else ``repeats`` are drawn.

    Parameters
    ----------
    owners
        Number of the patient of each case (n,), where several are of one; None where each is a patient of its own.
    seed, repeats
        Of the draws.

    Returns
    -------
    Mean of the first less that of the second, with Student's t interval, or one from resampled patients. The p-value is 1
    where no case differs.

    Raises
    ------
    InvalidInputError
        If there is no case, a score is not finite, or the two differ in number.
    """
    one, other = as_numbers(first, "scores of the first"), as_numbers(second, "scores of the second")
    if one.ndim != 1 or one.shape != other.shape or not one.size:
        raise InvalidInputError(
            f"There are scores of {one.size} and {other.size} cases; expected the same for both, at least one."
        )
    differences = one - other
    if owners is None:
        return PairedComparison(mean_estimate(differences), _turned_round(differences, seed, repeats))
    return PairedComparison(
        mean_bootstrap(differences, owners.astype(np.str_).tolist(), seed=seed, repeats=repeats),
        _turned_round(np.bincount(owners, weights=differences), seed, repeats),
    )


def _turned_round(differences: NDArray[np.float64], seed: int, repeats: int) -> float:
    """Share of the ways to turn differences round whose sum is as far from 0 as theirs."""
    unlike = differences[np.abs(differences) > _ROUNDING * np.abs(differences).max(initial=0.0)]
    reached = abs(float(unlike.sum())) * (1 - _ROUNDING)
    if unlike.size <= _MOST_FOR_ALL:
        turned = np.arange(2**unlike.size)[:, None] >> np.arange(unlike.size) & 1
        return float((np.abs((1 - 2 * turned) @ unlike) >= reached).mean())
    random, as_far = np.random.default_rng(seed), 0
    at_once = max(1, _SIGNS_AT_ONCE // unlike.size)
    for start in range(0, repeats, at_once):
        turned = random.integers(2, size=(min(at_once, repeats - start), unlike.size), dtype=np.int8)
        as_far += int((np.abs((1 - 2 * turned) @ unlike) >= reached).sum())
    return (as_far + 1) / (repeats + 1)


def _newcombe(both: int, only_first: int, only_second: int, neither: int) -> Estimate:
    cases = both + only_first + only_second + neither
    one, other = wilson(both + only_first, cases), wilson(both + only_second, cases)
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    excess = both * neither - only_first * only_second
    # A continuity correction where the two agree more than by chance, as Newcombe has it.
    correlation = 0.0
    if margins:
        correlation = (max(excess - cases / 2, 0.0) if excess > 0 else excess) / math.sqrt(margins)
    difference = one.value - other.value

    def width(down: float, up: float) -> float:
        return float(np.sqrt(max(down**2 - 2 * correlation * down * up + up**2, 0.0)))

    return Estimate(
        difference,
        difference - width(one.value - one.lower, other.upper - other.value),
        difference + width(one.upper - one.value, other.value - other.lower),
    )
