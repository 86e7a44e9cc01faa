import math

import numpy as np
import pytest
from grand_challenge_metrics.stats import calculate_confusion_matrix
from hypothesis import given
from hypothesis import strategies as st

from preop.errors import InvalidInputError
from preop.statistics import BinaryCounts, predictive_values, wilson


def test_proportions_of_a_hand_made_table():
    # Ten ill, of whom eight are found; twenty healthy, of whom five are called ill.
    counts = BinaryCounts(true_positives=8, false_positives=5, true_negatives=15, false_negatives=2)
    assert counts.cases == 30
    assert counts.sensitivity == wilson(8, 10)
    assert counts.specificity == wilson(15, 20)
    assert counts.positive_predictive_value == wilson(8, 13)
    assert counts.negative_predictive_value == wilson(15, 17)
    assert counts.accuracy == wilson(23, 30)


def test_a_score_at_the_threshold_is_positive():
    counts = BinaryCounts.at_threshold([1, 1, 0, 0], [0.5, 0.49, 0.5, 0.49], threshold=0.5)
    assert counts == BinaryCounts(true_positives=1, false_positives=1, true_negatives=1, false_negatives=1)


def test_nothing_divided_by_nothing_is_none():
    nobody_called = BinaryCounts.at_threshold([1, 0], [0.1, 0.2], threshold=0.5)
    assert nobody_called.positive_predictive_value is None
    assert nobody_called.sensitivity is not None
    only_negatives = BinaryCounts.at_threshold([0, 0], [0.1, 0.9], threshold=0.5)
    assert only_negatives.sensitivity is None
    assert BinaryCounts(0, 0, 0, 0).accuracy is None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_counts_are_those_of_the_platforms_own_metrics(pairs):
    labels, decisions = np.array(pairs, dtype=int).T
    matrix = calculate_confusion_matrix(labels, decisions, [0, 1])
    counts = BinaryCounts.of(labels, decisions)
    # A row for each class of the reference, a column for each decision.
    assert (counts.true_negatives, counts.false_positives) == tuple(matrix[0])
    assert (counts.false_negatives, counts.true_positives) == tuple(matrix[1])


@pytest.mark.parametrize(("labels", "decisions"), [([1, 0], [1]), ([1, 0], [1, 0.5]), ([1, 0.5], [1, 0])])
def test_anything_but_matching_zeros_and_ones_is_refused(labels, decisions):
    with pytest.raises(InvalidInputError):
        BinaryCounts.of(labels, decisions)


def test_predictive_values_follow_the_prevalence():
    # Altman & Bland 1994: sensitivity .90 and specificity .63 (liver scan) at the prevalence seen, and at 25 %.
    counts = BinaryCounts(true_positives=231, false_positives=32, true_negatives=54, false_negatives=27)
    seen = predictive_values(counts.sensitivity.value, counts.specificity.value, counts.prevalence)
    assert counts.prevalence == pytest.approx(0.75, abs=0.001)
    assert seen == pytest.approx((231 / 263, 54 / 81))
    assert predictive_values(0.895, 0.628, 0.25) == pytest.approx((0.45, 0.95), abs=0.01)


def test_a_decision_that_is_never_made_has_no_predictive_value():
    positive, negative = predictive_values(0.0, 1.0, 0.3)
    assert math.isnan(positive)
    assert negative == pytest.approx(0.7)
    with pytest.raises(InvalidInputError, match="prevalence is 2"):
        predictive_values(0.5, 0.5, 2)


def test_likelihood_ratios_have_simels_interval():
    # Simel 1991, his example: sensitivity 0.8 of 80 and specificity 0.73 of 98 give 2.96 (2.1 to 4.2 or so).
    counts = BinaryCounts(true_positives=64, false_negatives=16, true_negatives=72, false_positives=26)
    ratio = counts.positive_likelihood_ratio
    error = math.sqrt(1 / 64 - 1 / 80 + 1 / 26 - 1 / 98)
    assert ratio.value == pytest.approx(0.8 / (26 / 98))
    assert (ratio.lower, ratio.upper) == pytest.approx(
        [ratio.value * math.exp(sign * 1.959963984540054 * error) for sign in (-1, 1)]
    )
    assert counts.negative_likelihood_ratio.value == pytest.approx(0.2 / (72 / 98))


def test_predictive_values_at_the_prevalence_of_the_cases_are_those_of_the_cases():
    counts = BinaryCounts(true_positives=64, false_negatives=16, true_negatives=72, false_positives=26)
    positive, negative = counts.predictive_values_at(counts.prevalence)
    assert positive.value == pytest.approx(counts.positive_predictive_value.value)
    assert negative.value == pytest.approx(counts.negative_predictive_value.value)
    assert positive.lower < positive.value < positive.upper
    assert negative.lower < negative.value < negative.upper


def test_predictive_values_of_a_rarer_disease_have_mercaldos_logit_interval():
    counts = BinaryCounts(true_positives=64, false_negatives=16, true_negatives=72, false_positives=26)
    _, negative = counts.predictive_values_at(0.05)
    variance = 0.8 / (0.2 * 80) + (26 / 98) / ((72 / 98) * 98)
    logit = math.log(negative.value / (1 - negative.value))
    ends = [1 / (1 + math.exp(-logit - sign * 1.959963984540054 * math.sqrt(variance))) for sign in (-1, 1)]
    assert (negative.lower, negative.upper) == pytest.approx(ends)


def test_what_is_divided_by_nothing_has_no_ratio():
    perfect = BinaryCounts(true_positives=5, false_negatives=0, true_negatives=5, false_positives=0)
    assert perfect.positive_likelihood_ratio is None
    assert perfect.negative_likelihood_ratio.value == 0
    assert math.isnan(perfect.negative_likelihood_ratio.lower)
    one_class = BinaryCounts(true_positives=5, false_negatives=0, true_negatives=0, false_positives=0)
    assert one_class.predictive_values_at(0.1) == (None, None)
