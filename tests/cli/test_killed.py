"""What a killed run (kill -9) leaves is cleaned up by the next one, for every command; no program outlives it."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from preop.cli import commands, examples, repository
from preop.engines.processes import working_namespaces
from preop.errors import InvalidInputError, InvalidOutputError
from preop.folders import LOCK_FILE, is_empty, locked, was_killed
from preop.grandchallenge.algorithm import Algorithm
from preop.study import find_studies, read_model_info, remove_killed_study, write_model, write_study
from tests.conftest import ROOT, scan_of

PREOP = [sys.executable, "-c", "from preop.cli import main; main()"]
SLEEPING = """
import time
from pathlib import Path
from preop.grandchallenge.runtime import run_algorithm

def load_model(folder, algorithm):
    return None

def predict(case, model):
    print("asleep", flush=True)
    time.sleep(300)

if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
"""


def leave_behind(folder: Path) -> None:
    """What a killed run leaves in a folder that it held the lock of."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOCK_FILE).write_text("{}")
    (folder / ".partial-x").mkdir()
    (folder / ".partial-x" / "half").write_text("half")


def processes_of(word: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode(errors="replace"))
        except OSError:
            continue  # it has just ended
    return [command for command in found if word in command]


def wait_for(what: Callable[[], Any], seconds: float = 120) -> bool:
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.1)
    return bool(what())


@pytest.mark.slow
def test_a_program_ends_with_the_run_that_started_it_and_the_next_run_cleans_up(
    toy: Algorithm, toy_model: Path, lay_out: Callable[..., Path], tmp_path: Path
) -> None:
    if not working_namespaces():
        pytest.skip("this machine allows no namespaces")
    inference = toy.folder / "inference.py"
    whole = inference.read_text()
    inference.write_text(SLEEPING)
    case = lay_out(toy, scan=scan_of())
    output = tmp_path / "output"
    command = [*PREOP, "run", str(toy.folder), f"--input={case}", f"--output={output}", f"--model={toy_model}"]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert wait_for(lambda: [path for path in output.glob(".partial-*/stdout.txt") if "asleep" in path.read_text()])
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert wait_for(lambda: not processes_of("toy.inference"), 10)
    inference.write_text(whole)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in output.iterdir()) == ["case.html", "images", "score.json"]


def test_a_folder_of_a_killed_run_is_told_from_one_at_work(tmp_path: Path) -> None:
    with locked(tmp_path):
        assert not was_killed(tmp_path)
        assert is_empty(tmp_path)
    assert not was_killed(tmp_path)
    leave_behind(tmp_path)
    assert was_killed(tmp_path)
    assert is_empty(tmp_path)
    (tmp_path / "mine").touch()
    assert not is_empty(tmp_path)


def test_a_model_that_was_half_written_is_written_anew(toy: Algorithm, toy_model: Path, tmp_path: Path) -> None:
    info = read_model_info(toy_model, toy).model_dump(exclude={"files"})
    leave_behind(tmp_path / "new")
    write_model(tmp_path / "new", info, {"weights.json": b"{}"})
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["model.json", "weights.json"]
    assert read_model_info(tmp_path / "new", toy)


def test_training_takes_the_folder_of_a_killed_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    leave_behind(tmp_path / "model")
    words = [
        "train",
        "sarcoma_lung_metastasis",
        "--cohort",
        str(tmp_path / "none.csv"),
        "--model",
        str(tmp_path / "model"),
    ]
    refused = CliRunner().invoke(commands.app, words)
    assert isinstance(refused.exception, InvalidInputError)  # of the table: the folder has been passed
    assert "There is no cohort table" in str(refused.exception)
    (tmp_path / "model" / "mine").touch()
    assert isinstance(CliRunner().invoke(commands.app, words).exception, InvalidOutputError)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(repository, "ROOT", tmp_path)
    monkeypatch.setattr(examples, "run_examples", lambda folder, _: (folder / "done").touch())
    return tmp_path / "runs"


def test_examples_that_were_killed_are_removed_by_the_next(runs: Path) -> None:
    leave_behind(runs / "2026-01-01_120000")
    leave_behind(runs / "my_study")  # of another command
    (runs / "2026-01-02_120000").mkdir()
    commands.examples()
    left = sorted(path.name for path in runs.iterdir())
    assert left[0] == "2026-01-02_120000"
    assert left[-1] == "my_study"
    assert len(left) == 3
    assert [path.name for path in (runs / left[1]).iterdir()] == ["done"]


def test_examples_overwrite_nothing(runs: Path) -> None:
    runs.mkdir()
    (runs / "mine").touch()
    with pytest.raises(InvalidOutputError, match="is not empty"):
        commands.examples(output=runs)


def test_a_study_that_was_half_made_is_made_anew(tmp_path: Path) -> None:
    like = find_studies(ROOT / "algorithms")[-1]
    study = write_study("half_made", tmp_path, like)
    (study.folder / LOCK_FILE).write_text(json.dumps({"process": 0}))
    remove_killed_study("half_made", tmp_path)
    write_study("half_made", tmp_path, like)
    remove_killed_study("half_made", tmp_path)
    assert study.folder.is_dir()
    shutil.rmtree(study.folder)
