"""Heads that weigh instances by attention before they classify their sum."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from preop.mil.heads.base import Head, Reading, masked_softmax


class AttentionWeights(nn.Module):
    """Weight of each instance in its bag: Ilse 2018 (arXiv 1802.04712), equations 8 and, gated, 9."""

    def __init__(self, features: int, hidden: int, *, gated: bool) -> None:
        super().__init__()
        self.content = nn.Linear(features, hidden)
        self.gate = nn.Linear(features, hidden) if gated else None
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Give weights (b, n) of sum 1, or all 0 in an empty bag, for features (b, n, f)."""
        hidden = torch.tanh(self.content(features))
        if self.gate is not None:
            hidden = hidden * torch.sigmoid(self.gate(features))
        return masked_softmax(self.score(hidden)[..., 0], mask)


class AttentionHead(Head):
    """Attention of Ilse 2018 (arXiv 1802.04712): a linear classifier of the weighted sum of the features.

    Contributions: weight times score, a (w . x). As the classifier is linear they add up, with the bias, to ``logit``;
    unlike the weight alone they say whether an instance speaks for or against.
    """

    name = "attention"
    gated = False

    def __init__(self, features: int, hidden: int = 64) -> None:
        super().__init__(features, hidden=hidden)
        self.weights = AttentionWeights(features, hidden, gated=self.gated)
        self.classifier = nn.Linear(features, 1)

    def forward(self, features: Tensor, mask: Tensor) -> Reading:
        """See :class:`Head`."""
        attention = self.weights(features, mask)
        contributions = attention * (features @ self.classifier.weight[0])
        return Reading(contributions.sum(dim=1) + self.classifier.bias, contributions, mask, attention=attention)

    def output_layers(self) -> Sequence[nn.Linear]:
        """See :class:`Head`."""
        return [self.classifier]


class GatedAttentionHead(AttentionHead):
    """The same with a gate in the attention (Ilse 2018, equation 9)."""

    name = "gated_attention"
    gated = True


class AdditiveAttentionHead(Head):
    """Additive attention (Javed 2022, arXiv 2206.01794): each weighted instance is classified, then they are summed.

    The classifier is a small network, so that instances are judged nonlinearly and the share of each is exact still.
    Its layers have no bias: an instance without attention contributes nothing.

    Contributions: score of each weighted instance; they add up, with the bias, to ``logit``.
    """

    name = "additive_attention"

    def __init__(self, features: int, hidden: int = 64) -> None:
        super().__init__(features, hidden=hidden)
        self.weights = AttentionWeights(features, hidden, gated=True)
        self.hidden = nn.Linear(features, hidden, bias=False)
        self.classifier = nn.Linear(hidden, 1)

    def forward(self, features: Tensor, mask: Tensor) -> Reading:
        """See :class:`Head`."""
        attention = self.weights(features, mask)
        hidden = functional.relu(self.hidden(attention[..., None] * features))
        contributions = hidden @ self.classifier.weight[0]
        return Reading(contributions.sum(dim=1) + self.classifier.bias, contributions, mask, attention=attention)

    def output_layers(self) -> Sequence[nn.Linear]:
        """See :class:`Head`."""
        return [self.classifier]
