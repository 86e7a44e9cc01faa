"""Agreement of ordered stages with their reference.

References
----------
Cohen J. Weighted kappa: nominal scale agreement with provision for scaled disagreement or partial credit.
Psychol Bull 1968;70:213-20.
Fleiss JL, Cohen J, Everitt BS. Large sample standard errors of kappa and weighted kappa.
Psychol Bull 1969;72:323-7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.statistics.intervals import Estimate, wilson

# A variance below this is rounding: a kappa lies between -1 and 1.
NO_VARIANCE = 1e-20


@dataclass(frozen=True, eq=False)
class Agreement:
    """The table of stages; every score is derived from it.

    Attributes
    ----------
    categories
        Stages in their order, k of them.
    matrix
        Number of cases, (k, k): a row for each stage of the reference, a column for each stage predicted.
    """

    categories: tuple[str, ...]
    matrix: NDArray[np.int64]

    @classmethod
    def of(cls, reference: Sequence[str], predicted: Sequence[str], categories: Sequence[str]) -> Agreement:
        """Count pairs of stages.

        Raises
        ------
        InvalidInputError
            If there is no case, the two differ in number, or a stage is not among the categories.
        """
        if len(reference) != len(predicted) or not reference:
            raise InvalidInputError(
                f"There are {len(predicted)} predicted and {len(reference)} reference stages; expected equally many."
            )
        place = {category: index for index, category in enumerate(categories)}
        strange = [stage for stage in (*reference, *predicted) if stage not in place]
        if strange:
            raise InvalidInputError(f"A stage is '{strange[0]}'; expected one of {', '.join(categories)}.")
        matrix = np.zeros((len(place), len(place)), dtype=np.int64)
        for true, called in zip(reference, predicted, strict=True):
            matrix[place[true], place[called]] += 1
        return cls(tuple(categories), matrix)

    @property
    def cases(self) -> int:
        """Number of cases counted."""
        return int(self.matrix.sum())

    @property
    def accuracy(self) -> Estimate:
        """Share of cases whose stage is exactly right, with Wilson's interval."""
        return wilson(int(np.trace(self.matrix)), self.cases)

    @property
    def quadratic_weighted_kappa(self) -> Estimate | None:
        """Cohen's kappa with quadratic weights and its large-sample interval (Fleiss 1969), cut at -1 and 1.

        None where every case has one and the same stage in both: no disagreement was possible by chance. The
        interval is NaN where the variance vanishes, as with perfect agreement or one stage for all.
        """
        return self._kappa("quadratic")

    @property
    def kappa(self) -> Estimate | None:
        """Cohen's kappa without weights, for categories without an order; else as the weighted one."""
        return self._kappa(None)

    def _kappa(self, weights: str | None) -> Estimate | None:
        from statsmodels.stats.inter_rater import cohens_kappa

        in_use = self.matrix.any(axis=0) | self.matrix.any(axis=1)
        if in_use.sum() == 1:
            return None
        with np.errstate(invalid="ignore", divide="ignore"):  # it also tests kappa against 0, which may not exist
            result = cohens_kappa(self.matrix, wt=weights)
        if not result.var_kappa > NO_VARIANCE:
            return Estimate.without_interval(float(result.kappa))
        return Estimate(float(result.kappa), max(float(result.kappa_low), -1.0), min(float(result.kappa_upp), 1.0))

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Nested counts for a JSON file: reference stage, then predicted stage."""
        return {
            true: {called: int(count) for called, count in zip(self.categories, row, strict=True)}
            for true, row in zip(self.categories, self.matrix, strict=True)
        }
