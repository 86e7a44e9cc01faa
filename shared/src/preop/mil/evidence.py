"""Figures from the evidence of a training run on bags; only the evidence is stored, all figures can be computed again.

The evidence holds what was said of each patient by models that had not seen the patient, the reference standard, and the
score of the rule that clinicians use instead. A patient whose report leaves open whether any instance is positive takes
part in no figure.

This module needs no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from preop.errors import InvalidInputError
from preop.statistics import (
    AucComparison,
    BinaryCounts,
    Coverage,
    Estimate,
    auc,
    auc_bootstrap,
    auc_delong,
    brier_score,
    central_coverage,
    compare_aucs,
    difference_in_words,
    distribution_of_the_others,
    mean_estimate,
    p_value_in_words,
    ranked_probability_scores,
    wilson,
    youden_threshold,
)
from preop.toml import first_validation_error

SIGNIFICANT = 0.05
SHARE_TO_FIND = 0.8
"""Of the positive instances: how many must be looked at to find so many is what the ranking is worth."""
INTERVAL = 0.9
"""Probability of the interval of the count whose coverage is stated."""

_ROUNDING = 0.01  # of the sum of stored probabilities
_BOOTSTRAP_SEED = 0


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Instance(_Part):
    """One instance of a patient, such as a lymph node."""

    name: str
    contribution: FiniteFloat = Field(description="to the prediction, higher for what speaks for a positive patient")
    rule_score: FiniteFloat = Field(description="its size, or what else the rule goes by")
    truth: Literal[0, 1] | None = Field(None, description="whether it is positive, where that is known")


class Patient(_Part):
    """What is known of a patient, and what was predicted without having seen it."""

    patient: str
    centre: str = ""
    fold: str = Field(description="that the patient was held out with")
    low: int = Field(ge=0, description="fewest positive instances that the report allows")
    high: int | None = Field(ge=0, description="most of them; null leaves it open")
    probability: float = Field(ge=0, le=1, description="predicted, that at least one instance is positive")
    expected: float | None = Field(None, ge=0, description="predicted mean number of positive instances")
    counts: tuple[float, ...] | None = Field(None, description="predicted probability of 0, 1, ..., the last or more")
    rule_score: FiniteFloat = Field(description="the patient's score by the rule, such as the largest short axis")
    instances: tuple[Instance, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.high is not None and self.high < self.low:
            raise ValueError(f"the report says {self.low} to {self.high} positives, which is no range")
        if (self.counts is None) is not (self.expected is None):
            raise ValueError("an expected number and the probabilities of all numbers come together, or not at all")
        if self.counts is not None and (min(self.counts) < 0 or abs(sum(self.counts) - 1) > _ROUNDING):
            raise ValueError(f"the probabilities of all numbers add up to {sum(self.counts):g}, not to 1")
        return self

    @property
    def positive(self) -> bool | None:
        """Whether any instance is positive by the report; None where it leaves that open."""
        return True if self.low > 0 else (False if self.high == 0 else None)

    @property
    def reported(self) -> str:
        """The report in words: 3, 2 to 4, 1 or more, not known."""
        if self.high is None:
            return f"{self.low} or more" if self.low else "not known"
        return str(self.low) if self.low == self.high else f"{self.low} to {self.high}"


class Rule(_Part):
    """What the model is held against: a score, and the value above which a patient is called positive."""

    name: str = Field(description="such as size rule")
    score_name: str = Field(description="of a patient, such as largest short axis")
    instance_score_name: str = Field(description="of an instance, such as short axis")
    unit: str = Field(description="of the score, such as mm")
    threshold: FiniteFloat


class CentrePrediction(_Part):
    """Of a patient, by a model trained on all other centres."""

    patient: str
    probability: float = Field(ge=0, le=1)


class Oracle(_Part):
    """What an observer reaches who knows the variables that simulated patients are made from."""

    patient_auc: float | None = Field(None, ge=0, le=1)
    instance_auc: float | None = Field(None, ge=0, le=1)


@dataclass(frozen=True, eq=False)
class Ranking:
    """How far positive instances stand above the others of the same patient; equal scores count as looked at last.

    Attributes
    ----------
    auc
        Of all instances together, with an interval from resampled patients.
    auc_of_patients
        Mean of the patients' own AUCs, with Student's t interval; of those who have instances of both kinds.
    first_is_positive
        Share of the patients whose highest instance is positive, with Wilson's interval.
    found
        Share of all positive instances among the k highest of each patient, for k = 0, 1, 2, ....
    """

    auc: Estimate
    auc_of_patients: Estimate
    first_is_positive: Estimate
    found: NDArray[np.float64]

    @property
    def to_look_at(self) -> int:
        """How many instances of each patient must be looked at to find 80 % of the positive ones."""
        return int((self.found >= SHARE_TO_FIND).argmax())


@dataclass(frozen=True)
class CountFit:
    """How well the number of positive instances is predicted, in patients whose report gives it exactly.

    Attributes
    ----------
    patients
        How many they are.
    expected, reported
        Mean number.
    coverage
        Of the 90 % intervals.
    score, score_of_cohort
        Mean ranked probability score of the model, and of the counts of all other patients; 0 is perfect.
    difference
        First less second, with Student's t interval over patients; below 0 the model is better.
    """

    patients: int
    expected: float
    reported: float
    coverage: Coverage
    score: float
    score_of_cohort: float
    difference: Estimate

    @property
    def gain(self) -> float:
        """By which part the model's score is better than the cohort's."""
        return 1 - self.score / self.score_of_cohort if self.score_of_cohort else 0.0


@dataclass(frozen=True)
class Centre:
    """A centre whose patients were predicted by a model trained on all others; AUCs where it has both outcomes."""

    name: str
    patients: int
    events: int
    model: Estimate | None
    rule: Estimate | None


class BagEvidence(_Part):
    """The evidence of a training run, and every figure that follows from it."""

    format: Literal[1]
    positive_name: str = Field(description="what a positive patient has, such as pN+")
    instance_name: str = Field(description="such as lymph node")
    protocol: str = Field(description="how the patients were held out, in a sentence")
    model: str = Field(description="its name, such as count head on cubes")
    threshold: float = Field(ge=0, le=1, description="of the final model: positive from there")
    settings: dict[str, Any] = Field(default_factory=dict, description="of the run, as far as a reader should know")
    patients: tuple[Patient, ...]
    rule: Rule
    by_centre: dict[str, tuple[CentrePrediction, ...]] = Field(default_factory=dict)
    oracle: Oracle | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = Counter(patient.patient for patient in self.patients)
        if twice := [name for name, times in names.items() if times > 1]:
            raise ValueError(f"the patient {twice[0]} is there twice")
        strange = [item.patient for part in self.by_centre.values() for item in part if item.patient not in names]
        if strange:
            raise ValueError(f"by_centre names the patient {strange[0]}, whom patients lacks")
        if len({len(patient.counts) for patient in self.patients if patient.counts is not None}) > 1:
            raise ValueError("the probabilities of all numbers end at different numbers")
        folds = {
            outcome: {item.fold for item in self.patients if item.positive is outcome} for outcome in (True, False)
        }
        if min(map(len, folds.values())) < 2:
            raise ValueError(
                f"patients with and without {self.positive_name} are needed, each in at least two folds; there are "
                f"{sum(item.positive is True for item in self.patients)} with and "
                f"{sum(item.positive is False for item in self.patients)} without"
            )
        return self

    @cached_property
    def known(self) -> tuple[Patient, ...]:
        """Patients whose report says whether any instance is positive."""
        return tuple(patient for patient in self.patients if patient.positive is not None)

    @property
    def left_out(self) -> int:
        """How many patients are in no figure, as their report leaves open whether any instance is positive."""
        return len(self.patients) - len(self.known)

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Of the known patients (n,), as are the following."""
        return np.array([patient.positive for patient in self.known], dtype=np.bool_)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """Predicted likelihood."""
        return np.array([patient.probability for patient in self.known])

    @property
    def rule_scores(self) -> NDArray[np.float64]:
        """Score by the rule."""
        return np.array([patient.rule_score for patient in self.known])

    @property
    def decisions(self) -> NDArray[np.bool_]:
        """Whether the model calls a patient positive, at the threshold that is best (Youden) on all other folds."""
        labels, probabilities = self.labels, self.probabilities
        folds = np.array([patient.fold for patient in self.known])
        called = np.zeros(folds.size, dtype=np.bool_)
        for fold in np.unique(folds):
            held_out = folds == fold
            called[held_out] = probabilities[held_out] >= youden_threshold(labels[~held_out], probabilities[~held_out])
        return called

    @property
    def model_counts(self) -> BinaryCounts:
        """Right and wrong decisions of the model."""
        return BinaryCounts.of(self.labels, self.decisions)

    @property
    def rule_counts(self) -> BinaryCounts:
        """Right and wrong decisions of the rule."""
        return BinaryCounts.of(self.labels, self.rule_scores > self.rule.threshold)

    @property
    def model_auc(self) -> Estimate:
        """AUC of the model with DeLong's interval."""
        return auc_delong(self.labels, self.probabilities)

    @property
    def rule_auc(self) -> Estimate:
        """AUC of the rule's score with DeLong's interval."""
        return auc_delong(self.labels, self.rule_scores)

    @property
    def comparison(self) -> AucComparison:
        """AUC of the model less that of the rule's score, by DeLong's paired test."""
        return compare_aucs(self.labels, self.probabilities, self.rule_scores)

    @property
    def adds(self) -> bool:
        """Whether the model is shown to be better than the rule."""
        return self.comparison.difference.value > 0 and self.comparison.p_value < SIGNIFICANT

    @property
    def brier(self) -> float:
        """Brier score of the model."""
        return brier_score(self.labels, self.probabilities)

    @cached_property
    def ranked(self) -> tuple[Patient, ...]:
        """Positive patients of whom each instance is known, and at least one is positive."""
        return tuple(
            patient
            for patient in self.known
            if patient.positive
            and all(instance.truth is not None for instance in patient.instances)
            and any(instance.truth for instance in patient.instances)
        )

    @cached_property
    def model_ranking(self) -> Ranking | None:
        """How the model ranks instances inside positive patients; None without truth, or without negative ones."""
        return self._ranking("contribution")

    @cached_property
    def rule_ranking(self) -> Ranking | None:
        """How the rule's score ranks the same instances."""
        return self._ranking("rule_score")

    @property
    def ranking_difference(self) -> Estimate | None:
        """Mean difference of the patients' own AUCs, model less rule, with Student's t interval."""
        pairs = [(_own_auc(patient, "contribution"), _own_auc(patient, "rule_score")) for patient in self.ranked]
        differences = [first - second for first, second in pairs if first is not None and second is not None]
        return mean_estimate(differences) if differences else None

    @property
    def found_by_chance(self) -> NDArray[np.float64]:
        """Share of the positive instances to be expected among k of each patient in no order, for k = 0, 1, 2, ...."""
        positives, sizes = _positives(self.ranked), np.array([len(patient.instances) for patient in self.ranked])
        looked_at = np.arange(sizes.max() + 1)[:, None]
        return np.asarray((np.minimum(looked_at / sizes, 1) * positives).sum(axis=1) / positives.sum())

    @property
    def first_by_chance(self) -> float:
        """Share of the patients whose highest instance would be positive in no order."""
        sizes = np.array([len(patient.instances) for patient in self.ranked])
        return float((_positives(self.ranked) / sizes).mean())

    @cached_property
    def counted(self) -> tuple[Patient, ...]:
        """Patients with an exact number in the report, and a predicted distribution of it."""
        return tuple(item for item in self.known if item.low == item.high and item.counts is not None)

    @cached_property
    def count_fit(self) -> CountFit | None:
        """How well the number is predicted; None with fewer than two such patients."""
        if len(self.counted) < 2:
            return None
        reported = np.array([patient.low for patient in self.counted])
        distributions = np.array([patient.counts for patient in self.counted])
        scores = ranked_probability_scores(reported, distributions)
        of_cohort = ranked_probability_scores(
            reported, distribution_of_the_others(reported, distributions.shape[1] - 1)
        )
        return CountFit(
            patients=len(self.counted),
            expected=float(np.mean([patient.expected for patient in self.counted])),
            reported=float(reported.mean()),
            coverage=central_coverage(reported, distributions, INTERVAL),
            score=float(scores.mean()),
            score_of_cohort=float(of_cohort.mean()),
            difference=mean_estimate(scores - of_cohort),
        )

    @property
    def centres(self) -> list[Centre]:
        """Each centre left out, in the order of the evidence."""
        of_name = {patient.patient: patient for patient in self.known}
        return [
            _centre(name, [(of_name[item.patient], item.probability) for item in part if item.patient in of_name])
            for name, part in self.by_centre.items()
        ]

    @property
    def verdict(self) -> list[str]:
        """Say in words what the model adds to the rule, which instances it finds, and how well it counts."""
        return [self._answer(), *self._about_patients(), *self._about_instances(), *self._about_counts()]

    def _ranking(self, score: str) -> Ranking | None:
        owners = [patient.patient for patient in self.ranked for _ in patient.instances]
        truth = np.array([item.truth for patient in self.ranked for item in patient.instances], dtype=np.bool_)
        if truth.all():  # also where there is none
            return None
        values = np.array([getattr(item, score) for patient in self.ranked for item in patient.instances])
        ranks = np.concatenate([_ranks(patient, score) for patient in self.ranked])
        first = len(
            {owner for owner, rank, positive in zip(owners, ranks, truth, strict=True) if positive and rank == 1}
        )
        own = [area for patient in self.ranked if (area := _own_auc(patient, score)) is not None]
        return Ranking(
            auc=auc_bootstrap(truth, values, owners, seed=_BOOTSTRAP_SEED, repeats=500),
            auc_of_patients=_within_unit(mean_estimate(own)),
            first_is_positive=wilson(first, len(self.ranked)),
            found=np.cumsum(np.bincount(ranks[truth], minlength=self.found_by_chance.size)) / truth.sum(),
        )

    def _answer(self) -> str:
        difference = self.comparison.difference.value
        if self.adds:
            return f"The model predicts {self.positive_name} better than the {self.rule.name}."
        if difference < 0 and self.comparison.p_value < SIGNIFICANT:
            return f"The model predicts {self.positive_name} worse than the {self.rule.name}."
        return (
            f"The model was not shown to do better than the {self.rule.name}: in these patients, what it adds cannot be "
            "told from chance."
        )

    def _about_patients(self) -> Iterator[str]:
        p_value = self.comparison.p_value
        oracle = self.oracle.patient_auc if self.oracle else None
        yield (
            f"{self.model}: AUC {self.model_auc.value:.2f} against {self.rule_auc.value:.2f} of the "
            f"{self.rule.score_name}; difference {difference_in_words(self.comparison.difference)}"
            + ("" if np.isnan(p_value) else f", {p_value_in_words(p_value)}")
            + _oracle_in_words(oracle)
            + "."
        )

    def _about_instances(self) -> Iterator[str]:
        if self.model_ranking is None or self.rule_ranking is None:
            return
        oracle = self.oracle.instance_auc if self.oracle else None
        yield (
            f"In {len(self.ranked)} patients with {self.positive_name} it ranks {self.instance_name}s with an AUC of "
            f"{self.model_ranking.auc.value:.2f} against {self.rule_ranking.auc.value:.2f} of the "
            f"{self.rule.instance_score_name}"
            f"{_oracle_in_words(oracle)}; the {self.instance_name} ranked first is positive in "
            f"{_percent(self.model_ranking.first_is_positive.value)} of them, by {self.rule.instance_score_name} in "
            f"{_percent(self.rule_ranking.first_is_positive.value)}."
        )
        yield (
            f"To find {_percent(SHARE_TO_FIND)} of the positive {self.instance_name}s, the "
            f"{_first(self.model_ranking.to_look_at)} of each such patient must be looked at; by {self.rule.instance_score_name} the "
            f"{_first(self.rule_ranking.to_look_at)}, of {np.mean([len(item.instances) for item in self.ranked]):.0f}."
        )

    def _about_counts(self) -> Iterator[str]:
        fit = self.count_fit
        if fit is None:
            return
        if fit.difference.upper < 0:
            gain = f"nearer to the reported number than the cohort's own distribution by {_percent(fit.gain)}"
        else:
            gain = "not shown to be nearer to the reported number than the cohort's own distribution"
        yield (
            f"It expects {fit.expected:.2f} positive {self.instance_name}s a patient, where {fit.reported:.2f} are reported; "
            f"it is {gain} (ranked probability score), and its {_percent(INTERVAL)} interval holds the reported number in "
            f"{_percent(fit.coverage.observed.value)}."
        )


