"""A monotone scorer of nodes, learned from counts: each sign of metastasis can only raise the probability.

The log likelihood ratio of a node is a weighted sum of its signs, no weight below zero: few numbers, which the counts of
few patients can tell. The model is that of the count head that is ``clustered`` (docs/bags.md). It is learned by expectation
and maximisation (Dempster et al. 1977, doi 10.1111/j.2517-6161.1977.tb01600.x): what each node must be given the report and
the signs, exactly; then the weights by which such nodes are told apart, which is a logistic regression on these
probabilities, less the log odds of any node (a ratio of densities: Qin 1998, doi 10.1093/biomet/85.3.619).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, logit
from torch.nn.utils.rnn import pad_sequence

from preop.mil import Bag, BagNetwork
from preop.mil.bags import parts_of
from preop.mil.heads import CountHead
from preop.repeatable import one_thread

Floats = NDArray[np.float64]

PENALTY = 1.0
"""Half of the squared weights, of signs brought near 1, is taken off the log-likelihood this many times."""
ROUNDS = 10
"""Of expectation and maximisation: more change nothing that matters."""
START = 0.1
"""Of each weight."""


def learn_monotone(network: BagNetwork, bags: Sequence[Bag]) -> BagNetwork:
    """Set the weights of a clustered count head, none below zero, by what the bags' counts say of each node.

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
        signs = pad_sequence([network.encoder(*bag.instances).double() for bag in bags], batch_first=True)
    mask = torch.arange(signs.shape[1]) < torch.tensor([bag.size for bag in bags])[:, None]
    low, high = (torch.tensor([float(getattr(bag, name)) for bag in bags]).double() for name in ("low", "high"))
    parts, rows = parts_of(bags), signs[mask].numpy()
    exact = deepcopy(head).double()
    weights, bias = np.full(rows.shape[1], START), -START * float(rows.sum(axis=1).mean())
    with one_thread():  # the bytes of a model do not depend on the cores of a machine
        for _ in range(ROUNDS):
            logits = signs @ torch.from_numpy(weights) + bias
            chances, burdens = exact.posterior(logits, mask, low, high, parts)
            exact.set_chances(burdens.mean(dim=0))
            weights, bias = _told_apart(rows, chances[mask].numpy())
    with torch.no_grad():
        head.classifier.weight.copy_(torch.from_numpy(weights[None]))
        head.classifier.bias.fill_(bias)
        head.set_chances(burdens.mean(dim=0))
    return network.eval()


def _told_apart(rows: Floats, chances: Floats) -> tuple[Floats, float]:
    """Weights (f,), none below zero, and bias of the log likelihood ratio of nodes (n, f), positive with these chances (n,)."""

    def loss(values: Floats) -> tuple[float, Floats]:
        weights, bias = values[:-1], values[-1]
        logits = rows @ weights + bias
        residual = expit(logits) - chances
        value = np.logaddexp(0, logits).sum() - chances @ logits + PENALTY / 2 * weights @ weights
        return float(value), np.append(residual @ rows + PENALTY * weights, residual.sum())

    features, any_node = rows.shape[1], float(logit(chances.mean()))
    start = np.append(np.zeros(features), any_node)
    bounds = [(0.0, None)] * features + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return found[:-1], float(found[-1]) - any_node
