"""The patients of a cohort on many machines: a Dask cluster in place of this machine's cores.

The machines share a disk, on which table, images, model and output lie at the same places, as on any batch system. Each worker
keeps one program with one model. What is finished lies in the output folder, so that nothing depends on the memory of the
cluster: a worker may be killed, and whoever asked too.
"""

from __future__ import annotations

import atexit
import pickle
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from preop.cohort.running import PatientFailedError, dumped, told
from preop.cohort.serving import Predictions, predicting
from preop.cohort.table import Patient
from preop.engines.base import DEFAULT_OPTIONS, Engine, Identity
from preop.engines.choosing import EngineChoice, engine_for
from preop.engines.containers import ContainerEngine
from preop.engines.importing import imported_program
from preop.engines.programs import Program
from preop.errors import MissingToolError, PreopError
from preop.grandchallenge.options import Options
from preop.progress import progress_bar
from preop.study import importable_studies, make_importable

if TYPE_CHECKING:
    from distributed import Client, Future

Item = TypeVar("Item")

WORKERS_JOIN_S = 120
"""How long to wait for the first worker: a batch system may have to start it."""
IDLE_S = 120
"""After this time without a patient a worker lets go of its model: whoever asked may have been killed."""
_WINDOW = 2000
"""Tasks that are known to the scheduler at a time: enough for hundreds of workers, and small for any number of patients."""


class UnfitWorkerError(PreopError):
    """A worker that would not compute what this machine would."""


