"""The evidence of a training run that predicts one yes or no in several ways, and every figure that follows from it.

The evidence holds what each way said of each patient without having seen the patient, the outcome, and what readers scored
where they did. Only it is stored; all figures can be computed again.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from preop.errors import InvalidInputError
from preop.statistics import (
    Agreement,
    AucComparison,
    BinaryCounts,
    Estimate,
    auc_delong,
    brier_score,
    compare_aucs,
    difference_in_words,
    intraclass_correlation,
    p_value_in_words,
    youden_threshold,
)
from preop.toml import first_validation_error

SIGNIFICANT = 0.05


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Way(_Part):
    """One way of predicting the outcome."""

    name: str
    baseline: bool = Field(False, description="a count or rule that others are held against, and no likelihood")
    threshold: float | None = Field(None, description="of the final model; none of a baseline")


class Patient(_Part):
    """What is known of a patient, and what was said without having seen the patient."""

    patient: str
    centre: str = ""
    fold: str = Field(description="that the patient was held out with")
    outcome: Literal[0, 1]
    scores: dict[str, FiniteFloat] = Field(description="by way: likelihoods, and the scores of baselines")


class CentrePatient(_Part):
    """What models from all other centres said of a patient."""

    patient: str
    scores: dict[str, FiniteFloat]


class Reading(_Part):
    """An item of a patient as it was measured and as a reader scored it."""

    patient: str
    item: str
    measured: FiniteFloat
    read: FiniteFloat


class Weight(_Part):
    """Of an item in the final model."""

    name: str
    log_odds: FiniteFloat
    lower: FiniteFloat | None = Field(description="end of the 95 % interval; none where it is not determined")
    upper: FiniteFloat | None


@dataclass(frozen=True)
class WayAgreement:
    """How far two ways say the same of the same patients.

    Attributes
    ----------
    rank_correlation
        Spearman's, of what they say.
    decisions
        Table of their decisions, each at its own threshold.
    """

    first: str
    second: str
    rank_correlation: float
    decisions: Agreement


@dataclass(frozen=True)
class ReaderAgreement:
    """An item as measured beside readers: intraclass correlation ICC(2,1), Spearman's, and mean difference."""

    item: str
    patients: int
    intraclass: float
    rank_correlation: float
    difference: float


@dataclass(frozen=True)
class Centre:
    """A centre whose patients were predicted by models from all others; AUC by way where it has both outcomes."""

    name: str
    patients: int
    events: int
    areas: Mapping[str, Estimate]


