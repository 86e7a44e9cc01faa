"""Predictions in a table, and their reference in another, laid out as a submission that the evaluation judges like any other."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from preop.errors import InvalidInputError, meant
from preop.grandchallenge.algorithm import Algorithm, Kind, Socket
from preop.grandchallenge.predictions import job_item, write_predictions
from preop.grandchallenge.values import JSON, to_json
from preop.tables import MissingColumnError, Table, number, read_table
from preop.toml import to_toml

TableKind = Literal["binary", "ordinal"]
KEYS = ("case", "patient")
"""Columns that name a row; the first of them that a table has."""
THRESHOLD_COLUMN = "decision_threshold"
_CASE, _PREDICTION, _STATED = "case", "prediction", "statement"
_ASIDE = {*KEYS, "centre", "assessable", "assessable_reasons", THRESHOLD_COLUMN, "warnings", "error"}
"""Columns that hold no prediction, as ``preop predict`` writes them."""


@dataclass(frozen=True)
class TablesTask:
    """What two tables hold.

    Attributes
    ----------
    kind
        ``binary``: likelihoods of 0 to 1 against 0 and 1; ``ordinal``: stages against stages.
    stages
        Of an ordinal task, in their order.
    threshold
        At which a likelihood counts as positive, where the predictions have no column ``decision_threshold``.
    prediction_column, reference_column
        None: the only column that can be meant.
    title
        Heading of the page.
    simulated
        Whether the patients are simulated.
    """

    kind: TableKind
    stages: Sequence[str] = ()
    threshold: float | None = None
    prediction_column: str | None = None
    reference_column: str | None = None
    title: str = "Predictions against their reference"
    simulated: bool = False


def lay_out_tables(predictions: Path, reference: Path, task: TablesTask, folder: Path) -> tuple[Path, Path, list[str]]:
    """Write ``predictions/`` and ``ground_truth/`` of two tables.

    A case of the reference that the predictions lack, or whose cell is empty, becomes a job that is missing or failed, which
    the evaluation scores as the worst that could have been predicted.

    Returns
    -------
    Both folders, and what was chosen and left out, in sentences.

    Raises
    ------
    InvalidInputError
        If a table cannot be read, the column that is meant is not clear, the task lacks stages or threshold, or a cell holds
        something else than a likelihood.
    """
    if task.kind == "ordinal" and len(set(task.stages)) < 2:
        raise InvalidInputError(
            "Stages in their order are needed: name them by --stages, such as --stages N0,N1,N2,N3."
        )
    key, said = _read(predictions, "table of predictions")
    truth_key, truth = _read(reference, "reference table")
    column = _meant(said, task.prediction_column, predictions, "--prediction-column")
    truth_column = _meant(truth, task.reference_column, reference, "--reference-column")
    known = {row[truth_key] for row in truth.rows}
    if unknown := [row[key] for row in said.rows if row[key] not in known]:
        raise InvalidInputError(
            f"{predictions.name} has {unknown[0]!r:.60}, which {reference.name} does not{_more(len(unknown) - 1)}; expected "
            "predictions of the cases of the reference."
        )
    notes = [
        *said.notes,
        *truth.notes,
        f"The column {column} of {predictions.name} is held against {truth_column} of {reference.name}.",
    ]
    jobs = _write_jobs(said, key, column, task, folder / "predictions")
    write_predictions(folder / "predictions", jobs)
    _write_ground_truth(truth, truth_key, truth_column, task, f"{predictions.name} and {reference.name}", folder)
    return folder / "predictions", folder / "ground_truth", notes


def _read(path: Path, what: str) -> tuple[str, Table]:
    first, second = KEYS
    try:
        return first, read_table(path, key=first, expected=[THRESHOLD_COLUMN], what=what)
    except MissingColumnError:
        try:
            return second, read_table(path, key=second, expected=[THRESHOLD_COLUMN], what=what)
        except MissingColumnError as error:
            raise InvalidInputError(
                str(error).replace(f"no column {second}", f"no column {first} or {second}")
            ) from None


def _meant(table: Table, named: str | None, path: Path, option: str) -> str:
    """Give the column that is named, or the only one that can be meant."""
    columns = [column for column in table.columns if column]
    if named is not None:
        if named not in columns:
            raise InvalidInputError(
                f"{path.name} has no column {named}{meant(named, columns)}; its columns are {', '.join(columns)}."
            )
        return named
    possible = [column for column in columns if column not in _ASIDE]
    if not possible:
        raise InvalidInputError(f"{path.name} has no column beside the names of the cases; expected one to judge.")
    if len(possible) > 1:
        raise InvalidInputError(
            f"{path.name} has several columns ({', '.join(possible)}): name the one that is meant by {option}."
        )
    return possible[0]


def _more(count: int) -> str:
    return f" (and {count} more)" if count else ""


def _write_jobs(table: Table, key: str, column: str, task: TablesTask, folder: Path) -> list[JSON]:
    """Write the outputs of each case of the predictions, and give its job."""
    form = _form(folder, task.kind)
    jobs = []
    for place, row in enumerate(table.rows, 1):
        failed = None if row[column] else row.get("error") or "The table of predictions has no value for this case."
        jobs.append(job_item(form, str(place), image_names={}, values={_CASE: row[key]}, error_message=failed))
        if failed is not None:
            continue
        output = folder / str(place) / "output"
        output.mkdir(parents=True)
        (output / f"{_PREDICTION}.json").write_text(to_json(_value(row[column], row[key], task)), encoding="utf-8")
        if task.kind == "binary":
            stated = _threshold(row.get(THRESHOLD_COLUMN, ""), task)
            (output / f"{_STATED}.json").write_text(to_json({THRESHOLD_COLUMN: stated}), encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    return jobs


def _value(cell: str, case: str, task: TablesTask) -> JSON:
    if task.kind == "ordinal":
        return cell
    likelihood = number(cell, f"The prediction of {case}")
    if not 0 <= likelihood <= 1:
        raise InvalidInputError(f"The prediction of {case} is {cell}; expected a likelihood of 0 to 1.")
    return likelihood


def _threshold(cell: str, task: TablesTask) -> float:
    if cell:
        return number(cell, THRESHOLD_COLUMN)
    if task.threshold is None:
        raise InvalidInputError(
            f"At which likelihood is a case positive? Name it by --threshold, or in a column {THRESHOLD_COLUMN} of the "
            "predictions; it must have been chosen before the reference was known."
        )
    return task.threshold


def _form(folder: Path, kind: TableKind) -> Algorithm:
    """Describe what made the predictions as an algorithm: the evaluation judges nothing else."""
    number_or_stage = Kind.FLOAT if kind == "binary" else Kind.STRING

    def socket(slug: str, kind: Kind, words: str) -> Socket:
        return Socket.model_validate(
            {"slug": slug, "kind": kind, "relative_path": f"{slug}.json", "description": words}
        )

    return Algorithm(
        folder=folder / "table",
        name="table",
        title="A table",
        summary="From a case to a prediction.",
        version="1",
        requirements="imaging",
        memory_gb=1,
        time_limit_minutes=1,
        gpu=False,
        inputs=(socket(_CASE, Kind.STRING, "Name of the case."),),
        outputs=(
            socket(_PREDICTION, number_or_stage, "The prediction."),
            *([socket(_STATED, Kind.ANYTHING, "The threshold.")] if kind == "binary" else []),
        ),
        interfaces=((_CASE,),),
    )


def _write_ground_truth(table: Table, key: str, column: str, task: TablesTask, source: str, folder: Path) -> None:
    described: dict[str, Any] = {
        "title": task.title,
        "study": "two tables",
        "kind": task.kind,
        "case_sockets": [_CASE],
        "prediction_socket": _PREDICTION,
        "reference_column": column,
        "simulated": task.simulated,
        "source": f"The tables {source}.",
    }
    if task.kind == "binary":
        described |= {"threshold_socket": _STATED, "threshold_key": THRESHOLD_COLUMN}
    else:
        described |= {"categories": list(task.stages)}
    place = folder / "ground_truth"
    place.mkdir(parents=True)
    (place / "task.toml").write_text(to_toml(described), encoding="utf-8")
    beside = [name for name in table.columns if name == "centre"]
    with (place / "reference.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((_CASE, column, *beside))
        writer.writerows((row[key], row[column], *(row[name] for name in beside)) for row in table.rows)
