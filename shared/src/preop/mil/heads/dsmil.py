"""DSMIL: two streams, the highest instance and the instances that resemble it (Li 2021, arXiv 2011.08939)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from preop.mil.heads.base import Head, Reading, is_positive, masked_max, masked_softmax


class DsmilHead(Head):
    """Dual-stream head: the mean of the highest instance's score and of a classifier of all, weighed by likeness to it.

    Contributions: half the score of the highest instance, and half of weight times score of each; they add up, with
    the mean of both biases, to ``logit``.
    """

    name = "dsmil"

    def __init__(self, features: int, hidden: int = 64) -> None:
        super().__init__(features, hidden=hidden)
        self.instance_classifier = nn.Linear(features, 1)
        self.query = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.Tanh())
        self.bag_classifier = nn.Linear(features, 1)

    def forward(self, features: Tensor, mask: Tensor) -> Reading:
        """See :class:`Head`; ``extra["streams"]`` (b, 2): log odds by the highest instance, and by all."""
        scores = features @ self.instance_classifier.weight[0]
        highest, chosen = masked_max(scores, mask)
        queries = self.query(features)
        critical = torch.einsum("bn,bnd->bd", chosen, queries)
        likeness = torch.einsum("bnd,bd->bn", queries, critical) / queries.shape[-1] ** 0.5
        attention = masked_softmax(likeness, mask)
        shares = attention * (features @ self.bag_classifier.weight[0])
        bias = self.instance_classifier.bias
        streams = torch.stack([highest + bias, shares.sum(dim=1) + self.bag_classifier.bias], dim=1)
        return Reading(
            streams.mean(dim=1),
            (scores * chosen + shares) / 2,
            mask,
            logits=(scores + bias) * mask,
            attention=attention,
            extra={"streams": streams},
        )

    def loss(self, reading: Reading, low: Tensor, high: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Mean of the cross-entropies of both streams."""
        streams = reading.extra["streams"]
        target = is_positive(low, high)[:, None].expand_as(streams)
        return functional.binary_cross_entropy_with_logits(streams, target, reduction="none").mean(dim=1)

    def output_layers(self) -> Sequence[nn.Linear]:
        """See :class:`Head`."""
        return [self.instance_classifier, self.bag_classifier]
