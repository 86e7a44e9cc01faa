"""Which engine runs a program: a container only where its image was built from the sources as they are now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preop.engines import choosing
from preop.engines.building import build_image
from preop.engines.choosing import engine_for, find_engine
from preop.engines.containers import SOURCES_LABEL, ContainerEngine
from preop.engines.programs import Program
from preop.errors import MissingToolError
from tests.engines.conftest import called

STALE = r"docker's image preop/x:1\.0\.0 was built from other sources: build it again with \./build\.sh x"


def test_an_engine_that_does_not_work_is_refused_with_advice(monkeypatch):
    monkeypatch.setattr(choosing, "find_docker", lambda: None)
    with pytest.raises(MissingToolError, match="docker cannot run containers on this machine: start its daemon"):
        find_engine("docker")


def test_without_containers_auto_is_a_process_that_says_what_is_open(monkeypatch):
    monkeypatch.setattr(choosing, "find_docker", lambda: None)
    monkeypatch.setattr(choosing, "find_podman", lambda: None)
    monkeypatch.setattr(choosing, "working_namespaces", tuple)
    assert "the network is open" in find_engine("auto").isolation


@pytest.fixture
def program(tmp_path: Path) -> Program:
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "Dockerfile").touch()
    return Program("x", "X", "1.0.0", "x.inference", folder, tmp_path, "imaging", memory_gb=1, time_limit_s=1)


@pytest.fixture
def docker(recorder: ContainerEngine, monkeypatch: pytest.MonkeyPatch) -> ContainerEngine:
    """The stand-in as the docker of this machine."""
    monkeypatch.setattr(choosing, "find_docker", lambda: recorder)
    return recorder


def build(docker: ContainerEngine, program: Program, tmp_path: Path) -> None:
    """Build, and let the stand-in have the image with the labels that it was given."""
    build_image(docker, program, options=[])
    labels = [word.removeprefix("--label=") for word in called(tmp_path) if word.startswith("--label=")]
    (tmp_path / "labels.json").write_text(json.dumps(dict(label.split("=", 1) for label in labels)))


@pytest.mark.parametrize("choice", ["auto", "docker"])
def test_a_container_runs_what_was_built_from_these_sources(docker, program, tmp_path, choice):
    build(docker, program, tmp_path)
    assert engine_for(program, choice) is docker


def test_after_a_change_auto_takes_a_process_and_says_why(docker, program, tmp_path):
    build(docker, program, tmp_path)
    (program.folder / "inference.py").write_text("print()")
    chosen = engine_for(program)
    assert chosen.name == "process"
    assert chosen.isolation.endswith(f"({STALE})".replace("\\", ""))
    build(docker, program, tmp_path)
    assert engine_for(program) is docker


def test_after_a_change_the_engine_that_was_asked_for_refuses(docker, program, tmp_path):
    build(docker, program, tmp_path)
    (program.folder / "inference.py").write_text("print()")
    with pytest.raises(MissingToolError, match=STALE):
        engine_for(program, "docker")


@pytest.mark.parametrize("labels", ["null", "{}", json.dumps({SOURCES_LABEL: ""})])
def test_an_image_that_does_not_say_its_sources_is_refused(docker, program, tmp_path, labels):
    (tmp_path / "labels.json").write_text(labels)
    with pytest.raises(MissingToolError, match=STALE):
        engine_for(program, "docker")


def test_without_an_image_auto_takes_a_process_and_another_choice_refuses(docker, program):
    missing = "docker has no image preop/x:1.0.0: build it with ./build.sh x"
    assert missing in engine_for(program).isolation
    with pytest.raises(MissingToolError) as refused:
        engine_for(program, "docker")
    assert str(refused.value) == missing


def test_an_isolated_process_that_was_asked_for_needs_no_reason(docker, program):
    assert "build it" not in engine_for(program, "process").isolation
