"""What each learner and each kind of label is worth for growth patterns: ``python benchmarks/liver.py FOLDER``.

On simulated patients of scanners that were not in training, 200 to test, and 200 to train, drawn anew for each seed:

- the algorithm as it trains, radiomics and network combined, and each alone;
- the same with other labels: of each patient the pattern alone, or a report of every metastasis where the cohorts of the study
  lack it for a quarter of the patients;
- the same as it learns from many more patients, with a report of every metastasis: those of all seeds together, and ``--ceiling``
  further ones of the test scanners. This is what the scans allow this method, where the observer of the last row knows variables
  that no image shows. A quarter and a half of these patients stand beside all: while the figures still rise, more is to be had.

Patients and results are kept in FOLDER, and a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

from liver_growth_pattern.fitted import LEARNERS_OF, Patient
from liver_growth_pattern.learning import Settings, fit_model, mean_shares
from liver_growth_pattern.lesions import find_lesions
from liver_growth_pattern.reports import UNKNOWN
from liver_growth_pattern.simulation import CENTRES, EXTERNAL_CENTRES, PatientFacts, draw_facts, draw_patient
from liver_growth_pattern.simulation.scan import Centre
from preop.atomic import write_text
from preop.cohort import map_patients
from preop.folders import open_resumable_run
from preop.grandchallenge.values import read_json, to_json
from preop.staging import REPORTS
from preop.statistics import auc, auc_delong

EXTERNAL_SEED, CEILING_SEED, FIRST_TRAINING_SEED = 32, 33, 3100
PATIENTS, FOLDS = 200, 3
COMBINED, RADIOMICS, NETWORK = LEARNERS_OF
LABELS = {
    "patient": "each patient's pattern alone",
    "study": "reports as in cohorts of the study",
    "metastasis": "a report of every metastasis",
}
MODELS = {
    COMBINED: "radiomics and network combined",
    RADIOMICS: "radiomics alone",
    NETWORK: "network alone",
}
DEFAULT = f"{MODELS[COMBINED]}; {LABELS['study']}"
CEILING, PARTS = "ceiling", (25, 50, 100)
"""In place of labels: a report of every metastasis, of so many percent of all patients."""

Floats = NDArray[np.float64]
Scores = dict[str, Any]
"""Of the test patients: chance of each to be non-desmoplastic, of each metastasis to be pure, and its shares."""


def main() -> None:
    """Simulate, train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for patients and results; 0.2 MB a patient")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--external", type=int, default=200, help="number of test patients")
    parser.add_argument(
        "--ceiling", type=int, default=400, help="further patients of the test scanners, for the ceiling"
    )
    arguments = parser.parse_args()
    # What was learned from fewer patients, or said of others, must not be taken for what is asked.
    asked = {"seeds": arguments.seeds, "external": arguments.external, "ceiling": arguments.ceiling}
    open_resumable_run(arguments.folder, {**asked, "settings": Settings().model_dump_json()})
    seeds = [FIRST_TRAINING_SEED + number for number in range(arguments.seeds)]
    cohorts = (
        (EXTERNAL_SEED, arguments.external),
        *((seed, PATIENTS) for seed in seeds),
        (CEILING_SEED, arguments.ceiling),
    )
    todo = [
        each
        for seed, count in cohorts
        for each in numbered(seed, count)
        if not patient_file(arguments.folder, *each).is_file()
    ]
    each_of(partial(measure, folder=arguments.folder), todo, "Measuring")
    runs = [(labels, seed) for seed in seeds for labels in LABELS]
    runs += [(CEILING, part) for part in PARTS]
    untold = [each for each in runs if not result_file(arguments.folder, *each).is_file()]
    each_of(
        partial(learn, folder=arguments.folder, seeds=seeds, external=arguments.external, ceiling=arguments.ceiling),
        untold,
        "Training",
    )
    test = load(arguments.folder, numbered(EXTERNAL_SEED, arguments.external))
    print_table(arguments.folder, seeds, arguments.ceiling, test)


