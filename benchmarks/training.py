"""Training on one core and on all: ``python benchmarks/training.py FOLDER``.

The validations of the two studies that train networks on scans, on simulated patients (of the bladder study with the network
that was its default, before a scorer that needs no epochs): the networks of all folds one after another, then side by side. What
is said of every patient has to be the same to the last bit. Patients and what was cut out of them are kept in FOLDER.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

import bladder_lymph_nodes.simulation
import bladder_lymph_nodes.training
import liver_growth_pattern.simulation
import liver_growth_pattern.training
from bladder_lymph_nodes.network import make_network
from bladder_lymph_nodes.settings import NetworkSettings
from liver_growth_pattern.learning import Settings as LiverSettings
from liver_growth_pattern.learning import fit_model, train_networks_ahead
from preop.cohort import Cohort, map_patients, read_cohort
from preop.grandchallenge.algorithm import read_algorithm
from preop.mil import Settings, cross_validate, stratified_folds
from preop.mil.ahead import Each

ALGORITHMS = Path(__file__).parents[1] / "algorithms"
SEED = 1

Validation = Callable[[Path, Each | None], object]
"""Trains in a folder, and gives all that the networks say."""


def main() -> None:
    """Prepare, train twice, and print a row a study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=list(STUDIES), help="studies to train")
    arguments = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"
    )
    print(f"\n| validation of {arguments.patients} patients | networks | one after another | side by side | times |")
    print("|---|---|---|---|---|")
    for name in arguments.only:
        networks, validate = STUDIES[name](arguments.folder / name, arguments.patients)
        seconds, said = [], []
        for each in (None, map_patients):
            run = arguments.folder / name / "run"
            shutil.rmtree(run, ignore_errors=True)
            start = time.perf_counter()
            said.append(validate(run, each))
            seconds.append(time.perf_counter() - start)
        if said[0] != said[1]:
            raise SystemExit(f"{name}: what is said of the patients differs.")
        after, beside = seconds
        print(f"| `{name}` | {networks} | {after:.0f} s | {beside:.0f} s | {after / beside:.2f} |", flush=True)


def cohort_of(name: str, folder: Path, simulate: Callable[[Path], object]) -> Cohort:
    """Simulated patients of a study."""
    if not (folder / "cohort" / "cohort.csv").is_file():
        simulate(folder / "cohort")
    return read_cohort(folder / "cohort" / "cohort.csv", read_algorithm(ALGORITHMS / name))


def bladder(folder: Path, patients: int) -> tuple[int, Validation]:
    """Networks on the measures of lymph nodes."""
    cohort = cohort_of("bladder_lymph_nodes", folder, partial(bladder_lymph_nodes.simulation.simulate, patients, SEED))
    network = NetworkSettings(instances="measures")
    prepared, measured, _ = bladder_lymph_nodes.training.prepare(cohort, network, folder / "prepared")
    bags = [each.bag for each in prepared]
    settings = Settings(epochs=60, patience=15, folds=5, learning_rate=4e-3, instances_per_batch=256)

    def validate(run: Path, each: Each | None) -> object:
        held_out = cross_validate(
            partial(make_network, network, len(measured)), bags, settings, folds=5, folder=run, each=each
        )
        return [row.prediction.probability for row in held_out]

    return 25, validate


def liver(folder: Path, patients: int) -> tuple[int, Validation]:
    """Networks on the unrolled interface of metastases."""
    cohort = cohort_of(
        "liver_growth_pattern", folder, partial(liver_growth_pattern.simulation.simulate, patients, SEED)
    )
    prepared = [each.patient for each in liver_growth_pattern.training.prepare(cohort, folder / "prepared")[0]]
    settings = LiverSettings(folds=3)
    folds = stratified_folds([each.bag for each in prepared], settings.folds, SEED)
    parts = {name: [row for row in range(len(prepared)) if row not in set(rows)] for name, rows in folds.items()}

    def validate(run: Path, each: Each | None) -> object:
        if each:
            train_networks_ahead(
                prepared,
                {run / name: rows for name, rows in parts.items()},
                settings,
                each=each,
                advance=lambda _: None,
            )
        said = []
        for name, rows in parts.items():
            fitted = fit_model([prepared[row] for row in rows], settings, folder=run / name)
            said.append(fitted.regression.predict(prepared[0].rows).tolist())
            said += [value.tolist() for network in fitted.by_torch for value in network.state_dict().values()]
        return said

    return settings.training.folds * settings.folds, validate


STUDIES = {"bladder_lymph_nodes": bladder, "liver_growth_pattern": liver}

if __name__ == "__main__":
    main()
