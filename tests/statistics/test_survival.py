"""Against the trial that the log-rank test is taught with: 6-mercaptopurine in leukaemia (Freireich 1963)."""

import math

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.statistics import concordance, kaplan_meier, log_rank

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
