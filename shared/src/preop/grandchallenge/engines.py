"""Running a program on this machine as grand-challenge.org does: in a container, else in an isolated process.

The restrictions are those of the platform (contract of 2025-11): no network, no capabilities, no new privileges,
limits on memory, data segment and processes, shared memory of half the memory, read-only input and model,
an empty writable ``/tmp``, and, in a container, the image's own user, who is not root.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import preop
from preop.errors import InvalidInputError, InvalidOutputError, MissingToolError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.roots import Roots, variable_of
from preop.grandchallenge.runtime import API_METHOD_VARIABLE, INVOKE_PORT, parse_usage

EngineChoice = Literal["auto", "docker", "podman", "process"]

BASE_IMAGE_VARIABLE = "PREOP_BASE_IMAGE"
BUILD_OPTIONS_VARIABLE = "PREOP_BUILD_OPTIONS"

PLATFORM = "linux/amd64"
START_LIMIT_S = 300  # the platform waits this long for GET /health
STOP_GRACE_S = 5  # and this long between SIGTERM and SIGKILL
EVALUATION_MEMORY_GB = 8
EVALUATION_LIMIT_S = 60 * 60
_PROCESS_LIMIT = 4096
_OPEN_FILES_LIMIT = 1024


@dataclass(frozen=True)
class Program:
    """An algorithm or the evaluation, as something to build and to run.

    Attributes
    ----------
    name, title, version
        What its image is called.
    module
        The Python module that runs it, ``<name>.inference``.
    folder
        Where its Dockerfile lies.
    repository
        The root of the repository: the build context.
    memory_gb, time_limit_s, gpu
        What it may use.
    """

    name: str
    title: str
    version: str
    module: str
    folder: Path
    repository: Path
    memory_gb: int
    time_limit_s: float
    gpu: bool = False

    @property
    def image(self) -> str:
        """Name and tag of its image."""
        return f"preop/{self.name}:{self.version}"


def algorithm_program(algorithm: Algorithm) -> Program:
    """Describe how an algorithm is built and run."""
    return Program(
        name=algorithm.name,
        title=algorithm.title,
        version=algorithm.version,
        module=f"{algorithm.name}.inference",
        folder=algorithm.folder,
        repository=algorithm.folder.parent.parent,
        memory_gb=algorithm.memory_gb,
        time_limit_s=60 * algorithm.time_limit_minutes,
        gpu=algorithm.gpu,
    )


def evaluation_program(folder: Path) -> Program:
    """Describe how the evaluation in a folder is built and run."""
    return Program(
        name=folder.name,
        title="Evaluation of pre-operative staging algorithms",
        version=preop.__version__,
        module=f"{folder.name}.evaluate",
        folder=folder.absolute(),
        repository=folder.absolute().parent,
        memory_gb=EVALUATION_MEMORY_GB,
        time_limit_s=EVALUATION_LIMIT_S,
    )


@dataclass(frozen=True)
class Run:
    """How a run ended.

    Attributes
    ----------
    seconds
        Wall clock time, the start of the container included.
    peak_memory_mb
        What the program itself measured, in 10^6 bytes; None where it did not come so far.
    error
        One sentence, or None where it succeeded.
    """

    exit_code: int
    seconds: float
    peak_memory_mb: float | None
    error: str | None
    stdout: str
    stderr: str


# ----------------------------------------------------------------------------------------------------------------------
# Engines


@dataclass(frozen=True)
class _Started:
    """A program that has been started."""

    process: subprocess.Popen[bytes]
    send: Callable[[signal.Signals], None]
    beside: Callable[[], list[str]]  # how to run another command where it runs; ends with the Python to use

    def end(self, *, grace_s: float = 0) -> None:
        """Ask it to stop with SIGTERM if it is given some grace, then kill it."""
        if grace_s and self.process.poll() is None:
            self.send(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(grace_s)
        for _ in range(30):  # a container that is just being created cannot be killed at once
            if self.process.poll() is not None:
                return
            self.send(signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
        self.process.kill()


class Engine(ABC):
    """Something that can run a program under the platform's restrictions."""

    name: str

    @property
    @abstractmethod
    def isolation(self) -> str:
        """What is shut off and what is not, in words."""

    @abstractmethod
    def start(self, program: Program, folders: Mapping[str, Path], work: Path, *, method: str | None) -> _Started:
        """Start a program on folders named as in ``Roots``; its standard streams go to two files below ``work``."""

    @abstractmethod
    def share(self, folder: Path, work: Path) -> Path:
        """Give the folder, or a copy below ``work``, such that the program's user can read all of it."""

    @abstractmethod
    def reclaim(self, folder: Path, program: Program) -> None:
        """Make what the program wrote below ``folder`` belong to the caller."""


