"""When a model is called better than a baseline: what has to hold, and the p-value that the claim rests on.

On pure noise, the paired test on the splits of a validation rejects about twice as often as it says, for the splits share
patients and the patients were also learned from. A claim therefore needs two tests, and its p-value is the larger of theirs
(Berger 1982, intersection-union):

1. The corrected resampled t test on the splits, adjusted after Holm for all comparisons of the study, of the model against
   the baseline and against chance: a baseline is never counted below an AUC of 0.5.
2. The permutation test of :mod:`preop.tabular.permutation`, of what the model has beyond the baseline. It is exact for
   "what the model adds is independent of outcome and baseline"; the first guards what this one does not cover, imaging
   that repeats the baseline.

References
----------
Berger RL. Multiparameter hypothesis testing and acceptance sampling. Technometrics 1982;24:295-300.
Nadeau C, Bengio Y. Inference for the generalization error. Machine Learning 2003;52:239-81.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from preop.evidence.comparisons import SIGNIFICANT, is_better
from preop.evidence.figures import Comparison, Figure
from preop.evidence.records import Record, stated_number
from preop.statistics import PairedComparison, compare_resampled, difference_in_words, p_value_in_words

CHANCE = 0.5
FEWEST_PERMUTATIONS = math.ceil(2 / SIGNIFICANT) - 1
"""With fewer, no permutation test reaches the level, even if no permutation does as well."""
# Equal means of the same scores in another order differ by rounding.
_ROUNDING = 1e-12


class PermutedRuns(Record):
    """The validation of a model again and again, with what it has beyond a baseline exchanged among patients."""

    splits: int = Field(gt=0, description="the first of the validation, which each permutation went through")
    most: int = Field(
        gt=0, description="permutations that were wanted; fewer are there where the claim was lost before"
    )
    seed: int
    within_centres: bool = Field(description="whether patients exchanged within their centres only")
    aucs: tuple[float | None, ...] = Field(
        min_length=1, description="mean AUC of the model in each permutation; null where nothing could be learned"
    )


@dataclass(frozen=True)
class PermutationResult:
    """How often exchanged values did as well as those that were measured.

    Attributes
    ----------
    reached
        Mean AUC of the model, over the splits that the permutations went through.
    done, as_good
        Permutations, and how many of them reached that.
    """

    reached: float
    done: int
    as_good: int

    @classmethod
    def of(cls, runs: PermutedRuns, scores: Sequence[float]) -> PermutationResult:
        """Compare permutations with the AUC of each split of the model itself, NaN where there is none."""
        reached = mean_of_first(scores, runs.splits)
        return cls(reached, len(runs.aucs), sum(is_as_good(found, reached) for found in runs.aucs))

    @property
    def p_value(self) -> float:
        """Two-sided, as that of the paired test: twice the share of permutations that are as good."""
        return permutation_p_value(self.as_good, self.done)


@dataclass(frozen=True)
class BaselineComparison:
    """A model compared with a baseline, on the same rows and splits.

    Attributes
    ----------
    model, baseline
        Their names.
    patients
        How many rows both were judged on.
    model_auc, baseline_auc
        Mean over the splits.
    auc
        Difference to the baseline, or to chance where the baseline is below it, with the paired test.
    adjusted_p_value
        Of the paired test after Holm, for all comparisons of the study.
    permutations
        What the permutation test gave; None where there was nothing to claim, so that it was not made.
    """

    model: str
    baseline: str
    patients: int
    model_auc: float
    baseline_auc: float
    auc: PairedComparison
    adjusted_p_value: float
    permutations: PermutationResult | None = None

    @property
    def better_on_the_splits(self) -> bool:
        """Whether the paired test would let the model be called better, so that the permutation test is worth its time."""
        return is_better(self.auc.difference.value, self.adjusted_p_value)

    @property
    def p_value(self) -> float:
        """What a claim rests on: the larger of the two tests that were made."""
        return max(self.adjusted_p_value, 0.0 if self.permutations is None else self.permutations.p_value)

    @property
    def significantly_better(self) -> bool:
        """Whether the model is shown to be better, by both tests."""
        return self.permutations is not None and is_better(self.auc.difference.value, self.p_value)

    @property
    def in_words(self) -> str:
        """Both AUCs and their difference, in a sentence, of the baseline that is the strongest."""
        p_value = "" if math.isnan(self.auc.p_value) else f", {p_value_in_words(self.p_value)}"
        chance = " from chance (0.50)" if self.baseline_auc < CHANCE else ""
        return (
            f"{self.model}: AUC {self.model_auc:.2f}, compared with {self.baseline_auc:.2f} for {self.baseline}, the "
            f"strongest baseline; difference{chance} {difference_in_words(self.auc.difference)}{p_value}."
        )


def beyond_baseline(
    model: NDArray[np.float64], baseline: NDArray[np.float64], *, training_cases: int, test_cases: int
) -> PairedComparison:
    """Compare the AUCs of a model with those of a baseline that is never counted below chance.

    Parameters
    ----------
    model, baseline
        Of each split, (splits,).
    training_cases, test_cases
        On either side of each split.

    Returns
    -------
    The difference to the stronger of the baseline and chance, its interval cut where AUCs end. Where the model is better, the p-value is the larger of its
    tests against both; a test against chance that all splits answer alike has none, and stands in no way.
    """
    sizes = {"training_cases": training_cases, "test_cases": test_cases}
    paired = compare_resampled(model, baseline, **sizes)
    chance = compare_resampled(model, np.full_like(model, CHANCE), **sizes)
    stronger = chance if baseline.mean() < CHANCE else paired
    difference = stronger.difference.within(-1, 1)
    if difference.value <= 0:
        return PairedComparison(difference, stronger.p_value)
    p_value = paired.p_value if math.isnan(chance.p_value) else max(paired.p_value, chance.p_value)
    return PairedComparison(difference, p_value)


def permutation_p_value(as_good: int, done: int) -> float:
    """Two-sided p-value of a one-sided permutation test: twice (as good + 1) / (done + 1), at most 1 (Phipson 2010)."""
    return min(1.0, 2 * (as_good + 1) / (done + 1))


def is_as_good(found: float | None, reached: float) -> bool:
    """Whether a permutation did at least as well; one that could not be learned from counts against the claim."""
    return found is None or not found < reached - _ROUNDING


def mean_of_first(scores: Sequence[float], splits: int) -> float:
    """Mean of the first scores that there are; NaN where there is none."""
    known = [score for score in scores[:splits] if not math.isnan(score)]
    return float(np.mean(known)) if known else math.nan


def stated_comparison(model: str, baseline: str, found: BaselineComparison | None) -> Comparison:
    """State a comparison for ``model.json``; of two models that too few patients have in common nothing can be said."""
    known = found is not None and not math.isnan(found.auc.p_value)
    return Comparison(
        model=model,
        baseline=baseline,
        measure="auc",
        difference=None if found is None else Figure.of(found.auc.difference),
        p_value=stated_number(found.p_value) if found is not None and known else None,
        significantly_better=found is not None and found.significantly_better,
    )
