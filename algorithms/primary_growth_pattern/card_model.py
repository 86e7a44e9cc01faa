"""A logistic model over the items of the score card: how much each unfavourable item shifts the likelihood.

It reads which items are unfavourable, not their values: cut-offs stand in the literature, and a cohort of this size cannot
improve on them. Nor can it tell one weight well from another, so that counting items often does as well as weighing them. So
weights are drawn towards their mean: half of their squared distance from it is taken off the log-likelihood, times a penalty
chosen by folds of the patients that are learned from. With the strongest one all weights are equal, as in a count. The mean
itself has a weak prior, by which it is finite where a count separates the patients (scale 2.5; Gelman 2008, Ann Appl Stat
2:1360).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, FiniteFloat, model_validator

from preop.errors import InvalidInputError
from preop.study import Stored

from .pathology_report import KNOWN
from .score_card import DEFINITIONS, ScoreCard

Floats = NDArray[np.float64]

SLIDE_ITEMS = tuple(name for name, definition in DEFINITIONS.items() if definition.direction is not None)
"""Items of the slide that can be unfavourable."""
ITEMS = (*SLIDE_ITEMS, *KNOWN)
"""And those of the pathology report."""
TITLES = {name: DEFINITIONS[name].title if name in DEFINITIONS else KNOWN[name].title for name in ITEMS}

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 1000.0)
"""From weights of their own to equal ones."""
_PRIOR_SCALE = 2.5
_STEPS, _CONVERGED = 100, 1e-9
_Z = 1.959964
"""Of a 95 % interval."""


class Weight(Stored):
    """Of one item."""

    item: str
    log_odds: FiniteFloat = Field(description="that the item adds where it is unfavourable")
    lower: FiniteFloat | None = Field(
        description="end of the 95 % interval, by the curvature of the penalised likelihood; None if it is not determined"
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
        return tuple(_contribution(weight, card.finding(weight.item)) for weight in self.weights)

    def predict(self, card: ScoreCard) -> float:
        """Likelihood of desmoplastic growth."""
        log_odds = self.intercept + sum(part.log_odds for part in self.contributions(card))
        return 0.5 * (1 + math.tanh(log_odds / 2))

    def says(self, card: ScoreCard) -> bool:
        """Whether any item that has a weight was assessed; else the likelihood is that of the average patient."""
        return any(card.finding(weight.item) is not None for weight in self.weights)

    def to_json(self) -> dict[str, Any]:
        """Give the model as JSON values."""
        return self.model_dump(mode="json")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        named = [*(weight.item for weight in self.weights), *self.unweighted]
        # Those of the report came later: a model that names none of them gives them no weight.
        if {*named} not in ({*SLIDE_ITEMS}, {*ITEMS}) or len({*named}) < len(named):
            raise ValueError(
                f"has the items {', '.join(named)}; expected each of {', '.join(SLIDE_ITEMS)} once, and all or none of "
                f"{', '.join(KNOWN)}"
            )
        return self


def fit_card_model(
    cards: Sequence[ScoreCard], desmoplastic: ArrayLike, persons: Sequence[str] | None = None
) -> CardModel:
    """Fit the model, with the penalty that the patients themselves choose.

    Items that were not assessed are set to the share of unfavourable ones among the others; items that are the same in all
    patients are left out. Where none was assessed in any patient, as on slides of a kind that the networks do not know, the
    model has no weights, and says nothing.

    Parameters
    ----------
    persons
        Whom each card belongs to; no fold parts the cards of a person. Left out, each is of another.

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
    events = int(outcome.sum())
    if not known.any():
        return CardModel(
            format=1,
            intercept=math.log((events + 0.5) / (len(cards) - events + 0.5)),
            weights=(),
            unweighted=ITEMS,
            patients=len(cards),
            events=events,
        )
    shares = _shares(values)
    varying = np.flatnonzero((shares > 0) & (shares < 1))
    if not len(varying):
        raise InvalidInputError(
            "No item of the score cards differs between the patients; there is nothing to learn from."
        )
    if events in (0, len(cards)):
        raise InvalidInputError(
            f"Of {len(cards)} patients {events} have desmoplastic growth; expected some with it, and some without."
        )
    found = _fitted(values[:, varying], outcome, _chosen_penalty(values[:, varying], outcome, persons))
    weights = tuple(
        Weight(
            item=ITEMS[column],
            log_odds=float(weight),
            lower=float(weight - _Z * error),
            upper=float(weight + _Z * error),
            unfavourable_share=float(shares[column]),
        )
        for column, weight, error in zip(varying.tolist(), found.weights, found.errors, strict=True)
    )
    names = {weight.item for weight in weights}
    return CardModel(
        format=1,
        intercept=found.average,
        weights=weights,
        unweighted=tuple(name for name in ITEMS if name not in names),
        patients=len(cards),
        events=events,
    )


