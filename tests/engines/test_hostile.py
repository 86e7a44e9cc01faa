"""A program that tries to get out of an isolated process, and what a process without namespaces does not keep."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from preop.engines import running
from preop.engines.base import Engine
from preop.engines.processes import ProcessEngine
from preop.engines.programs import Program
from preop.engines.running import Run
from preop.engines.sandbox import OWN_PROCESSES
from tests.engines.hostile import PROBE

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("alone")]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The probe, with 1 GiB of memory."""
    root = tmp_path_factory.mktemp("repository")
    (root / "hostile").mkdir()
    (root / "hostile/inference.py").write_text(PROBE)
    folder = root / "hostile"
    return Program("hostile", "Hostile", "0.0.1", "hostile.inference", folder, root, "imaging", 1, time_limit_s=60)


def attempt(engine: Engine, hostile: Program, folder: Path, *attempts: tuple[str, Any]) -> tuple[Run, dict[str, str]]:
    """Let the probe try, and give how its run ended and what came of each attempt that it could tell of."""
    (folder / "input").mkdir(exist_ok=True)
    (folder / "input/attempts.json").write_text(json.dumps(attempts))
    result = running.run(engine, hostile, input=folder / "input", output=folder / "output")
    told = folder / "output/results.json"
    return result, json.loads(told.read_text()) if told.exists() else {}


@contextmanager
def listening(address: str) -> Iterator[None]:
    """A server of this machine at a Unix socket, such as docker's."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        server.settimeout(0.1)
        done = threading.Event()

        def answer() -> None:
            while not done.is_set():
                try:
                    link, _ = server.accept()
                except TimeoutError:
                    continue
                with link:
                    link.sendall(b"here I am")

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        done.set()
        thread.join()


@pytest.fixture(scope="module")
def answers(isolated: ProcessEngine, hostile: Program, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of every attempt to reach what is outside."""
    folder, outside = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    name = f"preop-hostile-{os.getpid()}"
    with listening(str(outside / "socket")), listening(f"\0{name}"):
        result, told = attempt(
            isolated,
            hostile,
            folder,
            ("talk_to_a_socket", str(outside / "socket")),
            ("reach_an_abstract_socket", name),
            ("read", str(outside / "secret")),
            ("write", str(outside)),
            ("write_where_all_may", None),
            ("change_a_setting_of_the_kernel", None),
            ("signal_another_process", os.getpid()),
            ("see_another_process", os.getpid()),
            ("make_the_input_writable", None),
            ("uncover_what_lies_below", None),
            ("become_root_in_a_namespace", str(outside / "secret")),
            ("make_a_device", None),
            ("open_the_first_process", None),
            ("stop_the_watch", None),
        )
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


@pytest.mark.parametrize(
    ("name", "gigabytes"), [("share_pages", 1.5), ("share_it_out_among_children", 0.8)], ids=["shared", "children"]
)
def test_memory_counts_whoever_took_it(
    isolated: ProcessEngine, hostile: Program, tmp_path: Path, name: str, gigabytes: float
) -> None:
    result, told = attempt(isolated, hostile, tmp_path, (name, gigabytes))
    assert not told
    assert result.exit_code == 137
    assert "The program and all that it started take" in result.stderr
    assert "expected at most 1 GiB" in result.stderr


def test_shared_memory_is_half_of_the_memory(isolated: ProcessEngine, hostile: Program, tmp_path: Path) -> None:
    _, told = attempt(isolated, hostile, tmp_path, ("fill_shared_memory", 1.5))
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


def _sleepers() -> list[str]:
    until = time.monotonic() + 2
    listing = ["pgrep", "-f", "sleep[(]47.11"]
    while found := subprocess.run(listing, capture_output=True, text=True, check=False).stdout.split():
        if time.monotonic() > until:
            return found
        time.sleep(0.1)
    return []
