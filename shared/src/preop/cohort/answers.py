"""What a model said of the patients of a cohort, as a table: one row a patient, whether or not it could be run."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from preop.atomic import replacing
from preop.cohort.measuring import Outcome
from preop.cohort.table import CENTRE_COLUMN, PATIENT_COLUMN, Cohort, Patient
from preop.grandchallenge.algorithm import Algorithm, Kind, Socket
from preop.grandchallenge.results import CaseOutputs
from preop.grandchallenge.values import JSON

_SINGLE = {Kind.FLOAT, Kind.INTEGER, Kind.BOOL, Kind.STRING}
_STATED = ("assessable", "assessable_reasons", "decision_threshold", "warnings")
"""What an explanation says beside the answer, where it does."""


@dataclass(frozen=True)
class Answers:
    """The table.

    Attributes
    ----------
    columns
        Their names: the patient, the centre, every output that is a single value, by its slug, what the explanation says of
        it, and why a patient has none.
    rows
        In the order of the cohort.
    """

    columns: tuple[str, ...]
    rows: tuple[Mapping[str, str], ...]

    def write(self, path: Path) -> None:
        """Write it as CSV, complete or not at all."""
        with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)


def answer_sockets(algorithm: Algorithm) -> list[Socket]:
    """Give the outputs that are a single value."""
    return [socket for socket in algorithm.outputs if socket.kind in _SINGLE]


def answers_of(cohort: Cohort, outcome: Outcome) -> Answers:
    """Read what the outputs of a cohort say.

    Parameters
    ----------
    outcome
        As ``predict_cohort`` gives it.

    Raises
    ------
    InvalidInputError
        If an output is missing, or is not what its socket allows.
    """
    rows = tuple(_row(patient, outcome) for patient in cohort.patients)
    found = {column for row in rows for column in row}
    single = (socket.slug for socket in answer_sockets(cohort.algorithm))
    order = (PATIENT_COLUMN, CENTRE_COLUMN, *single, *_STATED, "error")
    return Answers(tuple(column for column in order if column in found or column == "error"), rows)


def _row(patient: Patient, outcome: Outcome) -> dict[str, str]:
    row = {PATIENT_COLUMN: patient.name} | ({CENTRE_COLUMN: patient.centre} if patient.centre else {})
    if patient.name in outcome.failures:
        return row | {"error": outcome.failures[patient.name]}
    outputs = CaseOutputs(patient.case, outcome.folders[patient.name] / "output")
    for socket in patient.case.algorithm.outputs_of(patient.case.interface):
        if socket.kind in _SINGLE:
            row[socket.slug] = _cell(outputs.value(socket.slug))
        elif socket.kind is Kind.ANYTHING:
            value = outputs.value(socket.slug)
            stated = value if isinstance(value, dict) else {}
            row |= {key: _cell(stated[key]) for key in _STATED if stated.get(key) is not None and key not in row}
    return row


def _cell(value: JSON) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return repr(value) if isinstance(value, float) else str(value)
