"""The count head, and heads with the same network that learn from more or from less: what a label is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from preop.counts import log_likelihood, log_probabilities
from preop.errors import InvalidInputError
from preop.mil.bags import Bag
from preop.mil.heads.base import Head, Reading, is_positive
from preop.mil.search import minimise

LARGEST_LOG_ODDS = 100.0
"""Beyond it a probability is 0 or 1 in float32; keeps the log odds of an impossible count finite."""

PRIOR_RANGE = (-12.0, 6.0)
"""Log odds of an instance in which the prior is looked for."""


class CountHead(Head):
    """A log odds for each instance; a bag's label is an interval of the number of positive instances.

    Instances are positive independently of each other, given what is seen of them, so that their number has a
    Poisson-binomial distribution (:mod:`preop.counts`), and the loss is the negative log-likelihood of what was
    reported: an exact count, a range, pN0 or pN+, mixed in one cohort.

    Contributions: probability of each instance; they add up, times ``found`` and with ``leak``, to the expected count.

    Parameters
    ----------
    found
        Probability that a positive instance enters the reported count.
    leak
        Mean number of reported positives that are none of the instances.
    """

    name = "count"

    def __init__(self, features: int, found: float = 1.0, leak: float = 0.0) -> None:
        super().__init__(features, found=found, leak=leak)
        if not 0 < found <= 1 or leak < 0:
            raise InvalidInputError(
                f"The head {self.name} was given found {found:g} and leak {leak:g}; expected a probability above 0, and "
                "a mean of at least 0."
            )
        self.found, self.leak = found, leak
        self.classifier = nn.Linear(features, 1)

    def forward(self, features: Tensor, mask: Tensor) -> Reading:
        """See :class:`Head`; ``logits`` is there."""
        return self.read(self.classifier(features)[..., 0], mask)

    def read(self, logits: Tensor, mask: Tensor) -> Reading:
        """Reading of bags whose instances have these log odds (b, n)."""
        cells = self.distribution(logits, mask, most=1)
        return Reading(
            (cells[:, 1] - cells[:, 0]).clamp(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS),
            torch.sigmoid(logits) * mask,
            mask,
            logits=logits * mask,
        )

    def distribution(self, logits: Tensor, mask: Tensor, *, most: int) -> Tensor:
        """Log-probability of 0, 1, ... reported positives, of ``most`` or more in the last place, (b, most + 1)."""
        return log_probabilities(logits, mask, found=self.found, leak=self.leak, most=most)

    def expected(self, reading: Reading) -> Tensor:
        """Mean number of reported positives of each bag (b,)."""
        return self.found * reading.contributions.sum(dim=1) + self.leak

    def deviance(self, reading: Reading, low: Tensor, high: Tensor) -> Tensor:
        """Negative log-likelihood of the reported counts (b,)."""
        return -log_likelihood(_logits(reading), low, high, reading.mask, found=self.found, leak=self.leak)

    def at_temperature(self, reading: Reading, temperature: float) -> Reading:
        """Give the reading with the log odds of each instance divided by a temperature."""
        return self.read(_logits(reading) / temperature, reading.mask)

    def check(self, bags: Sequence[Bag]) -> None:
        """Refuse bags with more positives than instances, where nothing is said to leak."""
        for bag in bags:
            if bag.low > bag.size and self.leak == 0:
                raise InvalidInputError(
                    f"The bag {bag.name} has {bag.size} instances, and at least {bag.low:g} positive ones were reported: "
                    "give the head a leak above 0, the mean number of positives that are none of the instances."
                )

    def output_layers(self) -> Sequence[nn.Linear]:
        """See :class:`Head`."""
        return [self.classifier]

    def prior_logit(self, bags: Sequence[Bag]) -> float:
        """Log odds by which all labels together are most likely, if all instances had the same."""
        sizes = torch.tensor([bag.size for bag in bags])
        mask = torch.arange(max(1, int(sizes.max()))) < sizes[:, None]
        low = torch.tensor([float(bag.low) for bag in bags])
        high = torch.tensor([float(bag.high) for bag in bags])

        def deviance(logit: float) -> float:
            logits = torch.full(mask.shape, logit)
            likelihood = log_likelihood(logits, low, high, mask, found=self.found, leak=self.leak)
            return -float(likelihood[likelihood.isfinite()].sum())

        return minimise(deviance, *PRIOR_RANGE)


class NoisyOrHead(CountHead):
    """The count head that is told only whether a bag is positive: what the number itself is worth."""

    name = "noisy_or"

    def deviance(self, reading: Reading, low: Tensor, high: Tensor) -> Tensor:
        """Negative log-likelihood of none, or of at least one, reported positive (b,)."""
        positive = is_positive(low, high)
        return super().deviance(reading, positive, torch.where(positive > 0, torch.inf, 0.0))

    def check(self, bags: Sequence[Bag]) -> None:
        """Refuse bags of which it is open whether they are positive."""
        Head.check(self, bags)
        super().check(bags)

    def prior_logit(self, bags: Sequence[Bag]) -> float:
        """As for the count head, from none or at least one alone."""
        return super().prior_logit(
            [replace(bag, low=min(bag.low, 1), high=float("inf") if bag.low else 0) for bag in bags]
        )


class SquaredErrorHead(CountHead):
    """The count head with the squared error of the expected count as its loss: what the likelihood is worth.

    A range is met anywhere inside.
    """

    name = "squared_error"

    def loss(self, reading: Reading, low: Tensor, high: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Squared distance of the expected count from the reported interval (b,)."""
        expected = self.expected(reading)
        return (expected - torch.minimum(torch.maximum(expected, low), high)) ** 2


class InstanceLabelHead(CountHead):
    """The count head that learns from the label of every instance: the ceiling where only counts are known."""

    name = "instance_labels"

    def loss(self, reading: Reading, low: Tensor, high: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Cross-entropy of the instances' labels, summed over each bag (b,): the likelihood of all of them."""
        if labels is None:
            raise InvalidInputError(
                "The labels of the instances are missing; the head instance_labels learns from them."
            )
        each = functional.binary_cross_entropy_with_logits(_logits(reading), labels, reduction="none")
        return (each * reading.mask).sum(dim=1)

    def check(self, bags: Sequence[Bag]) -> None:
        """Refuse bags whose instances have no labels."""
        super().check(bags)
        for bag in bags:
            if bag.instance_labels is None:
                raise InvalidInputError(
                    f"The bag {bag.name} has no labels of its instances, from which the head {self.name} learns: give them, "
                    "or choose the head count."
                )


def _logits(reading: Reading) -> Tensor:
    assert reading.logits is not None  # noqa: S101 - a reading of a count head
    return reading.logits
