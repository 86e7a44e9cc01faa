"""A category of several in order, such as a stage, that is predicted: the figures of the cases, wherever they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from preop.statistics import Agreement, BinaryCounts, Estimate, wilson


def furthest_category(truth: str, categories: Sequence[str]) -> str:
    """Give the category furthest from the truth; of two equally far the higher."""
    return categories[-1] if 2 * categories.index(truth) < len(categories) else categories[0]


@dataclass(frozen=True)
class OrdinalPredictions:
    """Cases whose category is known, and what was predicted of them.

    Attributes
    ----------
    categories
        In their order.
    references
        Of each case.
    predictions
        Of each case; what is not among the categories counts as the one furthest from the truth.
    """

    categories: tuple[str, ...]
    references: tuple[str, ...]
    predictions: tuple[str, ...]

    @classmethod
    def of(
        cls, references: Sequence[str], predictions: Sequence[str | None], categories: Sequence[str]
    ) -> OrdinalPredictions:
        """Take them from lists; None is a prediction that was not made."""
        judged = (
            found if found in categories else furthest_category(truth, categories)
            for truth, found in zip(references, predictions, strict=True)
        )
        return cls(tuple(categories), tuple(references), tuple(map(str, judged)))

    @property
    def agreement(self) -> Agreement:
        """Table of references and predictions."""
        return Agreement.of(self.references, self.predictions, self.categories)

    def cut(self, first: int) -> BinaryCounts:
        """Decisions on "this category or more", by the place of the category."""
        matrix = self.agreement.matrix
        return BinaryCounts(
            true_positives=int(matrix[first:, first:].sum()),
            false_positives=int(matrix[:first, first:].sum()),
            true_negatives=int(matrix[:first, :first].sum()),
            false_negatives=int(matrix[first:, :first].sum()),
        )

    @property
    def over_and_under(self) -> tuple[Estimate, Estimate]:
        """Shares of the cases predicted too high and too low."""
        agreement = self.agreement
        over, under = int(np.triu(agreement.matrix, 1).sum()), int(np.tril(agreement.matrix, -1).sum())
        return wilson(over, agreement.cases), wilson(under, agreement.cases)
