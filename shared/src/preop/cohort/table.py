"""``cohort.csv``: one row a patient.

Columns: ``patient`` (unique), ``centre`` and ``group`` (optional; rows of one group belong to one person and are never
split), one column an image input, named by its slug, with a path relative to the table; one column an input of features,
with that of a file below the table's folder (``preop.stored_features``); the columns that make up a JSON
input, as its ``algorithm.toml`` lists them; and any others, among them the reference standard. An empty cell means: not
available. What other forms of table are read, ``preop.tables`` says.

``cohort.toml`` beside it, where there is one, says where the patients come from, and whether they are simulated.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preop.atomic import write_text
from preop.errors import InvalidInputError
from preop.folders import sha256
from preop.grandchallenge.algorithm import Algorithm, Socket
from preop.grandchallenge.cases import Case, check_interface
from preop.grandchallenge.values import JSON, check_value
from preop.study import DataSource
from preop.tables import Table, number, read_table
from preop.toml import read_toml, to_toml

PATIENT_COLUMN = "patient"
CENTRE_COLUMN = "centre"
LABEL_ENDING = "_label"
"""After the name of a segmentation's column: which region of the file is meant, by number, name or pattern."""
MPP_COLUMN = "mpp"
"""Micrometres per pixel of slides whose files do not state it."""
GROUP_COLUMN = "group"


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

    @property
    def group(self) -> str:
        """Name of the person, which all rows of the same person have in common; no split may part them."""
        return self.row.get(GROUP_COLUMN) or self.name

    def reference_number(self, column: str) -> float:
        """Give a number of the reference standard.

        Raises
        ------
        InvalidInputError
            If the column is missing, or the cell is empty or not a number.
        """
        if column not in self.row:
            raise InvalidInputError(f"The cohort table has no column {column}, the reference standard.")
        return number(self.row[column], f"{column} of {self.name}")


@dataclass(frozen=True)
class Cohort:
    """The patients of a table."""

    path: Path
    algorithm: Algorithm
    source: DataSource
    patients: tuple[Patient, ...]
    notes: tuple[str, ...] = ()
    """How the table was read, in sentences, where it is not plain CSV."""

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
    sockets = [column for socket in algorithm.inputs for column in (socket.slug, *socket.columns)]
    table = read_cohort_table(path, sockets)
    patients = tuple(_patient(row, path, algorithm) for row in table.rows)
    return Cohort(path, algorithm, read_source(path.with_suffix(".toml")), patients, table.notes)


def read_cohort_table(path: Path, expected: Collection[str] = ()) -> Table:
    """Read the rows of a cohort table as text, "" where a cell is empty.

    Parameters
    ----------
    expected
        Columns beside patient, centre and group, which may be written with other capitals.

    Raises
    ------
    InvalidInputError
        If the table cannot be read, has no patients or no column for them, or a patient stands twice.
    """
    columns = (CENTRE_COLUMN, GROUP_COLUMN, *expected)
    table = read_table(path, key=PATIENT_COLUMN, expected=columns, what="cohort table")
    if not table.rows:
        raise InvalidInputError(f"{path.name} has no patients.")
    return table


def write_source(source: DataSource, table: Path) -> None:
    """Write where the patients of a cohort table come from, beside it."""
    write_text(table.with_suffix(".toml"), to_toml(source.model_dump()))


def read_source(path: Path) -> DataSource:
    """Read where the patients of a cohort table come from; without the file, nothing is stated."""
    return read_toml(path, DataSource) if path.is_file() else DataSource()


def _patient(row: Mapping[str, str], table: Path, algorithm: Algorithm) -> Patient:
    name = row[PATIENT_COLUMN]
    try:
        case = case_of_row(row, table.parent, algorithm, name)
        _check_within(table.parent, case.feature_files)
    except InvalidInputError as error:
        raise InvalidInputError(f"{table.name}, patient {name}: {error}") from None
    return Patient(name, row.get(CENTRE_COLUMN, ""), case, row)


def _check_within(folder: Path, files: Mapping[str, Path]) -> None:
    """Refuse features from elsewhere: they would be another cohort's, and a copy of this one would lack them."""
    for slug, path in files.items():
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InvalidInputError(f"{slug}: {path} leads out of the folder of the table; put the file below it.")


def case_of_row(row: Mapping[str, str], folder: Path, algorithm: Algorithm, name: str) -> Case:
    """Make the case of the cells of a row, by column; images are not opened yet.

    Parameters
    ----------
    folder
        What the paths of files are relative to.
    name
        Of the case.

    Raises
    ------
    InvalidInputError
        If a file is missing, a value is none that its input allows, or the inputs are not an interface.
    """
    images: dict[str, Path] = {}
    features: dict[str, Path] = {}
    values: dict[str, JSON] = {}
    for socket in algorithm.inputs:
        if socket.kind.is_image or socket.features_of:
            if row.get(socket.slug):
                (features if socket.features_of else images)[socket.slug] = folder / row[socket.slug]
        else:
            value = _object(row, socket, algorithm, name)
            if value:
                values[socket.slug] = value
    check_interface(algorithm, (*images, *features, *values))
    for slug, path in {**images, **features}.items():
        if not path.exists():
            raise InvalidInputError(f"{slug}: there is no file {path}.")
    labels = {slug: row[slug + LABEL_ENDING] for slug in images if row.get(slug + LABEL_ENDING)}
    written = row.get(MPP_COLUMN)
    um_per_pixel = number(written, f"{MPP_COLUMN} of {name}") if written else None
    return Case(algorithm, name, images, values, labels=labels, um_per_pixel=um_per_pixel, feature_files=features)


def _object(row: Mapping[str, str], socket: Socket, algorithm: Algorithm, patient: str) -> JSON:
    """Put the cells of a JSON input together, each with the type that its schema asks for."""
    schema: Any = algorithm.json_schemas.get(socket.slug, {})
    properties = schema.get("properties", {})
    value = {
        column: number(row[column], f"{column} of {patient}")
        if properties.get(column, {}).get("type") in {"number", "integer"}
        else row[column]
        for column in socket.columns
        if row.get(column)
    }
    if value:
        check_value(value, socket, schema)
    return value
