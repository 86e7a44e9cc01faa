"""What was counted, as an interval of the count: its likelihood, and what it says of every instance."""

import torch
from torch import Tensor

from preop.counts.convolution import IMPOSSIBLE
from preop.counts.distribution import log_probabilities


def log_likelihood(
    logits: Tensor,
    low: Tensor,
    high: Tensor,
    mask: Tensor | None = None,
    *,
    found: float | Tensor = 1.0,
    leak: float | Tensor = 0.0,
) -> Tensor:
    """Log-probability that the count of each bag lies between ``low`` and ``high``, both included.

    Parameters
    ----------
    logits, mask, found, leak
        As for :func:`log_probabilities`.
    low, high
        The observed interval of the count: (bags,). ``high`` may be infinite: ``1, inf`` says that at least one
        instance is positive.

    Returns
    -------
    (bags,); minus infinity, with zero gradient, where the count cannot be: more positives than instances, no leak.
    """
    finite = torch.where(high.isinf(), low - 1, high)
    most = max(1, int(finite.max()) + 1)  # the last cell pools: it is inside an interval only where that is open
    cells = log_probabilities(logits, mask, found=found, leak=leak, most=most)
    counts = torch.arange(most + 1, device=logits.device)
    inside = (counts >= low.to(logits.device)[:, None]) & (counts <= high.to(logits.device)[:, None])
    return log_sum_exp(cells.masked_fill(~inside, IMPOSSIBLE))


def posterior(
    logits: Tensor,
    low: Tensor,
    high: Tensor,
    mask: Tensor | None = None,
    *,
    found: float | Tensor = 1.0,
    leak: float | Tensor = 0.0,
) -> Tensor:
    """Probability that each instance is positive, given that the count of its bag lies between ``low`` and ``high``.

    The derivative of a log-likelihood by the logit of a hidden Bernoulli variable is its posterior minus its prior
    (the score identity, also under thinning and leak), so the gradient of :func:`log_likelihood` is all it takes.

    Returns
    -------
    (bags, instances), without gradient; 0 for padding, and the prior where the observed count is impossible.
    """
    with torch.enable_grad():
        free = logits.detach().float().requires_grad_()
        likelihood = log_likelihood(free, low, high, mask, found=found, leak=leak)
        (surprise,) = torch.autograd.grad(likelihood.sum(), free)
    probability = (torch.sigmoid(free.detach()) + surprise).clamp(0, 1)
    return probability if mask is None else probability.masked_fill(~mask, 0.0)


def log_sum_exp(values: Tensor) -> Tensor:
    """Log-sum-exp over the last axis whose gradient is zero, not undefined, where every value is minus infinity."""
    largest = values.detach().amax(-1, keepdim=True)
    largest = largest.masked_fill(largest == IMPOSSIBLE, 0.0)
    total = torch.exp(values - largest).sum(-1)
    possible = total > 0
    return torch.where(possible, total.where(possible, 1.0).log() + largest[..., 0], IMPOSSIBLE)
