"""Time to an event: Cox regression with a penalty, validated on the same splits as the other models.

References
----------
Cox DR. Regression models and life-tables. J R Stat Soc B 1972;34:187-220.
Therneau TM, Grambsch PM, Fleming TR. Martingale-based residuals for survival models. Biometrika 1990;77:147-60.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError, need_package
from preop.statistics import concordance
from preop.statistics.checks import as_labels
from preop.tabular.preparation import Preparation, kept_columns, learn_preparation
from preop.tabular.selection import Selection, best_columns
from preop.tabular.settings import PipelineSettings
from preop.tabular.splits import RepeatedSplits, inner_folds
from preop.tabular.table import FeatureTable, Index

# Strengths of the L2 penalty that the inner folds choose from.
PENALTIES = (0.03, 0.3, 3.0)


@dataclass(frozen=True, eq=False)
class FollowUp:
    """How long each row was observed, (r,), and whether that ended in the event, (r,)."""

    days: NDArray[np.float64]
    event: NDArray[np.bool_]

    @classmethod
    def of(cls, days: ArrayLike, event: ArrayLike) -> Self:
        """Check times and events.

        Raises
        ------
        InvalidInputError
            If they differ in number, or a time is not above 0.
        """
        happened = as_labels(event)
        times = np.asarray(days, dtype=np.float64)
        if times.shape != happened.shape or not (np.isfinite(times) & (times > 0)).all():
            raise InvalidInputError("The follow-up times do not fit; expected one number of days above 0 for each row.")
        return cls(times, happened)

    def rows(self, index: Index) -> FollowUp:
        """Give some of the rows."""
        return FollowUp(self.days[index], self.event[index])

    def to_json(self) -> dict[str, list[float]]:
        """Give plain lists."""
        return {"days": self.days.tolist(), "event": self.event.astype(int).tolist()}


@dataclass(frozen=True, eq=False)
class CoxModel:
    """A fitted regression: log hazard ratios (f,) for each standard deviation, and the median risk of the training rows."""

    preparation: Preparation
    coefficients: NDArray[np.float64]
    penalty: float
    median_risk: float

    def risks(self, table: FeatureTable) -> NDArray[np.float64]:
        """Log hazard ratio of each row against one at the training mean."""
        part = table.select(self.preparation.columns)
        return np.asarray(self.preparation.apply(part.values, part.centres) @ self.coefficients)


@dataclass(frozen=True)
class CoxHeldOut:
    """What a Cox model said of rows it had not learned from: their log hazard ratio, and whether it is above the median."""

    rows: list[int]
    risks: list[float]
    high: list[bool]
    training_rows: int
    concordance: float | None


def fit_cox(table: FeatureTable, follow_up: FollowUp, settings: PipelineSettings) -> CoxModel:
    """Fit a Cox regression with an L2 penalty on the best few columns.

    The columns are put in order by their rank correlation with the martingale residuals of the model without columns
    (Therneau 1990); as many stay as the smallest number in ``settings.max_features``. The penalty is the one with
    the best concordance over the inner folds.

    Raises
    ------
    InvalidInputError
        If there are fewer than two patients with or without the event, or no column can be used.
    MissingToolError
        If lifelines is not installed.
    """
    folds = inner_folds(follow_up.event, table.groups, seed=settings.seed)
    parts = [(_Prepared(table.rows(train), follow_up.rows(train), settings), test) for train, test in folds]

    def out_of_fold(penalty: float) -> float:
        risks = np.empty(len(table.values))
        for part, test in parts:
            risks[test] = part.fit(penalty).risks(table.rows(test))
        return concordance(follow_up.days, follow_up.event, risks)

    best = max(PENALTIES, key=out_of_fold)
    return _Prepared(table, follow_up, settings).fit(best)


def nested_cox(
    table: FeatureTable, follow_up: FollowUp, settings: PipelineSettings, splits: RepeatedSplits
) -> list[CoxHeldOut]:
    """Fit on the training rows of each split, with all choices made inside them, and rank its held-out rows.

    The splits are those of :func:`preop.tabular.nested_validation`.
    """
    from joblib import Parallel, delayed

    pairs: Sequence[tuple[Index, Index]] = list(splits(table.outcome, table.groups))
    return list(Parallel(n_jobs=-1)(delayed(_held_out)(table, follow_up, settings, *pair) for pair in pairs))


def _held_out(
    table: FeatureTable, follow_up: FollowUp, settings: PipelineSettings, train: Index, test: Index
) -> CoxHeldOut:
    model = fit_cox(table.rows(train), follow_up.rows(train), settings)
    risks = model.risks(table.rows(test))
    held = follow_up.rows(test)
    try:
        c_index = concordance(held.days, held.event, risks)
    except InvalidInputError:  # no two of the held-out patients can be compared
        c_index = None
    return CoxHeldOut(test.tolist(), risks.tolist(), (risks > model.median_risk).tolist(), train.size, c_index)


class _Prepared:
    """Training rows ready for any penalty."""

    def __init__(self, table: FeatureTable, follow_up: FollowUp, settings: PipelineSettings) -> None:
        preparation = learn_preparation(table, minimum_icc=settings.minimum_icc)
        if not preparation.columns:
            raise InvalidInputError(
                "No feature can be used: each is missing in most patients, or the same in nearly all."
            )
        part = table.select(preparation.columns)
        values = preparation.apply(part.values, part.centres)
        chosen = best_columns(
            Selection.UNIVARIABLE,
            values,
            _martingale_residuals(follow_up),
            most=min(settings.max_features),
            maximum_correlation=settings.maximum_correlation,
            kept=kept_columns(preparation.columns, settings.kept),
        )
        self.preparation = preparation.select(chosen)
        self.values = values[:, chosen]
        self.follow_up = follow_up

    def fit(self, penalty: float) -> CoxModel:
        need_package("lifelines", "Cox regression", "training")
        import pandas as pd
        from lifelines import CoxPHFitter

        frame = pd.DataFrame(self.values, columns=[str(number) for number in range(self.values.shape[1])])
        frame["days"], frame["event"] = self.follow_up.days, self.follow_up.event
        coefficients = CoxPHFitter(penalizer=penalty).fit(frame, "days", "event").params_.to_numpy(np.float64)
        return CoxModel(self.preparation, coefficients, penalty, float(np.median(self.values @ coefficients)))


def _martingale_residuals(follow_up: FollowUp) -> NDArray[np.float64]:
    """Events less those expected by the Nelson-Aalen estimate: positive for those with an early event."""
    order = np.argsort(follow_up.days, kind="stable")
    days, event = follow_up.days[order], follow_up.event[order]
    at_risk = follow_up.days.size - np.searchsorted(days, days, side="left")
    cumulative = np.cumsum(event / at_risk)
    expected = cumulative[np.searchsorted(days, follow_up.days, side="right") - 1]
    return np.asarray(follow_up.event - expected)
