"""What an engine is asked for when it builds."""

from __future__ import annotations

import dataclasses

import pytest

from preop.engines.building import build_image
from preop.errors import InvalidInputError, MissingToolError
from tests.engines.conftest import called


def test_a_build_takes_base_image_and_options_from_the_environment(recorder, program, tmp_path, monkeypatch):
    monkeypatch.setenv("PREOP_BASE_IMAGE", "hospital/python:3.11")
    monkeypatch.setenv("PREOP_BUILD_OPTIONS", "--network=host --secret 'id=pip,src=/my folder/pip.conf'")
    build_image(recorder, program, api_method="invoke")
    words = called(tmp_path)
    assert {"--build-arg=BASE_IMAGE=hospital/python:3.11", "--build-arg=API_METHOD=invoke"} <= set(words)
    assert {"--network=host", "id=pip,src=/my folder/pip.conf", f"--tag={program.image}"} <= set(words)
    assert words[-1] == str(program.repository)


def test_a_build_leaves_the_dockerfiles_own_base_image_alone(recorder, program, tmp_path, monkeypatch):
    monkeypatch.delenv("PREOP_BASE_IMAGE", raising=False)
    build_image(recorder, program, options=[])
    assert not [word for word in called(tmp_path) if "BASE_IMAGE" in word]


def test_a_failed_build_names_image_and_exit_code(recorder, program):
    with pytest.raises(MissingToolError, match=rf"could not build {program.image} \(exit code 7\)"):
        build_image(recorder, program, options=["--fail"])


def test_build_options_with_an_open_quote_are_refused(recorder, program, monkeypatch):
    monkeypatch.setenv("PREOP_BUILD_OPTIONS", "--secret 'id")
    with pytest.raises(InvalidInputError, match="PREOP_BUILD_OPTIONS"):
        build_image(recorder, program)


def test_the_evaluation_is_no_server_and_says_so_before_anything_is_built(recorder, program, tmp_path):
    with pytest.raises(InvalidInputError, match="probe runs once for a submission and cannot serve"):
        build_image(recorder, dataclasses.replace(program, serves=False), api_method="invoke", options=[])
    assert not (tmp_path / "called").exists()
