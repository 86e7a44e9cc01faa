"""The same small program under every engine that works here: what it may do, and how its end is told."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from preop.errors import InvalidInputError, InvalidOutputError, MissingToolError
from preop.grandchallenge import engines
from preop.grandchallenge.engines import ContainerEngine, Engine, ProcessEngine, Program

# All in one worker: they share one image, and look for what others left behind.
pytestmark = pytest.mark.xdist_group("port")

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
    return Program("probe", "Probe", "0.0.0", "probe.inference", folder, root, memory_gb=2, time_limit_s=30)


@pytest.fixture(scope="session")
def container(program: Program) -> Iterator[ContainerEngine]:
    """Docker or podman with the probe's image."""
    engine = engines.find_engine("auto")
    if not isinstance(engine, ContainerEngine):
        pytest.skip("neither docker nor podman can run containers here")
    try:
        engines.build_image(engine, program)
    except MissingToolError as error:
        pytest.skip(f"the probe's image cannot be built here: {error}")
    yield engine
    subprocess.run([*engine.command, "rmi", "--force", program.image], capture_output=True, check=False)


@pytest.fixture(scope="session")
def isolated() -> ProcessEngine:
    engine = engines.find_engine("process")
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


def case(tmp_path: Path, action: str) -> Path:
    folder = tmp_path / f"input-{action}"
    folder.mkdir(exist_ok=True)
    (folder / "action.txt").write_text(action)
    return folder


def run(engine: Engine, program: Program, tmp_path: Path, action: str, **more: Any) -> engines.Run:
    return engines.run(engine, program, input=case(tmp_path, action), output=tmp_path / "output", **more)


def facts_of(tmp_path: Path) -> Any:
    return json.loads((tmp_path / "output/images/facts.json").read_text())


def nothing_is_left_of(engine: Engine, program: Program) -> bool:
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
    assert facts["temporary"] == []
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
    assert result.error == "probe was killed, most likely because it needed more than its 2 GB of memory."


def test_a_container_that_outgrows_its_memory_says_so(container, program, tmp_path):
    if not container.limits_resources:
        pytest.skip("this machine does not let its containers' memory be limited")
    result = run(container, dataclasses.replace(program, memory_gb=1), tmp_path, "fill")
    assert result.error == "probe was killed, most likely because it needed more than its 1 GB of memory."


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
    result = engines.run(container, program, input=folder, output=tmp_path / "output")
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
    with pytest.raises(MissingToolError, match=r"no image preop/probe:9\.9\.9: make it with \./build\.sh probe"):
        run(container, dataclasses.replace(program, version="9.9.9"), tmp_path, "write")


# --- Servers


def test_a_server_answers_case_after_case_with_folders_emptied_between(engine, program, tmp_path):
    with engines.serve(engine, program) as server:
        first = server.invoke(input=case(tmp_path, "write"), output=tmp_path / "first")
        failed = server.invoke(input=case(tmp_path, "fail"), output=tmp_path / "failed")
        second = server.invoke(input=case(tmp_path, "write"), output=tmp_path / "second")
    assert (first.error, first.peak_memory_mb, second.error) == (None, 12.5, None)
    assert failed.error == "The scan is upside down."
    assert not (tmp_path / "failed").exists()
    facts = [json.loads((tmp_path / name / "images/facts.json").read_text()) for name in ("first", "second")]
    assert facts[0]["pid"] == facts[1]["pid"]
    assert facts[1]["output"] == ["images"]  # what the failed case left is gone
    assert nothing_is_left_of(engine, program)


def test_a_case_past_the_time_limit_ends_the_server(engine, program, tmp_path):
    with engines.serve(engine, dataclasses.replace(program, time_limit_s=2)) as server:
        late = server.invoke(input=case(tmp_path, "sleep"), output=tmp_path / "late")
        next_one = server.invoke(input=case(tmp_path, "write"), output=tmp_path / "next")
    assert late.error == "probe was stopped after 2 s, its time limit."
    assert next_one.error is not None
    assert nothing_is_left_of(engine, program)


