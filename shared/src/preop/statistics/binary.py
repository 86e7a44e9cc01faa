"""Yes-or-no decisions against a yes-or-no reference: counts, and the proportions that follow from them.

References
----------
Altman DG, Bland JM. Diagnostic tests 1: sensitivity and specificity. BMJ 1994;308:1552, and Diagnostic tests 2:
predictive values. BMJ 1994;309:102. Intervals: Wilson 1927, see :mod:`preop.statistics.intervals`.
Simel DL, Samsa GP, Matchar DB. Likelihood ratios with confidence: sample size estimation for diagnostic test studies.
J Clin Epidemiol 1991;44:763-70.
Mercaldo ND, Lau KF, Zhou XH. Confidence intervals for predictive values with an emphasis to case-control studies.
Stat Med 2007;26:2170-83.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from preop.errors import InvalidInputError
from preop.statistics.checks import as_labels, as_scores
from preop.statistics.intervals import Estimate, wilson


@dataclass(frozen=True)
class BinaryCounts:
    """The four-fold table of decisions; every proportion is derived from it, None where nothing is divided."""

    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int

    @classmethod
    def of(cls, labels: ArrayLike, decisions: ArrayLike) -> BinaryCounts:
        """Count decisions (n,) of 0 or 1 against labels (n,) of 0 or 1.

        Raises
        ------
        InvalidInputError
            If the arrays do not fit, or hold anything but 0 and 1.
        """
        truth, called = as_labels(labels), as_labels(decisions)
        if truth.shape != called.shape:
            raise InvalidInputError(f"There are {called.size} decisions for {truth.size} labels; expected one each.")
        return cls(
            true_positives=int(np.sum(truth & called)),
            false_positives=int(np.sum(~truth & called)),
            true_negatives=int(np.sum(~truth & ~called)),
            false_negatives=int(np.sum(truth & ~called)),
        )

    @classmethod
    def at_threshold(cls, labels: ArrayLike, scores: ArrayLike, threshold: float) -> BinaryCounts:
        """Count with every score at or above the threshold called positive."""
        return cls.of(labels, as_scores(scores, as_labels(labels)) >= threshold)

    @property
    def cases(self) -> int:
        """Number of cases counted."""
        return self.true_positives + self.false_positives + self.true_negatives + self.false_negatives

    @property
    def sensitivity(self) -> Estimate | None:
        """Share of the positives that are called positive."""
        return _share(self.true_positives, self.false_negatives)

    @property
    def specificity(self) -> Estimate | None:
        """Share of the negatives that are called negative."""
        return _share(self.true_negatives, self.false_positives)

    @property
    def positive_predictive_value(self) -> Estimate | None:
        """Share of those called positive that are positive."""
        return _share(self.true_positives, self.false_positives)

    @property
    def negative_predictive_value(self) -> Estimate | None:
        """Share of those called negative that are negative."""
        return _share(self.true_negatives, self.false_negatives)

    @property
    def accuracy(self) -> Estimate | None:
        """Share of all cases that are called right."""
        right = self.true_positives + self.true_negatives
        return _share(right, self.cases - right)

    @property
    def positive_likelihood_ratio(self) -> Estimate | None:
        """How many times likelier a positive call is in a positive than in a negative; Simel's interval.

        None without positives, negatives, or negatives that are called positive.
        """
        return _ratio(self.true_positives, self.false_negatives, self.false_positives, self.true_negatives)

    @property
    def negative_likelihood_ratio(self) -> Estimate | None:
        """The same of a negative call; None without positives, negatives, or negatives that are called negative."""
        return _ratio(self.false_negatives, self.true_positives, self.true_negatives, self.false_positives)

    def predictive_values_at(self, prevalence: float) -> tuple[Estimate | None, Estimate | None]:
        """Positive and negative predictive value where another share is positive, with the logit interval of Mercaldo 2007.

        Raises
        ------
        InvalidInputError
            If the prevalence is not between 0 and 1.
        """
        if self.sensitivity is None or self.specificity is None:
            return None, None
        values = predictive_values(self.sensitivity.value, self.specificity.value, prevalence)
        odds = prevalence / (1 - prevalence) if prevalence < 1 else math.inf
        positive = _after(values[0], self.positive_likelihood_ratio, odds)
        # A negative call leaves the complement: the larger the ratio, the smaller the predictive value.
        missed = _after(1 - values[1], self.negative_likelihood_ratio, odds)
        return positive, None if missed is None else Estimate(values[1], 1 - missed.upper, 1 - missed.lower)

    @property
    def prevalence(self) -> float:
        """Share of the cases that are positive: the one that the predictive values hold for."""
        return (self.true_positives + self.false_negatives) / self.cases


def predictive_values(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    """Positive and negative predictive value where another share of the cases is positive, by Bayes' theorem.

    Returns
    -------
    NaN for a decision that is never made.

    Raises
    ------
    InvalidInputError
        If any of the three is not between 0 and 1.
    """
    for name, value in {"sensitivity": sensitivity, "specificity": specificity, "prevalence": prevalence}.items():
        if not 0 <= value <= 1:
            raise InvalidInputError(f"The {name} is {value:g}; expected a number between 0 and 1.")
    true_positive, false_negative = sensitivity * prevalence, (1 - sensitivity) * prevalence
    true_negative, false_positive = specificity * (1 - prevalence), (1 - specificity) * (1 - prevalence)
    called, dismissed = true_positive + false_positive, true_negative + false_negative
    return (true_positive / called if called else math.nan, true_negative / dismissed if dismissed else math.nan)


def _ratio(called: int, missed: int, wrongly: int, rightly: int) -> Estimate | None:
    """Ratio of two shares, with an interval that is symmetric on the scale of its logarithm (Simel 1991)."""
    from scipy.stats import norm

    if not (called + missed and wrongly):
        return None
    ratio = called / (called + missed) / (wrongly / (wrongly + rightly))
    variance = math.inf
    if called:
        variance = 1 / called - 1 / (called + missed) + 1 / wrongly - 1 / (wrongly + rightly)
    if not 0 < variance < math.inf:
        return Estimate.without_interval(ratio)
    factor = math.exp(float(norm.ppf(0.975)) * math.sqrt(variance))
    return Estimate(ratio, ratio / factor, ratio * factor)


def _after(value: float, ratio: Estimate | None, odds: float) -> Estimate | None:
    """Probability after a call, with the interval that the likelihood ratio gives it."""
    if math.isnan(value):
        return None
    if ratio is None or math.isnan(ratio.lower):
        return Estimate.without_interval(value)
    lower, upper = (end * odds / (1 + end * odds) for end in (ratio.lower, ratio.upper))
    return Estimate(value, lower, upper)


def _share(right: int, wrong: int) -> Estimate | None:
    return wilson(right, right + wrong) if right + wrong else None
