"""Outcomes whose true probability is known, and with it the best any algorithm can reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


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
