"""Against the trial that the log-rank test is taught with: 6-mercaptopurine in leukaemia (Freireich 1963)."""

import math

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.statistics import (
    compare_concordances,
    concordance,
    concordance_estimate,
    event_share,
    horizon_calibration,
    kaplan_meier,
    log_rank,
    survival,
)

# Weeks of remission; negative: last seen. Cox 1972, table 1.
TREATED = np.array([6, 6, 6, 7, 10, 13, 16, 22, 23, -6, -9, -10, -11, -17, -19, -20, -25, -32, -32, -34, -35])
PLACEBO = np.array([1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23])


def test_published_share_in_remission():
    curve = kaplan_meier(np.abs(TREATED), TREATED > 0)
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    for week, share in published.items():
        assert curve.free[curve.times == week][0] == pytest.approx(share, abs=5e-4)
    assert curve.at_risk[0] == 21
    assert ((curve.lower <= curve.free) & (curve.free <= curve.upper)).all()


def test_published_log_rank_test():
    weeks = np.abs(np.concatenate([TREATED, PLACEBO]))
    relapse = np.concatenate([TREATED, PLACEBO]) > 0
    # chi-square 16.79 on one degree of freedom
    assert log_rank(weeks, relapse, ["treated"] * 21 + ["placebo"] * 21) == pytest.approx(4.17e-5, abs=2e-7)


def test_concordance_counts_pairs_that_can_be_compared():
    # The third was lost before the last two events: it can only be compared with the first.
    assert concordance([1, 4, 2, 5], [1, 1, 0, 1], [9, 7, 3, 8]) == pytest.approx(3 / 4)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InvalidInputError, match="can be compared"):
        concordance([1, 2], [0, 0], [1, 2])
    with pytest.raises(InvalidInputError, match="at least 0"):
        kaplan_meier([-1, 2], [0, 1])
    with pytest.raises(InvalidInputError, match="at least two"):
        log_rank([1, 2], [1, 1], ["a", "a"])


def test_risks_that_are_not_finite_are_refused():
    with pytest.raises(InvalidInputError, match="expected finite numbers"):
        concordance([1, 2, 3], [1, 1, 0], [0.1, math.nan, 0.3])


@pytest.fixture(scope="module")
def cohort():
    random = np.random.default_rng(11)
    risks = random.normal(size=120)
    times = np.ceil(random.exponential(20 * np.exp(-risks)))  # whole months: ties
    seen = np.ceil(random.uniform(5, 60, 120))
    return np.minimum(times, seen), times <= seen, risks


def test_the_interval_of_concordance_is_as_wide_as_that_of_resampled_patients(cohort):
    times, events, risks = cohort
    found = concordance_estimate(times, events, risks)
    assert found.value == concordance(times, events, risks)
    random = np.random.default_rng(12)
    draws = []
    for _ in range(300):
        drawn = random.integers(120, size=120)
        draws.append(concordance(times[drawn], events[drawn], risks[drawn]))
    assert found.upper - found.lower == pytest.approx(2 * 1.96 * np.std(draws), rel=0.12)


def test_patients_who_are_there_twice_make_the_interval_no_narrower(cohort):
    times, events, risks = cohort
    single = concordance_estimate(times, events, risks)
    doubled = concordance_estimate(*(np.repeat(column, 2) for column in cohort), owners=np.repeat(np.arange(120), 2))
    assert (doubled.value, doubled.lower) == pytest.approx((single.value, single.lower), abs=5e-3)


def test_a_difference_of_concordances_is_as_sure_as_resampled_patients_say(cohort):
    times, events, risks = cohort
    others = risks + np.random.default_rng(14).normal(scale=4, size=120)
    found = compare_concordances(times, events, risks, others)
    assert found.difference.value == concordance(times, events, risks) - concordance(times, events, others)
    random, draws = np.random.default_rng(15), []
    for _ in range(300):
        drawn = random.integers(120, size=120)
        draws.append(np.subtract(*(concordance(times[drawn], events[drawn], each[drawn]) for each in (risks, others))))
    assert found.difference.upper - found.difference.lower == pytest.approx(2 * 1.98 * np.std(draws), rel=0.12)
    assert found.p_value < 0.05
    twice = [np.repeat(column, 2) for column in (times, events, risks, others)]
    doubled = compare_concordances(*twice, owners=np.repeat(np.arange(120), 2))
    assert doubled.difference.lower == pytest.approx(found.difference.lower, abs=5e-3)


def test_risks_that_order_all_cases_alike_differ_by_nothing(cohort):
    times, events, risks = cohort
    found = compare_concordances(times, events, risks, 10 * risks + 3)
    assert found.difference.value == 0
    assert math.isnan(found.p_value)


def test_more_pairs_than_can_be_gone_through_have_no_interval(cohort, monkeypatch):
    monkeypatch.setattr(survival, "_MOST_FOR_PAIRS", 100)
    assert math.isnan(concordance_estimate(*cohort).lower)


def test_the_share_with_the_event_is_one_less_the_curve_and_unknown_beyond_it():
    times, events = [1.0, 2.0, 3.0, 4.0], [1, 0, 1, 0]
    assert event_share(times, events, 3.5).value == pytest.approx(1 - 3 / 4 * 1 / 2)
    assert event_share(times, events, 5) is None
    assert event_share(times, [1, 1, 1, 1], 5).value == 1


def test_calibration_at_a_horizon_holds_predicted_against_observed_shares():
    random = np.random.default_rng(13)
    chances = np.repeat([0.2, 0.6], 400)
    times = random.exponential(-12 / np.log(1 - chances))
    points = horizon_calibration(times, np.ones(800), chances, 12, groups=2)
    assert [point.predicted for point in points] == pytest.approx([0.2, 0.6])
    assert [point.observed.value for point in points] == pytest.approx([0.2, 0.6], abs=0.06)
    assert all(point.observed.lower < point.observed.value < point.observed.upper for point in points)
