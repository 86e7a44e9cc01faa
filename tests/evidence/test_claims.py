"""When a model is called better than a baseline, by figures that can be worked out on paper."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from preop.evidence import SplitsEvidence
from preop.evidence.claims import (
    FEWEST_PERMUTATIONS,
    BaselineComparison,
    PermutationResult,
    PermutedRuns,
    beyond_baseline,
    permutation_p_value,
)
from preop.statistics import Estimate, PairedComparison
from tests.evidence.by_hand import splits_evidence

# Four splits with as many test as training rows: the variance of the mean is five times that of independent scores.
SIZES = {"training_cases": 10, "test_cases": 10}


def corrected_p_value(differences: list[float]) -> float:
    """Two-sided, by scipy: a standard error larger by the square root of (1/4 + 1) / (1/4) than that of four numbers."""
    from scipy.stats import t

    return float(2 * t.sf(abs(ttest_1samp(differences, 0).statistic) / math.sqrt(5), 3))


def comparison(p_value: float, permutations: PermutationResult | None, difference: float = 0.2) -> BaselineComparison:
    """A model against a baseline."""
    test = PairedComparison(Estimate(difference, difference - 0.1, difference + 0.1), p_value)
    return BaselineComparison("CT", "volume", 40, 0.7, 0.7 - difference, test, p_value, permutations)


def test_a_baseline_is_never_counted_below_chance() -> None:
    model, baseline = np.array([0.6, 0.7, 0.5, 0.6]), np.array([0.3, 0.2, 0.4, 0.3])
    found = beyond_baseline(model, baseline, **SIZES)
    assert found.difference.value == pytest.approx(0.1)
    assert found.p_value == pytest.approx(corrected_p_value([0.1, 0.2, 0.0, 0.1]))


def test_a_model_has_to_surpass_chance_too() -> None:
    # Always 0.035 or 0.045 above a baseline that varies around chance: the pairs alone would be convincing.
    baseline = np.array([0.3, 0.7, 0.35, 0.7])
    model = baseline + np.array([0.035, 0.045, 0.035, 0.045])
    found = beyond_baseline(model, baseline, **SIZES)
    assert found.difference.value == pytest.approx(0.04)
    assert corrected_p_value([0.035, 0.045, 0.035, 0.045]) < 0.05
    assert found.p_value == pytest.approx(corrected_p_value((model - 0.5).tolist()))


def test_a_model_that_is_always_right_is_not_held_up_by_having_no_spread() -> None:
    found = beyond_baseline(np.ones(4), np.array([0.6, 0.7, 0.6, 0.7]), **SIZES)
    assert found.p_value == pytest.approx(corrected_p_value([0.4, 0.3, 0.4, 0.3]))


def test_a_worse_model_keeps_the_p_value_of_its_difference() -> None:
    found = beyond_baseline(np.array([0.55, 0.5, 0.6, 0.5]), np.array([0.8, 0.9, 0.8, 0.9]), **SIZES)
    assert found.p_value == pytest.approx(corrected_p_value([-0.25, -0.4, -0.2, -0.4]))


def test_the_interval_of_a_difference_ends_where_those_of_aucs_do() -> None:
    found = beyond_baseline(np.array([0.9, 0.1]), np.array([0.5, 0.9]), training_cases=6, test_cases=6).difference
    assert (found.lower, found.upper) == (-1, 1)


def test_a_claim_needs_both_tests_and_states_the_larger_p_value() -> None:
    few, many = PermutationResult(0.7, 199, 1), PermutationResult(0.7, 60, 5)
    assert comparison(0.001, few).significantly_better
    assert comparison(0.001, few).p_value == pytest.approx(2 * 2 / 200)
    assert not comparison(0.001, many).significantly_better
    assert comparison(0.001, many).p_value == pytest.approx(2 * 6 / 61)
    assert not comparison(0.06, few).significantly_better
    assert comparison(0.04, few).p_value == 0.04
    assert not comparison(0.001, None).significantly_better  # evidence of earlier versions was not permuted
    assert not comparison(0.001, few, difference=-0.2).significantly_better


def test_the_fewest_permutations_are_those_that_can_just_reach_the_level() -> None:
    assert FEWEST_PERMUTATIONS == 39
    assert permutation_p_value(0, 39) == 0.05
    assert permutation_p_value(0, 38) > 0.05
    assert permutation_p_value(30, 39) == 1


def test_permutations_are_compared_with_the_same_splits_of_the_model() -> None:
    runs = PermutedRuns(splits=3, most=39, seed=0, within_centres=False, aucs=(0.7, 0.69, 0.9, None))
    found = PermutationResult.of(runs, [0.6, math.nan, 0.8, 0.1])  # mean of the first three that there are: 0.7
    assert (found.reached, found.done, found.as_good) == (pytest.approx(0.7), 4, 3)


def permuted(aucs: list[float]) -> dict[str, Any]:
    """Evidence by hand, of a model that reached 1, with permutations of it."""
    content = splits_evidence()
    content["comparisons"][0]["permuted"] = {
        "splits": 2,
        "most": 39,
        "seed": 0,
        "within_centres": False,
        "aucs": aucs,
    }
    return content


def test_a_claim_of_the_evidence_falls_with_one_permutation_of_forty() -> None:
    # The splits alone: CT 1 and 1, volume 0.5 and 0.5; all splits differ alike, which has no p-value.
    content = permuted([0.9] * 39)
    content["runs"][1]["splits"][1]["probabilities"] = [0.2, 0.5, 0.5, 0.5]
    study = SplitsEvidence.read(content)
    assert [item.permutations.as_good for item in study.compared if item.permutations] == [0]
    content = permuted([0.9] * 38 + [1.0])
    study = SplitsEvidence.read(content)
    assert [item.permutations.as_good for item in study.compared if item.permutations] == [1]
    assert not study.compared[0].significantly_better
    assert study.validation.verdict[0].startswith("No model was shown")
