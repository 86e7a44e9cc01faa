"""How long a validation takes on a cluster.

``python benchmarks/validation.py schedule`` simulates the schedule of ``preop validate --scheduler`` for 100,000 patients on 200
workers, event by event: images that are read from one shared disk (once for their checksums, once for the prediction), a
model that each worker loads, patients of different length, slow workers, and workers that die. The table is in
docs/validation.md. ``python benchmarks/validation.py speed COHORT --study NAME`` measures two workers against one on a cohort
of your own, on local processes; ``python benchmarks/validation.py waiting`` does so for patients that wait for half a second and
need no processor: what the cluster itself takes, also on a machine that is busy.
"""

from __future__ import annotations

import argparse
import heapq
import os
import tempfile
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

HOUR = 3600.0


@dataclass(frozen=True)
class Setting:
    """What a validation is like.

    Attributes
    ----------
    patients, workers
        How many.
    compute_s, spread
        Median time of a patient, and the standard deviation of its logarithm.
    image_mb
        What is read of a patient.
    disk_mb_s, link_mb_s
        What the shared disk gives in all, and what one worker can take.
    load_s, model_mb
        Time in which a worker starts its program and loads its model, beside reading it.
    slow, slowness
        Share of the workers that are slow, and by what factor.
    deaths_per_hour
        Of each worker; it is back after ``back_s``, and its patient is begun again by whoever is free.
    task_s
        What the scheduler needs for a task.
    static
        Whether each worker gets its share of the patients beforehand, as an array of jobs would, for comparison.
    """

    patients: int = 100_000
    workers: int = 200
    compute_s: float = 60.0
    spread: float = 0.5
    image_mb: float = 250.0
    disk_mb_s: float = 5000.0
    link_mb_s: float = 100.0
    load_s: float = 30.0
    model_mb: float = 500.0
    slow: float = 0.0
    slowness: float = 3.0
    deaths_per_hour: float = 0.0
    back_s: float = 300.0
    task_s: float = 0.001
    static: bool = False


@dataclass(frozen=True)
class Schedule:
    """How a simulated validation went.

    Attributes
    ----------
    hours
        Until the last patient.
    busy
        Share of the workers' time in which they computed.
    reading
        Share in which they waited for the disk.
    tail_minutes
        From when the first worker had nothing left to do until the end.
    again
        Patients that were begun more than once.
    """

    hours: float
    busy: float
    reading: float
    tail_minutes: float
    again: int


def simulate(setting: Setting, seed: int) -> Schedule:
    """Simulate one validation, event by event; the same seed gives the same schedule."""
    return _Simulation(setting, seed).run()


