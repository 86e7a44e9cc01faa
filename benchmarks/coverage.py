"""How often intervals hold the truth, and how often a claim is false: ``python benchmarks/coverage.py``.

Prints, in simulated cases with a known truth,

1. how often a model is called better than a baseline, and how often the interval of its AUC over the splits holds (``claims``);
2. how often the intervals of kappa and AUC hold, in 20 to 400 cases (``intervals``: :mod:`interval_coverage`);
3. how often paired tests of two equally able readers find a difference (``pairs``: :mod:`paired_errors`).

Claims: cohorts are simulated, validated by repeated splits with everything learned inside them, and judged as a training
judges them (:mod:`preop.evidence.claims`). One row a simulation, number of patients and number of splits:

- none: neither 200 columns of imaging nor three of the record have anything to do with the outcome;
- record only: the record predicts it, and imaging repeats the record with noise;
- imaging: the record predicts it, and so do three columns of imaging.

The model has imaging and record, the baseline the record. A claim is false in the first simulation, and in the second.
Coverage is that of the model's expected AUC when it learns from as many patients as in a split: 0.5 in the first
simulation, else the mean over the repeats on fresh patients. A run that was stopped goes on with the same ``--folder``.

The learner is ridge regression on the five columns that go best with the outcome, all splits in one pass, so that a cohort takes
a fraction of a second. ``--learner pipeline`` takes that of a training instead (logistic regression on the five best columns,
any penalty, by inner folds), which is some thousand times slower.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from interval_coverage import print_intervals
from joblib import Parallel, delayed, parallel_config
from paired_errors import print_pairs
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from preop.evidence.claims import (
    BaselineComparison,
    PermutationResult,
    PermutedRuns,
    beyond_baseline,
    is_as_good,
    mean_of_first,
    permutation_p_value,
)
from preop.evidence.comparisons import SIGNIFICANT, is_better
from preop.progress import progress_bar
from preop.statistics import Estimate, auc, auc_delong, compare_resampled, corrected_resampled_t, wilson
from preop.tabular import FeatureTable, PermutationTest, PipelineSettings, RepeatedSplits
from preop.tabular.finished import FinishedSteps
from preop.tabular.permutation import permuted
from preop.tabular.validation import held_out

IMAGING = tuple(f"imaging {number}" for number in range(200))
RECORD = tuple(f"record {number}" for number in range(3))
SIMULATIONS = ("none", "record only", "imaging")
FEATURES = 5
TABLES = ("intervals", "pairs", "claims")
SETTINGS = PipelineSettings(max_features=(FEATURES,))
PENALTY = 1.0
FRESH = 2000
FRESH_SPLITS = 5
FEWEST = 10
"""Patients with the outcome and without: with fewer, another cohort is drawn."""

Pairs = Sequence[tuple[np.ndarray, np.ndarray]]
Learner = Callable[[FeatureTable, Pairs], np.ndarray]
"""Takes a table and the training and test rows of each split, and gives the score of each test row (splits, t)."""


def pipeline(table: FeatureTable, pairs: Pairs) -> np.ndarray:
    """Fit and predict as a training does."""
    return np.array([split.probabilities for split in held_out(table, SETTINGS, pairs)])


def ridge(table: FeatureTable, pairs: Pairs) -> np.ndarray:
    """Ridge regression on the columns that correlate best with the outcome among the training rows."""
    tests = np.array([test for _, test in pairs])
    learns = np.zeros((len(pairs), table.outcome.size))
    for row, (train, _) in zip(learns, pairs, strict=True):
        row[train] = 1 / train.size
    values, target = table.values, table.outcome.astype(np.float64)
    means, variances = learns @ values, learns @ values**2
    variances -= means**2
    covariances = learns @ (values * target[:, None]) - means * (learns @ target)[:, None]
    best = np.argsort(-np.abs(covariances) / np.sqrt(variances), axis=1, kind="stable")[:, :FEATURES]
    centres, spreads = np.take_along_axis(means, best, 1), np.sqrt(np.take_along_axis(variances, best, 1))
    scaled = (np.moveaxis(values[:, best], 0, 1) - centres[:, None]) / spreads[:, None]  # (splits, rows, features)
    weighted = scaled * learns[:, :, None]
    cases = np.array([train.size for train, _ in pairs])
    gram = np.swapaxes(weighted, 1, 2) @ scaled + (PENALTY / cases)[:, None, None] * np.eye(best.shape[1])
    slopes = np.linalg.solve(gram, (np.take_along_axis(covariances, best, 1) / spreads)[:, :, None])
    return (np.take_along_axis(scaled, tests[:, :, None], 1) @ slopes)[:, :, 0]


LEARNERS: dict[str, Learner] = {"ridge": ridge, "pipeline": pipeline}


@dataclass(frozen=True)
class Repeat:
    """What one cohort gave at one number of splits."""

    auc: float
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


def aucs(table: FeatureTable, pairs: Pairs, scores: np.ndarray) -> np.ndarray:
    """AUC of each split."""
    return np.array([auc(table.outcome[test], found) for (_, test), found in zip(pairs, scores, strict=True)])


def by_patient(table: FeatureTable, pairs: Pairs, scores: np.ndarray) -> Estimate:
    """DeLong's interval of the mean held-out score of each patient."""
    sums, times = np.zeros((2, table.outcome.size))
    for (_, test), found in zip(pairs, scores, strict=True):
        sums[test] += found
        times[test] += 1
    known = times > 0
    return auc_delong(table.outcome[known], sums[known] / times[known])


