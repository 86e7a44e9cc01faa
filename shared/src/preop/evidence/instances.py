"""Instances of a patient, such as lymph nodes, that a model ranks: how far the positive ones stand above the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from preop.evidence.binary import BinaryPredictions
from preop.evidence.records import Record
from preop.statistics import Estimate, auc, auc_clustered, mean_estimate, wilson

SHARE_TO_FIND = 0.8
"""Of the positive instances: how many must be reviewed to find so many is what the ranking is worth."""

Score = Literal["contribution", "rule_score"]


class Instance(Record):
    """One instance of a patient."""

    name: str
    contribution: FiniteFloat = Field(
        description="to the prediction, higher where it makes a positive patient likelier"
    )
    rule_score: FiniteFloat = Field(description="its size, or what else the rule goes by")
    truth: Literal[0, 1] | None = Field(None, description="whether it is positive, where that is known")


Group = Sequence[Instance]
"""All instances of a patient, each with its truth."""
Groups = Mapping[str, Group]
"""Those of several patients, by patient."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """How far positive instances stand above the others of the same patient; equal scores count as reviewed last.

    Attributes
    ----------
    auc
        Of all instances together, with an interval by patient (Obuchowski 1997).
    auc_of_patients
        Mean of the patients' own AUCs, with Student's t interval; of those who have instances of both kinds.
    first_is_positive
        Share of the patients whose highest instance is positive, with Wilson's interval.
    found
        Share of all positive instances among the k highest of each patient, for k = 0, 1, 2, ....
    """

    auc: Estimate
    auc_of_patients: Estimate
    first_is_positive: Estimate
    found: NDArray[np.float64]

    @classmethod
    def of(cls, groups: Groups, score: Score) -> Ranking | None:
        """Rank the instances of patients of whom at least one is positive; None where all of them are."""
        truth = np.array([item.truth for group in groups.values() for item in group], dtype=np.bool_)
        if truth.all():  # also where there is none
            return None
        owners = [patient for patient, group in groups.items() for _ in group]
        values = np.array([getattr(item, score) for group in groups.values() for item in group])
        ranks = np.concatenate([_ranks(group, score) for group in groups.values()])
        first = len({owner for owner, rank, yes in zip(owners, ranks, truth, strict=True) if yes and rank == 1})
        own = [area for group in groups.values() if (area := own_auc(group, score)) is not None]
        largest = max(map(len, groups.values()))
        return cls(
            auc=auc_clustered(truth, values, owners),
            auc_of_patients=mean_estimate(own).within(0, 1),
            first_is_positive=wilson(first, len(groups)),
            found=np.cumsum(np.bincount(ranks[truth], minlength=largest + 1)) / truth.sum(),
        )

    @property
    def to_review(self) -> int:
        """How many instances of each patient must be reviewed to find 80 % of the positive ones."""
        return int((self.found >= SHARE_TO_FIND).argmax())

    def figures(self) -> dict[str, Any]:
        """State it for ``model.json``."""
        return {
            "auc": self.auc.as_dict(),
            "auc_of_patients": self.auc_of_patients.as_dict(),
            "first_is_positive": self.first_is_positive.as_dict(),
            "to_look_at": self.to_review,
        }


def as_predictions(groups: Groups, score: Score) -> BinaryPredictions:
    """Take the instances of all patients together."""
    items = [item for group in groups.values() for item in group]
    return BinaryPredictions.of([item.truth == 1 for item in items], [getattr(item, score) for item in items])


def own_auc(group: Group, score: Score) -> float | None:
    """AUC of a patient's own instances; None where all are positive."""
    truth = [item.truth or 0 for item in group]
    return auc(truth, [getattr(item, score) for item in group]) if 0 in truth else None


def found_by_chance(groups: Groups) -> NDArray[np.float64]:
    """Share of the positive instances to be expected among k of each patient in no order, for k = 0, 1, 2, ...."""
    positives, sizes = positives_of(groups), np.array([len(group) for group in groups.values()])
    reviewed = np.arange(sizes.max() + 1)[:, None]
    return np.asarray((np.minimum(reviewed / sizes, 1) * positives).sum(axis=1) / positives.sum())


def first_by_chance(groups: Groups) -> float:
    """Share of the patients whose highest instance would be positive in no order."""
    return float((positives_of(groups) / np.array([len(group) for group in groups.values()])).mean())


def positives_of(groups: Groups) -> NDArray[np.intp]:
    """How many instances of each patient are positive."""
    return np.array([sum(item.truth or 0 for item in group) for group in groups.values()], dtype=np.intp)


def _ranks(group: Group, score: Score) -> NDArray[np.intp]:
    """How many instances of the patient have been reviewed after each one; equal ones are reviewed together."""
    values = np.array([getattr(item, score) for item in group])
    return np.asarray(values.size - np.searchsorted(np.sort(values), values, side="left"))
