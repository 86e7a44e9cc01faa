"""Two readers of the same cases, or an algorithm and a reader: what both reach, and whether they differ."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from preop.evidence.figures import Figure
from preop.evidence.judging.base import Chosen, Json, Resampling
from preop.evidence.records import stated_number, stated_or_unknown
from preop.statistics import (
    Estimate,
    bootstrap,
    compare_means,
    compare_proportions,
    percentile_interval,
    resampled_p_value,
)

Floats = NDArray[np.float64]


def compared(first: Estimate | None, second: Estimate | None, difference: Estimate, p_value: float) -> Json:
    """State two figures of the same cases, their difference, and the p-value of none."""
    return {
        "this": stated_or_unknown(first),
        "other": stated_or_unknown(second),
        "difference": Figure.of(difference).model_dump(),
        "p_value": stated_number(p_value),
    }


def no_comparison() -> Json:
    """State that the cases do not determine a comparison."""
    return compared(None, None, Estimate.without_interval(math.nan), math.nan)


def compared_shares(
    first: Chosen, second: Chosen, part: Chosen, owners: NDArray[np.intp] | None, resampling: Resampling
) -> Json:
    """Compare in how many of some cases each of two readers has something, by McNemar's test.

    Parameters
    ----------
    first, second
        Whether each reader has it (n,).
    part
        Which cases count (n,), at least one.
    owners
        Number of the patient of each case (n,): then interval and p-value come from resampled patients.
    """
    result = compare_proportions(first[part], second[part])
    difference, p_value = result.difference, result.p_value
    if owners is not None:
        sides = np.column_stack([first & part, second & part, part]).astype(np.float64)
        draws = bootstrap(
            lambda weights: weights @ sides,
            part.size,
            seed=resampling.seed,
            repeats=resampling.repeats,
            owners=owners,
        )
        with np.errstate(invalid="ignore"):
            differences = (draws[:, 0] - draws[:, 1]) / draws[:, 2]
        difference, p_value = percentile_interval(difference.value, differences), resampled_p_value(differences)
    this, other = (Estimate.without_interval(float(side[part].mean())) for side in (first, second))
    return compared(this, other, difference, p_value) | {
        "only_this": result.only_first,
        "only_other": result.only_second,
    }


def compared_means(
    first: Estimate,
    second: Estimate,
    scores: tuple[Floats, Floats],
    owners: NDArray[np.intp] | None,
    resampling: Resampling,
) -> Json:
    """Compare the mean score of the cases by two readers, by turning the differences of patients round.

    Parameters
    ----------
    first, second
        Mean of each, with its interval.
    scores
        Of the cases by each (n,).
    owners
        Number of the patient of each case (n,).
    """
    result = compare_means(*scores, owners=owners, seed=resampling.seed, repeats=resampling.repeats)
    return compared(first, second, result.difference, result.p_value)
