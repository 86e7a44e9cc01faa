"""Whether a case could be assessed at all: beside a likelihood or a stage, and never hidden in it.

What was not measured, not placed, or not plausible counts as unknown and never as negative. And no likelihood is nearer to
0 or 1 than the validation of the model supports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from preop.study.provenance import ModelInfo


class Assessable(StrEnum):
    """Whether a result may be read as one."""

    YES = "yes"
    LIMITED = "limited"
    NO = "no"


@dataclass(frozen=True)
class Assessability:
    """Whether a case could be assessed.

    Attributes
    ----------
    prevents
        Reasons why nothing can be said, in sentences; then there is no decision.
    limits
        Reasons why what is said holds with reservations.
    """

    prevents: Sequence[str] = ()
    limits: Sequence[str] = ()

    @property
    def verdict(self) -> Assessable:
        """The worst that the reasons ask for."""
        if self.prevents:
            return Assessable.NO
        return Assessable.LIMITED if self.limits else Assessable.YES

    def to_json(self) -> dict[str, Any]:
        """Entries of an explanation: ``assessable``, and its reasons, those that prevent an answer first."""
        return {"assessable": str(self.verdict), "assessable_reasons": [*self.prevents, *self.limits]}


def supported(likelihood: float, info: ModelInfo) -> float:
    """Keep a likelihood as far from 0 and 1 as the validation supports.

    Among n held-out patients no rarer event than one in n + 2 can be told from none (Laplace's rule of succession): a
    likelihood below 1 / (n + 2), or above its complement, was never put to the test.
    """
    limit = 1 / (info.validation.patients + 2)
    return min(max(likelihood, limit), 1 - limit)
