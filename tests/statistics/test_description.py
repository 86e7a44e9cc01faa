import math

import pytest

from preop.errors import InvalidInputError
from preop.statistics import cohort_table

OUTCOME = [1] * 5 + [0] * 5


def test_numbers_by_quartiles_categories_by_share():
    rows = cohort_table(
        OUTCOME,
        {"age": [10, 20, 30, 40, 50, 1, 2, 3, 4, math.nan], "sex": ["f", "f", "f", "m", None, "m", "m", "m", "m", "m"]},
    )
    age, female, male = rows
    assert (age.variable, age.missing, age.test) == ("age", 1, "Mann-Whitney")
    assert age.with_outcome.startswith("30")
    assert age.p_value == pytest.approx(2 / 126)  # the most extreme of 9 over 5 orders, on both sides
    assert (female.level, female.missing, female.with_outcome, female.without) == ("f", 1, "3 (75)", "0 (0)")
    assert (male.level, male.with_outcome, male.without) == ("m", "1 (25)", "5 (100)")
    assert female.test == "Fisher"
    assert female.p_value == pytest.approx(4 / 84)  # 4 ways to choose 3 of 4, of 84 to choose 3 of 9
    assert male.p_value is None


def test_zero_and_one_stand_for_no_and_yes():
    rows = cohort_table(OUTCOME, {"trunk": [1, 1, 1, 1, 0, 0, 0, 0, 0, 1]})
    assert [(row.level, row.with_outcome) for row in rows] == [("no", "1 (20)"), ("yes", "4 (80)")]


def test_a_variable_known_in_one_class_only_has_no_test():
    (row,) = cohort_table(OUTCOME, {"dose": [1.5, 2.5, 3.5, 4.5, 5.5] + [math.nan] * 5})
    assert row.p_value is None
    assert row.missing == 5


def test_another_length_is_refused():
    with pytest.raises(InvalidInputError, match="age has 1 values for 10 cases"):
        cohort_table(OUTCOME, {"age": [50]})