@dataclass(frozen=True)
class ContainerEngine(Engine):
    """Docker or podman.

    Attributes
    ----------
    name
        The program's name.
    command
        How to call it: the program and options that go before its subcommand.
    run_options
        What ``run`` needs on this machine in addition.
    limits_resources
        Whether this machine lets it limit memory and number of processes.
    """

    name: str
    command: tuple[str, ...]
    run_options: tuple[str, ...] = ()
    limits_resources: bool = True

    @property
    def isolation(self) -> str:
        """What is shut off, in words."""
        limits = "limits on memory and processes" if self.limits_resources else "only the data segment limited"
        return f"{self.name} container: no network, no capabilities, read-only input and model, not root, {limits}"

    def start(self, program: Program, folders: Mapping[str, Path], work: Path, *, method: str | None) -> _Started:
        """Run the program's image in the foreground."""
        if not image_exists(self, program):
            raise MissingToolError(f"{self.name} has no image {program.image}: make it with ./build.sh {program.name}")
        container = f"preop-{program.name}-{uuid.uuid4().hex[:12]}"
        places = Roots()
        volumes = [
            f"--volume={folder}:{getattr(places, name)}{'' if name == 'output' else ':ro'}"
            for name, folder in folders.items()
        ]
        process = _start(
            [
                *(*self.command, "run", "--rm", f"--name={container}", *self.restrictions(program.memory_gb)),
                *(self._gpu_options() if program.gpu else ()),
                *volumes,
                *([f"--env={API_METHOD_VARIABLE}={method}"] if method else []),
                program.image,
            ],
            work,
        )

        def send(number: signal.Signals) -> None:
            subprocess.run(
                [*self.command, "kill", f"--signal={number.name}", container], capture_output=True, check=False
            )

        return _Started(process, send, lambda: [*self.command, "exec", container, "python"])

    def restrictions(self, memory_gb: int) -> list[str]:
        """Give the options of ``run`` that make a container as strict as the platform's."""
        limits = [f"--memory={memory_gb}g", f"--pids-limit={_PROCESS_LIMIT}"] if self.limits_resources else []
        return [
            f"--platform={PLATFORM}",
            "--network=none",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--security-opt=label=disable",  # SELinux would refuse the mounted folders; without SELinux it says nothing
            *limits,
            f"--shm-size={memory_gb * 512}m",
            f"--ulimit=data={_data_limit_bytes(memory_gb)}:{_data_limit_bytes(memory_gb)}",
            "--tmpfs=/tmp",
            *self.run_options,
        ]

    def share(self, folder: Path, work: Path) -> Path:
        """Copy the folder if the container's user could not read all of it, or if links lead out of it."""
        if _readable_by_all(folder):
            return folder
        copy = Path(tempfile.mkdtemp(dir=work)) / folder.name
        shutil.copytree(folder, copy, copy_function=shutil.copyfile)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return copy

    def reclaim(self, folder: Path, program: Program) -> None:
        """Hand over what the container's user wrote: only root, here or in a container, may change the owner."""
        owner = folder.stat()
        foreign = [path for path in folder.rglob("*") if path.lstat().st_uid != owner.st_uid]
        if not foreign:
            return
        if os.geteuid() == 0:
            for path in foreign:
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
            return
        # Inside, the folder's owner is whoever called, also where users are mapped (rootless podman or docker).
        subprocess.run(
            [
                *(*self.command, "run", "--rm", "--network=none", "--security-opt=label=disable", "--user=0:0"),
                *(*self.run_options, f"--volume={folder}:/output", "--entrypoint=chown", program.image),
                *("-R", "--no-dereference", "--reference=/output", "/output"),
            ],
            capture_output=True,
            check=False,
        )

    def _gpu_options(self) -> list[str]:
        if not _succeeds(["nvidia-smi"]):
            return []
        return ["--gpus=all"] if self.name == "docker" else ["--device=nvidia.com/gpu=all"]


