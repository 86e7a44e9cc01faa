"""Association with a yes-or-no outcome, against exact formulas, published tables and statsmodels."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import chi2

from preop.errors import InvalidInputError
from preop.statistics import adjust_p_values, logistic_regression, mann_whitney, table_test


def four_fold(a: int, b: int, c: int, d: int) -> tuple[list[int], np.ndarray]:
    """Outcome and exposure: a exposed and b unexposed with the outcome, c and d without."""
    return [1] * (a + b) + [0] * (c + d), np.array([1.0] * a + [0] * b + [1] * c + [0] * d)[:, None]


@settings(max_examples=30)
@given(*[st.integers(1, 30)] * 4)
def test_firth_on_a_four_fold_table_is_half_a_case_added_to_each_cell(a, b, c, d):
    # Jeffreys' prior of a saturated model (Firth 1993, section 4.1).
    result = logistic_regression(*four_fold(a, b, c, d), ["exposed"], firth=True)
    expected = (a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5))
    assert result.variables[0].odds_ratio.value == pytest.approx(expected, rel=1e-6)
    assert result.intercept == pytest.approx(math.log((b + 0.5) / (d + 0.5)), abs=1e-6)


def test_firth_has_a_finite_answer_where_the_classes_separate():
    result = logistic_regression(*four_fold(9, 0, 3, 8), ["exposed"])
    odds = result.variables[0].odds_ratio
    assert result.firth
    assert odds.value == pytest.approx(9.5 * 8.5 / (0.5 * 3.5), rel=1e-6)
    assert 1 < odds.lower < odds.value < odds.upper < math.inf


def test_a_rare_exposure_without_events_is_noticed_and_corrected():
    result = logistic_regression(*four_fold(1, 14, 0, 24), ["exposed"])
    assert result.firth
    assert result.variables[0].odds_ratio.value == pytest.approx(1.5 * 24.5 / (14.5 * 0.5), rel=1e-6)


def test_maximum_likelihood_of_a_four_fold_table_is_its_cross_product():
    result = logistic_regression(*four_fold(30, 20, 15, 45), ["exposed"], firth=False)
    assert result.variables[0].odds_ratio.value == pytest.approx(30 * 45 / (20 * 15), rel=1e-7)
    # G squared of the table: 2 sum O ln(O / E).
    observed = np.array([[30, 20], [15, 45]])
    expected = observed.sum(axis=1, keepdims=True) * observed.sum(axis=0) / observed.sum()
    statistic = 2 * (observed * np.log(observed / expected)).sum()
    assert result.variables[0].p_value == pytest.approx(chi2.sf(statistic, 1), rel=1e-5)


def cohort(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    outcome = random.random(300) < 0.4
    values = random.normal(size=(300, 3)) + outcome[:, None] * np.array([0.8, 0.2, 0.0])
    return outcome, values * np.array([1.0, 1000.0, 1e-3]) + np.array([0.0, 5e4, 1.0])


def test_coefficients_and_likelihood_agree_with_statsmodels_whatever_the_units():
    import statsmodels.api as sm

    outcome, values = cohort()
    result = logistic_regression(outcome, values, ["a", "b", "c"])
    fitted = sm.Logit(outcome.astype(float), sm.add_constant(values)).fit(
        disp=0, method="newton", maxiter=200, tol=1e-12
    )
    assert not result.firth
    assert [item.odds_ratio.value for item in result.variables] == pytest.approx(np.exp(fitted.params[1:]), rel=1e-5)
    assert result.intercept == pytest.approx(fitted.params[0], rel=1e-5)
    reduced = sm.Logit(outcome.astype(float), sm.add_constant(values[:, 1:])).fit(disp=0, maxiter=200, tol=1e-12)
    assert result.variables[0].p_value == pytest.approx(chi2.sf(2 * (fitted.llf - reduced.llf), 1), rel=1e-4)


def test_the_profile_interval_ends_where_the_likelihood_ratio_test_rejects():
    import statsmodels.api as sm

    outcome, values = cohort(1)
    odds = logistic_regression(outcome, values, ["a", "b", "c"]).variables[0].odds_ratio
    best = sm.Logit(outcome.astype(float), sm.add_constant(values)).fit(disp=0, maxiter=200).llf
    for end in (odds.lower, odds.upper):
        held = sm.GLM(
            outcome.astype(float),
            sm.add_constant(values[:, 1:] / values[:, 1:].std(axis=0)),
            family=sm.families.Binomial(),
            offset=math.log(end) * values[:, 0],
        ).fit()
        assert 2 * (best - held.llf) == pytest.approx(chi2.ppf(0.95, 1), abs=1e-3)


def test_correction_is_used_below_ten_events_a_coefficient():
    outcome, values = cohort()
    few = np.flatnonzero(outcome)[:25].tolist() + np.flatnonzero(~outcome).tolist()
    assert logistic_regression(outcome[few], values[few], ["a", "b", "c"]).firth
    assert not logistic_regression(outcome[few], values[few][:, :2], ["a", "b"]).firth


def test_few_cases_whose_likelihood_has_several_tops_get_intervals_of_the_highest():
    # By maximisation from many places at the ends of each interval: twice the log likelihood has fallen by 3.84 there.
    rng = np.random.default_rng(12)
    values = rng.normal(size=(14, 3))
    outcome = rng.random(14) < 1 / (1 + np.exp(-2 * values.sum(axis=1)))
    design = np.column_stack([np.ones(14), values])

    def lost(coefficients):
        linear = design @ coefficients
        chances = 1 / (1 + np.exp(-linear))
        information = design.T * (chances * (1 - chances)) @ design
        return -(outcome @ linear - np.logaddexp(0, linear).sum() + np.linalg.slogdet(information)[1] / 2)

    def least(held=None):
        free = [column for column in range(4) if held is None or column != held[0]]

        def of_free(others):
            coefficients = np.zeros(4)
            coefficients[free] = others
            if held is not None:
                coefficients[held[0]] = held[1]
            return lost(coefficients)

        starts = np.random.default_rng(0).normal(scale=3, size=(20, len(free)))
        with np.errstate(all="ignore"):
            return min(minimize(of_free, start).fun for start in starts)

    most = least()
    for column, variable in enumerate(logistic_regression(outcome, values, ["a", "b", "c"], firth=True).variables, 1):
        for end in (variable.odds_ratio.lower, variable.odds_ratio.upper):
            assert 2 * (least((column, np.log(end))) - most) == pytest.approx(3.841, abs=0.01)


def test_a_regression_that_has_no_answer_is_refused():
    outcome, values = cohort()
    with pytest.raises(InvalidInputError, match="combination of the others"):
        logistic_regression(outcome, np.column_stack([values[:, 0], 2 * values[:, 0]]), ["a", "twice a"])
    with pytest.raises(InvalidInputError, match="same value in all"):
        logistic_regression(outcome, np.ones((300, 1)), ["constant"])


def test_mann_whitney_gives_the_published_exact_p_value():
    # Hollander & Wolfe 1973, p. 69: permeability of the chorioamnion at term and at 12 to 26 weeks; W = 35, p = 0.2544.
    at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    early = [1.15, 0.88, 0.90, 0.74, 1.21]
    result = mann_whitney([1] * 10 + [0] * 5, at_term + early)
    assert result.auc.value == pytest.approx(35 / 50)
    assert result.p_value == pytest.approx(0.2544, abs=5e-5)


def test_fishers_tea_taster():
    # Fisher 1935: 3 of 4 cups right on each side, one-sided p 17/70, two-sided 34/70.
    result = table_test([1, 1, 1, 1, 0, 0, 0, 0], ["milk", "milk", "milk", "tea", "milk", "tea", "tea", "tea"])
    assert result.test == "Fisher"
    assert result.p_value == pytest.approx(34 / 70)


def test_chi_square_without_continuity_correction():
    labels, exposed = four_fold(30, 20, 15, 45)
    result = table_test(labels, [str(value) for value in exposed[:, 0]])
    # n (ad - bc)^2 / (product of the margins)
    statistic = 110 * (30 * 45 - 20 * 15) ** 2 / (50 * 60 * 45 * 65)
    assert result.test == "chi-square"
    assert result.p_value == pytest.approx(chi2.sf(statistic, 1))


def test_adjustment_by_hand():
    assert adjust_p_values([0.01, 0.04, 0.03], method="holm") == pytest.approx([0.03, 0.06, 0.06])
    assert adjust_p_values([0.01, 0.04, 0.03], method="benjamini-hochberg") == pytest.approx([0.03, 0.04, 0.04])


def test_one_category_or_class_is_refused():
    with pytest.raises(InvalidInputError, match="two categories"):
        table_test([0, 1], ["a", "a"])
    with pytest.raises(InvalidInputError, match="one of each class"):
        mann_whitney([1, 1], [1.0, 2.0])


def brute_force_fisher(counts):
    """Sum over all tables of the same margins that are no more probable, with whole numbers."""
    sizes, positives = counts.sum(axis=1), counts[:, 0].sum()
    ways = {
        chosen: math.prod(math.comb(int(size), each) for size, each in zip(sizes, chosen, strict=True))
        for chosen in itertools.product(*(range(size + 1) for size in sizes))
        if sum(chosen) == positives
    }
    own = ways[tuple(counts[:, 0].tolist())]
    return sum(each for each in ways.values() if each <= own) / sum(ways.values())


def labels_and_categories(counts):
    labels = [value for row in counts for value, number in zip((1, 0), row, strict=True) for _ in range(number)]
    categories = [str(place) for place, row in enumerate(counts) for _ in range(row.sum())]
    return labels, categories


@pytest.mark.parametrize(
    "counts",
    [[[3, 1], [0, 4], [2, 2]], [[5, 0], [1, 3], [0, 6], [2, 2]], [[1, 1], [2, 2], [3, 3]], [[4, 1], [4, 1], [1, 4]]],
)
def test_fishers_test_of_several_categories_is_exact(counts):
    counts = np.array(counts)
    found = table_test(*labels_and_categories(counts))
    assert found.test == "Fisher"
    assert found.p_value == pytest.approx(brute_force_fisher(counts[:, ::-1]), rel=1e-9)


def test_where_too_many_tables_exist_the_test_is_named_for_what_it_is_and_repeats_itself():
    random = np.random.default_rng(0)
    labels, categories = random.random(400) < 0.04, random.choice(list("abcdefghijklmnop"), 400).tolist()
    first, second = table_test(labels, categories), table_test(labels, categories)
    assert first.test == "chi-square by permutation"
    assert first == second


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_a_missing_category_is_no_category(missing):
    with pytest.raises(InvalidInputError, match="Of the 4 categories, 1 are missing"):
        table_test([1, 0, 1, 0], ["a", "b", "a", missing])


@pytest.mark.parametrize("strange", [float("nan"), 1.2, -0.1])
def test_a_p_value_that_is_none_is_not_adjusted_in_silence(strange):
    with pytest.raises(InvalidInputError, match="between 0 and 1"):
        adjust_p_values([0.01, strange], method="holm")
