"""An algorithm run on the patients of a cohort by an engine, as strict as on the platform: it may come from anyone.

A program is started once for each core and keeps its model, so that a container starts once and not for every patient.
"""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from preop.cohort.running import PatientFailedError, cores, told
from preop.cohort.table import Patient
from preop.engines.base import DEFAULT_OPTIONS, Engine
from preop.engines.programs import Program
from preop.engines.running import Run, run
from preop.engines.serving import Server, serve
from preop.errors import InvalidModelError, InvalidOutputError, PreopError
from preop.grandchallenge.handing_over import hand_over
from preop.grandchallenge.options import Options
from preop.grandchallenge.roots import Roots
from preop.progress import progress_bar

Item = TypeVar("Item")


class Predictions:
    """Predicts patients with a program under an engine; made by :func:`predicting`."""

    def __init__(self, start: Callable[[], Server] | None, alone: Callable[[Path, Path], Run], workers: int) -> None:
        self._start = start
        self._alone = alone
        self._workers = workers
        self._idle: queue.LifoQueue[Server | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)

    def predict(self, patient: Patient, folder: Path) -> None:
        """Write the outputs of a patient into ``folder/output``.

        Raises
        ------
        PatientFailedError
            If the program failed, with its sentence, and apart from it all else that it said.
        """
        result = (
            self._by_server(patient, folder / "output") if self._start else self._by_itself(patient, folder / "output")
        )
        if result.error is not None:
            raise PatientFailedError(result.error, result.details)

    def map(
        self, function: Callable[[Item], None], items: Sequence[Item], *, description: str | None
    ) -> Generator[tuple[Item, PreopError | None], None, None]:
        """Call a function that predicts for each item, several at a time, as ``map_patients`` does.

        Raises
        ------
        InvalidModelError
            If the program does not start with this model.
        """
        if not items:
            return
        if self._start:  # a wrong model is told before the first patient
            self._idle.get()
            self._idle.put(self._start())
        threads = ThreadPoolExecutor(min(self._workers, len(items)))
        try:
            todo = {threads.submit(function, item): item for item in items}
            with progress_bar(str(description), len(items)) as advance:
                for done in as_completed(todo):
                    error = done.exception()
                    advance(1)
                    yield todo[done], None if error is None else told(error)
        finally:
            # Waits for none of them: they end with their programs, and whoever waits may have pressed Ctrl-C.
            threads.shutdown(wait=False, cancel_futures=True)

    def _by_server(self, patient: Patient, output: Path) -> Run:
        server = self._idle.get()
        try:
            if server is None or server.has_ended:
                server = self._start()  # type: ignore[misc]
            return server.invoke_on(lambda inside: hand_over(patient.case, inside), output=output)
        finally:
            self._idle.put(server)

    def _by_itself(self, patient: Patient, output: Path) -> Run:
        with tempfile.TemporaryDirectory(dir=output.parent) as folder:
            hand_over(patient.case, Path(folder))
            return self._alone(Path(folder), output)


@contextmanager
def predicting(
    engine: Engine,
    program: Program,
    model: Path,
    work: Path,
    *,
    options: Options = DEFAULT_OPTIONS,
    workers: int | None = None,
) -> Iterator[Predictions]:
    """Keep programs ready that predict the patients of a cohort, and end them all when the block ends.

    Parameters
    ----------
    work
        Folder for their files, on the disk of the outputs; the caller holds its lock.
    workers
        Programs at a time; by default one for each core.
    """
    lock = threading.Lock()
    options = replace(options, threads=1)  # the patients share the cores already
    with ExitStack() as servers:

        def start() -> Server:
            started = serve(engine, program, work, model=model, options=options)
            try:
                server = started.__enter__()
            except InvalidOutputError as error:
                raise InvalidModelError(str(error).replace(str(Roots().model), str(model))) from None
            with lock:
                servers.push(started)
            return server

        def alone(folder: Path, output: Path) -> Run:
            return run(engine, program, input=folder, output=output, model=model, options=options)

        yield Predictions(start if engine.own_network else None, alone, workers or cores())
