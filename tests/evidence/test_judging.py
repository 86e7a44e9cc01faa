import math

import numpy as np
import pytest
from dcurves import dca
from pandas import DataFrame

from preop.evidence import BinaryPredictions, OrdinalPredictions
from preop.evidence.judging import (
    BinarySettings,
    JudgedBinary,
    JudgedCounts,
    JudgedOrdinal,
    JudgedShares,
    JudgedSurvival,
    Resampling,
    aggregates_of,
    groups_of,
)
from preop.statistics import Agreement, auc_delong, compare_aucs, compare_proportions

FEW = Resampling(400, 1)
STAGES = ("N0", "N1", "N2")


def binary(cases=200, *, patients=None, **settings):
    random = np.random.default_rng(20)
    labels = random.random(cases) < 0.3
    scores = 1 / (1 + np.exp(-(random.normal(size=cases) + 1.5 * labels - 1)))
    predictions = BinaryPredictions.of(labels, scores, scores >= 0.4, patients)
    return JudgedBinary(predictions, BinarySettings(**settings), FEW)


def doubled(judged):
    """Each case twice, both of one patient."""
    own = judged.predictions
    columns = (np.repeat(column, 2) for column in (own.labels, own.scores, own.decisions))
    patients = [str(place) for place in np.repeat(np.arange(own.cases), 2)]
    return JudgedBinary(BinaryPredictions.of(*columns, patients), judged.settings, judged.resampling)


def width(estimate):
    return estimate["upper"] - estimate["lower"]


def test_figures_of_a_yes_or_no_are_those_of_their_own_functions():
    judged = binary(prevalence=0.1, from_sensitivity=0.9, thresholds=(0.25,))
    found, own = judged.figures().stated, judged.predictions
    assert found["auc"] == auc_delong(own.labels, own.scores).as_dict()
    assert found["sensitivity"] == own.counts.sensitivity.as_dict()
    assert found["at_prevalence"]["positive_predictive_value"] == own.counts.predictive_values_at(0.1)[0].as_dict()
    assert found["brier_score_interval"]["lower"] < found["brier_score"] < found["brier_score_interval"]["upper"]
    assert found["partial_auc"]["from_sensitivity"] == 0.9
    assert judged.figures().not_computed == {}


def test_net_benefit_is_that_of_those_who_described_it():
    judged = binary(thresholds=(0.1, 0.25))
    own = judged.predictions
    theirs = dca(
        DataFrame({"y": own.labels.astype(int), "model": own.scores}), "y", ["model"], thresholds=np.array([0.1, 0.25])
    )
    for at in (0.1, 0.25):
        row = theirs[np.isclose(theirs["threshold"], at)].set_index("model")["net_benefit"]
        found = judged.figures().stated["net_benefit"][f"at_{round(100 * at)}_percent"]
        assert found["value"] == pytest.approx(row["model"])
        assert found["treat_all"] == pytest.approx(row["all"])


def test_cases_that_are_there_twice_make_no_interval_narrower():
    single, twice = binary(prevalence=0.1), doubled(binary(prevalence=0.1))
    one, two = single.figures().stated, twice.figures().stated
    for name in ("auc", "sensitivity", "specificity", "accuracy", "average_precision", "positive_predictive_value"):
        assert two[name]["value"] == pytest.approx(one[name]["value"])
        assert width(two[name]) == pytest.approx(width(one[name]), rel=0.25)


def test_the_band_of_the_roc_curve_holds_the_curve():
    band = binary().curves()["roc"]["band"]
    inside = [
        low <= value <= high
        for low, value, high in zip(band["lower"], band["value"], band["upper"], strict=True)
        if low is not None
    ]
    assert len(inside) > 90
    assert all(inside)


def test_one_class_says_what_cannot_be_computed():
    judged = JudgedBinary(BinaryPredictions.of([1, 1], [0.2, 0.7], [0, 1]), BinarySettings(0.1, 0.9, (0.2,)), FEW)
    figures = judged.figures()
    assert figures.stated["sensitivity"]["value"] == 0.5
    assert figures.not_computed["auc"] == "All cases are positive, so nothing can be told apart."
    assert figures.not_computed["specificity"] == "No case is negative."
    assert {"average_precision", "partial_auc", "negative_likelihood_ratio"} <= figures.not_computed.keys()
    assert "slope" in figures.stated["calibration"]["not_computed"]
    assert "roc" not in judged.curves()


