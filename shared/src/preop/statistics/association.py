"""How variables go with a yes-or-no outcome: tests, and logistic regression with odds ratios.

References
----------
Firth D. Bias reduction of maximum likelihood estimates. Biometrika 1993;80:27-38.
Heinze G, Schemper M. A solution to the problem of separation in logistic regression. Stat Med 2002;21:2409-19.
Venzon DJ, Moolgavkar SH. A method for computing profile-likelihood-based confidence intervals. Appl Stat 1988;37:87-94.
Peduzzi P, et al. A simulation study of the number of events per variable in logistic regression analysis.
J Clin Epidemiol 1996;49:1373-9.
Cochran WG. Some methods for strengthening the common chi-square tests. Biometrics 1954;10:417-51.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError
from preop.statistics.checks import as_labels, as_names, as_numbers, as_scores, by_class
from preop.statistics.discrimination import auc_delong
from preop.statistics.intervals import Estimate

# Below this many events a coefficient, maximum likelihood is biased and may not exist (Peduzzi 1996).
EVENTS_A_COEFFICIENT = 10
# Below this expected count the chi-square distribution is no good approximation (Cochran 1954).
MIN_EXPECTED_COUNT = 5
# Fitted log odds beyond this mean that the classes separate: maximum likelihood has no solution.
_DIVERGED = 15.0
# Tables with the same margins that Fisher's test lists (about a second); beyond, tables are drawn.
MAX_TABLES = 2_000_000
PERMUTATIONS = 9_999
_EQUALLY_PROBABLE = 1e-7
_ITERATIONS = 200
_CONVERGED, _NO_GAIN = 1e-9, 1e-12
_FIRST_STEP = (0.1, 10.0)
"""Least and most of a scaled coefficient, on the way to an end of its interval."""
_SAME_DEVIANCE = 1e-4


@dataclass(frozen=True)
class RankTest:
    """Comparison of a variable between those with and without the outcome.

    Attributes
    ----------
    auc
        Probability that one with the outcome has the larger value, with DeLong's interval.
    p_value
        Of the Mann-Whitney test, two-sided.
    """

    auc: Estimate
    p_value: float


@dataclass(frozen=True)
class TableTest:
    """Association of categories with the outcome.

    Attributes
    ----------
    test
        Pearson's chi-square test, or Fisher's exact test where an expected count is below five; "chi-square by
        permutation" where small counts come with more tables than can be listed.
    p_value
        Two-sided.
    """

    test: Literal["chi-square", "Fisher", "chi-square by permutation"]
    p_value: float


@dataclass(frozen=True)
class OddsRatio:
    """One coefficient of a logistic regression.

    Attributes
    ----------
    name
        Of the variable.
    odds_ratio
        For one unit more, with its profile likelihood interval.
    p_value
        Of the likelihood ratio test.
    """

    name: str
    odds_ratio: Estimate
    p_value: float


@dataclass(frozen=True)
class LogisticRegression:
    """A logistic regression.

    Attributes
    ----------
    variables
        In the order they were given.
    intercept
        Log odds where all variables are 0.
    firth
        Whether Firth's correction was used.
    cases, events
        How many the regression rests on.
    """

    variables: tuple[OddsRatio, ...]
    intercept: float
    firth: bool
    cases: int
    events: int


def mann_whitney(labels: ArrayLike, values: ArrayLike) -> RankTest:
    """Compare a variable between classes by ranks; exact for few cases without ties.

    Raises
    ------
    InvalidInputError
        If only one class is present, or the arrays do not fit.
    """
    from scipy.stats import mannwhitneyu

    truth = as_labels(labels)
    numbers = as_scores(values, truth)
    positives, negatives = by_class(truth, numbers)
    return RankTest(auc_delong(truth, numbers), float(mannwhitneyu(positives, negatives).pvalue))


def table_test(labels: ArrayLike, categories: Sequence[str]) -> TableTest:
    """Test whether categories (n,) go with the outcome (n,): chi-square, or Fisher's exact test where counts are small.

    Tables with more than two categories have an exact test too (Freeman & Halton 1951): all tables with the same
    margins are listed. Where there are more than ``MAX_TABLES`` of them, Pearson's statistic is compared with those of
    ``PERMUTATIONS`` tables drawn with the same margins from a fixed seed, and the test is called so.

    Raises
    ------
    InvalidInputError
        If only one class or one category is present, or the two differ in number.
    """
    from scipy.stats import PermutationMethod, chi2_contingency, fisher_exact
    from scipy.stats.contingency import crosstab, expected_freq

    truth = as_labels(labels)
    if len(categories) != truth.size:
        raise InvalidInputError(
            f"There are {len(categories)} categories for {truth.size} labels; expected one for each."
        )
    by_class(truth, truth)
    counts = crosstab(as_names(categories, "categories"), truth).count
    if len(counts) < 2:
        raise InvalidInputError(f"All cases are {categories[0]!r}; expected at least two categories.")
    if expected_freq(counts).min() < MIN_EXPECTED_COUNT:
        if len(counts) == 2:
            return TableTest("Fisher", float(fisher_exact(counts).pvalue))
        if _number_of_tables(counts) <= MAX_TABLES:
            return TableTest("Fisher", _exact_p_value(counts))
        drawn = PermutationMethod(n_resamples=PERMUTATIONS, rng=np.random.default_rng(0))
        p_value = chi2_contingency(counts, correction=False, method=drawn).pvalue
        return TableTest("chi-square by permutation", float(p_value))
    return TableTest("chi-square", float(chi2_contingency(counts, correction=False).pvalue))


def _number_of_tables(counts: NDArray[np.int64]) -> int:
    """Number of tables (k, 2) with the margins of ``counts``."""
    ways = np.ones(1, dtype=object)  # of whole numbers without a bound
    for size in counts.sum(axis=1):
        ways = np.convolve(ways, np.ones(size + 1, dtype=object))
    return int(ways[counts[:, 0].sum()])


def _exact_p_value(counts: NDArray[np.int64]) -> float:
    """Share of tables (k, 2) with the margins of ``counts`` that are no more probable than it (Freeman & Halton 1951)."""
    from scipy.special import gammaln

    def log_ways(size: int) -> NDArray[np.float64]:
        chosen = np.arange(size + 1)
        return np.asarray(gammaln(size + 1) - gammaln(chosen + 1) - gammaln(size - chosen + 1))

    sizes, chosen = counts.sum(axis=1), int(counts[:, 0].sum())
    reached, log_weight = np.zeros(1, dtype=np.int64), np.zeros(1)
    still_to_come = int(sizes.sum())
    for size in sizes:
        still_to_come -= int(size)
        reached = np.add.outer(reached, np.arange(size + 1)).ravel()
        log_weight = np.add.outer(log_weight, log_ways(int(size))).ravel()
        possible = (reached <= chosen) & (reached + still_to_come >= chosen)
        reached, log_weight = reached[possible], log_weight[possible]
    own = sum(log_ways(int(size))[positive] for size, positive in zip(sizes, counts[:, 0], strict=True))
    weights = np.exp(log_weight - log_weight.max())
    # Tables of equal probability differ by rounding.
    return min(float(weights[log_weight <= own + _EQUALLY_PROBABLE].sum() / weights.sum()), 1.0)


def adjust_p_values(p_values: ArrayLike, *, method: Literal["holm", "benjamini-hochberg"]) -> NDArray[np.float64]:
    """Adjust p-values for their number: Holm's for the chance of any error, Benjamini and Hochberg's for their share.

    Raises
    ------
    InvalidInputError
        If any is not a number between 0 and 1: a test that was not done must not count among those that were.
    """
    from statsmodels.stats.multitest import multipletests

    values = as_numbers(p_values, "p-values")
    if not ((values >= 0) & (values <= 1)).all():
        raise InvalidInputError(f"The p-values are {values.tolist()}; expected numbers between 0 and 1.")
    names = {"holm": "holm", "benjamini-hochberg": "fdr_bh"}
    return np.asarray(multipletests(values, method=names[method])[1])


def logistic_regression(
    labels: ArrayLike,
    values: ArrayLike,
    names: Sequence[str],
    *,
    firth: bool | None = None,
    confidence: float = 0.95,
) -> LogisticRegression:
    """Logistic regression of an outcome (n,) on variables (n, v).

    Parameters
    ----------
    names
        Of the variables, (v,).
    firth
        Whether to use Firth's correction: a penalty by Jeffreys' prior, which takes the bias of few events away and has
        a solution where the classes separate. Left open, it is used where there are fewer than ten events (or ten cases
        without) a coefficient, or where the classes separate.
    confidence
        Of the profile likelihood intervals (Venzon 1988; Heinze 2002 for the penalised one).

    Raises
    ------
    InvalidInputError
        If the arrays do not fit, hold anything but finite numbers, a variable has one value only or is a combination of
        the others, or only one class is present.
    """
    truth = as_labels(labels)
    design = as_numbers(values, "variables")
    if design.shape != (truth.size, len(names)) or not np.isfinite(design).all():
        raise InvalidInputError(
            f"The variables have shape {design.shape}; expected finite numbers for {truth.size} cases and "
            f"{len(names)} names."
        )
    by_class(truth, truth)
    centre, spread = design.mean(axis=0), design.std(axis=0)
    if (spread == 0).any():
        raise InvalidInputError(f"{names[int(np.argmin(spread))]} has the same value in all cases; leave it out.")
    scaled = np.column_stack([np.ones(truth.size), (design - centre) / spread])
    if np.linalg.matrix_rank(scaled) < scaled.shape[1]:
        raise InvalidInputError(f"Among {', '.join(names)} one is a combination of the others; leave one out.")

    rarest = int(min(truth.sum(), (~truth).sum()))
    sparse = rarest < EVENTS_A_COEFFICIENT * len(names)
    likelihood = _Likelihood(scaled, truth.astype(np.float64), firth=sparse if firth is None else firth)
    best = likelihood.maximise()
    if firth is None and not likelihood.firth and likelihood.diverged(best):
        likelihood = _Likelihood(scaled, likelihood.outcome, firth=True)
        best = likelihood.maximise()
    return LogisticRegression(
        variables=tuple(
            _odds_ratio(likelihood, best, column, name=name, spread=float(spread[column - 1]), confidence=confidence)
            for column, name in enumerate(names, start=1)
        ),
        intercept=float(best[0] - (best[1:] / spread) @ centre),
        firth=likelihood.firth,
        cases=truth.size,
        events=int(truth.sum()),
    )


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """Log likelihood of a logistic regression on a design (n, p), with Firth's penalty if wanted."""

    design: NDArray[np.float64]
    outcome: NDArray[np.float64]
    firth: bool

    def value(self, coefficients: NDArray[np.float64]) -> float:
        return self._at(coefficients)[0]

    def _at(self, coefficients: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Log likelihood, the probability of each case (n,), and the information (p, p)."""
        from scipy.special import expit

        linear = self.design @ coefficients
        probabilities = expit(linear)
        information = (self.design.T * (probabilities * (1 - probabilities))) @ self.design
        value = float(self.outcome @ linear - np.logaddexp(0, linear).sum())
        if self.firth:
            value += 0.5 * float(np.linalg.slogdet(information)[1])
        return value, probabilities, information

    def diverged(self, coefficients: NDArray[np.float64]) -> bool:
        """Whether a case is fitted with certainty."""
        return bool(np.abs(self.design @ coefficients).max() > _DIVERGED)

    def maximise(self, start: NDArray[np.float64] | None = None, *, held: int | None = None) -> NDArray[np.float64]:
        """Newton's method with halved steps, from zero or from other coefficients (p,), of which one may be held.

        The penalty counts all coefficients, held or not (Heinze 2002). With one held, what is asked for is the likelihood
        and not where it is reached: steps end where they would gain nothing.
        """
        columns = self.design.shape[1]
        coefficients = np.zeros(columns) if start is None else start
        free = np.arange(columns) if held is None else np.delete(np.arange(columns), held)
        value, probabilities, information = self._at(coefficients)
        for _ in range(_ITERATIONS):
            residual = self.outcome - probabilities
            if self.firth:
                weights = probabilities * (1 - probabilities)
                leverage = weights * (_solved(information, self.design.T).T * self.design).sum(axis=1)
                residual = residual + leverage * (0.5 - probabilities)
            score = (self.design.T @ residual)[free]
            step = np.zeros(columns)
            step[free] = _solved(information[free][:, free], score)
            length = min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-300))
            while (reached := self._at(coefficients + length * step))[0] < value and length > 1e-8:
                length /= 2
            coefficients = coefficients + length * step
            value, probabilities, information = reached
            if np.abs(score).max() < _CONVERGED or np.abs(length * step).max() < _CONVERGED:
                break
            if held is not None and abs(score @ step[free]) < _NO_GAIN:
                break
            if not self.firth and np.abs(self.design @ coefficients).max() > 3 * _DIVERGED:
                break
        return coefficients

    def standard_error(self, coefficients: NDArray[np.float64], column: int) -> float:
        """Of a coefficient, by the curvature of the likelihood without penalty."""
        _, _, information = self._at(coefficients)
        unit = np.eye(len(information))[column]
        return math.sqrt(max(float(_solved(information, unit)[column]), 0.0))


def _solved(information: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Solution of the normal equations; the shortest one where a case that is fitted with certainty leaves several."""
    try:
        return np.asarray(np.linalg.solve(information, right))
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(information, right, rcond=None)[0])


