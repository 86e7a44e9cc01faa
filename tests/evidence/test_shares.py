"""Shares of growth patterns, on five patients whose figures can be worked out on paper."""

import pytest

from preop.errors import InvalidInputError
from preop.evidence import SharesEvidence
from tests.evidence.by_hand import shares_evidence


@pytest.fixture
def study() -> SharesEvidence:
    return SharesEvidence.read(shares_evidence())


def test_error_is_the_mean_over_three_patterns_and_all_reported_metastases(study: SharesEvidence) -> None:
    assert study.shares_by("both").error is not None
    assert study.shares_by("both").error.value == 0  # type: ignore[union-attr]
    # Half of everything is (0.5 + 0.5 + 0) / 3 away from pure ones, right of the one that is half; so is the mean.
    of_part, of_mean = study.shares_by("part").error, study.cohort_mean_error
    assert of_part is not None
    assert of_mean is not None
    assert of_part.value == of_mean.value == pytest.approx(4 * (1 / 3) / 5)


def test_a_difference_is_shown_where_the_whole_interval_is_on_the_better_side(study: SharesEvidence) -> None:
    by_error = {row.baseline: row for row in study.comparisons if row.measure == "error_of_shares"}
    assert set(by_error) == {"part", "mean of the cohort"}
    assert by_error["part"].difference is not None
    assert by_error["part"].difference.value == pytest.approx(-4 / 15)
    assert by_error["part"].significantly_better


def test_patients_whose_pattern_is_not_known_are_in_no_figure_of_patients(study: SharesEvidence) -> None:
    predictions = study.patients_by("both")
    assert (predictions.cases, predictions.events) == (4, 2)
    assert predictions.auc is not None
    assert predictions.auc.value == 1
    assert predictions.brier == pytest.approx(0.01)
    validation = study.validation
    assert (validation.patients, validation.models["both"].patients) == (5, 4)
    assert validation.models["mean of the cohort"].auc is None
    assert validation.models["mean of the cohort"].baseline


def test_pure_metastases_are_those_that_are_wholly_desmoplastic(study: SharesEvidence) -> None:
    shares = study.shares_by("both")
    assert shares.is_pure.tolist() == [True, True, False, False, False]
    assert shares.pure_auc is not None
    assert shares.pure_auc.value == 1
    assert shares.predominant[0] == "desmoplastic"


def test_subgroups_are_those_that_differ(study: SharesEvidence) -> None:
    assert {
        by: {name: len(part.patients) for name, part in parts.items()} for by, parts in study.subgroups.items()
    } == {
        "size": {"under 20 mm": 4, "over 40 mm": 1},
        "centre": {"a": 2, "b": 3},
    }


def test_a_second_segmentation_is_compared_with_the_first(study: SharesEvidence) -> None:
    second = study.second
    assert second is not None
    assert second.lesions == 1
    assert second.difference is not None
    assert second.difference.value == pytest.approx(0.2)
    assert second.error is not None
    assert second.error.value == pytest.approx(0.4 / 3)
    assert second.pure_auc is None


def test_the_oracle_knows_what_patients_are_made_from(study: SharesEvidence) -> None:
    found = study.oracle_figures
    assert found == {"patient_auc": 1.0, "lesion_auc_pure": 1.0, "error_of_shares": pytest.approx(0.6 / 3)}
    assert SharesEvidence.read(shares_evidence(oracle=None)).oracle_figures is None


def test_verdict_says_what_is_shown_and_what_is_not(study: SharesEvidence) -> None:
    shares, errors, patients = study.verdict
    assert shares == (
        "The shares predicted by both together are closer to the reported ones than those of the part alone and of the mean "
        "of the cohort."
    )
    assert errors == (
        "Mean absolute error 0.000, compared with 0.267 for the part alone and 0.267 for the mean of the cohort."
    )
    assert patients == (
        "AUC of patients for non-desmoplastic growth: 1.00, compared with 0.50 for the part alone; the model was not "
        "shown to rank patients better than the part alone."
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"patient": "a2"}, "the patient a2 is there twice"),
        ({"predictions": {}}, "the patient a1 is predicted by other models than both, part"),
        ({"lesions": []}, "both predicts 1 metastases of a1, who has 0"),
        ({"non_desmoplastic": 2}, "non_desmoplastic"),
    ],
)
def test_a_patient_that_contradicts_itself_is_refused(change: dict[str, object], sentence: str) -> None:
    content = shares_evidence()
    content["patients"][0] |= change
    with pytest.raises(InvalidInputError, match=sentence):
        SharesEvidence.read(content)


def test_a_second_segmentation_of_another_metastasis_is_refused() -> None:
    content = shares_evidence()
    content["patients"][0]["second"]["labels"] = [9]
    with pytest.raises(InvalidInputError, match="the second segmentation of a1 has the label 9 alone"):
        SharesEvidence.read(content)
