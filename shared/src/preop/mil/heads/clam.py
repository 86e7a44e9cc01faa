"""CLAM with a single branch: attention that is taught to tell instances apart (Lu 2021, arXiv 2004.09666)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from preop.mil.heads.attention import GatedAttentionHead
from preop.mil.heads.base import Reading, is_positive


class ClamHead(GatedAttentionHead):
    """CLAM-SB: gated attention, with a loss that also clusters the instances by their attention.

    One classifier of instances for each class of bag: that of the bag's own class has to tell the ``most`` instances
    with the highest attention from those with the lowest, and that of the other class has to refuse the former.

    Contributions: as :class:`AttentionHead`.

    Parameters
    ----------
    most
        Instances of each end, B in the paper; all of them where a bag has fewer.
    instance_weight
        Share of the clustering in the loss.
    """

    name = "clam_sb"

    def __init__(self, features: int, hidden: int = 64, most: int = 8, instance_weight: float = 0.3) -> None:
        super().__init__(features, hidden)
        self.options = {"hidden": hidden, "most": most, "instance_weight": instance_weight}
        self.most, self.instance_weight = most, instance_weight
        self.clusters = nn.ModuleList([nn.Linear(features, 2) for _ in range(2)])

    def forward(self, features: Tensor, mask: Tensor) -> Reading:
        """See :class:`Head`; ``extra["clusters"]`` (b, n, 2, 2): class of the bag, then outside or inside the class."""
        clusters = torch.stack([cluster(features) for cluster in self.clusters], dim=2)
        return replace(super().forward(features, mask), extra={"clusters": clusters})

    def loss(self, reading: Reading, low: Tensor, high: Tensor, labels: Tensor | None = None) -> Tensor:
        """See :class:`Head`."""
        bag_loss = super().loss(reading, low, high, labels)
        return (1 - self.instance_weight) * bag_loss + self.instance_weight * self.clustering_loss(reading, low, high)

    def clustering_loss(self, reading: Reading, low: Tensor, high: Tensor) -> Tensor:
        """Smooth support vector loss of the instances with the highest and lowest attention, for each bag (b,).

        For two classes the smooth top-1 loss (Berrada 2018, arXiv 1802.07595) with margin and temperature 1 is the
        softplus of 1 plus the other class's score minus the right one's.
        """
        assert reading.attention is not None  # noqa: S101 - a reading of this head
        positive = is_positive(low, high).long()
        clusters = reading.extra["clusters"]
        bag = torch.arange(len(positive), device=positive.device)
        own, other = clusters[bag, :, positive], clusters[bag, :, 1 - positive]
        attention = reading.attention.detach()
        count = reading.mask.sum(dim=1, keepdim=True).clamp(max=self.most)
        top = (_ranks(-attention, reading.mask) < count) & reading.mask
        bottom = (_ranks(attention, reading.mask) < count) & reading.mask
        accepted = top * functional.softplus(1 + own[..., 0] - own[..., 1])
        rejected = bottom * functional.softplus(1 + own[..., 1] - own[..., 0])
        refused = top * functional.softplus(1 + other[..., 1] - other[..., 0])
        chosen = count[:, 0].clamp(min=1)
        return (accepted + rejected).sum(dim=1) / (2 * chosen) + refused.sum(dim=1) / chosen


def _ranks(values: Tensor, mask: Tensor) -> Tensor:
    """Place of each real instance of a bag (b, n), from 0 for the smallest value; padding comes last."""
    return values.masked_fill(~mask, torch.inf).argsort(dim=1, stable=True).argsort(dim=1, stable=True)
