"""The same small program under every engine that works here: what it may do, and how its end is told."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from preop.engines import running
from preop.engines.base import Engine
from preop.engines.processes import ProcessEngine
from preop.engines.programs import Program
from preop.engines.workspace import deliver
from preop.errors import InvalidInputError, InvalidOutputError, MissingToolError
from tests.engines.conftest import case, nothing_is_left_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("alone")]


def run(engine: Engine, program: Program, tmp_path: Path, action: str, **more: Any) -> running.Run:
    return running.run(engine, program, input=case(tmp_path, action), output=tmp_path / "output", **more)


def facts_of(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "output/images/facts.json").read_text())


def test_a_run_tells_what_it_took_and_leaves_its_output_to_the_caller(engine, program, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    result = run(engine, program, tmp_path, "write", model=tmp_path / "model")
    assert (result.exit_code, result.error, result.peak_memory_mb) == (0, None, 12.5)
    assert 0 < result.seconds < 20
    facts = facts_of(tmp_path)
    assert facts["model"] == ["model.json"]
    assert facts["output"] == ["images"]  # it began empty
    assert (tmp_path / "output/images/facts.json").stat().st_uid == os.getuid()
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["images"]


def test_a_program_sees_a_clean_environment_and_an_empty_temporary_folder(engine, program, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAND_CHALLENGE_MAX_CONCURRENCY", "4")
    monkeypatch.setenv("SECRET", "mine")
    run(engine, program, tmp_path, "write")
    facts = facts_of(tmp_path)
    assert not {"GRAND_CHALLENGE_MAX_CONCURRENCY", "SECRET"} & facts["environment"].keys()
    # Packages of a clone below the temporary folder lie there for an isolated process, too.
    packages, temporary = Path(sys.prefix), Path(tempfile.gettempdir())
    shown = isinstance(engine, ProcessEngine) and engine.namespaces and packages.is_relative_to(temporary)
    assert facts["temporary"] == ([packages.relative_to(temporary).parts[0]] if shown else [])
    assert facts["home"] != str(Path.home())
    assert facts["model"] is None


def test_a_container_is_not_root_and_has_no_capabilities(container, program, tmp_path):
    run(container, program, tmp_path, "write")
    assert facts_of(tmp_path)["user"] == 10002
    assert facts_of(tmp_path)["capabilities"] == ["0000000000000000"]


def test_an_isolated_process_has_no_capabilities(isolated, program, tmp_path):
    run(isolated, program, tmp_path, "write")
    assert facts_of(tmp_path)["capabilities"] == ["0000000000000000"]


def test_there_is_no_network(strict, program, tmp_path):
    result = run(strict, program, tmp_path, "network")
    assert result.exit_code == 1
    assert "Network is unreachable" in result.error


def test_the_input_cannot_be_changed(strict, program, tmp_path):
    result = run(strict, program, tmp_path, "spoil")
    assert "Read-only file system" in result.error
    assert (tmp_path / "input-spoil/action.txt").read_text() == "spoil"


def test_more_data_than_the_platform_allows_cannot_be_allocated(engine, program, tmp_path):
    assert run(engine, program, tmp_path, "allocate").error == "MemoryError"


def test_the_last_line_of_stderr_is_the_error_and_nothing_half_written_stays(engine, program, tmp_path):
    result = run(engine, program, tmp_path, "fail")
    assert (result.exit_code, result.error) == (1, "The scan is upside down.")
    assert list((tmp_path / "output").iterdir()) == []


def test_results_of_an_earlier_run_stay_when_a_later_one_fails(isolated, program, tmp_path):
    run(isolated, program, tmp_path, "write")
    run(isolated, program, tmp_path, "fail")
    assert facts_of(tmp_path)["output"] == ["images"]


def test_a_silent_failure_still_gives_a_sentence(engine, program, tmp_path):
    assert run(engine, program, tmp_path, "silent").error == "probe ended with exit code 3 and did not say why."


def test_a_crash_names_its_signal(engine, program, tmp_path):
    assert run(engine, program, tmp_path, "crash").error == "probe crashed with SIGSEGV."


def test_a_killed_process_hints_at_its_memory(isolated, program, tmp_path):
    result = run(isolated, program, tmp_path, "kill")
    assert result.exit_code == 137
    assert result.error == (
        "probe was killed: by the system, if it needed more than its 2 GB of memory, or else by somebody."
    )


def test_a_container_that_outgrows_its_memory_says_so(container, program, tmp_path):
    if not container.limits_resources:
        pytest.skip("this machine does not let its containers' memory be limited")
    result = run(container, dataclasses.replace(program, memory_gb=1), tmp_path, "fill")
    assert result.error == (
        "probe was killed: by the system, if it needed more than its 1 GB of memory, or else by somebody."
    )


def test_the_time_limit_ends_a_run_with_all_it_started(engine, program, tmp_path):
    start = time.monotonic()
    result = run(engine, dataclasses.replace(program, time_limit_s=1.5), tmp_path, "sleep")
    assert time.monotonic() - start < 15
    assert result.error == "probe was stopped after 1.5 s, its time limit."
    assert list((tmp_path / "output").iterdir()) == []
    assert nothing_is_left_of(engine, program)


def test_an_interruption_ends_a_run_with_all_it_started(engine, program, tmp_path, monkeypatch):
    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.5)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(engine, program, tmp_path, "sleep")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert list((tmp_path / "output").iterdir()) == []
    assert nothing_is_left_of(engine, program)


def test_input_that_others_may_not_read_and_links_reach_a_container(container, program, tmp_path):
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("write")
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    (folder / "action.txt").symlink_to(elsewhere)
    elsewhere.chmod(0o600)
    result = running.run(container, program, input=folder, output=tmp_path / "output")
    assert result.error is None
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_caller_without_roots_powers_gets_the_output_through_a_container(container, program, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    run(container, program, tmp_path, "write")
    assert (tmp_path / "output/images/facts.json").stat().st_uid == os.getuid()


def test_a_missing_folder_is_named(program, tmp_path):
    with pytest.raises(InvalidInputError, match=r"model folder .*nowhere does not exist"):
        run(ProcessEngine(()), program, tmp_path, "write", model=tmp_path / "nowhere")


def test_an_output_folder_that_is_a_file_is_refused_before_the_run(program, tmp_path):
    (tmp_path / "output").write_text("")
    with pytest.raises(InvalidOutputError, match="cannot be written"):
        run(ProcessEngine(()), program, tmp_path, "write")


def test_a_missing_image_says_how_to_build_it(container, program, tmp_path):
    with pytest.raises(MissingToolError, match=r"no image preop/probe:9\.9\.9: build it with \./build\.sh probe"):
        run(container, dataclasses.replace(program, version="9.9.9"), tmp_path, "write")


def test_a_link_in_the_output_is_not_taken_over(tmp_path):
    result_folder = tmp_path / "work" / "output"
    result_folder.mkdir(parents=True)
    (result_folder / "score.json").symlink_to("/etc/passwd")
    with pytest.raises(InvalidOutputError, match=r"wrote score\.json, which is neither a file nor a folder"):
        deliver(result_folder, tmp_path / "output")
    assert not (tmp_path / "output").exists()
