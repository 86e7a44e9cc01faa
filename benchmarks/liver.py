"""Growth patterns on simulated liver metastases: ``python benchmarks/liver.py FOLDER``.

Learns from 400 simulated patients, and tries what it has learned on 200 external ones of other scanners: radiomics and
network combined, each alone, the mean of the training patients, and the oracle of an observer who knows what the
patients were made from. Intervals are from resampled patients, and DeLong's for the AUC of patients.

All models come from one training run: the same folds, the same learners. Finished parts are kept in FOLDER, and a run that
was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from liver_growth_pattern.evidence import MODELS, figures
from liver_growth_pattern.external import external_evidence
from liver_growth_pattern.learning import Settings, fit_model, mean_shares
from liver_growth_pattern.preparation import SECOND_SEGMENTATION
from liver_growth_pattern.simulation import CENTRES, EXTERNAL_CENTRES, simulate
from liver_growth_pattern.training import prepare
from preop.cohort import Cohort, read_cohort
from preop.folders import open_resumable_run
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.values import read_json, to_json

ALGORITHM = Path(__file__).parents[1] / "algorithms" / "liver_growth_pattern"
TRAINING_SEED, EXTERNAL_SEED = 31, 32
NAMES = {"combination": "radiomics and network", "radiomics": "radiomics alone", "network": "network alone"}


def main() -> None:
    """Simulate, train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for patients and results; 0.5 GB")
    parser.add_argument("--patients", type=int, default=400)
    parser.add_argument("--external", type=int, default=200)
    arguments = parser.parse_args()
    settings = Settings()
    open_resumable_run(
        arguments.folder,
        {
            "patients": arguments.patients,
            "external": arguments.external,
            "settings": settings.model_dump_json(),
        },
    )
    known = arguments.folder / "evidence.json"
    if not known.is_file():
        evidence = run(arguments.folder, arguments.patients, arguments.external, settings)
        partial = known.with_name(".evidence.json")
        partial.write_text(to_json(evidence), encoding="utf-8")
        partial.replace(known)
    evidence = read_json(known)
    print(f"{arguments.patients} patients to train, {arguments.external} external; ", end="")
    print(f"{evidence['minutes']:.0f} minutes of training; {os.cpu_count()} cores, torch {torch.__version__}\n")
    print_table(figures(evidence))


def run(folder: Path, patients: int, external: int, settings: Settings) -> dict[str, Any]:
    """Train on one cohort, and gather what is said of the other."""
    algorithm = read_algorithm(ALGORITHM)
    simulate(patients, TRAINING_SEED, folder / "training", centres=CENTRES)
    simulate(external, EXTERNAL_SEED, folder / "external", centres=EXTERNAL_CENTRES)
    training, other = (read_cohort(folder / name / "cohort.csv", algorithm) for name in ("training", "external"))
    prepared = [each.patient for each in prepare(drawn_once(training), folder / "work" / "training")]
    start = time.perf_counter()
    fitted = fit_model(prepared, settings, folder=folder / "work" / "networks")
    minutes = (time.perf_counter() - start) / 60
    without = mean_shares(prepared)
    return external_evidence(other, fitted, without=without, work=folder / "work" / "external") | {"minutes": minutes}


def drawn_once(cohort: Cohort) -> Cohort:
    """Leave out the second segmentation, from which nothing is learned."""
    patients = (
        replace(patient, row={name: cell for name, cell in patient.row.items() if name != SECOND_SEGMENTATION})
        for patient in cohort.patients
    )
    return replace(cohort, patients=tuple(patients))


def print_table(known: dict[str, Any]) -> None:
    """Print each model beside the mean of the cohort and the oracle."""
    columns = ("AUC of patients", "AUC pure or mixed", "error of shares", "predominant right")
    print(f"{'':34}" + "".join(f"{column:>24}" for column in columns) + f"{'log score':>12}")
    keys = ("patient_auc", "lesion_auc_pure", "error_of_shares", "predominant_accuracy")
    for model in MODELS:
        of = known["models"][model]
        print(f"{NAMES[model]:34}" + "".join(f"{_written(of[key]):>24}" for key in keys) + f"{of['log_score']:>12.3f}")
    print(f"{'mean of the training patients':34}{'':48}{_written(known['error_without_looking']):>24}")
    if best := known["oracle"]:
        shown = (best["patient_auc"], best["lesion_auc_pure"], best["error_of_shares"])
        print(f"{'oracle':34}" + "".join(f"{value:>24.3f}" for value in shown))
    print("\nThe combination compared with (error below 0 or AUC above 0: the combination is better):")
    for each in known["comparisons"]:
        area = each["difference_of_patient_auc"]
        difference = f"{'':24}" if area is None else f"{_written(area, '+'):>24}"
        print(f"{each['baseline']:34}{difference}{'':24}{_written(each['difference_of_error'], '+'):>24}")


def _written(estimate: dict[str, float | None], signs: str = "") -> str:
    if estimate["lower"] is None:
        return f"{estimate['value']:{signs}.3f}"
    return f"{estimate['value']:{signs}.3f} [{estimate['lower']:{signs}.3f}, {estimate['upper']:{signs}.3f}]"


if __name__ == "__main__":
    main()
