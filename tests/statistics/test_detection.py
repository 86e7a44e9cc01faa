import numpy as np
import pytest
from grand_challenge_metrics.scorers import score_detection

from preop.errors import InvalidInputError
from preop.statistics import DetectionRanking, Marks, froc_curve, match_marks

LESIONS = [(0.0, 0.0, 0.0), (20.0, 0.0, 0.0)]


def marks(*points):
    """Marks on the x axis: place and score."""
    return Marks([(x, 0.0, 0.0) for x, _ in points], np.array([score for _, score in points]))


@pytest.fixture
def two_cases():
    # The first lesion is found at 0.9, the second at 0.5; false marks at 0.8 (a second one on the first), 0.7 and 0.6.
    return [
        match_marks(LESIONS, marks((1, 0.9), (2, 0.8), (21, 0.5), (50, 0.7)), 5.0),
        match_marks([], marks((3, 0.6)), 5.0),
    ]


def test_a_second_mark_of_a_lesion_is_false(two_cases):
    assert two_cases[0].found_at.tolist() == [0.9, 0.5]
    assert two_cases[0].false_scores.tolist() == [0.8, 0.7]
    assert two_cases[1].found_at.size == 0


def test_a_mark_hits_one_lesion_only():
    found = match_marks([(0.0, 0.0, 0.0), (4.0, 0.0, 0.0)], marks((2, 0.9)), 5.0)
    assert np.isfinite(found.found_at).sum() == 1
    assert found.false_scores.size == 0


@pytest.mark.parametrize("distance", [2.0, 5.0, 30.0])
def test_marks_of_one_score_are_counted_as_the_platforms_own_package_counts_them(distance):
    random = np.random.default_rng(7)
    for _ in range(30):
        lesions, points = ([tuple(row) for row in random.uniform(0, 20, (random.integers(0, 5), 3))] for _ in range(2))
        theirs = score_detection(ground_truth=lesions, predictions=points, radius=distance)
        ours = match_marks(lesions, Marks(points, np.ones(len(points))), distance)
        assert np.isfinite(ours.found_at).sum() == theirs.true_positives
        assert ours.false_scores.size == theirs.false_positives


def test_the_curve_and_its_figures_are_those_worked_out_by_hand(two_cases):
    curve = froc_curve(two_cases)
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.8, 0.7, 0.6, 0.5]
    assert curve.false_marks.tolist() == [0, 0, 0.5, 1, 1.5, 1.5]
    assert curve.sensitivity.tolist() == [0, 0.5, 0.5, 0.5, 0.5, 1]
    counts = DetectionRanking(two_cases).counts()
    # Precision 1 where the first is found, 2 of 5 where the second is.
    assert counts.average_precision[0] == pytest.approx((1 + 2 / 5) / 2)
    assert counts.sensitivities_at([0, 0.5, 1.4, 1.5, 8])[0].tolist() == [0.5, 0.5, 0.5, 1, 1]


def test_a_case_counts_as_often_as_its_weight_says(two_cases):
    counts = DetectionRanking(two_cases).counts(np.array([[1.0, 3.0]]))
    repeated = DetectionRanking([two_cases[0], *[two_cases[1]] * 3]).counts()
    assert counts.average_precision[0] == pytest.approx(repeated.average_precision[0])
    assert counts.sensitivities_at([0.3])[0] == pytest.approx(repeated.sensitivities_at([0.3])[0])


def test_no_lesion_at_all_and_no_distance_are_refused():
    with pytest.raises(InvalidInputError, match="no lesion in 1 cases"):
        froc_curve([match_marks([], marks((1, 0.5)), 5.0)])
    with pytest.raises(InvalidInputError, match="a distance of 0 mm"):
        match_marks(LESIONS, marks((1, 0.5)), 0.0)
