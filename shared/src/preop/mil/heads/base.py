"""What all heads share: features of padded bags in, a reading out."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from preop.errors import InvalidInputError
from preop.mil.bags import Bag, Parts


@dataclass(frozen=True)
class Reading:
    """What a head says of a batch of bags.

    Attributes
    ----------
    logit
        Log odds that a bag is positive (at least one positive instance), (b,).
    contributions
        Of each instance (b, n), 0 where padded. What they mean stands with each head; for all but TransMIL and those
        that count, they add up, with the bias, to ``logit``.
    mask
        Which instances are real (b, n).
    logits
        Log odds of each instance by itself (b, n), where the head has an opinion on them.
    attention
        Weight of each instance (b, n), of sum 1 in each bag that is not empty, where the head pays attention.
    extra
        What the loss of one head needs beside these.
    parts
        Which instances were counted together, where that is known; only heads that count learn from it.
    temperature
        Of a clustered count head, by which what all instances together say of the bag was divided.
    """

    logit: Tensor
    contributions: Tensor
    mask: Tensor
    logits: Tensor | None = None
    attention: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)
    parts: Parts | None = None
    temperature: float = 1.0


class Head(nn.Module, ABC):
    """From the features of a bag's instances to a reading.

    Parameters
    ----------
    features
        Number of features of an instance.
    options
        What the constructor was told beside it: enough, with ``name``, to make the same head again.
    """

    name: ClassVar[str]

    def __init__(self, features: int, **options: float) -> None:
        super().__init__()
        self.features = features
        self.options = options

    @abstractmethod
    def forward(self, features: Tensor, mask: Tensor) -> Reading:
        """Read bags.

        Parameters
        ----------
        features
            Of the instances (b, n, f), n at least 1, float32.
        mask
            Which instances are real (b, n), bool. A bag may have none.
        """

    @abstractmethod
    def output_layers(self) -> Sequence[nn.Linear]:
        """Layers whose bias is what the head says of a bag of which it sees nothing."""

    def loss(self, reading: Reading, low: Tensor, high: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """What training minimises, for each bag (b,).

        Parameters
        ----------
        low, high
            Fewest and most positive instances (b,).
        labels
            Of the instances (b, n), 0 or 1, for the head that learns from them.

        Raises
        ------
        InvalidInputError
            If the head cannot learn from such labels.
        """
        return self.deviance(reading, low, high)

    def deviance(self, reading: Reading, low: Tensor, high: Tensor) -> Tensor:
        """Negative log-likelihood of each bag's label (b,): what early stopping and calibration go by.

        Raises
        ------
        InvalidInputError
            If a label leaves open whether its bag is positive.
        """
        return functional.binary_cross_entropy_with_logits(reading.logit, is_positive(low, high), reduction="none")

    def at_temperature(self, reading: Reading, temperature: float) -> Reading:
        """Give the reading with its log odds divided by a temperature."""
        return replace(reading, logit=reading.logit / temperature, contributions=reading.contributions / temperature)

    def deviance_at(self, temperature: float, reading: Reading, low: Tensor, high: Tensor) -> Tensor:
        """Give the deviance of the reading at a temperature (b,)."""
        return self.deviance(self.at_temperature(reading, temperature), low, high)

    def check(self, bags: Sequence[Bag]) -> None:
        """Refuse bags that the head cannot learn from, before any work is done.

        Raises
        ------
        InvalidInputError
            It names the first such bag, and what is wrong with it.
        """
        for bag in bags:
            if bag.positive is None:
                raise InvalidInputError(
                    f"The bag {bag.name} is labelled with {bag.low:g} to {bag.high:g} positive instances; the head "
                    f"{self.name} learns only from 0, or from 1 or more: choose the head count, or leave the bag out."
                )

    def start_from(self, bags: Sequence[Bag]) -> None:
        """Set the bias so that an untrained network is right on average, with which training begins faster."""
        prior = self.prior_logit(bags)
        with torch.no_grad():
            for layer in self.output_layers():
                layer.bias.fill_(prior)

    def prior_logit(self, bags: Sequence[Bag]) -> float:
        """Log odds of a positive bag (half a bag of each kind is added, so that they are finite)."""
        positive = sum(bag.positive is True for bag in bags)
        negative = sum(bag.positive is False for bag in bags)
        return math.log((positive + 0.5) / (negative + 0.5))


def is_positive(low: Tensor, high: Tensor) -> Tensor:
    """Whether bags are positive (b,), as 0 and 1.

    Raises
    ------
    InvalidInputError
        If a label leaves that open.
    """
    open_labels = (low < 1) & (high > 0)
    if bool(open_labels.any()):
        first = int(open_labels.nonzero()[0])
        raise InvalidInputError(
            f"A bag is labelled with {float(low[first]):g} to {float(high[first]):g} positive instances; expected 0, or "
            "1 or more: choose the head count, which learns from any interval."
        )
    return (low >= 1).to(low.dtype)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the real instances of each bag (b, n); all 0 for an empty bag, with gradients that are finite."""
    weights = functional.softmax(scores.masked_fill(~mask, torch.finfo(scores.dtype).min), dim=1)
    return weights * mask


def masked_max(scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Give the largest real score of each bag (b,), 0 for an empty one, and a one where it stands (b, n).

    Of equal scores the first counts.
    """
    best = scores.masked_fill(~mask, -torch.inf).argmax(dim=1, keepdim=True)
    chosen = torch.zeros_like(scores).scatter(1, best, 1.0) * mask
    return (scores * chosen).sum(dim=1), chosen
