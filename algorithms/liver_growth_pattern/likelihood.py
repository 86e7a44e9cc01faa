"""How likely what the pathologist reported is made by what a learner says of a metastasis (``reports.py``): what is learned by.

Its log-likelihood is a proper score. Of some patients only the pattern of the patient is known: whether every metastasis is purely desmoplastic. Learners take
metastases to be independent, given what is seen of them; how they resemble each other is added behind
(``preop.staging.WithinPatientCorrelation``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from preop.counts import log_probabilities_of_parts
from preop.staging import PARTS, PURE, REPORTS

from .reports import LOG_CONCENTRATIONS, LOG_ODDS, UNKNOWN

_COUNTS = torch.from_numpy(np.rint(REPORTS * PARTS))
_NEARLY_SURE = -1e-6


class Known(NamedTuple):
    """What pathology says of patients whose metastases stand one below the other.

    Attributes
    ----------
    reports
        Number of the report of each metastasis in ``REPORTS``, or ``UNKNOWN`` (lesions,).
    patients
        Whose each is, from 0 (lesions,).
    states
        Of each patient: 1 non-desmoplastic, 0 desmoplastic, ``UNKNOWN`` (patients,).
    """

    reports: Tensor
    patients: Tensor
    states: Tensor


def log_report_probabilities(outputs: Tensor) -> Tensor:
    """Log-probability of each report (..., 231), float64, from outputs (..., 4)."""
    pure = _pure(outputs.double())[..., None]
    others = log_probabilities_of_parts(outputs[..., 1:].clamp(*LOG_CONCENTRATIONS), _COUNTS)[..., :PURE]
    others = others - others.logsumexp(dim=-1, keepdim=True)
    return torch.cat([others + logsigmoid(-pure), logsigmoid(pure)], dim=-1)


def log_likelihood(outputs: Tensor, known: Known) -> Tensor:
    """Log-likelihood of what is known of each patient (patients,), float64.

    Parameters
    ----------
    outputs
        Of the metastases (lesions, 4).
    """
    outputs = outputs.double()
    reported = known.reports != UNKNOWN
    log_pure = logsigmoid(_pure(outputs))
    each = torch.where(known.reports == PURE, log_pure, _log_other(outputs, known.reports.clamp(min=0)))
    of_patients = outputs.new_zeros(len(known.states))
    total = of_patients.index_add(0, known.patients, torch.where(reported, each, 0.0))
    # What the pattern of the patient adds, if it says anything of the metastases that nobody reported.
    open_pure = of_patients.index_add(0, known.patients, torch.where(reported, 0.0, log_pure))
    is_open = of_patients.index_add(0, known.patients, (~reported).double()) > 0
    explained = of_patients.index_add(0, known.patients, (reported & (known.reports != PURE)).double()) > 0
    some_other = torch.log(-torch.expm1(open_pure.clamp(max=_NEARLY_SURE)))
    total = total + torch.where((known.states == 0) & is_open, open_pure, 0.0)
    return total + torch.where((known.states == 1) & is_open & ~explained, some_other, 0.0)


def _pure(outputs: Tensor) -> Tensor:
    return outputs[..., 0].clamp(-LOG_ODDS, LOG_ODDS)


def _log_other(outputs: Tensor, reports: Tensor) -> Tensor:
    """Log-probability of reports that are not pure (lesions,): the table's cells, without computing the others."""
    cells = _COUNTS[torch.stack([reports, torch.full_like(reports, PURE)], dim=1)]
    found = log_probabilities_of_parts(outputs[:, 1:].clamp(*LOG_CONCENTRATIONS), cells)
    log_not_pure = torch.log(-torch.expm1(found[:, 1].clamp(max=-1e-9)))
    return logsigmoid(-_pure(outputs)) + found[:, 0] - log_not_pure
