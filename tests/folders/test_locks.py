"""Two runs never work in one folder, and a killed one leaves no lock."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from preop.errors import InvalidOutputError
from preop.folders import locked

HOLDER = """
import sys, time
from pathlib import Path
from preop.folders import locked
with locked(Path(sys.argv[1])):
    (Path(sys.argv[1]) / ".partial-half").write_text("half")
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


def test_another_run_is_told_with_its_process_and_time(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(InvalidOutputError) as caught, locked(tmp_path):
        pass
    assert re.search(
        rf"Another run is at work in .* \(process {holder.pid}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d",
        str(caught.value),
    )
    assert (tmp_path / ".partial-half").exists()


def test_a_run_that_waits_begins_when_the_other_has_ended(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    ended = threading.Timer(0.5, holder.kill)
    ended.start()
    with locked(tmp_path, wait=True):
        assert holder.wait() == -signal.SIGKILL


def test_a_killed_run_leaves_neither_lock_nor_half_a_file(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locked(tmp_path):
        assert not (tmp_path / ".partial-half").exists()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_can_be_locked_again_after_the_run(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "new"), pytest.raises(InvalidOutputError), locked(tmp_path / "new"):
            pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidOutputError, match="cannot be written"), locked(tmp_path / "file" / "below"):
        pass
