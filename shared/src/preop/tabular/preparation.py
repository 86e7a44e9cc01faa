"""What is learned of the columns before any model: which can be used, how they are harmonised, filled and scaled."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from preop.statistics import intraclass_correlation
from preop.tabular.harmonisation import Adjustment, learn_combat
from preop.tabular.table import FeatureTable, Index

# A column with one value in more rows than this teaches from a handful of patients only.
MOST_COMMON_SHARE = 0.95
MAX_MISSING_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Preparation:
    """Learned treatment of f columns; each attribute holds one number a column, (f,).

    Attributes
    ----------
    columns
        Names.
    median
        Stands in for a missing value.
    mean, standard_deviation
        Taken away, and divided by.
    adjustments
        By centre, done first; what comes from any other centre is taken as it is.
    """

    columns: tuple[str, ...]
    median: NDArray[np.float64]
    mean: NDArray[np.float64]
    standard_deviation: NDArray[np.float64]
    adjustments: Mapping[str, Adjustment] = field(default_factory=dict)

    def apply(self, values: NDArray[np.float64], centres: NDArray[np.str_]) -> NDArray[np.float64]:
        """Harmonise, fill and scale rows (r, f)."""
        harmonised = _harmonised(values, centres, self.adjustments)
        filled = np.where(np.isnan(harmonised), self.median, harmonised)
        return np.asarray((filled - self.mean) / self.standard_deviation)

    def select(self, index: Index) -> Preparation:
        """Give the treatment of some of the columns."""
        return Preparation(
            tuple(self.columns[column] for column in index),
            self.median[index],
            self.mean[index],
            self.standard_deviation[index],
            {name: Adjustment(part.scale[index], part.offset[index]) for name, part in self.adjustments.items()},
        )


def learn_preparation(table: FeatureTable, *, minimum_icc: float) -> Preparation:
    """Learn the treatment of all columns that can be used.

    A column is left out where more than half of it is missing, where nearly all rows have the same value, and where
    measuring it again gives something else: an intraclass correlation below ``minimum_icc``.
    """
    usable = np.flatnonzero(_is_varied(table.values) & _is_stable(table, minimum_icc))
    values = table.values[:, usable]
    adjustments = _learn_adjustments(values, table.centres, table.harmonised[usable])
    harmonised = _harmonised(values, table.centres, adjustments)
    median = _median(harmonised)
    filled = np.where(np.isnan(harmonised), median, harmonised)
    return Preparation(
        tuple(table.columns[column] for column in usable), median, filled.mean(axis=0), filled.std(axis=0), adjustments
    )


def kept_columns(columns: Sequence[str], kept: Collection[str]) -> Index:
    """Places of those columns that no selection may leave out."""
    return np.array([place for place, name in enumerate(columns) if name in kept], dtype=np.intp)


def _is_varied(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    rows = len(values)
    missing = np.isnan(values)
    ordered = np.sort(np.where(missing, _median(values), values), axis=0)
    window = int(MOST_COMMON_SHARE * rows) + 1
    is_flat = (ordered[: rows - window + 1] == ordered[window - 1 :]).any(axis=0)
    # Rounding leaves a spread of nothing where all values are nearly the same.
    has_spread = ordered.std(axis=0) > 1e-12 * np.abs(ordered).max(axis=0)
    return np.asarray(~is_flat & has_spread & (missing.mean(axis=0) <= MAX_MISSING_SHARE))


def _is_stable(table: FeatureTable, minimum_icc: float) -> NDArray[np.bool_]:
    """Whether each column comes out alike when it is measured again; true where it was not."""
    if table.perturbed is None:
        return np.ones(len(table.columns), dtype=np.bool_)
    agreement = intraclass_correlation(np.concatenate([table.values[None], table.perturbed]))
    return np.asarray(np.isnan(agreement) | (agreement >= minimum_icc))


def _learn_adjustments(
    values: NDArray[np.float64], centres: NDArray[np.str_], harmonised: NDArray[np.bool_]
) -> dict[str, Adjustment]:
    """Adjust the columns that are to be harmonised; the others keep a scale of 1 and an offset of 0."""
    part = np.where(np.isnan(values), _median(values), values)[:, harmonised]
    adjustments = {}
    for centre, learned in learn_combat(part, centres).items():
        scale, offset = np.ones(values.shape[1]), np.zeros(values.shape[1])
        scale[harmonised], offset[harmonised] = learned.scale, learned.offset
        adjustments[centre] = Adjustment(scale, offset)
    return adjustments


def _harmonised(
    values: NDArray[np.float64], centres: NDArray[np.str_], adjustments: Mapping[str, Adjustment]
) -> NDArray[np.float64]:
    result = values.copy()
    for centre, part in adjustments.items():
        rows = centres == centre
        result[rows] = values[rows] * part.scale + part.offset
    return result


def _median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median of what is known of each column, NaN where nothing is; far faster than numpy's on many short columns."""
    ordered = np.sort(values, axis=0)  # missing values come last
    known = np.maximum((~np.isnan(values)).sum(axis=0), 1)
    middle = np.stack([(known - 1) // 2, known // 2])
    return np.asarray(np.take_along_axis(ordered, middle, axis=0).mean(axis=0))