def read_evidence(content: Mapping[str, Any]) -> BagEvidence:
    """Check the evidence of a training run on bags, as read from its JSON file.

    Raises
    ------
    InvalidInputError
        If it is anything else.
    """
    try:
        return BagEvidence.model_validate(content)
    except ValidationError as error:
        raise InvalidInputError(
            f"This is not the evidence of a training run on bags: {first_validation_error(error)}."
        ) from None


def figures(content: Mapping[str, Any]) -> dict[str, Any]:
    """Give the figures that ``model.json`` states: AUC of model and rule, their comparison, instances and counts.

    Raises
    ------
    InvalidInputError
        As :func:`read_evidence`.
    """
    evidence = read_evidence(content)
    size = {"patients": len(evidence.known), "events": int(evidence.labels.sum())}
    p_value = evidence.comparison.p_value
    return {
        "models": {
            evidence.model: {**size, "auc": evidence.model_auc.as_dict(), "baseline": False},
            evidence.rule.name: {**size, "auc": evidence.rule_auc.as_dict(), "baseline": True},
        },
        "comparisons": [
            {
                "model": evidence.model,
                "baseline": evidence.rule.name,
                "auc_difference": evidence.comparison.difference.as_dict(),
                "p_value": None if np.isnan(p_value) else p_value,
                "adds": evidence.adds,
            }
        ],
        "verdict": evidence.verdict,
        "patients_left_out": evidence.left_out,
        "decisions": {
            evidence.model: _decisions(evidence.model_counts),
            evidence.rule.name: _decisions(evidence.rule_counts),
        },
        "brier_score": evidence.brier,
        "instances": _instances(evidence),
        "count": _count(evidence.count_fit),
        "centres": {
            centre.name: {
                "patients": centre.patients,
                "events": centre.events,
                "auc": centre.model.as_dict() if centre.model else None,
            }
            for centre in evidence.centres
        },
        "oracle": evidence.oracle.model_dump() if evidence.oracle else None,
    }