class WaysEvidence(_Part):
    """The evidence, and what follows from it."""

    format: Literal[1]
    positive_name: str = Field(description="the outcome, such as desmoplastic growth")
    protocol: str = Field(description="how patients were held out, in a sentence")
    settings: dict[str, Any] = Field(default_factory=dict, description="of the run, as far as a reader should know")
    ways: tuple[Way, ...] = Field(min_length=2, description="the last that is no baseline is the one that is given out")
    patients: tuple[Patient, ...]
    by_centre: dict[str, tuple[CentrePatient, ...]] = Field(default_factory=dict)
    readings: tuple[Reading, ...] = ()
    weights: tuple[Weight, ...] = ()
    oracle: float | None = Field(None, ge=0, le=1, description="AUC of who knows what simulated patients are made from")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = Counter(patient.patient for patient in self.patients)
        if twice := [name for name, times in names.items() if times > 1]:
            raise ValueError(f"the patient {twice[0]} is there twice")
        wanted = {way.name for way in self.ways}
        rows: list[Patient | CentrePatient] = [
            *self.patients,
            *(row for part in self.by_centre.values() for row in part),
        ]
        for row in rows:
            if row.scores.keys() != wanted:
                raise ValueError(f"the patient {row.patient} is scored by other ways than {', '.join(sorted(wanted))}")
            if row.patient not in names:
                raise ValueError(f"by_centre names the patient {row.patient}, whom patients lacks")
        if not any(not way.baseline for way in self.ways):
            raise ValueError("all ways are baselines; expected at least one that predicts")
        folds = {
            outcome: {patient.fold for patient in self.patients if patient.outcome == outcome} for outcome in (0, 1)
        }
        if min(map(len, folds.values())) < 2:
            raise ValueError(f"patients with and without {self.positive_name} are needed, each in at least two folds")
        return self

    @cached_property
    def predicting(self) -> tuple[Way, ...]:
        """Ways that give a likelihood."""
        return tuple(way for way in self.ways if not way.baseline)

    @property
    def final(self) -> Way:
        """The way that is given out."""
        return self.predicting[-1]

    @cached_property
    def labels(self) -> NDArray[np.bool_]:
        """Outcome of the patients (n,)."""
        return np.array([patient.outcome == 1 for patient in self.patients])

    def scores(self, way: str) -> NDArray[np.float64]:
        """What a way says of the patients (n,)."""
        return np.array([patient.scores[way] for patient in self.patients])

    def auc(self, way: str) -> Estimate:
        """AUC with DeLong's interval."""
        return auc_delong(self.labels, self.scores(way))

    def decisions(self, way: str) -> NDArray[np.bool_]:
        """Whether a way calls a patient positive (n,), at the threshold that is best (Youden) on all other folds."""
        labels, scores = self.labels, self.scores(way)
        folds = np.array([patient.fold for patient in self.patients])
        called = np.zeros(folds.size, np.bool_)
        for fold in np.unique(folds):
            held_out = folds == fold
            called[held_out] = scores[held_out] >= youden_threshold(labels[~held_out], scores[~held_out])
        return called

    def counts(self, way: str) -> BinaryCounts:
        """Right and wrong decisions."""
        return BinaryCounts.of(self.labels, self.decisions(way))

    def brier(self, way: str) -> float:
        """Brier score of a likelihood."""
        return brier_score(self.labels, self.scores(way))

    def compare(self, way: str, other: str) -> AucComparison:
        """AUC of a way less that of another, by DeLong's paired test."""
        return compare_aucs(self.labels, self.scores(way), self.scores(other))

    def adds(self, way: str, other: str) -> bool:
        """Whether a way is shown to be better than another."""
        comparison = self.compare(way, other)
        return comparison.difference.value > 0 and comparison.p_value < SIGNIFICANT

    @property
    def compared(self) -> Iterator[tuple[str, str]]:
        """Pairs to compare: each way with each baseline, and the one that is given out with the others."""
        yield from ((way.name, other.name) for way in self.predicting for other in self.ways if other.baseline)
        yield from ((self.final.name, other.name) for other in self.predicting[:-1])

    @property
    def agreements(self) -> list[WayAgreement]:
        """Of each pair of ways that predict by themselves: all but the one that is given out, where there are more."""
        alone = self.predicting[:-1] if len(self.predicting) > 2 else self.predicting
        return [self._agreement(first.name, second.name) for first, second in itertools.combinations(alone, 2)]

    @property
    def reader_agreements(self) -> list[ReaderAgreement]:
        """Each item that readers scored in three patients or more."""
        from scipy.stats import spearmanr

        found = []
        for item in dict.fromkeys(reading.item for reading in self.readings):
            pairs = np.array([(row.measured, row.read) for row in self.readings if row.item == item])
            if len(pairs) < 3:
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
    def centres(self) -> list[Centre]:
        """Each centre left out, in the order of the evidence."""
        outcome = {patient.patient: patient.outcome for patient in self.patients}
        found = []
        for name, rows in self.by_centre.items():
            labels = np.array([outcome[row.patient] == 1 for row in rows])
            both = 0 < labels.sum() < labels.size
            areas = {way.name: auc_delong(labels, [row.scores[way.name] for row in rows]) for way in self.ways if both}
            found.append(Centre(name, labels.size, int(labels.sum()), areas))
        return found

    @property
    def verdict(self) -> list[str]:
        """Say in words which way predicts, what putting them together adds, and how far they agree."""
        return [self._answer(), *self._about_ways(), *self._about_agreement()]

    def _agreement(self, first: str, second: str) -> WayAgreement:
        from scipy.stats import spearmanr

        words = {True: "yes", False: "no"}
        one, other = ([words[bool(value)] for value in self.decisions(way)] for way in (first, second))
        correlation = float(spearmanr(self.scores(first), self.scores(second)).statistic)
        return WayAgreement(first, second, correlation, Agreement.of(one, other, ("no", "yes")))

    def _answer(self) -> str:
        area = self.auc(self.final.name)
        if area.lower > 0.5:
            return f"{_capital(self.final.name)}: {self.positive_name} is predicted better than by chance."
        return f"{_capital(self.final.name)}: it was not shown that {self.positive_name} is predicted better than by chance."

    def _about_ways(self) -> Iterator[str]:
        areas = "; ".join(f"{way.name} {self.auc(way.name).value:.2f}" for way in self.ways)
        oracle = "" if self.oracle is None else f"; an observer who knows the simulation {self.oracle:.2f}"
        yield f"AUC: {areas}{oracle}."
        for way, other in self.compared:
            comparison = self.compare(way, other)
            worse = comparison.difference.value < 0 and comparison.p_value < SIGNIFICANT
            shown = "is better than" if self.adds(way, other) else "was not shown to be better than"
            p_value = "" if math.isnan(comparison.p_value) else f", {p_value_in_words(comparison.p_value)}"
            yield (
                f"{_capital(way)} {'is worse than' if worse else shown} {other} alone: difference "
                f"{difference_in_words(comparison.difference)}{p_value}."
            )

    def _about_agreement(self) -> Iterator[str]:
        for pair in self.agreements:
            same = pair.decisions.accuracy.value
            yield (
                f"{_capital(pair.first)} and {pair.second} decide alike in {same:.0%} of the patients; rank correlation of "
                f"what they say {pair.rank_correlation:.2f}."
            ).replace("%", " %")


