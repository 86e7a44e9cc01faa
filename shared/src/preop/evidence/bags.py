"""Evidence of a model that learned from bags of instances: patients, their instances, and the number of positive ones.

It holds what was predicted of each patient by models that had not seen the patient, the reference standard, and the score
of the rule that clinicians use instead. A patient whose report leaves open whether any instance is positive takes part in
no figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from preop.evidence.binary import BinaryPredictions
from preop.evidence.comparisons import auc_comparison, is_better, is_worse
from preop.evidence.counts import INTERVAL, CountPredictions
from preop.evidence.figures import ValidationFigures
from preop.evidence.instances import SHARE_TO_FIND, Instance, Ranking, Score, own_auc, positives_of
from preop.evidence.records import (
    CentreFigures,
    Evidence,
    Record,
    check_each_once,
    check_folds,
    decision_figures,
    model_figures,
    stated,
)
from preop.evidence.wording import comparison_in_words, oracle_in_words, percent
from preop.statistics import AucComparison, Estimate, auc_delong, compare_aucs, mean_estimate
from preop.wording import counted

_ROUNDING = 0.01  # of the sum of stored probabilities


class BagPatient(Record):
    """What is known of a patient, and what was predicted without having seen it."""

    patient: str
    centre: str = ""
    fold: str = Field(description="that the patient was held out with")
    low: int = Field(ge=0, description="smallest number of positive instances that the report allows")
    high: int | None = Field(ge=0, description="largest of them; null leaves it open")
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


class Rule(Record):
    """What the model is compared with: a score, and the value above which a patient is called positive."""

    name: str = Field(description="such as size rule")
    score_name: str = Field(description="of a patient, such as largest short axis")
    instance_score_name: str = Field(description="of an instance, such as short axis")
    unit: str = Field(description="of the score, such as mm")
    threshold: FiniteFloat


class CentrePrediction(Record):
    """Of a patient, by a model trained on all other centres."""

    patient: str
    probability: float = Field(ge=0, le=1)


class BagOracle(Record):
    """AUCs of an observer who knows the variables that simulated patients are made from."""

    patient_auc: float | None = Field(None, ge=0, le=1)
    instance_auc: float | None = Field(None, ge=0, le=1)


class BagEvidence(Evidence):
    """The evidence of a training run on bags, and every figure that follows from it."""

    described: ClassVar = "a training run on bags"

    kind: Literal["bags"] = "bags"
    positive_name: str = Field(description="what a positive patient has, such as pN+")
    instance_name: str = Field(description="such as lymph node")
    model: str = Field(description="its name, such as count head on cubes")
    threshold: float = Field(ge=0, le=1, description="of the final model: positive from there")
    patients: tuple[BagPatient, ...] = Field(min_length=1)
    rule: Rule
    by_centre: dict[str, tuple[CentrePrediction, ...]] = Field(default_factory=dict)
    oracle: BagOracle | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        check_each_once(patient.patient for patient in self.patients)
        names = {patient.patient for patient in self.patients}
        strange = [item.patient for part in self.by_centre.values() for item in part if item.patient not in names]
        if strange:
            raise ValueError(f"by_centre names the patient {strange[0]}, whom patients lacks")
        if len({len(patient.counts) for patient in self.patients if patient.counts is not None}) > 1:
            raise ValueError("the probabilities of all numbers end at different numbers")
        check_folds(((bool(item.positive), item.fold) for item in self.known), self.positive_name)
        return self

    @cached_property
    def known(self) -> tuple[BagPatient, ...]:
        """Patients whose report says whether any instance is positive."""
        return tuple(patient for patient in self.patients if patient.positive is not None)

    @property
    def excluded(self) -> int:
        """How many patients are in no figure, as their report leaves open whether any instance is positive."""
        return len(self.patients) - len(self.known)

    @cached_property
    def by_model(self) -> BinaryPredictions:
        """The known patients by the model, each decided about at the threshold that is best on all other folds."""
        labels = [patient.positive is True for patient in self.known]
        folds = [patient.fold for patient in self.known]
        return BinaryPredictions.by_folds(labels, [patient.probability for patient in self.known], folds)

    @cached_property
    def by_rule(self) -> BinaryPredictions:
        """The same patients by the rule."""
        scores = [patient.rule_score for patient in self.known]
        labels = [patient.positive is True for patient in self.known]
        return BinaryPredictions.of(labels, scores, [score > self.rule.threshold for score in scores])

    @property
    def model_auc(self) -> Estimate:
        """AUC of the model with DeLong's interval."""
        return auc_delong(self.by_model.labels, self.by_model.scores)

    @property
    def rule_auc(self) -> Estimate:
        """AUC of the rule's score with DeLong's interval."""
        return auc_delong(self.by_rule.labels, self.by_rule.scores)

    @property
    def comparison(self) -> AucComparison:
        """AUC of the model less that of the rule's score, by DeLong's paired test."""
        return compare_aucs(self.by_model.labels, self.by_model.scores, self.by_rule.scores)

    @cached_property
    def ranked(self) -> dict[str, tuple[Instance, ...]]:
        """Instances of positive patients of whom each instance is known, and at least one is positive, by patient."""
        return {
            patient.patient: patient.instances
            for patient in self.known
            if patient.positive
            and all(instance.truth is not None for instance in patient.instances)
            and any(instance.truth for instance in patient.instances)
        }

    @cached_property
    def model_ranking(self) -> Ranking | None:
        """How the model ranks instances inside positive patients; None without truth, or without negative ones."""
        return Ranking.of(self.ranked, "contribution")

    @cached_property
    def rule_ranking(self) -> Ranking | None:
        """How the rule's score ranks the same instances."""
        return Ranking.of(self.ranked, "rule_score")

    @property
    def ranking_difference(self) -> Estimate | None:
        """Mean difference of the patients' own AUCs, model less rule, with Student's t interval."""
        scores: tuple[Score, Score] = ("contribution", "rule_score")
        pairs = [[own_auc(group, score) for score in scores] for group in self.ranked.values()]
        differences = [model - rule for model, rule in pairs if model is not None and rule is not None]
        return mean_estimate(differences) if differences else None

    @cached_property
    def counted(self) -> tuple[BagPatient, ...]:
        """Patients with an exact number in the report, and a predicted distribution of it."""
        return tuple(item for item in self.known if item.low == item.high and item.counts is not None)

    @cached_property
    def count(self) -> CountPredictions | None:
        """How well the number is predicted; None with fewer than two such patients."""
        if len(self.counted) < 2:
            return None
        return CountPredictions(
            np.array([patient.low for patient in self.counted]),
            np.array([patient.expected for patient in self.counted], dtype=np.float64),
            np.array([patient.counts for patient in self.counted]),
        )

    @property
    def centres(self) -> list[CentreFigures]:
        """Each centre left out, in the order of the evidence."""
        of_name = {patient.patient: patient for patient in self.known}
        return [
            self._centre(name, [(of_name[item.patient], item.probability) for item in part if item.patient in of_name])
            for name, part in self.by_centre.items()
        ]

    @property
    def verdict(self) -> list[str]:
        """Say in words whether the model is better than the rule, which instances it finds, and how well it counts."""
        return [self._answer(), *self._about_patients(), *self._about_instances(), *self._about_counts()]

    @property
    def validation(self) -> ValidationFigures:
        """The figures that ``model.json`` states: AUC of model and rule, their comparison, instances and counts."""
        model, rule = self.model, self.rule.name
        patients, events = self.by_model.cases, self.by_model.events
        return ValidationFigures(
            protocol=self.protocol,
            patients=len(self.patients),
            models={
                model: model_figures(patients, events, self.model_auc, baseline=False),
                rule: model_figures(patients, events, self.rule_auc, baseline=True),
            },
            comparisons=(auc_comparison(model, rule, self.comparison),),
            verdict=tuple(self.verdict),
            cautions=(),
            details=self._details(),
        )

    def _details(self) -> dict[str, Any]:
        predictions = {self.model: self.by_model, self.rule.name: self.by_rule}
        return {
            "patients_left_out": self.excluded,
            "decisions": {
                name: decision_figures(each.counts, "sensitivity", "specificity") for name, each in predictions.items()
            },
            "brier_score": self.by_model.brier,
            "instances": self._instance_figures(),
            "count": self.count.figures() if self.count else None,
            "centres": {
                centre.name: {
                    "patients": centre.patients,
                    "events": centre.events,
                    "auc": stated(centre.aucs.get(self.model)),
                }
                for centre in self.centres
            },
            "oracle": self.oracle.model_dump() if self.oracle else None,
        }

    def _instance_figures(self) -> dict[str, Any]:
        rankings = {self.model: self.model_ranking, self.rule.name: self.rule_ranking}
        return {
            "name": self.instance_name,
            "all": sum(len(patient.instances) for patient in self.patients),
            "patients_with_truth": len(self.ranked),
            "with_truth": sum(map(len, self.ranked.values())),
            "positive": int(positives_of(self.ranked).sum()),
            "ranking": {name: ranking.figures() for name, ranking in rankings.items() if ranking is not None},
        }

    def _centre(self, name: str, predicted: Sequence[tuple[BagPatient, float]]) -> CentreFigures:
        labels = [bool(patient.positive) for patient, _ in predicted]
        scores = {
            self.model: [probability for _, probability in predicted],
            self.rule.name: [patient.rule_score for patient, _ in predicted],
        }
        aucs = {key: auc for key, row in scores.items() if (auc := BinaryPredictions.of(labels, row).auc)}
        return CentreFigures(name, len(labels), sum(labels), aucs)

    def _answer(self) -> str:
        difference, p_value = self.comparison.difference.value, self.comparison.p_value
        if is_better(difference, p_value):
            return f"The model predicts {self.positive_name} better than the {self.rule.name}."
        if is_worse(difference, p_value):
            return f"The model predicts {self.positive_name} worse than the {self.rule.name}."
        return (
            f"The model was not shown to predict {self.positive_name} better than the {self.rule.name}: in these patients, "
            "the difference may be due to chance."
        )

    def _about_patients(self) -> Iterator[str]:
        oracle = oracle_in_words(self.oracle.patient_auc if self.oracle else None)
        yield (
            f"{self.model}: AUC {self.model_auc.value:.2f}, compared with {self.rule_auc.value:.2f} for the "
            f"{self.rule.score_name}; difference {comparison_in_words(self.comparison)}{oracle}."
        )

    def _about_instances(self) -> Iterator[str]:
        if self.model_ranking is None or self.rule_ranking is None:
            return
        oracle = oracle_in_words(self.oracle.instance_auc if self.oracle else None)
        rule = self.rule.instance_score_name
        yield (
            f"In {counted(len(self.ranked), 'patient')} with {self.positive_name} it ranks {self.instance_name}s with an AUC of "
            f"{self.model_ranking.auc.value:.2f}, compared with {self.rule_ranking.auc.value:.2f} for the {rule}{oracle}; the "
            f"highest-ranked {self.instance_name} is positive in {percent(self.model_ranking.first_is_positive.value)} of "
            f"them, and in {percent(self.rule_ranking.first_is_positive.value)} when ranked by {rule}."
        )
        mean = np.mean([len(group) for group in self.ranked.values()])
        yield (
            f"To find {percent(SHARE_TO_FIND)} of the positive {self.instance_name}s, the first "
            f"{self.model_ranking.to_review} of each such patient have to be reviewed, or the first "
            f"{self.rule_ranking.to_review} when ranked by {rule}; a patient has {mean:.0f} on average."
        )

    def _about_counts(self) -> Iterator[str]:
        fit = self.count
        if fit is None:
            return
        if fit.difference.upper < 0:
            gain = f"closer to the reported number than the cohort's own distribution by {percent(fit.gain)}"
        else:
            gain = "not shown to be closer to the reported number than the cohort's own distribution"
        yield (
            f"It expects {fit.expected.mean():.2f} positive {self.instance_name}s per patient, where "
            f"{fit.counted.mean():.2f} are reported; it is {gain} (ranked probability score), and its {percent(INTERVAL)} "
            f"interval contains the reported number in {percent(fit.coverage.observed.value)} of the patients."
        )