def _odds_ratio(
    likelihood: _Likelihood, best: NDArray[np.float64], column: int, *, name: str, spread: float, confidence: float
) -> OddsRatio:
    """Coefficient of a scaled variable as odds ratio for one unit of it."""
    from scipy.stats import chi2

    profile = _Profile(likelihood, best, column)
    p_value = float(chi2.sf(max(profile.deviance(0.0), 0.0), 1))
    if not likelihood.firth and likelihood.diverged(best):
        return OddsRatio(name, Estimate.without_interval(np.nan), p_value)
    limit = float(chi2.ppf(confidence, 1))
    lower, upper = (profile.crossing(limit, side) for side in (-1, 1))
    with np.errstate(over="ignore"):
        value, least, greatest = np.exp(np.array([best[column], lower, upper]) / spread).tolist()
    return OddsRatio(name, Estimate(value, least, greatest, confidence), p_value)


@dataclass(frozen=True, eq=False)
class _Profile:
    """Likelihood along one coefficient, the others free, beside the most that there is (``best``)."""

    likelihood: _Likelihood
    best: NDArray[np.float64]
    column: int

    def deviance(self, coefficient: float) -> float:
        """Twice what the log likelihood loses; a penalised one may have several tops, and is climbed from two sides."""
        return min(self._lost(coefficient, start)[0] for start in (self.best, np.zeros_like(self.best)))

    def crossing(self, limit: float, side: int) -> float:
        """Where the deviance rises to a limit on one side of the estimate; infinite where it never does."""
        near = self.best

        def nearby(coefficient: float) -> float:
            nonlocal near  # the others change little between neighbouring values
            deviance, near = self._lost(coefficient, near)
            return deviance

        found = self._crossing(nearby, limit, side)
        higher = math.isfinite(found) and self.likelihood.firth and self.deviance(found) < limit - _SAME_DEVIANCE
        return self._crossing(self.deviance, limit, side) if higher else found

    def _crossing(self, deviance: Callable[[float], float], limit: float, side: int) -> float:
        from scipy.optimize import brentq

        @cache
        def above(coefficient: float) -> float:
            """Nearly straight, so that few steps find where it is zero."""
            if coefficient == start:  # whatever top a fit from far away ends on
                return -math.sqrt(limit)
            return math.sqrt(max(deviance(coefficient), 0.0)) - math.sqrt(limit)

        start = float(self.best[self.column])
        error = self.likelihood.standard_error(self.best, self.column)
        step = side * float(np.clip(error * math.sqrt(limit), *_FIRST_STEP))
        inside, outside = start, start + step
        while above(outside) < 0:
            step *= 2
            inside, outside = outside, start + step
            if abs(step) > 100 * _DIVERGED:
                return side * math.inf
        return float(brentq(above, inside, outside, xtol=1e-6))

    def _lost(self, coefficient: float, start: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Deviance with the coefficient held, and the others that it was reached with."""
        start = start.copy()
        start[self.column] = coefficient
        reached = self.likelihood.maximise(start, held=self.column)
        return 2 * (self.likelihood.value(self.best) - self.likelihood.value(reached)), reached
