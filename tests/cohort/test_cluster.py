"""A cohort on a Dask cluster of several processes: nobody is lost when a worker dies, and a slow one holds up nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from preop.cohort import Cohort, Predicted, predict_cohort, read_cohort
from preop.cohort.cluster import Cluster, UnfitWorkerError, cluster_at
from preop.cohort.running import PatientFailedError
from preop.engines.choosing import find_engine
from preop.errors import InvalidInputError, MissingToolError
from preop.grandchallenge.algorithm import Algorithm
from preop.imaging import Geometry, Image, write_image
from tests.cohort.test_validation import TASK, scores

pytest.importorskip("distributed", reason="a cluster needs requirements/cluster.txt")
pytestmark = pytest.mark.slow

GRID = Geometry.axis_aligned((2, 3, 4), (3.0, 1.0, 1.0))
START = "import sys; from distributed.cli.dask_{0} import main; sys.argv[0] = 'dask-{0}'; main()"
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """File of a scheduler in a process of its own."""
    folder = tmp_path_factory.mktemp("scheduler")
    file = folder / "scheduler.json"
    options = ["--scheduler-file", str(file), "--port", "0", "--no-dashboard", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [sys.executable, "-c", START.format("scheduler"), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not file.exists() and process.poll() is None:
        time.sleep(0.1)
    yield file
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def start(scheduler: Path) -> Iterator[Start]:
    """Function that starts a worker in a process of its own, with further variables of the environment."""
    started = []

    def worker(**environment: str) -> subprocess.Popen[bytes]:
        options = ["--scheduler-file", str(scheduler), "--nthreads", "1", "--no-dashboard", "--no-nanny"]
        options += ["--host", "127.0.0.1", "--local-directory", str(scheduler.parent)]
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", START.format("worker"), *options],
                env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        return started[-1]

    yield worker
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def cluster(scheduler: Path, start: Start) -> Iterator[Cluster]:
    """Two workers that live as long as the tests of this file."""
    for _ in range(2):
        start()
    with cluster_at(str(scheduler)) as connected:
        connected._client.wait_for_workers(2, timeout=100)
        yield connected


def set_variable(name: str, value: str) -> None:
    os.environ[name] = value


def act(what: str) -> tuple[str, int]:
    """Do what is asked, and tell which process did."""
    if what == "slow" or (what == "ok" and os.environ.get("SLOW")):
        time.sleep(0.5)
    elif what == "fail":
        raise InvalidInputError("The scan is upside down.")
    elif what == "unforeseen":
        raise ZeroDivisionError("two lines")
    elif what == "once" and not Path(os.environ["ONCE"]).exists():
        Path(os.environ["ONCE"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return what, os.getpid()


def test_what_goes_wrong_with_one_patient_stays_with_that_one(cluster: Cluster) -> None:
    found = dict(cluster.map(act, ["ok", "fail", "unforeseen", "slow"], description="Testing"))
    assert found["ok"][0] == "ok"
    assert found["slow"][0] == "slow"
    assert str(found["fail"]) == "The scan is upside down."
    assert isinstance(found["fail"], InvalidInputError)
    assert isinstance(found["unforeseen"], PatientFailedError)
    assert "ZeroDivisionError" in found["unforeseen"].details


def test_the_patients_of_a_worker_that_is_killed_go_to_the_others(
    cluster: Cluster, start: Start, tmp_path: Path
) -> None:
    """One of three is killed at the first patient: each patient is done, and comes back once."""
    start()
    cluster._client.wait_for_workers(3, timeout=100)
    once = str(tmp_path / "once")
    cluster._client.run(set_variable, "ONCE", once)
    items = ["once", *["ok"] * 20]
    found = list(cluster.map(act, items, description="Testing"))
    assert [item for item, _ in sorted(found)] == sorted(items)
    assert sorted(result[0] for _, result in found) == sorted(items)
    assert len(cluster._client.scheduler_info()["workers"]) == 2
    assert Path(once).exists()


def test_a_slow_worker_holds_up_nobody_else(cluster: Cluster) -> None:
    slow, *_ = cluster._client.scheduler_info()["workers"]
    cluster._client.run(set_variable, "SLOW", "1", workers=[slow])
    pid = cluster._client.run(os.getpid, workers=[slow])[slow]
    begin = time.monotonic()
    found = [result for _, result in cluster.map(act, ["ok"] * 40, description="Testing")]
    cluster._client.run(set_variable, "SLOW", "", workers=[slow])
    assert len(found) == 40
    assert time.monotonic() - begin < 10  # half of them on the slow one would take as long
    assert 0 < sum(process == pid for _, process in found) < 10


def test_a_worker_that_is_unlike_this_machine_is_sent_away(cluster: Cluster, start: Start) -> None:
    start(ODD="1")
    cluster._client.wait_for_workers(3, timeout=100)
    found = list(cluster.map(unless_odd, list(range(30)), description="Testing"))
    assert sorted(found) == [(number, number) for number in range(30)]
    assert len(cluster._client.scheduler_info()["workers"]) == 2


def unless_odd(number: int) -> int:
    """Refuse to compute on a worker of other versions."""
    if os.environ.get("ODD"):
        raise UnfitWorkerError("Its versions differ.")
    time.sleep(0.05)
    return number


def test_a_cohort_is_validated_on_a_cluster_as_on_this_machine(
    cluster: Cluster, toy: Algorithm, toy_model: Path, tmp_path: Path
) -> None:
    """Each worker keeps one program; a patient who fails is one failed job; and nobody is predicted twice."""
    cohort = cohort_of(toy, tmp_path, ("a", "b", "broken", "d", "e", "f"))
    (tmp_path / "task.toml").write_text(TASK)
    engine = find_engine("process")

    def predict(output: str, **options: Cluster) -> Predicted:
        task = tmp_path / "task.toml"
        return predict_cohort(cohort, toy_model, tmp_path / output, task=task, engine=engine, **options)

    outcome = predict("there", cluster=cluster)
    assert list(outcome.failures) == ["broken"]
    assert scores(tmp_path / "there") == {"a": 0.0, "b": 0.1, "broken": None, "d": 0.3, "e": 0.4, "f": 0.5}
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "there").glob("predictions/*/output/score.json")}
    assert len(made) == 5
    again = predict("there", cluster=cluster)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert (again.content_sha256, list(again.failures)) == (outcome.content_sha256, ["broken"])


def cohort_of(toy: Algorithm, folder: Path, names: tuple[str, ...]) -> Cohort:
    for number in range(len(names)):
        write_image(Image(np.full(GRID.shape, number / 10, np.float32), GRID), folder / f"{number}.mha")
    rows = [f"{name},{number}.mha,{number % 2}" for number, name in enumerate(names)]
    (folder / "cohort.csv").write_text("\n".join(["patient,scan,outcome", *rows]))
    return read_cohort(folder / "cohort.csv", toy)


def test_without_a_scheduler_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preop.cohort.cluster.CONNECT_S", 1)
    with (
        pytest.raises(MissingToolError, match="No Dask scheduler answers at tcp"),
        cluster_at("tcp://127.0.0.1:9"),
    ):
        pass
