"""What each learner and each kind of label is worth for growth patterns: ``python benchmarks/liver.py FOLDER``.

On simulated patients of scanners that were not in training, 200 to test, and 200 to train, drawn anew for each seed:

- the algorithm as it trains, radiomics and network combined, and each alone;
- the same with other labels: of each patient the pattern alone, or a report of every metastasis where the cohorts of the study
  lack it for a quarter of the patients;
- boosted trees on the same radiomics, told of the training patients of all seeds not what was reported but how likely each
  report was, and of ``--ceiling`` patients of the test scanners in their place: what the measured features of a scan can tell, where
  the observer of the last row knows variables that no image shows. A half of the patients stands beside them: while the
  figures still rise, the ceiling is higher.

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
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

from liver_growth_pattern.fitted import LEARNERS_OF, Patient
from liver_growth_pattern.learning import Settings, fit_model, mean_shares
from liver_growth_pattern.lesions import find_lesions
from liver_growth_pattern.reports import UNKNOWN
from liver_growth_pattern.simulation import CENTRES, EXTERNAL_CENTRES, PatientFacts, draw_facts, draw_patient
from liver_growth_pattern.simulation.scan import Centre
from preop.atomic import write_text
from preop.cohort import map_patients
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
DEFAULT = ("study", COMBINED)

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
        "--ceiling", type=int, default=800, help="patients of the test scanners to learn a ceiling from"
    )
    arguments = parser.parse_args()
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
    untold = [each for each in runs if not result_file(arguments.folder, *each).is_file()]
    each_of(partial(learn, folder=arguments.folder, external=arguments.external), untold, "Training")
    test = load(arguments.folder, EXTERNAL_SEED, arguments.external)
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
    for labels, model in (*(("study", model) for model in MODELS), ("patient", COMBINED), ("metastasis", COMBINED)):
        rows = [each[model] for each in found[labels]]
        errors = [abs(reports - np.array(each["shares"])).mean() for each in rows]
        right = [np.mean(reports.argmax(axis=1) == np.array(each["shares"]).argmax(axis=1)) for each in rows]
        figures = (
            [auc(outcome, each["patients"]) for each in rows],
            [auc(pure, each["pure"]) for each in rows],
            errors,
            right,
        )
        words = f"{MODELS[model]}; {LABELS[labels]}"
        if (labels, model) == DEFAULT:
            words = f"**default: {words}**"
        print(f"| {words} | " + " | ".join(_summary(each) for each in figures) + " |")
    of_seeds = [each for seed in seeds for each in load(folder, seed, PATIENTS)]
    of_scanners = load(folder, CEILING_SEED, ceiling)
    for words, known in (("all seeds", of_seeds), ("the test scanners", of_scanners)):
        for part in (known[: len(known) // 2], known):
            patients, lesions = learn_ceiling(part, test)
            print(
                f"| boosted trees, true chances of {len(part)} patients of {words} | {auc(outcome, patients):.3f} | {auc(pure, lesions):.3f} | | |"
            )
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


def load(folder: Path, seed: int, count: int) -> list[dict[str, Any]]:
    """Read what was measured of a cohort, and add what is known; patients without a metastasis that is seen are left out."""
    found = (_load(folder, *each) for each in numbered(seed, count))
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


def learn(run: tuple[str, int], *, folder: Path, external: int) -> None:
    """Learn from the patients of a seed with labels of a kind, and keep what is said of the test patients."""
    torch.set_num_threads(1)
    labels, seed = run
    training = [_told(each, labels) for each in load(folder, seed, PATIENTS)]
    settings = Settings()
    settings = settings.model_copy(
        update={"training": settings.training.model_copy(update={"seed": seed, "folds": FOLDS})}
    )
    fitted = fit_model(training, settings, folder=folder / "networks" / f"{labels}_{seed}")
    test = [each["patient"] for each in load(folder, EXTERNAL_SEED, external)]
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


def learn_ceiling(known: Sequence[Any], test: Sequence[Any]) -> tuple[Floats, Floats]:
    """Say how likely each test patient is non-desmoplastic, and each metastasis reported as pure; metastases first, then together."""
    names = sorted({name for each in known for row in each["patient"].rows for name in row})
    owners = np.concatenate([[number] * len(each["places"]) for number, each in enumerate(known)])
    table, chances = _table_of(known, names), np.concatenate([_pure_chances(each) for each in known])
    unseen = np.empty(len(table))
    for train, held_out in GroupKFold(5).split(table, groups=owners):
        unseen[held_out] = _trees().fit(table[train], chances[train]).predict(table[held_out])
    of_test = _trees().fit(table, chances).predict(_table_of(test, names))
    together = _trees().fit(_together(unseen, known), [each["facts"].metastases.oracle for each in known])
    return together.predict(_together(of_test, test)), of_test


def _together(chances: Floats, patients: Sequence[Any]) -> Floats:
    """Of each patient: the number of metastases; smallest, mean, largest and product of their chances (n, 5)."""
    ends = np.cumsum([len(each["places"]) for each in patients])
    rows = np.split(chances.clip(1e-4, 1), ends[:-1])
    return np.array([(len(row), row.min(), row.mean(), row.max(), row.prod()) for row in rows])


def _trees() -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        learning_rate=0.05, max_iter=300, max_leaf_nodes=15, l2_regularization=1.0, max_features=0.2, random_state=0
    )


def _table_of(patients: Sequence[Any], names: Sequence[str]) -> Floats:
    return np.array([[row.get(name, np.nan) for name in names] for each in patients for row in each["patient"].rows])


def _pure_chances(known: dict[str, Any]) -> Floats:
    return np.asarray(known["facts"].metastases.pure_report[known["places"]])


if __name__ == "__main__":
    main()
