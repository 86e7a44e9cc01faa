"""Validation in which everything that learns does so on training patients only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preop.errors import InvalidInputError
from preop.tabular.finished import FinishedSteps, run_name
from preop.tabular.fitting import fit
from preop.tabular.model import TabularModel
from preop.tabular.settings import PipelineSettings
from preop.tabular.splits import RepeatedSplits
from preop.tabular.table import FeatureTable, Index


@dataclass(frozen=True)
class HeldOut:
    """What a model predicted of rows it had not learned from.

    Attributes
    ----------
    rows
        Numbers of the held-out rows, (t,).
    probabilities
        Predicted for them, (t,).
    threshold
        Probability from which they count as positive, learned from the training rows.
    training_rows
        How many there were.
    features
        Columns the model was built on, with their log odds for each standard deviation; None where it is not linear.
    recipe
        What was chosen: one text for each member.
    """

    rows: list[int]
    probabilities: list[float]
    threshold: float
    training_rows: int
    features: dict[str, float | None]
    recipe: list[str]


def nested_validation(
    table: FeatureTable,
    settings: PipelineSettings,
    splits: RepeatedSplits,
    *,
    folder: Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> list[HeldOut]:
    """Fit on the training rows of each split, with all choices made inside them, and predict its held-out rows.

    Parameters
    ----------
    folder
        Where each finished split is written down, so that a run that was stopped goes on from there.
    advance
        Called after each split.

    Raises
    ------
    InvalidInputError
        As :func:`preop.tabular.fit`.
    """
    pairs = list(splits(table.outcome, table.groups))
    return held_out(table, settings, pairs, folder=folder, advance=advance)


def leave_one_centre_out(table: FeatureTable, settings: PipelineSettings) -> dict[str, HeldOut]:
    """Fit on the rows of all other centres and predict those of each; scans of the new centre are not harmonised.

    Patients who were at both do not train.

    Raises
    ------
    InvalidInputError
        If there are fewer than two centres, or the others have too few events.
    """
    centres = np.unique(table.centres)
    if centres.size < 2:
        raise InvalidInputError(
            f"All patients come from {centres.size} centre; expected at least two to leave one out."
        )
    pairs = []
    for name in centres:
        left_out = table.centres == name
        others = ~left_out & ~np.isin(table.groups, table.groups[left_out])
        pairs.append((np.flatnonzero(others), np.flatnonzero(left_out)))
    return dict(zip(centres.tolist(), held_out(table, settings, pairs), strict=True))


def external_validation(models: Mapping[str, TabularModel], table: FeatureTable) -> dict[str, dict[str, Any]]:
    """What trained models predict of other patients, for :meth:`preop.evidence.SplitsEvidence.with_external`.

    A model is left out where the table lacks one of its columns.
    """
    import pandas as pd

    frame = pd.DataFrame(table.values, columns=list(table.columns))
    return {
        name: {
            "outcome": table.outcome.astype(int).tolist(),
            "patients": table.patients.tolist(),
            "probabilities": model.probabilities(frame, table.centres.tolist()).tolist(),
            "threshold": model.threshold,
        }
        for name, model in models.items()
        if set(model.columns) <= set(table.columns)
    }


def held_out(
    table: FeatureTable,
    settings: PipelineSettings,
    pairs: Sequence[tuple[Index, Index]],
    *,
    folder: Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> list[HeldOut]:
    """Fit on the first rows of each pair and predict the second, on all cores.

    Raises
    ------
    InvalidInputError
        If a patient stands on both sides of a pair.
    """
    from joblib import Parallel, delayed

    for train, test in pairs:
        if np.isin(table.groups[train], table.groups[test]).any():
            raise InvalidInputError("A patient stands on both sides of a split; expected each on one side only.")
    finished = FinishedSteps(folder, run_name("splits", table, settings, pairs))
    todo = [number for number in range(len(pairs)) if number not in finished.done]
    for _ in finished.done:
        advance()
    results: Iterable[HeldOut] = Parallel(n_jobs=-1, return_as="generator")(
        delayed(fit_and_predict)(table, settings, *pairs[number]) for number in todo
    )
    for number, result in zip(todo, results, strict=True):
        finished.add(number, asdict(result))
        advance()
    return [HeldOut(**finished.done[number]) for number in range(len(pairs))]


def fit_and_predict(table: FeatureTable, settings: PipelineSettings, train: Index, test: Index) -> HeldOut:
    """Fit on some rows and predict others."""
    import pandas as pd

    model = fit(table.rows(train), settings)
    new = table.rows(test)
    probabilities = model.probabilities(pd.DataFrame(new.values, columns=list(new.columns)), new.centres.tolist())
    coefficients = model.coefficients
    return HeldOut(
        rows=test.tolist(),
        probabilities=probabilities.tolist(),
        threshold=model.threshold,
        training_rows=train.size,
        features={name: None if coefficients is None else coefficients[name] for name in model.columns},
        recipe=[
            f"{recipe.classifier}, {recipe.features} features by {recipe.selection}, capacity {recipe.capacity:g}"
            for recipe in (member.recipe for member in model.members)
        ],
    )
