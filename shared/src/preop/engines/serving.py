"""Running many cases on one server (``invoke``): the program starts once and keeps its model."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from preop.engines.base import DEFAULT_OPTIONS, Engine, Started
from preop.engines.programs import Program
from preop.engines.running import Run, describe_end
from preop.engines.workspace import Log, deliver, empty, existing_folders, open_folder, work_folder
from preop.errors import InvalidOutputError, MissingToolError
from preop.grandchallenge.options import Options
from preop.grandchallenge.runtime import INVOKE_PORT, parse_usage

START_LIMIT_S = 300  # the platform waits this long for GET /health
STOP_GRACE_S = 5  # and this long between SIGTERM and SIGKILL


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

    def __init__(self, engine: Engine, program: Program, started: Started, work: Path) -> None:
        self._engine = engine
        self._program = program
        self._started = started
        self._work = work
        self._log = Log(work)

    def invoke(self, *, input: Path, output: Path) -> Run:  # noqa: A002 - the platform's word
        """Run one case, with ``/input`` and ``/output`` emptied before, as ``run`` does.

        A case that goes past the time limit ends the server; every later case then fails.
        """
        folder = existing_folders({"input": input})["input"]

        def lay_out(inside: Path) -> None:
            shutil.copytree(self._engine.share(folder, self._work), inside, dirs_exist_ok=True)

        return self.invoke_on(lay_out, output=output)

    def invoke_on(self, lay_out: Callable[[Path], object], *, output: Path) -> Run:
        """Run one case that a function lays out in the folder it is given, such that every user can read it."""
        inside, written = self._work / "input", self._work / "output"
        for place in (inside, written):
            empty(place)
        lay_out(inside)
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
        result = describe_end(
            self._program, exit_code, seconds, self._streams(failed=exit_code != 0), timed_out=timed_out
        )
        if result.error is None:
            deliver(written, output.absolute())
        return result

    @property
    def has_ended(self) -> bool:
        """Whether it can answer no more."""
        return self._started.process.poll() is not None

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
            else describe_end(self._program, code, 0, (stdout, stderr), timed_out=False).error
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
    engine: Engine,
    program: Program,
    beside: Path,
    *,
    model: Path | None = None,
    options: Options = DEFAULT_OPTIONS,
    start_limit_s: float = START_LIMIT_S,
) -> Iterator[Server]:
    """Start a program as a server, wait until it is ready, and stop it at the end as the platform does.

    Parameters
    ----------
    beside
        Folder in which the server's own files lie meanwhile, on the disk of the outputs.

    Raises
    ------
    InvalidInputError
        If the model folder is not there.
    InvalidOutputError
        If the server does not become ready.
    MissingToolError
        If the engine has no image of the program, or gives it no network of its own, in which alone its port is its own.
    """
    if not engine.own_network:
        raise MissingToolError(f"{program.name} cannot run as a server in a {engine.isolation}.")
    with work_folder(beside) as work:
        shared = {name: engine.share(folder, work) for name, folder in existing_folders({"model": model}).items()}
        (work / "input").mkdir(mode=0o755)
        folders = {"input": work / "input", "output": open_folder(work / "output"), **shared}
        started = engine.start(program, folders, work, method="invoke", options=options)
        try:
            server = Server(engine, program, started, work)
            server.wait_until_ready(start_limit_s)
            yield server
        except BaseException:
            started.end()  # whoever waits has pressed Ctrl-C
            raise
        else:
            started.end(grace_s=STOP_GRACE_S)
            engine.reclaim(work / "output", program)
