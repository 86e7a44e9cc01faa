"""How often the intervals of kappa and AUC hold the truth, in simulated cases: a part of ``python benchmarks/coverage.py``.

A table for each kind of interval: rows are simulations with a known truth, columns numbers of cases, cells the
share of the intervals that hold it (95 % is claimed), and how many were not determined.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from preop.progress import progress_bar
from preop.statistics import Agreement, Estimate, auc, auc_clustered, auc_delong

CASES = (20, 40, 100, 400)
Generator = np.random.Generator
Simulation = Callable[[Generator, int], Estimate | None]


def stages(random: Generator, cases: int, count: int, noise: float, shift: float) -> Agreement:
    """Stages of a latent severity, and of the same severity with noise, cut at the same quantiles."""
    cuts = np.linspace(-1.2, 1.2, count - 1) + shift
    severity = random.standard_normal(cases)
    read = severity + noise * random.standard_normal(cases)
    matrix = np.zeros((count, count), dtype=np.int64)
    np.add.at(matrix, (np.digitize(severity, cuts), np.digitize(read, cuts * math.hypot(1, noise))), 1)
    return Agreement(tuple(map(str, range(count))), matrix)


def lesions(random: Generator, patients: int, alike: float, more: float, effect: float, log_odds: float):
    """Labels, scores and patients of lesions: ``more`` lesions a patient beyond the first, alike within a patient."""
    owner = np.repeat(np.arange(patients), 1 + random.poisson(more, patients))
    severity, reading = random.standard_normal((2, patients))
    truth = random.random(owner.size) < 1 / (1 + np.exp(-log_odds - alike * severity[owner]))
    scores = effect * truth + alike * (0.6 * severity + 0.5 * reading)[owner] + random.standard_normal(owner.size)
    return truth, scores, owner.astype(np.str_)


def kappa_interval(*settings: float) -> Simulation:
    """Interval of kappa for :func:`stages` of these settings."""
    return lambda random, cases: stages(random, cases, *settings).quadratic_weighted_kappa


def clustered_interval(*settings: float) -> Simulation:
    """Interval of the AUC for :func:`lesions` of these settings; None without both kinds of lesion."""

    def simulate(random: Generator, cases: int) -> Estimate | None:
        truth, scores, owner = lesions(random, cases, *settings)
        return auc_clustered(truth, scores, owner.tolist()) if 0 < truth.sum() < truth.size else None

    return simulate


def delong_interval(effect: float, log_odds: float) -> Simulation:
    """DeLong's interval for one lesion a patient; None without both kinds."""

    def simulate(random: Generator, cases: int) -> Estimate | None:
        truth, scores, _ = lesions(random, cases, 0, 0, effect, log_odds)
        return auc_delong(truth, scores) if 0 < truth.sum() < truth.size else None

    return simulate


def truth_of_lesions(*settings: float) -> float:
    """AUC of very many patients."""
    return auc(*lesions(np.random.default_rng(0), 200_000, *settings)[:2])


def simulations() -> dict[str, dict[str, tuple[float, Simulation]]]:
    """For each interval, simulations with their true value."""
    kappas = [(4, 0.5, 0.0), (4, 1.0, 0.0), (4, 2.0, 0.0), (4, 0.5, 0.8), (5, 0.7, 0.5), (3, 0.6, 0.6)]
    clusters = [(1.0, 3.0, 1.0, 0.0), (0.5, 8.0, 1.2, -1.0), (1.0, 8.0, 1.5, -2.0), (1.5, 5.0, 0.5, 0.0)]
    alone = [(0.5, 0.0), (1.0, 0.0), (2.0, -0.5)]
    return {
        "Quadratic weighted kappa": {
            f"{count} stages, noise {noise}, shift {shift}": (
                stages(np.random.default_rng(0), 1_000_000, count, noise, shift).quadratic_weighted_kappa.value,
                kappa_interval(count, noise, shift),
            )
            for count, noise, shift in kappas
        },
        "AUC of cases, several to a patient": {
            f"alike {each[0]}, {each[1] + 1:g} a patient, effect {each[2]}": (
                truth_of_lesions(*each),
                clustered_interval(*each),
            )
            for each in clusters
        },
        "AUC, DeLong": {
            f"effect {effect}, log odds {odds}": (
                truth_of_lesions(0, 0, effect, odds),
                delong_interval(effect, odds),
            )
            for effect, odds in alone
        },
    }


def print_intervals(repeats: int, seed: int, console: Console) -> None:
    """Print the tables, each cell from as many intervals."""
    for title, rows in simulations().items():
        table = Table(
            "Simulation", "Truth", *(f"{cases} {'patients' if 'AUC' in title else 'cases'}" for cases in CASES)
        )
        table.title = title
        with progress_bar(title, len(rows) * len(CASES)) as advance:
            for name, (true, simulate) in rows.items():
                cells = []
                for cases in CASES:
                    random = np.random.default_rng((seed, cases))
                    found = [simulate(random, cases) for _ in range(repeats)]
                    stated = [each for each in found if each is not None and not math.isnan(each.lower)]
                    share = np.mean([each.lower <= true <= each.upper for each in stated])
                    missing = len(found) - len(stated)
                    cells.append(f"{100 * share:.1f} %" + (f" ({missing} not determined)" if missing else ""))
                    advance(1)
                table.add_row(name, f"{true:.3f}", *cells)
        console.print(table)
