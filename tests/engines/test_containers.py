"""How docker and podman are asked to run a program."""

from __future__ import annotations

from preop.engines.containers import ContainerEngine
from tests.engines.conftest import called


def test_the_way_of_running_is_told_whatever_the_image_was_built_for(recorder, program, tmp_path):
    (tmp_path / "labels.json").write_text("{}")
    recorder.start(program, {}, tmp_path, method="exec").process.wait()
    assert "--env=PREOP_API_METHOD=exec" in called(tmp_path)


def test_a_container_is_as_strict_as_the_platform():
    assert {
        "--platform=linux/amd64",
        "--network=none",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--memory=8g",
        "--shm-size=4096m",
        "--ulimit=data=7516192768:7516192768",
        "--tmpfs=/tmp",
    } <= set(ContainerEngine("docker", ("docker",)).restrictions(memory_gb=8))
