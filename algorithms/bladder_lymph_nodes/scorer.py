"""A monotone scorer of nodes, learned from counts: each sign of metastasis can only raise the probability.

The log likelihood ratio of a node is a weighted sum of its signs, no weight below zero: few numbers, which the counts of
few patients can tell. The likelihood is that of the count head that is ``clustered`` (docs/bags.md). All bags are learned
from at once, by a quasi-Newton method with bounds (L-BFGS-B; Byrd et al. 1995, doi 10.1137/0916069).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.nn.utils.rnn import pad_sequence

from preop.mil import Bag, BagNetwork
from preop.mil.bags import parts_of
from preop.mil.heads import CountHead
from preop.repeatable import one_thread

Floats = NDArray[np.float64]

PENALTY = 1.0
"""Half of the squared weights, of signs brought near 1, is taken off the log-likelihood this many times."""
STEPS = 200
"""At most."""
TOLERANCE = 1e-7
"""Relative change of the log-likelihood at which learning ends: far below what moves a prediction."""
START = 0.1
"""Of each weight."""
LOG_CHANCES = (-12.0, 12.0)
"""Of a burden, before they are made to add up to 1: without bounds, that of one which never occurs would fall for ever."""


def learn_monotone(network: BagNetwork, bags: Sequence[Bag]) -> BagNetwork:
    """Set the weights of a clustered count head, none below zero, to those by which the bags' counts are most likely.

    Parameters
    ----------
    network
        With an encoder without weights, whose features (n, f) rise with the suspicion of metastasis.
    """
    head = network.head
    if not isinstance(head, CountHead) or head.log_chances is None:
        raise TypeError(f"A monotone scorer learns a clustered count head, not {head.name}.")
    head.start_from(bags)
    with torch.no_grad():
        head.classifier.weight.fill_(START)
        signs = pad_sequence([network.encoder(*bag.instances).double() for bag in bags], batch_first=True)
    mask = torch.arange(signs.shape[1]) < torch.tensor([bag.size for bag in bags])[:, None]
    low, high = (torch.tensor([float(getattr(bag, name)) for bag in bags]).double() for name in ("low", "high"))
    parts = parts_of(bags)
    exact = deepcopy(head).double()  # in single precision the last steps would be lost in rounding
    weights = exact.classifier.weight
    unbounded = (None, None)
    bounds = {
        weights: (0.0, None),
        exact.classifier.bias: unbounded,
        exact.log_chances: LOG_CHANCES,
    }
    parameters = list(exact.parameters())

    def loss(values: Floats) -> tuple[float, Floats]:
        vector_to_parameters(torch.from_numpy(values), parameters)
        reading = replace(exact(signs, mask), parts=parts)
        penalised = exact.deviance(reading, low, high).sum() + PENALTY / 2 * (weights**2).sum()
        gradient = torch.autograd.grad(penalised, parameters)
        return float(penalised.detach()), _flat(gradient)

    with one_thread():  # the bytes of a model do not depend on the cores of a machine
        found = minimize(
            loss,
            _flat(parameters),
            jac=True,
            method="L-BFGS-B",
            bounds=[bounds[part] for part in parameters for _ in range(part.numel())],
            options={"maxiter": STEPS, "ftol": TOLERANCE},
        )
    with torch.no_grad():
        vector_to_parameters(torch.from_numpy(found.x).float(), head.parameters())
        head.log_chances.copy_(head.log_chances.log_softmax(0))
    return network.eval()


def _flat(parts: Sequence[Tensor]) -> Floats:
    return parameters_to_vector([part.detach() for part in parts]).numpy().copy()
