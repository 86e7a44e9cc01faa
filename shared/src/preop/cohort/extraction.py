"""Radiomics of every patient of a table: in parallel, one file a patient, so that a stopped run goes on where it was."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from preop.atomic import replacing
from preop.cohort.measuring import INDEX_FILE, FailedPatientsError, Outcome, failures_told, keep_up
from preop.cohort.running import refuse_to_start_again
from preop.cohort.table import LABEL_ENDING, PATIENT_COLUMN, read_cohort_table
from preop.errors import InvalidInputError, InvalidOutputError
from preop.folders import Contents, Results, locked, open_resumable_run, versions_digest
from preop.radiomics import Extraction, Modality, Settings, extract
from preop.tables import Table
from preop.wording import counted

MODALITY_COLUMN = "modality"
_PART = "features.json"


@dataclass(frozen=True)
class _Scan:
    patient: str
    image: Path
    mask: Path
    modality: Modality | None
    label: str | None


def extract_cohort(
    table: Path,
    output: Path,
    *,
    image_column: str,
    mask_column: str,
    settings: Settings,
    modality: Modality | None = None,
    label: str | None = None,
) -> Outcome:
    """Compute the features of all patients who have both files, and write them as one table.

    Parameters
    ----------
    table
        ``cohort.csv``: one row a patient, paths relative to it.
    output
        The feature table (CSV); finished patients lie beside it, in ``<output>.parts``, and are computed again only if
        an image, a mask or this program changed.
    image_column, mask_column
        Columns with the paths.
    modality
        Of all scans; left out, what the column ``modality`` says, where there is one.
    label
        Region of all masks that hold several; left out, what the column ``<mask_column>_label`` says.

    Returns
    -------
    Where the features lie and why a patient has none, by the patient; and what the user should know.

    Raises
    ------
    InvalidInputError
        If the table or one of its columns is missing, no patient has both files, or all fail.
    InvalidOutputError
        If the parts were made with other settings, or another run is at work in them.
    """
    refuse_to_start_again()
    read = read_cohort_table(table, [image_column, mask_column, MODALITY_COLUMN, mask_column + LABEL_ENDING])
    scans = _scans(read, table, image_column, mask_column, modality, label)
    parts = output.with_name(output.name + ".parts")
    digest = hashlib.sha256(settings.model_dump_json(exclude_unset=True).encode()).hexdigest()
    with locked(parts):
        open_resumable_run(parts, {"image": image_column, "mask": mask_column, "settings": digest})
        contents = Contents(parts / INDEX_FILE)
        results = Results(parts, [scan.patient for scan in scans])
        outcome = keep_up(
            [(scan.patient, scan) for scan in scans],
            results,
            functools.partial(_extract, settings=settings),
            key_of=functools.partial(_key, contents=contents),
            description="Computing features",
            contents=contents,
        )
        if not outcome.folders:
            output.unlink(missing_ok=True)  # what an earlier run wrote there is true no longer
            raise FailedPatientsError(failures_told(outcome.failures, len(scans), parts, outcome.log))
        warnings = _write_table(outcome.folders, output)
    without = len(read.rows) - len(scans)
    left_out = (
        [f"{without} of {counted(len(read.rows), 'patient')} without {image_column} or without {mask_column}."]
        if without
        else []
    )
    return replace(outcome, notes=(*read.notes, *left_out, *outcome.notes, *warnings))


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
    import pandas as pd

    try:
        with replacing(output) as partial:
            if output.suffix == ".json":
                partial.write_text(extraction.model_dump_json(indent=2) + "\n", encoding="utf-8")
            else:
                pd.DataFrame([extraction.row()]).to_csv(partial, index=False)
    except OSError as error:
        raise InvalidOutputError(f"{output} cannot be written: {error.strerror}.") from error


def _scans(
    read: Table, table: Path, image_column: str, mask_column: str, modality: Modality | None, label: str | None
) -> list[_Scan]:
    for column in (image_column, mask_column):
        if column not in read.columns:
            raise InvalidInputError(f"{table.name} has no column {column}; its columns are {', '.join(read.columns)}.")
    scans = [
        _Scan(
            row[PATIENT_COLUMN],
            table.parent / row[image_column],
            table.parent / row[mask_column],
            modality or _modality(row, table.name, line),
            label or row.get(mask_column + LABEL_ENDING) or None,
        )
        for row, line in zip(read.rows, read.lines, strict=True)
        if row[image_column] and row[mask_column]
    ]
    if not scans:
        raise InvalidInputError(f"No patient of {table.name} has both {image_column} and {mask_column}.")
    return scans


def _modality(row: Mapping[str, str], table: str, line: int) -> Modality | None:
    """Modality that a row names, by the words of DICOM too (PT, MRI)."""
    cell = row.get(MODALITY_COLUMN, "")
    words = {"CT": Modality.CT, "PET": Modality.PET, "PT": Modality.PET, "MR": Modality.MR, "MRI": Modality.MR}
    if cell and cell.upper() not in words:
        raise InvalidInputError(f"{table} has the modality {cell!r} in line {line}; expected CT, PET or MR.")
    return words[cell.upper()] if cell else None


def _key(scan: _Scan, *, contents: Contents) -> dict[str, str]:
    return {
        "the image": contents.of(scan.image),
        "the mask": contents.of(scan.mask),
        "the modality": str(scan.modality),
        "the label": str(scan.label),
        "the program": versions_digest(),
    }


def _extract(scan: _Scan, folder: Path, *, settings: Settings) -> None:
    # One thread: the patients share the cores already.
    extraction = extract(scan.image, scan.mask, settings, modality=scan.modality, label=scan.label, threads=1)
    (folder / _PART).write_text(extraction.model_dump_json(), encoding="utf-8")


def _write_table(folders: Mapping[str, Path], output: Path) -> list[str]:
    """Put the patients' features together; give their warnings, each with the patient."""
    import pandas as pd

    rows, warnings = [], []
    for patient, folder in folders.items():
        extraction = Extraction.model_validate_json((folder / _PART).read_text(encoding="utf-8"))
        rows.append({PATIENT_COLUMN: patient, **extraction.row()})
        warnings += [f"{patient}: {warning}" for warning in extraction.warnings]
    with replacing(output) as partial:
        pd.DataFrame(rows).to_csv(partial, index=False)
    return warnings
