"""How often a model is called better than a baseline, and how often the intervals of its AUC hold: ``python benchmarks/claims.py``.

Cohorts are simulated, validated by repeated splits with everything learned inside them, and judged as a training judges
them (:mod:`preop.evidence.claims`). One row a simulation, number of patients and number of splits:

- none: neither 200 columns of imaging nor three of the record have anything to do with the outcome;
- record only: the record predicts it, and imaging repeats the record with noise;
- imaging: the record predicts it, and so do three columns of imaging.

The model has imaging and record, the baseline the record. A claim is false in the first simulation, and in the second.
Coverage is that of the model's expected AUC when it learns from as many patients as in a split: 0.5 in the first
simulation, else the mean over the repeats on fresh patients. A run that was stopped goes on with the same ``--folder``. Candidates are few, so that a repeat takes seconds: logistic
regression on the five best columns, any penalty.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from rich.console import Console
from rich.table import Table

from preop.evidence.claims import BaselineComparison, PermutationResult, PermutedRuns, beyond_baseline, mean_of_first
from preop.evidence.comparisons import is_better
from preop.progress import progress_bar
from preop.statistics import Estimate, auc, auc_delong, compare_resampled, corrected_resampled_t
from preop.tabular import FeatureTable, HeldOut, PermutationTest, PipelineSettings, RepeatedSplits, nested_validation
from preop.tabular.finished import FinishedSteps
from preop.tabular.validation import fit_and_predict

IMAGING = tuple(f"imaging {number}" for number in range(200))
RECORD = tuple(f"record {number}" for number in range(3))
SIMULATIONS = ("none", "record only", "imaging")
SETTINGS = PipelineSettings(max_features=(5,))
FRESH = 2000


@dataclass(frozen=True)
class Repeat:
    """What one cohort gave at one number of splits."""

    fresh_auc: float
    over_splits: Estimate
    by_patient: Estimate
    claim_of_splits: bool
    claim: bool


def simulate(simulation: str, patients: int, random: np.random.Generator) -> FeatureTable:
    """A cohort in which about a third have the outcome."""
    values = random.standard_normal((patients, len(IMAGING) + len(RECORD)))
    risk = np.full(patients, -0.8)
    if simulation != "none":
        risk += values[:, -len(RECORD) :].sum(axis=1)
    if simulation == "record only":
        values[:, : 4 * len(RECORD)] += 2 * np.tile(values[:, -len(RECORD) :], 4)
    if simulation == "imaging":
        risk += 1.2 * values[:, :3].sum(axis=1)
    outcome = random.random(patients) < 1 / (1 + np.exp(-risk))
    return FeatureTable.of(pd.DataFrame(values, columns=[*IMAGING, *RECORD]), outcome)


def aucs(table: FeatureTable, found: list[HeldOut]) -> np.ndarray:
    """AUC of each split."""
    return np.array([auc(table.outcome[split.rows], split.probabilities) for split in found])


def by_patient(table: FeatureTable, found: list[HeldOut]) -> Estimate:
    """DeLong's interval of the mean held-out probability of each patient."""
    sums, times = np.zeros((2, table.outcome.size))
    for split in found:
        sums[split.rows] += split.probabilities
        times[split.rows] += 1
    known = times > 0
    return auc_delong(table.outcome[known], sums[known] / times[known])


