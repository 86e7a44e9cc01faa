"""The truth of each case, from the tables of the ground truth."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
PROBABILITY_COLUMN = "probability"
_AXES = ("x", "y", "z")
# Kinds of which each row of reference.csv holds the truth.
_OF_ROWS = (BinaryTask, OrdinalTask, CountTask, SharesTask, SurvivalTask)
Mark = tuple[tuple[float, ...], float]
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
    marked
        By the name of each comparator with a table of marks: points of this case, with their probabilities.
    said
        By the column of each comparator in the table of instances: the cell of each instance.
    """

    name: str
    truth: Any
    attributes: Mapping[str, str]
    marked: Mapping[str, tuple[Mark, ...]] = field(default_factory=dict)
    said: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_reference(folder: Path, task: Task) -> list[ReferenceCase]:
    """Read the truth of each case, in the order of the table.

    Raises
    ------
    InvalidInputError
        If a table is missing, lacks a column, names a case twice or not at all, or holds another truth than the task allows;
        or if there is no case.
    """
    wanted = [*task.truth_columns, *task.subgroups, *task.compared_columns]
    wanted += [task.patient_column] if task.patient_column else []
    table = _read(folder / REFERENCE_FILE, CASE_COLUMN, wanted)
    if not table.rows:
        raise InvalidInputError(f"{REFERENCE_FILE} has no case; expected at least one.")
    for column in [column for column in wanted if column not in (*table.columns, *task.truth_columns)]:
        raise InvalidInputError(
            f"{REFERENCE_FILE} has no column '{column}', which {'patient_column' if column == task.patient_column else 'task.toml'} "
            f"names; its columns are {', '.join(table.columns)}."
        )
    cases = {row[CASE_COLUMN] for row in table.rows}
    parts = _Parts() if isinstance(task, _OF_ROWS) else _parts(folder, task, cases)
    return [
        ReferenceCase(
            row[CASE_COLUMN],
            _truth(row, line, task) if isinstance(task, _OF_ROWS) else parts.truth[row[CASE_COLUMN]],
            {name: cell for name, cell in row.items() if name not in (CASE_COLUMN, *task.truth_columns)},
            {name: tuple(points[row[CASE_COLUMN]]) for name, points in parts.marked.items()},
            {column: tuple(cells[row[CASE_COLUMN]]) for column, cells in parts.said.items()},
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
        shares = [_number(cell(part), part, line) for part in task.parts]
        return whole(shares, f"{REFERENCE_FILE} has the shares", f" in line {line}")
    if isinstance(task, SurvivalTask):
        time = _number(cell(task.time_column), task.time_column, line)
        if time < 0:
            raise InvalidInputError(
                f"{REFERENCE_FILE} says {task.time_column} {time:g} in line {line}; expected 0 or more."
            )
        return time, _label(cell(task.event_column), task.event_column, REFERENCE_FILE, line)
    raise TypeError(type(task))


@dataclass(frozen=True)
class _Parts:
    """What stands in tables of their own, by case: the truth, and what others said of it."""

    truth: Mapping[str, Any] = field(default_factory=dict)
    marked: Mapping[str, Mapping[str, Sequence[Mark]]] = field(default_factory=dict)
    said: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)


def _parts(folder: Path, task: Task, cases: set[str]) -> _Parts:
    """Lesions or instances of each case."""
    if isinstance(task, DetectionTask):
        return _Parts(
            _lesions(folder / task.lesion_file, task, cases),
            marked={each.name: _marks(folder / each.mark_file, cases) for each in task.comparators},
        )
    if isinstance(task, InstancesTask):
        return _instances(folder / task.instance_file, task, cases)
    raise TypeError(type(task))


def _lesions(path: Path, task: DetectionTask, cases: set[str]) -> Mapping[str, list[tuple[tuple[float, ...], str]]]:
    columns = [CASE_COLUMN, *_AXES, *([task.place_column] if task.place_column else [])]
    table = _with_columns(path, "lesion", columns)
    found: defaultdict[str, list[tuple[tuple[float, ...], str]]] = defaultdict(list)
    for row, line in zip(table.rows, table.lines, strict=True):
        found[_known(row[CASE_COLUMN], cases, path, line)].append(
            (_point(row, line, path), row[task.place_column] if task.place_column else "")
        )
    return found


def _marks(path: Path, cases: set[str]) -> Mapping[str, list[Mark]]:
    table = _with_columns(path, "mark", [CASE_COLUMN, *_AXES])
    found: defaultdict[str, list[Mark]] = defaultdict(list)
    for row, line in zip(table.rows, table.lines, strict=True):
        chance = number(row.get(PROBABILITY_COLUMN) or "1", f"{PROBABILITY_COLUMN} in line {line} of {path.name}")
        if not 0 <= chance <= 1:
            raise InvalidInputError(
                f"{path.name} has the {PROBABILITY_COLUMN} {chance:g} in line {line}; expected a number between 0 and 1."
            )
        found[_known(row[CASE_COLUMN], cases, path, line)].append((_point(row, line, path), chance))
    return found


def _point(row: Mapping[str, str], line: int, path: Path) -> tuple[float, ...]:
    return tuple(number(row[axis], f"{axis} in line {line} of {path.name}") for axis in _AXES)


def _instances(path: Path, task: InstancesTask, cases: set[str]) -> _Parts:
    others = [each.column for each in task.comparators]
    table = _with_columns(path, "instance", [CASE_COLUMN, "name", task.reference_column, *others])
    found: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
    said: dict[str, defaultdict[str, list[str]]] = {column: defaultdict(list) for column in others}
    for row, line in zip(table.rows, table.lines, strict=True):
        label = _label(row[task.reference_column], task.reference_column, path.name, line)
        case = _known(row[CASE_COLUMN], cases, path, line)
        found[case].append((row["name"], label))
        for column in others:
            said[column][case].append(row[column])
    return _Parts(found, said=said)


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


def whole(shares: Sequence[float], what: str, where: str = "") -> tuple[float, ...]:
    """Give shares that add up to 1 or 100, up to rounding, as parts of 1.

    Raises
    ------
    InvalidInputError
        If they do not, or one is below 0.
    """
    total = sum(shares)
    for sum_of_all in (1, 100):
        if min(shares) >= 0 and abs(total - sum_of_all) <= _ROUNDING * sum_of_all:
            return tuple(share / total for share in shares)
    raise InvalidInputError(
        f"{what} {', '.join(f'{share:g}' for share in shares)}{where}, which add up to {total:g}; "
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
