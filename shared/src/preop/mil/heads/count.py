"""The count head, and heads with the same network that learn from more or from less: what a label is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from preop.counts import log_likelihood, log_probabilities, log_sum_exp
from preop.errors import InvalidInputError
from preop.mil.bags import Bag, Parts, parts_of
from preop.mil.heads.base import Head, Reading, is_positive
from preop.mil.search import minimise

LARGEST_LOG_ODDS = 100.0
"""Beyond it a probability is 0 or 1 in float32; keeps the log odds of an impossible count finite."""

PRIOR_RANGE = (-12.0, 6.0)
"""Log odds of an instance in which the prior is looked for."""

BURDENS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.7)
"""Parts of a bag's instances that may be positive, for a head that is ``clustered``."""

NEVER = -60.0
"""Log odds of an instance in a bag without positive ones: more than anything seen of it can make up for."""

_MIN_LOG_CHANCE = -10.0
"""Of a burden, at the start of training: low enough, and can still be learned otherwise."""

STEPS_TO_PRIOR = 200
"""Of expectation and maximisation, for the chances of the burdens; each is cheap, and more change nothing."""


class CountHead(Head):
    """A log odds for each instance; a bag's label is an interval of the number of positive instances.

    Instances are positive independently of each other, given what is seen of them, so that their number has a
    Poisson-binomial distribution (:mod:`preop.counts`), and the loss is the negative log-likelihood of what was
    reported: an exact count, a range, pN0 or pN+, mixed in one cohort.

    Positives may come together: most patients have no metastasis, some have many. A head that is ``clustered`` knows a
    burden, the part of a bag's instances that is positive before any of them is looked at; one of ``BURDENS``, each
    with a chance that is learned. Given the burden, instances are independent. What is seen of all instances says how
    likely each burden is (Bayes' rule: the evidence of an instance is its likelihood ratio), and so a node is judged in
    the light of the others, and a bag is no more likely to be positive for being large.

    Contributions: probability of each instance; they add up, times ``found`` and with ``leak``, to the expected count.

    Parameters
    ----------
    found
        Probability that a positive instance enters the reported count.
    leak
        Mean number of reported positives that are none of the instances.
    clustered
        Whether positives come together.
    """

    name = "count"
    burdens: Tensor

    def __init__(self, features: int, found: float = 1.0, leak: float = 0.0, *, clustered: bool = False) -> None:
        super().__init__(features, found=found, leak=leak, clustered=clustered)
        if not 0 < found <= 1 or leak < 0:
            raise InvalidInputError(
                f"The head {self.name} was given found {found:g} and leak {leak:g}; expected a probability above 0, and "
                "a mean of at least 0."
            )
        self.found, self.leak, self.clustered = found, leak, clustered
        self.classifier = nn.Linear(features, 1)
        self.log_chances = nn.Parameter(torch.zeros(len(BURDENS))) if clustered else None
        self.register_buffer("burdens", torch.tensor(BURDENS).logit().clamp(min=NEVER), persistent=False)

    def forward(self, features: Tensor, mask: Tensor) -> Reading:
        """See :class:`Head`; ``logits`` is there: of a clustered head the log of each instance's likelihood ratio."""
        return self.read(self.classifier(features)[..., 0], mask)

    def read(self, logits: Tensor, mask: Tensor, temperature: float = 1.0) -> Reading:
        """Reading of bags whose instances have these log odds, or log likelihood ratios (b, n).

        Parameters
        ----------
        temperature
            Of a clustered head: by which what all instances together say of the burden is divided.
        """
        cells = self.distribution(logits, mask, most=1, temperature=temperature)
        given, log_chance = self._given_burden(logits, mask, temperature)
        return Reading(
            (cells[:, 1] - cells[:, 0]).clamp(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS),
            (torch.sigmoid(given) * log_chance.exp()[..., None]).sum(dim=1) * mask,
            mask,
            logits=logits * mask,
            temperature=temperature,
        )

    def distribution(self, logits: Tensor, mask: Tensor, *, most: int, temperature: float = 1.0) -> Tensor:
        """Log-probability of 0, 1, ... reported positives, of ``most`` or more in the last place, (b, most + 1)."""
        given, log_chance = self._given_burden(logits, mask, temperature)
        cells = log_probabilities(
            given.flatten(0, 1), _repeated(mask, given), found=self.found, leak=self.leak, most=most
        )
        return log_sum_exp((cells.view(*log_chance.shape, -1) + log_chance[..., None]).transpose(1, 2))

    def expected(self, reading: Reading) -> Tensor:
        """Mean number of reported positives of each bag (b,)."""
        return self.found * reading.contributions.sum(dim=1) + self.leak

    def deviance(self, reading: Reading, low: Tensor, high: Tensor) -> Tensor:
        """Negative log-likelihood of the reported counts (b,)."""
        given, log_chance = self._given_burden(_logits(reading), reading.mask, reading.temperature)
        return -log_sum_exp(self._log_likelihoods(given, low, high, reading.mask, reading.parts) + log_chance)

    def posterior(
        self, logits: Tensor, mask: Tensor, low: Tensor, high: Tensor, parts: Parts | None = None
    ) -> tuple[Tensor, Tensor]:
        """Probability of each instance (b, n), and of each burden (b, m), given these log odds and the reported counts.

        Of an instance by the slope of the deviance, which is what it looks like less what it must be (docs/bags.md).
        """
        with torch.enable_grad():
            logits = logits.detach().requires_grad_()
            seen = replace(self.read(logits, mask), parts=parts)
            (slope,) = torch.autograd.grad(self.deviance(seen, low, high).sum(), logits)
        with torch.no_grad():
            given, log_chance = self._given_burden(logits, mask)
            burdens = (self._log_likelihoods(given, low, high, mask, parts) + log_chance).softmax(1)
            return (seen.contributions - slope).clamp(0, 1) * mask, burdens

    def set_chances(self, burdens: Tensor) -> None:
        """Set the chances of the burdens (m,) of a clustered head."""
        assert self.log_chances is not None  # noqa: S101 - of a clustered head
        with torch.no_grad():
            self.log_chances.copy_(burdens.log().clamp(min=_MIN_LOG_CHANCE))

    def _given_burden(self, logits: Tensor, mask: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Log odds of each instance given each burden (b, m, n), and the log of the burdens' chances (b, m)."""
        if self.log_chances is None:
            return logits[:, None], torch.zeros_like(logits[:, :1])
        given = logits[:, None] + self.burdens[:, None]
        evidence = (functional.softplus(given) - functional.softplus(self.burdens)[:, None]) * mask[:, None]
        together = evidence.sum(dim=2) / temperature
        return given, functional.log_softmax(self.log_chances.log_softmax(0) + together, dim=1)

    def _log_likelihoods(self, given: Tensor, low: Tensor, high: Tensor, mask: Tensor, parts: Parts | None) -> Tensor:
        """Log-likelihood of the reported counts given each burden (b, m): of all parts, which are independent then."""
        if parts is None:
            repeated = [_repeated(part, given) for part in (low, high, mask)]
            found = log_likelihood(given.flatten(0, 1), *repeated, found=self.found, leak=self.leak)
            return found.view(given.shape[:2])
        rows = parts.rows[:, None].expand(-1, given.shape[1], -1)
        inside = given[parts.owner].gather(2, rows)  # (p, m, k)
        chances = [
            torch.where(part.isnan(), told, part) for part, told in ((parts.found, self.found), (parts.leak, self.leak))
        ]
        low, high, mask, found, leak = (
            _repeated(part, given) for part in (parts.low, parts.high, parts.mask, *chances)
        )
        each = log_likelihood(inside.flatten(0, 1), low, high, mask, found=found, leak=leak)
        return given.new_zeros(given.shape[:2]).index_add(0, parts.owner, each.view(inside.shape[:2]))

    def at_temperature(self, reading: Reading, temperature: float) -> Reading:
        """Divide the log odds of each instance; of a clustered head, what all instances together say of the burden.

        Instances of one scan share its contrast, noise and reader, so that they say less together than if they were
        independent; of one instance by itself that says nothing.
        """
        logits = _logits(reading)
        read = (
            self.read(logits, reading.mask, temperature)
            if self.clustered
            else self.read(logits / temperature, reading.mask)
        )
        return replace(read, parts=reading.parts)

    def deviance_at(self, temperature: float, reading: Reading, low: Tensor, high: Tensor) -> Tensor:
        """See :class:`Head`; of a reading only the log odds of instances count, and the rest of another one is spared."""
        if self.clustered:
            return self.deviance(replace(reading, temperature=temperature), low, high)
        return self.deviance(replace(reading, logits=_logits(reading) / temperature), low, high)

    def check(self, bags: Sequence[Bag]) -> None:
        """Refuse bags with more positives than instances, where nothing is said to leak."""
        for bag in bags:
            counted = (
                [(bag.low, bag.size, None)]
                if bag.parts is None
                else [(part.low, len(part.rows), part.leak) for part in bag.parts]
            )
            for low, size, leak in counted:
                if low > size and (self.leak if leak is None else leak) == 0:
                    raise InvalidInputError(
                        f"The bag {bag.name} has {size} instances, and at least {low:g} positive ones were reported: "
                        "give the head a leak above 0, the mean number of positives that are none of the instances."
                    )

    def output_layers(self) -> Sequence[nn.Linear]:
        """See :class:`Head`."""
        return [self.classifier]

    def start_from(self, bags: Sequence[Bag]) -> None:
        """See :class:`Head`; of a clustered head, the chances of the burdens, with instances that say nothing."""
        if self.log_chances is None:
            super().start_from(bags)
            return
        nothing, mask, low, high = _labels_of(bags)
        with torch.no_grad():
            given, log_chances = self._given_burden(nothing, mask)
            likelihoods = self._log_likelihoods(given, low, high, mask, parts_of(bags))
            for _ in range(STEPS_TO_PRIOR):
                log_chances = (likelihoods + log_chances).log_softmax(1).logsumexp(0).log_softmax(0)
            self.set_chances(log_chances.exp())
            self.classifier.bias.zero_()

    def prior_logit(self, bags: Sequence[Bag]) -> float:
        """Log odds by which all labels together are most likely, if all instances had the same."""
        nothing, mask, low, high = _labels_of(bags)

        def deviance(logit: float) -> float:
            likelihood = log_likelihood(nothing + logit, low, high, mask, found=self.found, leak=self.leak)
            return -float(likelihood[likelihood.isfinite()].sum())

        return minimise(deviance, *PRIOR_RANGE)


class NoisyOrHead(CountHead):
    """The count head that is told only whether a bag is positive: what the number itself is worth."""

    name = "noisy_or"

    def deviance(self, reading: Reading, low: Tensor, high: Tensor) -> Tensor:
        """Negative log-likelihood of none, or of at least one, reported positive (b,)."""
        positive = is_positive(low, high)
        return super().deviance(replace(reading, parts=None), positive, torch.where(positive > 0, torch.inf, 0.0))

    def check(self, bags: Sequence[Bag]) -> None:
        """Refuse bags of which it is open whether they are positive."""
        Head.check(self, bags)
        super().check(bags)

    def prior_logit(self, bags: Sequence[Bag]) -> float:
        """As for the count head, from none or at least one alone."""
        return super().prior_logit(
            [replace(bag, low=min(bag.low, 1), high=float("inf") if bag.low else 0, parts=None) for bag in bags]
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
    """The count head that learns from the label of every instance: the oracle where only counts are known."""

    name = "instance_labels"

    def loss(self, reading: Reading, low: Tensor, high: Tensor, labels: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Cross-entropy of the instances' labels, summed over each bag (b,): the likelihood of all of them."""
        if labels is None:
            raise InvalidInputError(
                "The labels of the instances are missing; the head instance_labels learns from them."
            )
        given, log_chance = self._given_burden(_logits(reading), reading.mask)
        truth = labels[:, None].expand_as(given)
        each = -functional.binary_cross_entropy_with_logits(given, truth, reduction="none") * reading.mask[:, None]
        return -log_sum_exp(each.sum(dim=2) + log_chance)

    def check(self, bags: Sequence[Bag]) -> None:
        """Refuse bags whose instances have no labels."""
        super().check(bags)
        for bag in bags:
            if bag.instance_labels is None:
                raise InvalidInputError(
                    f"The bag {bag.name} has no labels of its instances, from which the head {self.name} learns: give them, "
                    "or choose the head count."
                )


def _labels_of(bags: Sequence[Bag]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits of 0 and the mask of bags (b, n), and their fewest and most positives (b,)."""
    sizes = torch.tensor([bag.size for bag in bags])
    mask = torch.arange(max(1, int(sizes.max()))) < sizes[:, None]
    low = torch.tensor([float(bag.low) for bag in bags])
    high = torch.tensor([float(bag.high) for bag in bags])
    return torch.zeros(mask.shape), mask, low, high


def _repeated(values: Tensor, given: Tensor) -> Tensor:
    """What belongs to a bag (b, ...), once for each burden (b m, ...)."""
    return values.repeat_interleave(given.shape[1], dim=0)


def _logits(reading: Reading) -> Tensor:
    assert reading.logits is not None  # noqa: S101 - a reading of a count head
    return reading.logits
