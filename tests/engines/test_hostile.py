"""A program that tries to get out of an isolated process, and what a process without namespaces does not keep."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from preop.engines.processes import ProcessEngine
from preop.engines.programs import Program
from preop.engines.sandbox import OWN_PROCESSES
from tests.engines.hostile import MEMORY, attempt, hostile_program, listening, ways_out

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("alone")]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return hostile_program(tmp_path_factory.mktemp("repository"))


@pytest.fixture(scope="module")
def answers(isolated: ProcessEngine, hostile: Program, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of every attempt to reach what is outside."""
    folder, outside = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("outside")
    with ways_out(outside) as attempts:
        result, told = attempt(isolated, hostile, folder, *attempts)
    assert result.error is None, result.stderr
    told["planted"] = str(sorted(path.name for path in outside.iterdir()))
    return told


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("talk_to_a_socket", "FileNotFoundError"),
        ("reach_an_abstract_socket", "ConnectionRefusedError"),
        ("read", "FileNotFoundError"),
        ("write", "FileNotFoundError"),
        ("planted", "['secret', 'socket']"),
        ("change_a_setting_of_the_kernel", "Read-only file system"),
        ("see_another_process", "not seen"),
        ("make_the_input_writable", "PermissionError"),
        ("uncover_what_lies_below", "PermissionError"),
        ("become_root_in_a_namespace", "refused"),
        ("make_a_device", "Operation not permitted"),
        ("open_the_first_process", "PermissionError"),
    ],
)
def test_nothing_outside_is_reached(answers: dict[str, str], name: str, expected: str) -> None:
    assert expected in answers[name]


def test_a_process_number_means_another_process_inside_or_none(answers: dict[str, str]) -> None:
    assert answers["signal_another_process"] in {"ProcessLookupError: No such process", "reached"}
    assert answers["see_another_process"] == "not seen" or answers["signal_another_process"] == "reached"


def test_what_all_may_write_is_the_programs_own(answers: dict[str, str]) -> None:
    assert answers["write_where_all_may"] == "done"
    for place in ("/tmp", "/var/tmp", "/dev/shm", "/run", "/run/lock"):  # noqa: S108 - that nothing was left there
        assert not (Path(place) / "preop-hostile-probe").exists()


def test_the_watch_cannot_be_stopped(answers: dict[str, str]) -> None:
    assert answers["stop_the_watch"] == "asked"  # and the run went on to tell of it


@pytest.mark.parametrize(("name", "gigabytes"), MEMORY[1:], ids=["without a name", "segments", "shared", "children"])
def test_memory_counts_whoever_took_it(
    isolated: ProcessEngine, hostile: Program, tmp_path: Path, name: str, gigabytes: float
) -> None:
    result, told = attempt(isolated, hostile, tmp_path, (name, gigabytes))
    assert not told
    assert result.exit_code == 137
    assert "The program and all that it started take" in result.stderr
    assert "expected at most 1 GiB" in result.stderr


def test_shared_memory_is_half_of_the_memory(isolated: ProcessEngine, hostile: Program, tmp_path: Path) -> None:
    _, told = attempt(isolated, hostile, tmp_path, MEMORY[0])
    assert told["fill_shared_memory"] == "OSError: No space left on device"


@pytest.mark.parametrize("kind", ["isolated", "sees other processes", "plain"])
def test_nothing_outlives_a_run(isolated: ProcessEngine, hostile: Program, tmp_path: Path, kind: str) -> None:
    spaces = isolated.namespaces
    without_processes = tuple(name for name in spaces if name != OWN_PROCESSES)
    engine = ProcessEngine({"isolated": spaces, "sees other processes": without_processes, "plain": ()}[kind])
    result, told = attempt(engine, hostile, tmp_path, ("outlive", None))
    assert result.error is None
    assert told["outlive"] == "left one behind"
    assert not _sleepers()


def test_a_process_without_namespaces_says_what_it_does_not_keep(hostile: Program, tmp_path: Path) -> None:
    plain = ProcessEngine(())
    with listening(str(tmp_path / "socket")):
        _, told = attempt(plain, hostile, tmp_path, ("talk_to_a_socket", str(tmp_path / "socket")))
    assert told["talk_to_a_socket"] == "answered: here I am"
    assert "can read, change and talk to whatever you can" in plain.isolation


def test_memory_of_children_counts_without_namespaces_too(hostile: Program, tmp_path: Path) -> None:
    result, _ = attempt(ProcessEngine(()), hostile, tmp_path, ("share_it_out_among_children", 0.8))
    assert result.exit_code == 137


def test_memory_without_a_name_counts_without_namespaces_too(hostile: Program, tmp_path: Path) -> None:
    result, _ = attempt(ProcessEngine(()), hostile, tmp_path, MEMORY[1])
    assert result.exit_code == 137


def _sleepers() -> list[str]:
    until = time.monotonic() + 2
    listing = ["pgrep", "-f", "sleep[(]47.11"]
    while found := subprocess.run(listing, capture_output=True, text=True, check=False).stdout.split():
        if time.monotonic() > until:
            return found
        time.sleep(0.1)
    return []
