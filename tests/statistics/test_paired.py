import numpy as np
import pytest
from scipy.stats import binomtest

from preop.errors import InvalidInputError
from preop.statistics import compare_proportions


def pairs(both, only_first, only_second, neither):
    first = [1] * both + [1] * only_first + [0] * only_second + [0] * neither
    second = [1] * both + [0] * only_first + [1] * only_second + [0] * neither
    return first, second


def test_the_p_value_is_the_binomial_one_of_the_discordant_pairs():
    result = compare_proportions(*pairs(40, 12, 4, 10))
    assert result.p_value == pytest.approx(binomtest(4, 16).pvalue)
    assert (result.only_first, result.only_second) == (12, 4)


@pytest.mark.parametrize(
    ("table", "interval"),
    [((36, 12, 2, 0), (0.0569, 0.3404)), ((54, 0, 0, 0), (-0.0664, 0.0664))],
)
def test_the_interval_is_that_of_newcombes_table_3(table, interval):
    # Newcombe 1998, table III, method 10.
    difference = compare_proportions(*pairs(*table)).difference
    assert (difference.lower, difference.upper) == pytest.approx(interval, abs=6e-4)


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says():
    random, held = np.random.default_rng(8), 0
    for _ in range(300):
        cells = random.multinomial(60, [0.5, 0.2, 0.1, 0.2])
        difference = compare_proportions(*pairs(*cells)).difference
        held += difference.lower <= 0.1 <= difference.upper
    assert 0.91 <= held / 300 <= 0.99


def test_readers_of_different_cases_are_refused():
    with pytest.raises(InvalidInputError, match="2 and 1 cases"):
        compare_proportions([1, 0], [1])
