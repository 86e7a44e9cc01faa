"""The two simplest heads: the mean of all instances, and the one instance with the highest score."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from preop.mil.heads.base import Head, Reading, masked_max


class MeanHead(Head):
    """A linear classifier of the mean of the features.

    Contributions: share of each instance in the log odds, w . x / n; they add up, with the bias, to ``logit``.
    """

    name = "mean"

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.classifier = nn.Linear(features, 1)

    def forward(self, features: Tensor, mask: Tensor) -> Reading:
        """See :class:`Head`."""
        weights = mask / mask.sum(dim=1, keepdim=True).clamp(min=1)
        contributions = weights * (features @ self.classifier.weight[0])
        return Reading(contributions.sum(dim=1) + self.classifier.bias, contributions, mask)

    def output_layers(self) -> Sequence[nn.Linear]:
        """See :class:`Head`."""
        return [self.classifier]


class MaxHead(Head):
    """A linear classifier of each instance; the highest score is the bag's.

    Contributions: score without bias of the instance that decided, 0 for all others.
    """

    name = "max"

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.classifier = nn.Linear(features, 1)

    def forward(self, features: Tensor, mask: Tensor) -> Reading:
        """See :class:`Head`."""
        scores = features @ self.classifier.weight[0]
        highest, chosen = masked_max(scores, mask)
        bias = self.classifier.bias
        return Reading(highest + bias, scores * chosen, mask, logits=(scores + bias) * mask)

    def output_layers(self) -> Sequence[nn.Linear]:
        """See :class:`Head`."""
        return [self.classifier]
