"""A process of this machine as an engine: as isolated as the kernel lets an ordinary user have it."""

from __future__ import annotations

import functools
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from preop.engines.base import DEFAULT_OPTIONS, Engine, Identity, Started, data_limit_bytes, spawn, succeeds
from preop.engines.programs import Program, sources_digest
from preop.folders import package_versions
from preop.grandchallenge.options import Options
from preop.grandchallenge.roots import variable_of
from preop.grandchallenge.runtime import API_METHOD_VARIABLE, ApiMethod


@dataclass(frozen=True)
class ProcessEngine(Engine):
    """A process of this machine's own Python, in its own mount and network namespaces where the kernel allows them.

    Attributes
    ----------
    namespaces
        The call of ``unshare`` that works here; empty where none does.
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
            words = (
                "isolated process: no network, no capabilities, read-only input and model, limited data segment; "
                "but the rest of this machine's files can be seen, and it runs as you"
            )
        else:
            words = (
                "plain process: limited data segment and a clean environment; but this machine allows no namespaces, "
                "so that the network is open and the input is not protected from being changed"
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
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(program.folder.parent),
            API_METHOD_VARIABLE: method,
            **options.environment(),
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
        process = spawn([*self.namespaces, "sh", "-c", setup], work, environment=environment, cwd=home)

        def send(number: signal.Signals) -> None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)

        return Started(process, send, lambda: [*self._enter(process.pid), sys.executable])

    def identify(self, program: Program) -> Identity:
        """Tell the sources in the checkout, and the versions of this machine."""
        return Identity(self.name, None, None, sources_digest(program), package_versions())

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


@functools.cache
def working_namespaces() -> tuple[str, ...]:
    """Find the call of ``unshare`` that works here by trying: root needs no namespace of users, others do."""
    spaces = ("unshare", "--mount", "--net")
    for call in (spaces, (*spaces, "--user", "--map-root-user")):
        with tempfile.TemporaryDirectory() as folder:
            unwritable = ["test", "!", "-w", folder]
            setup = _setup_script(unwritable, memory_gb=2, read_only=[Path(folder)], isolated=True)
            if succeeds([*call, "sh", "-c", setup]):
                return call
    return ()


# SIOCSIFFLAGS with IFF_UP: a new network namespace has a loopback device, but it is down.
_RAISE_LOOPBACK = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sH22x', b'lo', 1))"


def _setup_script(command: list[str], *, memory_gb: int, read_only: list[Path], isolated: bool) -> str:
    """Write what a shell does before it becomes the program."""
    lines = ["set -e", f"ulimit -d {data_limit_bytes(memory_gb) // 1024}"]
    for folder in read_only:
        place = shlex.quote(str(folder))
        lines += [f"mount --bind {place} {place}", f"mount -o remount,bind,ro {place}"]
    if isolated:
        lines.append(shlex.join([sys.executable, "-I", "-S", "-c", _RAISE_LOOPBACK]))
        command = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", *command]
        command[1:1] = ["--pdeathsig=KILL"]  # a program that was started by a killed run ends with it
    return "\n".join([*lines, f"exec {shlex.join(command)}"])