def each_of(function: Callable[[Any], None], todo: Sequence[Any], description: str) -> None:
    """Call a function for each, in processes of their own."""
    for _, result in map_patients(function, todo, description=description):
        if result is not None:
            raise result


def print_table(folder: Path, seeds: Sequence[int], ceiling: int, test: Sequence[Any]) -> None:
    """Print each row as mean and range over the seeds."""
    outcome = [int(each["facts"].non_desmoplastic) for each in test]
    reports = np.array([REPORTS[report] for each in test for report in each["reports"]])
    pure = (reports[:, 0] >= 1).astype(int)
    print(
        f"{len(test)} test patients, {sum(outcome)} non-desmoplastic, with {len(pure)} metastases, {pure.sum()} of them pure; ",
        end="",
    )
    print(f"{PATIENTS} to train, {len(seeds)} seeds; {os.cpu_count()} cores, torch {torch.__version__}\n")
    print("| | AUC of patients | AUC pure or mixed | error of shares | predominant right |\n|---|---|---|---|---|")
    found = {labels: [read_json(result_file(folder, labels, seed)) for seed in seeds] for labels in LABELS}
    count = auc(outcome, [len(each["reports"]) for each in test])
    print(f"| number of metastases, nothing learned | {count:.3f} | | | |")
    means = [abs(reports - np.array(each["mean"])).mean() for each in found["study"]]
    print(f"| mean shares of the training patients | | | {_summary(means)} | |")
    rows_of: dict[str, list[Scores]] = {
        f"{MODELS[model]}; {LABELS[labels]}": [each[model] for each in found[labels]]
        for labels, model in (*(("study", model) for model in MODELS), ("patient", COMBINED), ("metastasis", COMBINED))
    }
    for part in PARTS:
        learned_from = more_patients(seeds, ceiling, part)
        words = f"{MODELS[COMBINED]}; {LABELS['metastasis']}, {len(learned_from)} patients"
        rows_of[words] = [read_json(result_file(folder, CEILING, part))[COMBINED]]
    for words, rows in rows_of.items():
        errors = [abs(reports - np.array(each["shares"])).mean() for each in rows]
        right = [np.mean(reports.argmax(axis=1) == np.array(each["shares"]).argmax(axis=1)) for each in rows]
        figures = (
            [auc(outcome, each["patients"]) for each in rows],
            [auc(pure, each["pure"]) for each in rows],
            errors,
            right,
        )
        called = f"**default: {words}**" if words == DEFAULT else words
        print(f"| {called} | " + " | ".join(_summary(each) for each in figures) + " |")
    best = (
        auc(outcome, [each["facts"].metastases.oracle for each in test]),
        auc(pure, np.concatenate([_pure_chances(each) for each in test])),
    )
    shares = np.concatenate([each["facts"].metastases.shares[each["places"]] for each in test])
    print(
        f"| observer who knows the simulation | {best[0]:.3f} | {best[1]:.3f} | {abs(reports - shares).mean():.3f} | |"
    )
    width = auc_delong(outcome, found["study"][0][COMBINED]["patients"])
    print(f"\n95 % interval of one AUC of patients (default, first seed): {width.lower:.3f} to {width.upper:.3f}")


