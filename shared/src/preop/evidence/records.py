"""What all kinds of evidence share: how a record is checked and read, and what a run on several centres gives."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preop.errors import InvalidInputError
from preop.evidence.figures import Figure, ModelFigures, ValidationFigures
from preop.statistics import BinaryCounts, Estimate
from preop.toml import first_validation_error


class Record(BaseModel):
    """A part of the evidence: complete, and not changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Evidence(Record, ABC):
    """Who predicted what of which patient; every figure is derived from it."""

    described: ClassVar[str]
    """What such evidence comes from, as the end of a sentence."""

    format: Literal[1] = 1
    protocol: str = Field(description="how patients were held out, in a sentence")
    settings: dict[str, Any] = Field(default_factory=dict, description="of the run, as far as a reader should know")

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Check evidence that a training run has put together, or that was read from its JSON file.

        Raises
        ------
        InvalidInputError
            If it is anything else, or contradicts itself.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise InvalidInputError(
                f"This is not the evidence of {cls.described}: {first_validation_error(error)}."
            ) from None

    @property
    @abstractmethod
    def validation(self) -> ValidationFigures:
        """The figures that ``model.json`` states."""


@dataclass(frozen=True)
class CentreFigures:
    """A centre whose patients were predicted by models trained on all others.

    Attributes
    ----------
    name
        Of the centre.
    patients, events
        How many were predicted, and how many of them had the outcome.
    aucs
        By model, with DeLong's interval; empty where all patients have the same outcome.
    """

    name: str
    patients: int
    events: int
    aucs: Mapping[str, Estimate]


def check_each_once(patients: Iterable[str]) -> None:
    """Refuse a patient who is there twice, as a validator does."""
    name, times = Counter(patients).most_common(1)[0]
    if times > 1:
        raise ValueError(f"the patient {name} is there twice")


def check_folds(outcomes_and_folds: Iterable[tuple[bool, str]], outcome: str) -> None:
    """Refuse patients whose outcome is not known in two folds each way, as a validator does: no threshold can be chosen."""
    rows = list(outcomes_and_folds)
    folds = {label: {fold for found, fold in rows if found is label} for label in (True, False)}
    if min(map(len, folds.values())) < 2:
        events = sum(found for found, _ in rows)
        raise ValueError(
            f"patients with and without {outcome} are needed, each in at least two folds; there are {events} with and "
            f"{len(rows) - events} without"
        )


def model_figures(patients: int, events: int, auc: Estimate | None, *, baseline: bool) -> ModelFigures:
    """State what a model or a baseline reached."""
    return ModelFigures(baseline=baseline, patients=patients, events=events, auc=figure(auc))


def figure(estimate: Estimate | None) -> Figure | None:
    """State an estimate; None where there is none."""
    return None if estimate is None else Figure.of(estimate)


def stated(estimate: Estimate | None) -> dict[str, float | None] | None:
    """State an estimate among what only one study has; None where there is none."""
    return None if estimate is None else estimate.as_dict()


def stated_or_unknown(estimate: Estimate | None) -> dict[str, float | None]:
    """State an estimate, with null in all its places where there is none."""
    return (estimate or Estimate.without_interval(math.nan)).as_dict()


def stated_number(value: float) -> float | None:
    """State a number; JSON knows no NaN."""
    return None if math.isnan(value) else value


def decision_figures(counts: BinaryCounts, *measures: str) -> dict[str, dict[str, float | None] | None]:
    """State some measures of decisions by their names; None where no decision was made that would determine them."""
    return {name: stated(getattr(counts, name)) for name in measures}
