"""The truth of each case, from the tables of the ground truth."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.tasks import (
    BinaryTask,
    CountTask,
    DetectionTask,
    InstancesTask,
    OrdinalTask,
    SharesTask,
    SurvivalTask,
    Task,
)
from preop.errors import InvalidInputError
from preop.tables import Table, number, read_table

REFERENCE_FILE = "reference.csv"
CASE_COLUMN = "case"
# Shares of a whole that are rounded to per cent do not add up to exactly 1.
_ROUNDING = 0.02


@dataclass(frozen=True)
class ReferenceCase:
    """One row of the ground truth.

    Attributes
    ----------
    name
        Of the case.
    truth
        0 or 1; a stage; a number; shares; time and event; lesions (point and place); or instances (name and 0 or 1).
    attributes
        The columns that are kept beside it.
    """

    name: str
    truth: Any
    attributes: Mapping[str, str]


def read_reference(folder: Path, task: Task) -> list[ReferenceCase]:
    """Read the truth of each case, in the order of the table.

    Raises
    ------
    InvalidInputError
        If a table is missing, lacks a column, names a case twice or not at all, or holds another truth than the task allows;
        or if there is no case.
    """
    wanted = [*task.truth_columns, *task.subgroups, *(each.column for each in task.compared_with)]
    wanted += [task.patient_column] if task.patient_column else []
    table = _read(folder / REFERENCE_FILE, CASE_COLUMN, wanted)
    if not table.rows:
        raise InvalidInputError(f"{REFERENCE_FILE} has no case; expected at least one.")
    for column in [column for column in wanted if column not in (*table.columns, *task.truth_columns)]:
        raise InvalidInputError(
            f"{REFERENCE_FILE} has no column '{column}', which {'patient_column' if column == task.patient_column else 'task.toml'} "
            f"names; its columns are {', '.join(table.columns)}."
        )
    parts = _parts(folder, task, {row[CASE_COLUMN] for row in table.rows})
    return [
        ReferenceCase(
            row[CASE_COLUMN],
            parts[row[CASE_COLUMN]] if parts is not None else _truth(row, line, task),
            {name: cell for name, cell in row.items() if name not in (CASE_COLUMN, *task.truth_columns)},
        )
        for row, line in zip(table.rows, table.lines, strict=True)
    ]


def _read(path: Path, key: str, expected: Sequence[str]) -> Table:
    table = read_table(path, key=key, expected=expected, what="reference table")
    for note in table.notes:
        print(note, file=sys.stderr)
    return table


def _truth(row: Mapping[str, str], line: int, task: Task) -> Any:
    def cell(column: str) -> str:
        if not row.get(column):
            raise InvalidInputError(f"{REFERENCE_FILE} has no '{column}' in line {line}.")
        return row[column]

    if isinstance(task, OrdinalTask):
        return _one_of(cell(task.reference_column), task.categories, task.reference_column, REFERENCE_FILE, line)
    if isinstance(task, BinaryTask):
        return _label(cell(task.reference_column), task.reference_column, REFERENCE_FILE, line)
    if isinstance(task, CountTask):
        counted = _number(cell(task.reference_column), task.reference_column, line)
        if counted < 0 or not counted.is_integer():
            raise InvalidInputError(
                f"{REFERENCE_FILE} says {task.reference_column} {counted:g} in line {line}; expected a whole number from 0."
            )
        return int(counted)
    if isinstance(task, SharesTask):
        return _shares([_number(cell(part), part, line) for part in task.parts], line)
    if isinstance(task, SurvivalTask):
        time = _number(cell(task.time_column), task.time_column, line)
        if time < 0:
            raise InvalidInputError(
                f"{REFERENCE_FILE} says {task.time_column} {time:g} in line {line}; expected 0 or more."
            )
        return time, _label(cell(task.event_column), task.event_column, REFERENCE_FILE, line)
    raise TypeError(type(task))


def _parts(folder: Path, task: Task, cases: set[str]) -> Mapping[str, Any] | None:
    """Lesions or instances of each case, where the task has a table of them."""
    if isinstance(task, DetectionTask):
        return _lesions(folder / task.lesion_file, task, cases)
    if isinstance(task, InstancesTask):
        return _instances(folder / task.instance_file, task, cases)
    return None


def _lesions(path: Path, task: DetectionTask, cases: set[str]) -> Mapping[str, list[tuple[tuple[float, ...], str]]]:
    columns = [CASE_COLUMN, "x", "y", "z", *([task.place_column] if task.place_column else [])]
    table = _with_columns(path, "lesion", columns)
    found: defaultdict[str, list[tuple[tuple[float, ...], str]]] = defaultdict(list)
    for row, line in zip(table.rows, table.lines, strict=True):
        point = tuple(number(row[axis], f"{axis} in line {line} of {path.name}") for axis in "xyz")
        found[_known(row[CASE_COLUMN], cases, path, line)].append(
            (point, row[task.place_column] if task.place_column else "")
        )
    return found


def _instances(path: Path, task: InstancesTask, cases: set[str]) -> Mapping[str, list[tuple[str, int]]]:
    table = _with_columns(path, "instance", [CASE_COLUMN, "name", task.reference_column])
    found: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    for row, line in zip(table.rows, table.lines, strict=True):
        label = _label(row[task.reference_column], task.reference_column, path.name, line)
        found[_known(row[CASE_COLUMN], cases, path, line)].append((row["name"], label))
    return found


def _with_columns(path: Path, key: str, columns: Sequence[str]) -> Table:
    table = _read(path, key, columns)
    for column in columns:
        if column not in table.columns:
            raise InvalidInputError(
                f"{path.name} has no column '{column}'; its columns are {', '.join(table.columns)}."
            )
    return table


def _known(case: str, cases: set[str], path: Path, line: int) -> str:
    if case not in cases:
        raise InvalidInputError(
            f"{path.name} names the case '{case}' in line {line}, which {REFERENCE_FILE} does not hold."
        )
    return case


def _number(cell: str, column: str, line: int) -> float:
    return number(cell, f"{column} in line {line} of {REFERENCE_FILE}")


def _shares(shares: list[float], line: int) -> tuple[float, ...]:
    total = sum(shares)
    for whole in (1, 100):
        if min(shares) >= 0 and abs(total - whole) <= _ROUNDING * whole:
            return tuple(share / total for share in shares)
    raise InvalidInputError(
        f"{REFERENCE_FILE} has the shares {', '.join(f'{share:g}' for share in shares)} in line {line}, which add up to {total:g}; "
        "expected shares from 0 that add up to 1, or to 100."
    )


def _one_of(cell: str, allowed: Sequence[str], column: str, file: str, line: int) -> str:
    if cell not in allowed:
        raise InvalidInputError(f"{file} says {column} '{cell}' in line {line}; expected one of {', '.join(allowed)}.")
    return cell


def _label(cell: str, column: str, file: str, line: int) -> int:
    """Read 0 or 1, which spreadsheets write as 1.0 too."""
    try:
        value = number(cell, "")
    except InvalidInputError:
        value = -1
    if value not in (0, 1):
        raise InvalidInputError(f"{file} says {column} '{cell}' in line {line}; expected one of 0, 1.")
    return int(value)
