"""What the pathologist counted by field of the dissection, and where each node lies: tables beside that of the cohort.

A report seldom gives one number: nodes are sent by side and region of the template. Each field is a count of its own, of the
nodes that lie in it and of how many of them were removed; nodes where nothing was dissected say nothing. Where it cannot be
told of every node on CT in which field it lies, fields are added up until it can: all of a side, or all of the patient. A
region is never guessed from the CT: it is known where a reader named it (``node_places.csv``).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from preop.errors import InvalidInputError
from preop.tables import whole_number

from .settings import NetworkSettings

if TYPE_CHECKING:
    from preop.mil import Part

FIELDS_FILE, PLACES_FILE = "fields.csv", "node_places.csv"
FIELD_COLUMNS = ("patient", "side", "region", "removed", "positive")
PLACE_COLUMNS = ("patient", "label", "side", "region")
SIDES = ("left", "right")
REGIONS = ("obturator", "external iliac", "internal iliac", "common iliac", "presacral")

Place = tuple[str, str]
"""Side and region; each "" where a report does not tell them apart."""


@dataclass(frozen=True)
class FieldReport:
    """A row of the table: how many nodes were removed in a field, and how many of them are positive."""

    side: str
    region: str
    removed: int
    positive: int


def read_fields(path: Path) -> dict[str, list[FieldReport]]:
    """Read the table of fields, by patient; nothing where there is none.

    Raises
    ------
    InvalidInputError
        If a column is missing, a side or region is not known, a number is none, more nodes are positive than removed, or a
        field is there twice.
    """
    found: dict[str, list[FieldReport]] = {}
    for row in _rows(path, FIELD_COLUMNS):
        fields = found.setdefault(row["patient"], [])
        field = _field(row, path.name)
        if (field.side, field.region) in [(other.side, other.region) for other in fields]:
            raise InvalidInputError(
                f"{path.name} has the field {_named(field)} of {row['patient']} twice: give it once."
            )
        fields.append(field)
    return found


def read_places(path: Path) -> dict[tuple[str, int], Place]:
    """Read where nodes lie as a reader named it, by patient and label; nothing where there is no such table.

    Raises
    ------
    InvalidInputError
        If a column is missing, a side or region is not known, a label is no number, or a node is there twice.
    """
    found: dict[tuple[str, int], Place] = {}
    for row in _rows(path, PLACE_COLUMNS):
        _check_place(row, path.name)
        node = row["patient"], whole_number(row["label"], f"label of {row['patient']}")
        if node in found:
            raise InvalidInputError(f"{path.name} has the node {node[1]} of {node[0]} twice: give it once.")
        found[node] = (row["side"], row["region"])
    return found


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    if lacking := [column for column in columns if column not in (reader.fieldnames or ())]:
        raise InvalidInputError(
            f"{path.name} has no column {lacking[0]}; expected {', '.join(columns)}, with commas between them."
        )
    return [{column: (row[column] or "").strip() for column in columns} for row in rows]


def _check_place(row: Mapping[str, str], name: str) -> None:
    for column, known in (("side", SIDES), ("region", REGIONS)):
        if row[column] and row[column] not in known:
            raise InvalidInputError(
                f"{name} has the {column} {row[column]} of {row['patient']}; expected {', '.join(known)}, or nothing."
            )


def _field(row: Mapping[str, str], name: str) -> FieldReport:
    _check_place(row, name)
    removed, positive = (
        whole_number(row[column], f"{column} of {row['patient']}") for column in ("removed", "positive")
    )
    field = FieldReport(row["side"], row["region"], removed, positive)
    if not 0 <= positive <= removed:
        raise InvalidInputError(
            f"{name} has {positive} positive of {removed} removed nodes in the field {_named(field)} of {row['patient']}: "
            "correct the table."
        )
    return field


def _named(field: FieldReport) -> str:
    return " ".join(word for word in (field.side, field.region) if word) or "without side and region"


def check_total(patient: str, fields: Sequence[FieldReport], low: float, high: float) -> None:
    """Refuse fields that do not add up to the count of the patient.

    Raises
    ------
    InvalidInputError
        If they do not.
    """
    total = sum(field.positive for field in fields)
    if not low <= total <= high:
        raise InvalidInputError(
            f"The fields of {patient} have {total} positive nodes together, and the table of the cohort says {low:g} to "
            f"{high:g}: correct one of them."
        )


def parts_of_total(nodes: int, low: float, high: float, removed: float, settings: NetworkSettings) -> tuple[Part, ...]:
    """One part of all nodes, for a patient of whom only the total and the number of removed nodes are known."""
    return (_part(range(nodes), low, high, removed, settings.leak, settings),)


def parts_of_fields(
    places: Sequence[Place], fields: Sequence[FieldReport], settings: NetworkSettings
) -> tuple[Part, ...]:
    """Say which nodes were counted together, and how likely a positive one of them was counted.

    Parameters
    ----------
    places
        Side and region of each node on the CT, in the order of the bag; anything else than those known is unknown.
    fields
        Of the patient, one or more.
    settings
        ``fields`` is the finest that is told apart.

    Returns
    -------
    A part for each field, or for each side, or one of all nodes. A positive node enters the count if it was removed, with the
    chance removed / nodes on CT, and found in the specimen (``found``). What leaks in is shared out by how many nodes were
    removed; each removed node more than those on CT is counted positive with the chance ``leak``, too.
    """
    levels = {"region": (_by_region, _by_side), "side": (_by_side,), "patient": ()}[settings.fields]
    told = (groups for level in levels if (groups := level(places, fields)) is not None)
    groups = next(told, None) or _whole(places, fields)
    in_all = max(sum(field.removed for field in fields), 1)
    parts = []
    for rows, here in groups:
        removed, positive = sum(field.removed for field in here), sum(field.positive for field in here)
        if rows and removed:  # else nothing is said of a node on CT
            parts.append(_part(rows, positive, positive, removed, settings.leak * removed / in_all, settings))
    return tuple(parts)


def _part(rows: Sequence[int], low: float, high: float, removed: float, leak: float, settings: NetworkSettings) -> Part:
    from preop.mil import Part

    found = settings.found * min(1.0, removed / len(rows))
    unseen = max(removed - len(rows), 0.0)
    return Part(tuple(rows), low, high, found=found, leak=leak + settings.leak * unseen)


Group = tuple[list[int], list[FieldReport]]
"""Nodes by their row, and the fields that they may lie in."""


def _by_region(places: Sequence[Place], fields: Sequence[FieldReport]) -> list[Group] | None:
    """Each field by itself; None where a node may lie in one of several."""
    groups: list[Group] = [([], [field]) for field in fields]
    for row, place in enumerate(places):
        possible = [number for number, field in enumerate(fields) if _may_lie_in(place, field)]
        surely = [number for number in possible if _lies_in(place, fields[number])]
        if len(possible) != len(surely) or len(possible) > 1:
            return None
        for number in possible:
            groups[number][0].append(row)
    return groups


def _by_side(places: Sequence[Place], fields: Sequence[FieldReport]) -> list[Group] | None:
    """All fields of a side together; those of no side have to be without positive nodes, or it cannot be told."""
    if any(not field.side and field.positive for field in fields) or not any(field.side for field in fields):
        return None
    if any(side not in SIDES for side, _ in places):
        return None
    return [
        ([row for row, (where, _) in enumerate(places) if where == side], here)
        for side in SIDES
        if (here := [field for field in fields if field.side == side])
    ]


def _whole(places: Sequence[Place], fields: Sequence[FieldReport]) -> list[Group]:
    """All fields together, and the nodes that may lie in one of them."""
    inside = [row for row, place in enumerate(places) if any(_may_lie_in(place, field) for field in fields)]
    return [(inside, list(fields))]


def _may_lie_in(place: Place, field: FieldReport) -> bool:
    side, region = place
    of_side = not field.side or side not in SIDES or side == field.side
    return of_side and (not field.region or region not in REGIONS or region == field.region)


def _lies_in(place: Place, field: FieldReport) -> bool:
    side, region = place
    return field.side in ("", side) and field.region in ("", region)
