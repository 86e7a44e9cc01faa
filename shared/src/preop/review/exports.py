"""What leaves a review as tables: the cohort with its approved masks, readings, agreement and history."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from preop.atomic import replacing
from preop.cohort.table import LABEL_ENDING, PATIENT_COLUMN, read_source, write_source
from preop.errors import InvalidInputError
from preop.review.agreement import reviewer_agreement
from preop.review.records import ORIGINAL, Records, approvals
from preop.review.results import Predictions
from preop.review.subjects import ReviewedCohort
from preop.review.tables import DecisionRow, Phase, State

_STATES = {State.APPROVED: "as they were", State.CORRECTED: "corrected", State.DRAWN: "drawn"}
_APPROVAL = ("masks", "approved_by", "approved_on")
"""Columns of a cohort with approved masks: approved as they were, corrected or drawn; by whom, and when."""


def write_approved_cohort(records: Records, target: Path) -> int:
    """Write a cohort table of the patients whose masks are approved, with these masks, and who approved them.

    Paths are relative to the new table. A scan that still has no mask is left out where the study cannot take it alone. Beside it, ``.toml`` says where the patients come from and who approved how many
    masks. A model that is trained on the table takes both into its provenance: that description, and the checksum of the
    table, which names the reviewer of each patient.

    Returns
    -------
    Number of patients.

    Raises
    ------
    InvalidInputError
        If none is approved, or the table would replace the one it is made of.
    """
    cohort = records.cohort
    if target.absolute() == cohort.table.absolute():
        raise InvalidInputError(f"{target} is the cohort itself: name another file, so that it is not overwritten.")
    approved = approvals(records)
    if not approved:
        raise InvalidInputError("No patient is approved yet: there is no table to write.")
    standings = {standing.name: standing for standing in records.all()}
    folder = target.absolute().parent
    files = [*(scan.slug for scan in cohort.scans), *(mask.slug for mask in cohort.masks)]
    columns = [*cohort.columns, *(slug for slug in (*files, *_APPROVAL) if slug not in cohort.columns)]
    subjects = {subject.name: subject for subject in cohort.subjects}
    rows = []
    for row in cohort.rows:
        name = row[PATIENT_COLUMN]
        if name not in approved:
            continue
        new = dict(row)
        paths = dict(subjects[name].scans)
        for slug, number in approved[name].masks.items():
            path = records.path_of(standings[name], slug, number)
            if path is None or not path.exists():
                raise InvalidInputError(f"The mask {slug} of {name} that was approved is missing: {path}.")
            paths[slug] = path
            if number != ORIGINAL:
                new.pop(slug + LABEL_ENDING, None)  # what was saved holds the region that was meant, alone
        if not _accepted(paths, cohort):  # a scan without its mask, which the study cannot take
            alone = {scan.slug for scan in cohort.scans} - {mask.of for mask in cohort.masks if mask.slug in paths}
            paths = {slug: path for slug, path in paths.items() if slug not in alone}
            new |= dict.fromkeys(alone & new.keys(), "")
        new |= {slug: os.path.relpath(path.absolute(), folder) for slug, path in paths.items()}
        decision = approved[name]
        new |= dict(zip(_APPROVAL, (decision.state, decision.reviewer, f"{decision.at:%Y-%m-%d}"), strict=True))
        rows.append([new.get(column, "") for column in columns])
    _write(target, columns, rows)
    source = read_source(cohort.table.with_suffix(".toml"))
    stated = "" if source.description == "not stated" else f"{source.description.rstrip('.')}. "
    write_source(source.model_copy(update={"description": stated + _told(approved.values())}), target)
    return len(rows)


def write_readings(records: Records, target: Path, predictions: Predictions | None) -> int:
    """Write one row a patient and reader: the answer before and after seeing the result, and what the algorithm says."""
    names = {standing.id: standing.name for standing in records.all()}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in records.readings():
        if row.patient_id not in names:
            continue
        cells = found.setdefault((names[row.patient_id], row.reader), {})
        cells[f"{row.phase}_answer"] = row.answer
        cells[f"{row.phase}_likelihood"] = "" if row.likelihood is None else row.likelihood
        cells[f"{row.phase}_at"] = row.at.isoformat(timespec="seconds")
        cells[f"{row.phase}_note"] = row.note
        if row.phase == Phase.AFTER:
            cells["algorithm"] = row.algorithm_said
    if not found:
        raise InvalidInputError("No reading has been recorded yet: there is no table to write.")
    parts = [f"{phase}_{what}" for phase in Phase for what in ("answer", "likelihood", "at", "note")]
    rows = []
    for (patient, reader), cells in sorted(found.items()):
        answer = predictions.of(patient) if predictions else None
        said = cells.get("algorithm") or ("" if answer is None else answer.said)
        rows.append([patient, reader, *(cells.get(part, "") for part in parts), said])
    _write(target, ["patient", "reader", *parts, "algorithm"], rows)
    return len(rows)


def write_agreement(records: Records, target: Path) -> int:
    """Write how far every two reviewers of a mask agree."""
    found = reviewer_agreement(records)
    if not found:
        raise InvalidInputError("No mask has been seen by two reviewers yet: there is no agreement to write.")
    columns = ["patient", "mask", "reviewer_1", "reviewer_2", "mask_1", "mask_2", "dice", "mean_surface_mm"]
    columns += ["hausdorff_95_mm", "volume_1_ml", "volume_2_ml", "problem"]
    rows = []
    for each in found:
        figures = each.figures
        cells = ["", "", "", "", ""]
        if figures is not None:
            distances = (figures.mean_surface_mm, figures.hausdorff_95_mm)
            cells = [f"{figures.dice:.4f}", *("" if mm is None else f"{mm:.3f}" for mm in distances)]
            cells += [f"{volume:.3f}" for volume in figures.volumes_ml]
        rows.append([each.patient, each.slug, *each.reviewers, *each.numbers, *cells, each.problem])
    _write(target, columns, rows)
    return len(rows)


def write_history(records: Records, target: Path) -> int:
    """Write every change with who and when."""
    changes = records.history()
    rows = [
        [change.at.isoformat(timespec="seconds"), change.reviewer, change.patient, change.what, change.note]
        for change in changes
    ]
    _write(target, ["at", "reviewer", "patient", "what", "note"], rows)
    return len(rows)


def _accepted(images: Collection[str], cohort: ReviewedCohort) -> bool:
    """Whether a study takes these images together, whatever else it is given."""
    algorithm = cohort.algorithm
    of_images = {socket.slug for socket in algorithm.inputs if socket.kind.is_image}
    return any(of_images.intersection(interface) == set(images) for interface in algorithm.outlined_interfaces)


def _told(decisions: Iterable[DecisionRow]) -> str:
    """Say who approved how many patients: "Masks of 3 patients approved by A. B. (2: 1 corrected, 1 drawn) and C. (1)."."""
    by_reviewer: dict[str, Counter[str]] = defaultdict(Counter)
    for decision in decisions:
        by_reviewer[decision.reviewer][decision.state] += 1
    parts = [
        f"{reviewer} ({', '.join(f'{count} {_STATES[State(state)]}' for state, count in sorted(states.items()))})"
        for reviewer, states in sorted(by_reviewer.items())
    ]
    return f"Masks approved in a review by {'; '.join(parts)}."


def _write(target: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