def repeat(
    simulation: str, patients: int, numbers: tuple[int, ...], test: PermutationTest, seed: int, number: int
) -> dict[int, Repeat] | None:
    """Judge one cohort at each number of splits, the first of the most; None where too few have the outcome."""
    random = np.random.default_rng((seed, number, patients, SIMULATIONS.index(simulation)))
    table = simulate(simulation, patients, random)
    if min(table.outcome.sum(), (~table.outcome).sum()) < 10:
        return None
    record = table.select(RECORD)
    splits = RepeatedSplits(max(numbers))
    model, baseline = (nested_validation(each, SETTINGS, splits) for each in (table, record))
    fresh = simulate(simulation, FRESH, random)
    both = FeatureTable(
        **{**vars(table), "perturbed": None}
        | {
            name: np.concatenate([getattr(table, name), getattr(fresh, name)])
            for name in ("values", "outcome", "patients", "groups", "centres")
        }
    )
    train, _ = next(iter(splits(table.outcome)))
    others = np.arange(patients, patients + FRESH)
    fresh_auc = auc(fresh.outcome, fit_and_predict(both, SETTINGS, train, others).probabilities)
    result = {}
    for first in numbers:
        scores, others_scores = aucs(table, model[:first]), aucs(table, baseline[:first])
        sizes = {"training_cases": model[0].training_rows, "test_cases": len(model[0].rows)}
        former = compare_resampled(scores, others_scores, **sizes)
        paired = beyond_baseline(scores, others_scores, **sizes)
        item = BaselineComparison(
            model="imaging and record",
            baseline="record",
            patients=patients,
            model_auc=float(scores.mean()),
            baseline_auc=float(others_scores.mean()),
            auc=paired,
            adjusted_p_value=1.0 if math.isnan(paired.p_value) else paired.p_value,
        )
        claimed = item.better_on_the_splits
        if claimed:
            reached = mean_of_first(scores.tolist(), test.splits)
            runs = test(table, IMAGING, reached, SETTINGS, RepeatedSplits(first))
            permutations = PermutationResult.of(PermutedRuns(**runs), scores.tolist())
            claimed = max(item.p_value, permutations.p_value) <= 0.05
        result[first] = Repeat(
            fresh_auc,
            corrected_resampled_t(scores, **sizes).within(0, 1),
            by_patient(table, model[:first]),
            is_better(former.difference.value, former.p_value),
            claimed,
        )
    return result


def in_this_process(task: partial[dict[int, Repeat] | None], number: int) -> tuple[int, dict[str, Any] | None]:
    """Judge a cohort without further processes, as plain JSON."""
    with parallel_config(backend="sequential"):
        found = task(number)
    return number, found and {str(splits): asdict(each) for splits, each in found.items()}


def read(found: dict[str, Any]) -> Repeat:
    """Read one result back."""
    intervals = {name: Estimate(**found[name]) for name in ("over_splits", "by_patient")}
    return Repeat(**{**found, **intervals})


def share(found: list[bool]) -> str:
    """In per cent, with its numbers."""
    return f"{100 * np.mean(found):.1f} % ({sum(found)}/{len(found)})"


def coverage(intervals: list[Estimate], truth: float) -> str:
    """How many intervals that are determined hold the truth."""
    return share([each.lower <= truth <= each.upper for each in intervals if not math.isnan(each.lower)])


def main() -> None:
    """Print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", nargs="+", choices=SIMULATIONS, default=list(SIMULATIONS))
    parser.add_argument("--patients", type=int, nargs="+", default=[40, 60, 100, 500])
    parser.add_argument("--splits", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--repeats", type=int, default=400, help="cohorts a row (%(default)s)")
    parser.add_argument("--permutations", type=int, default=199, help="most of a claim (%(default)s)")
    parser.add_argument("--folder", type=Path, help="where finished repeats are kept")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = Console()
    columns = ("Simulation", "Patients", "Splits", "AUC", "Interval over splits holds", "DeLong by patient holds")
    table = Table(*columns, "Claimed, paired test alone", "Claimed")
    test = PermutationTest(options.permutations)
    for simulation in options.simulations:
        for patients in options.patients:
            with progress_bar(f"{simulation}, {patients} patients", options.repeats) as advance:
                task = partial(repeat, simulation, patients, (*options.splits,), test, options.seed)
                finished = FinishedSteps(
                    options.folder, f"{simulation}-{patients}-{options.splits}-{test}-{options.seed}"
                )
                todo = [number for number in range(options.repeats) if number not in finished.done]
                advance(options.repeats - len(todo))
                for number, each in Parallel(n_jobs=options.cores, return_as="generator")(
                    delayed(in_this_process)(task, number) for number in todo
                ):
                    finished.add(number, each)
                    advance(1)
            found = [finished.done[number] for number in range(options.repeats)]
            for number in options.splits:
                rows = [read(each[str(number)]) for each in found if each is not None]
                truth = 0.5 if simulation == "none" else float(np.mean([row.fresh_auc for row in rows]))
                cells = (
                    simulation,
                    str(patients),
                    str(number),
                    f"{truth:.3f}",
                    coverage([row.over_splits for row in rows], truth),
                    coverage([row.by_patient for row in rows], truth),
                    share([row.claim_of_splits for row in rows]),
                    share([row.claim for row in rows]),
                )
                table.add_row(*cells)
                print("\t".join(cells), flush=True)  # a run that is stopped has said what it knows
    console.print(table)


if __name__ == "__main__":
    main()
