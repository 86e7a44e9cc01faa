"""A monotone scorer of nodes, learned from counts: each sign of metastasis can only raise the probability.

The log likelihood ratio of a node is a weighted sum of its signs, no weight below zero: few numbers, which the counts of
few patients can tell. The likelihood is that of the count head that is ``clustered`` (docs/bags.md). Its gradient by the
log likelihood ratio of a node is the posterior of the node given the report (its soft label) less that without the report
(the score identity; Dempster, Laird and Rubin 1977, doi 10.1111/j.2517-6161.1977.tb01600.x). Both are computed exactly,
by counting forwards and backwards over the nodes, and a quasi-Newton method ends where expectation and maximisation would.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_softmax, logsumexp

from preop.mil import Bag, BagNetwork
from preop.mil.heads import CountHead

Floats = NDArray[np.float64]

PENALTY = 1.0
"""Half of the squared weights, of signs brought near 1, is taken off the log-likelihood this many times."""
STEPS = 200
"""At most."""
TOLERANCE = 1e-7
"""Relative change of the log-likelihood at which learning ends: far below what moves a prediction."""


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
        features = [network.encoder(*bag.instances).double().numpy() for bag in bags]
    signs = np.zeros((len(bags), max(map(len, features)), head.features))
    mask = np.zeros(signs.shape[:2], dtype=bool)
    for row, each in enumerate(features):
        signs[row, : len(each)], mask[row, : len(each)] = each, True
    low, high = (np.array([getattr(bag, name) for bag in bags]) for name in ("low", "high"))
    burdens = head.burdens.double().numpy()
    start = np.concatenate([np.full(head.features, 0.1), [0.0], head.log_chances.detach().double().numpy()])

    def loss(values: Floats) -> tuple[float, Floats]:
        weights, bias, chances = np.split(values, [head.features, head.features + 1])
        ratios = signs @ weights + bias
        likelihood, by_ratio, by_chance = count_likelihood(
            ratios, mask, low, high, burdens, log_softmax(chances), found=head.found, leak=head.leak
        )
        by_chance = by_chance - np.exp(log_softmax(chances)) * by_chance.sum()
        gradient = np.concatenate([np.einsum("bn,bnf->f", by_ratio, signs), [by_ratio.sum()], by_chance])
        gradient[: head.features] -= PENALTY * weights
        return PENALTY / 2 * float(weights @ weights) - likelihood, -gradient

    bounds = [(0, None)] * head.features + [(None, None)] + [(-12.0, 12.0)] * len(burdens)
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS, "ftol": TOLERANCE}
    )
    weights, bias, chances = np.split(found.x, [head.features, head.features + 1])
    with torch.no_grad():
        head.classifier.weight.copy_(torch.from_numpy(weights)[None])
        head.classifier.bias.copy_(torch.from_numpy(bias))
        head.log_chances.copy_(torch.from_numpy(log_softmax(chances)))
    return network.eval()


def count_likelihood(
    ratios: Floats,
    mask: NDArray[np.bool_],
    low: Floats,
    high: Floats,
    burdens: Floats,
    log_chances: Floats,
    *,
    found: float,
    leak: float,
) -> tuple[float, Floats, Floats]:
    """Log-likelihood of all reports, and its gradient.

    Parameters
    ----------
    ratios, mask
        Log likelihood ratio of each node, and where there is one (b, n).
    low, high
        The reported interval of the count (b,); ``high`` may be infinite.
    burdens, log_chances
        Log odds of a node under each burden, and the log of their chances (m,).
    found, leak
        As in :mod:`preop.counts`.

    Returns
    -------
    The sum over bags; its gradient by the ratios (b, n): soft label less prior; and by the chances (m,).
    """
    odds = ratios[:, None] + burdens[:, None]  # b, m, n
    prior = expit(odds) * mask[:, None]
    evidence = ((np.logaddexp(0, odds) - np.logaddexp(0, burdens)[:, None]) * mask[:, None]).sum(axis=2)
    log_given = log_softmax(log_chances + evidence, axis=1)
    likelihood, posterior = np.empty(evidence.shape), np.empty(prior.shape)
    for rows in (high == 0, high > 0):  # most patients have none, and few counts to keep
        if rows.any():
            likelihood[rows], posterior[rows] = _counted(prior[rows], low[rows], high[rows], found, leak)
    joint = log_given + np.log(np.maximum(likelihood, 1e-300))
    total = logsumexp(joint, axis=1)
    before, after = np.exp(log_given), np.exp(joint - total[:, None])
    soft = np.einsum("bm,bmn->bn", after, posterior)
    return float(total.sum()), soft - np.einsum("bm,bmn->bn", before, prior), (after - before).sum(axis=0)


def _counted(prior: Floats, low: Floats, high: Floats, found: float, leak: float) -> tuple[Floats, Floats]:
    """Probability of the report (b, m), and posterior of each node given it (b, m, n), of independent nodes."""
    bags, levels, nodes = prior.shape
    finite = np.where(np.isinf(high), low - 1, high)
    cells = int(finite.max()) + 2  # the last pools all counts above
    counts = np.arange(cells)
    inside = (counts >= low[:, None]) & (counts <= high[:, None])
    # Backwards: the chance that the report is met, if so many are counted already and the rest are still to come.
    leaks = np.exp(-leak) * np.cumprod(np.concatenate([[1.0], leak / np.arange(1, cells)]))
    rest = np.zeros((nodes + 1, bags, 1, cells))
    beyond = inside[:, -1:].astype(float)
    for count in range(cells):
        here = inside[:, count:] @ leaks[: cells - count] + beyond[:, 0] * (1 - leaks[: cells - count].sum())
        rest[nodes, :, 0, count] = here
    rest = np.repeat(rest, levels, axis=2)
    for node in range(nodes - 1, -1, -1):
        counted = found * prior[..., node, None]
        after = rest[node + 1]
        rest[node] = (1 - counted) * after + counted * _one_more(after)
    # Forwards: so many counted before a node.
    before = np.zeros((bags, levels, cells))
    before[..., 0] = 1
    posterior = np.empty_like(prior)
    likelihood = rest[0, ..., 0]
    for node in range(nodes):
        after = rest[node + 1]
        one = prior[..., node, None]
        met = one * ((1 - found) * after + found * _one_more(after))
        posterior[..., node] = (before * met).sum(-1)
        counted = found * one
        moved = np.concatenate([np.zeros((bags, levels, 1)), before[..., :-1]], axis=-1)
        moved[..., -1] += before[..., -1]
        before = (1 - counted) * before + counted * moved
    return likelihood, posterior / np.maximum(likelihood, 1e-300)[..., None]


def _one_more(values: Floats) -> Floats:
    """Of a count, what belongs to the next; the last cell pools."""
    return np.concatenate([values[..., 1:], values[..., -1:]], axis=-1)
