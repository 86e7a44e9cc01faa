"""The digest of a program's sources changes with what its image is made of, and with nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from preop.engines.programs import Program, sources_digest

INSIDE = [
    "pyproject.toml",
    "requirements/imaging.in",
    "requirements/imaging.txt",
    "shared/src/preop/model/heads.py",
    "algorithms/x/Dockerfile",
    "algorithms/x/inference.py",
    "algorithms/x/parts/model/layers.py",
]
OUTSIDE = [
    "requirements/learning.txt",
    "shared/src/preop/__pycache__/heads.pyc",
    "shared/src/preop.egg-info/SOURCES.txt",
    "algorithms/x/model/weights.json",
    "algorithms/x/test/case/input/inputs.json",
    "algorithms/x/ground_truth/reference.csv",
    "algorithms/y/inference.py",
    "tests/test_x.py",
]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    for name in (*INSIDE, *OUTSIDE):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before")
    folder = tmp_path / "algorithms" / "x"
    return Program("x", "X", "1.0.0", "x.inference", folder, tmp_path, "imaging", memory_gb=1, time_limit_s=1)


@pytest.mark.parametrize("name", INSIDE)
def test_what_enters_the_image_counts(program, name):
    before = sources_digest(program)
    (program.repository / name).write_text("after")
    changed = sources_digest(program)
    (program.repository / name).unlink()
    assert len({before, changed, sources_digest(program)}) == 3


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_stays_outside_does_not_count(program, name):
    before = sources_digest(program)
    (program.repository / name).write_text("after")
    assert sources_digest(program) == before


def test_a_new_name_for_the_same_content_counts(program):
    before = sources_digest(program)
    (program.folder / "inference.py").rename(program.folder / "predict.py")
    assert sources_digest(program) != before


def test_the_same_files_elsewhere_have_the_same_digest(program, tmp_path):
    before = sources_digest(program)
    moved = program.repository.rename(tmp_path.parent / f"{tmp_path.name}-moved")
    elsewhere = Program(**{**vars(program), "repository": moved, "folder": moved / "algorithms" / "x"})
    assert sources_digest(elsewhere) == before
