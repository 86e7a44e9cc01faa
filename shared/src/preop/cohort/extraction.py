"""Radiomics of every patient of a table: in parallel, one file a patient, so that a stopped run goes on where it was."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from preop.cohort.running import map_patients
from preop.cohort.table import PATIENT_COLUMN, read_rows
from preop.errors import InvalidInputError, InvalidOutputError, PreopError
from preop.folders import open_resumable_run
from preop.radiomics import Extraction, Settings, extract


@dataclass(frozen=True)
class _Scan:
    patient: str
    image: Path
    mask: Path


def extract_cohort(
    table: Path, output: Path, *, image_column: str, mask_column: str, settings: Settings
) -> dict[str, str]:
    """Compute the features of all patients who have both files, and write them as one table.

    Parameters
    ----------
    table
        ``cohort.csv``: one row a patient, paths relative to it.
    output
        The feature table (CSV); finished patients lie beside it, in ``<output>.parts``, until all are done.
    image_column, mask_column
        Columns with the paths.

    Returns
    -------
    Why a patient has no features, by the patient.

    Raises
    ------
    InvalidInputError
        If the table or one of its columns is missing, or no patient has both files.
    InvalidOutputError
        If the parts were made with other settings.
    """
    parts = output.with_name(output.name + ".parts")
    scans = _scans(table, image_column, mask_column)
    digest = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()
    open_resumable_run(parts, {"image": image_column, "mask": mask_column, "settings": digest})
    todo = [scan for scan in scans if not _part(parts, scan.patient).is_file()]
    failures: dict[str, str] = {}
    run = functools.partial(_extract, parts=parts, settings=settings)
    for scan, result in map_patients(run, todo, description="Computing features"):
        if isinstance(result, PreopError):
            failures[scan.patient] = str(result)
    done = [scan.patient for scan in scans if scan.patient not in failures]
    _write_table(done, parts, output)
    return failures


def write_extraction(extraction: Extraction, output: Path) -> None:
    """Write the features of one scan: a CSV table of one row, or JSON with settings, versions and checksums.

    Raises
    ------
    InvalidOutputError
        If the file is there already, ends in neither ``.csv`` nor ``.json``, or cannot be written.
    """
    if output.suffix not in {".csv", ".json"}:
        raise InvalidOutputError(f"{output.name} ends in {output.suffix or 'nothing'}; expected .csv or .json.")
    if output.exists():
        raise InvalidOutputError(f"{output} is there already: name another file, so that nothing is overwritten.")
    try:
        if output.suffix == ".json":
            output.write_text(extraction.model_dump_json(indent=2) + "\n", encoding="utf-8")
        else:
            pd.DataFrame([extraction.row()]).to_csv(output, index=False)
    except OSError as error:
        raise InvalidOutputError(f"{output} cannot be written: {error.strerror}.") from error


def _scans(table: Path, image_column: str, mask_column: str) -> list[_Scan]:
    rows = read_rows(table)
    for column in (image_column, mask_column):
        if column not in rows[0]:
            raise InvalidInputError(f"{table.name} has no column {column}; its columns are {', '.join(rows[0])}.")
    scans = [
        _Scan(row[PATIENT_COLUMN], table.parent / row[image_column], table.parent / row[mask_column])
        for row in rows
        if row[image_column] and row[mask_column]
    ]
    if not scans:
        raise InvalidInputError(f"No patient of {table.name} has both {image_column} and {mask_column}.")
    return scans


def _part(parts: Path, patient: str) -> Path:
    return parts / f"{patient}.json"


def _extract(scan: _Scan, *, parts: Path, settings: Settings) -> None:
    # One thread: the patients share the cores already.
    extraction = extract(scan.image, scan.mask, settings, threads=1)
    partial = parts / f".{scan.patient}.json"
    partial.write_text(extraction.model_dump_json(), encoding="utf-8")
    partial.replace(_part(parts, scan.patient))


def _write_table(patients: list[str], parts: Path, output: Path) -> None:
    rows = []
    for patient in patients:
        extraction = Extraction.model_validate_json(_part(parts, patient).read_text(encoding="utf-8"))
        rows.append({PATIENT_COLUMN: patient, **extraction.row()})
    partial = output.with_name(f".{output.name}")
    pd.DataFrame(rows).to_csv(partial, index=False)
    partial.replace(output)
