"""Agreement of ordered stages with their reference.

References
----------
Cohen J. Weighted kappa: nominal scale agreement with provision for scaled disagreement or partial credit.
Psychol Bull 1968;70:213-20.
Fleiss JL, Cohen J, Everitt BS. Large sample standard errors of kappa and weighted kappa.
Psychol Bull 1969;72:323-7.
Efron B, Stein C. The jackknife estimate of variance. Ann Stat 1981;9:586-96.
Obuchowski NA. Estimating and comparing diagnostic tests' accuracy when the gold standard is not binary.
Acad Radiol 2005;12:1198-204.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
        pairs = np.array([[place[stage] for stage in stages] for stages in (reference, predicted)])
        np.add.at(matrix, tuple(pairs), 1)
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
    def ordinal_auc(self) -> Estimate | None:
        """How often, of two cases of different stages, the one of the higher stage is given the higher one (Obuchowski 2005).

        Equal ones count one half. The interval is symmetric on the logit scale with the jackknife's variance, NaN where that
        vanishes. None where all cases have the same true stage.
        """
        from scipy.special import expit, logit
        from scipy.stats import t

        if np.count_nonzero(self.matrix.sum(axis=1)) < 2:
            return None
        area = float(ordinal_aucs(self.matrix[np.newaxis].astype(np.float64))[0])
        variance = self._jackknife_variance(ordinal_aucs)
        if not variance > NO_VARIANCE or area in (0, 1):
            return Estimate.without_interval(area)
        half_width = float(t.ppf(0.975, self.cases - 1)) * math.sqrt(variance) / (area * (1 - area))
        lower, upper = expit(logit(area) + np.array([-half_width, half_width]))
        return Estimate(area, float(lower), float(upper))

    @property
    def quadratic_weighted_kappa(self) -> Estimate | None:
        """Cohen's kappa with quadratic weights; the interval is symmetric on Fisher's z scale.

        The variance is the jackknife's (Efron & Stein 1981) and the quantile Student's t: in 20 to 400 simulated
        cases the interval covers 94 to 97 %, the large-sample one of Fleiss 1969 as little as 88 %
        (``benchmarks/coverage.py``). None where every case has one and the same stage in both: no disagreement was
        possible by chance. The interval is NaN where the variance vanishes, as with perfect agreement or one stage
        for all.
        """
        return self._kappa(_squared_distances(len(self.categories)))

    @property
    def kappa(self) -> Estimate | None:
        """Cohen's kappa without weights, for categories without an order; else as the weighted one."""
        return self._kappa(1.0 - np.eye(len(self.categories)))

    def _kappa(self, disagreement: NDArray[np.float64]) -> Estimate | None:
        from scipy.stats import t

        in_use = self.matrix.any(axis=0) | self.matrix.any(axis=1)
        if in_use.sum() == 1:
            return None
        kappa = float(_kappas(self.matrix[np.newaxis].astype(np.float64), disagreement)[0])
        variance = self._jackknife_variance(lambda tables: _kappas(tables, disagreement))
        if not variance > NO_VARIANCE or abs(kappa) >= 1:
            return Estimate.without_interval(kappa)
        half_width = float(t.ppf(0.975, self.cases - 1)) * math.sqrt(variance) / (1 - kappa**2)
        lower, upper = np.tanh(np.arctanh(kappa) + np.array([-half_width, half_width]))
        return Estimate(kappa, float(lower), float(upper))

    def _jackknife_variance(self, figure: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> float:
        """Variance of a figure of tables from leaving out each case; NaN where it is undefined without one of them."""
        cells = np.argwhere(self.matrix)
        without_one = np.repeat(self.matrix[np.newaxis].astype(np.float64), len(cells), axis=0)
        without_one[np.arange(len(cells)), cells[:, 0], cells[:, 1]] -= 1
        figures, weights = figure(without_one), self.matrix[cells[:, 0], cells[:, 1]]
        mean = np.average(figures, weights=weights)
        return float((self.cases - 1) / self.cases * (weights * (figures - mean) ** 2).sum())

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Nested counts for a JSON file: reference stage, then predicted stage."""
        return {
            true: {called: int(count) for called, count in zip(self.categories, row, strict=True)}
            for true, row in zip(self.categories, self.matrix, strict=True)
        }


def quadratic_weighted_kappas(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quadratic weighted kappa of each table (t, k, k); NaN where no disagreement is possible by chance."""
    return _kappas(matrices, _squared_distances(matrices.shape[-1]))


def ordinal_aucs(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Obuchowski's ordinal AUC of each table (t, k, k), every pair of stages weighed by its cases; NaN with one true stage."""
    # Cases with a higher true stage, by the stage that they were given; then those given a higher one, half of the equal ones.
    above = matrices[:, ::-1].cumsum(axis=1)[:, ::-1] - matrices
    given_more = above[:, :, ::-1].cumsum(axis=2)[:, :, ::-1] - above / 2
    pairs = (matrices.sum(axis=2) * above.sum(axis=2)).sum(axis=1)
    ordered = (matrices * given_more).sum(axis=(1, 2))
    return np.asarray(np.divide(ordered, pairs, out=np.full(len(matrices), np.nan), where=pairs > 0))


def _squared_distances(stages: int) -> NDArray[np.float64]:
    places = np.arange(stages, dtype=np.float64)
    return np.subtract.outer(places, places) ** 2


def _kappas(matrices: NDArray[np.float64], disagreement: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kappa of each table (t, k, k) for weights of disagreement (k, k); NaN where none is possible by chance."""
    observed = (disagreement * matrices).sum(axis=(1, 2)) * matrices.sum(axis=(1, 2))
    expected = np.einsum("ti,ij,tj->t", matrices.sum(axis=2), disagreement, matrices.sum(axis=1))
    ratio = np.full(len(matrices), np.nan)
    np.divide(observed, expected, out=ratio, where=expected > 0)
    return np.asarray(1 - ratio)
