"""The table that opens every clinical paper: the cohort, by outcome."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preop.errors import InvalidInputError, need_package
from preop.statistics.association import mann_whitney, table_test
from preop.statistics.checks import as_labels, by_class

if TYPE_CHECKING:
    import pandas as pd

_YES_OR_NO = frozenset({0.0, 1.0})


@dataclass(frozen=True)
class CohortRow:
    """One line of the table.

    Attributes
    ----------
    variable, level
        Name, and the category where there are some.
    missing
        Cases without it.
    overall, without, with_outcome
        Median [quartiles] of numbers, number (%) of categories: of all, and by outcome.
    p_value, test
        Of the difference by outcome, on the first line of a variable.
    """

    variable: str
    level: str
    missing: int
    overall: str
    without: str
    with_outcome: str
    p_value: float | None
    test: str


def cohort_table(labels: ArrayLike, variables: Mapping[str, Sequence[float | str | None]]) -> list[CohortRow]:
    """Describe a cohort by outcome with tableone.

    Parameters
    ----------
    labels
        Whether each case had the outcome, (n,).
    variables
        By name, (n,) each: numbers, NaN where missing, or texts, None where missing. Numbers that are all 0 or 1 stand
        for no and yes.

    Raises
    ------
    InvalidInputError
        If only one class is present, or a variable has another length.
    MissingToolError
        If tableone is not installed.
    """
    need_package("tableone", "A cohort table", "training")
    import pandas as pd
    from tableone import TableOne

    truth = as_labels(labels)
    by_class(truth, truth)
    wrong = [name for name, values in variables.items() if len(values) != truth.size]
    if wrong:
        raise InvalidInputError(
            f"{wrong[0]} has {len(variables[wrong[0]])} values for {truth.size} cases; expected one for each."
        )
    rows = []
    for name, values in variables.items():
        column = _as_texts(values)
        numeric = pd.api.types.is_numeric_dtype(column)
        frame = pd.DataFrame({"variable": column, "outcome": np.where(truth, "with", "without")})
        if column.notna().sum() == 0:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pandas, about what tableone will have to change
            table = TableOne(
                frame,
                columns=["variable"],
                categorical=[] if numeric else ["variable"],
                nonnormal=["variable"] if numeric else [],
                groupby="outcome",
                decimals=_decimals(column) if numeric else 0,
                include_null=False,
            ).tableone.droplevel(0, axis=1)
        test, p_value = _test(truth, column, numeric=numeric)
        for line, (index, cells) in enumerate(table.iloc[1:].iterrows()):
            rows.append(
                CohortRow(
                    variable=name,
                    level=index[1],
                    missing=int(column.isna().sum()),
                    overall=_spaced(cells["Overall"]),
                    without=_spaced(cells.get("without", "")),
                    with_outcome=_spaced(cells.get("with", "")),
                    p_value=p_value if line == 0 else None,
                    test=test if line == 0 else "",
                )
            )
    return rows


def _spaced(cell: object) -> str:
    return str(cell).replace(",", ", ")


def _as_texts(values: Sequence[float | str | None]) -> pd.Series[Any]:
    """Numbers as they are; what is only 0 and 1 as no and yes; anything else as texts."""
    import pandas as pd

    column = pd.Series(list(values))
    if not pd.api.types.is_numeric_dtype(column):
        return column.astype(object).where(column.notna(), None)
    if set(column.dropna().unique()) <= _YES_OR_NO:
        return column.map({0.0: "no", 1.0: "yes"})
    return column.astype(np.float64)


def _decimals(column: pd.Series[Any]) -> int:
    """As many as show three digits of the median, from 0 to 3."""
    middle = abs(float(column.median()))
    return int(np.clip(2 - math.floor(math.log10(middle)), 0, 3)) if middle > 0 else 2


def _test(truth: NDArray[np.bool_], column: pd.Series[Any], *, numeric: bool) -> tuple[str, float | None]:
    known = column.notna().to_numpy()
    if truth[known].all() or not truth[known].any() or column[known].nunique() < 2:
        return "", None
    if numeric:
        return "Mann-Whitney", mann_whitney(truth[known], column[known].to_numpy(np.float64)).p_value
    result = table_test(truth[known], column[known].astype(str).tolist())
    return result.test, result.p_value
