"""Figures of a validation of stages, on patients made by hand."""

import json
from typing import Any

import pytest

from preop.errors import InvalidInputError
from preop.evidence import StageEvidence
from preop.staging import N


def patient(
    name: str, reference: str, algorithm: str, reader: str | None, p_n0: float, **stations: Any
) -> dict[str, Any]:
    return {
        "patient": name,
        "fold": "0",
        "reference": reference,
        "called": {"algorithm": algorithm, "reader": reader},
        "probabilities": {"N0": p_n0, "N1": 1 - p_n0},
        **stations,
    }


@pytest.fixture
def evidence() -> dict[str, Any]:
    return {
        "format": 1,
        "protocol": "by hand",
        "raters": ["algorithm", "reader"],
        "patients": [
            patient("a", "N0", "N0", "N1", 0.9, sampled=["4R", "7"]),
            patient("b", "N0", "N0", "N0", 0.8, sampled=["4R"], involved=["4R"]),
            patient("c", "N1", "N1", "N0", 0.3, sampled=["10R"], positive=["10R"], involved=["10R"]),
            patient("d", "N2a", "N2b", "N2a", 0.2, sampled=["4R", "3aR"], positive=["4R", "3aR"], involved=["4R"]),
            patient("e", "N2b", "N2a", "N1", 0.1, sampled=["3aL"], involved=["3aR"]),
            patient("f", "N3", "N3", None, 0.05),
        ],
        "nodes": [
            {"patient": "c", "station": "10R", "probability": 0.9, "malignant": True},
            {"patient": "a", "station": "4R", "probability": 0.2, "malignant": False},
        ],
    }


def read(evidence: dict[str, Any], **changes: Any) -> StageEvidence:
    return StageEvidence.read(evidence | changes)


def test_agreement_counts_the_patients_of_whom_a_rater_said_anything(evidence) -> None:
    study = read(evidence)
    assert study.agreement("algorithm").accuracy.value == pytest.approx(4 / 6)
    assert study.agreement("reader").accuracy.value == pytest.approx(2 / 5)
    over, under = study.predictions("algorithm").over_and_under
    assert (over.value, under.value) == (pytest.approx(1 / 6), pytest.approx(1 / 6))


def test_cuts_join_the_categories_on_either_side(evidence) -> None:
    study = read(evidence)
    positive = study.cut("reader", N.N1)
    assert (positive.true_positives, positive.false_negatives) == (2, 1)
    assert (positive.false_positives, positive.true_negatives) == (1, 1)
    mediastinal = study.cut("algorithm", N.N2)
    assert (mediastinal.true_positives, mediastinal.true_negatives, mediastinal.cases) == (3, 3, 6)


def test_nx_counts_as_the_category_furthest_from_the_truth(evidence) -> None:
    evidence["patients"][0]["called"]["algorithm"] = "NX"
    evidence["patients"][5]["called"]["algorithm"] = "NX"
    confusion = read(evidence).agreement("algorithm").as_dict()
    assert confusion["N0"]["N3"] == 1
    assert confusion["N3"]["N0"] == 1


def test_where_pathology_does_not_split_n2_nobody_is_judged_by_it(evidence) -> None:
    evidence["patients"][3]["reference"] = "N2"
    study = read(evidence)
    assert study.categories == ("N0", "N1", "N2", "N3")
    assert study.agreement("algorithm").accuracy.value == 1


def test_an_advantage_is_reckoned_on_patients_whom_both_staged(evidence) -> None:
    difference = read(evidence).advantage("reader")
    assert difference is not None
    assert difference.value == pytest.approx(3 / 5 - 2 / 5)


def test_stations_are_judged_where_pathology_has_seen_them_and_by_the_map(evidence) -> None:
    stations = read(evidence).stations()
    assert list(stations) == ["all", "3a", "4R", "7", "10R"]
    assert (stations["4R"].true_positives, stations["4R"].false_positives, stations["4R"].true_negatives) == (1, 1, 1)
    # 3aR and 3aL are one station of the map.
    assert (stations["3a"].false_negatives, stations["3a"].false_positives) == (1, 1)
    assert stations["all"].cases == 7


def test_the_likelihood_of_any_metastasis_ranks_patients(evidence) -> None:
    study = read(evidence)
    area = study.auc_of("algorithm")
    assert area is not None
    assert area.value == 1
    assert study.node_auc == 1


def test_the_verdict_says_who_was_right_more_often(evidence) -> None:
    study = read(evidence)
    assert study.verdict[0] == (
        "The algorithm's category was not shown to be right more or less often than that of reader."
    )
    assert study.verdict[1].startswith("algorithm: exact category in 4 of 6 patients, accuracy 0.67 [")
    assert study.verdict[2].startswith("reader: exact category in 2 of 5, accuracy 0.40 [")
    assert study.cautions == ("the stage was not shown to be right more often than reader.",)


def test_validation_compares_the_algorithm_with_each_reader_on_accuracy(evidence) -> None:
    found = read(evidence).validation
    (comparison,) = found.comparisons
    assert (comparison.model, comparison.baseline, comparison.measure) == ("algorithm", "reader", "accuracy")
    assert comparison.difference is not None
    assert comparison.difference.value == pytest.approx(3 / 5 - 2 / 5)
    assert not comparison.significantly_better
    assert found.cautions == ("the stage was not shown to be right more often than reader.",)


def test_validation_holds_no_number_that_json_does_not_know(evidence) -> None:
    details = json.loads(json.dumps(read(evidence).validation.details, allow_nan=False))
    assert details["agreement"]["reader"]["cuts"]["N0 | N1-3"]["sensitivity"]["value"] == pytest.approx(2 / 3)
    assert details["stations"]["7"] == {
        "sensitivity": {"value": None, "lower": None, "upper": None},
        "specificity": details["stations"]["7"]["specificity"],
        "seen": 1,
    }
    assert details["nodes"] == {"with_truth": 2, "malignant": 1, "auc": 1.0}


def test_other_evidence_is_refused(evidence) -> None:
    with pytest.raises(InvalidInputError, match="This is not the evidence of a validation of stages"):
        StageEvidence.read({**evidence, "raters": []})
