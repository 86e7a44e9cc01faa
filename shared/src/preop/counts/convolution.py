"""The distribution of a sum of two independent counts, on logarithms, with gradients that survive probability zero."""

from typing import Any

import torch
from torch import Tensor

IMPOSSIBLE = -torch.inf
"""The logarithm of probability zero."""


class _LogConvolution(torch.autograd.Function):
    """``c[k] = log sum of exp(a[i] + b[j]) over i + j = k``, all k beyond ``most`` pooled in cell ``most``.

    The derivative of c[k] by a[i] is the probability of i given k, which is zero where k is impossible; the automatic
    derivative of a log-sum-exp would be 0 / 0 there.
    """

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, most: int) -> Tensor:
        sums = torch.logsumexp(first.unsqueeze(-2) + _shifted(second, first.shape[-1]), dim=-1)
        if sums.shape[-1] > most + 1:
            pooled = torch.logsumexp(sums[..., most:], dim=-1, keepdim=True)
            sums = torch.cat([sums[..., :most], pooled], dim=-1)
        ctx.save_for_backward(first, second, sums)
        return sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        first, second, sums = ctx.saved_tensors
        pairs = first.unsqueeze(-1) + second.unsqueeze(-2)  # ..., i, j
        share = torch.exp(pairs - _by_pair(sums.masked_fill(sums == IMPOSSIBLE, 0.0), pairs))
        flow = share * _by_pair(gradients[0], pairs)
        return flow.sum(-1), flow.sum(-2), None


def _shifted(values: Tensor, size: int) -> Tensor:
    """``[k, i] = values[k - i]``, impossible outside: of shape (..., values + size - 1, size)."""
    padded = torch.nn.functional.pad(values.flip(-1), (size - 1, size - 1), value=IMPOSSIBLE)
    return padded.unfold(-1, size, 1).flip(-2)


def _by_pair(values: Tensor, pairs: Tensor) -> Tensor:
    """``[i, j] = values[i + j]``, or the last value where the sum lies beyond it."""
    missing = sum(pairs.shape[-2:]) - 1 - values.shape[-1]
    last = values[..., -1:].expand(*values.shape[:-1], missing)
    return torch.cat([values, last], dim=-1).unfold(-1, pairs.shape[-1], 1)


def log_convolve(first: Tensor, second: Tensor, most: int) -> Tensor:
    """Log-distribution of the sum of two independent counts.

    Parameters
    ----------
    first, second
        Log-probabilities of 0, 1, 2, ...: (..., cells). The last cell of either may pool ``most`` or more.
    most
        All sums from here on are pooled in the last cell.

    Returns
    -------
    Log-probabilities, (..., min(cells of both - 1, most + 1)).
    """
    summed: Tensor = _LogConvolution.apply(first, second, most)  # type: ignore[no-untyped-call]
    return summed
