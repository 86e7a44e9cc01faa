"""Several models side by side, on patients made by hand."""

from typing import Any

import pytest

from preop.errors import InvalidInputError
from preop.evidence import ModelsEvidence
from tests.evidence.by_hand import models_evidence


def test_each_model_is_judged_by_itself() -> None:
    found = ModelsEvidence.read(models_evidence()).validation
    aucs = {name: figures.auc.value for name, figures in found.models.items() if figures.auc}
    assert aucs["card"] == 1
    assert aucs["tiles"] < 0.3
    assert found.models["count"].baseline
    assert found.details["decisions"]["card"]["accuracy"]["value"] == 1
    assert found.details["centres"]["A"]["auc"]["card"]["value"] == 1
    assert found.details["oracle_auc"] == 0.9
    assert {(row.model, row.baseline) for row in found.comparisons} == {
        ("card", "count"),
        ("tiles", "count"),
        ("combined", "count"),
        ("combined", "card"),
        ("combined", "tiles"),
    }


def test_a_model_that_is_worse_is_called_worse_and_not_better() -> None:
    evidence = ModelsEvidence.read(models_evidence())
    comparison = next(row for row in evidence.validation.comparisons if row.model == "tiles")
    assert comparison.difference is not None
    assert comparison.difference.upper is not None
    assert comparison.difference.upper < 0
    assert not comparison.significantly_better
    assert any(sentence.startswith("Tiles is worse than count alone") for sentence in evidence.verdict)


def test_opposite_models_disagree() -> None:
    (pair,) = ModelsEvidence.read(models_evidence()).agreements
    assert (pair.first, pair.second) == ("card", "tiles")
    assert pair.rank_correlation < -0.5
    assert pair.decisions.accuracy.value < 0.6


def test_a_reader_who_counts_one_more_agrees_but_for_that() -> None:
    (buds,) = ModelsEvidence.read(models_evidence()).reader_agreements
    assert buds.difference == -1
    assert buds.rank_correlation == pytest.approx(1)
    assert 0.9 < buds.intraclass < 1


def test_an_item_that_two_patients_have_been_read_for_is_not_compared() -> None:
    readings = models_evidence()["readings"][:2]
    assert ModelsEvidence.read(models_evidence(readings=readings)).reader_agreements == []


def twice(content: dict[str, Any]) -> None:
    content["patients"].append(content["patients"][0])


def stranger(content: dict[str, Any]) -> None:
    content["by_centre"]["A"][0]["patient"] = "nobody"


def one_fold(content: dict[str, Any]) -> None:
    for row in content["patients"]:
        row["fold"] = "0"


def without_a_model(content: dict[str, Any]) -> None:
    content["patients"][0]["scores"] = {"card": 0.5}


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (twice, "the patient p0 is there twice"),
        (stranger, "by_centre names the patient nobody"),
        (one_fold, "each in at least two folds"),
        (without_a_model, "the patient p0 is scored by other models"),
    ],
)
def test_evidence_that_cannot_be_is_refused(spoil: Any, sentence: str) -> None:
    content = models_evidence()
    spoil(content)
    with pytest.raises(InvalidInputError, match=sentence):
        ModelsEvidence.read(content)


def test_a_model_that_says_the_same_of_everybody_has_no_correlation() -> None:
    content = models_evidence()
    for row in content["patients"]:
        row["scores"]["card"] = 0.5
    evidence = ModelsEvidence.read(content)
    assert evidence.validation.details["agreement"][0]["rank_correlation"] is None
    assert not any("nan" in sentence for sentence in evidence.verdict)