@dataclass(frozen=True)
class ProcessEngine(Engine):
    """A process of this machine's own Python, in its own mount and network namespaces where the kernel allows them.

    Attributes
    ----------
    namespaces
        The call of ``unshare`` that works here; empty where none does.
    """

    namespaces: tuple[str, ...]
    name: str = "process"

    @property
    def isolation(self) -> str:
        """What is shut off and what is not, in words."""
        if self.namespaces:
            return (
                "isolated process: no network, no capabilities, read-only input and model, limited data segment; "
                "but the rest of this machine's files can be seen, and it runs as you"
            )
        return (
            "plain process: limited data segment and a clean environment; but this machine allows no namespaces, "
            "so that the network is open and the input is not protected from being changed"
        )

    def start(self, program: Program, folders: Mapping[str, Path], work: Path, *, method: str | None) -> _Started:
        """Run the program's module in a new session, so that it can be ended with all its children."""
        home, temporary = Path(tempfile.mkdtemp(dir=work)), Path(tempfile.mkdtemp(dir=work))
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(program.folder.parent),
            API_METHOD_VARIABLE: method or "exec",
            # A folder that the platform would not fill must not be found by accident on this machine.
            **{variable_of(name): str(work / "nothing") for name in ("model", "ground_truth")},
            **{variable_of(name): str(folder) for name, folder in folders.items()},
        }
        setup = _setup_script(
            [sys.executable, "-m", program.module],
            memory_gb=program.memory_gb,
            read_only=[folder for name, folder in folders.items() if name != "output"] if self.namespaces else [],
            isolated=bool(self.namespaces),
        )
        process = _start([*self.namespaces, "sh", "-c", setup], work, environment=environment, cwd=home)

        def send(number: signal.Signals) -> None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)

        return _Started(process, send, lambda: [*self._enter(process.pid), sys.executable])

    def share(self, folder: Path, work: Path) -> Path:  # noqa: ARG002 - the process runs as the caller
        """Give the folder itself: the process runs as the caller."""
        return folder

    def reclaim(self, folder: Path, program: Program) -> None:
        """Do nothing: the process runs as the caller."""

    def _enter(self, pid: int) -> list[str]:
        """How to get into the network namespace of a process, once it has one of its own."""
        if not self.namespaces:
            return []
        own = Path("/proc/self/ns/net").readlink()
        while (space := Path(f"/proc/{pid}/ns/net")).exists() and space.readlink() == own:
            time.sleep(0.01)
        users = ["--user", "--preserve-credentials"] if "--user" in self.namespaces else []
        return ["nsenter", f"--target={pid}", "--net", *users]


def find_engine(choice: EngineChoice = "auto") -> Engine:
    """Find what can run a program here.

    Parameters
    ----------
    choice
        ``auto`` takes docker if its daemon answers, else podman if it can run a container under all restrictions,
        else the isolated process.

    Raises
    ------
    MissingToolError
        If the engine that was asked for does not work here.
    """
    finders: dict[str, Callable[[], Engine | None]] = {
        "docker": _find_docker,
        "podman": _find_podman,
        "process": lambda: ProcessEngine(_working_namespaces()),
    }
    for name in finders if choice == "auto" else (choice,):
        engine = finders[name]()
        if engine:
            return engine
    advice = {
        "docker": "start its daemon, and let your user speak to it",
        "podman": "install podman and runc, and try: podman run --rm --network=none IMAGE true",
    }[choice]
    raise MissingToolError(f"{choice} cannot run containers on this machine: {advice}, or choose another engine.")


def engine_for(program: Program, choice: EngineChoice = "auto") -> Engine:
    """Find what can run one program here: a container only where its image has been built.

    Raises
    ------
    MissingToolError
        If the engine that was asked for does not work here, or has no image of the program.
    """
    engine = find_engine(choice)
    if not isinstance(engine, ContainerEngine) or image_exists(engine, program):
        return engine
    if choice == "auto":
        return find_engine("process")
    raise MissingToolError(f"{choice} has no image {program.image}: build it with ./build.sh {program.name}")


