"""Both ways of running, as processes of their own: exit codes, the last line of stderr, nothing half-written."""

import dataclasses
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.roots import Roots
from preop.grandchallenge.runtime import END_EARLY_VARIABLE, INVOKE_PORT, describe_error, outputs_of, parse_usage
from tests.conftest import ROOT, scan_of

LayOut = Callable[..., Path]


def environment(toy: Algorithm, roots: Roots, method: str | None = None) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT / "shared/src"), str(toy.folder.parent)])
    return {**os.environ, **roots.environment(), "PYTHONPATH": path, **({"PREOP_API_METHOD": method} if method else {})}


@pytest.fixture
def roots(tmp_path: Path, toy_model: Path) -> Roots:
    for name in ("output", "input"):
        (tmp_path / name).mkdir(exist_ok=True)
    return Roots(input=tmp_path / "input", output=tmp_path / "output", model=toy_model)


def run(toy: Algorithm, roots: Roots, method: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "toy.inference"],
        env=environment(toy, roots, method),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def last_line(text: str) -> str:
    return [line for line in text.splitlines() if line.strip()][-1]


def test_a_good_case_ends_with_exit_code_0_and_says_what_it_took(toy: Algorithm, roots: Roots, lay_out: LayOut) -> None:
    lay_out(toy, scan=scan_of())
    done = run(toy, roots)
    assert done.returncode == 0, done.stderr
    usage = parse_usage(done.stdout)
    assert usage is not None
    assert usage.seconds > 0
    assert usage.peak_memory_mb > 10
    assert (roots.output / "score.json").is_file()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda roots: (roots.input / "inputs.json").unlink(), "inputs.json is missing in"),
        (lambda roots: (roots.model / "model.json").unlink(), "There is no model in"),
        (lambda roots: roots.output.rmdir(), "cannot be written: it does not exist."),
    ],
)
def test_a_user_error_ends_with_exit_code_1_and_one_sentence(
    toy: Algorithm, roots: Roots, lay_out: LayOut, spoil: Callable[[Roots], object], sentence: str
) -> None:
    lay_out(toy, scan=scan_of())
    spoil(roots)
    done = run(toy, roots)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not roots.output.exists() or list(roots.output.iterdir()) == []


def test_a_bug_is_called_one_in_a_single_line(toy: Algorithm, roots: Roots, lay_out: LayOut) -> None:
    root = lay_out(toy, scan=scan_of())
    path = root / "inputs.json"
    path.write_text(path.read_text().replace("scan.mha", "broken.mha"))
    done = run(toy, roots)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert last_line(done.stderr) == (
        "Unexpected internal error (ZeroDivisionError: two lines): please report it with its traceback."
    )


def test_an_unknown_way_of_running_is_refused(toy: Algorithm, roots: Roots) -> None:
    done = run(toy, roots, "post")
    assert done.returncode == 1
    assert last_line(done.stderr) == "PREOP_API_METHOD is 'post'; expected exec or invoke."


def test_too_little_memory_is_told() -> None:
    assert describe_error(MemoryError("a lot")).endswith("has not enough memory for this case (MemoryError: a lot).")
    of_torch = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
    assert "has not enough memory for this case" in describe_error(of_torch)


def test_memory_is_not_blamed_for_anything_else() -> None:
    assert "memory" not in describe_error(OSError(28, "No space left on device"))