def _decisions(counts: BinaryCounts) -> dict[str, Any]:
    sensitivity, specificity = counts.sensitivity, counts.specificity
    return {
        "sensitivity": sensitivity.as_dict() if sensitivity else None,
        "specificity": specificity.as_dict() if specificity else None,
    }


def _instances(evidence: BagEvidence) -> dict[str, Any]:
    rankings = {evidence.model: evidence.model_ranking, evidence.rule.name: evidence.rule_ranking}
    return {
        "name": evidence.instance_name,
        "all": sum(len(patient.instances) for patient in evidence.patients),
        "patients_with_truth": len(evidence.ranked),
        "with_truth": sum(len(patient.instances) for patient in evidence.ranked),
        "positive": int(_positives(evidence.ranked).sum()),
        "ranking": {
            name: {
                "auc": ranking.auc.as_dict(),
                "auc_of_patients": ranking.auc_of_patients.as_dict(),
                "first_is_positive": ranking.first_is_positive.as_dict(),
                "to_look_at": ranking.to_look_at,
            }
            for name, ranking in rankings.items()
            if ranking is not None
        },
    }


def _count(fit: CountFit | None) -> dict[str, Any] | None:
    if fit is None:
        return None
    return {
        "patients": fit.patients,
        "expected": fit.expected,
        "reported": fit.reported,
        "coverage_of_90_percent_interval": fit.coverage.observed.as_dict(),
        "promised_coverage": fit.coverage.promised,
        "ranked_probability_score": fit.score,
        "ranked_probability_score_of_cohort": fit.score_of_cohort,
        "difference": fit.difference.as_dict(),
    }


