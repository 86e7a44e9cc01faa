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

TOLERANCE = 1e-4
"""Of the largest gradient of the mean log loss of a logistic regression, and of what a further step would gain."""
SUFFICIENT = 2.0**-11
"""Share of what the slope promises that a step has to gain (Armijo 1966, Pacific J Math 16:1)."""
ROUNDING = 16 * np.finfo(np.float64).eps
MAX_STEPS = 1000
MAX_HALVINGS = 60
"""Of a step: 2^-60 of it is below what double precision keeps."""


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
    if kind is Classifier.LOGISTIC:
        return fit_logistic(values, outcome, capacity)
    import sklearn

    with sklearn.config_context(assume_finite=True, skip_parameter_validation=True):
        return EstimatorClassifier(_estimator(kind, capacity, seed).fit(values, outcome))


def fit_logistic(values: NDArray[np.float64], outcome: NDArray[np.bool_], inverse_strength: float) -> LinearClassifier:
    """Fit a logistic regression with an L2 penalty on all but the intercept, by Newton's method.

    A nested validation fits a hundred of them for each split, on a few columns of a few dozen rows. scikit-learn's solver
    ``newton-cholesky`` takes the same steps and ends at the same tolerance, and spends nine tenths of its time on checks.

    Parameters
    ----------
    values
        Complete and scaled, (r, f).
    inverse_strength
        Of the penalty, as ``C`` of scikit-learn: half of the squared coefficients is weighed against this multiple of the
        summed log loss.
    """
    from scipy.special import expit

    rows, columns = values.shape
    design = np.column_stack([values, np.ones(rows)])
    penalty = np.append(np.full(columns, 1 / (inverse_strength * rows)), 0.0)
    sign = np.where(outcome, 1.0, -1.0)
    coefficients, linear = np.zeros(columns + 1), np.zeros(rows)
    loss = np.log(2.0)
    missed = -sign / 2
    gradient = design.T @ missed / rows
    for _ in range(MAX_STEPS):
        weights = np.abs(missed) * (1 - np.abs(missed)) / rows
        hessian = (design.T * weights) @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, -gradient)
        slope, length = float(gradient @ step), 1.0
        along, before = design @ step, loss
        for _ in range(MAX_HALVINGS):
            trial, margins = coefficients + length * step, sign * (linear + length * along)
            loss = float(np.logaddexp(0, -margins).mean() + penalty @ trial**2 / 2)
            # Where rounding hides what is gained, the solution is reached.
            if loss - before <= length * SUFFICIENT * slope + ROUNDING * before:
                break
            length /= 2
        coefficients, linear = trial, linear + length * along
        missed = -sign * expit(-margins)
        gradient = design.T @ missed / rows + penalty * coefficients
        if np.abs(gradient).max() <= TOLERANCE and step @ hessian @ step <= 2 * TOLERANCE:
            break
    return LinearClassifier(coefficients[:-1], float(coefficients[-1]))


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
