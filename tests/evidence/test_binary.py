"""A yes or no by a likelihood: figures agree with scikit-learn's, and decisions with what can be worked out on paper."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, brier_score_loss, precision_score, recall_score, roc_auc_score, roc_curve

from preop.evidence import BinaryPredictions

RANDOM = np.random.default_rng(3)
LABELS = RANDOM.random(100) < 0.4
SCORES = np.clip(0.5 * LABELS + RANDOM.random(100) * 0.6, 0, 1)


def test_figures_agree_with_scikit_learn() -> None:
    called = SCORES >= 0.5
    found = BinaryPredictions.of(LABELS, SCORES, called)
    assert found.auc is not None
    assert found.auc.value == pytest.approx(roc_auc_score(LABELS, SCORES))
    assert found.brier == pytest.approx(brier_score_loss(LABELS, SCORES))
    counts = found.counts
    measures = (counts.sensitivity, counts.specificity, counts.positive_predictive_value, counts.accuracy)
    expected = (
        recall_score(LABELS, called),
        recall_score(~LABELS, ~called),
        precision_score(LABELS, called),
        accuracy_score(LABELS, called),
    )
    assert [measure.value for measure in measures if measure] == pytest.approx(expected)
    assert found.operating_point == pytest.approx(expected[:2])


def test_calibration_agrees_with_scikit_learn_and_needs_twenty_cases() -> None:
    points = BinaryPredictions.of(LABELS, SCORES).calibration
    observed, predicted = calibration_curve(LABELS, SCORES, n_bins=10, strategy="quantile")
    assert [point.observed.value for point in points] == pytest.approx(observed)
    assert [point.predicted for point in points] == pytest.approx(predicted)
    assert BinaryPredictions.of(LABELS[:19], SCORES[:19]).calibration == []
    assert len(BinaryPredictions.of(LABELS[:20], SCORES[:20]).calibration) == 2


def test_the_best_threshold_has_the_largest_sum_of_sensitivity_and_specificity() -> None:
    false_positives, sensitivity, _ = roc_curve(LABELS, SCORES)
    best = BinaryPredictions.of(LABELS, SCORES, BinaryPredictions.of(LABELS, SCORES).best_threshold <= SCORES)
    assert best.operating_point is not None
    assert sum(best.operating_point) - 1 == pytest.approx((sensitivity - false_positives).max())


def test_no_case_is_judged_at_a_threshold_that_it_helped_to_choose() -> None:
    # Fold a separates at .5 to .9, fold b at .1 to .4: each is judged at the other's threshold, and is wrong.
    found = BinaryPredictions.by_folds([0, 1, 0, 1], [0.5, 0.9, 0.1, 0.4], ["a", "a", "b", "b"])
    assert found.decisions is not None
    assert found.decisions.tolist() == [True, True, False, False]


def test_with_one_outcome_nothing_is_ranked_or_compared() -> None:
    found = BinaryPredictions.of([1, 1, 1], [0.1, 0.5, 0.9])
    assert not found.has_both_outcomes
    assert found.auc is None
    assert found.recalibration is None
    assert not found.has_slope
    assert found.compare(found) is None


def test_likelihoods_that_separate_the_outcomes_have_no_slope() -> None:
    assert not BinaryPredictions.of([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]).has_slope
    assert BinaryPredictions.of(LABELS, SCORES).has_slope


def test_a_comparison_is_this_less_the_other() -> None:
    better, worse = BinaryPredictions.of(LABELS, SCORES), BinaryPredictions.of(LABELS, -SCORES)
    found = better.compare(worse)
    assert found is not None
    assert found.difference.value == pytest.approx(2 * roc_auc_score(LABELS, SCORES) - 1)
    assert found.p_value < 0.001
