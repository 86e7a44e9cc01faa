"""Evidence of models on feature tables that are validated by repeated random splits, and compared with baselines.

It holds what each model predicted of each held-out row of each split, and what was found of the cohort: how its variables
differ by outcome, and how stable the features are. Figures are means over the splits; their intervals are corrected for
the patients that the splits share (Nadeau and Bengio 2003).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from preop.evidence.binary import BinaryPredictions
from preop.evidence.claims import (
    BaselineComparison,
    PermutationResult,
    PermutedRuns,
    beyond_baseline,
    mean_of_first,
    stated_comparison,
)
from preop.evidence.figures import ValidationFigures
from preop.evidence.records import CentreFigures, Evidence, Record, model_figures
from preop.evidence.wording import enumeration
from preop.statistics import (
    CohortRow,
    Estimate,
    RocBand,
    SurvivalCurve,
    adjust_p_values,
    auc,
    auc_clustered,
    corrected_resampled_t,
    kaplan_meier,
    log_rank,
    mean_roc_band,
)

Outcome = Annotated[int, Field(ge=0, le=1)]
Row = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]


class Interval(Record):
    """A number with the ends of its 95 % interval; null where it is not determined, or infinite."""

    value: float | None
    lower: float | None
    upper: float | None

    @property
    def estimate(self) -> Estimate:
        """The same for a chart; NaN for what is null."""
        return Estimate(*(math.nan if end is None else end for end in (self.value, self.lower, self.upper)))


class FollowUpTimes(Record):
    """How many days each row was observed, and whether that ended in the event."""

    days: tuple[float, ...]
    event: tuple[bool, ...]


class CohortRows(Record):
    """The rows of the table, one value each."""

    patient: tuple[str, ...]
    centre: tuple[str, ...]
    outcome: tuple[Outcome, ...] = Field(min_length=1)
    follow_up: FollowUpTimes | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len({len(self.patient), len(self.centre), len(self.outcome)}) > 1:
            raise ValueError("patient, centre and outcome differ in number; expected one of each for every row")
        return self


class Split(Record):
    """What a model predicted of rows that it had not learned from."""

    rows: tuple[Row, ...]
    probabilities: tuple[Probability, ...]
    threshold: float = Field(description="from which on a row counts as positive, learned from the training rows")
    training_rows: int = Field(gt=0)
    features: dict[str, float | None] = Field(
        description="that the model was built on, with their log odds for one standard deviation; null where not linear"
    )
    recipe: tuple[str, ...] = Field(description="what was chosen: one text for each member")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.rows) != len(self.probabilities):
            raise ValueError(f"has {len(self.probabilities)} probabilities of {len(self.rows)} rows")
        return self


class CoxSplit(Record):
    """What a Cox model predicted of rows that it had not learned from."""

    rows: tuple[Row, ...]
    risks: tuple[float, ...]
    high: tuple[bool, ...] = Field(description="whether the risk is above the median of the training rows")
    training_rows: int
    concordance: float | None


class Run(Record):
    """The validation of a model on some rows: the same splits for all models on the same rows."""

    model: str
    rows: tuple[Row, ...]
    splits: tuple[Split, ...] = Field(min_length=1)


class Member(Record):
    """A classifier of the final model."""

    classifier: str
    selection: str
    features: int
    capacity: float


class FinalModel(Record):
    """The model that was trained on all rows."""

    threshold: float
    members: tuple[Member, ...]
    features: dict[str, float | None] = Field(description="log odds for one standard deviation; null where not linear")


class TabularModelRecord(Record):
    """A model, or a baseline that others are compared with."""

    baseline: bool
    columns: tuple[str, ...]
    run: int = Field(ge=0, description="number of its run on all rows that have what it needs")
    final: FinalModel
    centres: dict[str, Split] = Field(description="each centre left out")
    cox: tuple[CoxSplit, ...] | None = None


class ComparedRuns(Record):
    """A model with a baseline, on the rows that have what both need."""

    model: str
    baseline: str
    runs: tuple[int, int]
    permuted: PermutedRuns | None = Field(None, description="the model again, where there was something to claim")


class ExternalPredictions(Record):
    """What a trained model predicted of other patients."""

    outcome: tuple[Outcome, ...]
    patients: tuple[str, ...]
    probabilities: tuple[Probability, ...]
    threshold: float


class Variable(Record):
    """One column by itself, compared with the outcome."""

    name: str
    cases: int
    auc: Interval
    p_value: float
    adjusted_p_value: float = Field(description="after Benjamini and Hochberg")
    odds_ratio: Interval = Field(description="for one standard deviation; null is infinite")
    odds_ratio_p_value: float | None
    firth: bool


class RegressionVariable(Record):
    """A variable of a multivariable regression."""

    name: str
    odds_ratio: Interval
    p_value: float


class Regression(Record):
    """A multivariable logistic regression of a baseline."""

    cases: int
    events: int
    firth: bool
    variables: tuple[RegressionVariable, ...]


class SplitSettings(Record):
    """How the rows were divided."""

    repeats: int = Field(gt=0)
    test_share: float = Field(gt=0, lt=1)
    seed: int


@dataclass(frozen=True)
class FeatureUse:
    """How often the splits of a model took a feature, and what it weighed there.

    Attributes
    ----------
    name
        Of the feature.
    share
        Of the splits.
    log_odds
        Mean over those splits, for one standard deviation; None where the model is not linear.
    same_sign
        Share of those splits in which the weight had the sign of the mean.
    """

    name: str
    share: float
    log_odds: float | None
    same_sign: float | None


@dataclass(frozen=True)
class RiskGroups:
    """Kaplan-Meier curves of the rows that a model places above the median risk and of the others, and their log-rank test."""

    curves: Mapping[str, SurvivalCurve]
    p_value: float


class SplitsEvidence(Evidence):
    """The evidence of a study on feature tables, and every figure that follows from it."""

    described: ClassVar = "a study on feature tables"

    kind: Literal["splits"] = "splits"
    outcome: str = Field(description="in words")
    splits: SplitSettings
    software: dict[str, str]
    patients: CohortRows
    models: dict[str, TabularModelRecord] = Field(min_length=1)
    runs: tuple[Run, ...]
    comparisons: tuple[ComparedRuns, ...]
    cohort: tuple[CohortRow, ...] = Field(description="lines of the table of patients")
    univariable: tuple[Variable, ...]
    regressions: dict[str, Regression]
    stability: dict[str, float | None] = Field(description="intraclass correlation of each column measured again")
    warnings: tuple[str, ...]
    external: dict[str, dict[str, ExternalPredictions]] = Field(
        default_factory=dict, description="other patients by the trained models, by the name of their cohort"
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        last = len(self.patients.outcome) - 1
        numbers = [model.run for model in self.models.values()]
        numbers += [number for pair in self.comparisons for number in pair.runs]
        if numbers and max(numbers) >= len(self.runs):
            raise ValueError(f"names the run {max(numbers)}, where there are {len(self.runs)}")
        for run in self.runs:
            for split in run.splits:
                if split.rows and max(split.rows) > last:
                    raise ValueError(
                        f"a split of {run.model} names the row {max(split.rows)}, where {last} is the last"
                    )
        return self

    def with_external(self, cohort: str, predictions: Mapping[str, Mapping[str, Any]]) -> SplitsEvidence:
        """Add what the trained models predict of other patients, as :func:`preop.tabular.external_validation` gives it."""
        content = self.model_dump()
        content["external"][cohort] = predictions
        return SplitsEvidence.read(content)

    def with_permutations(self, found: Mapping[int, Mapping[str, Any]]) -> SplitsEvidence:
        """Add what :class:`preop.tabular.PermutationTest` gave for some comparisons, by their number."""
        content = self.model_dump()
        for number, runs in found.items():
            content["comparisons"][number]["permuted"] = runs
        return SplitsEvidence.read(content)

    @property
    def predicting(self) -> tuple[str, ...]:
        """Models that are no baselines; all of them where all are."""
        names = tuple(name for name, model in self.models.items() if not model.baseline)
        return names or tuple(self.models)

    @property
    def ordered(self) -> tuple[str, ...]:
        """Models, then baselines."""
        return (*self.predicting, *(name for name in self.models if name not in self.predicting))

    @cached_property
    def labels(self) -> NDArray[np.bool_]:
        """Whether each row has the outcome."""
        return np.array(self.patients.outcome, dtype=np.bool_)

    def run_of(self, model: str) -> Run:
        """Validation of a model on all its rows."""
        return self.runs[self.models[model].run]

    def auc(self, model: str) -> Estimate:
        """Mean AUC of a model over the splits, with its corrected resampled t interval."""
        run = self.run_of(model)
        scores = [score for score in self._aucs(run) if not math.isnan(score)]
        return corrected_resampled_t(scores, **_sizes(run)).within(0, 1)

    def roc(self, model: str) -> RocBand:
        """Mean ROC curve of a model over the splits, with its band."""
        run = self.run_of(model)
        splits = [(self._truth(split), np.array(split.probabilities)) for split in run.splits]
        both = [(truth, scores) for truth, scores in splits if 0 < truth.sum() < truth.size]
        return mean_roc_band(both, **_sizes(run))

    def predictions(self, model: str) -> BinaryPredictions:
        """One prediction for each row: the mean of those splits in which it was held out.

        A row counts as positive where most of the splits called it so, at the threshold of their training rows.
        """
        probabilities, decisions = defaultdict(list), defaultdict(list)
        for split in self.run_of(model).splits:
            for row, probability in zip(split.rows, split.probabilities, strict=True):
                probabilities[row].append(probability)
                decisions[row].append(probability >= split.threshold)
        rows = sorted(probabilities)
        return BinaryPredictions.of(
            self.labels[rows],
            [np.mean(probabilities[row]) for row in rows],
            [np.mean(decisions[row]) >= 0.5 for row in rows],
        )

    @cached_property
    def compared(self) -> tuple[BaselineComparison, ...]:
        """Every model with every baseline in turn, on the same splits; see :mod:`preop.evidence.claims`."""
        scores = [tuple(np.array(self._aucs(self.runs[number])) for number in pair.runs) for pair in self.comparisons]
        found = []
        for pair, (model, baseline) in zip(self.comparisons, scores, strict=True):
            both = ~np.isnan(model) & ~np.isnan(baseline)
            run = self.runs[pair.runs[0]]
            found.append((model[both], baseline[both], beyond_baseline(model[both], baseline[both], **_sizes(run))))
        p_values = [1.0 if math.isnan(test.p_value) else test.p_value for *_, test in found]
        adjusted = adjust_p_values(p_values, method="holm").tolist() if found else []
        return tuple(
            BaselineComparison(
                model=pair.model,
                baseline=pair.baseline,
                patients=len(self.runs[pair.runs[0]].rows),
                model_auc=float(model.mean()),
                baseline_auc=float(baseline.mean()),
                auc=test,
                adjusted_p_value=p_value,
                permutations=None
                if pair.permuted is None
                else PermutationResult.of(pair.permuted, all_scores.tolist()),
            )
            for pair, (all_scores, _), (model, baseline, test), p_value in zip(
                self.comparisons, scores, found, adjusted, strict=True
            )
        )

    def mean_auc(self, run: int, splits: int) -> float:
        """Mean AUC of a run over the first of its splits."""
        return mean_of_first(self._aucs(self.runs[run]), splits)

    def feature_use(self, model: str) -> list[FeatureUse]:
        """How the splits of a model used its features, the most often used first."""
        splits = self.run_of(model).splits
        weights = defaultdict(list)
        for split in splits:
            for feature, weight in split.features.items():
                weights[feature].append(weight)
        use = []
        for feature, found in weights.items():
            linear = [weight for weight in found if weight is not None]
            mean = float(np.mean(linear)) if linear else None
            same = float(np.mean(np.sign(linear) == np.sign(mean))) if linear and mean is not None else None
            use.append(FeatureUse(feature, len(found) / len(splits), mean, same))
        return sorted(use, key=lambda item: (-item.share, -abs(item.log_odds or 0), item.name))

    def concordance(self, model: str) -> Estimate | None:
        """Mean concordance of a Cox model over the splits; None where fewer than two splits have one."""
        splits = self.models[model].cox or ()
        scores = [split.concordance for split in splits if split.concordance is not None]
        if len(scores) < 2:
            return None
        first = splits[0]
        estimate = corrected_resampled_t(scores, training_cases=first.training_rows, test_cases=len(first.rows))
        return estimate.within(0, 1)

    def risk_rows(self, model: str) -> dict[str, NDArray[np.intp]]:
        """Rows that most splits in which they were held out placed above, and not above, the median training risk."""
        votes = defaultdict(list)
        for split in self.models[model].cox or ():
            for row, is_high in zip(split.rows, split.high, strict=True):
                votes[row].append(is_high)
        high = {row for row, found in votes.items() if np.mean(found) > 0.5}
        groups = {"high risk": sorted(high), "low risk": sorted(votes.keys() - high)}
        return {name: np.array(rows, dtype=np.intp) for name, rows in groups.items()}

    def risk_groups(self, model: str) -> RiskGroups | None:
        """How the rows of both risks fare; None without follow-up, or where all have the same risk.

        Raises
        ------
        MissingToolError
            If lifelines is not installed.
        """
        follow_up = self.patients.follow_up
        rows = {name: found for name, found in self.risk_rows(model).items() if found.size}
        if follow_up is None or len(rows) < 2:
            return None
        days, event = np.array(follow_up.days), np.array(follow_up.event, dtype=np.bool_)
        everybody = np.concatenate(list(rows.values()))
        names = [name for name, part in rows.items() for _ in part]
        curves = {name: kaplan_meier(days[part], event[part]) for name, part in rows.items()}
        return RiskGroups(curves, log_rank(days[everybody], event[everybody], names))

    def centres(self, model: str) -> list[CentreFigures]:
        """Each centre left out, by one model."""
        found = []
        for name, part in self.models[model].centres.items():
            predictions = BinaryPredictions.of(self._truth(part), part.probabilities)
            area = predictions.auc
            found.append(
                CentreFigures(name, predictions.cases, predictions.events, {} if area is None else {model: area})
            )
        return found

    def external_auc(self, cohort: str, model: str) -> Estimate:
        """AUC of a model on other patients, with an interval by patient."""
        part = self.external[cohort][model]
        return auc_clustered(part.outcome, part.probabilities, part.patients)

    @property
    def verdict(self) -> list[str]:
        """Say in words whether the models are better than their baselines: the answer first, then each model."""
        by_model = defaultdict(list)
        for item in self.compared:
            by_model[item.model].append(item)
        if not by_model:
            return []
        better = [name for name, items in by_model.items() if all(item.significantly_better for item in items)]
        baselines = enumeration(list(dict.fromkeys(item.baseline for items in by_model.values() for item in items)))
        if better:
            verb = "predict" if len(better) > 1 else "predicts"
            answer = f"{enumeration(better, 'and')} {verb} the outcome better than {baselines} alone."
        else:
            answer = (
                f"No model was shown to predict the outcome better than {baselines} alone: in these patients, the "
                "differences may be due to chance."
            )
        return [answer, *(max(items, key=lambda item: item.baseline_auc).in_words for items in by_model.values())]

    @property
    def validation(self) -> ValidationFigures:
        """The figures that ``model.json`` states: patients, events and AUC of each model, and each comparison."""
        tested = {(item.model, item.baseline): item for item in self.compared}
        pairs = [
            (model, baseline)
            for model in self.models
            for baseline in self.models
            if self.models[baseline].baseline and not self.models[model].baseline
        ]
        alone = "No model was compared with a baseline: there is none, or too few patients have what both need."
        return ValidationFigures(
            protocol=self.protocol,
            patients=len(set(self.patients.patient)),
            models={
                name: model_figures(*self._people(name), self.auc(name), baseline=self._is_baseline(name))
                for name in self.models
            },
            comparisons=tuple(stated_comparison(*pair, tested.get(pair)) for pair in pairs) if tested else (),
            verdict=tuple(self.verdict) or (alone,),
            cautions=(),
            details={},
        )

    def _is_baseline(self, model: str) -> bool:
        """Whether a model is a baseline of another: where all are baselines, all are models."""
        return self.models[model].baseline and model not in self.predicting

    def _people(self, model: str) -> tuple[int, int]:
        """How many patients a model was judged on, and how many of them had the outcome."""
        rows = self.run_of(model).rows
        people = {self.patients.patient[row] for row in rows}
        return len(people), len({self.patients.patient[row] for row in rows if self.labels[row]})

    def _truth(self, split: Split) -> NDArray[np.bool_]:
        return self.labels[list(split.rows)]

    def _aucs(self, run: Run) -> list[float]:
        """AUC of each split, NaN where its held-out rows are of one class."""
        return [
            auc(truth, split.probabilities) if 0 < truth.sum() < truth.size else math.nan
            for split in run.splits
            for truth in [self._truth(split)]
        ]


def _sizes(run: Run) -> dict[str, int]:
    split = run.splits[0]
    return {"training_cases": split.training_rows, "test_cases": len(split.rows)}
