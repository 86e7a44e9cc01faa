"""All five algorithms validated on simulated cohorts of two centres: ``python benchmarks/two_centres.py FOLDER``.

The worked example of docs/validation.md. For each study a few small patients are simulated (seed 77), those of two centres are
kept, and ``preop validate`` runs the shipped model on them, exactly as a user would. With ``--write`` the records replace
those in docs/validation/, which ``preop validate --verify`` checks on the same patients, drawn again from the seed. So few
patients show that everything works; the figures say nothing of how well it does, and nothing at all about real patients.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from itertools import combinations
from pathlib import Path

from preop.cli import repository
from preop.cli.validating import Asked, validate
from preop.cohort import write_source
from preop.cohort.record import RECORD_FILE, ValidationRecord
from preop.grandchallenge.algorithm import Algorithm
from preop.study import simulation_of
from preop.study.provenance import DataSource
from preop.toml import read_toml

SEED = 77
PATIENTS = 8
RECORDS = Path(__file__).parents[1] / "docs" / "validation"
TABLE = "two_centres.csv"


def main() -> None:
    """Simulate, validate, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for patients and results; finished ones are kept")
    parser.add_argument("--study", action="append", help="one or more; all by default")
    parser.add_argument("--write", action="store_true", help="replace the records in docs/validation")
    parser.add_argument("--only-simulate", action="store_true", help="draw the patients, to verify a record on them")
    arguments = parser.parse_args()
    rows = []
    for study in repository.studies():
        if arguments.study and study.name not in arguments.study:
            continue
        table = two_centres(study, arguments.folder / study.name / "simulated")
        if arguments.only_simulate:
            print(table)
            continue
        output = arguments.folder / study.name / "validation"
        _, record = validate(Asked(study, table, output))
        if arguments.write:
            RECORDS.mkdir(exist_ok=True)
            shutil.copyfile(output / RECORD_FILE, RECORDS / f"{study.name}.json")
        rows.append(_row(study, record))
    if rows:
        print("| algorithm | patients | valid | main figure | record |\n| --- | --- | --- | --- | --- |")
        print("\n".join(rows))


def two_centres(study: Algorithm, folder: Path) -> Path:
    """Simulate patients and keep those of the first two centres that have both outcomes; give their table."""
    simulation_of(study).simulate(PATIENTS, SEED, folder, lambda *_: None, small=True)
    with (folder / "cohort.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    task = repository.ground_truth_folder(study) / "task.toml"
    column = next(line.split('"')[1] for line in task.read_text().splitlines() if line.startswith("reference_column"))
    for pair in combinations(sorted({row["centre"] for row in rows}), 2):
        kept = [row for row in rows if row["centre"] in pair]
        if len({row[column] for row in kept}) > 1:
            break
    else:
        sys.exit(f"No two centres of {folder} have both outcomes.")
    with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    write_source(read_toml(folder / "cohort.toml", DataSource), folder / TABLE)
    return folder / TABLE


def _row(study: Algorithm, record: ValidationRecord) -> str:
    figures = record.figures
    name = "auc" if "auc.value" in figures else "accuracy"
    value, lower, upper = (figures[f"{name}.{part}"] for part in ("value", "lower", "upper"))
    interval = f" [{lower:.2f}, {upper:.2f}]" if isinstance(lower, float) and isinstance(upper, float) else ""
    said = f"{'AUC' if name == 'auc' else 'accuracy'} {value:.2f}{interval}"
    valid = f"{figures['cases.valid']} of {figures['cases.all']}"
    link = f"[record](validation/{study.name}.json)"
    return f"| `{study.name}` | {record.cohort.patients} | {valid} | {said} | {link} |"


if __name__ == "__main__":
    main()
