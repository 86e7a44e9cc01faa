"""``preop run`` on files as they are: the options follow from the sockets, and mean what the columns of a cohort mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from preop.cli.case_files import input_options
from preop.cli.commands import app
from preop.cohort.inputs import case_of_inputs, input_columns
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm
from preop.study import find_studies
from tests.conftest import ROOT, scan_of

Ran = Callable[..., tuple[int, str]]


@pytest.fixture
def ran(toy: Algorithm, toy_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Type `preop run` with the toy algorithm; give the exit code and what was said."""
    monkeypatch.chdir(tmp_path)
    sitk.WriteImage(scan_of(), "scan.nii.gz")
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 1:3], labels[2, 3] = 1, 2
    mask = sitk.GetImageFromArray(labels)
    mask.CopyInformation(scan_of())
    sitk.WriteImage(mask, "mask.nrrd")

    def run(*words: str) -> tuple[int, str]:
        command = ["run", str(toy.folder), *words, "--model", str(toy_model), "--engine", "process"]
        done = CliRunner().invoke(app, command)
        return done.exit_code, str(done.exception) if isinstance(done.exception, Exception) else done.output

    return run


@pytest.mark.slow
def test_files_give_what_the_platforms_layout_gives(
    ran: Ran, toy: Algorithm, lay_out: Callable[..., Path], tmp_path: Path
) -> None:
    code, said = ran(
        "--scan", "scan.nii.gz", "--mask", "mask.nrrd", "--mask-label", "2", "--age", "61", "--output", "a"
    )
    assert (code, said.splitlines()[-1]) == (0, "Case page: a/case.html")
    lay_out(toy, scan=scan_of())
    assert ran("--input", "input", "--output", "b")[0] == 0
    assert json.loads(Path("a/score.json").read_text()) == json.loads(Path("b/score.json").read_text())
    assert sorted(path.name for path in Path("a").iterdir()) == ["case.html", "images", "score.json"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--output", "a"], "No case is named. Name its files: --scan FILE; preop run toy --help lists all of them."),
        (["--input", "x", "--scan", "y", "--output", "a"], "A case is named by --input, or by its files: give one of both."),
        (["--scan", "no.nii", "--output", "a"], "scan: there is no file no.nii."),
        (["--scan", "scan.nii.gz", "--age", "old", "--output", "a"], "age of scan is 'old'; expected a number."),
        (["--scan", "scan.nii.gz", "--mask-label", "2", "--output", "a"], "mask_label names a region of a file that is not given."),
        (["--mask", "mask.nrrd", "--output", "a"], "The inputs mask are not a combination that toy accepts"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_case_is_told_in_a_sentence_before_anything_runs(
    ran: Ran, words: list[str], sentence: str
) -> None:
    code, said = ran(*words)
    assert code == 1
    assert said.startswith(sentence)
    assert not Path("a").exists()


def test_an_option_that_is_not_the_algorithms_is_refused(ran: Ran) -> None:
    code, said = ran("--pet-image", "scan.nii.gz", "--output", "a")
    assert code == 2
    assert "No such option: --pet-image" in " ".join(said.split())


def test_the_values_and_the_region_reach_the_case(ran: Ran, toy: Algorithm) -> None:
    given = {"scan": "scan.nii.gz", "mask": "mask.nrrd", "mask_label": "2", "age": "61", "sex": "female"}
    case = case_of_inputs(toy, given, mpp=0.25)
    assert case.value("facts") == {"age": 61, "sex": "female"}
    assert case.mask("mask").voxels.sum() == 6
    assert (case.name, case.um_per_pixel) == ("scan", 0.25)


@pytest.mark.parametrize("study", find_studies(ROOT / "algorithms"), ids=lambda study: study.name)
def test_each_algorithm_shows_all_its_inputs_and_none_hides_an_option_of_the_command(study: Algorithm) -> None:
    shown = CliRunner(env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"}).invoke(app, ["run", study.name, "--help"]).output
    names = {name for option in input_options(study) for name in option.opts}
    assert len(names) == len(input_columns(study))
    assert not names & {"--input", "--output", "--model", "--engine", "--mpp", "--trust-model", "--help"}
    assert all(name in shown for name in names)


def test_a_misspelt_algorithm_is_told_before_its_options() -> None:
    done = CliRunner().invoke(app, ["run", "lung_nodal_stag", "--chest-ct", "x", "--output", "y"])
    assert isinstance(done.exception, InvalidInputError)
    assert str(done.exception).startswith("There is no algorithm lung_nodal_stag (did you mean lung_nodal_stage?)")