def exchanged(table: FeatureTable, learn: Learner, pairs: Pairs, reached: float, test: PermutationTest) -> PermutedRuns:
    """Validate with imaging exchanged among patients, as :class:`preop.tabular.PermutationTest` does, with any learner."""
    found: list[float | None] = []
    as_good = 0
    for number in range(test.most):
        shuffled = permuted(table, IMAGING, np.random.default_rng((test.seed, number)))
        found.append(float(aucs(shuffled, pairs, learn(shuffled, pairs)).mean()))
        as_good += is_as_good(found[-1], reached)
        if permutation_p_value(as_good, test.most) > SIGNIFICANT:
            break
    return PermutedRuns(splits=len(pairs), most=test.most, seed=test.seed, within_centres=False, aucs=tuple(found))


def draw(simulation: str, patients: int, random: np.random.Generator) -> FeatureTable:
    """A cohort in which enough patients have the outcome and enough do not."""
    while True:
        table = simulate(simulation, patients, random)
        if min(table.outcome.sum(), (~table.outcome).sum()) >= FEWEST:
            return table


def joined(first: FeatureTable, second: FeatureTable) -> FeatureTable:
    """Rows of both."""
    names = ("values", "outcome", "patients", "groups", "centres")
    both = {name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names}
    both["groups"] = np.arange(both["outcome"].size).astype(np.str_)
    return FeatureTable(**{**vars(first), "perturbed": None} | both)


def repeat(
    simulation: str,
    patients: int,
    numbers: tuple[int, ...],
    test: PermutationTest,
    learner: str,
    seed: int,
    number: int,
) -> dict[int, Repeat]:
    """Judge one cohort at each number of splits, the first of the most."""
    learn = LEARNERS[learner]
    random = np.random.default_rng((seed, number, patients, SIMULATIONS.index(simulation)))
    table = draw(simulation, patients, random)
    record = table.select(RECORD)
    pairs = list(RepeatedSplits(max(numbers), seed=number)(table.outcome))
    model, baseline = learn(table, pairs), learn(record, pairs)
    others = np.arange(patients, patients + FRESH)
    fresh = joined(table, simulate(simulation, FRESH, random))
    fresh_pairs = [(train, others) for train, _ in pairs[:FRESH_SPLITS]]
    fresh_auc = float(aucs(fresh, fresh_pairs, learn(fresh, fresh_pairs)).mean())
    all_scores, all_others = aucs(table, pairs, model), aucs(record, pairs, baseline)
    result = {}
    for first in numbers:
        scores, others_scores = all_scores[:first], all_others[:first]
        sizes = {"training_cases": pairs[0][0].size, "test_cases": pairs[0][1].size}
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
        if item.better_on_the_splits:
            reached = mean_of_first(scores.tolist(), test.splits)
            runs = exchanged(table, learn, pairs[: min(first, test.splits)], reached, test)
            item = replace(item, permutations=PermutationResult.of(runs, scores.tolist()))
        result[first] = Repeat(
            float(scores.mean()),
            fresh_auc,
            corrected_resampled_t(scores, **sizes).within(0, 1),
            by_patient(table, pairs[:first], model[:first]),
            is_better(former.difference.value, former.p_value),
            item.significantly_better,
        )
    return result


