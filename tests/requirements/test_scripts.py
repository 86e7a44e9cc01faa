"""What the scripts at the top say where they cannot do their work."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from preop.study import find_studies

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("script", ["build.sh", "export.sh"])
def test_without_an_engine_nothing_is_installed(script: str, tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / script, tmp_path)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements/install.sh").write_text("#!/bin/sh\nmkdir .venv\n")
    (tmp_path / "requirements/install.sh").chmod(0o755)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("bash", "dirname", "env", "mkdir", "sh"):
        (tools / name).symlink_to(str(shutil.which(name)))
    done = subprocess.run(
        [str(tools / "bash"), script],
        cwd=tmp_path,
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Images need docker or podman, and neither works here")
    assert not (tmp_path / ".venv").exists()


def pins(lock: str) -> set[str]:
    """Packages of a lock with their versions."""
    return set(re.findall(r"^[\w.-]+==\S+", (REPOSITORY / "requirements" / f"{lock}.txt").read_text(), re.MULTILINE))


def test_a_bundle_holds_what_runs_evaluates_and_trains_every_algorithm() -> None:
    default = re.search(r"then set -- (.*); fi", (REPOSITORY / "bundle.sh").read_text())
    assert default is not None
    bundled = set().union(*map(pins, default[1].split()))
    run = {study.requirements for study in find_studies(REPOSITORY / "algorithms")}
    for lock in {*run, "imaging", "evaluation", "training", "learning", "pathology"}:
        assert pins(lock) <= bundled, lock
