"""Running a program on one case, as grand-challenge.org does, and telling how it ended."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from preop.engines.base import DEFAULT_OPTIONS, Engine
from preop.engines.programs import Program
from preop.engines.workspace import Log, deliver, existing_folders, open_folder, work_folder
from preop.grandchallenge.options import Options
from preop.grandchallenge.runtime import parse_usage


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

    @property
    def details(self) -> str:
        """What the program said on stderr beside its sentence: for who mends it."""
        return self.stderr.strip().removesuffix(self.error or "").strip()


def run(
    engine: Engine,
    program: Program,
    *,
    input: Path,  # noqa: A002 - the platform's word
    output: Path,
    model: Path | None = None,
    ground_truth: Path | None = None,
    options: Options = DEFAULT_OPTIONS,
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
    options
        What the user says of this run beyond the platform's contract.

    Raises
    ------
    InvalidInputError
        If one of the given folders is not there.
    InvalidOutputError
        If the output folder cannot be written.
    MissingToolError
        If the engine has no image of the program.
    """
    folders = existing_folders({"input": input, "model": model, "ground_truth": ground_truth})
    with work_folder(output) as work:
        written = open_folder(work / "output")
        shared = {name: engine.share(folder, work) for name, folder in folders.items()}
        start = time.monotonic()
        started = engine.start(program, {**shared, "output": written}, work, method="exec", options=options)
        timed_out = False
        try:
            started.process.wait(program.time_limit_s)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            started.end()
            engine.reclaim(written, program)
        seconds = time.monotonic() - start
        result = describe_end(program, started.process.returncode, seconds, Log(work).new(), timed_out=timed_out)
        if result.error is None:
            deliver(written, output.absolute())
        return result


def describe_end(program: Program, exit_code: int, seconds: float, streams: tuple[str, str], *, timed_out: bool) -> Run:
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
            f"{program.name} was killed: by the system, if it needed more than its {program.memory_gb} GB of memory, or else "
            "by somebody."
        )
    if exit_code > 128 and exit_code - 128 in set(signal.Signals) - {signal.SIGTERM}:
        return f"{program.name} crashed with {signal.Signals(exit_code - 128).name}."
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"{program.name} ended with exit code {exit_code} and did not say why."