def in_this_process(task: partial[dict[int, Repeat]], number: int) -> tuple[int, dict[str, Any]]:
    """Judge a cohort without further processes, as plain JSON."""
    with parallel_config(backend="sequential"), threadpool_limits(1):
        found = task(number)
    return number, {str(splits): asdict(each) for splits, each in found.items()}


def read(found: dict[str, Any]) -> Repeat:
    """Read one result back."""
    intervals = {name: Estimate(**found[name]) for name in ("over_splits", "by_patient")}
    return Repeat(**{**found, **intervals})


def share(found: Sequence[bool]) -> str:
    """In per cent with its own interval, which is how far the number of repeats leaves it open."""
    known = wilson(sum(found), len(found))
    return f"{100 * known.value:.1f} % [{100 * known.lower:.1f}, {100 * known.upper:.1f}]"


def holds(intervals: Sequence[Estimate], truth: float) -> str:
    """How many intervals that are determined hold the truth."""
    return share([bool(each.lower <= truth <= each.upper) for each in intervals if not math.isnan(each.lower)])


def print_claims(options: argparse.Namespace, console: Console) -> None:
    """Print the table, a row as soon as it is known."""
    columns = ("Simulation", "Patients", "Splits", "AUC", "Interval over splits holds", "DeLong by patient holds")
    table = Table(*columns, "Claimed, paired test alone", "Claimed")
    table.title = f"Claims, {options.repeats} cohorts a row"
    test = PermutationTest(options.permutations)
    for simulation in options.simulations:
        for patients in options.patients:
            with progress_bar(f"{simulation}, {patients} patients", options.repeats) as advance:
                task = partial(repeat, simulation, patients, (*options.splits,), test, options.learner, options.seed)
                name = f"{options.learner}-{simulation}-{patients}-{options.splits}-{test}-{options.seed}"
                finished = FinishedSteps(options.folder, name)
                todo = [number for number in range(options.repeats) if number not in finished.done]
                advance(options.repeats - len(todo))
                for number, each in Parallel(n_jobs=options.cores, return_as="generator")(
                    delayed(in_this_process)(task, number) for number in todo
                ):
                    finished.add(number, each)
                    advance(1)
            found = [finished.done[number] for number in range(options.repeats)]
            for number in options.splits:
                rows = [read(each[str(number)]) for each in found]
                truth = 0.5 if simulation == "none" else float(np.mean([row.fresh_auc for row in rows]))
                cells = (
                    simulation,
                    str(patients),
                    str(number),
                    f"{truth:.3f}",
                    holds([row.over_splits for row in rows], truth),
                    holds([row.by_patient for row in rows], truth),
                    share([row.claim_of_splits for row in rows]),
                    share([row.claim for row in rows]),
                )
                table.add_row(*cells)
                print("\t".join(cells), flush=True)  # a run that is stopped has said what it knows
    console.print(table)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--simulations", nargs="+", choices=SIMULATIONS, default=list(SIMULATIONS))
    parser.add_argument("--patients", type=int, nargs="+", default=[40, 60, 100, 500])
    parser.add_argument("--splits", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--repeats", type=int, default=1000, help="cohorts, or intervals, a row (%(default)s)")
    parser.add_argument("--permutations", type=int, default=199, help="most of a claim (%(default)s)")
    parser.add_argument("--learner", choices=tuple(LEARNERS), default="ridge")
    parser.add_argument("--folder", type=Path, help="where finished repeats are kept")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console = Console()
    if "intervals" in options.tables:
        print_intervals(options.repeats, options.seed, console)
    if "pairs" in options.tables:
        print_pairs(options.repeats, options.seed, console)
    if "claims" in options.tables:
        print_claims(options, console)


if __name__ == "__main__":
    main()
