"""``cohort.csv``: one row a patient.

Columns: ``patient`` (unique), ``centre`` (optional), one column an image input, named by its slug, with a path
relative to the table; the columns that make up a JSON input, as its ``algorithm.toml`` lists them; and any others,
among them the reference standard. An empty cell means: not available.

``cohort.toml`` beside it, where there is one, says where the patients come from, and whether they are simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from preop.errors import InvalidInputError
from preop.folders import sha256
from preop.grandchallenge.algorithm import Algorithm, Socket
from preop.grandchallenge.cases import Case, check_interface
from preop.grandchallenge.values import JSON, check_value
from preop.study import DataSource
from preop.toml import read_toml, to_toml

PATIENT_COLUMN = "patient"
CENTRE_COLUMN = "centre"


@dataclass(frozen=True)
class Patient:
    """One row of the table.

    Attributes
    ----------
    name
        Unique in the cohort.
    centre
        Hospital, "" where the table has none.
    case
        The inputs.
    row
        All cells as text, "" where empty.
    """

    name: str
    centre: str
    case: Case
    row: Mapping[str, str]

    def reference_number(self, column: str) -> float:
        """Give a number of the reference standard.

        Raises
        ------
        InvalidInputError
            If the column is missing, or the cell is empty or not a number.
        """
        if column not in self.row:
            raise InvalidInputError(f"The cohort table has no column {column}, the reference standard.")
        return _number(self.row[column], column, self.name)


@dataclass(frozen=True)
class Cohort:
    """The patients of a table."""

    path: Path
    algorithm: Algorithm
    source: DataSource
    patients: tuple[Patient, ...]

    @property
    def sha256(self) -> str:
        """SHA-256 of the table, for provenance."""
        return sha256(self.path)


def read_cohort(path: Path, algorithm: Algorithm) -> Cohort:
    """Read a cohort table and check each row against what the algorithm accepts; images are not opened yet.

    Raises
    ------
    InvalidInputError
        If the table cannot be read, a patient stands twice, a file is missing, or a row's inputs are not an interface.
    """
    patients = tuple(_patient(row, path, algorithm) for row in read_rows(path))
    return Cohort(path, algorithm, _read_source(path.with_suffix(".toml")), patients)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a cohort table as text, "" where a cell is empty.

    Raises
    ------
    InvalidInputError
        If the table cannot be read, has no patients or no column for them, or a patient's name cannot name a file or
        stands twice.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InvalidInputError(f"There is no cohort table {path}.") from None
    except (ValueError, OSError) as error:
        raise InvalidInputError(f"{path} cannot be read as a CSV table ({' '.join(str(error).split())}).") from None
    if PATIENT_COLUMN not in table:
        raise InvalidInputError(
            f"{path.name} has no column {PATIENT_COLUMN}; its columns are {', '.join(table.columns)}."
        )
    rows = [{str(key): str(value).strip() for key, value in row.items()} for row in table.to_dict("records")]
    if not rows:
        raise InvalidInputError(f"{path.name} has no patients.")
    names = [row[PATIENT_COLUMN] for row in rows]
    for name in names:
        if not name or "/" in name or name.startswith("."):
            raise InvalidInputError(
                f"{path.name} has a patient called {name!r}; expected a name without '/' or a leading dot."
            )
        if names.count(name) > 1:
            raise InvalidInputError(f"{path.name} has two rows for the patient {name}; expected one.")
    return rows


def write_source(source: DataSource, table: Path) -> None:
    """Write where the patients of a cohort table come from, beside it."""
    table.with_suffix(".toml").write_text(to_toml(source.model_dump()), encoding="utf-8")


def _read_source(path: Path) -> DataSource:
    return read_toml(path, DataSource) if path.is_file() else DataSource()


def _patient(row: Mapping[str, str], table: Path, algorithm: Algorithm) -> Patient:
    name = row[PATIENT_COLUMN]
    images: dict[str, Path] = {}
    values: dict[str, JSON] = {}
    try:
        for socket in algorithm.inputs:
            if socket.kind.is_image:
                if row.get(socket.slug):
                    images[socket.slug] = _existing(table.parent / row[socket.slug], socket)
            else:
                value = _object(row, socket, algorithm, name)
                if value:
                    values[socket.slug] = value
        check_interface(algorithm, (*images, *values))
    except InvalidInputError as error:
        raise InvalidInputError(f"{table.name}, patient {name}: {error}") from None
    return Patient(name, row.get(CENTRE_COLUMN, ""), Case(algorithm, name, images, values), row)


def _existing(path: Path, socket: Socket) -> Path:
    if not path.exists():
        raise InvalidInputError(f"{socket.slug}: there is no file {path}.")
    return path


def _object(row: Mapping[str, str], socket: Socket, algorithm: Algorithm, patient: str) -> JSON:
    """Put the cells of a JSON input together, each with the type that its schema asks for."""
    schema: Any = algorithm.json_schemas.get(socket.slug, {})
    properties = schema.get("properties", {})
    value = {
        column: _number(row[column], column, patient)
        if properties.get(column, {}).get("type") in {"number", "integer"}
        else row[column]
        for column in socket.columns
        if row.get(column)
    }
    if value:
        check_value(value, socket, schema)
    return value


def _number(cell: str, column: str, patient: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise InvalidInputError(f"{column} of {patient} is {cell!r}; expected a number.") from None
