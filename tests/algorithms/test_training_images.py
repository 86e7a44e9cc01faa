"""The shipped models say which images they have learned from, and patients of their training are found by these."""

from pathlib import Path

import pytest

from preop.cli import repository
from preop.cohort import read_cohort
from preop.cohort.overlap import TRAINING_IMAGES_FILE, find_overlap
from preop.folders import Contents
from preop.study import make_importable, read_model_info, simulation_of


@pytest.mark.parametrize("name", [study.name for study in repository.studies()])
def test_a_shipped_model_says_which_images_it_has_learned_from(name: str) -> None:
    study = repository.find_algorithm(name)
    assert TRAINING_IMAGES_FILE in read_model_info(study.folder / "model", study, None).files


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(("seed", "among"), [(1, 2), (2, 0)])
def test_training_patients_of_the_liver_study_are_found_in_another_table(seed: int, among: int, tmp_path: Path) -> None:
    """The first two of its 200 patients, drawn again under other names, and two of another seed."""
    study = repository.find_algorithm("liver_growth_pattern")
    make_importable(study.folder)
    simulation_of(study).simulate(2, seed, tmp_path, lambda *_: None)
    cohort = read_cohort(tmp_path / "cohort.csv", study)
    model = study.folder / "model"
    overlap = find_overlap(cohort, model, read_model_info(model, study, None), Contents())
    assert overlap.stated
    assert len(overlap.patients) == among
    assert overlap.sentence.startswith("All 2 patients are ones the model was trained on") is (among == 2)
