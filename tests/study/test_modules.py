"""A study whose modules break the contract is refused with a sentence that says where."""

from pathlib import Path

import pytest

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.study import find_studies, make_importable, page_of, simulation_of, training_of
from tests.conftest import TOY_TOML


def study(folder: Path, name: str, module: str, text: str) -> Algorithm:
    place = folder / name
    place.mkdir(parents=True)
    (place / "algorithm.toml").write_text(TOY_TOML.replace('name = "toy"', f'name = "{name}"'))
    (place / f"{module}.py").write_text(text)
    return read_algorithm(place)


@pytest.mark.parametrize(
    ("name", "simulate", "sentence"),
    [
        ("without_function", "", "simulation has no simulate; docs/studies.md"),
        ("other_order", "def simulate(seed, patients, output, progress): ...", r"takes \(seed, patients, output, prog"),
        ("wants_more", "def simulate(patients, seed, output, progress, centre, small=False): ...", "wants centre too"),
        ("never_small", "def simulate(patients, seed, output, progress): ...", "has no option small"),
    ],
)
def test_a_simulation_that_cannot_be_called_is_refused(tmp_path: Path, name: str, simulate: str, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        simulation_of(study(tmp_path, name, "simulation", simulate))


def test_options_of_a_study_are_its_own_business(tmp_path: Path) -> None:
    text = "def simulate(patients, seed, output, progress, *, centre='A', small=False): return patients"
    simulation = simulation_of(study(tmp_path, "with_options", "simulation", text))
    assert simulation.simulate(3, 0, tmp_path, print) == 3  # type: ignore[func-returns-value]


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"no_training has no training\.py"):
        training_of(study(tmp_path, "no_training", "simulation", ""))


def test_a_page_may_be_missing_but_not_take_other_parameters(tmp_path: Path) -> None:
    assert page_of(study(tmp_path, "without_page", "inference", "")) is None
    with pytest.raises(InvalidInputError, match=r"page\.case_page takes \(case\); expected \(case, outputs\)"):
        page_of(study(tmp_path, "wrong_page", "page", "def case_page(case): ..."))


def test_two_studies_of_one_name_do_not_hide_each_other(tmp_path: Path) -> None:
    first = study(tmp_path / "a", "of_one_name", "inference", "")
    second = study(tmp_path / "b", "of_one_name", "inference", "")
    make_importable(first.folder)
    with pytest.raises(InvalidInputError, match="already goes by the name of_one_name"):
        make_importable(second.folder)


def test_studies_are_found_by_their_description(tmp_path: Path) -> None:
    study(tmp_path, "second", "inference", "")
    study(tmp_path, "first", "inference", "")
    (tmp_path / "notes").mkdir()
    assert [each.name for each in find_studies(tmp_path)] == ["first", "second"]