def test_a_server_that_breaks_down_fails_its_case(engine, program, tmp_path):
    with engines.serve(engine, program) as server:
        assert server.invoke(input=case(tmp_path, "crash"), output=tmp_path / "output").error == (
            "probe crashed with SIGSEGV."
        )


def test_a_server_that_does_not_start_says_why(engine, program, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/broken").touch()
    with (
        pytest.raises(InvalidOutputError, match=r"probe did not start as a server: The model is broken\."),
        engines.serve(engine, program, model=tmp_path / "model"),
    ):
        pass


def test_a_server_that_is_never_ready_is_given_up(isolated, program, tmp_path):
    (program.folder / "deaf.py").write_text("import time; time.sleep(60)")
    deaf = dataclasses.replace(program, module="probe.deaf")
    with (
        pytest.raises(InvalidOutputError, match="did not answer GET /health on port 4743 with 200 within 1 s"),
        engines.serve(isolated, deaf, start_limit_s=1),
    ):
        pass
    assert nothing_is_left_of(isolated, deaf)


# --- Finding and building


def test_an_engine_that_does_not_work_is_refused_with_advice(monkeypatch):
    monkeypatch.setattr(engines, "_find_docker", lambda: None)
    with pytest.raises(MissingToolError, match="docker cannot run containers on this machine: start its daemon"):
        engines.find_engine("docker")


def test_without_containers_auto_is_a_process_that_says_what_is_open(monkeypatch):
    monkeypatch.setattr(engines, "_find_docker", lambda: None)
    monkeypatch.setattr(engines, "_find_podman", lambda: None)
    monkeypatch.setattr(engines, "_working_namespaces", tuple)
    assert "the network is open" in engines.find_engine("auto").isolation


@pytest.fixture
def recorder(tmp_path: Path) -> ContainerEngine:
    """An engine that writes down how it was called, and fails where its options say --fail."""
    script = tmp_path / "docker"
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/called\ncase "$*" in *--fail*) exit 7;; esac\n')
    script.chmod(0o755)
    return ContainerEngine("docker", (str(script),))


def called(tmp_path: Path) -> list[str]:
    return (tmp_path / "called").read_text().splitlines()


def test_a_build_takes_base_image_and_options_from_the_environment(recorder, program, tmp_path, monkeypatch):
    monkeypatch.setenv("PREOP_BASE_IMAGE", "hospital/python:3.11")
    monkeypatch.setenv("PREOP_BUILD_OPTIONS", "--network=host --secret 'id=pip,src=/my folder/pip.conf'")
    engines.build_image(recorder, program, api_method="invoke")
    words = called(tmp_path)
    assert {"--build-arg=BASE_IMAGE=hospital/python:3.11", "--build-arg=API_METHOD=invoke"} <= set(words)
    assert {"--network=host", "id=pip,src=/my folder/pip.conf", "--tag=preop/probe:0.0.0"} <= set(words)
    assert words[-1] == str(program.repository)


def test_a_build_leaves_the_dockerfiles_own_base_image_alone(recorder, program, tmp_path, monkeypatch):
    monkeypatch.delenv("PREOP_BASE_IMAGE", raising=False)
    engines.build_image(recorder, program, options=[])
    assert not [word for word in called(tmp_path) if "BASE_IMAGE" in word]


def test_a_failed_build_names_image_and_exit_code(recorder, program):
    with pytest.raises(MissingToolError, match=r"could not build preop/probe:0\.0\.0 \(exit code 7\)"):
        engines.build_image(recorder, program, options=["--fail"])


def test_build_options_with_an_open_quote_are_refused(recorder, program, monkeypatch):
    monkeypatch.setenv("PREOP_BUILD_OPTIONS", "--secret 'id")
    with pytest.raises(InvalidInputError, match="PREOP_BUILD_OPTIONS"):
        engines.build_image(recorder, program)


def test_a_container_is_as_strict_as_the_platform():
    assert {
        "--platform=linux/amd64",
        "--network=none",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--memory=8g",
        "--shm-size=4096m",
        "--ulimit=data=7516192768:7516192768",
        "--tmpfs=/tmp",
    } <= set(ContainerEngine("docker", ("docker",)).restrictions(memory_gb=8))
