"""Outcomes whose true probability is known, and with it the best any algorithm can reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LogisticOutcome:
    """A yes-or-no outcome that depends on latent variables: logit P = intercept + sum of coefficient * variable.

    Attributes
    ----------
    intercept
        Log odds where all variables are 0.
    coefficients
        Log odds per unit of each latent variable.
    """

    intercept: float
    coefficients: Mapping[str, float]

    def probability(self, latent: Mapping[str, float]) -> float:
        """Probability of the outcome for one patient, who must have every latent variable of the model."""
        log_odds = self.intercept + sum(coefficient * latent[name] for name, coefficient in self.coefficients.items())
        return float(1 / (1 + np.exp(-log_odds)))


def ceiling_auc(probabilities: NDArray[Any]) -> float:
    """Area under the ROC curve that an observer who knows each patient's true probability can expect.

    By the Neyman-Pearson lemma no score does better. Over all pairs of patients, weighed by the probability
    p_i (1 - p_j) that i has the outcome and j has not, it is the share in which i has the larger probability
    (half where they are equal).

    Parameters
    ----------
    probabilities
        True probabilities of the patients (n,), n of 2 or more, not all 0 and not all 1.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    values, group = np.unique(p, return_inverse=True)
    negative = np.bincount(group, weights=1 - p, minlength=values.size)
    below = np.cumsum(negative) - negative
    # A patient is no pair with themselves; their own weight p (1 - p) leaves the tied pairs.
    ordered = float((p * (below + negative / 2)[group]).sum()) - float((p * (1 - p)).sum()) / 2
    pairs = float(p.sum() * (1 - p).sum() - (p * (1 - p)).sum())
    return ordered / pairs
