import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preop.errors import InvalidInputError
from preop.statistics import Estimate, compare_resampled, corrected_resampled_t, mean_bootstrap, mean_estimate, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "lower", "upper"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_gives_published_intervals(successes, trials, lower, upper):
    # 81 of 263 is the example of Newcombe 1998 (Stat Med 17:857-72), table I.
    estimate = wilson(successes, trials)
    assert estimate.value == successes / trials
    assert (estimate.lower, estimate.upper) == pytest.approx((lower, upper), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_proportion_and_mirrors_with_it(counts):
    successes, trials = counts
    estimate, mirrored = wilson(successes, trials), wilson(trials - successes, trials)
    assert 0 <= estimate.lower <= estimate.value <= estimate.upper <= 1
    assert estimate.lower == pytest.approx(1 - mirrored.upper, abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_a_proportion_of_nothing_is_refused(successes, trials):
    with pytest.raises(InvalidInputError, match=f"{successes} in {trials}"):
        wilson(successes, trials)


def test_corrected_resampled_t_by_hand():
    # Mean .8, variance .01; (1/3 + 20/80) * .01 = .0058333, root .0763763; t(2, .975) = 4.3026527.
    estimate = corrected_resampled_t([0.7, 0.8, 0.9], training_cases=80, test_cases=20)
    assert estimate.value == pytest.approx(0.8)
    assert estimate.upper - estimate.value == pytest.approx(0.3286208, abs=1e-6)
    assert estimate.value - estimate.lower == pytest.approx(0.3286208, abs=1e-6)


def test_more_splits_of_the_same_patients_do_not_make_the_interval_vanish():
    scores = np.tile([0.7, 0.9], 5000)
    estimate = corrected_resampled_t(scores, training_cases=80, test_cases=20)
    assert estimate.upper - estimate.lower == pytest.approx(2 * 1.96 * 0.1 * math.sqrt(0.25), rel=0.01)


@pytest.mark.parametrize("scores", [[0.7], [0.7, math.nan], [[0.7, 0.8], [0.7, 0.8]]])
def test_too_few_or_undefined_scores_are_refused(scores):
    with pytest.raises(InvalidInputError, match="two finite numbers"):
        corrected_resampled_t(scores, training_cases=80, test_cases=20)


def test_a_split_without_training_cases_is_refused():
    with pytest.raises(InvalidInputError, match="0 training"):
        corrected_resampled_t([0.7, 0.8], training_cases=0, test_cases=20)


def test_an_undetermined_interval_becomes_null_in_json():
    assert Estimate.without_interval(1.0).as_dict() == {"value": 1.0, "lower": None, "upper": None}


def test_paired_comparison_by_hand():
    # Differences .1, .2, .3: mean .2, variance .01; t = .2 / sqrt((1/3 + 1/4) * .01) = 2.6186 on 2 degrees of freedom.
    result = compare_resampled([0.7, 0.9, 0.8], [0.6, 0.7, 0.5], training_cases=80, test_cases=20)
    assert result.difference.value == pytest.approx(0.2)
    # Two-sided p of t with 2 degrees of freedom: 1 - t / sqrt(2 + t^2).
    assert result.p_value == pytest.approx(1 - 2.6186147 / math.sqrt(2 + 2.6186147**2), abs=1e-6)


def test_a_model_compared_with_itself_differs_by_nothing():
    result = compare_resampled([0.7, 0.9], [0.7, 0.9], training_cases=8, test_cases=2)
    assert result.difference.as_dict() == {"value": 0.0, "lower": None, "upper": None}
    assert math.isnan(result.p_value)


def test_scores_of_other_splits_are_not_compared():
    with pytest.raises(InvalidInputError, match="same splits"):
        compare_resampled([0.7, 0.9], [0.7, 0.9, 0.8], training_cases=8, test_cases=2)


def test_mean_of_independent_values_by_hand():
    # Mean 2, standard error 1 / root 3; t(2, .975) = 4.3026527.
    estimate = mean_estimate([1, 2, 3])
    assert estimate.value == 2
    assert estimate.upper - 2 == pytest.approx(4.3026527 / math.sqrt(3))
    assert 2 - estimate.lower == pytest.approx(4.3026527 / math.sqrt(3))


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0, 3.0]])
def test_one_value_or_equal_ones_determine_no_interval(values):
    estimate = mean_estimate(values)
    assert estimate.value == 3
    assert math.isnan(estimate.lower)


@pytest.mark.parametrize("values", [[], [1.0, math.inf]])
def test_a_mean_of_nothing_is_refused(values):
    with pytest.raises(InvalidInputError, match="at least one finite number"):
        mean_estimate(values)


def test_resampled_patients_give_the_interval_of_independent_values():
    values = np.random.default_rng(0).normal(size=300)
    by_patient = mean_bootstrap(values, [str(number) for number in range(300)], seed=1)
    independent = mean_estimate(values)
    assert by_patient.value == pytest.approx(independent.value)
    assert by_patient.upper - by_patient.lower == pytest.approx(independent.upper - independent.lower, rel=0.1)


def test_values_that_repeat_within_a_patient_say_nothing_new():
    values = np.random.default_rng(0).normal(size=100)
    once = mean_bootstrap(values, list(map(str, range(100))), seed=1)
    five_times = mean_bootstrap(np.repeat(values, 5), np.repeat(np.arange(100), 5).astype(str).tolist(), seed=1)
    assert five_times.value == pytest.approx(once.value)
    assert five_times.upper - five_times.lower == pytest.approx(once.upper - once.lower, rel=0.05)


def test_one_patient_determines_no_interval():
    estimate = mean_bootstrap([1.0, 2.0], ["a", "a"], seed=0)
    assert estimate.value == 1.5
    assert math.isnan(estimate.lower)


def test_values_without_their_patients_are_refused():
    with pytest.raises(InvalidInputError, match="a patient for each"):
        mean_bootstrap([1.0, 2.0], ["a"], seed=0)


def test_resampled_patients_bring_all_of_their_values():
    # Of two patients half of the resamples hold both, a quarter each twice the same: the mean is 0, 3/4 or 1.
    estimate = mean_bootstrap([0, 1, 1, 1], ["a", "b", "b", "b"], seed=0, repeats=4000, confidence=0.4)
    assert (estimate.value, estimate.lower, estimate.upper) == (0.75, 0.75, 0.75)
