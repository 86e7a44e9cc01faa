import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from preop.errors import InvalidInputError
from preop.statistics import (
    auc,
    auc_clustered,
    auc_delong,
    compare_aucs,
    mean_roc_band,
    roc_band,
    roc_curve,
    youden_threshold,
)

# Three positives and four negatives: of the 12 pairs 7 are in order, 2 tied, 3 the wrong way round.
LABELS = np.array([1, 1, 1, 0, 0, 0, 0])
SCORES = np.array([0.9, 0.6, 0.3, 0.6, 0.3, 0.2, 0.8])


def beats(positive, negative):
    return 1.0 if positive > negative else 0.5 if positive == negative else 0.0


def structural_components(labels, scores):
    """V10 and V01 as DeLong 1988 writes them, pair by pair."""
    positives, negatives = scores[labels == 1], scores[labels == 0]
    wins = np.array([[beats(p, n) for n in negatives] for p in positives])
    return wins.mean(axis=1), wins.mean(axis=0)


def delong_covariance(labels, first, second):
    v10, v01 = zip(structural_components(labels, first), structural_components(labels, second), strict=True)
    return np.cov(np.array(v10)) / np.sum(labels == 1) + np.cov(np.array(v01)) / np.sum(labels == 0)


@st.composite
def cases(draw):
    """At least two cases of each class with two scores each, drawn from few values so that ties are common."""
    labels = [1, 1, 0, 0, *draw(st.lists(st.integers(0, 1), max_size=20))]
    score = st.lists(st.integers(0, 9), min_size=len(labels), max_size=len(labels))
    return np.array(labels), np.array(draw(score)) / 9, np.array(draw(score)) / 9


def test_auc_counts_pairs_and_half_of_the_ties():
    pairs = [beats(p, n) for p, n in product(SCORES[LABELS == 1], SCORES[LABELS == 0])]
    assert (pairs.count(1.0), pairs.count(0.5)) == (7, 2)
    assert auc(LABELS, SCORES) == pytest.approx(8 / 12)


@given(cases())
def test_auc_is_that_of_scikit_learn(drawn):
    labels, scores, _ = drawn
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


@given(cases())
def test_delong_variance_is_that_of_its_definition(drawn):
    labels, scores, _ = drawn
    estimate = auc_delong(labels, scores)
    variance = delong_covariance(labels, scores, scores)[0, 0]
    if variance < 1e-15:
        assert math.isnan(estimate.lower)
        assert math.isnan(estimate.upper)
        return
    half_width = norm.ppf(0.975) * math.sqrt(variance) / (estimate.value * (1 - estimate.value))
    logit = math.log(estimate.value / (1 - estimate.value))
    assert estimate.lower == pytest.approx(1 / (1 + math.exp(half_width - logit)), abs=1e-9)
    assert estimate.upper == pytest.approx(1 / (1 + math.exp(-half_width - logit)), abs=1e-9)


@given(cases())
def test_turning_the_scores_round_turns_the_interval_round(drawn):
    labels, scores, _ = drawn
    estimate, turned = auc_delong(labels, scores), auc_delong(labels, -scores)
    assert turned.value == pytest.approx(1 - estimate.value)
    assert turned.lower == pytest.approx(1 - estimate.upper, nan_ok=True)


def test_delong_covers_the_true_area_as_often_as_it_says():
    # Two normals one standard deviation apart: the true area is Phi(1 / sqrt 2).
    rng = np.random.default_rng(7)
    labels = np.repeat([1, 0], 25)
    truth = norm.cdf(1 / math.sqrt(2))
    estimates = [auc_delong(labels, rng.normal(labels, 1.0)) for _ in range(600)]
    coverage = np.mean([estimate.lower <= truth <= estimate.upper for estimate in estimates])
    assert 0.92 <= coverage <= 0.98


def test_perfect_separation_has_no_interval():
    estimate = auc_delong([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9])
    assert estimate.as_dict() == {"value": 1.0, "lower": None, "upper": None}


def test_a_single_positive_has_no_interval():
    estimate = auc_delong([0, 0, 0, 1], [0.1, 0.2, 0.9, 0.5])
    assert estimate.value == pytest.approx(2 / 3)
    assert math.isnan(estimate.lower)


