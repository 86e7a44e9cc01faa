"""Rankings of instances: equal ones share the worse place, and a patient with positive ones only is in no AUC."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from preop.evidence.instances import Instance, Ranking, as_predictions, found_by_chance, own_auc


def group(*rows: tuple[float, int]) -> list[Instance]:
    return [
        Instance(name=str(place), contribution=score, rule_score=-score, truth=truth)
        for place, (score, truth) in enumerate(rows)
    ]


GROUPS = {"p1": group((0.9, 1), (0.5, 0), (0.5, 1), (0.1, 0)), "p2": group((0.7, 0), (0.6, 1))}


def test_auc_of_all_together_agrees_with_scikit_learn() -> None:
    ranking = Ranking.of(GROUPS, "contribution")
    assert ranking is not None
    truth, scores = [1, 0, 1, 0, 0, 1], [0.9, 0.5, 0.5, 0.1, 0.7, 0.6]
    assert ranking.auc.value == pytest.approx(roc_auc_score(truth, scores))
    assert as_predictions(GROUPS, "contribution").scores.tolist() == scores


def test_equal_instances_are_all_reviewed_before_one_of_them_is_found() -> None:
    ranking = Ranking.of(GROUPS, "contribution")
    assert ranking is not None
    # Of p1 the first and one of two equal ones, found after the third; of p2 the second.
    assert ranking.found.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert ranking.to_review == 3
    assert ranking.first_is_positive.value == 0.5


def test_a_score_upside_down_ranks_the_other_way() -> None:
    ranking, other = Ranking.of(GROUPS, "contribution"), Ranking.of(GROUPS, "rule_score")
    assert ranking is not None
    assert other is not None
    assert other.auc.value == pytest.approx(1 - ranking.auc.value)


def test_without_negative_instances_there_is_no_ranking() -> None:
    assert Ranking.of({"p": group((0.9, 1), (0.1, 1))}, "contribution") is None
    assert Ranking.of({}, "contribution") is None
    assert own_auc(group((0.9, 1)), "contribution") is None


def test_chance_finds_as_much_as_random_orders_do_on_average() -> None:
    random = np.random.default_rng(0)
    truth = {patient: np.array([item.truth for item in items]) for patient, items in GROUPS.items()}
    found = np.zeros(5)
    for _ in range(4000):
        for labels in truth.values():
            shuffled = random.permutation(labels).cumsum()
            found += np.concatenate([[0], np.append(shuffled, [shuffled[-1]] * (4 - shuffled.size))])
    assert found_by_chance(GROUPS) == pytest.approx(found / 4000 / 3, abs=0.02)
