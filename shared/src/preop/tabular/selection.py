"""Selection of features: which columns a model is built on, best first. The outcome takes part, so it learns.

References
----------
Ding C, Peng H. Minimum redundancy feature selection from microarray gene expression data.
J Bioinform Comput Biol 2005;3:185-205.
Tibshirani R. Regression shrinkage and selection via the lasso. J R Stat Soc B 1996;58:267-88.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.tabular.table import Index

_LASSO_STEPS = 20
NONE_KEPT = np.empty(0, dtype=np.intp)


class Selection(StrEnum):
    """How columns are put in order."""

    UNIVARIABLE = "univariable"  # by the AUC that each has alone
    MRMR = "mrmr"  # by minimum redundancy and maximum relevance
    LASSO = "lasso"  # by when each enters a logistic regression with an L1 penalty that fades


def best_columns(
    selection: Selection,
    values: NDArray[np.float64],
    outcome: NDArray[Any],
    *,
    most: int,
    maximum_correlation: float,
    kept: Index = NONE_KEPT,
) -> Index:
    """Columns in the order of their worth, at most ``most``; none twice, and no near copy of a better one.

    Those that are kept come first, whatever their worth, and are not counted.

    Parameters
    ----------
    values
        Complete and scaled, (r, f).
    outcome
        Whether each row had the event, or a number that is the larger the worse it fared, (r,); the lasso takes the
        first only.
    maximum_correlation
        Of two columns whose rank correlation is larger in magnitude, only the better stays.
    kept
        Columns that are taken in any case, even where they resemble each other.
    """
    if selection is not Selection.LASSO:
        return _greedy(values, outcome, most, maximum_correlation, kept, redundancy_counts=selection is Selection.MRMR)
    distinct = _greedy(values, outcome, values.shape[1], maximum_correlation, kept, redundancy_counts=False)
    ordered = distinct[_lasso_order(values[:, distinct], outcome)]
    return np.concatenate([kept, ordered[~np.isin(ordered, kept)][:most]])


def _greedy(
    values: NDArray[np.float64],
    outcome: NDArray[Any],
    most: int,
    maximum_correlation: float,
    kept: Index,
    *,
    redundancy_counts: bool,
) -> Index:
    """Take the best column that is left again and again (Ding 2005, the difference of relevance and redundancy)."""
    from scipy.stats import rankdata

    ranks = rankdata(values, axis=0)
    ranks -= ranks.mean(axis=0)
    ranks /= np.linalg.norm(ranks, axis=0)
    labels = outcome - outcome.mean()
    # The rank correlation with a yes or no is the AUC, shifted and scaled alike for columns without ties.
    relevance = np.abs(labels @ ranks) / np.linalg.norm(labels)
    redundancy = np.zeros_like(relevance)
    left = np.ones(relevance.size, dtype=np.bool_)
    taken: list[int] = []

    def take(column: int) -> None:
        nonlocal redundancy, left
        taken.append(column)
        similarity = np.abs(ranks[:, column] @ ranks)
        redundancy = redundancy + similarity
        left &= similarity <= maximum_correlation
        left[column] = False

    for column in kept.tolist():
        take(column)
    while len(taken) < len(kept) + most and left.any():
        worth = relevance - redundancy / max(len(taken), 1) if redundancy_counts else relevance
        take(int(np.argmax(np.where(left, worth, -np.inf))))
    return np.array(taken, dtype=np.intp)


def _lasso_order(values: NDArray[np.float64], outcome: NDArray[np.bool_]) -> Index:
    """Columns by the strongest penalty at which they have a coefficient; those that enter together by its size."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import l1_min_c

    weakest = l1_min_c(values, outcome, loss="log")
    entry = np.full(values.shape[1], _LASSO_STEPS)
    size = np.zeros(values.shape[1])
    for step, strength in enumerate(weakest * np.geomspace(1.1, 100, _LASSO_STEPS)):
        regression = LogisticRegression(l1_ratio=1.0, C=strength, solver="liblinear", random_state=0, max_iter=1000)
        coefficients = np.abs(regression.fit(values, outcome).coef_[0])
        entering = (coefficients > 0) & (entry == _LASSO_STEPS)
        entry[entering] = step
        size[entering] = coefficients[entering]
    return np.lexsort((-size, entry))
