"""Intervals from resampled cases or patients, many figures in one pass and in bounded memory.

References
----------
Efron B, Tibshirani RJ. An introduction to the bootstrap. Chapman & Hall 1993, chapter 13 (percentile intervals).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.statistics.checks import as_names
from preop.statistics.intervals import Estimate

Floats = NDArray[np.float64]

REPEATS = 2000
"""Resamples of an interval."""
# Weights that are held at once, of all cases of a few resamples: 16 MB, whatever the number of cases.
_WEIGHTS_AT_ONCE = 2_000_000
# An interval from fewer resamples in which the figure is defined says nothing of its ends.
_FEWEST_DEFINED = 0.8


def owners_of(patients: Sequence[str] | None, cases: int) -> NDArray[np.intp] | None:
    """Number whom each case belongs to (n,); None where each case is a patient of its own.

    Raises
    ------
    InvalidInputError
        If the patients differ in number from the cases, or one has no name.
    """
    if patients is None:
        return None
    if len(patients) != cases:
        raise InvalidInputError(f"There are {len(patients)} patients for {cases} cases; expected one for each.")
    names, owner = np.unique(as_names(patients, "patients"), return_inverse=True)
    return None if names.size == cases else np.asarray(owner, dtype=np.intp)


def resampled_weights(
    cases: int, *, seed: int, repeats: int = REPEATS, owners: NDArray[np.intp] | None = None
) -> Iterator[Floats]:
    """Draw with replacement: how often each case is in each resample, (rows, n), a few rows at a time.

    Parameters
    ----------
    owners
        Number of the patient of each case (n,): then patients are drawn, each with all of their cases.
    """
    random = np.random.default_rng(seed)
    drawn = cases if owners is None else int(owners.max()) + 1
    at_once = max(1, _WEIGHTS_AT_ONCE // max(cases, 1))
    for start in range(0, repeats, at_once):
        rows = min(at_once, repeats - start)
        chosen = random.integers(drawn, size=(rows, drawn), dtype=np.int32 if drawn < 2**31 else np.int64)
        places = chosen + np.arange(rows)[:, None] * drawn
        weights = np.bincount(places.ravel(), minlength=rows * drawn).reshape(rows, drawn).astype(np.float64)
        yield weights if owners is None else weights[:, owners]


def bootstrap(
    statistic: Callable[[Floats], Floats],
    cases: int,
    *,
    seed: int,
    repeats: int = REPEATS,
    owners: NDArray[np.intp] | None = None,
) -> Floats:
    """Compute figures on resampled cases.

    Parameters
    ----------
    statistic
        Takes weights of the cases (rows, n) and gives figures (rows, m), NaN where one is not defined.
    seed, repeats, owners
        As in :func:`resampled_weights`.

    Returns
    -------
    Figures of each resample (repeats, m).
    """
    drawn = resampled_weights(cases, seed=seed, repeats=repeats, owners=owners)
    return np.concatenate([statistic(weights) for weights in drawn])


def percentile_interval(value: float, draws: Floats, confidence: float = 0.95) -> Estimate:
    """Set the percentiles of resampled figures (repeats,) around a figure.

    Returns
    -------
    The interval is NaN where all resamples agree, the figure is defined in less than 80 % of them, or so many are infinite,
    as a ratio to nothing is, that an end would be.
    """
    defined = _defined(draws)
    if math.isnan(value) or not defined.size:
        return Estimate.without_interval(value)
    with np.errstate(invalid="ignore"):
        lower, upper = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    if not np.isfinite([lower, upper]).all():
        return Estimate.without_interval(value)
    return Estimate(value, float(lower), float(upper), confidence)


def resampled_p_value(draws: Floats) -> float:
    """Two-sided p-value of no difference from resampled differences (repeats,); NaN where they give no interval."""
    defined = _defined(draws)
    if not defined.size:
        return math.nan
    below, above = (float(side.mean()) for side in (defined <= 0, defined >= 0))
    return min(1.0, max(2 * min(below, above), 1 / defined.size))


def _defined(draws: Floats) -> Floats:
    """Resampled figures that are not NaN; none where they are too few, or all alike."""
    defined = draws[~np.isnan(draws)]
    alike = not defined.size or defined.min() == defined.max()
    return defined[:0] if alike or defined.size < _FEWEST_DEFINED * draws.size else defined


def multinomial_tables(table: NDArray[np.int64], *, seed: int, repeats: int = REPEATS) -> Floats:
    """Draw tables of as many cases from the shares of a table of any shape: what resampling its cases gives, (repeats, ...)."""
    shares = table.ravel() / table.sum()
    drawn = np.random.default_rng(seed).multinomial(int(table.sum()), shares, size=repeats)
    return drawn.reshape(repeats, *table.shape).astype(np.float64)
