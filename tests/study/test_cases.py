"""Cases that were chosen to illustrate: which likelihood fits them, and the sentence that goes with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from preop.engines.submissions import BundledCase, find_test_cases
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm
from preop.study import Illustration, describe_case, find_studies, is_like_the_training
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("positive", "right", "fitting", "others"),
    [
        (True, True, [0.46, 0.9], [0.44, 0.4, 0.1]),
        (False, True, [0.34, 0.1], [0.36, 0.4, 0.9]),
        (True, False, [0.34, 0.1], [0.36, 0.9]),
        (False, False, [0.46, 0.9], [0.44, 0.1]),
    ],
)
def test_a_case_fits_where_the_model_is_clearly_right_or_wrong_as_wanted(
    positive: bool,  # noqa: FBT001
    right: bool,  # noqa: FBT001
    fitting: list[float],
    others: list[float],
) -> None:
    wanted = Illustration(positive=positive, right=right, shows="")
    assert [wanted.fits(value, threshold=0.4) for value in fitting] == [True] * len(fitting)
    assert [wanted.fits(value, threshold=0.4) for value in others] == [False] * len(others)
    assert not wanted.fits(None, threshold=0.4)


def test_what_there_is_to_see_is_read_as_it_was_written(tmp_path: Path) -> None:
    case = BundledCase(tmp_path.name, tmp_path)
    assert case.shows is None
    describe_case(tmp_path, 'Right: "N2a", 1 station.')
    assert case.shows == 'Right: "N2a", 1 station.'
    (tmp_path / "case.toml").write_text("shown = 1")
    with pytest.raises(InvalidInputError, match=r"case\.toml is not right"):
        _ = case.shows


def test_a_case_that_repeats_another_one_is_no_example(tmp_path: Path) -> None:
    case = BundledCase(tmp_path.name, tmp_path)
    assert case.is_example
    describe_case(tmp_path, "Right: N0.")
    assert case.is_example
    describe_case(tmp_path, "Right: N0.", repeats="n0")
    assert not case.is_example


@pytest.mark.parametrize("study", find_studies(ROOT / "algorithms"), ids=lambda study: study.name)
def test_the_examples_show_all_that_the_bundled_cases_show(study: Algorithm) -> None:
    cases = find_test_cases(study.folder)
    assert {case.shows for case in cases if case.is_example} == {case.shows for case in cases}


def test_a_patient_is_like_the_training_where_the_explanation_says_so() -> None:
    assert is_like_the_training(
        {"likelihood": 0.4, "explanation": {"likeness_to_training": {"like_training_patients": True}}}
    )
    assert not is_like_the_training({"explanation": {"likeness_to_training": {"like_training_patients": False}}})
    assert not is_like_the_training({"likelihood": 0.4})
