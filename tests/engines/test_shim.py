"""The platform's own runner (sagemaker-shim) runs an algorithm in both ways, with a stand-in for its storage (moto).

The runner is what the platform puts before an image's entry point: it fetches the inputs, starts the program once for each
case or as a server, and takes outputs and log.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from preop.grandchallenge.algorithm import Algorithm
from tests.conftest import ROOT, scan_of

PYTHON = Path(os.environ.get("PREOP_SHIM_PYTHON", ROOT / "requirements/.venv-shim/bin/python"))
BUCKET = "platform"

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Storage:
    """The stand-in for S3."""

    address: str

    def put(self, key: str, content: bytes) -> None:
        """Store an object; an empty key makes the bucket."""
        request = urllib.request.Request(  # noqa: S310 - the address is ours
            f"{self.address}/{BUCKET}/{key}".rstrip("/"),
            data=content,
            method="PUT",
            headers={"Content-Type": "application/octet-stream"},
        )
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310

    def get(self, key: str) -> bytes:
        """Give an object."""
        request = urllib.request.Request(  # noqa: S310 - the address is ours
            f"{self.address}/{BUCKET}/{key}", headers={"Authorization": "AWS nobody:nothing"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return bytes(answer.read())


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    if not PYTHON.exists():
        pytest.skip("the platform's runner is not installed: requirements/apart.sh shim (it needs Python 3.12)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [str(PYTHON), "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    found = Storage(f"http://127.0.0.1:{port}")
    until = time.monotonic() + 60
    try:
        while True:
            try:
                found.put("", b"")
                break
            except (OSError, urllib.error.URLError):
                assert time.monotonic() < until, "the stand-in for S3 does not start"
                time.sleep(0.2)
        yield found
    finally:
        server.kill()
        server.wait()


@dataclass(frozen=True)
class Outcome:
    """What the platform learns of a job."""

    return_code: int
    outputs: list[str]
    errors: list[str]


def run(storage: Storage, algorithm: Algorithm, case: Path, model: Path, work: Path, method: str) -> Outcome:
    """Let the runner run an algorithm on a case as the platform does."""
    inputs, job = [], f"{work.name}-{method}"
    for path in sorted(path for path in case.rglob("*") if path.is_file()):
        relative = path.relative_to(case).as_posix()
        storage.put(f"in/{job}/{relative}", path.read_bytes())
        inputs.append({"relative_path": relative, "bucket_name": BUCKET, "bucket_key": f"in/{job}/{relative}"})
    task = {"pk": job, "inputs": inputs, "output_bucket_name": BUCKET, "output_prefix": f"out/{job}", "timeout": 120}
    for name in ("input", "output"):
        (work / name).mkdir(parents=True)
    # The runner has packages of its own: what the program imports from is told to the program alone.
    path = os.pathsep.join([str(ROOT / "shared/src"), str(algorithm.folder.parent)])
    entry_point = ["env", f"PYTHONPATH={path}", sys.executable, "-m", f"{algorithm.name}.inference"]
    settings = {
        "ENTRYPOINT_B64J": base64.b64encode(json.dumps(entry_point).encode()).decode(),
        "API_METHOD": method,
        "INPUT_PATH": str(work / "input"),
        "OUTPUT_PATH": str(work / "output"),
        "LINKED_INPUT_PARENT": str(work / "linked"),
        "WRITABLE_DIRECTORIES": "",
        "POST_CLEAN_DIRECTORIES": "",
        "RUNTIME_OUTPUT_BUCKET_NAME": BUCKET,
        "RUNTIME_OUTPUT_PREFIX": f"runtime/{job}",
        "START_AND_HEALTH_TIMEOUT_SECONDS": "60",
        "HEALTH_CHECK_CALL_TIMEOUT_SECONDS": "1",
    }
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_S3_ENDPOINT_URL": storage.address,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        **{f"GRAND_CHALLENGE_COMPONENT_{name}": value for name, value in settings.items()},
        "PREOP_API_METHOD": method,
        "PREOP_INPUT": str(work / "input"),
        "PREOP_OUTPUT": str(work / "output"),
        "PREOP_MODEL": str(model),
    }
    program = [str(PYTHON), "-m", "sagemaker_shim.cli", "invoke", "--tasks", json.dumps([task])]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    result = json.loads(storage.get(f"out/{job}/.sagemaker_shim/inference_result.json"))
    outputs = sorted(output["relative_path"] for output in result["outputs"])
    return Outcome(result["return_code"], outputs, result["user_process_last_stderr_lines"])


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("method", ["exec", "invoke"])
def test_a_case_goes_through_the_platforms_runner(
    storage: Storage, toy: Algorithm, toy_model: Path, lay_out: Callable[..., Path], tmp_path: Path, method: str
) -> None:
    outcome = run(storage, toy, lay_out(toy, scan=scan_of()), toy_model, tmp_path / "good", method)
    assert outcome.return_code == 0, outcome.errors
    assert outcome.outputs == ["images/heat/output.mha", "images/regions/output.mha", "score.json"]
    assert 0 <= json.loads(storage.get(f"out/good-{method}/score.json")) <= 1


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("method", ["exec", "invoke"])
def test_a_failure_ends_in_its_sentence_there_too(
    storage: Storage, toy: Algorithm, toy_model: Path, lay_out: Callable[..., Path], tmp_path: Path, method: str
) -> None:
    case = lay_out(toy, scan=scan_of())
    (toy_model / "model.json").unlink()
    start = time.monotonic()
    outcome = run(storage, toy, case, toy_model, tmp_path / "bad", method)
    assert time.monotonic() - start < 50, "it waits out the time that the runner gives a server"
    assert (outcome.return_code, outcome.outputs) == (1, [])
    assert "There is no model in" in outcome.errors[-1]