@given(cases())
def test_paired_comparison_is_that_of_the_covariance_matrix(drawn):
    labels, first, second = drawn
    covariance = delong_covariance(labels, first, second)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assume(variance > 1e-12)
    comparison = compare_aucs(labels, first, second)
    difference = roc_auc_score(labels, first) - roc_auc_score(labels, second)
    assert comparison.difference.value == pytest.approx(difference, abs=1e-12)
    assert comparison.p_value == pytest.approx(2 * norm.sf(abs(difference) / math.sqrt(variance)), abs=1e-9)
    assert -1 <= comparison.difference.lower <= difference + 1e-12
    assert difference - 1e-12 <= comparison.difference.upper <= 1


def test_a_score_does_not_differ_from_itself():
    comparison = compare_aucs(LABELS, SCORES, SCORES)
    assert comparison.difference.value == 0
    assert math.isnan(comparison.p_value)


def test_comparing_finds_no_difference_as_often_as_it_says():
    rng = np.random.default_rng(11)
    labels = np.repeat([1, 0], 40)
    p_values = [compare_aucs(labels, rng.normal(labels, 1.0), rng.normal(labels, 1.0)).p_value for _ in range(600)]
    assert 0.03 <= np.mean(np.array(p_values) < 0.05) <= 0.08


def test_roc_curve_of_a_hand_made_case():
    curve = roc_curve([1, 0, 1, 0], [0.9, 0.7, 0.7, 0.1])
    assert curve.thresholds.tolist() == [math.inf, 0.9, 0.7, 0.1]
    assert curve.true_positive_rate.tolist() == [0, 0.5, 1, 1]
    assert curve.false_positive_rate.tolist() == [0, 0, 0.5, 1]


@given(cases())
def test_area_below_the_curve_is_the_auc(drawn):
    labels, scores, _ = drawn
    curve = roc_curve(labels, scores)
    area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
    assert area == pytest.approx(auc(labels, scores), abs=1e-12)


