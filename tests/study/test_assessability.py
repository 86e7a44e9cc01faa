"""Whether a case could be assessed, and how sure an answer may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from preop.grandchallenge.algorithm import Algorithm
from preop.study import Assessability, read_model_info, supported


@pytest.mark.parametrize(
    ("prevents", "limits", "verdict"),
    [([], [], "yes"), ([], ["thick slices"], "limited"), (["no lung"], ["thick slices"], "no")],
)
def test_the_worst_reason_decides(prevents: list[str], limits: list[str], verdict: str) -> None:
    found = Assessability(prevents, limits).to_json()
    assert found == {"assessable": verdict, "assessable_reasons": [*prevents, *limits]}


def test_no_likelihood_is_surer_than_the_validation(toy: Algorithm, toy_model: Path) -> None:
    info = read_model_info(toy_model, toy)  # validated on one patient: a third is as far as that goes
    assert supported(0.0, info) == pytest.approx(1 / 3)
    assert supported(1.0, info) == pytest.approx(2 / 3)
    assert supported(0.5, info) == 0.5
