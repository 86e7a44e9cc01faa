"""The same small program as a server under every engine that works here."""

from __future__ import annotations

import dataclasses
import json

import pytest

from preop.engines.processes import ProcessEngine
from preop.engines.serving import serve
from preop.errors import InvalidOutputError, MissingToolError
from tests.engines.conftest import case, nothing_is_left_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("alone")]


def test_a_server_answers_case_after_case_with_folders_emptied_between(strict, program, tmp_path):
    with serve(strict, program, tmp_path) as server:
        first = server.invoke(input=case(tmp_path, "write"), output=tmp_path / "first")
        failed = server.invoke(input=case(tmp_path, "fail"), output=tmp_path / "failed")
        second = server.invoke(input=case(tmp_path, "write"), output=tmp_path / "second")
    assert (first.error, first.peak_memory_mb, second.error) == (None, 12.5, None)
    assert failed.error == "The scan is upside down."
    assert not (tmp_path / "failed").exists()
    facts = [json.loads((tmp_path / name / "images/facts.json").read_text()) for name in ("first", "second")]
    assert facts[0]["pid"] == facts[1]["pid"]
    assert facts[1]["output"] == ["images"]  # what the failed case left is gone
    assert nothing_is_left_of(strict, program)


def test_a_case_past_the_time_limit_ends_the_server(strict, program, tmp_path):
    with serve(strict, dataclasses.replace(program, time_limit_s=2), tmp_path) as server:
        late = server.invoke(input=case(tmp_path, "sleep"), output=tmp_path / "late")
        next_one = server.invoke(input=case(tmp_path, "write"), output=tmp_path / "next")
    assert late.error == "probe was stopped after 2 s, its time limit."
    assert next_one.error is not None
    assert nothing_is_left_of(strict, program)


def test_a_server_that_breaks_down_fails_its_case(strict, program, tmp_path):
    with serve(strict, program, tmp_path) as server:
        assert server.invoke(input=case(tmp_path, "crash"), output=tmp_path / "output").error == (
            "probe crashed with SIGSEGV."
        )


def test_a_server_that_does_not_start_says_why(strict, program, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/broken").touch()
    with (
        pytest.raises(InvalidOutputError, match=r"probe did not start as a server: The model is broken\."),
        serve(strict, program, tmp_path, model=tmp_path / "model"),
    ):
        pass


def test_a_server_that_is_never_ready_is_given_up(isolated, program, tmp_path):
    (program.folder / "deaf.py").write_text("import time; time.sleep(60)")
    deaf = dataclasses.replace(program, module="probe.deaf")
    with (
        pytest.raises(InvalidOutputError, match="did not answer GET /health on port 4743 with 200 within 1 s"),
        serve(isolated, deaf, program.folder, start_limit_s=1),
    ):
        pass
    assert nothing_is_left_of(isolated, deaf)


def test_a_server_whose_port_is_everybodys_is_not_started(program, tmp_path):
    with (
        pytest.raises(MissingToolError, match="probe cannot run as a server in a plain process"),
        serve(ProcessEngine(()), program, tmp_path),
    ):
        pass
