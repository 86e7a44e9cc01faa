"""Evidence of several models that predict the same yes or no of the same patients, side by side.

It holds what each model predicted of each patient without having seen the patient, the outcome, and what readers scored
where they did.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from preop.evidence.binary import BinaryPredictions
from preop.evidence.comparisons import auc_comparison, is_better, is_worse
from preop.evidence.figures import ValidationFigures
from preop.evidence.records import (
    CentreFigures,
    Evidence,
    Record,
    check_each_once,
    check_folds,
    decision_figures,
    model_figures,
    stated_number,
)
from preop.evidence.wording import capital, comparison_in_words, minus, percent
from preop.statistics import Agreement, AucComparison, Estimate, auc_delong, compare_aucs, intraclass_correlation

_MIN_READINGS = 3


class Model(Record):
    """One of the models, or a baseline they are compared with."""

    name: str
    baseline: bool = Field(False, description="a count or rule that others are compared with, and no likelihood")
    threshold: float | None = Field(None, description="of the final model; none of a baseline")


class ModelsPatient(Record):
    """What is known of a patient, and what was predicted without having seen the patient."""

    patient: str
    centre: str = ""
    fold: str = Field(description="that the patient was held out with")
    outcome: Literal[0, 1]
    scores: dict[str, FiniteFloat] = Field(description="by model: likelihoods, and the scores of baselines")


class CentrePatient(Record):
    """What models from all other centres predicted of a patient."""

    patient: str
    scores: dict[str, FiniteFloat]


class Reading(Record):
    """An item of a patient as it was measured and as a reader scored it."""

    patient: str
    item: str
    measured: FiniteFloat
    read: FiniteFloat


class Weight(Record):
    """Of an item in the final model."""

    name: str
    log_odds: FiniteFloat
    lower: FiniteFloat | None = Field(description="end of the 95 % interval; none where it is not determined")
    upper: FiniteFloat | None

    @property
    def estimate(self) -> Estimate:
        """The same for a chart; NaN for what is not determined."""
        ends = (math.nan if end is None else end for end in (self.lower, self.upper))
        return Estimate(self.log_odds, *ends)


@dataclass(frozen=True)
class ModelAgreement:
    """How far two models agree about the same patients.

    Attributes
    ----------
    rank_correlation
        Spearman's, of their likelihoods.
    decisions
        Table of their decisions, each at its own threshold.
    """

    first: str
    second: str
    rank_correlation: float
    decisions: Agreement


@dataclass(frozen=True)
class ReaderAgreement:
    """An item as measured and as read: intraclass correlation ICC(2,1), Spearman's, and mean difference."""

    item: str
    patients: int
    intraclass: float
    rank_correlation: float
    difference: float


