"""A feature table as the models of this package see it: numbers, outcome, and who each row belongs to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError
from preop.statistics.checks import as_labels

if TYPE_CHECKING:
    import pandas as pd

Index = NDArray[np.intp]
LARGEST = 1e100
"""Of any feature: the square of more cannot be summed."""


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Rows to learn from, or to be judged by: r rows of f columns.

    Attributes
    ----------
    columns
        Name of each column, (f,).
    values
        Numbers, (r, f), NaN where one is missing.
    outcome
        Whether each row had the event, (r,).
    patients
        Whom each row is about, (r,).
    groups
        What each row must stay together with, (r,): rows of one group are never separated by a split. The patients,
        unless several of them are the same person.
    centres
        Where each row comes from, (r,), "" where that is not known.
    perturbed
        The same columns measured again in other ways (contours moved, images shifted), (m, r, f), NaN where a column
        was not; None where nothing was measured again.
    harmonised
        Whether a column is to be harmonised between centres, (f,).
    """

    columns: tuple[str, ...]
    values: NDArray[np.float64]
    outcome: NDArray[np.bool_]
    patients: NDArray[np.str_]
    groups: NDArray[np.str_]
    centres: NDArray[np.str_]
    perturbed: NDArray[np.float64] | None
    harmonised: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        outcome: ArrayLike,
        *,
        patients: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        centres: Sequence[str] | None = None,
        perturbed: Sequence[pd.DataFrame] = (),
        harmonised: Collection[str] = (),
    ) -> Self:
        """Check a data frame and what belongs to it.

        Parameters
        ----------
        table
            One numeric column a feature.
        outcome
            0 or 1, (r,).
        patients
            Whom each row is about; left out, each row is a patient of its own.
        groups
            What is never separated by a split; left out, the patients.
        centres
            Where each row comes from; left out, it is not known.
        perturbed
            Tables of the same rows, with those columns that were measured again.
        harmonised
            Columns to harmonise between centres.

        Raises
        ------
        InvalidInputError
            If the lengths differ, a column stands twice or holds no numbers, or a perturbed table has other rows.
        """
        import pandas as pd

        columns = tuple(str(name) for name in table.columns)
        if len(set(columns)) < len(columns):
            repeated = next(name for name in columns if columns.count(name) > 1)
            raise InvalidInputError(f"The feature table has two columns {repeated}; expected each name once.")
        for name, (_, column) in zip(columns, table.items(), strict=True):
            if not pd.api.types.is_numeric_dtype(column):
                raise InvalidInputError(f"The feature {name} holds {column.iloc[0]!r}; expected numbers.")
        values = table.to_numpy(np.float64)
        if np.isinf(values).any():
            raise InvalidInputError(
                f"The feature {columns[np.flatnonzero(np.isinf(values).any(axis=0))[0]]} is infinite in a row; "
                "expected a finite number, or NaN where it is missing."
            )
        huge = np.abs(values, where=np.isfinite(values), out=np.zeros_like(values)).max(axis=0, initial=0.0) > LARGEST
        if huge.any():
            raise InvalidInputError(
                f"The feature {columns[np.flatnonzero(huge)[0]]} is larger than {LARGEST:g} in a row, beyond which variances "
                "overflow; expected a measured value, or NaN where it is missing."
            )
        rows = len(table)
        labels = as_labels(outcome)
        names = [str(row) for row in range(rows)] if patients is None else list(patients)
        together = names if groups is None else list(groups)
        places = [""] * rows if centres is None else list(centres)
        for what, length in {
            "outcome": labels.size,
            "patients": len(names),
            "groups": len(together),
            "centres": len(places),
        }.items():
            if length != rows:
                raise InvalidInputError(f"There are {length} {what} for {rows} rows; expected one for each.")
        for again in perturbed:
            if not again.index.equals(table.index):
                raise InvalidInputError("A perturbed table has other rows than the feature table; expected the same.")
            endless = [name for name in columns if name in again and np.isinf(again[name].to_numpy(np.float64)).any()]
            if endless:
                raise InvalidInputError(
                    f"The feature {endless[0]} is infinite in a row when measured again; expected a finite number, or NaN."
                )
        return cls(
            columns,
            values,
            labels,
            np.array(names, dtype=np.str_),
            np.array(together, dtype=np.str_),
            np.array(places, dtype=np.str_),
            np.stack([again.reindex(columns=table.columns).to_numpy(np.float64) for again in perturbed])
            if perturbed
            else None,
            np.array([name in harmonised for name in columns], dtype=np.bool_),
        )

    def rows(self, index: Index) -> FeatureTable:
        """Give some of the rows, by number."""
        return FeatureTable(
            self.columns,
            self.values[index],
            self.outcome[index],
            self.patients[index],
            self.groups[index],
            self.centres[index],
            None if self.perturbed is None else self.perturbed[:, index],
            self.harmonised,
        )

    def select(self, columns: Sequence[str]) -> FeatureTable:
        """Give some of the columns.

        Raises
        ------
        InvalidInputError
            If the table lacks one.
        """
        places = {name: place for place, name in enumerate(self.columns)}
        missing = [name for name in columns if name not in places]
        if missing:
            raise InvalidInputError(f"The feature table has no column {missing[0]}.")
        index = np.array([places[name] for name in columns], dtype=np.intp)
        return FeatureTable(
            tuple(columns),
            self.values[:, index],
            self.outcome,
            self.patients,
            self.groups,
            self.centres,
            None if self.perturbed is None else self.perturbed[:, :, index],
            self.harmonised[index],
        )
