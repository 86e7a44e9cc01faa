"""The distribution of a whole's parts: how many of a number of equal parts fall to each kind (Dirichlet-multinomial).

A pathologist who reports shares of an interface in steps of 5 % counts twentieths. With Dirichlet-distributed true
shares, the counts have a Dirichlet-multinomial distribution (Mosimann 1962, doi 10.1093/biomet/49.1-2.65): unlike the
Dirichlet density, it gives shares of exactly 0 and 1 a probability.
"""

from __future__ import annotations

import torch
from torch import Tensor


def log_probabilities_of_parts(log_concentrations: Tensor, parts: Tensor) -> Tensor:
    """Log-probability of given counts of parts.

    Parameters
    ----------
    log_concentrations
        Logarithms of the Dirichlet's parameters (..., kinds).
    parts
        Counts (cells, kinds), each row with the same sum; or cells of their own for each row of concentrations
        (..., cells, kinds).

    Returns
    -------
    (..., cells), float64: differences of large logarithms need it. If the cells are all counts there are, the
    probabilities sum to 1.
    """
    counts = parts.to(log_concentrations.device, torch.float64)
    total = counts.sum(dim=-1).flatten()[0]
    concentrations = log_concentrations.double().exp()
    strength = concentrations.sum(dim=-1, keepdim=True)
    alpha = concentrations.unsqueeze(-2)
    of_kinds = torch.lgamma(counts + alpha) - torch.lgamma(alpha) - torch.lgamma(counts + 1)
    of_all = torch.lgamma(total + 1) + torch.lgamma(strength) - torch.lgamma(total + strength)
    return of_all + of_kinds.sum(dim=-1)
