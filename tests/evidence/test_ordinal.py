"""Categories in order: figures agree with scikit-learn's, and what is not valid counts as the worst."""

import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score

from preop.evidence import OrdinalPredictions, furthest_category
from preop.statistics import wilson

STAGES = ("N0", "N1", "N2", "N3")
TRUE = ["N0", "N0", "N1", "N1", "N2", "N3", "N3", "N0"]
CALLED = ["N0", "N1", "N1", "N0", "N3", "N3", "N2", "N0"]


def test_figures_agree_with_scikit_learn() -> None:
    agreement = OrdinalPredictions.of(TRUE, CALLED, STAGES).agreement
    assert agreement.accuracy.value == pytest.approx(accuracy_score(TRUE, CALLED))
    assert agreement.quadratic_weighted_kappa is not None
    assert agreement.quadratic_weighted_kappa.value == pytest.approx(
        cohen_kappa_score(TRUE, CALLED, weights="quadratic", labels=list(STAGES))
    )


def test_what_was_not_predicted_counts_as_the_category_furthest_from_the_truth() -> None:
    found = OrdinalPredictions.of(["N0", "N1", "N2", "N3"], [None, "NX", None, "N3"], STAGES)
    assert found.predictions == ("N3", "N3", "N0", "N3")


def test_too_high_and_too_low_are_counted_apart() -> None:
    over, under = OrdinalPredictions.of(TRUE, CALLED, STAGES).over_and_under
    assert (over, under) == (wilson(2, 8), wilson(2, 8))


def test_a_cut_joins_the_categories_on_either_side() -> None:
    counts = OrdinalPredictions.of(TRUE, CALLED, STAGES).cut(2)
    assert (counts.true_positives, counts.false_negatives) == (3, 0)
    assert (counts.false_positives, counts.true_negatives) == (0, 5)
    counts = OrdinalPredictions.of(TRUE, CALLED, STAGES).cut(1)
    assert (counts.true_positives, counts.false_negatives) == (4, 1)
    assert (counts.false_positives, counts.true_negatives) == (1, 2)


@pytest.mark.parametrize(("truth", "worst"), [("N0", "N3"), ("N1", "N3"), ("N2", "N0"), ("N3", "N0")])
def test_furthest_category_of_four(truth: str, worst: str) -> None:
    assert furthest_category(truth, STAGES) == worst


def test_of_two_categories_equally_far_the_higher_is_the_worst() -> None:
    assert furthest_category("b", ["a", "b", "c"]) == "c"
