"""Growth patterns on simulated liver metastases: ``python benchmarks/liver.py FOLDER``.

Learns from 400 simulated patients, and tests what it has learned on 200 external ones of other scanners: radiomics and
network combined, each alone, the mean of the training patients, and the oracle of an observer who knows what the patients
were made from. Intervals are from resampled patients, and DeLong's for the AUC of patients.

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

from liver_growth_pattern.external import external_evidence
from liver_growth_pattern.learning import Settings, fit_model, mean_shares
from liver_growth_pattern.preparation import SECOND_SEGMENTATION
from liver_growth_pattern.simulation import CENTRES, EXTERNAL_CENTRES, simulate
from liver_growth_pattern.training import prepare
from preop.cohort import Cohort, read_cohort
from preop.evidence import SharesEvidence
from preop.evidence.wording import estimate_in_words
from preop.folders import open_resumable_run
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.values import read_json, to_json
from preop.statistics import Estimate

ALGORITHM = Path(__file__).parents[1] / "algorithms" / "liver_growth_pattern"
TRAINING_SEED, EXTERNAL_SEED = 31, 32


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
        found = run(arguments.folder, arguments.patients, arguments.external, settings)
        partial = known.with_name(".evidence.json")
        partial.write_text(to_json(found), encoding="utf-8")
        partial.replace(known)
    found = read_json(known)
    print(f"{arguments.patients} patients to train, {arguments.external} external; ", end="")
    print(f"{found['minutes']:.0f} minutes of training; {os.cpu_count()} cores, torch {torch.__version__}\n")
    print_table(SharesEvidence.read(found["evidence"]))


def run(folder: Path, patients: int, external: int, settings: Settings) -> dict[str, Any]:
    """Train on one cohort, and gather what is predicted of the other."""
    algorithm = read_algorithm(ALGORITHM)
    simulate(patients, TRAINING_SEED, folder / "training", centres=CENTRES)
    simulate(external, EXTERNAL_SEED, folder / "external", centres=EXTERNAL_CENTRES)
    training, other = (read_cohort(folder / name / "cohort.csv", algorithm) for name in ("training", "external"))
    prepared = [each.patient for each in prepare(drawn_once(training), folder / "work" / "training")[0]]
    start = time.perf_counter()
    fitted = fit_model(prepared, settings, folder=folder / "work" / "networks")
    minutes = (time.perf_counter() - start) / 60
    work = folder / "work" / "external"
    evidence = external_evidence(other, fitted, cohort_mean=mean_shares(prepared), work=work)
    return {"minutes": minutes, "evidence": evidence.model_dump(mode="json")}


def drawn_once(cohort: Cohort) -> Cohort:
    """Leave out the second segmentation, from which nothing is learned."""
    patients = (
        replace(patient, row={name: cell for name, cell in patient.row.items() if name != SECOND_SEGMENTATION})
        for patient in cohort.patients
    )
    return replace(cohort, patients=tuple(patients))


def print_table(study: SharesEvidence) -> None:
    """Print each model, the mean of the cohort and the oracle."""
    columns = ("AUC of patients", "AUC pure or mixed", "error of shares", "predominant right")
    print(f"{'':34}" + "".join(f"{column:>24}" for column in columns) + f"{'log score':>12}")
    for model, words in study.models.items():
        shares = study.shares_by(model)
        right = shares.agreement.accuracy if shares.agreement else None
        numbers = (study.patients_by(model).auc, shares.pure_auc, shares.error, right)
        print(
            f"{words:34}" + "".join(f"{_written(each):>24}" for each in numbers) + f"{shares.log_scores.mean():>12.3f}"
        )
    print(f"{'mean of the training patients':34}{'':48}{_written(study.cohort_mean_error):>24}")
    if best := study.oracle_figures:
        print(f"{'oracle':34}" + "".join(f"{'-' if value is None else f'{value:.3f}':>24}" for value in best.values()))
    print("\nThe combination compared with (better where the error is below 0, the AUC above 0):")
    for name, error in study.error_comparisons.items():
        area = study.auc_comparisons.get(name)
        print(f"{name:34}{_written(area.difference if area else None):>24}{'':24}{_written(error):>24}")


def _written(estimate: Estimate | None) -> str:
    return "-" if estimate is None else estimate_in_words(estimate, digits=3)


if __name__ == "__main__":
    main()
