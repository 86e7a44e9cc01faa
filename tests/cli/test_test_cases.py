"""``preop test`` passes what is as expected, and fails, with exit code 1, on everything that is not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import SimpleITK as sitk

from preop.engines.processes import ProcessEngine
from preop.engines.programs import algorithm_program
from preop.engines.running import run
from preop.grandchallenge.algorithm import Algorithm
from tests.conftest import ROOT, scan_of

pytestmark = pytest.mark.slow


@pytest.fixture
def case(toy: Algorithm, toy_model: Path, lay_out: Callable[..., Path], tmp_path: Path) -> Path:
    """The toy algorithm's only test case, which expects what the algorithm gives."""
    case = toy.folder / "test" / "case"
    shutil.move(toy_model, toy.folder / "model")
    shutil.copytree(lay_out(toy, scan=scan_of()), case / "input")
    done = run(
        ProcessEngine(()),
        algorithm_program(toy),
        input=case / "input",
        output=case / "expected",
        model=toy.folder / "model",
    )
    assert done.error is None
    (case.parent / "tolerance.toml").write_text("relative = 1e-6\n")
    return case


def preop_test(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from preop.cli import main; main()", "test", str(folder), "--engine=process"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},  # no sentence of the table is broken
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def only_image_in(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def change_a_number(case: Path) -> None:
    path = case / "expected/score.json"
    path.write_text(json.dumps(json.loads(path.read_text()) + 1e-3))


def shift_an_origin(case: Path) -> None:
    path = str(only_image_in(case / "expected/images/regions"))
    image = sitk.ReadImage(path)
    image.SetOrigin([10.5, -20.0, 30.0])
    sitk.WriteImage(image, path)


def expect_one_more(case: Path) -> None:
    shutil.copy(case / "expected/score.json", case / "expected/second_score.json")


def forget_an_output(case: Path) -> None:
    program = case.parents[1] / "inference.py"
    program.write_text(program.read_text().replace('"score": float', '"": float'))


def test_what_is_as_expected_passes(case: Path) -> None:
    done = preop_test(case.parents[1])
    assert done.returncode == 0, done.stderr
    assert "as expected" in done.stdout


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_a_number, "score.json"),
        (shift_an_origin, "origin"),
        (expect_one_more, "second_score.json is missing"),
        (forget_an_output, "score"),
    ],
)
def test_a_difference_ends_with_exit_code_1(case: Path, change: Callable[[Path], None], told: str) -> None:
    change(case)
    done = preop_test(case.parents[1])
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "1 of 1 test cases are not as expected."
    assert told in done.stdout
