"""The same sources give the same image: two builds, minutes or months apart, have one digest."""

import dataclasses
import os
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from preop.engines.archive import check_archive, save_image
from preop.engines.building import BUILD_OPTIONS_VARIABLE, build_image
from preop.engines.containers import ContainerEngine
from preop.engines.programs import Program
from preop.folders import sha256


def test_two_exports_of_the_same_sources_have_the_same_digest(
    container: ContainerEngine, program: Program, tmp_path: Path
) -> None:
    if container.name != "podman":
        pytest.skip("docker gives the files of an image their times only where its exporter rewrites them")
    again = dataclasses.replace(program, version=f"{program.version}-again")
    options = ["--no-cache", *shlex.split(os.environ.get(BUILD_OPTIONS_VARIABLE, ""))]
    found = []
    for number in range(2):
        (program.folder / "inference.py").touch()
        build_image(container, again, options=options)
        archive = tmp_path / f"{number}.tar.gz"
        save_image(container, again, archive)
        found.append((check_archive(archive).sha256, sha256(archive)))
        time.sleep(1.1)  # times of files are in whole seconds
    subprocess.run([*container.command, "rmi", again.image], capture_output=True, check=False)
    assert found[0] == found[1]
