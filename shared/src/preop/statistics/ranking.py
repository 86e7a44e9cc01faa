"""What follows from the order of scores beside the AUC, for all cases and for resampled ones: precision, parts of the ROC.

References
----------
Davis J, Goadrich M. The relationship between precision-recall and ROC curves. ICML 2006:233-40.
Jiang Y, Metz CE, Nishikawa RM. A receiver operating characteristic partial area index for highly sensitive diagnostic
tests. Radiology 1996;201:745-50.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError
from preop.statistics.checks import as_labels, as_scores, by_class

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class WeightedCurves:
    """Numbers of true and false positives at each cut, from the highest score down, under several weightings of the cases.

    Attributes
    ----------
    true_positives, false_positives
        At or above each distinct score, (rows, m).
    """

    true_positives: Floats
    false_positives: Floats

    @property
    def sensitivities(self) -> Floats:
        """Of each cut, with 0 in front, (rows, m + 1); NaN in a row without positives."""
        return _shares(self.true_positives)

    @property
    def false_positive_rates(self) -> Floats:
        """Of each cut, with 0 in front, (rows, m + 1); NaN in a row without negatives."""
        return _shares(self.false_positives)

    @property
    def average_precision(self) -> Floats:
        """Precision at each cut, weighed by the positives that it adds, as scikit-learn has it, (rows,)."""
        called = self.true_positives + self.false_positives
        precision = np.divide(self.true_positives, called, out=np.zeros_like(called), where=called > 0)
        gained = np.diff(self.true_positives, axis=1, prepend=0)
        with np.errstate(invalid="ignore"):
            return np.asarray((gained * precision).sum(axis=1) / self.true_positives[:, -1])

    @property
    def auc(self) -> Floats:
        """Area under the ROC curve, (rows,)."""
        return self.mean_specificity(0.0)

    def mean_specificity(self, from_sensitivity: float) -> Floats:
        """Mean specificity over sensitivities from the given one to 1, (rows,): the partial area over the width."""
        true_rate, false_rate = self.sensitivities, self.false_positive_rates
        left, right = true_rate[:, :-1], true_rate[:, 1:]
        start = np.clip(from_sensitivity, left, right)
        rise = right - left
        share = np.divide(start - left, rise, out=np.zeros_like(rise), where=rise > 0)
        rate_at_start = false_rate[:, :-1] + share * np.diff(false_rate, axis=1)
        area = ((right - start) * (1 - (rate_at_start + false_rate[:, 1:]) / 2)).sum(axis=1)
        return np.asarray(area / (1 - from_sensitivity))

    def sensitivity_at(self, grid: Floats) -> Floats:
        """Sensitivity at rates of false positives, along straight lines between the curve's points, (rows, g)."""
        rows = zip(self.sensitivities, self.false_positive_rates, strict=True)
        # Where the curve rises straight up, the mean of both ends keeps the area.
        return np.array(
            [
                (np.interp(grid, false, true) + 1 - np.interp(1 - grid, (1 - false)[::-1], (1 - true)[::-1])) / 2
                for true, false in rows
            ]
        )


class Ranking:
    """Cases in the order of their scores, sorted once for all resamples.

    Parameters
    ----------
    labels, scores
        0 or 1, and finite numbers, higher for positives, (n,).

    Raises
    ------
    InvalidInputError
        If the arrays do not fit, or only one class is present.
    """

    def __init__(self, labels: ArrayLike, scores: ArrayLike) -> None:
        truth = as_labels(labels)
        values = as_scores(scores, truth)
        by_class(truth, values)
        self._order = np.argsort(-values, kind="stable")
        self._truth = truth[self._order]
        ordered = values[self._order]
        # The last case of each group of equal scores.
        self._ends = np.append(np.flatnonzero(np.diff(ordered)), ordered.size - 1)

    def curves(self, weights: Floats | None = None) -> WeightedCurves:
        """Count under weights (rows, n); without them, each case once, in one row."""
        ordered = np.ones((1, self._order.size)) if weights is None else weights[:, self._order]
        positives = np.cumsum(ordered * self._truth, axis=1)
        called = np.cumsum(ordered, axis=1)
        if self._ends.size < self._order.size:
            positives, called = positives[:, self._ends], called[:, self._ends]
        return WeightedCurves(positives, called - positives)


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean of the precision at each cut, weighed by the positives that it adds; chance gives the prevalence.

    Raises
    ------
    InvalidInputError
        If only one class is present, or the arrays do not fit.
    """
    return float(Ranking(labels, scores).curves().average_precision[0])


def mean_specificity(labels: ArrayLike, scores: ArrayLike, from_sensitivity: float) -> float:
    """Partial area of the ROC curve over sensitivities from the given one to 1, by the width of that range.

    What is left of specificity where few positives may be missed: 1 is perfect, (1 - ``from_sensitivity``) / 2 chance.

    Raises
    ------
    InvalidInputError
        If only one class is present, the arrays do not fit, or the sensitivity is not from 0 to below 1.
    """
    if not 0 <= from_sensitivity < 1:
        raise InvalidInputError(
            f"A partial AUC from sensitivity {from_sensitivity:g} was asked for; expected 0 to below 1."
        )
    return float(Ranking(labels, scores).curves().mean_specificity(from_sensitivity)[0])


def _shares(counts: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        shares = counts / counts[:, -1:]
    return np.concatenate([np.zeros((len(counts), 1)), shares], axis=1)
