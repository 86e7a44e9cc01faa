"""Whether acting on a model does more good than harm: net benefit.

References
----------
Vickers AJ, Elkin EB. Decision curve analysis: a novel method for evaluating prediction models.
Med Decis Making 2006;26:565-74.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError
from preop.statistics.checks import as_labels, as_numbers, as_probabilities


@dataclass(frozen=True, eq=False)
class DecisionCurve:
    """Net benefit a case, in units of one true positive, at each threshold probability (t,).

    Attributes
    ----------
    thresholds
        The risk from which one would act: the odds say how many needless actions one true positive is worth.
    model, all, none
        Net benefit of acting by the model, on everybody, on nobody (which is 0).
    """

    thresholds: NDArray[np.float64]
    model: NDArray[np.float64]
    all: NDArray[np.float64]
    none: NDArray[np.float64]


def decision_curve(labels: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike) -> DecisionCurve:
    """True positives less weighted false positives, a case (Vickers 2006).

    Raises
    ------
    InvalidInputError
        If the arrays do not fit, or a threshold is not between 0 and 1.
    """
    truth = as_labels(labels)
    risk = as_probabilities(probabilities, truth)
    cuts = as_numbers(thresholds, "thresholds")
    if cuts.ndim != 1 or not ((cuts >= 0) & (cuts < 1)).all():
        raise InvalidInputError(f"The thresholds are {cuts.tolist()}; expected numbers from 0 to below 1.")
    acted = risk[None, :] >= cuts[:, None]
    odds = cuts / (1 - cuts)
    prevalence = truth.mean()
    return DecisionCurve(
        thresholds=cuts,
        model=(acted & truth).mean(axis=1) - (acted & ~truth).mean(axis=1) * odds,
        all=prevalence - (1 - prevalence) * odds,
        none=np.zeros_like(cuts),
    )
