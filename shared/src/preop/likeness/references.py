"""How far a patient lies from those a model was trained on, with a limit that training patients seldom exceed.

The distance is that of Mahalanobis, with a covariance that is shrunk after Ledoit and Wolf (J Multivar Anal 2004;88:365, doi
10.1016/S0047-259X(03)00096-4), so that it can be had from few patients. Each training patient's own distance is taken from all
the others; the limit is the value that at most a stated share of them exceed, counted so that it holds for a further patient
too (conformal prediction; Vovk 2005, doi 10.1007/b106715). A model folder holds means, ranges and covariances: nobody's values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, RootModel, model_validator

from preop.errors import InvalidInputError, InvalidModelError
from preop.evidence import Stored
from preop.grandchallenge.values import to_json
from preop.study import read_description

REFERENCE_FILE = "training-distribution.json"
FALSE_ALARMS = 0.05
"""Share of further patients, drawn like those of the training, that are called unlike them."""

LIKENESS = "likeness"
"""Entry of what a training keeps of a patient."""

KNOWN = 0.9
"""Share of the training patients in whom a measure has to be known."""

ENOUGH = 0.5
"""Share of the measures that a patient has to show to be compared: what is unknown counts as usual, and all would be alike."""

_NAMED = 3
_LEAST_LIMIT = 1.0  # that of one measure that differs by its resolution, where all training patients are alike
_SMALLEST = 1e-6
_DIGITS = 8

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """Something that is measured of each patient.

    Attributes
    ----------
    name, label, unit
        As a key, in words with the article, and the unit if there is one.
    ratio
        Whether values are compared by their ratio, as positive ones of no fixed scale are.
    resolution
        The smallest difference that means anything: in the unit, or as a share of the value.
    """

    name: str
    label: str
    unit: str = ""
    ratio: bool = False
    resolution: float = 0.05

    def named(self, prefix: str, of: str) -> Measure:
        """The same of one scan out of several."""
        return Measure(f"{prefix}_{self.name}", f"{self.label} {of}", self.unit, self.ratio, self.resolution)


class Known(Stored):
    """A measure among the training patients: centre, scale, and smallest and largest value."""

    name: str
    label: str
    unit: str
    ratio: bool
    mean: FiniteFloat = Field(description="of the logarithm where values are compared by their ratio")
    scale: float = Field(gt=0)
    low: FiniteFloat
    high: FiniteFloat

    def score(self, value: float) -> float:
        """Standard deviations from the mean of the training patients."""
        return ((math.log(max(value, _SMALLEST)) if self.ratio else value) - self.mean) / self.scale

    def told(self, value: float) -> str:
        """Say how a value compares with those of the training patients."""
        unit = f" {self.unit}" if self.unit else ""
        found = f"{self.label} is {value:.3g}{unit}"
        if self.ratio and value > self.high > _SMALLEST:
            return f"{found}, {value / self.high:.2g} times the largest of any training patient"
        if self.ratio and _SMALLEST < value < self.low:
            return f"{found}, {value / self.low:.2g} times the smallest of any training patient"
        return f"{found} (training patients: {self.low:.3g} to {self.high:.3g}{unit})"


class Reference(Stored):
    """The training patients, as far as they are needed to tell others from them.

    Attributes
    ----------
    patients
        How many were measured.
    false_alarm_rate
        Share of further patients like them whose distance exceeds the limit, at most.
    limit
        Of the distance.
    measures
        In the order of the rows of the matrix.
    precision
        Inverse of the covariance of the measures, each by its scale.
    """

    patients: int = Field(gt=0)
    false_alarm_rate: float = Field(gt=0, lt=1)
    limit: float = Field(gt=0)
    measures: tuple[Known, ...] = Field(min_length=1)
    precision: tuple[tuple[FiniteFloat, ...], ...]

    @model_validator(mode="after")
    def _is_square(self) -> Self:
        matrix = self.precision
        if {len(matrix), *map(len, matrix)} != {len(self.measures)}:
            raise ValueError(
                f"precision is not a matrix of {len(self.measures)} rows and columns, one for each measure"
            )
        if np.linalg.eigvalsh(np.array(matrix)).min() <= 0:
            raise ValueError("precision is not positive definite")
        return self

    def compare(self, values: Mapping[str, float], what: str = "scan") -> Likeness:
        """Compare a patient with those of the training.

        Parameters
        ----------
        values
            By measure; one that is missing or not a number counts as usual, and is said to be unknown.
        what
            Is compared, for the sentences.
        """
        found = {known.name: values.get(known.name, math.nan) for known in self.measures}
        scores = {known.name: known.score(found[known.name]) for known in self.measures}
        row = np.array([score if math.isfinite(score) else 0.0 for score in scores.values()])
        distance = math.sqrt(max(float(row @ np.array(self.precision) @ row), 0.0))
        return Likeness(self, what, found, scores, distance)


class References(RootModel[dict[str, Reference]]):
    """Content of the file: one reference for each set of inputs, by its name."""


@dataclass(frozen=True)
class Likeness:
    """How like the training patients a patient is.

    Attributes
    ----------
    reference
        What was compared with.
    what
        Was compared.
    values, scores
        By measure; NaN where it is unknown.
    distance
        From the training patients.
    """

    reference: Reference
    what: str
    values: Mapping[str, float]
    scores: Mapping[str, float]
    distance: float

    @property
    def shows_enough(self) -> bool:
        """Whether enough of the measures are known for a small distance to mean anything."""
        return float(np.mean([math.isfinite(score) for score in self.scores.values()])) >= ENOUGH

    @property
    def is_like(self) -> bool:
        """Whether the distance is one that training patients have, by enough measures."""
        return self.shows_enough and self.distance <= self.reference.limit

    @property
    def limits(self) -> list[str]:
        """Why what is said of this patient holds with reservations, in sentences."""
        if self.is_like:
            return []
        if self.distance <= self.reference.limit:
            return [f"The {self.what} shows too little to be compared with those of the training patients."]
        known = [each for each in self.reference.measures if math.isfinite(self.scores[each.name])]
        known.sort(key=lambda each: -abs(self.scores[each.name]))
        named = "; ".join(each.told(self.values[each.name]) for each in known[:_NAMED])
        return [
            f"The {self.what} is unlike those of the training patients (distance {self.distance:.3g}, limit "
            f"{self.reference.limit:.3g}), and the model was never tried on such a {self.what}: {named}."
        ]

    def to_json(self) -> dict[str, Any]:
        """Entry of an explanation: the distance, its limit, and each measure beside those of the training patients."""
        return {
            "like_training_patients": self.is_like,
            "distance": round(self.distance, 3),
            "limit": round(self.reference.limit, 3),
            "false_alarm_rate": self.reference.false_alarm_rate,
            "compared_with_patients": self.reference.patients,
            "measures": [
                {
                    "measure": known.label.removeprefix("the "),
                    "unit": known.unit or None,
                    "value": _rounded(self.values[known.name]),
                    "standard_deviations": _rounded(self.scores[known.name], 2),
                    "training_patients": [_rounded(known.low), _rounded(known.high)],
                }
                for known in self.reference.measures
            ],
        }


def fit_reference(rows: Sequence[Mapping[str, float]], measures: Sequence[Measure]) -> Reference:
    """Describe training patients by their measures.

    Parameters
    ----------
    rows
        Of each patient, values by measure; what is unknown is left out, or not a number.
    measures
        Those that may be used; one that is unknown in more than a tenth of the patients is not.

    Raises
    ------
    InvalidInputError
        If there are fewer than three patients, or no measure is known in enough of them.
    """
    if len(rows) < 3:
        raise InvalidInputError(f"{len(rows)} patients cannot show what is usual; expected 3 or more.")
    table = np.array([[_scaled(each, row.get(each.name, math.nan)) for each in measures] for row in rows])
    kept = [place for place in range(len(measures)) if np.isfinite(table[:, place]).mean() >= KNOWN]
    if not kept:
        raise InvalidInputError("None of the measures is known in enough of the training patients.")
    table, used = table[:, kept], [measures[place] for place in kept]
    resolution = np.array([each.resolution for each in used])
    distances = [
        _Spread.of(np.delete(table, place, axis=0), resolution).distance(table[place]) for place in range(len(rows))
    ]
    rank = min(len(rows), math.ceil((1 - FALSE_ALARMS) * (len(rows) + 1)))
    spread = _Spread.of(table, resolution)
    return Reference(
        patients=len(rows),
        false_alarm_rate=(len(rows) + 1 - rank) / (len(rows) + 1),
        limit=_significant(max(float(np.sort(distances)[rank - 1]), _LEAST_LIMIT)),
        measures=tuple(
            Known(
                name=each.name,
                label=each.label,
                unit=each.unit,
                ratio=each.ratio,
                mean=_significant(float(spread.mean[place])),
                scale=_significant(float(spread.scale[place])),
                low=_significant(_unscaled(each, float(np.nanmin(table[:, place])))),
                high=_significant(_unscaled(each, float(np.nanmax(table[:, place])))),
            )
            for place, each in enumerate(used)
        ),
        precision=tuple(tuple(_significant(value) for value in row) for row in spread.precision.tolist()),
    )


def known(values: Mapping[str, float]) -> dict[str, float]:
    """Leave out what is not known: JSON has no word for it."""
    return {name: value for name, value in values.items() if math.isfinite(value)}


def references_file(references: Mapping[str, Reference]) -> dict[str, bytes]:
    """Content of the file of a model folder, by its name."""
    return {REFERENCE_FILE: to_json(References(dict(references)).model_dump(mode="json")).encode()}


def read_references(folder: Path, names: Sequence[str]) -> dict[str, Reference]:
    """Read the file of a model folder, which has been checked against ``model.json``.

    Parameters
    ----------
    names
        Of the references that have to be there; others are left.

    Raises
    ------
    InvalidModelError
        If the file is missing or damaged, or does not hold these.
    """
    found = read_description(folder, REFERENCE_FILE, References).root
    if not found.keys() >= set(names):
        raise InvalidModelError(
            f"The model in {folder} is damaged: {REFERENCE_FILE} describes {', '.join(sorted(found)) or 'nothing'}; expected "
            f"{', '.join(sorted(names))}."
        )
    return {name: found[name] for name in names}


@dataclass(frozen=True)
class _Spread:
    """Mean and scale of each measure (m,), and the inverse of the covariance of the scaled ones (m, m)."""

    mean: Floats
    scale: Floats
    precision: Floats

    @classmethod
    def of(cls, table: Floats, resolution: Floats) -> _Spread:
        from sklearn.covariance import LedoitWolf

        mean = np.nanmean(table, axis=0)
        scale = np.maximum(np.nanstd(table, axis=0), resolution)
        scores = np.nan_to_num((table - mean) / scale)
        # What is finer than the resolution of a measure tells no patient from another.
        covariance = LedoitWolf(assume_centered=True).fit(scores).covariance_ + np.diag((resolution / scale) ** 2)
        return cls(mean, scale, np.linalg.inv(covariance))

    def distance(self, row: Floats) -> float:
        scores = np.nan_to_num((row - self.mean) / self.scale)
        return math.sqrt(float(scores @ self.precision @ scores))


def _scaled(measure: Measure, value: float) -> float:
    if not math.isfinite(value):
        return math.nan
    return math.log(max(value, _SMALLEST)) if measure.ratio else float(value)


def _unscaled(measure: Measure, value: float) -> float:
    return math.exp(value) if measure.ratio else value


def _significant(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _rounded(value: float, digits: int = 4) -> float | None:
    return round(value, digits) if math.isfinite(value) else None
