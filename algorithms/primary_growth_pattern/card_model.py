"""A logistic model over the items of the score card: how much each unfavourable item shifts the likelihood.

It reads which items are unfavourable, not their values: cut-offs stand in the literature, and a cohort of this size cannot
improve on them. Firth's correction keeps it finite where patients are few (``preop.statistics.logistic_regression``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preop.errors import InvalidInputError, InvalidModelError
from preop.statistics import logistic_regression
from preop.toml import first_validation_error

from .score_card import DEFINITIONS, Item, ScoreCard

ITEMS = tuple(name for name, definition in DEFINITIONS.items() if definition.direction is not None)
"""Items that can be unfavourable."""


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Weight(_Checked):
    """Of one item."""

    item: str
    log_odds: float = Field(description="that the item adds where it is unfavourable")
    lower: float | None = Field(description="end of the 95 % profile likelihood interval; None if it is not determined")
    upper: float | None
    unfavourable_share: float = Field(description="of the training cohort; stands in where the item was not assessed")


class CardContribution(_Checked):
    """What one item of a patient adds to the log odds."""

    item: str
    unfavourable: bool | None = Field(description="None where it was not assessed")
    log_odds: float = Field(description="0 where it was not assessed, as for the average patient of the cohort")


class CardModel(_Checked):
    """A fitted model of desmoplastic growth.

    An item that was not assessed counts as the cohort's average: it moves the likelihood in neither direction. So does an
    item of which training had no both kinds, which has no weight.
    """

    format: Literal[1] = 1
    intercept: float = Field(description="log odds of a patient with the cohort's average of every item")
    weights: tuple[Weight, ...]
    patients: int
    events: int

    def contributions(self, card: ScoreCard) -> tuple[CardContribution, ...]:
        """Say what each item adds to the log odds."""
        return tuple(_contribution(weight, card.item(weight.item)) for weight in self.weights)

    def predict(self, card: ScoreCard) -> float:
        """Likelihood of desmoplastic growth."""
        log_odds = self.intercept + sum(part.log_odds for part in self.contributions(card))
        return 0.5 * (1 + math.tanh(log_odds / 2))

    def to_json(self) -> dict[str, Any]:
        """Give the model as JSON values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, content: object) -> Self:
        """Make the model from what :meth:`to_json` gave.

        Raises
        ------
        InvalidModelError
            If it is no such model, or weighs an item that does not exist.
        """
        try:
            model = cls.model_validate(content)
        except ValidationError as error:
            raise InvalidModelError(
                f"The model of the score card is not right: {first_validation_error(error)}."
            ) from None
        if unknown := {weight.item for weight in model.weights} - set(ITEMS):
            raise InvalidModelError(
                f"The model of the score card weighs {min(unknown)!r}; expected some of {', '.join(ITEMS)}."
            )
        return model


def fit_card_model(cards: Sequence[ScoreCard], desmoplastic: ArrayLike) -> CardModel:
    """Fit the model.

    Items that were not assessed are set to the share of unfavourable ones among the others; items that are the same in all
    patients are left out, and so are those that earlier ones already say, as happens with very few patients.

    Raises
    ------
    InvalidInputError
        If the numbers of cards and outcomes differ, there is only one outcome, or no item varies.
    """
    outcome = np.asarray(desmoplastic, bool)
    if outcome.shape != (len(cards),):
        raise InvalidInputError(
            f"There are {len(cards)} score cards and {outcome.size} outcomes; expected one for each."
        )
    values = np.array([[_value(card, name) for name in ITEMS] for card in cards]).reshape(len(cards), len(ITEMS))
    known = ~np.isnan(values)
    shares = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    varying = np.flatnonzero((shares > 0) & (shares < 1))
    if not len(varying):
        raise InvalidInputError(
            "No item of the score cards differs between the patients; there is nothing to learn from."
        )
    completed = np.where(known, values, shares)
    varying = _independent(completed, varying)
    complete = completed[:, varying]
    names = [ITEMS[column] for column in varying]
    found = logistic_regression(outcome, complete, names)
    weights = tuple(
        Weight(
            item=variable.name,
            log_odds=math.log(variable.odds_ratio.value),
            lower=_log_or_none(variable.odds_ratio.lower),
            upper=_log_or_none(variable.odds_ratio.upper),
            unfavourable_share=float(shares[column]),
        )
        for variable, column in zip(found.variables, varying, strict=True)
    )
    average = found.intercept + sum(weight.log_odds * weight.unfavourable_share for weight in weights)
    return CardModel(intercept=average, weights=weights, patients=found.cases, events=found.events)


def _independent(values: NDArray[np.float64], columns: NDArray[np.intp]) -> NDArray[np.intp]:
    """Columns that are no combination of the ones before them and a constant."""
    kept: list[int] = []
    for column in columns.tolist():
        design = np.column_stack([np.ones(len(values)), values[:, [*kept, column]]])
        if np.linalg.matrix_rank(design) == design.shape[1]:
            kept.append(column)
    return np.array(kept, np.intp)


def _value(card: ScoreCard, name: str) -> float:
    unfavourable = card.item(name).unfavourable
    return math.nan if unfavourable is None else float(unfavourable)


def _contribution(weight: Weight, item: Item) -> CardContribution:
    unfavourable = item.unfavourable
    shift = 0.0 if unfavourable is None else weight.log_odds * (unfavourable - weight.unfavourable_share)
    return CardContribution(item=weight.item, unfavourable=unfavourable, log_odds=shift)


def _log_or_none(ratio: float) -> float | None:
    return math.log(ratio) if math.isfinite(ratio) and ratio > 0 else None
