"""A category in order, such as a stage: every figure of an evaluation, alone and beside another reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from preop.evidence.judging.base import DEFAULT_RESAMPLING, Chosen, Figures, Json, Judged, Resampling, some
from preop.evidence.judging.pairs import compared, compared_shares
from preop.evidence.ordinal import OrdinalPredictions
from preop.statistics import (
    Agreement,
    Estimate,
    bootstrap,
    multinomial_tables,
    ordinal_aucs,
    owners_of,
    percentile_interval,
    quadratic_weighted_kappas,
    resampled_p_value,
)

Floats = NDArray[np.float64]
_ONE_STAGE = "All cases have the same true stage."
_NO_CHANCE = "All cases have one and the same stage in both, so no disagreement was possible by chance."


@dataclass(frozen=True, eq=False)
class JudgedOrdinal(Judged):
    """Cases with a stage each.

    Attributes
    ----------
    patients
        Whom each case belongs to (n,), where several may be of one; None where each is a patient of its own.
    """

    predictions: OrdinalPredictions
    patients: tuple[str, ...] | None = None
    resampling: Resampling = DEFAULT_RESAMPLING

    @property
    def cases(self) -> int:
        """How many there are."""
        return len(self.predictions.references)

    @property
    def smallest_class(self) -> int:
        """All of them: a stage that is rare is no reason to warn."""
        return self.cases

    def take(self, chosen: Chosen) -> Self:
        """Give some of the cases (n,)."""
        own = self.predictions
        part = OrdinalPredictions(own.categories, some(own.references, chosen), some(own.predictions, chosen))
        return replace(self, predictions=part, patients=some(self.patients, chosen))

    def headline(self) -> Figures:
        """Accuracy and weighted kappa."""
        found = Figures()
        found.put("accuracy", self._of_table(lambda agreement: agreement.accuracy, _accuracies), "")
        kappa = self._of_table(lambda agreement: agreement.quadratic_weighted_kappa, quadratic_weighted_kappas)
        found.put("quadratic_weighted_kappa", kappa, _NO_CHANCE)
        return found

    def figures(self) -> Figures:
        """Give all figures."""
        found, predictions = self.headline(), self.predictions
        area = self._of_table(lambda agreement: agreement.ordinal_auc, ordinal_aucs)
        found.put("ordinal_auc", area, _ONE_STAGE)
        over, under = predictions.over_and_under
        found.put("over_staged", self._of_table(lambda _: over, lambda tables: _share(np.triu(tables, 1), tables)), "")
        found.put(
            "under_staged", self._of_table(lambda _: under, lambda tables: _share(np.tril(tables, -1), tables)), ""
        )
        found.stated["cuts"] = {
            f"{name}_or_more": self._cut(first) for first, name in enumerate(predictions.categories) if first
        }
        found.stated["confusion"] = predictions.agreement.as_dict()
        return found

    def curves(self) -> Json:
        """Nothing is drawn but the table."""
        return {}

    def compare(self, others: OrdinalPredictions) -> Json:
        """Compare with another reader's stages of the same cases: McNemar's test of what is right, resampled kappas.

        Where patients have several cases, the p-values of McNemar's test are replaced by those from resampled patients.
        """
        own, true = self.predictions, np.array(self.predictions.references)
        right, also = (np.array(each.predictions) == true for each in (own, others))
        everything = np.ones(self.cases, dtype=np.bool_)
        agreements = own.agreement, others.agreement
        found: Json = {
            "cases": self.cases,
            "accuracy": compared_shares(right, also, everything, self._owners, self.resampling),
            "quadratic_weighted_kappa": self._compared_tables(
                others, quadratic_weighted_kappas, *(each.quadratic_weighted_kappa for each in agreements)
            ),
            "ordinal_auc": self._compared_tables(others, ordinal_aucs, *(each.ordinal_auc for each in agreements)),
        }
        places = {name: place for place, name in enumerate(own.categories)}
        reference, first, second = (
            np.array([places[name] for name in names])
            for names in (own.references, own.predictions, others.predictions)
        )
        found["over_staged"] = compared_shares(
            first > reference, second > reference, everything, self._owners, self.resampling
        )
        found["under_staged"] = compared_shares(
            first < reference, second < reference, everything, self._owners, self.resampling
        )
        found["cuts"] = {
            f"{name}_or_more": {
                measure: compared_shares(
                    (first >= cut) == part, (second >= cut) == part, side, self._owners, self.resampling
                )
                for measure, part, side in (
                    ("sensitivity", True, reference >= cut),
                    ("specificity", False, reference < cut),
                )
                if side.any()
            }
            for cut, name in enumerate(own.categories)
            if cut
        }
        return found

    @cached_property
    def _owners(self) -> NDArray[np.intp] | None:
        return owners_of(self.patients, self.cases)

    @cached_property
    def _cells(self) -> NDArray[np.intp]:
        """Place of each case in the table of reference and prediction, (2, n)."""
        places = {name: place for place, name in enumerate(self.predictions.categories)}
        stages = self.predictions.references, self.predictions.predictions
        return np.array([[places[name] for name in each] for each in stages], dtype=np.intp)

    @cached_property
    def _tables(self) -> Floats:
        """Tables of resampled patients (rows, k, k)."""
        return self._resampled_tables(self._cells)

    def _resampled_tables(self, cells: NDArray[np.intp]) -> Floats:
        """Tables of resampled cases, or patients, by any number of readers (rows, k, k, ...); ``cells`` (readers, n)."""
        shape = (len(self.predictions.categories),) * len(cells)
        flat = np.ravel_multi_index(tuple(cells), shape)
        if self._owners is None:
            table = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
            return multinomial_tables(table, seed=self.resampling.seed, repeats=self.resampling.repeats)
        used, place = np.unique(flat, return_inverse=True)
        member = np.zeros((flat.size, used.size))
        member[np.arange(flat.size), place] = 1
        draws = bootstrap(
            lambda weights: weights @ member,
            self.cases,
            seed=self.resampling.seed,
            repeats=self.resampling.repeats,
            owners=self._owners,
        )
        tables = np.zeros((len(draws), int(np.prod(shape))))
        tables[:, used] = draws
        return tables.reshape(len(draws), *shape)

    def _of_table(
        self, by_formula: Callable[[Agreement], Estimate | None], of_tables: Callable[[Floats], Floats]
    ) -> Estimate | None:
        """Give an estimate with the interval of its formula, or from resampled patients where one has several cases."""
        estimate = by_formula(self.predictions.agreement)
        if estimate is None or self._owners is None:
            return estimate
        return percentile_interval(estimate.value, of_tables(self._tables))

    def _cut(self, first: int) -> Json:
        counts, part = self.predictions.cut(first), Figures()
        for name, of_tables in {"sensitivity": _sensitivities, "specificity": _specificities}.items():
            estimate: Estimate | None = getattr(counts, name)
            if estimate is not None and self._owners is not None:
                estimate = percentile_interval(estimate.value, of_tables(self._tables, first))
            has = "this stage or more" if name == "sensitivity" else "less than this stage"
            part.put(name, estimate, f"No case has {has}.")
        return part.as_dict()

    def _compared_tables(
        self,
        others: OrdinalPredictions,
        of_tables: Callable[[Floats], Floats],
        first: Estimate | None,
        second: Estimate | None,
    ) -> Json:
        """Compare a figure of both tables by resampling the cases with both of their predictions."""
        places = {name: place for place, name in enumerate(others.categories)}
        cells = np.vstack([self._cells, [places[name] for name in others.predictions]])
        tables = self._resampled_tables(cells)
        draws = of_tables(tables.sum(axis=3)) - of_tables(tables.sum(axis=2))
        value = np.nan if first is None or second is None else first.value - second.value
        return compared(first, second, percentile_interval(value, draws), resampled_p_value(draws))


def _share(part: Floats, tables: Floats) -> Floats:
    return np.asarray(part.sum(axis=(1, 2)) / tables.sum(axis=(1, 2)))


def _accuracies(tables: Floats) -> Floats:
    return np.asarray(np.trace(tables, axis1=1, axis2=2) / tables.sum(axis=(1, 2)))


def _sensitivities(tables: Floats, first: int) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(tables[:, first:, first:].sum(axis=(1, 2)) / tables[:, first:].sum(axis=(1, 2)))


def _specificities(tables: Floats, first: int) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(tables[:, :first, :first].sum(axis=(1, 2)) / tables[:, :first].sum(axis=(1, 2)))