def read_way_evidence(content: Mapping[str, Any]) -> WaysEvidence:
    """Check the evidence, as read from its JSON file.

    Raises
    ------
    InvalidInputError
        If it is anything else.
    """
    try:
        return WaysEvidence.model_validate(content)
    except ValidationError as error:
        raise InvalidInputError(
            f"This is not the evidence of a training run in several ways: {first_validation_error(error)}."
        ) from None


def way_figures(content: Mapping[str, Any]) -> dict[str, Any]:
    """Give the figures that ``model.json`` states: AUC and decisions of each way, comparisons, agreement.

    Raises
    ------
    InvalidInputError
        As :func:`read_way_evidence`.
    """
    study = read_way_evidence(content)
    size = {"patients": len(study.patients), "events": int(study.labels.sum())}
    return {
        "models": {
            way.name: {**size, "auc": study.auc(way.name).as_dict(), "baseline": way.baseline} for way in study.ways
        },
        "comparisons": [_comparison(study, way, other) for way, other in study.compared],
        "verdict": study.verdict,
        "decisions": {way.name: _decisions(study.counts(way.name)) for way in study.ways},
        "brier_scores": {way.name: study.brier(way.name) for way in study.predicting},
        "agreement": [
            {
                "ways": [pair.first, pair.second],
                "rank_correlation": _number(pair.rank_correlation),
                "same_decision": pair.decisions.accuracy.as_dict(),
            }
            for pair in study.agreements
        ],
        "readers": {
            row.item: {
                "patients": row.patients,
                "intraclass_correlation": _number(row.intraclass),
                "rank_correlation": _number(row.rank_correlation),
                "mean_difference": row.difference,
            }
            for row in study.reader_agreements
        },
        "centres": {
            centre.name: {
                "patients": centre.patients,
                "events": centre.events,
                "auc": {name: area.as_dict() for name, area in centre.areas.items()},
            }
            for centre in study.centres
        },
        "oracle_auc": study.oracle,
    }


def _comparison(study: WaysEvidence, way: str, other: str) -> dict[str, Any]:
    comparison = study.compare(way, other)
    return {
        "model": way,
        "baseline": other,
        "auc_difference": comparison.difference.as_dict(),
        "p_value": _number(comparison.p_value),
        "adds": study.adds(way, other),
    }


def _decisions(counts: BinaryCounts) -> dict[str, Any]:
    shares = {"sensitivity": counts.sensitivity, "specificity": counts.specificity, "accuracy": counts.accuracy}
    return {name: None if share is None else share.as_dict() for name, share in shares.items()}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
