import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from preop.errors import InvalidInputError
from preop.statistics import (
    brier_score,
    calibration_curve,
    expected_calibration_error,
    recalibrate,
    scaled_brier_score,
    wilson,
)

# Two groups of ten in which the outcome comes exactly as often as was said.
LABELS = np.array([1] * 2 + [0] * 8 + [1] * 8 + [0] * 2)
PROBABILITIES = np.array([0.2] * 10 + [0.8] * 10)

labelled = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=2, max_size=40)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def test_brier_score_by_hand():
    assert brier_score([1, 0], [0.7, 0.2]) == pytest.approx((0.09 + 0.04) / 2)
    assert brier_score([1, 0], [0.0, 1.0]) == 1
    assert brier_score([1, 1], [1.0, 1.0]) == 0


@given(labelled)
def test_brier_score_is_that_of_scikit_learn(drawn):
    labels, probabilities = zip(*drawn, strict=True)
    assert brier_score(labels, probabilities) == pytest.approx(
        brier_score_loss(labels, probabilities, pos_label=1), abs=1e-12
    )


def test_the_prevalence_for_all_scores_zero_on_the_scaled_brier():
    assert scaled_brier_score([1, 0, 0, 0], [0.25] * 4) == pytest.approx(0)
    assert scaled_brier_score([1, 0, 0, 0], [1, 0, 0, 0]) == 1


def test_probabilities_that_mean_what_they_say_have_slope_one_and_intercept_zero():
    fit = recalibrate(LABELS, PROBABILITIES)
    assert fit.slope.value == pytest.approx(1)
    assert fit.intercept.value == pytest.approx(0, abs=1e-9)
    assert fit.slope.lower < 1 < fit.slope.upper


def test_too_extreme_probabilities_have_half_the_slope():
    logits = np.log(PROBABILITIES / (1 - PROBABILITIES))
    assert recalibrate(LABELS, sigmoid(2 * logits)).slope.value == pytest.approx(0.5)


def test_too_high_probabilities_have_a_negative_intercept():
    fit = recalibrate([1, 0, 0, 0], [0.5] * 4)
    assert fit.intercept.value == pytest.approx(math.log(0.25 / 0.75))
    # Wald error of a logit of one in four: root of 1/1 + 1/3.
    assert fit.intercept.upper - fit.intercept.value == pytest.approx(1.959964 * math.sqrt(4 / 3), rel=1e-5)


def test_slope_is_that_of_an_unpenalised_regression():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=300)
    labels = rng.random(300) < sigmoid(0.6 * logits - 0.4)
    oracle = LogisticRegression(C=np.inf, tol=1e-8).fit(logits[:, None], labels)
    assert recalibrate(labels, sigmoid(logits)).slope.value == pytest.approx(oracle.coef_[0, 0], rel=1e-4)


@pytest.mark.parametrize("probabilities", [[0.1, 0.2, 0.8, 0.9], [0.9, 0.8, 0.2, 0.1], [0.4, 0.4, 0.4, 0.4]])
def test_no_slope_fits_best_where_classes_do_not_overlap(probabilities):
    fit = recalibrate([0, 0, 1, 1], probabilities)
    assert fit.slope.as_dict() == {"value": None, "lower": None, "upper": None}
    assert math.isfinite(fit.intercept.value)


def test_certain_and_wrong_probabilities_still_have_a_recalibration():
    fit = recalibrate([0, 1, 0, 1], [1.0, 0.0, 0.0, 1.0])
    assert math.isfinite(fit.slope.value)


def test_groups_of_the_curve_by_hand():
    low, high = calibration_curve(LABELS, PROBABILITIES, groups=2)
    assert (low.predicted, low.observed, low.cases) == (pytest.approx(0.2), wilson(2, 10), 10)
    assert (high.predicted, high.observed, high.cases) == (pytest.approx(0.8), wilson(8, 10), 10)