@pytest.fixture
def server(toy: Algorithm, roots: Roots) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "toy.inference"],
        env=environment(toy, roots, "invoke"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and status("GET", "/health") != 200:
        time.sleep(0.1)
    yield process
    process.kill()
    process.communicate()


def status(method: str, path: str) -> int | None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{INVOKE_PORT}{path}", method=method, data=b"" if method == "POST" else None
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the address is ours
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


@pytest.mark.usefixtures("alone")
def test_a_server_loads_once_answers_201_and_survives_a_bad_case(
    toy: Algorithm, roots: Roots, lay_out: LayOut, server: subprocess.Popen[str]
) -> None:
    assert status("GET", "/health") == 200
    assert status("GET", "/other") == 404
    assert status("POST", "/other") == 404

    for length in ("-1", "1_0", "x", "9" * 30):
        connection = http.client.HTTPConnection("127.0.0.1", INVOKE_PORT, timeout=30)
        connection.putrequest("POST", "/invoke")
        connection.putheader("Content-Length", length)
        connection.endheaders()
        assert connection.getresponse().status == 400

    lay_out(toy, scan=scan_of())
    assert status("POST", "/invoke") == 201
    first = json.loads((roots.output / "score.json").read_text())

    for root in (roots.input, roots.output):
        shutil.rmtree(root)
        root.mkdir()
    assert status("POST", "/invoke") == 500
    assert list(roots.output.iterdir()) == []

    lay_out(toy, scan=scan_of() + 10)
    assert status("POST", "/invoke") == 201
    assert json.loads((roots.output / "score.json").read_text()) != first

    server.send_signal(signal.SIGTERM)
    stdout, stderr = server.communicate(timeout=5)
    assert server.returncode == 0
    assert stdout.count("loading the model") == 1
    assert "inputs.json is missing" in last_line(stderr)


@pytest.mark.usefixtures("alone")
def test_a_server_without_its_model_answers_each_case_with_the_reason(
    toy: Algorithm, roots: Roots, lay_out: LayOut, request: pytest.FixtureRequest
) -> None:
    (roots.model / "model.json").unlink()
    process = request.getfixturevalue("server")
    assert status("GET", "/health") == 200
    lay_out(toy, scan=scan_of())
    connection = http.client.HTTPConnection("127.0.0.1", INVOKE_PORT, timeout=30)
    connection.request("POST", "/invoke")
    answer = connection.getresponse()
    assert answer.status == 500
    assert "There is no model in" in answer.read().decode()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=5)
    assert "There is no model in" in last_line(stderr)


def test_a_server_without_its_model_ends_at_once_where_somebody_here_waits_for_it(
    toy: Algorithm, roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    (roots.model / "model.json").unlink()
    monkeypatch.setenv(END_EARLY_VARIABLE, "1")
    done = run(toy, roots, "invoke")
    assert done.returncode == 1
    assert "There is no model in" in last_line(done.stderr)


EVALUATION = """
from preop.grandchallenge.runtime import run_evaluation
run_evaluation(lambda jobs, ground_truth: {"jobs": len(jobs)}, lambda metrics, ground_truth: {})
"""


def evaluate(roots: Roots, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **roots.environment(), "PYTHONPATH": str(ROOT / "shared/src"), **variables}
    return subprocess.run(
        [sys.executable, "-c", EVALUATION], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_an_evaluation_says_what_it_cannot_do(roots: Roots, tmp_path: Path) -> None:
    (roots.input / "predictions.json").write_text("[]")
    truth = tmp_path / "truth"
    roots = dataclasses.replace(roots, ground_truth=truth)
    (truth / "packed").mkdir(parents=True)
    done = evaluate(roots)
    assert done.returncode == 1
    assert "holds only the folder packed; expected the files themselves at its top" in last_line(done.stderr)
    assert "an evaluation does not serve" in last_line(evaluate(roots, PREOP_API_METHOD="invoke").stderr)
    (truth / "task.toml").touch()
    assert evaluate(roots).returncode == 0


def test_notes_of_reading_come_before_the_warnings_or_else_go_to_stderr(
    toy: Algorithm, capsys: pytest.CaptureFixture[str]
) -> None:
    def answered(outputs: dict[str, Any], *notes: str) -> Any:
        images = {"scan": SimpleNamespace(notes=notes)}
        return outputs_of(Case(toy, "", {}, {}, images), lambda _, model: {**outputs, "likelihood": model}, 0.5)

    explained = {"explanation": {"warnings": ["small"], "notes": []}}
    assert answered(explained) == {**explained, "likelihood": 0.5}
    told = answered(explained, "sheared.")
    assert told == {"likelihood": 0.5, "explanation": {"warnings": ["scan: sheared.", "small"], "notes": []}}
    assert capsys.readouterr().err == ""
    assert answered({}, "sheared.") == {"likelihood": 0.5}
    assert capsys.readouterr().err == "note: scan: sheared.\n"
