"""Predicted numbers: scores of distributions whose distance can be reckoned by hand."""

import numpy as np
import pytest

from preop.evidence import CountPredictions

SURE = np.eye(3)[[0, 1, 2, 0]]


def predictions(distributions: np.ndarray) -> CountPredictions:  # type: ignore[type-arg]
    return CountPredictions(np.array([0, 1, 2, 0]), distributions @ np.arange(3), distributions)


def test_a_model_that_is_sure_and_right_has_no_error() -> None:
    found = predictions(SURE)
    assert found.score == 0
    assert found.gain == 1
    assert found.coverage.observed.value == 1


def test_score_is_the_squared_distance_of_the_cumulative_distributions() -> None:
    # Always sure of 0: right of two, one step away from 1, two steps from 2.
    found = predictions(np.eye(3)[[0, 0, 0, 0]])
    assert found.score == pytest.approx((0 + 1 + 2 + 0) / 4)
    assert found.coverage.observed.value == 0.5
    assert found.figures()["expected"] == 0
    assert found.figures()["reported"] == 0.75


def test_columns_hold_the_mean_prediction_and_the_observed_share() -> None:
    assert predictions(SURE).columns == {"0": (0.5, 0.5), "1": (0.25, 0.25), "2 or more": (0.25, 0.25)}


def test_higher_numbers_are_taken_together() -> None:
    distributions = np.eye(12)[[11, 3]]
    columns = CountPredictions(np.array([11, 3]), np.array([11.0, 3.0]), distributions).columns
    assert list(columns)[-1] == "8 or more"
    assert columns["8 or more"] == (0.5, 0.5)


def test_calibration_needs_twenty_patients() -> None:
    assert predictions(SURE).calibration == []
    many = CountPredictions(np.tile([0, 2], 10), np.tile([0.0, 2.0], 10), np.tile(np.eye(3)[[0, 2]], (10, 1)))
    assert [(point.expected, point.observed.value) for point in many.calibration] == [(0, 0), (2, 2)]
