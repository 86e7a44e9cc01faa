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
from pydantic import Field, FiniteFloat, model_validator

from preop.errors import InvalidInputError
from preop.statistics import logistic_regression
from preop.study import Stored

from .score_card import DEFINITIONS, Item, ScoreCard

ITEMS = tuple(name for name, definition in DEFINITIONS.items() if definition.direction is not None)
"""Items that can be unfavourable."""


class Weight(Stored):
    """Of one item."""

    item: str
    log_odds: FiniteFloat = Field(description="that the item adds where it is unfavourable")
    lower: FiniteFloat | None = Field(
        description="end of the 95 % profile likelihood interval; None if it is not determined"
    )
    upper: FiniteFloat | None
    unfavourable_share: FiniteFloat = Field(
        description="of the training cohort; stands in where the item was not assessed"
    )


class CardContribution(Stored):
    """What one item of a patient adds to the log odds."""

    item: str
    unfavourable: bool | None = Field(description="None where it was not assessed")
    log_odds: float = Field(description="0 where it was not assessed, as for the average patient of the cohort")


class CardModel(Stored):
    """A fitted model of desmoplastic growth: content of ``score-card.json``.

    An item that was not assessed counts as the cohort's average: it moves the likelihood in neither direction. So does an
    item that was the same in all training patients, or followed from others, and so has no weight.
    """

    format: Literal[1]
    intercept: FiniteFloat = Field(description="log odds of a patient with the cohort's average of every item")
    weights: tuple[Weight, ...]
    unweighted: tuple[str, ...] = Field(description="items without a weight")
    patients: int = Field(gt=0)
    events: int = Field(ge=0)

    def contributions(self, card: ScoreCard) -> tuple[CardContribution, ...]:
        """Say what each item adds to the log odds."""
        return tuple(_contribution(weight, card.item(weight.item)) for weight in self.weights)

    def predict(self, card: ScoreCard) -> float:
        """Likelihood of desmoplastic growth."""
        log_odds = self.intercept + sum(part.log_odds for part in self.contributions(card))
        return 0.5 * (1 + math.tanh(log_odds / 2))

    def says(self, card: ScoreCard) -> bool:
        """Whether any item that has a weight was assessed; else the likelihood is that of the average patient."""
        return any(card.item(weight.item).assessed for weight in self.weights)

    def to_json(self) -> dict[str, Any]:
        """Give the model as JSON values."""
        return self.model_dump(mode="json")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        named = [*(weight.item for weight in self.weights), *self.unweighted]
        if sorted(named) != sorted(ITEMS):
            raise ValueError(f"has the items {', '.join(named)}; expected each of {', '.join(ITEMS)} once")
        return self


def fit_card_model(cards: Sequence[ScoreCard], desmoplastic: ArrayLike) -> CardModel:
    """Fit the model.

    Items that were not assessed are set to the share of unfavourable ones among the others; items that are the same in all
    patients are left out, and so are those that earlier ones already say, as happens with very few patients. Where none was
    assessed in any patient, as on slides of a kind that the networks do not know, the model has no weights, and says nothing.

    Raises
    ------
    InvalidInputError
        If the numbers of cards and outcomes differ, there is only one outcome, or no item that was assessed varies.
    """
    outcome = np.asarray(desmoplastic, bool)
    if outcome.shape != (len(cards),):
        raise InvalidInputError(
            f"There are {len(cards)} score cards and {outcome.size} outcomes; expected one for each."
        )
    values = np.array([[_value(card, name) for name in ITEMS] for card in cards]).reshape(len(cards), len(ITEMS))
    known = ~np.isnan(values)
    if not known.any():
        events = int(outcome.sum())
        return CardModel(
            format=1,
            intercept=math.log((events + 0.5) / (len(cards) - events + 0.5)),
            weights=(),
            unweighted=ITEMS,
            patients=len(cards),
            events=events,
        )
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
    return CardModel(
        format=1,
        intercept=average,
        weights=weights,
        unweighted=tuple(name for name in ITEMS if name not in names),
        patients=found.cases,
        events=found.events,
    )


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
