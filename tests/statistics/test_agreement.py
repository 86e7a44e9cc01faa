import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import somersd
from sklearn.metrics import cohen_kappa_score

from preop.errors import InvalidInputError
from preop.statistics import Agreement, auc_delong, wilson

STAGES = ("N0", "N1", "N2", "N3")
pairs = st.lists(st.tuples(st.sampled_from(STAGES), st.sampled_from(STAGES)), min_size=2, max_size=40)


def test_kappa_of_a_hand_made_table():
    # Squared distances: observed 2 * 1 of 6; expected by chance, from the margins 3, 3 and 3, 3, 1/2.
    agreement = Agreement.of(["a", "a", "a", "b", "b", "b"], ["a", "a", "b", "b", "b", "a"], ["a", "b"])
    assert agreement.as_dict() == {"a": {"a": 2, "b": 1}, "b": {"a": 1, "b": 2}}
    assert agreement.accuracy == wilson(4, 6)
    assert agreement.quadratic_weighted_kappa.value == pytest.approx(1 - (2 / 6) / (1 / 2))


@given(pairs)
def test_kappa_is_that_of_scikit_learn(drawn):
    reference, predicted = zip(*drawn, strict=True)
    assume(len({*reference, *predicted}) > 1)
    kappa = Agreement.of(reference, predicted, STAGES).quadratic_weighted_kappa
    oracle = cohen_kappa_score(reference, predicted, labels=STAGES, weights="quadratic")
    assert kappa.value == pytest.approx(oracle, abs=1e-12)


def cases_of(matrix):
    return [(true, called) for true, called in np.ndindex(matrix.shape) for _ in range(matrix[true, called])]


def test_interval_is_the_jackknife_of_fishers_z():
    matrix = np.array([[30, 6, 2, 0], [5, 20, 6, 1], [1, 4, 12, 3], [0, 1, 2, 7]])
    cases = cases_of(matrix)
    left_out = [
        cohen_kappa_score(*zip(*cases[:number], *cases[number + 1 :], strict=True), weights="quadratic")
        for number in range(len(cases))
    ]
    error = math.sqrt((len(cases) - 1) ** 2 / len(cases) * np.var(left_out, ddof=1))
    kappa = Agreement(STAGES, matrix).quadratic_weighted_kappa
    half_width = 1.984217 * error / (1 - kappa.value**2)  # t for 99 degrees of freedom
    assert math.atanh(kappa.upper) - math.atanh(kappa.value) == pytest.approx(half_width, rel=1e-4)
    assert math.atanh(kappa.value) - math.atanh(kappa.lower) == pytest.approx(half_width, rel=1e-4)


@given(pairs)
def test_interval_stays_within_its_scale(drawn):
    reference, predicted = zip(*drawn, strict=True)
    assume(len({*reference, *predicted}) > 1)
    kappa = Agreement.of(reference, predicted, STAGES).quadratic_weighted_kappa
    if not math.isnan(kappa.lower):
        assert -1 <= kappa.lower <= kappa.value + 1e-12
        assert kappa.value - 1e-12 <= kappa.upper <= 1


def test_perfect_agreement_has_no_interval():
    kappa = Agreement.of(STAGES, STAGES, STAGES).quadratic_weighted_kappa
    assert kappa.as_dict() == {"value": 1.0, "lower": None, "upper": None}


def test_one_stage_for_all_is_no_better_than_chance_and_has_no_interval():
    kappa = Agreement.of(STAGES, ["N0"] * 4, STAGES).quadratic_weighted_kappa
    assert kappa.as_dict() == {"value": 0.0, "lower": None, "upper": None}


def test_kappa_of_a_single_stage_is_not_defined():
    assert Agreement.of(["N0", "N0"], ["N0", "N0"], STAGES).quadratic_weighted_kappa is None


def test_a_wrong_order_costs_more_the_further_it_goes():
    near = Agreement.of(["N0", "N1", "N2", "N3"], ["N1", "N1", "N2", "N3"], STAGES)
    far = Agreement.of(["N0", "N1", "N2", "N3"], ["N3", "N1", "N2", "N3"], STAGES)
    assert near.accuracy == far.accuracy
    assert near.quadratic_weighted_kappa.value > far.quadratic_weighted_kappa.value


@pytest.mark.parametrize(
    ("reference", "predicted", "message"),
    [(["N0"], ["N7"], "'N7'"), (["N0"], [], "0 predicted and 1"), ([], [], "0 predicted and 0")],
)
def test_unknown_or_missing_stages_are_refused(reference, predicted, message):
    with pytest.raises(InvalidInputError, match=message):
        Agreement.of(reference, predicted, STAGES)


def test_kappa_without_weights_by_hand():
    # Observed 35 of 50, expected by chance 0.5: (0.7 - 0.5) / (1 - 0.5).
    matrix = np.array([[20, 5], [10, 15]])
    assert Agreement(("yes", "no"), matrix).kappa.value == pytest.approx(0.4)


def test_without_an_order_every_mistake_costs_the_same():
    near = Agreement.of(["a", "b", "c", "c"], ["b", "b", "c", "c"], ["a", "b", "c"])
    far = Agreement.of(["b", "a", "c", "c"], ["a", "a", "c", "c"], ["a", "b", "c"])
    assert near.kappa.value == pytest.approx(far.kappa.value)


def test_ordinal_auc_is_somers_d_of_scipy_on_a_scale_from_0_to_1():
    random = np.random.default_rng(9)
    true = random.integers(0, 4, 150)
    called = np.clip(true + random.integers(-2, 3, 150), 0, 3)
    found = Agreement.of([str(stage) for stage in true], [str(stage) for stage in called], list("0123")).ordinal_auc
    assert found.value == pytest.approx((somersd(true, called).statistic + 1) / 2)
    assert found.lower < found.value < found.upper


def test_ordinal_auc_of_two_stages_is_the_auc_with_delongs_interval():
    random = np.random.default_rng(10)
    true = random.integers(0, 2, 300)
    called = np.where(random.random(300) < 0.8, true, 1 - true)
    found = Agreement.of([str(stage) for stage in true], [str(stage) for stage in called], list("01")).ordinal_auc
    delong = auc_delong(true, called)
    assert (found.value, found.lower, found.upper) == pytest.approx(
        (delong.value, delong.lower, delong.upper), abs=2e-3
    )


def test_ordinal_auc_of_one_true_stage_is_not_determined():
    assert Agreement.of(["a", "a"], ["a", "b"], ["a", "b"]).ordinal_auc is None
