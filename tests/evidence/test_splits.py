"""Repeated splits, on eight rows whose figures can be worked out on paper."""

import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from preop.errors import InvalidInputError
from preop.evidence import SplitsEvidence
from preop.statistics import corrected_resampled_t
from tests.evidence.by_hand import splits_evidence


@pytest.fixture
def study() -> SplitsEvidence:
    return SplitsEvidence.read(splits_evidence())


def test_auc_is_the_mean_of_the_splits_with_the_corrected_interval(study: SplitsEvidence) -> None:
    # Volume: rows 0 to 3 score .9 .1 .2 .8, of whom 1 and 3 have the outcome: one pair of four is wrong twice over.
    first = roc_auc_score([0, 1, 0, 1], [0.9, 0.1, 0.2, 0.8])
    assert study.auc("volume") == corrected_resampled_t([first, 0.5], training_cases=4, test_cases=4).within(0, 1)
    assert study.auc("CT").value == 1


def test_a_row_is_predicted_once_by_the_mean_of_its_splits(study: SplitsEvidence) -> None:
    predictions = study.predictions("CT")
    expected = [0.1, 0.9, (0.2 + 0.6) / 2, (0.8 + 0.7) / 2, 0.1, 0.9]
    assert predictions.scores == pytest.approx(expected)
    # Row 2 was called positive in one of its two splits: a tie counts as positive.
    assert predictions.decisions is not None
    assert predictions.decisions.tolist() == [False, True, True, True, False, True]
    assert predictions.brier == pytest.approx(brier_score_loss([0, 1, 0, 1, 0, 1], expected))


def test_use_of_a_feature_is_counted_over_the_splits(study: SplitsEvidence) -> None:
    (use,) = study.feature_use("CT")
    assert (use.share, use.log_odds, use.same_sign) == (1, 0, 0)


def test_a_comparison_that_could_not_be_made_is_stated_without_a_number() -> None:
    content = splits_evidence()
    content["models"]["SUVmax"] = content["models"]["volume"]
    found = SplitsEvidence.read(content).validation
    stated = {row.baseline: row for row in found.comparisons}
    assert stated["volume"].difference is not None
    assert stated["SUVmax"].difference is None
    assert not stated["SUVmax"].significantly_better


def test_patients_are_counted_once_however_many_rows_they_have() -> None:
    content = splits_evidence()
    content["patients"]["patient"] = ["p0", "p0", "p1", "p1", "p2", "p2", "p3", "p3"]
    found = SplitsEvidence.read(content).validation
    assert (found.patients, found.models["CT"].patients, found.models["CT"].events) == (4, 4, 4)


def test_where_nothing_is_compared_the_verdict_says_so() -> None:
    found = SplitsEvidence.read(splits_evidence(comparisons=[])).validation
    assert found.comparisons == ()
    assert found.verdict[0].startswith("No model was compared with a baseline")


def test_other_patients_are_added_by_the_name_of_their_cohort(study: SplitsEvidence) -> None:
    part = {"outcome": [0, 1, 0, 1], "patients": list("abcd"), "probabilities": [0.1, 0.9, 0.8, 0.7], "threshold": 0.5}
    assert study.with_external("hospital", {"CT": part}).external_auc("hospital", "CT").value == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda content: content.pop("runs"), "runs"),
        (lambda content: content.update(format=2), "format"),
        (lambda content: content["models"]["CT"].update(run=7), "names the run 7, where there are 2"),
        (lambda content: content["runs"][0]["splits"][0].update(rows=[0, 1, 2, 99]), "names the row 99"),
        (lambda content: content["runs"][0]["splits"][0].update(rows=[0]), "has 4 probabilities of 1 rows"),
        (lambda content: content["patients"].update(centre=["A"]), "differ in number"),
    ],
)
def test_evidence_that_contradicts_itself_is_refused(spoil, sentence) -> None:  # type: ignore[no-untyped-def]
    content = splits_evidence()
    spoil(content)
    with pytest.raises(InvalidInputError, match=sentence):
        SplitsEvidence.read(content)