def _summary(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


# --- patients ---------------------------------------------------------------------------------------------------------


def numbered(seed: int, count: int) -> list[tuple[int, int]]:
    """Seed and number of the patients of a cohort."""
    return [(seed, number) for number in range(count)]


def centres_of(seed: int) -> tuple[Centre, ...]:
    """Scanners of a cohort: those of the training, or others."""
    return EXTERNAL_CENTRES if seed in (EXTERNAL_SEED, CEILING_SEED) else CENTRES


def measure(patient: tuple[int, int], *, folder: Path) -> None:
    """Draw a patient, and keep what is measured of the metastases, as training does."""
    made = draw_patient(*patient, centres=centres_of(patient[0]), only_around=True)
    outlines = made.reader if made.facts.source == "reader" else made.network
    drawn = range(1, len(made.facts.metastases) + 1)
    seen = [each for each in find_lesions(made.ct, outlines).seen if each.lesion.number in drawn]
    path = patient_file(folder, *patient)
    path.parent.mkdir(parents=True, exist_ok=True)
    if seen:
        np.save(path.with_suffix(".npy"), np.stack([each.patches for each in seen]))
    content = {"numbers": [each.lesion.number for each in seen], "features": [each.features for each in seen]}
    write_text(path, to_json(content))


def load(folder: Path, patients: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """Read what was measured of patients, and add what is known; those without a metastasis that is seen are left out."""
    found = (_load(folder, *each) for each in patients)
    return [each for each in found if each is not None]


def _load(folder: Path, seed: int, number: int) -> dict[str, Any] | None:
    facts: PatientFacts = draw_facts(seed, number, centres=centres_of(seed))
    path = patient_file(folder, seed, number)
    content = read_json(path)
    places = [each - 1 for each in content["numbers"]]
    if not places:
        return None
    reports = [facts.reports[place].report for place in places]
    patches = np.load(path.with_suffix(".npy"), mmap_mode="c")
    state = int(facts.non_desmoplastic)
    patient = Patient(f"{seed}_{number}", facts.centre.name, content["features"], patches, reports, state)
    return {"facts": facts, "places": places, "reports": reports, "patient": patient}


def patient_file(folder: Path, seed: int, number: int) -> Path:
    """Where a patient is kept."""
    return folder / "patients" / str(seed) / f"{number:04d}.json"


def result_file(folder: Path, labels: str, seed: int) -> Path:
    """Where it is kept what models say that learned from labels of a kind."""
    return folder / "results" / f"{labels}_{seed}.json"


# --- learning ---------------------------------------------------------------------------------------------------------


def more_patients(seeds: Sequence[int], ceiling: int, part: int) -> list[tuple[int, int]]:
    """Seed and number of the same part, in percent, of the patients of all seeds and of those of the test scanners."""
    cohorts = ((CEILING_SEED, ceiling), *((seed, PATIENTS) for seed in seeds))
    return [each for seed, count in cohorts for each in numbered(seed, count * part // 100)]


def learn(run: tuple[str, int], *, folder: Path, seeds: Sequence[int], external: int, ceiling: int) -> None:
    """Learn from the patients of a seed with labels of a kind, or from many, and keep what is said of the test patients."""
    torch.set_num_threads(1)
    labels, seed = run  # of the ceiling the part that is learned from
    chosen = more_patients(seeds, ceiling, seed) if labels == CEILING else numbered(seed, PATIENTS)
    training = [_told(each, labels) for each in load(folder, chosen)]
    settings = Settings()
    settings = settings.model_copy(
        update={"training": settings.training.model_copy(update={"seed": seed, "folds": FOLDS})}
    )
    fitted = fit_model(training, settings, folder=folder / "networks" / f"{labels}_{seed}")
    test = [each["patient"] for each in load(folder, numbered(EXTERNAL_SEED, external))]
    content: Scores = {"mean": mean_shares(training).tolist()}
    for model in MODELS:
        found = fitted.predict(test, model)
        lesions = [lesion for each in found for lesion in each.lesions]
        content[model] = {
            "patients": [each.non_desmoplastic for each in found],
            "pure": [lesion.pure_desmoplastic for lesion in lesions],
            "shares": [lesion.mean.tolist() for lesion in lesions],
        }
    path = result_file(folder, labels, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content))


def _told(known: dict[str, Any], labels: str) -> Patient:
    """Give a patient with the labels of a kind."""
    patient: Patient = known["patient"]
    if labels == "patient" or (labels == "study" and not known["facts"].reported_each):
        return replace(patient, reports=[UNKNOWN] * len(patient.reports))
    return patient


def _pure_chances(known: dict[str, Any]) -> Floats:
    return np.asarray(known["facts"].metastases.pure_report[known["places"]])


if __name__ == "__main__":
    main()