class _Fitted(NamedTuple):
    """Weights of items (k,) and their standard errors; the log odds of a patient with the average of every item."""

    weights: Floats
    errors: Floats
    average: float
    shares: Floats

    def log_odds(self, values: Floats) -> Floats:
        """Log odds of patients (n,) by their items (n, k), NaN where one was not assessed."""
        return self.average + np.where(np.isnan(values), 0.0, values - self.shares) @ self.weights


def _fitted(values: Floats, outcome: NDArray[np.bool_], penalty: float) -> _Fitted:
    """Maximise the penalised likelihood by Newton's method; it is concave, and a step that overshoots is halved."""
    shares = _shares(values)
    design = np.column_stack([np.ones(len(values)), np.where(np.isnan(values), 0.0, values - shares)])
    items = values.shape[1]
    pull = np.zeros((items + 1, items + 1))
    pull[1:, 1:] = penalty * (np.eye(items) - 1 / items) + 1 / (items * _PRIOR_SCALE) ** 2
    rate = outcome.mean()
    found = np.zeros(items + 1)
    found[0] = math.log(rate / (1 - rate))

    def likelihood(at: Floats) -> float:
        log_odds = design @ at
        return float((outcome * log_odds - np.logaddexp(0, log_odds)).sum() - at @ pull @ at / 2)

    best = likelihood(found)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-design @ found))
        information = design.T @ (design * (chance * (1 - chance))[:, None]) + pull
        step = np.linalg.solve(information, design.T @ (outcome - chance) - pull @ found)
        while likelihood(found + step) < best - _CONVERGED:
            step = step / 2
        found = found + step
        gained, best = likelihood(found) - best, likelihood(found)
        if gained < _CONVERGED:
            break
    errors = np.sqrt(np.diag(np.linalg.inv(information)))[1:]
    return _Fitted(found[1:], errors, float(found[0]), shares)


def _chosen_penalty(values: Floats, outcome: NDArray[np.bool_], persons: Sequence[str] | None) -> float:
    """Strongest penalty that predicts held-out patients no worse than the best by more than a standard error.

    The difference is that of the log-likelihoods of the same patients. Where there are too few patients for folds, the
    strongest.
    """
    from preop.tabular.splits import inner_folds

    owners = np.array(range(len(values)) if persons is None else persons).astype(np.str_)
    try:
        folds = inner_folds(outcome, owners, seed=0)
    except InvalidInputError:  # fewer than two patients of an outcome
        return PENALTIES[-1]
    told = np.empty((len(PENALTIES), len(values)))
    for train, test in folds:
        for row, penalty in enumerate(PENALTIES):
            log_odds = _fitted(values[train], outcome[train], penalty).log_odds(values[test])
            told[row, test] = outcome[test] * log_odds - np.logaddexp(0, log_odds)
    best = told[told.mean(axis=1).argmax()]
    lost = best - told
    near = lost.mean(axis=1) <= lost.std(axis=1) / math.sqrt(len(values))
    return max(penalty for penalty, good in zip(PENALTIES, near, strict=True) if good)


def _shares(values: Floats) -> Floats:
    """Share of the unfavourable among those that were assessed, by item; 0 where none was."""
    known = ~np.isnan(values)
    return np.asarray(np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _value(card: ScoreCard, name: str) -> float:
    unfavourable = card.finding(name)
    return math.nan if unfavourable is None else float(unfavourable)


def _contribution(weight: Weight, unfavourable: bool | None) -> CardContribution:  # noqa: FBT001
    shift = 0.0 if unfavourable is None else weight.log_odds * (unfavourable - weight.unfavourable_share)
    return CardContribution(item=weight.item, unfavourable=unfavourable, log_odds=shift)