class ModelsEvidence(Evidence):
    """The evidence, and what follows from it."""

    described: ClassVar = "a training run of several models"

    kind: Literal["models"] = "models"
    positive_name: str = Field(description="the outcome, such as desmoplastic growth")
    models: tuple[Model, ...] = Field(
        min_length=2, description="the last that is no baseline is the one that is given out"
    )
    patients: tuple[ModelsPatient, ...] = Field(min_length=1)
    by_centre: dict[str, tuple[CentrePatient, ...]] = Field(default_factory=dict)
    readings: tuple[Reading, ...] = ()
    weights: tuple[Weight, ...] = ()
    oracle_auc: float | None = Field(
        None, ge=0, le=1, description="of an observer who knows what simulated patients are made from"
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        check_each_once(patient.patient for patient in self.patients)
        names = {patient.patient for patient in self.patients}
        wanted = {model.name for model in self.models}
        rows: list[ModelsPatient | CentrePatient] = [*self.patients]
        rows += [row for part in self.by_centre.values() for row in part]
        for row in rows:
            if row.scores.keys() != wanted:
                raise ValueError(
                    f"the patient {row.patient} is scored by other models than {', '.join(sorted(wanted))}"
                )
            if row.patient not in names:
                raise ValueError(f"by_centre names the patient {row.patient}, whom patients lacks")
        if not self.predicting:
            raise ValueError("all models are baselines; expected at least one that predicts")
        check_folds(((patient.outcome == 1, patient.fold) for patient in self.patients), self.positive_name)
        return self

    @cached_property
    def predicting(self) -> tuple[Model, ...]:
        """Models that give a likelihood."""
        return tuple(model for model in self.models if not model.baseline)

    @property
    def final(self) -> Model:
        """The model that is given out."""
        return self.predicting[-1]

    @cached_property
    def predictions(self) -> dict[str, BinaryPredictions]:
        """All patients by each model, each decided about at the threshold that is best on all other folds."""
        labels = [patient.outcome for patient in self.patients]
        folds = [patient.fold for patient in self.patients]
        return {
            model.name: BinaryPredictions.by_folds(
                labels, [patient.scores[model.name] for patient in self.patients], folds
            )
            for model in self.models
        }

    def auc(self, model: str) -> Estimate:
        """AUC with DeLong's interval."""
        return auc_delong(self.predictions[model].labels, self.predictions[model].scores)

    def compare(self, model: str, other: str) -> AucComparison:
        """AUC of a model less that of another, by DeLong's paired test."""
        first, second = self.predictions[model], self.predictions[other]
        return compare_aucs(first.labels, first.scores, second.scores)

    @property
    def pairs(self) -> Iterator[tuple[str, str]]:
        """Pairs to compare: each model with each baseline, and the one that is given out with the others."""
        yield from ((model.name, other.name) for model in self.predicting for other in self.models if other.baseline)
        yield from ((self.final.name, other.name) for other in self.predicting[:-1])

    @property
    def agreements(self) -> list[ModelAgreement]:
        """Of each pair of models that predict by themselves: all but the one that is given out, where there are more."""
        alone = self.predicting[:-1] if len(self.predicting) > 2 else self.predicting
        return [self._agreement(first.name, second.name) for first, second in itertools.combinations(alone, 2)]

    @property
    def reader_agreements(self) -> list[ReaderAgreement]:
        """Each item that readers scored in three patients or more."""
        from scipy.stats import spearmanr

        found = []
        for item in dict.fromkeys(reading.item for reading in self.readings):
            pairs = np.array([(row.measured, row.read) for row in self.readings if row.item == item])
            if len(pairs) < _MIN_READINGS:
                continue
            varying = bool((np.ptp(pairs, axis=0) > 0).all())
            found.append(
                ReaderAgreement(
                    item,
                    len(pairs),
                    intraclass=float(intraclass_correlation(pairs.T[..., None])[0]),
                    rank_correlation=float(spearmanr(*pairs.T).statistic) if varying else math.nan,
                    difference=float(np.mean(pairs[:, 0] - pairs[:, 1])),
                )
            )
        return found

    @property
    def centres(self) -> list[CentreFigures]:
        """Each centre left out, in the order of the evidence."""
        outcome = {patient.patient: patient.outcome for patient in self.patients}
        found = []
        for name, rows in self.by_centre.items():
            labels = [outcome[row.patient] for row in rows]
            scores = {model.name: [row.scores[model.name] for row in rows] for model in self.models}
            aucs = {key: auc for key, row in scores.items() if (auc := BinaryPredictions.of(labels, row).auc)}
            found.append(CentreFigures(name, len(labels), sum(labels), aucs))
        return found

    @property
    def verdict(self) -> list[str]:
        """Say in words which model predicts, whether combining them is better, and how far they agree."""
        return [self._answer(), *self._about_models(), *self._about_agreement()]

    @property
    def validation(self) -> ValidationFigures:
        """The figures that ``model.json`` states: AUC and decisions of each model, comparisons, agreement."""
        patients, events = len(self.patients), self.predictions[self.final.name].events
        return ValidationFigures(
            protocol=self.protocol,
            patients=patients,
            models={
                model.name: model_figures(patients, events, self.auc(model.name), baseline=model.baseline)
                for model in self.models
            },
            comparisons=tuple(auc_comparison(*pair, self.compare(*pair)) for pair in self.pairs),
            verdict=tuple(self.verdict),
            cautions=(),
            details=self._details(),
        )

    def _details(self) -> dict[str, Any]:
        return {
            "decisions": {
                model.name: decision_figures(
                    self.predictions[model.name].counts, "sensitivity", "specificity", "accuracy"
                )
                for model in self.models
            },
            "brier_scores": {model.name: self.predictions[model.name].brier for model in self.predicting},
            "agreement": [
                {
                    "models": [pair.first, pair.second],
                    "rank_correlation": stated_number(pair.rank_correlation),
                    "same_decision": pair.decisions.accuracy.as_dict(),
                }
                for pair in self.agreements
            ],
            "readers": {
                row.item: {
                    "patients": row.patients,
                    "intraclass_correlation": stated_number(row.intraclass),
                    "rank_correlation": stated_number(row.rank_correlation),
                    "mean_difference": row.difference,
                }
                for row in self.reader_agreements
            },
            "centres": {
                centre.name: {
                    "patients": centre.patients,
                    "events": centre.events,
                    "auc": {name: auc.as_dict() for name, auc in centre.aucs.items()},
                }
                for centre in self.centres
            },
            "oracle_auc": self.oracle_auc,
        }

    def _agreement(self, first: str, second: str) -> ModelAgreement:
        from scipy.stats import spearmanr

        words = {True: "yes", False: "no"}
        one, other = self.predictions[first], self.predictions[second]
        called = ([words[bool(value)] for value in np.asarray(each.decisions)] for each in (one, other))
        decisions = Agreement.of(next(called), next(called), ("no", "yes"))
        constant = any(np.ptp(each.scores) == 0 for each in (one, other))
        correlation = math.nan if constant else float(spearmanr(one.scores, other.scores).statistic)
        return ModelAgreement(first, second, correlation, decisions)

    def _answer(self) -> str:
        model = capital(self.final.name)
        if self.auc(self.final.name).lower > 0.5:
            return f"{model}: {self.positive_name} is predicted better than by chance."
        return f"{model}: it was not shown that {self.positive_name} is predicted better than by chance."

    def _about_models(self) -> Iterator[str]:
        areas = "; ".join(f"{model.name} {self.auc(model.name).value:.2f}" for model in self.models)
        oracle = "" if self.oracle_auc is None else f"; an observer who knows the simulation {self.oracle_auc:.2f}"
        yield f"AUC: {areas}{oracle}."
        for model, other in self.pairs:
            comparison = self.compare(model, other)
            difference, p_value = comparison.difference.value, comparison.p_value
            shown = (
                "is better than"
                if is_better(difference, p_value)
                else "is worse than"
                if is_worse(difference, p_value)
                else "was not shown to be better than"
            )
            yield f"{capital(model)} {shown} {other} alone: difference {comparison_in_words(comparison)}."

    def _about_agreement(self) -> Iterator[str]:
        for pair in self.agreements:
            correlation = (
                ""
                if math.isnan(pair.rank_correlation)
                else f"; rank correlation of their likelihoods {minus(f'{pair.rank_correlation:.2f}')}"
            )
            yield (
                f"{capital(pair.first)} and {pair.second} reach the same decision in "
                f"{percent(pair.decisions.accuracy.value)} of the patients{correlation}."
            )
