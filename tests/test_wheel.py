"""What `pip install .` brings is all of it: library, algorithms with their models, evaluation."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_library_algorithms_and_evaluation(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
    subprocess.run([*build, str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("preop-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    folders = ("shared/src/preop", "algorithms", "evaluation")
    tracked = subprocess.run(
        ["git", "ls-files", *folders], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    expected = {
        name.removeprefix("shared/src/") if name.startswith("shared/src/") else f"preop/bundled/{name}"
        for name in tracked
        if not Path(name).name.startswith(".")
    }
    assert len(expected) > 300
    assert expected <= held
