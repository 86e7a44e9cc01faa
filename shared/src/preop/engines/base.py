"""What can run a program on this machine: in a container, else in an isolated process.

The restrictions are those of the platform (contract of 2025-11): no network, no capabilities, no new privileges,
limits on memory, data segment and processes, shared memory of half the memory, read-only input and model,
an empty writable ``/tmp``, and, in a container, the image's own user, who is not root.
"""

from __future__ import annotations

import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from preop.engines.programs import Program
from preop.engines.workspace import stderr_of, stdout_of
from preop.grandchallenge.options import Options
from preop.grandchallenge.runtime import ApiMethod

DEFAULT_OPTIONS = Options()


@dataclass(frozen=True)
class Identity:
    """What a program is made of, to tell whether another run had the same.

    Attributes
    ----------
    engine
        docker, podman or process.
    image_sha256
        Digest of its image; None where it runs without.
    sources_sha256
        Digest of its sources (``sources_digest``), as its image states it or as they lie in the checkout; None where an
        image states none.
    versions
        Of Python and of the packages that numbers come from.
    """

    engine: str
    image_sha256: str | None
    sources_sha256: str | None
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Started:
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
    def own_network(self) -> bool:
        """Whether each program has a network, and so the port of a server, for itself."""

    @property
    @abstractmethod
    def isolation(self) -> str:
        """What is shut off and what is not, in words."""

    @abstractmethod
    def start(
        self,
        program: Program,
        folders: Mapping[str, Path],
        work: Path,
        *,
        method: ApiMethod,
        options: Options = DEFAULT_OPTIONS,
    ) -> Started:
        """Start a program on folders named as in ``Roots``; its standard streams go to two files below ``work``."""

    @abstractmethod
    def identify(self, program: Program) -> Identity:
        """Tell what the program is made of that would be started."""

    @abstractmethod
    def share(self, folder: Path, work: Path) -> Path:
        """Give the folder, or a copy below ``work``, such that the program's user can read all of it."""

    @abstractmethod
    def reclaim(self, folder: Path, program: Program) -> None:
        """Make what the program wrote below ``folder`` belong to the caller."""


def data_limit_bytes(memory_gb: int) -> int:
    """Largest data segment: the platform keeps 1 GiB of the memory for itself."""
    return max(memory_gb - 1, 1) * 2**30


def spawn(
    command: list[str], work: Path, *, environment: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a command with its streams in files, in a session of its own: Ctrl-C reaches only the caller."""
    with stdout_of(work).open("wb") as stdout, stderr_of(work).open("wb") as stderr:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            cwd=cwd or work,  # where conmon leaves a file named oom when memory ran out
            start_new_session=True,
        )


def succeeds(command: list[str]) -> bool:
    """Whether a command is there and ends with exit code 0."""
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
