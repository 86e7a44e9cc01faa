"""Splits of a cohort by patient: no patient ever stands on both sides, and both sides have events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.tabular.table import Index

INNER_FOLDS = 5


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

    def __call__(
        self, outcome: NDArray[np.bool_], patients: NDArray[np.str_] | None = None
    ) -> Iterator[tuple[Index, Index]]:
        """Give the training and test rows of each split.

        Parameters
        ----------
        outcome
            Whether each row had the event, (r,).
        patients
            Whom each row belongs to, (r,); left out, each row is a patient of its own.

        Raises
        ------
        InvalidInputError
            If there are too few patients with or without the event to stand on both sides.
        """
        from sklearn.model_selection import StratifiedShuffleSplit

        owner, has_event = _by_patient(outcome, patients)
        splitter = StratifiedShuffleSplit(self.repeats, test_size=self.test_share, random_state=self.seed)
        yield from _rows(owner, splitter.split(has_event, has_event))


def inner_folds(outcome: NDArray[np.bool_], patients: NDArray[np.str_], *, seed: int) -> list[tuple[Index, Index]]:
    """Training and test rows of the stratified folds by patient that choices are made with: five, or fewer if need be.

    Raises
    ------
    InvalidInputError
        If there are fewer than two patients with or without the event.
    """
    from sklearn.model_selection import StratifiedKFold

    owner, has_event = _by_patient(outcome, patients)
    folds = min(INNER_FOLDS, int(has_event.sum()), int((~has_event).sum()))
    return list(_rows(owner, StratifiedKFold(folds, shuffle=True, random_state=seed).split(has_event, has_event)))


def _by_patient(
    outcome: NDArray[np.bool_], patients: NDArray[np.str_] | None
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Number of each row's patient, in order of appearance, and whether each patient had the event in any row."""
    import pandas as pd

    owner = np.arange(outcome.size) if patients is None else pd.factorize(patients)[0]
    has_event = np.bincount(owner, outcome) > 0
    if min(has_event.sum(), (~has_event).sum()) < 2:
        raise InvalidInputError(
            f"The cohort has {int(has_event.sum())} patients with the outcome and {int((~has_event).sum())} without; "
            "expected at least two of each."
        )
    return owner, has_event


def _rows(owner: Index, splits: Iterator[tuple[Index, Index]]) -> Iterator[tuple[Index, Index]]:
    for train, test in splits:
        yield np.flatnonzero(np.isin(owner, train)), np.flatnonzero(np.isin(owner, test))
