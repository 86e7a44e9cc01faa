"""The classifiers a pipeline can end in: each learns from complete, scaled columns and gives log odds.

One number, the capacity, says how freely a classifier may follow the training rows; the larger, the more freely.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

TREES = 100
LEARNING_RATE = 0.1


class Classifier(StrEnum):
    """Kinds of classifier, and what their capacity is."""

    LOGISTIC = "logistic"  # L2-penalised; inverse strength of the penalty
    SVM = "svm"  # support vector machine with a radial kernel; inverse strength of the penalty
    FOREST = "forest"  # random forest; most leaves of a tree
    BOOSTING = "boosting"  # gradient boosting of trees with four leaves; number of trees


# Capacities that a grid search tries; a free search tries all between the first and the last.
CAPACITIES: dict[Classifier, tuple[float, ...]] = {
    Classifier.LOGISTIC: (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
    Classifier.SVM: (1e-2, 1e-1, 1.0, 10.0, 100.0),
    Classifier.FOREST: (2, 4, 8, 16),
    Classifier.BOOSTING: (5, 10, 20, 40, 80),
}


class Fitted(Protocol):
    """A classifier that has learned."""

    def log_odds(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the log odds, or what stands for them before calibration, of rows (r, f)."""


@dataclass(frozen=True, eq=False)
class LinearClassifier:
    """Coefficients (f,) and an intercept."""

    coefficients: NDArray[np.float64]
    intercept: float

    def log_odds(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weighted sum of the columns."""
        return np.asarray(values @ self.coefficients + self.intercept)


@dataclass(frozen=True, eq=False)
class EstimatorClassifier:
    """An estimator of scikit-learn."""

    estimator: Any

    def log_odds(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance from the boundary where the estimator has one, else the log odds of its votes."""
        if hasattr(self.estimator, "decision_function"):
            return np.asarray(self.estimator.decision_function(values), np.float64)
        # As many trees as there are can be of one mind: never surer than one tree in twice as many would allow.
        votes = np.clip(self.estimator.predict_proba(values)[:, 1], 0.5 / TREES, 1 - 0.5 / TREES)
        return np.asarray(np.log(votes / (1 - votes)))


def fit_classifier(
    kind: Classifier, capacity: float, values: NDArray[np.float64], outcome: NDArray[np.bool_], *, seed: int
) -> Fitted:
    """Fit a classifier of a kind to rows (r, f) and their outcome (r,)."""
    import sklearn

    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        if kind is Classifier.LOGISTIC:
            from sklearn.linear_model import LogisticRegression

            # Few columns: Newton's method needs a tenth of the steps of the default solver.
            regression = LogisticRegression(C=capacity, solver="newton-cholesky", max_iter=1000).fit(values, outcome)
            return LinearClassifier(regression.coef_[0], float(regression.intercept_[0]))
        return EstimatorClassifier(_estimator(kind, capacity, seed).fit(values, outcome))


def _estimator(kind: Classifier, capacity: float, seed: int) -> Any:
    if kind is Classifier.SVM:
        from sklearn.svm import SVC

        return SVC(C=capacity)
    if kind is Classifier.FOREST:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(TREES, max_leaf_nodes=max(round(capacity), 2), random_state=seed)
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(
        n_estimators=round(capacity), learning_rate=LEARNING_RATE, max_leaf_nodes=4, subsample=0.8, random_state=seed
    )
