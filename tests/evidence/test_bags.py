"""Figures of evidence made by hand: each can be worked out on paper."""

import json

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.evidence import BagEvidence
from preop.evidence.instances import first_by_chance, found_by_chance
from preop.statistics import wilson


@pytest.fixture
def study(bag_evidence):
    return BagEvidence.read(bag_evidence)


def cohort(bag_evidence, model_scores, rule_scores):
    """Make twice as many patients as there are scores, half of them positive, alternating between two folds."""
    template = bag_evidence["patients"][-1] | {"expected": None, "counts": None}
    rows = [
        template
        | {"patient": f"{positive} {number}", "fold": str(number % 2), "low": positive, "high": positive}
        | {"probability": model[number], "rule_score": rule[number]}
        for positive, (model, rule) in enumerate(zip(model_scores, rule_scores, strict=True))
        for number in range(len(model))
    ]
    return bag_evidence | {"patients": rows, "by_centre": {}, "oracle": None}


def test_a_patient_whose_report_leaves_it_open_is_in_no_figure(study):
    assert [patient.positive for patient in study.patients] == [True, True, True, False, False, False, None]
    assert [patient.reported for patient in study.patients] == ["2", "1", "1 or more", "0", "0", "0", "not known"]
    assert study.excluded == 1
    assert study.by_model.labels.tolist() == [True] * 3 + [False] * 3


def test_auc_is_the_share_of_pairs_in_order(study):
    # .9 and .6 stand above all of .2, .4, .1, and .3 above two; 12 mm above all of 8, 10, 5, 7 above one, 9 above two.
    assert study.model_auc.value == pytest.approx(8 / 9)
    assert study.rule_auc.value == pytest.approx(6 / 9)
    assert study.comparison.difference.value == pytest.approx(2 / 9)
    assert study.model_auc.lower < 8 / 9 < study.model_auc.upper
    (comparison,) = study.validation.comparisons
    assert not comparison.significantly_better


def test_a_patient_is_judged_at_the_threshold_of_the_other_folds(study):
    # Fold 0 by that of fold 1, between .4 and .6; fold 1 by that of fold 0, between .2 and .3. The best for all is .25.
    assert study.by_model.decisions.tolist() == [True, True, False, False, True, False]
    assert study.by_model.counts.sensitivity == wilson(2, 3)
    assert study.by_model.counts.specificity == wilson(2, 3)


def test_the_rule_calls_positive_above_its_threshold_and_not_at_it(study):
    assert study.by_rule.counts.sensitivity == wilson(2, 3)  # 12 and 9 mm, not 7
    assert study.by_rule.counts.specificity == wilson(2, 3)  # 5 and 8 mm, not 10


def test_brier_score_is_the_mean_squared_difference(study):
    assert study.by_model.brier == pytest.approx((0.01 + 0.16 + 0.49 + 0.04 + 0.16 + 0.01) / 6)


def test_ranking_is_of_positive_patients_whose_nodes_are_all_known(study):
    assert list(study.ranked) == ["p1", "p2"]


def test_a_model_that_ranks_all_positive_nodes_first_finds_them_at_once(study):
    ranking = study.model_ranking
    assert (ranking.auc.value, ranking.auc_of_patients.value) == (1, 1)
    assert ranking.first_is_positive == wilson(2, 2)
    assert ranking.found.tolist() == pytest.approx([0, 2 / 3, 1, 1, 1])
    assert ranking.to_review == 2


def test_ranking_by_size_is_worked_out_by_hand(study):
    ranking = study.rule_ranking
    # Of p1 12 and 5 mm among 9 and 4; of p2 6 mm among 7 and 3.
    assert ranking.auc.value == pytest.approx(8 / 12)
    assert ranking.auc_of_patients.value == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert ranking.first_is_positive == wilson(1, 2)
    assert ranking.found.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert ranking.to_review == 3
    assert study.ranking_difference.value == pytest.approx(1 - 0.625)


def test_chance_finds_positive_nodes_in_proportion_to_what_is_looked_at(study):
    assert first_by_chance(study.ranked) == pytest.approx((2 / 4 + 1 / 3) / 2)
    assert found_by_chance(study.ranked).tolist() == pytest.approx(
        [0, (0.5 + 1 / 3) / 3, (1 + 2 / 3) / 3, (1.5 + 1) / 3, 1]
    )


def test_equal_contributions_count_as_looked_at_last(bag_evidence):
    for patient in bag_evidence["patients"]:
        for instance in patient["instances"]:
            instance["contribution"] = 0.5
    ranking = BagEvidence.read(bag_evidence).model_ranking
    assert ranking.auc.value == 0.5
    assert ranking.first_is_positive == wilson(0, 2)
    assert ranking.to_review == 4


def test_without_node_truth_there_is_no_ranking(bag_evidence):
    for patient in bag_evidence["patients"]:
        for instance in patient["instances"]:
            instance["truth"] = None
    study = BagEvidence.read(bag_evidence)
    assert study.model_ranking is None
    assert study.rule_ranking is None
    assert study.ranking_difference is None
    assert BagEvidence.read(bag_evidence).validation.details["instances"]["ranking"] == {}


def test_numbers_are_compared_where_the_report_is_exact(study):
    fit = study.count
    assert fit.patients == 5
    assert (fit.expected.mean(), fit.counted.mean()) == pytest.approx((4 / 5, 3 / 5))
    # One patient of five is said to have one positive node, and has none.
    assert fit.score == pytest.approx(1 / 5)
    # What the others say: of 2, 3/4 have 0 and 1/4 have 1; of 1, 3/4 have 0 and 1/4 have 2; of 0, 1/2, 1/4 and 1/4.
    assert fit.score_of_cohort == pytest.approx((9 / 16 + 1 + 9 / 16 + 1 / 16 + 3 * (1 / 4 + 1 / 16)) / 5)
    assert fit.gain == pytest.approx(1 - 0.2 / 0.625)
    assert fit.difference.value == pytest.approx(0.2 - 0.625)
    assert fit.coverage.observed == wilson(4, 5)
    assert fit.coverage.promised == pytest.approx(1)


