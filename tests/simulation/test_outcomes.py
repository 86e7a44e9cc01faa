import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preop.simulation import LogisticOutcome
from preop.statistics import oracle_auc


def test_log_odds_add_up() -> None:
    outcome = LogisticOutcome(-1.0, {"size": 2.0, "grade": -0.5})
    assert outcome.probability({"size": 0.75, "grade": 1.0, "unused": 9.0}) == pytest.approx(0.5)
    assert outcome.probability({"size": 0.0, "grade": 0.0}) == pytest.approx(1 / (1 + np.e))


def test_a_patient_without_a_latent_variable_is_refused() -> None:
    with pytest.raises(KeyError, match="grade"):
        LogisticOutcome(0.0, {"grade": 1.0}).probability({})


def test_two_patients_by_hand() -> None:
    """Pairs: high ill and low well .8 * .8, in order; low ill and high well .2 * .2, not."""
    assert oracle_auc(np.array([0.8, 0.2])) == pytest.approx(0.64 / 0.68)


def test_certainty_is_perfect_and_one_probability_for_all_is_chance() -> None:
    assert oracle_auc(np.array([0.0, 1.0, 1.0, 0.0])) == pytest.approx(1)
    assert oracle_auc(np.full(7, 0.3)) == pytest.approx(0.5)


@given(st.lists(st.sampled_from([0.1, 0.25, 0.5, 0.9]), min_size=2, max_size=12))
def test_the_oracle_is_the_weighed_share_of_ordered_pairs(probabilities: list[float]) -> None:
    pairs = [(p, q, p * (1 - q)) for i, p in enumerate(probabilities) for j, q in enumerate(probabilities) if i != j]
    ordered = sum(weight * ((p > q) + (p == q) / 2) for p, q, weight in pairs)
    assert oracle_auc(np.array(probabilities)) == pytest.approx(ordered / sum(weight for _, _, weight in pairs))


def test_drawn_outcomes_reach_the_oracle_on_average() -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    p = rng.beta(1, 2, 4000)
    drawn = [roc_auc_score(rng.random(p.size) < p, p) for _ in range(20)]
    assert np.mean(drawn) == pytest.approx(oracle_auc(p), abs=0.005)