def test_two_readers_are_compared_by_delong_and_mcnemar():
    judged = binary()
    own = judged.predictions
    random = np.random.default_rng(21)
    reader = (random.random(own.cases) < np.where(own.labels, 0.6, 0.1)).astype(float)
    found = judged.compare(BinaryPredictions.of(own.labels, reader, reader == 1))
    delong = compare_aucs(own.labels, own.scores, reader)
    assert found["auc"]["p_value"] == delong.p_value
    assert found["auc"]["difference"]["value"] == delong.difference.value
    ill = own.labels
    mcnemar = compare_proportions(own.decisions[ill], reader[ill] == 1)
    assert found["sensitivity"]["p_value"] == mcnemar.p_value
    assert found["sensitivity"]["difference"]["lower"] == mcnemar.difference.lower


def test_pairs_of_cases_that_are_there_twice_are_no_surer():
    judged = binary(80)
    own = judged.predictions
    others = np.clip(own.scores + np.random.default_rng(22).normal(0, 0.3, own.cases), 0, 1)
    once = judged.compare(BinaryPredictions.of(own.labels, others, others >= 0.4))
    twice = doubled(judged).compare(
        BinaryPredictions.of(np.repeat(own.labels, 2), np.repeat(others, 2), np.repeat(others, 2) >= 0.4)
    )
    for name in ("auc", "accuracy"):
        assert width(twice[name]["difference"]) == pytest.approx(width(once[name]["difference"]), rel=0.3)


@pytest.fixture(scope="module")
def staged():
    random = np.random.default_rng(23)
    true = random.integers(0, 3, 90)
    called, clinical = (np.clip(true + random.choice([-1, 0, 0, step], 90), 0, 2) for step in (1, -1))
    return [[STAGES[place] for place in column] for column in (true, called, clinical)]


def test_figures_of_stages_are_those_of_the_table(staged):
    true, called, _ = staged
    found = JudgedOrdinal(OrdinalPredictions.of(true, called, STAGES), None, FEW).figures().stated
    agreement = Agreement.of(true, called, STAGES)
    assert found["quadratic_weighted_kappa"] == agreement.quadratic_weighted_kappa.as_dict()
    assert found["ordinal_auc"] == agreement.ordinal_auc.as_dict()
    too_high = sum(STAGES.index(one) > STAGES.index(other) for one, other in zip(called, true, strict=True))
    assert found["over_staged"]["value"] == too_high / 90
    ill = [place for place, stage in enumerate(true) if stage == "N2"]
    assert found["cuts"]["N2_or_more"]["sensitivity"]["value"] == sum(called[place] == "N2" for place in ill) / len(ill)


def test_a_clinical_stage_of_the_same_patients_is_compared_in_pairs(staged):
    true, called, clinical = staged
    judged = JudgedOrdinal(OrdinalPredictions.of(true, called, STAGES), None, FEW)
    found = judged.compare(OrdinalPredictions.of(true, clinical, STAGES))
    right = [[one == other for one, other in zip(column, true, strict=True)] for column in (called, clinical)]
    assert found["accuracy"]["p_value"] == compare_proportions(*right).p_value
    kappas = [Agreement.of(true, column, STAGES).quadratic_weighted_kappa.value for column in (called, clinical)]
    difference = found["quadratic_weighted_kappa"]["difference"]
    assert difference["value"] == pytest.approx(kappas[0] - kappas[1])
    assert difference["lower"] < difference["value"] < difference["upper"]
    nothing = judged.compare(OrdinalPredictions.of(true, called, STAGES))["quadratic_weighted_kappa"]
    assert (nothing["difference"]["value"], nothing["p_value"]) == (0, None)


