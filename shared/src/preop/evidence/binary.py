"""A yes or no that is predicted by a likelihood: the figures of the cases, wherever they come from.

A training report, the evaluation of a submission and an external validation all take them from here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.statistics import (
    AucComparison,
    BinaryCounts,
    CalibrationPoint,
    DecisionCurve,
    Estimate,
    Recalibration,
    RocCurve,
    auc_clustered,
    auc_delong,
    brier_score,
    calibration_curve,
    compare_aucs,
    decision_curve,
    owners_of,
    recalibrate,
    roc_curve,
    youden_threshold,
)

CASES_OF_A_CALIBRATION_GROUP = 10
"""With fewer cases a group of a calibration curve holds too few to say anything."""
_MAX_CALIBRATION_GROUPS = 10


@dataclass(frozen=True, eq=False)
class BinaryPredictions:
    """Cases whose outcome is known, and what was predicted of them.

    Attributes
    ----------
    labels
        Whether each case has the outcome (n,).
    scores
        Higher where the outcome is more likely (n,): likelihoods, or the scores of a rule.
    decisions
        Whether each case was called positive (n,); None where nothing was decided.
    patients
        Whom each case belongs to (n,), where several may be of one; None where each is a patient of its own.
    """

    labels: NDArray[np.bool_]
    scores: NDArray[np.float64]
    decisions: NDArray[np.bool_] | None = None
    patients: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        labels: ArrayLike,
        scores: ArrayLike,
        decisions: ArrayLike | None = None,
        patients: Sequence[str] | None = None,
    ) -> BinaryPredictions:
        """Take them from lists."""
        called = None if decisions is None else np.array(decisions, dtype=np.bool_)
        owners = None if patients is None else tuple(patients)
        return cls(np.array(labels, dtype=np.bool_), np.array(scores, dtype=np.float64), called, owners)

    @classmethod
    def by_folds(cls, labels: ArrayLike, scores: ArrayLike, folds: Sequence[str]) -> BinaryPredictions:
        """Decide about each case at the threshold that is best on all other folds (Youden).

        So no case is judged at a threshold that it helped to choose.
        """
        truth, likelihoods = np.array(labels, dtype=np.bool_), np.array(scores, dtype=np.float64)
        names = np.array(folds)
        called = np.zeros(names.size, dtype=np.bool_)
        for fold in np.unique(names):
            held_out = names == fold
            called[held_out] = likelihoods[held_out] >= youden_threshold(truth[~held_out], likelihoods[~held_out])
        return cls(truth, likelihoods, called)

    @property
    def cases(self) -> int:
        """How many there are."""
        return self.labels.size

    @property
    def events(self) -> int:
        """How many of them have the outcome."""
        return int(self.labels.sum())

    @property
    def has_both_outcomes(self) -> bool:
        """Whether anything can be ranked."""
        return 0 < self.events < self.cases

    @cached_property
    def owners(self) -> NDArray[np.intp] | None:
        """Number of the patient of each case (n,); None where no patient has several."""
        return owners_of(self.patients, self.cases)

    @property
    def auc(self) -> Estimate | None:
        """AUC with DeLong's interval, or Obuchowski's by patient; None where all cases have the same outcome."""
        if not self.has_both_outcomes:
            return None
        if self.patients is None or self.owners is None:
            return auc_delong(self.labels, self.scores)
        return auc_clustered(self.labels, self.scores, self.patients)

    @property
    def counts(self) -> BinaryCounts:
        """Right and wrong decisions."""
        return BinaryCounts.of(self.labels, [] if self.decisions is None else self.decisions)

    @property
    def operating_point(self) -> tuple[float, float] | None:
        """Sensitivity and specificity of the decisions; None where one of them is not determined."""
        sensitivity, specificity = self.counts.sensitivity, self.counts.specificity
        return (sensitivity.value, specificity.value) if sensitivity and specificity else None

    @property
    def brier(self) -> float:
        """Brier score of likelihoods."""
        return brier_score(self.labels, self.scores)

    @property
    def best_threshold(self) -> float:
        """Score from which on to call a case positive: the largest sum of sensitivity and specificity (Youden)."""
        return youden_threshold(self.labels, self.scores)

    @property
    def roc(self) -> RocCurve:
        """ROC curve."""
        return roc_curve(self.labels, self.scores)

    @property
    def calibration(self) -> list[CalibrationPoint]:
        """Calibration curve of likelihoods; empty with fewer than 20 cases."""
        groups = min(self.cases // CASES_OF_A_CALIBRATION_GROUP, _MAX_CALIBRATION_GROUPS)
        return calibration_curve(self.labels, self.scores, groups=groups) if groups > 1 else []

    @property
    def recalibration(self) -> Recalibration | None:
        """Slope and intercept of likelihoods; None where all cases have the same outcome."""
        return recalibrate(self.labels, self.scores, owners=self.owners) if self.has_both_outcomes else None

    @property
    def has_slope(self) -> bool:
        """Whether a calibration slope is determined: it is not where likelihoods are all alike or separate the outcomes."""
        found = self.recalibration
        return found is not None and not math.isnan(found.slope.value)

    @property
    def decision_curve(self) -> DecisionCurve:
        """Net benefit of acting on likelihoods from 1 % to 80 %."""
        return decision_curve(self.labels, self.scores, np.arange(0.01, 0.81, 0.01))

    def compare(self, other: BinaryPredictions) -> AucComparison | None:
        """Compare AUCs on the same cases by DeLong's paired test, this less the other; None with one outcome only."""
        return compare_aucs(self.labels, self.scores, other.scores) if self.has_both_outcomes else None
