import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preop.errors import InvalidInputError
from preop.statistics import (
    central_coverage,
    count_calibration,
    distribution_of_the_others,
    ranked_probability_scores,
    wilson,
)


def test_a_number_said_for_certain_scores_its_distance():
    certain = np.eye(5)[[0, 3, 4]]
    assert ranked_probability_scores([0, 1, 0], certain).tolist() == [0, 2, 4]


def test_ranked_probability_score_by_hand():
    # Cumulative .5, .8, 1 against 0, 1, 1.
    assert ranked_probability_scores([1], [[0.5, 0.3, 0.2]]) == pytest.approx([0.25 + 0.04])


def test_of_two_numbers_it_is_the_brier_score():
    assert ranked_probability_scores([1, 0], [[0.3, 0.7], [0.6, 0.4]]) == pytest.approx([0.09, 0.16])


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.lists(st.floats(0.01, 1), min_size=2, max_size=6))
def test_no_other_distribution_is_expected_to_score_better_than_the_true_one(true, other):
    size = min(len(true), len(other))
    true, other = (np.array(shares[:size]) / sum(shares[:size]) for shares in (true, other))
    scores = [ranked_probability_scores(range(size), [shares] * size) @ true for shares in (true, other)]
    assert scores[0] <= scores[1] + 1e-12


def test_a_number_beyond_the_last_column_is_as_many_or_more():
    assert ranked_probability_scores([9], [[0.0, 0.0, 1.0]]).tolist() == [0]
    assert distribution_of_the_others([9, 0, 1], 2).tolist() == [[0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]]


def test_coverage_is_of_the_interval_from_quantile_to_quantile():
    # Quantiles of 5 % and 95 %: 1 and 2; by the distribution they hold .97.
    shares = [[0.01, 0.49, 0.48, 0.02]] * 3
    found = central_coverage([0, 1, 2], shares)
    assert found.observed == wilson(2, 3)
    assert found.promised == pytest.approx(0.97)


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8))
def test_an_interval_holds_at_least_what_is_asked_for(weights):
    shares = np.array(weights) / sum(weights)
    assert central_coverage([0], [shares], 0.9).promised >= 0.9 - 1e-9


def test_groups_of_similar_expectations_hold_their_means():
    low, high = count_calibration([0, 1, 3, 6], [0.5, 0.7, 4.0, 5.0], groups=2)
    assert (low.expected, low.observed.value, low.cases) == pytest.approx((0.6, 0.5, 2))
    assert (high.expected, high.observed.value, high.cases) == pytest.approx((4.5, 4.5, 2))


@pytest.mark.parametrize(
    ("counts", "shares", "said"),
    [
        ([1.5], [[0.5, 0.5]], "whole numbers"),
        ([-1], [[0.5, 0.5]], "hold -1"),
        ([1], [[0.5, 0.2]], "add up to 1"),
        ([1], [[0.5, 0.45]], "add up to 1"),
        ([1, 2], [[0.5, 0.5]], "one row for each"),
    ],
)
def test_what_is_no_forecast_is_refused(counts, shares, said):
    with pytest.raises(InvalidInputError, match=said):
        ranked_probability_scores(counts, shares)


def test_a_single_case_has_no_others():
    with pytest.raises(InvalidInputError, match="1 counts"):
        distribution_of_the_others([1], 3)


def test_a_calibration_without_cases_is_refused():
    with pytest.raises(InvalidInputError, match="0 counts"):
        count_calibration([], [])


def test_a_tenth_is_left_out_on_either_side_of_a_central_interval_of_80_percent():
    # Cumulated: .2, .5, .85, 1. The quantile of 90 % is 3.
    assert central_coverage([3], [[0.2, 0.3, 0.35, 0.15]], 0.8).observed == wilson(1, 1)