def test_a_head_that_does_not_count_has_no_figures_of_counts(bag_evidence):
    for patient in bag_evidence["patients"]:
        patient["counts"] = patient["expected"] = None
    assert BagEvidence.read(bag_evidence).count is None
    assert BagEvidence.read(bag_evidence).validation.details["count"] is None


def test_a_centre_with_one_outcome_has_no_auc(study):
    first, second = study.centres
    assert (first.name, first.patients, first.events) == ("A", 2, 1)  # without the one of whom it is not known
    assert [area.value for area in first.aucs.values()] == [1, 1]
    assert (second.name, second.patients, second.aucs) == ("B", 1, {})


def test_verdict_says_what_is_not_shown_and_holds_the_oracle_beside(study):
    answer, patients, ranking, to_review, counts = study.verdict
    assert answer.startswith("The model was not shown to predict pN+ better than the size rule")
    assert "AUC 0.89, compared with 0.67 for the largest short axis; difference +0.22 [" in patients
    assert "(an observer who knows the simulation: 0.95)" in patients
    assert "AUC of 1.00, compared with 0.67 for the short axis (an observer who knows the simulation: 0.97)" in ranking
    assert "positive in 100 % of them, and in 50 % when ranked by short axis" in ranking
    assert "the first 2 of each such patient have to be reviewed, or the first 3 when ranked by short axis" in to_review
    assert "expects 0.80 positive lymph nodes per patient, where 0.60 are reported" in counts
    assert "not shown to be closer" in counts


@pytest.mark.parametrize(
    ("better", "worse", "words"), [(0, 1, "better than the size rule"), (1, 0, "worse than the size rule")]
)
def test_verdict_follows_the_paired_test(bag_evidence, better, worse, words):
    telling, blind = ([0.1, 0.2, 0.3, 0.4] * 5, [0.35, 0.5, 0.6, 0.7] * 5), ([0.1, 0.2, 0.3, 0.4] * 5,) * 2
    scores = (telling, blind)
    content = cohort(bag_evidence, scores[better], scores[worse])
    assert words in BagEvidence.read(content).verdict[0]
    assert BagEvidence.read(content).validation.comparisons[0].significantly_better is (better == 0)


def test_counting_better_than_the_cohort_is_stated(bag_evidence):
    first = bag_evidence["patients"][0]
    sure = [
        first
        | {
            "patient": str(row),
            "fold": str(row // 3 % 2),
            "low": row % 3,
            "high": row % 3,
            "probability": (row % 3) / 2,
        }
        | {"counts": [float(row % 3 == number) for number in range(3)], "expected": row % 3}
        for row in range(30)
    ]
    study = BagEvidence.read(bag_evidence | {"patients": sure, "by_centre": {}})
    assert study.verdict[-1].count("closer to the reported number than the cohort's own distribution by 100 %") == 1


def test_validation_states_what_is_printed_and_is_json(study):
    found = json.loads(json.dumps(study.validation.model_dump(), allow_nan=False))
    model, rule = found["models"]["count head"], found["models"]["size rule"]
    assert (model["patients"], model["events"], model["baseline"], rule["baseline"]) == (6, 3, False, True)
    assert model["auc"]["value"] == pytest.approx(8 / 9)
    assert found["patients"] == 7
    details = found["details"]
    assert details["patients_left_out"] == 1
    assert details["instances"]["all"] == 11
    assert details["instances"]["with_truth"] == 7
    assert details["instances"]["positive"] == 3
    assert details["instances"]["ranking"]["size rule"]["to_look_at"] == 3
    assert details["centres"]["B"] == {"patients": 1, "events": 1, "auc": None}
    assert details["oracle"] == {"patient_auc": 0.95, "instance_auc": 0.97}


def test_evidence_survives_its_file(study):
    assert BagEvidence.model_validate_json(study.model_dump_json()) == study


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 2}, "format"),
        ({"surplus": 1}, "surplus"),
        ({"by_centre": {"A": [{"patient": "nobody", "probability": 0.5}]}}, "nobody"),
    ],
)
def test_other_content_is_refused(bag_evidence, change, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        BagEvidence.read(bag_evidence | change)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"high": 1}, "2 to 1 positives"),
        ({"counts": [0.5, 0.2, 0.2]}, r"add up to 0\.9"),
        ({"counts": None}, "come together"),
        ({"counts": [0.0, 1.0]}, "end at different numbers"),
        ({"patient": "p2"}, "p2 is there twice"),
        ({"probability": 1.2}, "probability"),
    ],
)
def test_a_patient_that_contradicts_itself_is_refused(bag_evidence, change, sentence):
    bag_evidence["patients"][0] |= change
    with pytest.raises(InvalidInputError, match=sentence):
        BagEvidence.read(bag_evidence)


def test_each_outcome_is_needed_in_two_folds(bag_evidence):
    bag_evidence["patients"][1]["fold"] = "0"
    with pytest.raises(InvalidInputError, match="each in at least two folds; there are 3 with and 3 without"):
        BagEvidence.read(bag_evidence)


def test_the_interval_of_a_ranking_comes_from_whole_patients(study):
    area = study.rule_ranking.auc
    assert 0 <= area.lower <= area.value <= area.upper <= 1
    assert np.isfinite([area.lower, area.upper]).all()