def image_exists(engine: ContainerEngine, program: Program) -> bool:
    """Whether the engine has the program's image."""
    return _succeeds([*engine.command, "image", "inspect", program.image])


@functools.cache
def _find_docker() -> ContainerEngine | None:
    engine = ContainerEngine("docker", ("docker",))
    return engine if _succeeds(["docker", "version", "--format={{.Server.Version}}"]) else None


@functools.cache
def _find_podman() -> ContainerEngine | None:
    try:
        info = subprocess.run(["podman", "info", "--format=json"], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    host = json.loads(info)["host"]
    # crun does not run in version 1 of the control groups, nor in a mixture of both versions.
    old_groups = host.get("cgroupVersion") == "v1" and shutil.which("runc")
    engine = ContainerEngine(
        "podman",
        # Its warnings would stand among the lines of the program, whose last one is the error.
        ("podman", "--log-level=error", *(["--runtime=runc"] if old_groups else [])),
        # podman would raise these limits above those of the caller, which not every caller may do.
        tuple(
            f"--ulimit={name}={limit}:{limit}"
            for name, limit in (("nofile", _OPEN_FILES_LIMIT), ("nproc", _PROCESS_LIMIT))
        ),
    )
    # A container without an image: where all else works, it gets as far as missing its program (exit code 127).
    with tempfile.TemporaryDirectory() as empty:
        trial = subprocess.run(
            [*engine.command, "run", "--rm", *engine.restrictions(memory_gb=1), "--rootfs", empty, "/missing"],
            capture_output=True,
            text=True,
            check=False,
        )
    # Without root, version 1 of the control groups does not limit anything: podman says so and goes on.
    limits = "limits are not supported" not in trial.stderr
    return replace(engine, limits_resources=limits) if trial.returncode == 127 else None


@functools.cache
def _working_namespaces() -> tuple[str, ...]:
    """Find the call of ``unshare`` that works here by trying: root needs no namespace of users, others do."""
    spaces = ("unshare", "--mount", "--net")
    for call in (spaces, (*spaces, "--user", "--map-root-user")):
        with tempfile.TemporaryDirectory() as folder:
            unwritable = ["test", "!", "-w", folder]
            setup = _setup_script(unwritable, memory_gb=2, read_only=[Path(folder)], isolated=True)
            if _succeeds([*call, "sh", "-c", setup]):
                return call
    return ()


# SIOCSIFFLAGS with IFF_UP: a new network namespace has a loopback device, but it is down.
_RAISE_LOOPBACK = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH22x', b'lo', 1))"


def _setup_script(command: list[str], *, memory_gb: int, read_only: list[Path], isolated: bool) -> str:
    """Write what a shell does before it becomes the program."""
    lines = ["set -e", f"ulimit -d {_data_limit_bytes(memory_gb) // 1024}"]
    for folder in read_only:
        place = shlex.quote(str(folder))
        lines += [f"mount --bind {place} {place}", f"mount -o remount,bind,ro {place}"]
    if isolated:
        lines.append(shlex.join([sys.executable, "-I", "-S", "-c", _RAISE_LOOPBACK]))
        command = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", *command]
    return "\n".join([*lines, f"exec {shlex.join(command)}"])


def _data_limit_bytes(memory_gb: int) -> int:
    """Largest data segment: the platform keeps 1 GiB of the memory for itself."""
    return max(memory_gb - 1, 1) * 2**30


def _start(
    command: list[str], work: Path, *, environment: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a command with its streams in files, in a session of its own: Ctrl-C reaches only the caller."""
    with _stdout_of(work).open("wb") as stdout, _stderr_of(work).open("wb") as stderr:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            cwd=cwd or work,  # where conmon leaves a file named oom when memory ran out
            start_new_session=True,
        )


def _succeeds(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


# ----------------------------------------------------------------------------------------------------------------------
# Running one case


def run(
    engine: Engine,
    program: Program,
    *,
    input: Path,  # noqa: A002 - the platform's word
    output: Path,
    model: Path | None = None,
    ground_truth: Path | None = None,
) -> Run:
    """Run a program once, on one case.

    The program writes to an empty folder of its own; what it wrote moves to ``output`` only if it succeeds, and
    takes the place of what had the same name there.

    Parameters
    ----------
    input, output
        What the program finds as ``/input`` (read-only) and where its ``/output`` goes.
    model, ground_truth
        What an algorithm finds as its model, and the evaluation as its ground truth.

    Raises
    ------
    InvalidInputError
        If one of the given folders is not there.
    InvalidOutputError
        If the output folder cannot be written.
    MissingToolError
        If the engine has no image of the program.
    """
    folders = _existing({"input": input, "model": model, "ground_truth": ground_truth})
    with _work_folder() as work, _staging(output) as staging:
        shared = {name: engine.share(folder, work) for name, folder in folders.items()}
        start = time.monotonic()
        started = engine.start(program, {**shared, "output": staging}, work, method=None)
        timed_out = False
        try:
            started.process.wait(program.time_limit_s)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            started.end()
            engine.reclaim(staging, program)
        seconds = time.monotonic() - start
        result = _ended(program, started.process.returncode, seconds, _Log(work).new(), timed_out=timed_out)
        if result.error is None:
            _deliver(staging, output.absolute())
        return result


def _ended(program: Program, exit_code: int, seconds: float, streams: tuple[str, str], *, timed_out: bool) -> Run:
    """Describe a run that ended, with one sentence if it failed."""
    stdout, stderr = streams
    exit_code = 128 - exit_code if exit_code < 0 else exit_code  # a process's signal, written as shells and engines do
    usage = parse_usage(stdout)
    return Run(
        exit_code=exit_code,
        seconds=seconds,
        peak_memory_mb=usage.peak_memory_mb if usage else None,
        error=_sentence(program, exit_code, stderr, timed_out=timed_out),
        stdout=stdout,
        stderr=stderr,
    )


def _sentence(program: Program, exit_code: int, stderr: str, *, timed_out: bool) -> str | None:
    """Say in one sentence why a run failed: its own last line, unless it had no chance to write one."""
    if timed_out:
        return f"{program.name} was stopped after {program.time_limit_s:g} s, its time limit."
    if exit_code == 0:
        return None
    if exit_code == 128 + signal.SIGKILL:
        return (
            f"{program.name} was killed, most likely because it needed more than its {program.memory_gb} GB of memory."
        )
    if exit_code > 128 and exit_code - 128 in set(signal.Signals) - {signal.SIGTERM}:
        return f"{program.name} crashed with {signal.Signals(exit_code - 128).name}."
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"{program.name} ended with exit code {exit_code} and did not say why."


def _existing(folders: Mapping[str, Path | None]) -> dict[str, Path]:
    given = {name: folder.absolute() for name, folder in folders.items() if folder is not None}
    for name, folder in given.items():
        if not folder.is_dir():
            raise InvalidInputError(f"The {name.replace('_', ' ')} folder {folder} does not exist.")
    return given


@contextmanager
def _work_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="preop-", ignore_cleanup_errors=True) as folder:
        yield Path(folder).resolve()


@contextmanager
def _staging(output: Path) -> Iterator[Path]:
    """Give an empty folder on the disk of ``output`` that every user may write, within one that only we may enter."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        private = Path(tempfile.mkdtemp(prefix=".preop-", dir=output.absolute()))
    except OSError as error:
        raise InvalidOutputError(f"The output folder {output} cannot be written: {error.strerror}.") from error
    try:
        yield _open_folder(private / "output")
    finally:
        shutil.rmtree(private, ignore_errors=True)


def _open_folder(path: Path) -> Path:
    path.mkdir()
    path.chmod(0o777)
    return path


def _deliver(staging: Path, output: Path) -> None:
    """Move all that a run wrote to where the user wants it."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        for source in staging.iterdir():
            target = output / source.name
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
            shutil.move(source, target)
    except OSError as error:
        raise InvalidOutputError(f"The output folder {output} cannot be written: {error.strerror}.") from error


def _readable_by_all(folder: Path) -> bool:
    """Whether every user can read a folder, and no link leads out of what a container sees of it."""
    for path in (folder, *folder.rglob("*")):
        mode = path.lstat().st_mode
        if path.is_symlink() or not mode & 0o004 or (path.is_dir() and not mode & 0o001):
            return False
    return True


class _Log:
    """The standard streams of a program, as far as they have not been read yet."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._read = {"stdout": 0, "stderr": 0}

    def new(self) -> tuple[str, str]:
        """Give what came on stdout and on stderr since the last call."""
        return self._rest("stdout", _stdout_of(self._work)), self._rest("stderr", _stderr_of(self._work))

    def _rest(self, name: str, path: Path) -> str:
        content = path.read_bytes()
        rest = content[self._read[name] :]
        self._read[name] = len(content)
        return rest.decode("utf-8", errors="replace")


def _stdout_of(work: Path) -> Path:
    return work / "stdout.txt"


def _stderr_of(work: Path) -> Path:
    return work / "stderr.txt"


# ----------------------------------------------------------------------------------------------------------------------
# Running many cases on one server

# There is no network to reach the server through, so the client runs beside it: in its container, or its namespace.
# http.client follows no redirect, which is the platform's rule too.
_CLIENT = f"""
import http.client, sys, time
method, path, until = sys.argv[1], sys.argv[2], time.monotonic() + float(sys.argv[3])
while time.monotonic() < until:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", {INVOKE_PORT}, timeout=until - time.monotonic())
        connection.request(method, path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        status = 0
    if status == 200 or method == "POST":
        sys.exit(f"{{status}}")
    time.sleep(0.05)
"""


class Server:
    """A program that was started once and answers one case after the other (``invoke``)."""

    def __init__(self, engine: Engine, program: Program, started: _Started, work: Path) -> None:
        self._engine = engine
        self._program = program
        self._started = started
        self._work = work
        self._log = _Log(work)

    def invoke(self, *, input: Path, output: Path) -> Run:  # noqa: A002 - the platform's word
        """Run one case, with ``/input`` and ``/output`` emptied before, as ``run`` does.

        A case that goes past the time limit ends the server; every later case then fails.
        """
        folder = _existing({"input": input})["input"]
        inside, written = self._work / "input", self._work / "output"
        for place in (inside, written):
            _empty(place)
        shutil.copytree(self._engine.share(folder, self._work), inside, dirs_exist_ok=True)
        start = time.monotonic()
        status = self._ask("POST", "/invoke", self._program.time_limit_s)
        seconds = time.monotonic() - start
        timed_out = status == 0 and seconds >= self._program.time_limit_s
        if timed_out:
            self._started.end()
        elif status == 0:  # it broke down: let it end, to see how
            with suppress(subprocess.TimeoutExpired):
                self._started.process.wait(STOP_GRACE_S)
        self._engine.reclaim(written, self._program)
        ended = self._started.process.poll()
        exit_code = 0 if status == 201 else (ended or 1)
        result = _ended(self._program, exit_code, seconds, self._streams(failed=exit_code != 0), timed_out=timed_out)
        if result.error is None:
            _deliver(written, output.absolute())
        return result

    def wait_until_ready(self, limit_s: float) -> None:
        """Wait until ``GET /health`` answers 200."""
        if self._ask("GET", "/health", limit_s) == 200:
            return
        code = self._started.process.poll()
        self._started.end()
        stdout, stderr = self._log.new()
        sentence = (
            f"it did not answer GET /health on port {INVOKE_PORT} with 200 within {limit_s:g} s."
            if code is None
            else _ended(self._program, code, 0, (stdout, stderr), timed_out=False).error
            or "it ended instead of serving."
        )
        raise InvalidOutputError(f"{self._program.name} did not start as a server: {sentence}")

    def _ask(self, method: str, path: str, limit_s: float) -> int:
        """Send a request from beside the server and give the status of the answer, 0 where there was none in time."""
        until = time.monotonic() + limit_s
        while self._started.process.poll() is None and (left := until - time.monotonic()) > 0:
            client = subprocess.Popen(
                [*self._started.beside(), "-I", "-S", "-c", _CLIENT, method, path, f"{left}"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            answer = self._answer(client, left)
            if answer is not None:
                return answer
            time.sleep(0.1)  # the container is not yet there to run the client in
        return 0

    def _answer(self, client: subprocess.Popen[bytes], limit_s: float) -> int | None:
        """Give the status that the client read, or None if the client could not run."""
        until = time.monotonic() + limit_s + 5
        try:
            while client.poll() is None and self._started.process.poll() is None and time.monotonic() < until:
                with suppress(subprocess.TimeoutExpired):
                    client.wait(0.05)
        finally:
            client.kill()
        said = client.communicate()[1].decode(errors="replace").strip()
        return int(said) if said.isdecimal() else None

    def _streams(self, *, failed: bool) -> tuple[str, str]:
        """Give what the program wrote about this case; an engine hands lines on a moment after the answer."""
        stdout, stderr = self._log.new()
        until = time.monotonic() + 2
        while self._started.process.poll() is None and time.monotonic() < until:
            if stderr if failed else parse_usage(stdout):
                break
            time.sleep(0.02)
            more = self._log.new()
            stdout, stderr = stdout + more[0], stderr + more[1]
        return stdout, stderr


@contextmanager
def serve(
    engine: Engine, program: Program, *, model: Path | None = None, start_limit_s: float = START_LIMIT_S
) -> Iterator[Server]:
    """Start a program as a server, wait until it is ready, and stop it at the end as the platform does.

    Raises
    ------
    InvalidInputError
        If the model folder is not there.
    InvalidOutputError
        If the server does not become ready.
    MissingToolError
        If the engine has no image of the program.
    """
    with _work_folder() as work:
        shared = {name: engine.share(folder, work) for name, folder in _existing({"model": model}).items()}
        (work / "input").mkdir(mode=0o755)
        folders = {"input": work / "input", "output": _open_folder(work / "output"), **shared}
        started = engine.start(program, folders, work, method="invoke")
        try:
            server = Server(engine, program, started, work)
            server.wait_until_ready(start_limit_s)
            yield server
        finally:
            started.end(grace_s=STOP_GRACE_S)
            engine.reclaim(work / "output", program)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


# ----------------------------------------------------------------------------------------------------------------------
# Building


def build_image(
    engine: ContainerEngine,
    program: Program,
    *,
    api_method: Literal["exec", "invoke"] = "exec",
    base_image: str | None = None,
    options: list[str] | None = None,
) -> None:
    """Build a program's image; what the engine says goes to this process's own streams.

    Parameters
    ----------
    api_method
        How the platform is to run the image.
    base_image
        What to build on; by default what PREOP_BASE_IMAGE names, else the Dockerfile's own.
    options
        Further options of the engine's ``build``; by default those in PREOP_BUILD_OPTIONS, written as for a shell.

    Raises
    ------
    InvalidInputError
        If there is no Dockerfile, or PREOP_BUILD_OPTIONS is not written as for a shell.
    MissingToolError
        If the build fails.
    """
    dockerfile = program.folder / "Dockerfile"
    if not dockerfile.is_file():
        raise InvalidInputError(f"{program.folder} holds no Dockerfile to build an image from.")
    base_image = base_image or os.environ.get(BASE_IMAGE_VARIABLE)
    command = [
        *(*engine.command, "build", f"--platform={PLATFORM}", f"--file={dockerfile}", f"--tag={program.image}"),
        f"--label=org.opencontainers.image.title={program.title}",
        f"--label=org.opencontainers.image.version={program.version}",
        f"--build-arg=API_METHOD={api_method}",
        *([f"--build-arg=BASE_IMAGE={base_image}"] if base_image else []),
        *(_build_options() if options is None else options),
        str(program.repository),
    ]
    # Docker's old builder does not know the secrets that the Dockerfiles mount.
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    code = subprocess.run(command, env=environment, check=False).returncode
    if code:
        raise MissingToolError(
            f"{engine.name} could not build {program.image} (exit code {code}); its last lines above say why. "
            f"{BUILD_OPTIONS_VARIABLE} and {BASE_IMAGE_VARIABLE} adapt a build to a network behind a proxy."
        )


def _build_options() -> list[str]:
    written = os.environ.get(BUILD_OPTIONS_VARIABLE, "")
    try:
        return shlex.split(written)
    except ValueError as error:
        raise InvalidInputError(
            f"{BUILD_OPTIONS_VARIABLE} is {written!r}, which a shell could not read: {error}."
        ) from error
