"""The test of what a model has beyond a baseline: would values exchanged among patients do as well.

What the model has beyond the baseline (all of it, where it shares no column with the baseline) is exchanged among
patients, and the whole nested validation is done again: preparation, selection, classifier, calibration. Outcome and the
baseline's columns stay where they are, and the baseline's AUC with them. If what the model adds is independent of both,
every exchange was as likely as what was measured, so the share of exchanges that do at least as well is a p-value that
holds at any number of patients, columns and splits (Phipson and Smyth 2010), whatever is selected inside the folds.

It does not cover a model whose imaging repeats the baseline: that is not independent of it, and does better than exchanged
values without adding anything. The paired test on the splits stands against that, so a claim needs both
(:attr:`preop.evidence.claims.BaselineComparison.significantly_better`).

References
----------
Besag J, Clifford P. Sequential Monte Carlo p-values. Biometrika 1991;78:301-4 (stopping once it cannot be significant).
Ojala M, Garriga GC. Permutation tests for studying classifier performance. J Mach Learn Res 2010;11:1833-63.
Phipson B, Smyth GK. Permutation p-values should never be zero. Stat Appl Genet Mol Biol 2010;9:39.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from preop.errors import InvalidInputError
from preop.evidence import FEWEST_PERMUTATIONS, SIGNIFICANT
from preop.evidence.claims import is_as_good, permutation_p_value
from preop.statistics import auc
from preop.tabular.finished import FinishedSteps, run_name
from preop.tabular.settings import PipelineSettings
from preop.tabular.splits import RepeatedSplits
from preop.tabular.table import FeatureTable, Index
from preop.tabular.validation import fit_and_predict


@dataclass(frozen=True)
class PermutationTest:
    """How a claim is tested.

    Attributes
    ----------
    most
        Permutations of a model whose claim holds; one that cannot be held any more stops before.
    splits
        How many of the first splits of the validation each permutation goes through.
    seed
        Of the permutations.

    Raises
    ------
    InvalidInputError
        If there are too few permutations for any claim, or no splits.
    """

    most: int = 199
    splits: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if self.most < FEWEST_PERMUTATIONS or self.splits < 1:
            raise InvalidInputError(
                f"A permutation test of {self.most} permutations and {self.splits} splits can show nothing; expected at "
                f"least {FEWEST_PERMUTATIONS} permutations and one split."
            )

    def __call__(
        self,
        table: FeatureTable,
        exchanged: Sequence[str],
        reached: float,
        settings: PipelineSettings,
        splits: RepeatedSplits,
        *,
        folder: Path | None = None,
        advance: Callable[[], None] = lambda: None,
    ) -> dict[str, Any]:
        """Exchange columns among patients and validate again, until the claim is shown or cannot be shown any more.

        Parameters
        ----------
        table
            What the model was validated on.
        exchanged
            Its columns that the baseline lacks.
        reached
            Its mean AUC over the same first splits.
        settings, splits
            As it was validated.
        folder
            Where each finished permutation is written down, so that a run that was stopped goes on from there.
        advance
            Called after each permutation.

        Returns
        -------
        What :class:`preop.evidence.claims.PermutedRuns` holds.
        """
        pairs = list(splits(table.outcome, table.groups))[: self.splits]
        finished = FinishedSteps(folder, run_name("permutations", table, settings, pairs, [*exchanged], self.seed))
        aucs: list[float | None] = []
        as_good = 0
        for found in self._results(table, exchanged, settings, pairs, finished):
            aucs.append(found)
            as_good += is_as_good(found, reached)
            advance()
            if permutation_p_value(as_good, self.most) > SIGNIFICANT:
                break
        return {
            "splits": len(pairs),
            "most": self.most,
            "seed": self.seed,
            "within_centres": _within_centres(table, exchanged),
            "aucs": aucs,
        }

    def _results(
        self,
        table: FeatureTable,
        exchanged: Sequence[str],
        settings: PipelineSettings,
        pairs: Sequence[tuple[Index, Index]],
        finished: FinishedSteps,
    ) -> Iterator[float | None]:
        """Mean AUC of each permutation in turn, on all cores, and what is finished from the record."""
        from joblib import Parallel, delayed

        todo = [number for number in range(self.most) if number not in finished.done]
        results = Parallel(n_jobs=-1, return_as="generator", pre_dispatch="n_jobs")(
            delayed(_permuted_auc)(table, exchanged, settings, pairs, (self.seed, number)) for number in todo
        )
        for number in range(self.most):
            if number not in finished.done:
                finished.add(number, next(results))
            yield finished.done[number]


def permuted(table: FeatureTable, columns: Sequence[str], random: np.random.Generator) -> FeatureTable:
    """Exchange columns among patients, all of them together and with what was measured again.

    Rows of one group stay together, so that groups exchange with groups of as many rows; where a column is harmonised,
    within their centres.
    """
    order = _exchange(table, random, within_centres=_within_centres(table, columns))
    moved = np.array([table.columns.index(name) for name in columns], dtype=np.intp)
    values = table.values.copy()
    values[:, moved] = table.values[np.ix_(order, moved)]
    if table.perturbed is None:
        return replace(table, values=values)
    perturbed = table.perturbed.copy()
    perturbed[:, :, moved] = table.perturbed[:, order][:, :, moved]
    return replace(table, values=values, perturbed=perturbed)


def _exchange(table: FeatureTable, random: np.random.Generator, *, within_centres: bool) -> Index:
    """From which row each row gets its values, (r,)."""
    places = table.centres if within_centres else np.zeros_like(table.centres)
    groups: dict[str, list[int]] = defaultdict(list)
    for row in np.lexsort((np.arange(table.groups.size), places)).tolist():
        groups[table.groups[row]].append(row)
    alike: dict[tuple[str, ...], list[list[int]]] = defaultdict(list)
    for rows in groups.values():
        alike[tuple(places[rows])].append(rows)
    order = np.arange(table.groups.size)
    for members in alike.values():
        drawn = random.permutation(len(members)).tolist()
        for rows, other in zip(members, drawn, strict=True):
            order[rows] = members[other]
    return order


def _within_centres(table: FeatureTable, columns: Sequence[str]) -> bool:
    return bool(table.harmonised[[table.columns.index(name) for name in columns]].any())


def _permuted_auc(
    table: FeatureTable,
    columns: Sequence[str],
    settings: PipelineSettings,
    pairs: Sequence[tuple[Index, Index]],
    seed: tuple[int, int],
) -> float | None:
    """Mean AUC over the splits; None where exchanged values cannot be learned from."""
    exchanged = permuted(table, columns, np.random.default_rng(seed))
    scores = []
    for train, test in pairs:
        truth = table.outcome[test]
        if truth.all() or not truth.any():
            continue
        try:
            found = fit_and_predict(exchanged, settings, train, test)
        except InvalidInputError:  # such as no column that is known in half of the training rows
            return None
        scores.append(auc(truth, found.probabilities))
    return float(np.mean(scores)) if scores else None
