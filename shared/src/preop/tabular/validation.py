"""Validation in which everything that learns does so on training patients only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from preop.statistics import Estimate, auc, corrected_resampled_t

if TYPE_CHECKING:
    import pandas as pd

# Learns from a table and its outcome, and gives a function that scores another table.
Learner = Callable[["pd.DataFrame", NDArray[np.bool_]], Callable[["pd.DataFrame"], NDArray[np.float64]]]


@dataclass(frozen=True)
class RepeatedSplits:
    """Random stratified splits by patient, the protocol of WORC (Starmans 2021).

    Attributes
    ----------
    repeats
        Number of splits.
    test_share
        Part of the patients that each split holds back.
    seed
        Of the splits: the same for every model, so that their scores are paired.
    """

    repeats: int = 100
    test_share: float = 0.2
    seed: int = 0

    def __call__(self, outcome: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Give the row numbers of the training and test patients of each split."""
        from sklearn.model_selection import StratifiedShuffleSplit

        splitter = StratifiedShuffleSplit(self.repeats, test_size=self.test_share, random_state=self.seed)
        yield from splitter.split(outcome, outcome)


def validate(
    learn: Learner,
    table: pd.DataFrame,
    outcome: NDArray[np.bool_],
    splits: RepeatedSplits,
) -> Estimate:
    """AUC on held-out patients, averaged over the splits, with its corrected resampled t interval.

    Parameters
    ----------
    learn
        Called with the training rows of each split only.
    table
        One row a patient.
    outcome
        Whether each had the event, shape (patients,).
    """
    from joblib import Parallel, delayed

    pairs = list(splits(outcome))
    scores = Parallel(n_jobs=-1)(delayed(_score)(learn, table, outcome, train, test) for train, test in pairs)
    train, test = pairs[0]
    return corrected_resampled_t(scores, training_cases=len(train), test_cases=len(test))


def _score(
    learn: Learner,
    table: pd.DataFrame,
    outcome: NDArray[np.bool_],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
) -> float:
    score = learn(table.iloc[train], outcome[train])
    return auc(outcome[test], score(table.iloc[test]))
