import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.statistics import (
    bootstrap,
    multinomial_tables,
    owners_of,
    percentile_interval,
    resampled_p_value,
    resampling,
)


def test_each_resample_has_as_many_cases_as_there_are():
    assert (bootstrap(lambda weights: weights.sum(axis=1, keepdims=True), 30, seed=1, repeats=50) == 30).all()


def test_the_cases_of_a_patient_are_drawn_together():
    owners = owners_of(["a", "b", "a", "c"], 4)
    draws = bootstrap(lambda weights: weights, 4, seed=2, repeats=100, owners=owners)
    assert (draws[:, 0] == draws[:, 2]).all()
    assert (draws[:, 0] + draws[:, 1] + draws[:, 3] == 3).all()
    assert (draws[:, 0] != draws[:, 1]).any()


def test_how_many_are_drawn_at_once_does_not_decide_on_the_interval(monkeypatch):
    def means(weights):
        return weights @ np.arange(50)[:, None]

    together = bootstrap(means, 50, seed=3, repeats=40)
    monkeypatch.setattr(resampling, "_WEIGHTS_AT_ONCE", 150)
    assert (bootstrap(means, 50, seed=3, repeats=40) == together).all()


def test_an_interval_of_a_mean_is_as_wide_as_theory_has_it():
    values = np.random.default_rng(4).normal(size=400)
    draws = bootstrap(lambda weights: weights @ values[:, None] / 400, 400, seed=5)[:, 0]
    interval = percentile_interval(float(values.mean()), draws)
    assert interval.upper - interval.lower == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_there_is_no_interval_where_nothing_varies_or_too_little_is_defined():
    assert np.isnan(percentile_interval(0.5, np.full(100, 0.5)).lower)
    assert np.isnan(percentile_interval(0.5, np.r_[np.full(30, np.nan), np.linspace(0, 1, 70)]).lower)
    assert percentile_interval(0.5, np.r_[np.full(10, np.nan), np.linspace(0, 1, 90)]).lower > 0


def test_a_p_value_is_twice_the_smaller_side_and_never_0():
    assert resampled_p_value(np.r_[np.full(10, -1.0), np.full(90, 1.0)]) == 0.2
    assert resampled_p_value(np.linspace(1, 2, 100)) == 0.01
    assert np.isnan(resampled_p_value(np.zeros(10)))


def test_resampled_tables_keep_their_cases():
    tables = multinomial_tables(np.array([[3, 0], [2, 5]]), seed=6, repeats=500)
    assert (tables.sum(axis=(1, 2)) == 10).all()
    assert tables.mean(axis=0) == pytest.approx(np.array([[3, 0], [2, 5]]), abs=0.3)


def test_patients_of_one_case_each_need_no_groups():
    assert owners_of(["b", "a"], 2) is None
    assert owners_of(None, 2) is None
    with pytest.raises(InvalidInputError, match="1 patients for 2 cases"):
        owners_of(["a"], 2)


def test_an_interval_that_would_end_in_infinity_is_none():
    draws = np.concatenate([2 + np.arange(900) / 900, np.full(100, np.inf)])
    assert np.isnan(percentile_interval(2.4, draws).upper)
    draws[-100:] = 3.0
    assert percentile_interval(2.4, draws).upper == pytest.approx(3.0)
