import numpy as np
import pytest
from sklearn import metrics

from preop.errors import InvalidInputError
from preop.statistics import Ranking, auc, average_precision, mean_specificity
from tests.statistics.data_sets import data_sets


@pytest.fixture(params=["distinct", "ties", "cancer"])
def cases(request):
    random = np.random.default_rng(3)
    labels = random.random(200) < 0.3
    scores = random.normal(size=200) + labels
    if request.param == "cancer":
        cancer = data_sets()["cancer"]
        return cancer["malignant"] == 1, cancer["texture"]
    return labels, np.round(scores, 1) if request.param == "ties" else scores


def test_average_precision_is_that_of_scikit_learn(cases):
    assert average_precision(*cases) == pytest.approx(metrics.average_precision_score(*cases), abs=1e-12)


@pytest.mark.parametrize("from_sensitivity", [0.5, 0.8, 0.95])
def test_mean_specificity_is_the_partial_auc_of_scikit_learn_with_the_classes_exchanged(cases, from_sensitivity):
    labels, scores = cases
    width = 1 - from_sensitivity
    # scikit-learn standardises as McClish does: back to the area, then by the width.
    standardised = metrics.roc_auc_score(~labels, -scores, max_fpr=width)
    area = (2 * standardised - 1) * (width - width**2 / 2) + width**2 / 2
    assert mean_specificity(labels, scores, from_sensitivity) == pytest.approx(area / width, abs=1e-12)


def test_mean_specificity_over_all_sensitivities_is_the_auc(cases):
    assert mean_specificity(*cases, 0.0) == pytest.approx(auc(*cases), abs=1e-12)


def test_weights_count_cases_as_often_as_they_say(cases):
    labels, scores = cases
    weights = np.random.default_rng(1).integers(0, 3, labels.size)
    curves = Ranking(labels, scores).curves(weights[np.newaxis].astype(float))
    repeated = np.repeat(labels, weights), np.repeat(scores, weights)
    assert curves.average_precision[0] == pytest.approx(average_precision(*repeated), abs=1e-12)
    assert curves.mean_specificity(0.8)[0] == pytest.approx(mean_specificity(*repeated, 0.8), abs=1e-12)


def test_sensitivity_on_a_grid_lies_between_the_points_of_the_curve():
    curves = Ranking([1, 0, 1, 0], [4.0, 3.0, 2.0, 1.0]).curves()
    # Up to (0, 1/2), across to (1/2, 1/2), up to (1/2, 1): half way up at 1/2, as the area wants it.
    assert curves.sensitivity_at(np.array([0.25, 0.5, 0.75]))[0].tolist() == [0.5, 0.75, 1.0]


def test_one_class_and_a_sensitivity_of_1_are_refused():
    with pytest.raises(InvalidInputError, match="All 2 cases are positive"):
        average_precision([1, 1], [0.1, 0.2])
    with pytest.raises(InvalidInputError, match="from sensitivity 1"):
        mean_specificity([1, 0], [0.1, 0.2], 1.0)