class Cluster:
    """The workers of a Dask scheduler; made by :func:`cluster_at`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def map(
        self, function: Callable[[Item], Any], items: Sequence[Item], *, description: str | None
    ) -> Generator[tuple[Item, Any], None, None]:
        """Call a function for each item on the workers, as ``map_patients`` does on this machine.

        A worker that dies gives its patient back to the others; a patient with whom several have died has failed. A worker
        that is not like this machine is sent away.

        Raises
        ------
        MissingToolError
            If no worker is left that is like this machine, or the scheduler no longer answers.
        """
        from distributed import as_completed

        if not items:
            return
        studies = importable_studies()
        waiting = iter(items)
        running: dict[Future, Item] = {}
        finished = as_completed([], raise_errors=False)

        def submit(item: Item) -> None:
            future = self._client.submit(_attempt, function, item, studies, pure=False)
            running[future] = item
            finished.add(future)

        try:
            with progress_bar(str(description), len(items)) as advance:
                for _, item in zip(range(_WINDOW), waiting, strict=False):
                    submit(item)
                for future in finished:
                    item = running.pop(future)
                    result = self._result(future)
                    if isinstance(result, UnfitWorkerError):
                        submit(item)
                        continue
                    for following in waiting:
                        submit(following)
                        break
                    advance(1)
                    yield item, result
        finally:
            self._client.cancel(list(running))

    @contextmanager
    def predicting(
        self,
        engine: Engine,
        program: Program,
        model: Path,
        work: Path,
        *,
        options: Options = DEFAULT_OPTIONS,
        archive: Path | None = None,
    ) -> Iterator[RemotePredictions]:
        """Give what predicts patients on the workers, each of which must run just the program that runs here.

        Parameters
        ----------
        archive
            That of an imported image, which workers load where they do not have it.
        """
        predict = RemotePredict(
            engine.name,  # type: ignore[arg-type]
            program,
            engine.identify(program),
            model.absolute(),
            work.absolute(),
            options,
            None if archive is None else archive.absolute(),
            uuid4().hex,
        )
        yield RemotePredictions(predict, self.map)

    def _result(self, future: Future) -> Any:
        """Give what became of a task; a worker that is unfit is sent away."""
        from distributed import KilledWorker

        if future.status in {"cancelled", "lost"}:
            raise MissingToolError(
                "The scheduler no longer answers, or has forgotten this run; what was finished is kept, and the same "
                "command goes on from there."
            )
        error = future.exception()
        if isinstance(error, KilledWorker):
            return PatientFailedError("Several workers died one after the other while they were at it.")
        if error is not None:
            return told(error)
        worker, content = future.result()
        result = pickle.loads(content)  # noqa: S301 - Dask itself runs what its workers send
        if isinstance(result, UnfitWorkerError):
            self._client.retire_workers([worker], close_workers=True)
            if not self._client.scheduler_info(n_workers=-1)["workers"]:
                raise MissingToolError(f"No worker is left that is like this machine. The last one said: {result}")
        return result


@dataclass(frozen=True)
class RemotePredictions:
    """As ``Predictions``, on a cluster."""

    predict: Callable[[Patient, Path], None]
    map: Callable[..., Generator[tuple[Any, Any], None, None]]


@contextmanager
def cluster_at(scheduler: str) -> Iterator[Cluster]:
    """Connect with a Dask scheduler, and wait until a worker is there.

    Parameters
    ----------
    scheduler
        Its address, such as ``tcp://host:8786``, or the file that ``--scheduler-file`` has made.

    Raises
    ------
    MissingToolError
        If Dask is not installed, the scheduler does not answer, or has no worker.
    """
    try:
        from distributed import Client
    except ImportError:
        raise MissingToolError(
            "A cluster needs dask.distributed, here and on its machines: pip install -r requirements/cluster.txt"
        ) from None
    by_file = Path(scheduler).is_file()
    try:
        client = Client(scheduler_file=scheduler) if by_file else Client(scheduler)
    except (OSError, ValueError) as error:
        raise MissingToolError(
            f"No Dask scheduler answers at {scheduler} ({error}); start one with: dask scheduler --scheduler-file FILE"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKERS_JOIN_S)
        except TimeoutError:
            raise MissingToolError(
                f"The scheduler at {scheduler} has had no worker for {WORKERS_JOIN_S} s; start some with: dask worker "
                f"{scheduler if not by_file else '--scheduler-file FILE'} --nthreads 1"
            ) from None
        yield Cluster(client)


@dataclass(frozen=True)
class RemotePredict:
    """Predicts a patient on the worker that it is sent to, with the program that this worker keeps.

    Attributes
    ----------
    engine, program, expected
        What is to run there, and what it must be made of.
    run
        Tells one validation from the next.
    """

    engine: EngineChoice
    program: Program
    expected: Identity
    model: Path
    work: Path
    options: Options
    archive: Path | None
    run: str

    def __call__(self, patient: Patient, folder: Path) -> None:
        """Write the outputs of a patient into ``folder/output``, which lies on the disk that all share."""
        with _kept.using(self) as predictions:
            predictions.predict(patient, folder)

    def start(self, stack: ExitStack) -> Predictions:
        """Start the program on this worker.

        Raises
        ------
        UnfitWorkerError
            If this worker has another program, or does not share the disk.
        """
        try:
            program = self.program
            if not self.work.is_dir() or not self.model.is_dir():
                raise UnfitWorkerError(f"It does not see {self.work} and {self.model}: the machines must share a disk.")
            if self.archive is not None:
                engine = engine_for(program, self.engine)
                if isinstance(engine, ContainerEngine) and engine.labels_of(program) is None:
                    imported_program(engine, program, self.archive)
            engine = engine_for(program, self.engine)
            found = engine.identify(program)
        except PreopError as error:
            raise UnfitWorkerError(str(error)) from None
        if found != self.expected:
            raise UnfitWorkerError(
                "Its program is not the one of the machine that asks: install the same versions, from the same checkout."
            )
        return stack.enter_context(predicting(engine, program, self.model, self.work, options=self.options, workers=1))


class _Kept:
    """The one program that this worker keeps, for one validation at a time, as long as patients come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._run: str | None = None
        self._predictions: Predictions | None = None
        self._used = 0.0

    @contextmanager
    def using(self, asked: RemotePredict) -> Iterator[Predictions]:
        with self._lock:
            if self._run != asked.run or self._predictions is None:
                self._end()
                self._predictions = asked.start(self._stack)
                self._run = asked.run
                threading.Thread(target=self._end_when_idle, args=(asked.run,), daemon=True).start()
            try:
                yield self._predictions
            finally:
                self._used = time.monotonic()

    def end(self) -> None:
        with self._lock:
            self._end()

    def _end(self) -> None:
        self._run = self._predictions = None
        with suppress(Exception):  # what it kept may have died
            self._stack.close()

    def _end_when_idle(self, run: str) -> None:
        while True:
            time.sleep(IDLE_S / 4)
            with self._lock:
                if self._run != run:
                    return
                if time.monotonic() - self._used > IDLE_S:
                    self._end()
                    return


_kept = _Kept()
atexit.register(_kept.end)


def _attempt(function: Callable[[Any], Any], item: Any, studies: Sequence[Path]) -> tuple[str, bytes]:
    """Call a function on a worker; whatever goes wrong comes back as a result, with the worker's address."""
    from distributed import get_worker

    for folder in studies:
        make_importable(folder)
    try:
        result = pickle.dumps(function(item))
    except BaseException as error:  # noqa: BLE001 - a library may raise anything, SystemExit too
        result = dumped(told(error))
    return get_worker().address, result