@pytest.mark.parametrize("function", [auc, auc_delong, roc_curve])
@pytest.mark.parametrize(("labels", "word"), [([1, 1, 1], "positive"), ([0, 0, 0], "negative")])
def test_one_class_only_is_refused(function, labels, word):
    with pytest.raises(InvalidInputError, match=f"All 3 cases are {word}"):
        function(labels, [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.1], "1 scores for 2 labels"),
        ([0, 2], [0.1, 0.2], "hold 2; expected only 0"),
        ([0, 1], [0.1, math.nan], "hold nan"),
        ([], [], "at least one"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(labels, scores, message):
    with pytest.raises(InvalidInputError, match=message):
        auc(labels, scores)


@pytest.mark.parametrize(("positives", "negatives"), [(2, 5), (7, 4), (3, 2)])
def test_area_under_the_mean_curve_is_the_mean_area(positives, negatives):
    """Exactly, ties and all: with 2, 4 or 5 negatives, two of them at the ends, each corner lies on the grid's inside."""
    random = np.random.default_rng(0)
    labels = np.repeat([1, 0], [positives, negatives])
    splits = [(labels, random.integers(0, 6, labels.size) / 5) for _ in range(30)]
    for _, scores in splits:
        scores[-2:] = -1, 2
    band = mean_roc_band(splits, training_cases=20, test_cases=labels.size)
    areas = [auc(labels, scores) for labels, scores in splits]
    assert np.trapezoid(band.sensitivity, band.false_positive_rate) == pytest.approx(np.mean(areas), abs=1e-12)
    assert ((band.lower <= band.sensitivity) & (band.sensitivity <= band.upper)).all()


def test_area_under_the_mean_curve_is_the_mean_area_to_a_thousandth_off_the_grid():
    random = np.random.default_rng(0)
    labels = np.repeat([1, 0], [6, 37])
    splits = [(labels, random.random(43)) for _ in range(30)]
    band = mean_roc_band(splits, training_cases=100, test_cases=43)
    areas = [auc(labels, scores) for labels, scores in splits]
    assert np.trapezoid(band.sensitivity, band.false_positive_rate) == pytest.approx(np.mean(areas), abs=1e-3)


def test_band_of_resampled_patients_holds_the_curve_and_narrows_with_their_number():
    random = np.random.default_rng(0)
    labels = random.random(400) < 0.5
    scores = labels + random.normal(size=400)
    few, many = (roc_band(labels[:n], scores[:n], seed=0, repeats=200) for n in (40, 400))
    for band in (few, many):
        assert ((band.lower <= band.sensitivity + 1e-9) & (band.sensitivity <= band.upper + 1e-9)).all()
    assert (many.upper - many.lower).mean() < (few.upper - few.lower).mean() / 2
    assert (
        roc_band(labels, scores, seed=0, repeats=20).lower == roc_band(labels, scores, seed=0, repeats=20).lower
    ).all()


def test_cases_that_repeat_each_other_count_as_one_patient():
    random = np.random.default_rng(0)
    labels = random.random(40) < 0.5
    scores = labels + random.normal(size=40)
    alone = auc_clustered(labels, scores, [str(case) for case in range(40)])
    again = [np.repeat(part, 4) for part in (labels, scores)]
    repeated = auc_clustered(*again, [str(case // 4) for case in range(160)])
    assert repeated.value == pytest.approx(alone.value)
    assert (repeated.lower, repeated.upper) == pytest.approx((alone.lower, alone.upper))
    assert auc_delong(*again).upper - auc_delong(*again).lower < 0.6 * (repeated.upper - repeated.lower)


def test_with_one_case_a_patient_the_clustered_variance_is_delongs():
    random = np.random.default_rng(1)
    labels = random.random(400) < 0.3
    scores = labels + random.normal(size=400)
    alone, by_delong = auc_clustered(labels, scores, [str(case) for case in range(400)]), auc_delong(labels, scores)
    # Student's t with 399 degrees of freedom for the normal quantile.
    logits = [math.log(each / (1 - each)) for each in (alone.lower, alone.upper, by_delong.lower, by_delong.upper)]
    assert (logits[1] - logits[0]) / (logits[3] - logits[2]) == pytest.approx(1.965927 / 1.959964, rel=1e-5)


def test_clustered_variance_is_obuchowskis_pair_by_pair():
    labels = np.array([1, 1, 0, 0, 1, 0, 0, 1, 0])
    scores = np.array([5.0, 3, 4, 1, 6, 4, 7, 2, 0])
    patients = np.array(["a", "a", "a", "b", "b", "b", "c", "d", "d"])
    v10, v01 = structural_components(labels, scores)
    area = v10.mean()
    own = {
        name: (v10[patients[labels == 1] == name] - area, v01[patients[labels == 0] == name] - area) for name in "abcd"
    }
    s10 = 3 / (2 * 4) * sum(positive.sum() ** 2 for positive, _ in own.values())  # 3 patients with a positive, of 4
    s01 = 4 / (3 * 5) * sum(negative.sum() ** 2 for _, negative in own.values())  # all 4 with a negative, of 5
    s11 = 4 / 3 * sum(positive.sum() * negative.sum() for positive, negative in own.values())
    assert abs(s11) > 0.02
    variance = s10 / 4 + s01 / 5 + 2 * s11 / (4 * 5)
    found = auc_clustered(labels, scores, list(patients))
    half_width = 3.182446 * math.sqrt(variance) / (area * (1 - area))  # t for 3 degrees of freedom
    assert found.value == pytest.approx(area)
    assert math.log(found.upper / (1 - found.upper)) - math.log(area / (1 - area)) == pytest.approx(
        half_width, rel=1e-5
    )


@pytest.mark.parametrize("scores", [[3, 4, 1, 2], [2, 2, 2, 2]])
def test_separated_classes_and_equal_scores_have_no_interval(scores):
    found = auc_clustered([1, 1, 0, 0], scores, list("abcd"))
    assert math.isnan(found.lower)
    assert math.isnan(found.upper)


def test_clustered_cases_ask_for_a_patient_for_each_case():
    with pytest.raises(InvalidInputError, match="1 patients for 7 labels"):
        auc_clustered(LABELS, SCORES, ["a"])


def test_youden_threshold_lies_half_way_below_the_best_cut():
    assert youden_threshold([1, 1, 1, 0, 0, 0], [0.9, 0.6, 0.3, 0.2, 0.4, 0.1]) == pytest.approx(0.25)
    assert youden_threshold([1, 0], [0.8, 0.2]) == pytest.approx(0.5)


def test_where_no_cut_helps_all_are_called_positive():
    assert youden_threshold([1, 0], [0.5, 0.5]) == 0.5
