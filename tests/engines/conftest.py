"""A small program to run under every engine that works here."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from preop.engines.base import Engine
from preop.engines.building import build_image
from preop.engines.choosing import find_engine
from preop.engines.containers import ContainerEngine
from preop.engines.processes import ProcessEngine
from preop.engines.programs import Program
from preop.errors import MissingToolError

# Does what /input/action.txt says.
PROBE = """
import ctypes, http.server, json, os, pathlib, signal, socket, sys, tempfile, time

roots = {"PREOP_INPUT": "/input", "PREOP_OUTPUT": "/output", "PREOP_MODEL": "/opt/ml/model"}
source, target, model = (pathlib.Path(os.environ.get(name, place)) for name, place in roots.items())


def act():
    action = (source / "action.txt").read_text()
    if action == "write":
        (target / "images").mkdir()
        facts = {
            "environment": dict(os.environ),
            "user": os.getuid(),
            "temporary": os.listdir(tempfile.gettempdir()),
            "home": os.path.expanduser("~"),
            "model": sorted(os.listdir(model)) if model.is_dir() else None,
            "output": sorted(os.listdir(target)),
            "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")],
            "pid": os.getpid(),
        }
        (target / "images" / "facts.json").write_text(json.dumps(facts))
        (target / "images" / "facts.json").chmod(0o600)
        print('usage: {"seconds": 0.5, "peak_memory_mb": 12.5}', flush=True)
    elif action == "network":
        # A route is all it takes: nothing is sent.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.connect(("192.0.2.1", 9))
    elif action == "spoil":
        (source / "action.txt").write_text("spoiled")
    elif action == "allocate":
        bytearray(3 * 2**30)
    elif action == "fill":
        with tempfile.TemporaryFile() as file:
            for _ in range(1200):
                file.write(bytes(2**20))
    elif action == "sleep":
        (target / "half.json").write_text("1")
        time.sleep(60)
    elif action == "kill":
        (target / "half.json").write_text("1")
        os.kill(os.getpid(), signal.SIGKILL) if os.getpid() > 1 else os.abort()
    elif action == "crash":
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        ctypes.string_at(0)
    elif action == "silent":
        sys.exit(3)
    elif action == "fail":
        (target / "half.json").write_text("1")
        print("Traceback ...", file=sys.stderr)
        print("The scan is upside down.\\n", file=sys.stderr, flush=True)
        sys.exit(1)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def do_POST(self):
        try:
            act()
            self.send_response(201)
        except SystemExit:
            self.send_response(500)
        self.end_headers()

    def log_message(self, *_):
        pass


if os.environ.get("PREOP_API_METHOD") == "invoke":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if (model / "broken").exists():
        sys.exit("The model is broken.")
    http.server.HTTPServer(("", 4743), Handler).serve_forever()
act()
"""

DOCKERFILE = """
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE_IMAGE}
ARG SOURCE_DATE_EPOCH
RUN useradd --uid 10002 --create-home probe && (command -v python || ln -s "$(command -v python3)" /usr/bin/python)
COPY probe /opt/probe
ENV PYTHONPATH=/opt PYTHONUNBUFFERED=1
USER probe
ENTRYPOINT ["python", "-m", "probe.inference"]
"""


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The probe, with 2 GB of memory and a few seconds of time."""
    root = tmp_path_factory.mktemp("repository")
    folder = root / "probe"
    folder.mkdir()
    (folder / "inference.py").write_text(PROBE)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    for path in (root, folder):
        path.chmod(0o755)
    version = f"0.0.{os.getpid()}"  # an image for each process that tests
    return Program("probe", "Probe", version, "probe.inference", folder, root, "imaging", memory_gb=2, time_limit_s=30)


@pytest.fixture(scope="session")
def container(program: Program) -> Iterator[ContainerEngine]:
    """Docker or podman with the probe's image."""
    engine = find_engine("auto")
    if not isinstance(engine, ContainerEngine):
        pytest.skip("neither docker nor podman can run containers here")
    try:
        build_image(engine, program)
    except MissingToolError as error:
        pytest.skip(f"the probe's image cannot be built here: {error}")
    yield engine
    subprocess.run([*engine.command, "rmi", program.image], capture_output=True, check=False)


@pytest.fixture(scope="session")
def isolated() -> ProcessEngine:
    engine = find_engine("process")
    assert isinstance(engine, ProcessEngine)
    if not engine.namespaces:
        pytest.skip("this machine allows no namespaces")
    return engine


@pytest.fixture(params=["container", "isolated", "plain"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Every kind of engine there is."""
    if request.param == "plain":
        return ProcessEngine(())
    found: Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["container", "isolated"])
def strict(request: pytest.FixtureRequest) -> Engine:
    """Every kind of engine that shuts off network and input."""
    found: Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def recorder(tmp_path: Path) -> ContainerEngine:
    """A stand-in that writes down how it was called, fails where its options say --fail, and whose only image has the
    labels in labels.json."""
    script = tmp_path / "docker"
    script.write_text(
        f'#!/bin/sh\nif [ "$1" = image ]; then exec cat {tmp_path}/labels.json; fi\n'
        f'printf "%s\\n" "$@" > {tmp_path}/called\ncase "$*" in *--fail*) exit 7;; esac\n'
    )
    script.chmod(0o755)
    return ContainerEngine("docker", (str(script),))


def called(tmp_path: Path) -> list[str]:
    """Give the words that the recorder was last called with."""
    return (tmp_path / "called").read_text().splitlines()


def case(tmp_path: Path, action: str) -> Path:
    """Lay out an input that asks the probe for something."""
    folder = tmp_path / f"input-{action}"
    folder.mkdir(exist_ok=True)
    (folder / "action.txt").write_text(action)
    return folder


def nothing_is_left_of(engine: Engine, program: Program) -> bool:
    """Whether neither a container nor a process of a program is still there."""
    if isinstance(engine, ContainerEngine):
        listed = [*engine.command, "ps", "--all", "--quiet", f"--filter=name=preop-{program.name}"]
        return not subprocess.run(listed, capture_output=True, check=True).stdout.strip()
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes())
        except OSError:
            continue  # it has just ended
    return not any(program.module.encode() in command for command in commands)
