"""The table of choices: what each series of each patient became and why, for a person to correct and run again."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preop.atomic import replacing, write_text
from preop.dicom.choosing import Choice, Correction
from preop.dicom.privacy import cautions
from preop.dicom.series import Series
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm
from preop.tables import read_table

COLUMNS = (
    "series",
    "patient",
    "patient_id",
    "use",
    "region",
    "chosen_by",
    "reason",
    "notes",
    "modality",
    "description",
    "part",
    "regions",
    "date",
    "slices",
    "thickness_mm",
    "kernel",
    "contrast",
    "manufacturer",
    "caution",
    "file",
)
_MADE = ".choices.json"
_BETWEEN = ";"
"""Between the inputs, and their regions, of a series that is several."""
_BY_PERSON, _BY_RULE = "person", "rules"


@dataclass(frozen=True)
class Corrections:
    """What a person changed in the table since it was written: uses by series, and to which patient a series belongs."""

    uses: Mapping[str, Correction]
    patients: Mapping[str, str]


def read_corrections(table: Path, algorithm: Algorithm) -> Corrections:
    """Read what a person changed in the table, which may not be there yet.

    Raises
    ------
    InvalidInputError
        If the table cannot be read, or names an input that the algorithm has not.
    """
    if not table.exists():
        return Corrections({}, {})
    rows = read_table(table, key="series", expected=COLUMNS, what="table of choices").rows
    made = _made(table)
    slugs = {socket.slug for socket in algorithm.inputs if socket.kind.is_image}
    uses: dict[str, Correction] = {}
    patients: dict[str, str] = {}
    for row in rows:
        series, use, region, patient = (row.get(column, "") for column in ("series", "use", "region", "patient_id"))
        said = Correction(_parts(use), _parts(region))
        unknown = next((each for each in said.uses if each not in slugs), None)
        if unknown is not None:
            raise InvalidInputError(
                f"{table.name} uses a series as {unknown!r}, which is no input of {algorithm.name}; expected one of "
                f"{', '.join(sorted(slugs))}, or nothing."
            )
        before = made.get(series)
        if row.get("chosen_by") == _BY_PERSON or (before is not None and [use, region] != before[:2]):
            uses[series] = said
        if (before is not None and patient != before[2]) or (before is not None and len(before) > 3 and before[3]):
            patients[series] = patient
    return Corrections(uses, patients)


def write_choices(
    table: Path,
    choices: Mapping[str, Sequence[Choice]],
    notes: Mapping[tuple[str, str], str],
    patients: Mapping[str, str],
) -> None:
    """Write the table, and beside it what the rules chose, so that a later change by a person is told from it.

    Parameters
    ----------
    choices
        Of each patient, by pseudonym.
    notes
        What was found when a series was read, by pseudonym and input.
    patients
        Numbers of patients that a person gave, by series.
    """
    rows, made = [], {}
    for name, of_patient in choices.items():
        by_series: dict[str, list[Choice]] = {}
        for choice in of_patient:
            by_series.setdefault(choice.series.name, []).append(choice)
        for series, of_series in by_series.items():
            row = _row(name, of_series, notes)
            rows.append(row)
            made[series] = [row["use"], row["region"], row["patient_id"], series in patients]
    with replacing(table) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    write_text(table.with_name(_MADE), json.dumps(made))


def _parts(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(_BETWEEN)) if cell.strip() else ()


def _row(patient: str, choices: Sequence[Choice], notes: Mapping[tuple[str, str], str]) -> dict[str, object]:
    series, first = choices[0].series, choices[0]
    regions = [choice.region for choice in choices]
    found = [text for choice in choices if (text := notes.get((patient, choice.use)))]
    thickness = series.number("SliceThickness")
    return {
        "series": series.name,
        "patient": patient,
        "patient_id": series.text("PatientID"),
        "use": f"{_BETWEEN} ".join(choice.use for choice in choices),
        "region": f"{_BETWEEN} ".join(regions) if any(regions) else "",
        "chosen_by": _BY_PERSON if first.by_person else _BY_RULE,
        "reason": first.reason,
        "notes": " ".join(dict.fromkeys(found)),
        "modality": series.text("Modality"),
        "description": series.text("SeriesDescription"),
        "part": series.part,
        "regions": ", ".join(series.regions.values()),
        "date": series.text("StudyDate"),
        "slices": series.slices,
        "thickness_mm": "" if thickness is None else f"{thickness:g}",
        "kernel": series.text("ConvolutionKernel"),
        "contrast": series.text("ContrastBolusAgent"),
        "manufacturer": series.text("Manufacturer"),
        "caution": "; ".join(cautions(series)),
        "file": str(series.places[0]),
    }


def with_patient(series: Series, number: str) -> Series:
    """Give a series to another patient, as a person says."""
    headers = tuple({**header, "PatientID": number} for header in series.headers)
    return Series(series.content, series.places, headers, series.part)


def _made(table: Path) -> dict[str, list[str]]:
    try:
        found = json.loads(table.with_name(_MADE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
