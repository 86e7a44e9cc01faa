"""A process of this machine as an engine: in namespaces of its own where the kernel lets an ordinary user have them."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import preop
from preop.engines.base import DEFAULT_OPTIONS, Engine, Identity, Started, data_limit_bytes, spawn
from preop.engines.programs import Program, sources_digest
from preop.engines.sandbox import END_ALL, OWN_PROCESSES, SPACES, Specification
from preop.engines.workspace import holds_links
from preop.folders import package_versions
from preop.grandchallenge.options import Options
from preop.grandchallenge.roots import Roots, variable_of
from preop.grandchallenge.runtime import API_METHOD_VARIABLE, END_EARLY_VARIABLE, ApiMethod

_HOME, _TEMPORARY = "/home/preop", "/tmp"  # noqa: S108 - inside of the namespace
_ALGORITHMS = "/opt/algorithms"


@dataclass(frozen=True)
class ProcessEngine(Engine):
    """A process of this machine's own Python, with a root of its own where the kernel allows it namespaces.

    Attributes
    ----------
    namespaces
        Those of ``preop.engines.sandbox.SPACES`` that it gets here; empty where there are none.
    reason
        Why a program runs here and not in a container; empty where that was the user's wish.
    """

    namespaces: tuple[str, ...]
    name: str = "process"
    reason: str = ""

    @property
    def own_network(self) -> bool:
        """Only in a namespace."""
        return bool(self.namespaces)

    @property
    def isolation(self) -> str:
        """What is shut off and what is not, in words."""
        if self.namespaces:
            seen = "" if OWN_PROCESSES in self.namespaces else "it can see that other processes are there, and "
            words = (
                "isolated process: no network, none of your other files or sockets, no capabilities, read-only input and "
                f"model, memory and processes watched; but {seen}it runs as you, on this machine's Python and kernel"
            )
        else:
            watched = "memory watched" if sys.platform == "linux" else "its memory as a whole is not limited"
            words = (
                f"plain process: limited data segment, {watched} and a clean environment; but this machine allows no "
                "namespaces, so that the network is open, and it can read, change and talk to whatever you can, the input "
                "and your other programs included"
            )
        return f"{words} ({self.reason})" if self.reason else words

    def start(
        self,
        program: Program,
        folders: Mapping[str, Path],
        work: Path,
        *,
        method: ApiMethod,
        options: Options = DEFAULT_OPTIONS,
    ) -> Started:
        """Run the program's module in a new session, so that it can be ended with all its children."""
        home, temporary = Path(tempfile.mkdtemp(dir=work)), Path(tempfile.mkdtemp(dir=work))
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            API_METHOD_VARIABLE: method,
            END_EARLY_VARIABLE: "1",
            **options.environment(),
        }
        specification = (
            self._inside(program, folders, work, environment, home, temporary)
            if self.namespaces
            else _outside(program, folders, work, environment, home, temporary)
        )
        process = spawn(specification.launcher(sys.executable), work, environment={}, cwd=home)

        def send(number: signal.Signals) -> None:
            with suppress(ProcessLookupError):
                if number is signal.SIGKILL and not self.namespaces:
                    os.kill(process.pid, END_ALL)  # a session does not hold all that a program may have started
                else:
                    os.killpg(process.pid, number)

        return Started(process, send, lambda: [*self._enter(process.pid), sys.executable])

    def identify(self, program: Program) -> Identity:
        """Tell the sources in the checkout, and the versions of this machine."""
        return Identity(self.name, None, None, sources_digest(program), package_versions())

    def share(self, folder: Path, work: Path) -> Path:
        """Give the folder itself, for the process runs as the caller; a copy where links lead out of what it will see."""
        if not self.namespaces or not holds_links(folder):
            return folder
        copy = Path(tempfile.mkdtemp(dir=work)) / folder.name
        shutil.copytree(folder, copy, copy_function=shutil.copyfile)
        return copy

    def reclaim(self, folder: Path, program: Program) -> None:
        """Do nothing: the process runs as the caller."""

    def _inside(
        self,
        program: Program,
        folders: Mapping[str, Path],
        work: Path,
        environment: Mapping[str, str],
        home: Path,
        temporary: Path,
    ) -> Specification:
        """Describe a run in namespaces: everything lies where it does in a container."""
        root = Path(tempfile.mkdtemp(dir=work))
        places = {str(getattr(Roots(), name)): str(folder) for name, folder in folders.items()}
        output = str(Roots().output)
        return Specification(
            command=[sys.executable, "-m", program.module],
            environment={**environment, "HOME": _HOME, "TMPDIR": _TEMPORARY, "PYTHONPATH": _ALGORITHMS},
            directory=_HOME,
            data_limit_bytes=data_limit_bytes(program.memory_gb),
            memory_limit_bytes=program.memory_gb * 2**30,
            spaces=list(self.namespaces),
            root=str(root),
            read_only={
                **{folder: folder for folder in _python_folders()},
                **{place: folder for place, folder in places.items() if place != output},
                f"{_ALGORITHMS}/{program.folder.name}": str(program.folder),
            },
            writable={
                **_compiled_loops(work),
                output: places[output],
                _HOME: str(home),
                _TEMPORARY: str(temporary),
            },
            devices=[str(path) for path in sorted(Path("/dev").glob("nvidia*"))] if program.gpu else [],
        )

    def _enter(self, pid: int) -> list[str]:
        """How to get into the network namespace of a process, once it has one of its own."""
        if not self.namespaces:
            return []
        own = Path("/proc/self/ns/net").readlink()
        while (space := Path(f"/proc/{pid}/ns/net")).exists() and space.readlink() == own:
            time.sleep(0.01)
        users = ["--user", "--preserve-credentials"] if "user" in self.namespaces else []
        return ["nsenter", f"--target={pid}", "--net", *users]


