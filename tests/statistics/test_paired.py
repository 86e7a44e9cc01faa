import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test, ttest_rel

from preop.errors import InvalidInputError
from preop.statistics import compare_means, compare_proportions


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


@pytest.mark.parametrize("cases", [9, 40])
def test_scores_are_compared_by_all_or_many_ways_to_turn_differences_round(cases):
    random = np.random.default_rng(30)
    first, second = random.normal(size=(2, cases))
    found = compare_means(first, second + 0.3, seed=0, repeats=20_000)
    theirs = permutation_test(
        (first, second + 0.3),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=1,
    )
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-9 if cases == 9 else 0.05)
    interval = ttest_rel(first, second + 0.3).confidence_interval()
    assert (found.difference.lower, found.difference.upper) == pytest.approx(tuple(interval))


def test_cases_that_are_there_twice_are_no_surer_of_a_difference():
    random = np.random.default_rng(31)
    first, second = random.normal(size=(2, 12))
    twice = [np.repeat(scores, 2) for scores in (first, second)]
    once = compare_means(first, second, seed=0, repeats=2000)
    found = compare_means(*twice, owners=np.repeat(np.arange(12), 2), seed=0, repeats=2000)
    assert (found.difference.value, found.p_value) == pytest.approx((once.difference.value, once.p_value))


def test_readers_who_never_differ_have_nothing_to_show():
    found = compare_means([0.5, 1], [0.5, 1], seed=0, repeats=200)
    assert (found.difference.value, found.p_value) == (0, 1)
    with pytest.raises(InvalidInputError, match="of 2 and 1 cases"):
        compare_means([1, 0], [1], seed=0, repeats=200)