@given(labelled, st.integers(1, 12))
def test_every_case_is_in_one_group_and_groups_ascend(drawn, groups):
    labels, probabilities = zip(*drawn, strict=True)
    curve = calibration_curve(labels, probabilities, groups=groups)
    assert sum(point.cases for point in curve) == len(labels)
    assert 1 <= len(curve) <= groups
    predicted = [point.predicted for point in curve]
    assert predicted == sorted(predicted)


def test_equal_predictions_stay_together():
    (only,) = calibration_curve([1, 0, 0, 0], [0.3] * 4, groups=4)
    assert only.cases == 4


@pytest.mark.parametrize("function", [brier_score, scaled_brier_score, recalibrate, calibration_curve])
def test_a_probability_above_one_is_refused(function):
    with pytest.raises(InvalidInputError, match=r"hold 1\.5"):
        function([1, 0], [1.5, 0.2])


@pytest.mark.parametrize("function", [scaled_brier_score, recalibrate])
def test_one_class_only_is_refused(function):
    with pytest.raises(InvalidInputError, match="All 2 cases"):
        function([1, 1], [0.5, 0.2])


def test_a_curve_of_no_groups_is_refused():
    with pytest.raises(InvalidInputError, match="0 groups"):
        calibration_curve([1, 0], [0.5, 0.2], groups=0)


def test_calibration_in_the_large_is_the_shift_of_the_logit_that_mends_the_mean():
    intercept = recalibrate([1, 0, 1, 0, 1, 0], [0.2] * 6).intercept
    assert intercept.value == pytest.approx(math.log(4))  # logit of one half less logit of 0.2
    assert intercept.lower < intercept.value < intercept.upper


def test_groups_of_a_calibration_curve_are_of_equal_size():
    curve = calibration_curve([0] * 5 + [1] * 5, np.arange(10) / 10, groups=2)
    assert [point.cases for point in curve] == [5, 5]
    assert [point.predicted for point in curve] == pytest.approx([0.2, 0.7])
    assert [point.observed.value for point in curve] == [0, 1]


def test_the_expected_calibration_error_weighs_groups_by_their_cases():
    # Three at 0.2 of which one is positive, one at 0.9 that is negative: (3 * |1/3 - 0.2| + 0.9) / 4.
    points = calibration_curve([1, 0, 0, 0], [0.2, 0.2, 0.2, 0.9], groups=2)
    assert expected_calibration_error(points) == pytest.approx((3 * (1 / 3 - 0.2) + 0.9) / 4)


def test_patients_who_are_there_twice_make_the_slope_no_surer():
    random = np.random.default_rng(14)
    chances = random.uniform(0.05, 0.95, 150)
    labels = (random.random(150) < chances).astype(int)
    single = recalibrate(labels, chances).slope
    doubled = recalibrate(np.repeat(labels, 2), np.repeat(chances, 2), owners=np.repeat(np.arange(150), 2)).slope
    assert doubled.value == pytest.approx(single.value)
    assert doubled.upper - doubled.lower == pytest.approx(single.upper - single.lower, rel=0.15)
    assert recalibrate(np.repeat(labels, 2), np.repeat(chances, 2)).slope.upper < single.upper


def test_an_intercept_is_that_which_makes_the_expected_number_the_observed_one_however_wrong_the_probabilities():
    rng = np.random.default_rng(0)
    for _ in range(150):
        labels = rng.random(int(rng.integers(6, 40))) < 0.5
        if labels.all() or not labels.any():
            continue
        logits = np.clip(rng.normal(0, 8, labels.size), -13, 13)  # far off, and not so far that they are cut
        found = recalibrate(labels, 1 / (1 + np.exp(-logits))).intercept.value
        assert np.mean(1 / (1 + np.exp(-(logits + found)))) == pytest.approx(labels.mean(), abs=1e-6)


def test_one_patient_with_several_cases_has_a_calibration_without_interval():
    labels, probabilities = np.tile([0, 1, 1], 6), np.tile([0.2, 0.8, 0.6], 6)
    found = recalibrate(labels, probabilities, owners=np.zeros(18, int)).intercept
    assert found.value == pytest.approx(recalibrate(labels, probabilities).intercept.value)
    assert np.isnan(found.lower)