def _centre(name: str, said: Sequence[tuple[Patient, float]]) -> Centre:
    labels = np.array([patient.positive for patient, _ in said], dtype=np.bool_)
    both = 0 < labels.sum() < labels.size
    return Centre(
        name=name,
        patients=labels.size,
        events=int(labels.sum()),
        model=auc_delong(labels, [probability for _, probability in said]) if both else None,
        rule=auc_delong(labels, [patient.rule_score for patient, _ in said]) if both else None,
    )


def _positives(patients: Sequence[Patient]) -> NDArray[np.intp]:
    return np.array([sum(item.truth or 0 for item in patient.instances) for patient in patients], dtype=np.intp)


def _ranks(patient: Patient, score: str) -> NDArray[np.intp]:
    """How many instances of the patient have been looked at after each one; equal ones are looked at together."""
    values = np.array([getattr(item, score) for item in patient.instances])
    return np.asarray(values.size - np.searchsorted(np.sort(values), values, side="left"))


def _own_auc(patient: Patient, score: str) -> float | None:
    """AUC of a patient's own instances; None where all are positive."""
    truth = [item.truth or 0 for item in patient.instances]
    return auc(truth, [getattr(item, score) for item in patient.instances]) if 0 in truth else None


def _within_unit(estimate: Estimate) -> Estimate:
    lower, upper = np.clip([estimate.lower, estimate.upper], 0, 1).tolist()
    return Estimate(estimate.value, lower, upper, estimate.confidence)


def _oracle_in_words(area: float | None) -> str:
    return "" if area is None else f" (an observer who knows the simulation: {area:.2f})"


def _first(number: int) -> str:
    return "first" if number == 1 else f"first {number}"


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")
