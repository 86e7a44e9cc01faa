"""The validation of a model as it is stated in ``model.json``: typed, complete, and free of contradictions.

Every entry must be there when a model is read: what is missing was forgotten or cut out, and no default can stand for a
result that somebody obtained.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, JsonValue, model_validator

from preop.statistics import Estimate

Details = TypeVar("Details", bound=BaseModel)
Measure = Literal["auc", "accuracy", "error_of_shares"]


class Stored(BaseModel):
    """A part of a file that is written complete: unknown entries are refused, and values of another type too."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _no_list(value: object) -> object:
    # JSON knows no tuples, and strict types take no list for one.
    return tuple(value) if isinstance(value, list) else value


class Figure(Stored):
    """An estimate with the ends of its 95 % interval; null where the patients do not determine one."""

    value: FiniteFloat | None
    lower: FiniteFloat | None
    upper: FiniteFloat | None

    @model_validator(mode="after")
    def _is_an_interval(self) -> Self:
        if (self.lower is None) is not (self.upper is None):
            raise ValueError("has one end of an interval; expected both or none")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"has the interval {self.lower:g} to {self.upper:g}; expected the lower end first")
        return self

    @classmethod
    def of(cls, estimate: Estimate) -> Self:
        """Take an estimate as the statistics give it."""
        return cls(**estimate.as_dict())

    @property
    def estimate(self) -> Estimate:
        """The same for a chart; NaN for what is not determined."""
        numbers = (math.nan if number is None else number for number in (self.value, self.lower, self.upper))
        return Estimate(*numbers)


class ModelFigures(Stored):
    """What a model, or a baseline that others are compared with, reached on held-out patients.

    Attributes
    ----------
    baseline
        Whether it is a simple rule or measurement that a model has to surpass.
    patients, events
        How many were predicted, and how many of them had the outcome.
    auc
        Of the outcome of the patients; null where they do not determine one.
    """

    baseline: bool
    patients: int = Field(ge=0)
    events: int = Field(ge=0)
    auc: Figure | None

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.events > self.patients:
            raise ValueError(f"has {self.events} events in {self.patients} patients")
        if self.auc is not None and self.auc.value is not None and not 0 <= self.auc.value <= 1:
            raise ValueError(f"has an AUC of {self.auc.value:g}; expected 0 to 1")
        return self


class Comparison(Stored):
    """A model beside a baseline on the same held-out patients.

    Attributes
    ----------
    model, baseline
        Their names.
    measure
        What is compared: the AUC or the share of exactly right categories (higher is better), or the mean absolute error
        of shares (lower is better).
    difference
        Model less baseline; null where the patients do not determine it.
    p_value
        Two-sided, of the test or tests that the protocol names, the largest of several: what a claim rests on. Null where
        the interval alone decides.
    significantly_better
        Whether the model is shown to be better.
    """

    model: str
    baseline: str
    measure: Measure
    difference: Figure | None
    p_value: Annotated[FiniteFloat, Field(ge=0, le=1)] | None
    significantly_better: bool

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> Self:
        value = None if self.difference is None else self.difference.value
        better = value is not None and (value < 0 if self.measure == "error_of_shares" else value > 0)
        if self.significantly_better and not better:
            raise ValueError(f"{self.model} is called significantly better than {self.baseline}, and is not better")
        return self


class ValidationFigures(Stored):
    """The validation of a model inside its training cohort.

    Attributes
    ----------
    protocol
        How patients were held out, in a sentence.
    patients
        How many took part.
    models
        By name: the models, and the baselines they are compared with.
    comparisons
        Of models with baselines or with each other; a study that makes any makes one of each model with each baseline.
    verdict
        What was found, in sentences, the answer first.
    cautions
        What a reader of each result has to know of it, in sentences that complete "In cross-validation ...".
    details
        What only one study has; the study checks it with a type of its own.
    """

    protocol: str = Field(min_length=1)
    patients: int = Field(gt=0)
    models: dict[str, ModelFigures] = Field(min_length=1)
    comparisons: Annotated[tuple[Comparison, ...], BeforeValidator(_no_list)]
    verdict: Annotated[tuple[str, ...], BeforeValidator(_no_list)] = Field(min_length=1)
    cautions: Annotated[tuple[str, ...], BeforeValidator(_no_list)]
    details: dict[str, JsonValue]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name, figures in self.models.items():
            if figures.patients > self.patients:
                raise ValueError(f"{name} was judged on {figures.patients} of {self.patients} patients")
        if all(figures.baseline for figures in self.models.values()):
            raise ValueError("models holds baselines only; expected the model itself too")
        if len({(each.model, each.baseline, each.measure) for each in self.comparisons}) < len(self.comparisons):
            raise ValueError("comparisons compares the same two twice by the same measure")
        for name in [name for each in self.comparisons for name in (each.model, each.baseline)]:
            if name not in self.models:
                raise ValueError(f"comparisons names {name}, which is not among models")
        for measure in dict.fromkeys(each.measure for each in self.comparisons):
            self._compares_all(measure)
        return self

    def _compares_all(self, measure: str) -> None:
        """Check that no model is without its comparison with a baseline by a measure that others are compared by."""
        compared = {(each.model, each.baseline) for each in self.comparisons if each.measure == measure}
        for model, figures in self.models.items():
            for baseline, others in self.models.items():
                determined = measure != "auc" or None not in (figures.auc, others.auc)
                if others.baseline and not figures.baseline and determined and (model, baseline) not in compared:
                    raise ValueError(f"comparisons lacks {model} beside {baseline} by {measure}")

    def details_as(self, kind: type[Details]) -> Details:
        """Give what only one study has, by the type that the study checked it with."""
        return kind.model_validate(self.details)

    def not_better_than(self, model: str, measure: Measure = "auc") -> list[str]:
        """Give what a model was compared with and not shown to surpass, in the order of the comparisons."""
        return [
            each.baseline
            for each in self.comparisons
            if each.model == model and each.measure == measure and not each.significantly_better
        ]
