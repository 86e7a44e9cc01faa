"""Doing the same for every patient, on all cores, with progress; what goes wrong with one patient stays with that one."""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from preop.errors import InvalidInputError, MissingToolError, PreopError, unexpected
from preop.progress import progress_bar
from preop.study import importable_studies, make_importable

Item = TypeVar("Item")
Result = TypeVar("Result")

Mapped = Callable[..., Generator[tuple[Any, Any], None, None]]
"""What calls a function for each of many, as :func:`map_patients` does."""

_UNGUARDED = 78
"""Exit code of a worker that found itself running the script that had started it."""
_READY = b"ready"
_CONTEXT = get_context("spawn")  # not forked: a fork of a process that has used threads (SimpleITK, BLAS) can hang


class PatientFailedError(PreopError):
    """What went wrong with a patient and was not foreseen; ``details`` is for who mends the program."""

    def __init__(self, reason: str, details: str = "") -> None:
        super().__init__(reason, details)
        self.details = details

    def __str__(self) -> str:
        """Give the reason alone."""
        return str(self.args[0])


def map_patients(
    function: Callable[[Item], Result], patients: Sequence[Item], *, description: str | None
) -> Generator[tuple[Item, Result | PreopError], None, None]:
    """Call ``function`` for each patient in processes of their own; give each result as soon as it is there.

    Whatever goes wrong with a patient comes back in place of the result and stops no other patient: an error that a
    user can meet as it is, any other as a ``PatientFailedError``, also where the process died.

    Parameters
    ----------
    function
        A function of a module, so that another process can find it.
    patients
        What it is called with: rows of a cohort, or anything that stands for a patient.
    description
        What the progress bar says; None where the caller shows one.

    Raises
    ------
    MissingToolError
        If no process can be started.
    InvalidInputError
        If the calling script starts itself again in each process, for it lacks ``if __name__ == "__main__":``.
    """
    refuse_to_start_again()
    if not patients:
        return
    with nullcontext(lambda _: None) if description is None else progress_bar(description, len(patients)) as advance:
        for result in _mapped(function, patients):
            advance(1)
            yield result


def refuse_to_start_again() -> None:
    """End this process if it is a worker that runs the calling script from its first line; for what takes locks."""
    if getattr(current_process(), "_inheriting", False):
        os._exit(_UNGUARDED)


def _mapped(
    function: Callable[[Item], Result], patients: Sequence[Item]
) -> Generator[tuple[Item, Result | PreopError], None, None]:
    waiting = deque(range(len(patients)))
    workers: list[_Worker] = []
    try:
        while waiting or any(worker.patient is not None for worker in workers):
            busy = sum(worker.patient is not None for worker in workers)
            while len(workers) < min(cores(), busy + len(waiting)):
                workers.append(_Worker.start())
            ready = wait([worker.connection for worker in workers])
            for worker in [worker for worker in workers if worker.connection in ready]:
                message = worker.receive()
                number, worker.patient = worker.patient, None
                if message is None:
                    workers.remove(worker)
                    if number is None:
                        raise _not_started(worker.exit_code)
                    yield patients[number], PatientFailedError(_told_death(worker.exit_code))
                    continue
                if number is not None:
                    yield patients[number], _loaded(message)
                if waiting:
                    worker.patient = waiting.popleft()
                    worker.give(function, patients[worker.patient])
                else:
                    workers.remove(worker)
                    worker.end()
    finally:
        for worker in workers:
            worker.kill()


@dataclass(eq=False)
class _Worker:
    """A process that does one patient after another; if it dies, the patient it was at is known."""

    process: Any
    connection: Connection
    patient: int | None = None
    exit_code: int | None = None

    @classmethod
    def start(cls) -> _Worker:
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_serve, args=(theirs, list(sys.path), importable_studies()), daemon=False)
        # Ctrl-C reaches all processes of a terminal; it is for this one, which ends the others.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        except OSError as error:
            raise MissingToolError(
                f"No further process can be started ({error.strerror}); close other programs."
            ) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        theirs.close()
        worker = cls(process, ours)
        _ALIVE.add(worker)
        return worker

    def give(self, function: Callable[[Any], Any], patient: object) -> None:
        with suppress(OSError):  # it has died: told when its answer is waited for
            self.connection.send_bytes(pickle.dumps((function, patient)))

    def receive(self) -> bytes | None:
        """Answer of the worker, or None where it has died; its exit code is known then."""
        try:
            return self.connection.recv_bytes()
        except (EOFError, OSError):
            self.end()
            return None

    def end(self) -> None:
        """Let an idle one end by itself, and a dead one tell how it died."""
        self.connection.close()
        self.process.join(5)
        self.kill()

    def kill(self) -> None:
        """End it now."""
        self.process.kill()
        self.process.join()
        self.exit_code = self.process.exitcode
        self.connection.close()
        _ALIVE.discard(self)


_ALIVE: set[_Worker] = set()


@atexit.register
def _end_all() -> None:
    """Wait for no one: the interpreter would, where an error or Ctrl-C left a loop over patients."""
    for worker in list(_ALIVE):
        worker.kill()


def _serve(connection: Connection, path: list[str], studies: list[Path]) -> None:
    """Do patients as they come, until the other side is closed."""
    sys.path[:] = path
    for folder in studies:
        make_importable(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _one_thread()
    with suppress(EOFError, BrokenPipeError):
        connection.send_bytes(_READY)
        while True:
            connection.send_bytes(_done(connection.recv_bytes()))


def _done(task: bytes) -> bytes:
    try:
        function, patient = pickle.loads(task)  # noqa: S301 - from the process that started this one
        return pickle.dumps(function(patient))
    except BaseException as error:  # noqa: BLE001 - a library may raise anything, SystemExit too
        return dumped(told(error))


def told(error: BaseException) -> PreopError:
    """Give what went wrong with a patient as an error that a user can meet; with the traceback where nobody foresaw it."""
    if isinstance(error, PreopError):
        return error
    return PatientFailedError(unexpected(error), "".join(traceback.format_exception(error)))


def dumped(error: PreopError) -> bytes:
    """Pickle an error such that it can be loaded elsewhere."""
    try:
        content = pickle.dumps(error)
        pickle.loads(content)  # noqa: S301 - just made; errors whose constructors take more cannot be loaded
    except Exception:  # noqa: BLE001
        content = pickle.dumps(PatientFailedError(str(error)))
    return content


def _loaded(message: bytes) -> Any:
    try:
        return pickle.loads(message)  # noqa: S301 - from a process that this one has started
    except Exception as error:  # noqa: BLE001
        return PatientFailedError(f"Its result cannot be read ({type(error).__name__}: {error}).")


def _one_thread() -> None:
    """Keep to one thread: the patients share the cores already."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def _end_with_parent() -> None:
    """End at once when the process that started this one has ended, however it did."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _told_death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name if -exit_code in set(signal.Signals) else f"signal {-exit_code}"
        if -exit_code == signal.SIGKILL:
            return "Its process was killed (SIGKILL), as a system does that runs out of memory."
        return f"Its process crashed ({name}): an image or mask may be damaged."
    return f"Its process ended with exit code {exit_code} before the patient was done."


def _not_started(exit_code: int | None) -> PreopError:
    if exit_code == _UNGUARDED:
        return InvalidInputError(
            "The calling script would start itself again for each patient: put what it does below "
            "if __name__ == '__main__':"
        )
    return MissingToolError(f"A process for the patients could not be started: it ended with exit code {exit_code}.")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
