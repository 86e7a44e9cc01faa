"""Whether predicted probabilities mean what they say.

References
----------
Brier GW. Verification of forecasts expressed in terms of probability. Mon Weather Rev 1950;78:1-3.
Cox DR. Two further applications of a model for binary regression. Biometrika 1958;45:562-5.
Steyerberg EW, et al. Assessing the performance of prediction models. Epidemiology 2010;21:128-38.
Van Calster B, et al. Calibration: the Achilles heel of predictive analytics. BMC Med 2019;17:230.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError
from preop.statistics.checks import as_labels, as_probabilities, by_class
from preop.statistics.intervals import Estimate, wilson

# Probabilities of exactly 0 and 1 have no logit.
SMALLEST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Recalibration:
    """Logistic recalibration of predicted probabilities (Cox 1958).

    Attributes
    ----------
    slope
        Coefficient of the predicted logit: 1 is right, below 1 too extreme, above 1 too timid. NaN where the
        predictions are all alike or separate the classes without overlap, for then no slope fits best.
    intercept
        Calibration in the large, the intercept with the slope held at 1: 0 is right, below 0 the predictions are
        too high.
    """

    slope: Estimate
    intercept: Estimate


@dataclass(frozen=True)
class CalibrationPoint:
    """One group of similar predictions.

    Attributes
    ----------
    predicted
        Mean predicted probability.
    observed
        Share of positives, with Wilson's interval.
    cases
        Number of cases.
    """

    predicted: float
    observed: Estimate
    cases: int


def brier_score(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared difference of probability and outcome (Brier 1950), 0 at best and 1 at worst.

    Raises
    ------
    InvalidInputError
        If the arrays do not fit, or hold anything but labels 0 and 1 and probabilities between them.
    """
    truth = as_labels(labels)
    return float(np.mean((as_probabilities(probabilities, truth) - truth) ** 2))


def scaled_brier_score(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """1 less the Brier score over that of the prevalence given to all: 1 is perfect, 0 no better (Steyerberg 2010).

    Raises
    ------
    InvalidInputError
        As :func:`brier_score`, or if only one class is present.
    """
    truth = as_labels(labels)
    by_class(truth, truth)
    prevalence = float(truth.mean())
    return 1 - brier_score(truth, probabilities) / (prevalence * (1 - prevalence))


def recalibrate(
    labels: ArrayLike, probabilities: ArrayLike, *, owners: NDArray[np.intp] | None = None
) -> Recalibration:
    """Calibration slope, and calibration in the large, with 95 % Wald intervals (Van Calster 2019).

    Probabilities nearer than 1e-6 to 0 or 1 are moved there.

    Parameters
    ----------
    owners
        Number of the patient of each case (n,), where several are of one: the intervals are then by patient, and NaN where
        there is one patient only.

    Raises
    ------
    InvalidInputError
        As :func:`brier_score`, or if only one class is present.
    """
    truth = as_labels(labels)
    inside = np.clip(as_probabilities(probabilities, truth), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    logits = np.log(inside / (1 - inside))
    of_positives, of_negatives = by_class(truth, logits)
    intercept = _logistic_coefficient(truth, np.ones_like(logits)[:, None], owners, offset=logits)
    separated = of_positives.min() >= of_negatives.max() or of_negatives.min() >= of_positives.max()
    if separated:
        return Recalibration(Estimate.without_interval(np.nan), intercept)
    design = np.column_stack([logits, np.ones_like(logits)])
    return Recalibration(_logistic_coefficient(truth, design, owners), intercept)


def expected_calibration_error(points: Sequence[CalibrationPoint]) -> float:
    """Mean distance of observed and predicted over the groups of a calibration curve, by their cases; 0 is perfect."""
    cases = np.array([point.cases for point in points])
    distances = [abs(point.observed.value - point.predicted) for point in points]
    return float(np.average(distances, weights=cases))


def calibration_curve(labels: ArrayLike, probabilities: ArrayLike, *, groups: int = 10) -> list[CalibrationPoint]:
    """Observed against predicted, in groups of about equal size from the lowest to the highest prediction.

    Equal predictions stay together, so there may be fewer groups than asked for.

    Raises
    ------
    InvalidInputError
        As :func:`brier_score`, or if fewer than one group is asked for.
    """
    if groups < 1:
        raise InvalidInputError(f"A calibration curve of {groups} groups was asked for; expected at least 1.")
    truth = as_labels(labels)
    values = as_probabilities(probabilities, truth)
    inner_edges = np.unique(np.quantile(values, np.arange(1, groups) / groups))
    group_of_case = np.searchsorted(inner_edges, values, side="left")
    return [_point(truth[group_of_case == group], values[group_of_case == group]) for group in np.unique(group_of_case)]


def _point(labels: NDArray[np.bool_], probabilities: NDArray[np.float64]) -> CalibrationPoint:
    return CalibrationPoint(float(probabilities.mean()), wilson(int(labels.sum()), labels.size), labels.size)


def _logistic_coefficient(
    labels: NDArray[np.bool_],
    design: NDArray[np.float64],
    owners: NDArray[np.intp] | None,
    offset: NDArray[np.float64] | None = None,
) -> Estimate:
    """First coefficient of a logistic regression without penalty, with its Wald interval."""
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_linear_model import GLM

    by_patient: dict[str, Any] = {}
    one_patient = owners is not None and np.ptp(owners) == 0
    if owners is not None and not one_patient:
        by_patient = {"cov_type": "cluster", "cov_kwds": {"groups": owners}}
    # From its own start the fit with an offset runs away where a probability near 0 or 1 was wrong.
    start = None if offset is None else [_intercept(labels, offset)]
    # On the way to its answer the fit may pass through log odds without bounds, and chances of 0 and 1.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        model = GLM(labels.astype(np.float64), design, family=Binomial(), offset=offset)
        fit = model.fit(start_params=start, **by_patient)
    if one_patient:
        return Estimate.without_interval(float(fit.params[0]))
    lower, upper = fit.conf_int()[0]
    return Estimate(float(fit.params[0]), float(lower), float(upper))


def _intercept(labels: NDArray[np.bool_], logits: NDArray[np.float64]) -> float:
    """Give what to add to all logits for as many positives to be expected as there are, both classes being present."""
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    at_prevalence = logit(labels.mean())
    ends = at_prevalence - logits.max() - 1, at_prevalence - logits.min() + 1
    return float(brentq(lambda shift: float(expit(logits + shift).mean() - labels.mean()), *ends))
