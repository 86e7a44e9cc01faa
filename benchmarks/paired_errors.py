"""How often paired tests find a difference where there is none: a part of ``python benchmarks/coverage.py``.

Two readers of the same cases who are equally able, and err alike in part. One row a figure, columns numbers of patients, cells
the share of p-values of at most 0.05: 5 % is claimed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from preop.evidence import BinaryPredictions, OrdinalPredictions
from preop.evidence.judging import (
    JudgedBinary,
    JudgedCounts,
    JudgedDetections,
    JudgedOrdinal,
    JudgedShares,
    JudgedSurvival,
    Resampling,
)
from preop.progress import progress_bar
from preop.statistics import Matched, wilson

PATIENTS = (20, 40, 100)
LEVEL = 0.05
FEW = Resampling(500)
STAGES = ("0", "1", "2", "3")
Generator = np.random.Generator
PValues = dict[str, float | None]


def two_readings(random: Generator, truth: np.ndarray, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """A quantity as two readers see it: half of the variance of their errors is common."""
    shared, first, second = noise * np.sqrt(0.5) * random.standard_normal((3, *truth.shape))
    return truth + shared + first, truth + shared + second


def likelihoods(random: Generator, patients: int) -> PValues:
    """AUC and accuracy, one case a patient."""
    labels = random.random(patients) < 0.4
    readings = [1 / (1 + np.exp(-each)) for each in two_readings(random, 1.2 * labels - 0.6, 1.0)]
    own, others = (BinaryPredictions.of(labels, each, each >= 0.5) for each in readings)
    found = JudgedBinary(own, resampling=FEW).compare(others)
    return {"AUC": found["auc"]["p_value"], "accuracy": found["accuracy"]["p_value"]}


def stages(random: Generator, patients: int) -> PValues:
    """Kappa and ordinal AUC of four stages."""
    severity = random.standard_normal(patients)
    cut = [
        [STAGES[place] for place in np.digitize(each, (-0.7, 0, 0.7))]
        for each in (severity, *two_readings(random, severity, 0.8))
    ]
    own, others = (OrdinalPredictions.of(cut[0], each, STAGES) for each in cut[1:])
    found = JudgedOrdinal(own, resampling=FEW).compare(others)
    return {
        "quadratic weighted kappa": found["quadratic_weighted_kappa"]["p_value"],
        "ordinal AUC": found["ordinal_auc"]["p_value"],
    }


def counts(random: Generator, patients: int) -> PValues:
    """Numbers of positive nodes, of which many are 0 and few are large."""
    truth = random.negative_binomial(0.7, 0.2, patients).astype(np.float64)
    tables = []
    for reading in two_readings(random, np.log1p(truth), 0.6):
        expected = np.clip(np.rint(np.expm1(reading)), 0, 30).astype(np.intp)
        tables.append(np.eye(31)[expected])
    found = JudgedCounts(truth, tables[0], resampling=FEW).compare(tables[1])
    return {"count: absolute error": found["absolute_error"]["p_value"]}


def shares(random: Generator, patients: int) -> PValues:
    """Shares of three patterns, two cases a patient."""
    owners = np.repeat(np.arange(patients), 2)
    usual = random.standard_normal((patients, 3))[owners] + 0.5 * random.standard_normal((2 * patients, 3))
    truth, first, second = (
        np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in (usual, *two_readings(random, usual, 0.7))
    )
    judged = JudgedShares(truth, first, tuple(owners.astype(str)), FEW, ("a", "b", "c"))
    return {"shares: absolute error, two cases a patient": judged.compare(second)["absolute_error"]["p_value"]}


def risks(random: Generator, patients: int) -> PValues:
    """Time to an event, of which a third is not seen."""
    truth = random.standard_normal(patients)
    times, seen = random.exponential(np.exp(-truth)), random.exponential(2, patients)
    first, second = two_readings(random, truth, 1.0)
    judged = JudgedSurvival(np.minimum(times, seen), times <= seen, first)
    return {"concordance": judged.compare(second)["concordance"]["p_value"]}


def points(random: Generator, patients: int) -> PValues:
    """Lesions, of which a patient has none to some, and false marks."""
    lesions = random.poisson(1.5, patients)
    lesions[0] = max(lesions[0], 1)
    readers: list[list[Matched]] = [[], []]
    for number in lesions:
        seen = two_readings(random, np.full(number, 0.8), 1.0)
        for reader, own in zip(readers, seen, strict=True):
            false = random.standard_normal(random.poisson(2))
            reader.append(Matched(np.where(own > -0.5, own, -np.inf), false[false > -0.5]))
    places = tuple(("",) * number for number in lesions)
    judged = JudgedDetections(tuple(readers[0]), places, (1.0,), 0.5, None, FEW)
    found = judged.compare(readers[1])
    return {
        "detection: average precision": found["average_precision"]["p_value"],
        "detection: sensitivity at 1 false mark a case": found["sensitivity_at_1_false_marks"]["p_value"],
        "detection: false marks a case": found["false_marks_a_case"]["p_value"],
    }


SIMULATIONS: tuple[Callable[[Generator, int], PValues], ...] = (likelihoods, stages, counts, shares, risks, points)


def print_pairs(repeats: int, seed: int, console: Console) -> None:
    """Print the table, each cell from as many pairs of readers."""
    table = Table("Figure", *(f"{patients} patients" for patients in PATIENTS))
    table.title = f"Paired tests that find a difference where there is none, {repeats} pairs of readers a cell"
    with progress_bar("Paired tests", len(SIMULATIONS) * len(PATIENTS)) as advance:
        for simulate in SIMULATIONS:
            cells: dict[str, list[str]] = {}
            for patients in PATIENTS:
                random = np.random.default_rng((seed, patients))
                found = [simulate(random, patients) for _ in range(repeats)]
                for name in found[0]:
                    # What is not determined finds nothing.
                    significant = sum(each[name] is not None and each[name] <= LEVEL for each in found)
                    known = wilson(significant, repeats)
                    text = f"{100 * known.value:.1f} % [{100 * known.lower:.1f}, {100 * known.upper:.1f}]"
                    cells.setdefault(name, []).append(text)
                advance(1)
            for name, row in cells.items():
                table.add_row(name, *row)
    console.print(table)