class _Simulation:
    """Events in order of time: a worker starts, has read its model or a patient, or is done with it.

    A transfer keeps the speed that the disk has for it when it begins. A worker that has died is found out at its next event.
    """

    def __init__(self, setting: Setting, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.setting, self.rng = setting, rng
        self.compute = setting.compute_s * np.exp(rng.normal(0, setting.spread, setting.patients))
        self.slowness = np.where(rng.random(setting.workers) < setting.slow, setting.slowness, 1.0)
        self.shared = deque(range(setting.patients))
        self.own = [deque(range(first, setting.patients, setting.workers)) for first in range(setting.workers)]
        self.dies = [self._next_death(0.0) for _ in range(setting.workers)]
        self.events: list[tuple[float, int, int, str, int | None]] = []
        self.pushed = 0
        self.reading = 0  # workers that read now
        self.reading_s = self.busy_s = self.dispatched = self.finished = 0.0
        self.first_idle: float | None = None
        self.again = 0

    def run(self) -> Schedule:
        for worker in range(self.setting.workers):
            self._push(0.0, worker, "start", None)
        while self.events:
            now, _, worker, what, patient = heapq.heappop(self.events)
            if what == "read":
                self.reading -= 1
            if now >= self.dies[worker] and what != "start":
                self._die(now, worker, patient)
            elif what == "start":
                self._read(now, worker, self.setting.model_mb, None)
            elif what == "read":
                self._work(now, worker, patient)
            else:
                self._done(now, worker, patient)
        setting = self.setting
        # Checksums are read first, by all workers at the speed of the disk.
        checksums = setting.patients * setting.image_mb / min(setting.disk_mb_s, setting.workers * setting.link_mb_s)
        total = self.finished + checksums
        return Schedule(
            hours=total / HOUR,
            busy=self.busy_s / (total * setting.workers),
            reading=(self.reading_s + checksums * setting.workers) / (total * setting.workers),
            tail_minutes=(self.finished - (self.first_idle or self.finished)) / 60,
            again=self.again,
        )

    def _push(self, when: float, worker: int, what: str, patient: int | None) -> None:
        self.pushed += 1  # of two events at a time, the one that was made first
        heapq.heappush(self.events, (when, self.pushed, worker, what, patient))

    def _next_death(self, now: float) -> float:
        rate = self.setting.deaths_per_hour
        return now + self.rng.exponential(HOUR / rate) if rate else np.inf

    def _die(self, now: float, worker: int, patient: int | None) -> None:
        if patient is not None:
            self.again += 1
            self._todo(worker).appendleft(patient)
        back = now + self.setting.back_s
        self.dies[worker] = self._next_death(back)
        self._push(back, worker, "start", None)

    def _todo(self, worker: int) -> deque[int]:
        return self.own[worker] if self.setting.static else self.shared

    def _read(self, now: float, worker: int, megabytes: float, patient: int | None) -> None:
        self.reading += 1
        spent = megabytes / min(self.setting.link_mb_s, self.setting.disk_mb_s / self.reading)
        self.reading_s += spent
        self._push(now + spent, worker, "read", patient)

    def _work(self, now: float, worker: int, patient: int | None) -> None:
        spent = self.setting.load_s
        if patient is not None:
            spent = float(self.compute[patient] * self.slowness[worker])
            self.busy_s += spent
        self._push(now + spent, worker, "done", patient)

    def _done(self, now: float, worker: int, patient: int | None) -> None:
        if patient is not None:
            self.finished = max(self.finished, now)
        if not self._todo(worker):
            self.first_idle = self.first_idle or now
            return
        self.dispatched = max(now, self.dispatched + self.setting.task_s)
        self._read(self.dispatched, worker, self.setting.image_mb, self._todo(worker).popleft())


def print_schedules(patients: int, workers: int, seed: int) -> None:
    """Print the table of docs/validation.md."""
    usual = Setting(patients, workers)
    hard = replace(usual, slow=0.05, deaths_per_hour=0.05)
    settings = {
        "one worker": replace(usual, workers=1, patients=max(patients // workers, 1)),
        "all alike": usual,
        "5 % of workers three times slower": replace(usual, slow=0.05),
        "each worker dies once in 20 h": replace(usual, deaths_per_hour=0.05),
        "both": hard,
        "both, shares given out beforehand": replace(hard, static=True),
        "both, a disk of 1 GB/s": replace(hard, disk_mb_s=1000.0),
        "both, slides of 2 GB": replace(hard, image_mb=2000.0),
        "both, a model that loads for 10 min": replace(hard, load_s=600.0),
    }
    print("| | hours | computing | reading | from the first idle worker to the end | begun again |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, setting in settings.items():
        found = simulate(setting, seed)
        hours = found.hours * (workers if setting.workers == 1 else 1)
        print(
            f"| {name} | {hours:,.1f} | {found.busy:.0%} | {found.reading:.0%} | {found.tail_minutes:.1f} min | {found.again:,} |"
        )


def measure_speed(table: Path, study: str, most: int) -> None:
    """Validate a cohort on one local worker, then on more, and print how much faster these are."""
    from distributed import LocalCluster

    from preop.cli import repository
    from preop.cohort import predict_cohort, read_cohort
    from preop.cohort.cluster import cluster_at
    from preop.engines.choosing import engine_for
    from preop.engines.programs import algorithm_program

    algorithm = repository.find_algorithm(study)
    engine = engine_for(algorithm_program(algorithm))
    task = repository.ground_truth_folder(algorithm) / "task.toml"
    cohort = read_cohort(table, algorithm)
    alone = 0.0
    for workers in (1, most):
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as local,
            cluster_at(local.scheduler_address) as cluster,
            tempfile.TemporaryDirectory(dir=table.parent) as folder,
        ):
            begin = time.monotonic()
            outcome = predict_cohort(
                cohort, algorithm.folder / "model", Path(folder) / "v", task=task, engine=engine, cluster=cluster
            )
            seconds = time.monotonic() - begin
        alone = alone or seconds
        load = os.getloadavg()[0]
        print(
            f"{workers} workers: {seconds:.1f} s for {len(outcome.folders)} patients, {alone / seconds:.2f} times as fast "
            f"(load of this machine {load:.1f})"
        )


def measure_waiting(patients: int) -> None:
    """Let patients wait on one local worker, then on two, and print how much faster these are."""
    from distributed import LocalCluster

    from preop.cohort.cluster import cluster_at

    alone = 0.0
    for workers in (1, 2):
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as local,
            cluster_at(local.scheduler_address) as cluster,
        ):
            list(cluster.map(time.sleep, [0.0] * 2 * workers, description="Warming up"))
            begin = time.monotonic()
            list(cluster.map(time.sleep, [0.5] * patients, description="Waiting"))
            seconds = time.monotonic() - begin
        alone = alone or seconds
        print(f"{workers} workers: {seconds:.1f} s for {patients} patients, {alone / seconds:.2f} times as fast")


def main() -> None:
    """Simulate schedules, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    schedule = commands.add_parser("schedule", help="simulate")
    schedule.add_argument("--patients", type=int, default=100_000)
    schedule.add_argument("--workers", type=int, default=200)
    schedule.add_argument("--seed", type=int, default=1)
    speed = commands.add_parser("speed", help="measure on local processes")
    speed.add_argument("cohort", type=Path)
    speed.add_argument("--study", required=True)
    speed.add_argument("--workers", type=int, default=2)
    commands.add_parser("waiting", help="measure with patients that wait").add_argument(
        "--patients", type=int, default=60
    )
    arguments = parser.parse_args()
    if arguments.command == "schedule":
        print_schedules(arguments.patients, arguments.workers, arguments.seed)
    elif arguments.command == "waiting":
        measure_waiting(arguments.patients)
    else:
        measure_speed(arguments.cohort, arguments.study, arguments.workers)


if __name__ == "__main__":
    main()
