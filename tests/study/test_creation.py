"""``preop new`` makes a study that keeps the contract at once."""

from pathlib import Path

import pytest

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.study import find_studies, write_study
from tests.conftest import ROOT

from . import contract

NAME, OTHER = "nodule_of_the_lung", "cyst_of_the_kidney"
LIKE = read_algorithm(ROOT / "algorithms" / "sarcoma_lung_metastasis")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Algorithm:
    """A study that the command made in a folder laid out as a checkout."""
    checkout = tmp_path_factory.mktemp("checkout")
    contract.command("new", NAME, f"--output={checkout}")
    (algorithm,) = find_studies(checkout / "algorithms")
    return algorithm


@pytest.mark.slow
def test_a_new_study_keeps_the_contract(made: Algorithm, tmp_path: Path) -> None:
    assert made.name == NAME
    contract.check_types(made)
    contract.check_figures(made)
    contract.check_damage(made, tmp_path / "model")
    contract.check_interfaces(made)
    contract.check_card(made)
    contract.check_evaluation(made, made.folder.parents[1] / "evaluation" / "ground_truth" / NAME)


@pytest.mark.slow
def test_a_new_study_simulates_and_trains_by_the_commands(made: Algorithm, tmp_path: Path) -> None:
    contract.check_commands(made, tmp_path)


@pytest.mark.slow
def test_the_cases_of_a_new_study_are_as_expected(made: Algorithm) -> None:
    assert "as expected" in contract.command("test", str(made.folder), "--engine=process")


def test_the_image_of_a_new_study_is_built_from_its_own_packages(tmp_path: Path) -> None:
    study = write_study(OTHER, tmp_path, LIKE)
    assert study.requirements != LIKE.requirements  # else the next line would hold for any
    assert f"ARG LOCK={study.requirements}\n" in (study.folder / "Dockerfile").read_text()


def test_a_new_study_goes_by_its_name_only(tmp_path: Path) -> None:
    study = write_study(OTHER, tmp_path, LIKE)
    assert study.title == "Cyst of the kidney"
    for path in (path for path in tmp_path.rglob("*") if path.is_file()):
        text = path.read_text().lower()
        assert "new_study" not in text
        assert "new study" not in text
        assert LIKE.name not in text


@pytest.mark.parametrize("name", ["Liver", "2nd", "a-b", "class", "", "../up"])
def test_a_name_that_cannot_be_a_package_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot name a study"):
        write_study(name, tmp_path, LIKE)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_and_no_package_hidden(tmp_path: Path) -> None:
    write_study(OTHER, tmp_path, LIKE)
    with pytest.raises(InvalidInputError, match="exists already"):
        write_study(OTHER, tmp_path, LIKE)
    with pytest.raises(InvalidInputError, match="A package of Python is called numpy"):
        write_study("numpy", tmp_path, LIKE)