def test_stages_of_patients_with_two_cases_have_the_intervals_of_half_as_many(staged):
    true, called, clinical = staged
    twice = [[stage for stage in column for _ in range(2)] for column in staged]
    patients = tuple(str(place // 2) for place in range(180))
    once = JudgedOrdinal(OrdinalPredictions.of(true, called, STAGES), None, FEW)
    both = JudgedOrdinal(OrdinalPredictions.of(twice[0], twice[1], STAGES), patients, FEW)
    for name in ("accuracy", "quadratic_weighted_kappa", "ordinal_auc", "over_staged"):
        assert width(both.figures().stated[name]) == pytest.approx(width(once.figures().stated[name]), rel=0.3)
    pairs = [
        judged.compare(OrdinalPredictions.of(*columns, STAGES))["quadratic_weighted_kappa"]["difference"]
        for judged, columns in ((once, (true, clinical)), (both, (twice[0], twice[2])))
    ]
    assert width(pairs[1]) == pytest.approx(width(pairs[0]), rel=0.3)


def test_counts_are_scored_by_distance_and_by_their_distribution():
    certain = np.eye(5)[[0, 2, 4]]
    found = JudgedCounts(np.array([0.0, 2.0, 3.0]), certain, None, FEW).figures().stated
    assert found["absolute_error"]["value"] == pytest.approx(1 / 3)
    assert found["ranked_probability_score"]["value"] == pytest.approx(1 / 3)
    assert found["exact"]["value"] == pytest.approx(2 / 3)
    assert found["bias"]["value"] == pytest.approx(1 / 3)


def test_shares_are_scored_by_error_proper_scores_and_agreement():
    reported = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.2, 0.8]])
    perfect = JudgedShares(reported, reported, None, FEW, ("a", "b", "c")).figures().stated
    assert perfect["absolute_error"]["value"] == 0
    assert perfect["parts"]["a"]["intraclass_correlation"] == pytest.approx(1)
    predicted = np.array([[0.4, 0.6, 0.0], [0.7, 0.3, 0.0], [0.1, 0.1, 0.8]])
    found = JudgedShares(reported, predicted, None, FEW, ("a", "b", "c")).figures().stated
    assert found["absolute_error"]["value"] == pytest.approx((0.2 + 0.6 + 0.2) / 9)
    assert found["squared_error"]["value"] == pytest.approx((0.02 + 0.18 + 0.02) / 3)
    assert found["same_largest_part"]["value"] == pytest.approx(2 / 3)  # of two equal parts the first is the largest
    assert found["cross_entropy"]["value"] > perfect["cross_entropy"]["value"]


def test_time_to_event_without_a_pair_says_so():
    judged = JudgedSurvival(np.array([3.0]), np.array([False]), np.array([0.2]), 2.0)
    figures = judged.figures()
    assert figures.not_computed["concordance"].startswith("No two cases can be compared")
    assert figures.stated["calibration"]["observed_share"]["value"] == 0


def test_groups_are_judged_apart_and_called_small():
    judged = binary()
    groups = groups_of(["A"] * 150 + ["B.1"] * 45 + [""] * 5, [], None)
    found = aggregates_of(judged, groups={"centre": groups})["subgroups"]["centre"]
    assert set(found) == {"A", "B_1", "not stated"}
    assert (found["A"]["small"], found["not stated"]["small"]) == (False, True)
    part = judged.predictions
    assert found["A"]["auc"] == auc_delong(part.labels[:150], part.scores[:150]).as_dict()


def test_numbers_are_divided_at_their_edges():
    groups = groups_of(["5", "10", "", "19.5", "20"], [10, 20], [5, 10, math.nan, 19.5, 20])
    assert {name: np.flatnonzero(chosen).tolist() for name, chosen in groups.items()} == {
        "below 10": [0],
        "10 to below 20": [1, 3],
        "20 or more": [4],
        "": [2],
    }


def test_declined_cases_are_counted_and_left_out_beside_all():
    judged = binary()
    declined = np.arange(200) < 40
    found = aggregates_of(judged, declined=declined)
    part = judged.predictions
    assert found["auc"] == auc_delong(part.labels, part.scores).as_dict()
    assert found["without_declined"]["cases"] == 160
    assert found["without_declined"]["auc"] == auc_delong(part.labels[40:], part.scores[40:]).as_dict()
    assert aggregates_of(judged, declined=np.ones(200, dtype=bool))["without_declined"] == {"cases": 0}
