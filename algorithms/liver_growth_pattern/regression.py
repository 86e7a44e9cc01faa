"""Radiomics to the distribution of growth patterns: a linear model with an L2 penalty, fitted by maximum likelihood."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from .reports import OUTPUTS

if TYPE_CHECKING:
    from torch import Tensor

    from .likelihood import Known

Floats = NDArray[np.float64]
Row = Mapping[str, float]

DEFINED_ON = 0.5
"""A feature that is not defined on so many of the metastases is left out."""
ALIKE = 0.9
"""Of two features that correlate more closely, the first in order of their names stays."""
FARTHEST = 4.0
"""Standardised values are cut here: no feature of one metastasis outweighs all others."""
ITERATIONS = 120


class Regression(BaseModel):
    """A fitted model; all arrays in the order of ``features``.

    Attributes
    ----------
    features
        Names.
    middle, spread
        Median and standard deviation in training; a value that is not known counts as the median.
    low, high
        Range in training.
    weights
        Of each output (4, features), for standardised values.
    bias
        Of each output (4,).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: tuple[str, ...]
    middle: tuple[float, ...]
    spread: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...] = Field(min_length=OUTPUTS, max_length=OUTPUTS)
    bias: tuple[float, ...] = Field(min_length=OUTPUTS, max_length=OUTPUTS)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        columns = {"middle": self.middle, "spread": self.spread, "low": self.low, "high": self.high}
        columns |= {f"weights.{output}": row for output, row in enumerate(self.weights)}
        for name, values in columns.items():
            if len(values) != len(self.features):
                raise ValueError(f"{name} has {len(values)} values for {len(self.features)} features")
        return self

    def predict(self, rows: Sequence[Row]) -> Floats:
        """Outputs (lesions, 4) of metastases with these features."""
        return np.asarray(self._standardised(rows) @ np.array(self.weights).T + np.array(self.bias))

    def contributions(self, row: Row) -> Floats:
        """What each feature adds to the log odds of the pure desmoplastic pattern (features,)."""
        return np.asarray(self._standardised([row])[0] * np.array(self.weights)[0])

    def _standardised(self, rows: Sequence[Row]) -> Floats:
        return _standardised(_table(rows, self.features), np.array(self.middle), np.array(self.spread))


def fit_regression(rows: Sequence[Row], known: Known, *, penalty: float) -> Regression:
    """Fit a model.

    Parameters
    ----------
    rows
        Features of each metastasis.
    penalty
        Half of the variance's inverse that a normal prior gives each weight, beside the mean log-likelihood of a
        patient.
    """
    import torch

    from .likelihood import log_likelihood

    features = _usable(rows)
    table = _table(rows, features)
    middle = np.nanmedian(table, axis=0)
    spread = np.nanstd(table, axis=0)
    x = torch.from_numpy(_standardised(table, middle, spread))
    weights = torch.zeros(OUTPUTS, len(features), dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(OUTPUTS, dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        return penalty * (weights**2).sum() - log_likelihood(x @ weights.T + bias, known).mean()

    minimise_loss([weights, bias], loss)
    found = weights.detach().numpy()
    return Regression(
        features=features,
        middle=tuple(middle.tolist()),
        spread=tuple(spread.tolist()),
        low=tuple(np.nanmin(table, axis=0).tolist()),
        high=tuple(np.nanmax(table, axis=0).tolist()),
        weights=tuple(tuple(row) for row in found.tolist()),
        bias=tuple(bias.detach().numpy().tolist()),
    )


def minimise_loss(parameters: list[Tensor], loss: Any) -> None:
    """Find the lowest point of a smooth function of few parameters, in place."""
    import torch

    optimizer = torch.optim.LBFGS(parameters, max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value: Tensor = loss()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]


def _usable(rows: Sequence[Row]) -> tuple[str, ...]:
    """Features that are defined on most metastases, vary, and do not repeat another."""
    names = sorted({name for row in rows for name in row})
    table = _table(rows, names)
    defined = np.isfinite(table).mean(axis=0) > DEFINED_ON
    spread = np.array([np.nanstd(column) if ok else 0.0 for column, ok in zip(table.T, defined, strict=True)])
    size = np.array([np.nanmax(np.abs(column)) if ok else 1.0 for column, ok in zip(table.T, defined, strict=True)])
    varies = np.flatnonzero(spread > 1e-9 * np.maximum(size, 1e-9))
    filled = _standardised(table[:, varies], np.nanmedian(table[:, varies], axis=0), spread[varies])
    alike = np.abs(np.corrcoef(filled.T)) > ALIKE if len(varies) > 1 else np.ones((len(varies),) * 2, dtype=bool)
    kept: list[int] = []
    for place in range(len(varies)):
        if not alike[place, kept].any():
            kept.append(place)
    return tuple(names[varies[place]] for place in kept)


def _table(rows: Sequence[Row], features: Sequence[str]) -> Floats:
    return np.array([[row.get(name, math.nan) for name in features] for row in rows], dtype=np.float64).reshape(
        len(rows), len(features)
    )


def _standardised(table: Floats, middle: Floats, spread: Floats) -> Floats:
    filled = np.where(np.isfinite(table), table, middle)
    return np.asarray(np.clip((filled - middle) / spread, -FARTHEST, FARTHEST))
