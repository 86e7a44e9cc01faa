"""Radiomics and network combined: stacked on the predictions of each for patients it has not learned from, then by patient.

Log odds of the pure pattern, and logarithms of concentrations, are added with weights of their own, so that two learners
who see different things can be surer combined than each alone. Weights, and how far metastases of a patient resemble each
other, are fitted on predictions of inner folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from preop.mil.search import minimise
from preop.staging import PURE, ShareDistribution, WithinPatientCorrelation

from .regression import minimise_loss
from .reports import OUTPUTS, UNKNOWN, distributions

if TYPE_CHECKING:
    from torch import Tensor

    from .likelihood import Known

Floats = NDArray[np.float64]
Learner = Literal["radiomics", "network"]
LEARNERS: tuple[Learner, ...] = ("radiomics", "network")

_SMALL_PENALTY = 1e-3
_MAX_CORRELATION = 0.95
_PREVALENCES = (0.02, 0.98)


class Stack(BaseModel):
    """How outputs of learners are added.

    Attributes
    ----------
    pure_weights, share_weights
        Of each learner, for the log odds of the pure pattern and for the logarithms of concentrations; 0 or more.
    bias
        Of each output (4,).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pure_weights: Mapping[Learner, float]
    share_weights: Mapping[Learner, float]
    bias: tuple[float, float, float, float]

    def combine(self, outputs: Mapping[Learner, Floats]) -> Floats:
        """Outputs (lesions, 4) of all learners combined, from those of each."""
        total: Floats = np.array(self.bias)
        for learner, weight in self.pure_weights.items():
            shares = self.share_weights[learner]
            total = total + outputs[learner] * np.array([weight, *[shares] * (OUTPUTS - 1)])
        return total


@dataclass(frozen=True, eq=False)
class PatientPrediction:
    """The prediction of a patient.

    Attributes
    ----------
    non_desmoplastic
        Probability that some of the interface of some metastasis is not desmoplastic.
    lesions
        Distribution over reports of each metastasis, given how all of the patient's look.
    """

    non_desmoplastic: float
    lesions: tuple[ShareDistribution, ...]


def predict_patient(outputs: Floats, correlation: WithinPatientCorrelation) -> PatientPrediction:
    """Combine the outputs for the metastases (lesions, 4) by the consensus rule."""
    alone = distributions(outputs)
    pure = np.array([each.pure_desmoplastic for each in alone])
    given_all = correlation.each_desmoplastic(pure)
    lesions = tuple(each.with_pure_desmoplastic(float(p)) for each, p in zip(alone, given_all, strict=True))
    return PatientPrediction(1 - correlation.all_desmoplastic(pure), lesions)


def fit_stack(outputs: Mapping[Learner, Floats], known: Known) -> Stack:
    """Find weights by maximum likelihood, on outputs of learners that have not learned from these patients."""
    import torch
    from torch.nn.functional import softplus

    from .likelihood import log_likelihood

    learners = list(outputs)
    given = torch.from_numpy(np.stack([outputs[learner] for learner in learners]))
    start = float(np.log(np.expm1(1 / len(learners))))
    raw = torch.full((2, len(learners)), start, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(OUTPUTS, dtype=torch.float64, requires_grad=True)

    def combined() -> Tensor:
        pure, shares = softplus(raw)
        weights = torch.cat([pure[:, None], shares[:, None].expand(-1, OUTPUTS - 1)], dim=1)
        return (given * weights[:, None]).sum(dim=0) + bias

    def loss() -> Tensor:
        return _SMALL_PENALTY * ((raw - start) ** 2).sum() - log_likelihood(combined(), known).mean()

    minimise_loss([raw, bias], loss)
    pure, shares = softplus(raw).detach().numpy().tolist()
    first, second, third, fourth = bias.detach().numpy().tolist()
    return Stack(
        pure_weights=dict(zip(learners, pure, strict=True)),
        share_weights=dict(zip(learners, shares, strict=True)),
        bias=(first, second, third, fourth),
    )


def fit_within_patient_correlation(outputs: Floats, known: Known) -> WithinPatientCorrelation:
    """Find how far metastases resemble each other, by the likelihood of which are pure; of several to a patient."""
    pure = np.array([each.pure_desmoplastic for each in distributions(outputs)])
    reports, patients, states = (part.numpy() for part in known)
    reported = reports != UNKNOWN
    is_pure = reports == PURE
    prevalence = float(np.clip((is_pure[reported].mean() if reported.any() else pure.mean()), *_PREVALENCES))
    groups = [
        (pure[rows], [bool(is_pure[row]) if reported[row] else None for row in rows], int(state))
        for rows, state in ((np.flatnonzero(patients == number), state) for number, state in enumerate(states))
        if len(rows) > 1
    ]

    def deviance(correlation: float) -> float:
        model = WithinPatientCorrelation(prevalence, correlation)
        return -sum(float(np.log(max(_chance(model, *group), 1e-12))) for group in groups)

    correlation = minimise(deviance, 0.0, _MAX_CORRELATION) if groups else 0.0
    return WithinPatientCorrelation(prevalence=prevalence, correlation=correlation)


def _chance(model: WithinPatientCorrelation, pure: Floats, found: Sequence[bool | None], state: int) -> float:
    """Probability of what is known of a patient's metastases."""
    if None not in found or state == UNKNOWN or False in found:
        return model.probability(pure, found)
    all_pure = model.all_desmoplastic(pure)
    return all_pure if state == 0 else model.probability(pure, found) - all_pure
