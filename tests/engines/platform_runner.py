"""The platform's own runner (sagemaker-shim) with a stand-in for the platform's storage (moto).

The runner is what the platform puts before an image's entry point: it fetches the inputs, starts the program once for each
case or as a server, and takes outputs and log. ``requirements/apart.sh shim`` installs both.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import TypeAdapter

from preop.engines.archive import write_folder_archive
from preop.engines.containers import ContainerEngine
from preop.engines.programs import Program
from preop.grandchallenge.runtime import ApiMethod

ENVIRONMENT = Path(__file__).parents[2] / "requirements/.venv-shim"
PYTHON = Path(os.environ.get("PREOP_SHIM_PYTHON", ENVIRONMENT / "bin/python"))
RUNNER = ENVIRONMENT / "sagemaker-shim"
"""The runner as one file, as the platform has it."""
MISSING = "the platform's runner is not installed: requirements/apart.sh shim (it needs Python 3.12)"
BUCKET = "platform"
_MODEL_KEY = "model.tar.gz"
_AUTHORIZATION = {"Authorization": "AWS nobody:nothing"}  # anybody's will do; without, nothing is written over


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
            headers={**_AUTHORIZATION, "Content-Type": "application/octet-stream"},
        )
        urllib.request.urlopen(request, timeout=30).close()  # noqa: S310

    def get(self, key: str) -> bytes:
        """Give an object."""
        request = urllib.request.Request(  # noqa: S310 - the address is ours
            f"{self.address}/{BUCKET}/{key}", headers=_AUTHORIZATION
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return bytes(answer.read())


@contextlib.contextmanager
def storage() -> Iterator[Storage]:
    """Run the stand-in for S3 on a port of its own."""
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
    """What the platform learns of a job.

    Attributes
    ----------
    outputs
        The key of each output in the storage, by its path.
    errors
        The last lines of the program's error stream, from which the platform takes the sentence that a user sees.
    seconds
        What the runner measured; None where the program did not get as far.
    """

    return_code: int
    outputs: dict[str, str]
    errors: list[str]
    seconds: float | None


def task(place: Storage, job: str, case: Path) -> dict[str, object]:
    """Upload a case and describe the job as the platform does."""
    inputs = []
    for path in sorted(path for path in case.rglob("*") if path.is_file()):
        relative = path.relative_to(case).as_posix()
        place.put(f"in/{job}/{relative}", path.read_bytes())
        inputs.append({"relative_path": relative, "bucket_name": BUCKET, "bucket_key": f"in/{job}/{relative}"})
    return {"pk": job, "inputs": inputs, "output_bucket_name": BUCKET, "output_prefix": f"out/{job}", "timeout": 900}


def environment(place: Storage, job: str, method: ApiMethod, entry_point: list[str], **settings: str) -> dict[str, str]:
    """Give the variables by which the platform tells its runner what to do."""
    own = {
        "ENTRYPOINT_B64J": base64.b64encode(json.dumps(entry_point).encode()).decode(),
        "API_METHOD": method,
        "RUNTIME_OUTPUT_BUCKET_NAME": BUCKET,
        "RUNTIME_OUTPUT_PREFIX": f"runtime/{job}",
        **settings,
    }
    return {
        "AWS_S3_ENDPOINT_URL": place.address,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        **{f"GRAND_CHALLENGE_COMPONENT_{name}": value for name, value in own.items()},
    }


def outcome(place: Storage, job: str, container: str) -> Outcome:
    """Read what the runner has left for the platform: of the case, or why it came to none."""
    try:
        result = json.loads(place.get(f"out/{job}/.sagemaker_shim/inference_result.json"))
    except urllib.error.HTTPError:
        result = json.loads(place.get(f"runtime/{container}/.sagemaker_shim/runtime_setup_result.json"))
        return Outcome(result["return_code"], {}, [result["user_safe_error_message"]], None)
    outputs = {output["relative_path"]: output["bucket_key"] for output in result["outputs"]}
    took = TypeAdapter(timedelta | None).validate_python(result["exec_duration"] or result["invoke_duration"])
    seconds = None if took is None else took.total_seconds()
    return Outcome(result["return_code"], outputs, result["user_process_last_stderr_lines"], seconds)


def fetch(place: Storage, found: Outcome, folder: Path) -> Path:
    """Fetch the outputs of a job into a new folder."""
    for relative, key in found.outputs.items():
        path = folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(place.get(key))
    return folder


def run_image(
    engine: ContainerEngine,
    place: Storage,
    program: Program,
    cases: Mapping[str, Path],
    model: Path,
    method: ApiMethod,
) -> dict[str, Outcome]:
    """Let the runner run the cases of an image in one container, as the platform does: as root, before the entry point.

    The model comes as the archive that is uploaded. The container shares the network of this machine, where the stand-in
    for the storage is, and with it the port on which a program serves: one at a time.

    Parameters
    ----------
    cases
        The input folder of each case, by its name, which the outcome has too.
    """
    said = subprocess.run(
        [*engine.command, "image", "inspect", "--format={{json .Config}}", program.image],
        capture_output=True,
        check=True,
    ).stdout
    config = json.loads(said)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / _MODEL_KEY
        write_folder_archive(model, archive)
        place.put(_MODEL_KEY, archive.read_bytes())
    container = f"{program.name}-{method}"
    jobs = {name: f"{container}-{name}" for name in cases}
    tasks = json.dumps([task(place, jobs[name], case) for name, case in cases.items()])
    told = environment(
        place,
        container,
        method,
        config["Entrypoint"],
        USER=config["User"],
        MODEL=f"s3://{BUCKET}/{_MODEL_KEY}",
        MAX_MEMORY_MB=str(program.memory_gb * 1024),
    )
    done = subprocess.run(
        [
            *(*engine.command, "run", "--rm", "--network=host", "--user=0", "--security-opt=label=disable"),
            *engine.run_options,
            *(f"--env={name}={value}" for name, value in told.items()),
            *(f"--volume={RUNNER}:/sagemaker-shim:ro", "--tmpfs=/output:mode=777", "--entrypoint=/sagemaker-shim"),
            *(program.image, "invoke", "--tasks", tasks),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )
    assert done.returncode == 0, done.stderr
    return {name: outcome(place, job, container) for name, job in jobs.items()}