def _outside(
    program: Program,
    folders: Mapping[str, Path],
    work: Path,
    environment: Mapping[str, str],
    home: Path,
    temporary: Path,
) -> Specification:
    """Describe a run without namespaces: variables say where everything is."""
    return Specification(
        command=[sys.executable, "-m", program.module],
        environment={
            **environment,
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "PYTHONPATH": str(program.folder.parent),
            # A folder that the platform would not fill must not be found by accident on this machine.
            **{variable_of(name): str(work / "nothing") for name in ("model", "ground_truth")},
            **{variable_of(name): str(folder) for name, folder in folders.items()},
        },
        directory=str(home),
        data_limit_bytes=data_limit_bytes(program.memory_gb),
        memory_limit_bytes=program.memory_gb * 2**30,
    )


@functools.cache
def working_namespaces() -> tuple[str, ...]:
    """Find the namespaces that work here by trying; root may need none of users, and some containers lend no ``/proc``."""
    without_users = {name for name in SPACES if name != "user"}
    for spaces in (set(SPACES), without_users, set(SPACES) - {OWN_PROCESSES}, without_users - {OWN_PROCESSES}):
        with tempfile.TemporaryDirectory() as folder:
            trial = Specification(
                command=["/bin/sh", "-c", f"! test -w {_ALGORITHMS} && test -w {_HOME} && ! test -e {folder}"],
                environment={},
                directory=_HOME,
                data_limit_bytes=2**30,
                memory_limit_bytes=2**30,
                spaces=sorted(spaces),
                root=folder,
                read_only={_ALGORITHMS: folder},
                writable={_HOME: folder},
            )
            done = subprocess.run(trial.launcher(sys.executable), capture_output=True, check=False)
        if sys.platform == "linux" and done.returncode == 0 and shutil.which("nsenter"):
            return tuple(sorted(spaces))
    return ()


@functools.cache
def _python_folders() -> tuple[str, ...]:
    """Find what this Python and its packages, this library among them, are made of; what the system brings is there."""
    said = subprocess.run(
        [sys.executable, "-I", "-c", "import json, sys; print(json.dumps([sys.prefix, sys.base_prefix, *sys.path]))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    interpreter = Path(sys.executable).resolve().parents[1]
    folders = [*map(Path, json.loads(said)), interpreter, Path(preop.__file__).parents[1]]
    found: list[Path] = []
    for folder in sorted({each for each in folders if each.is_dir()}):
        if not any(folder.is_relative_to(parent) for parent in (Path("/usr"), *found)):
            found.append(folder)
    return tuple(map(str, found))


def _compiled_loops(work: Path) -> dict[str, str]:
    """Copy what numba has compiled of this library, by the folders where it is looked for.

    A program that ran could otherwise change what is loaded outside of its namespace later.
    """
    package = Path(preop.__file__).parent
    copies = {}
    for cache in sorted({path.parent for path in package.rglob("__pycache__/*.nbi")}):
        copies[str(cache)] = str(shutil.copytree(cache, Path(tempfile.mkdtemp(dir=work)) / cache.name))
    return copies
