"""What clinical information becomes as features."""

from __future__ import annotations

import math

import pytest

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.values import JSON, check_value
from sarcoma_lung_metastasis.explanation import CLINICAL_LABELS
from sarcoma_lung_metastasis.features import CLINICAL, measure
from tests.conftest import ROOT

ALGORITHM = read_algorithm(ROOT / "algorithms" / "sarcoma_lung_metastasis")


def features(**known: JSON) -> dict[str, float]:
    check_value(known, ALGORITHM.input(CLINICAL), ALGORITHM.json_schemas[CLINICAL])
    return measure(Case(ALGORITHM, "p", {}, {CLINICAL: known}))


@pytest.mark.parametrize(
    ("known", "name", "value", "written"),
    [
        ({"depth": "deep"}, "deep", 1.0, "yes"),
        ({"depth": "superficial"}, "deep", 0.0, "no"),
        ({"size_mm": 100}, "log_size_mm", math.log(100), "100 mm"),
        ({"neoadjuvant_therapy": "none"}, "neoadjuvant", 0.0, "no"),
        ({"neoadjuvant_therapy": "both"}, "neoadjuvant", 1.0, "yes"),
        ({"margin": "positive"}, "margin_positive", 1.0, "yes"),
    ],
)
def test_an_item_that_is_known_is_a_feature_and_the_others_are_not_known(
    known: dict[str, JSON], name: str, value: float, written: str
) -> None:
    row = features(**known)
    assert row.keys() == CLINICAL_LABELS.keys()
    assert row[name] == pytest.approx(value)
    assert CLINICAL_LABELS[name][1](value) == written
    assert all(math.isnan(other) for other_name, other in row.items() if other_name != name)


@pytest.mark.parametrize("known", [{"size_mm": 0}, {"depth": "very"}, {"neoadjuvant_therapy": True}])
def test_what_cannot_be_is_refused(known: dict[str, JSON]) -> None:
    with pytest.raises(InvalidInputError, match="clinical-information"):
        features(**known)
