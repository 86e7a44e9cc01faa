"""Every study of the checkout keeps the contract; one that is added is found by its ``algorithm.toml``."""

from __future__ import annotations

from pathlib import Path

import pytest

from preop.grandchallenge.algorithm import Algorithm
from preop.study import find_studies
from tests.conftest import ROOT

from . import contract

STUDIES = find_studies(ROOT / "algorithms")

FREE_FORM: dict[str, tuple[str, ...]] = {
    # Groups that a cohort happens to have: sizes, centres, who segmented.
    "liver_growth_pattern": ("validation.details.subgroups", "validation.details.subgroups.*"),
}
"""Entries of ``model.json`` whose elements may be fewer, because they are as many as the cohort has."""

each_study = pytest.mark.parametrize("algorithm", STUDIES, ids=lambda algorithm: algorithm.name)


def test_there_are_studies() -> None:
    assert len(STUDIES) >= 5
    assert FREE_FORM.keys() <= {algorithm.name for algorithm in STUDIES}


@each_study
def test_its_modules_have_the_types_of_the_contract(algorithm: Algorithm) -> None:
    contract.check_types(algorithm)


@each_study
def test_the_figures_of_its_model_are_valid(algorithm: Algorithm) -> None:
    contract.check_figures(algorithm)


@pytest.mark.slow
@each_study
def test_a_model_with_a_damaged_entry_is_refused_when_it_is_loaded(algorithm: Algorithm, tmp_path: Path) -> None:
    contract.check_damage(algorithm, tmp_path / "model", FREE_FORM.get(algorithm.name, ()))


@pytest.mark.slow
@each_study
def test_every_interface_runs_or_is_refused(algorithm: Algorithm) -> None:
    contract.check_interfaces(algorithm)


@each_study
def test_its_model_card_names_every_socket(algorithm: Algorithm) -> None:
    contract.check_card(algorithm)


@each_study
def test_the_evaluation_knows_every_bundled_case(algorithm: Algorithm) -> None:
    contract.check_evaluation(algorithm, ROOT / "evaluation" / "ground_truth" / algorithm.name)


@pytest.mark.slow
@each_study
def test_the_commands_simulate_and_train(algorithm: Algorithm, tmp_path: Path) -> None:
    contract.check_commands(algorithm, tmp_path)
