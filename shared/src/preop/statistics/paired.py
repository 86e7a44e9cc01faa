"""Two readers of the same cases: whether one is right more often than the other.

References
----------
McNemar Q. Note on the sampling error of the difference between correlated proportions or percentages.
Psychometrika 1947;12:153-7.
Newcombe RG. Improved confidence intervals for the difference between binomial proportions based on paired data.
Stat Med 1998;17:2635-50.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from preop.errors import InvalidInputError
from preop.statistics.checks import as_labels
from preop.statistics.intervals import Estimate, wilson


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
