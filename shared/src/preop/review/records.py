"""Decisions, masks and readings: every change is kept with who and when, and none overwrites another's.

A mask is written beside its original under a name that nobody has, complete or not at all; only then does the database
name it. A crash between the two leaves a file that nothing names, and everything else as it was.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from preop.errors import InvalidInputError, InvalidOutputError, PreopError
from preop.folders import folder_names, sha256
from preop.imaging import Image, write_image
from preop.review.database import reading, writing
from preop.review.subjects import ReviewedCohort
from preop.review.tables import LONGEST_NAME, DecisionRow, MaskRow, PatientRow, Phase, ReadingRow, State, now

Verdict = Literal["approve", "reject", "reopen"]
ORIGINAL = 0
"""Number of the mask that the cohort came with."""
WRITABLE = (".nii.gz", ".nii", ".nrrd", ".mha")
_MAX_NOTE = 4000


class ConflictError(PreopError):
    """Someone else has changed a patient in the meantime."""


class UnknownPatientError(PreopError):
    """No patient has this number."""


@dataclass(frozen=True)
class SavedMask:
    """A mask that a reviewer has saved."""

    slug: str
    number: int
    reviewer: str
    at: datetime
    origin: str
    path: Path
    sha256: str
    voxels: int
    based_on: int | None


@dataclass(frozen=True)
class Standing:
    """A patient as the review stands, with all saved masks in order."""

    id: int
    name: str
    state: State
    revision: int
    reviewer: str
    changed_at: datetime | None
    note: str
    masks: tuple[SavedMask, ...]

    def current(self, slug: str) -> SavedMask | None:
        """Give the mask that holds now; None where that is the original, or nothing."""
        return next((mask for mask in reversed(self.masks) if mask.slug == slug), None)


@dataclass(frozen=True)
class Change:
    """One line of the history, in words."""

    at: datetime
    reviewer: str
    patient: str
    what: str
    note: str


class Records:
    """The records of one cohort's review.

    Parameters
    ----------
    engine
        Database, as :func:`preop.review.database.open_database` gives it.
    cohort
        Whose patients are entered where they are not yet.
    folder
        Where masks are written, in a folder a patient; None: beside their originals (or beside the scan, where there is none).
    """

    def __init__(self, engine: Engine, cohort: ReviewedCohort, folder: Path | None = None) -> None:
        self.engine = engine
        self.cohort = cohort
        self._folder = folder
        self._folders = folder_names(subject.name for subject in cohort.subjects)
        self._subjects = {subject.name: subject for subject in cohort.subjects}
        self._locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        with writing(engine) as session:
            known = set(session.scalars(select(PatientRow.name)))
            session.add_all(PatientRow(name=name) for name in self._subjects if name not in known)

    def all(self) -> list[Standing]:
        """Give every patient of the table, in its order."""
        with reading(self.engine) as session:
            rows = {row.name: row for row in session.scalars(select(PatientRow))}
            masks: defaultdict[int, list[MaskRow]] = defaultdict(list)
            for mask in session.scalars(select(MaskRow).order_by(MaskRow.number)):
                masks[mask.patient_id].append(mask)
        return [self._standing(rows[name], masks[rows[name].id]) for name in self._subjects]

    def one(self, patient: int) -> Standing:
        """Give one patient.

        Raises
        ------
        UnknownPatientError
            If there is none of this number in the table.
        """
        with reading(self.engine) as session:
            return self._standing(*self._rows(session, patient))

    def decide(self, patient: int, verdict: Verdict, *, reviewer: str, revision: int, note: str = "") -> Standing:
        """Approve the masks of a patient as they are, reject them, or take a decision back.

        Approved masks that a reviewer has saved are corrected ones, or drawn ones where there was none before.

        Raises
        ------
        ConflictError
            If the patient is no longer at ``revision``, with who changed it and when.
        InvalidInputError
            If nobody is named, or there is no mask to approve.
        """
        _check_person(reviewer)
        with writing(self.engine) as session:
            row, masks = self._rows(session, patient)
            before = self._standing(row, masks)
            state = self._state(before, verdict)
            self._advance(session, before, revision, state=state, reviewer=reviewer, note=note[:_MAX_NOTE])
            session.add(
                DecisionRow(
                    patient_id=patient,
                    revision=revision + 1,
                    reviewer=reviewer,
                    before=before.state,
                    state=state,
                    note=note[:_MAX_NOTE],
                    masks=self.numbers(before),
                )
            )
        return self.one(patient)

    def save_mask(
        self,
        patient: int,
        slug: str,
        labels: Image,
        *,
        reviewer: str,
        revision: int,
        origin: str = "drawn by hand",
        based_on: int | None = None,
    ) -> Standing:
        """Keep a mask beside the original; the patient is to be decided about again.

        Parameters
        ----------
        labels
            On the grid of the scan.
        origin
            How it was made, in words.

        Raises
        ------
        ConflictError
            If the patient is no longer at ``revision``; nothing is written then.
        InvalidOutputError
            If the folder cannot be written.
        """
        _check_person(reviewer)
        self.cohort.mask(slug)
        with self._locks[patient]:
            before = self.one(patient)
            self._refuse_stale(before, revision)
            number = max((mask.number for mask in before.masks if mask.slug == slug), default=0) + 1
            path = self._write(before, slug, labels, number)
            row = MaskRow(
                patient_id=patient,
                revision=revision + 1,
                slug=slug,
                number=number,
                based_on=based_on,
                reviewer=reviewer,
                origin=origin[:LONGEST_NAME],
                file=os.fspath(path.relative_to(self._root) if path.is_relative_to(self._root) else path),
                sha256=sha256(path),
                voxels=int((labels.voxels != 0).sum()),
            )
            try:
                with writing(self.engine) as session:
                    self._advance(session, before, revision, state=State.TO_DO, reviewer=reviewer, note=before.note)
                    session.add(row)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return self.one(patient)

    def read(
        self,
        patient: int,
        phase: Phase,
        answer: str,
        *,
        reader: str,
        likelihood: float | None = None,
        note: str = "",
        algorithm_said: str = "",
    ) -> None:
        """Keep a reader's own answer, which is given once before and once after seeing the algorithm's.

        Raises
        ------
        ConflictError
            If it has been given already.
        InvalidInputError
            If nobody is named, the likelihood is none, or the answer after comes before the one before.
        """
        _check_person(reader)
        if likelihood is not None and not 0 <= likelihood <= 1:
            raise InvalidInputError(f"The likelihood is {likelihood:g}; expected a number from 0 to 1.")
        if not answer or len(answer) > LONGEST_NAME:
            raise InvalidInputError("The reading has no answer: choose one.")
        given = {row.phase for row in self.readings(patient) if row.reader == reader}
        if phase is Phase.AFTER and Phase.BEFORE not in given:
            raise InvalidInputError("Give your own reading first: the one after seeing the result is compared with it.")
        try:
            with writing(self.engine) as session:
                self._rows(session, patient)
                session.add(
                    ReadingRow(
                        patient_id=patient,
                        reader=reader,
                        phase=phase,
                        answer=answer,
                        likelihood=likelihood,
                        note=note[:_MAX_NOTE],
                        algorithm_said=algorithm_said,
                    )
                )
        except IntegrityError:
            raise ConflictError(
                f"{reader} has read this patient {phase} seeing the result already; a reading is not changed."
            ) from None

    def readings(self, patient: int | None = None) -> Sequence[ReadingRow]:
        """Give the readings of a patient, or of all, in order of time."""
        query = select(ReadingRow).order_by(ReadingRow.at, ReadingRow.id)
        if patient is not None:
            query = query.where(ReadingRow.patient_id == patient)
        with reading(self.engine) as session:
            return session.scalars(query).all()

    def decisions(self) -> Sequence[DecisionRow]:
        """Give all decisions in order of time."""
        with reading(self.engine) as session:
            return session.scalars(select(DecisionRow).order_by(DecisionRow.at, DecisionRow.id)).all()

    def history(self, patient: int | None = None) -> list[Change]:
        """Give every change of a patient, or of all, the latest last."""
        changes: list[Change] = []
        for standing in self.all() if patient is None else [self.one(patient)]:
            changes += [
                Change(
                    mask.at,
                    mask.reviewer,
                    standing.name,
                    f"saved {mask.slug}, mask {mask.number} ({mask.origin}; {mask.voxels:,} voxels; {mask.path.name})",
                    "",
                )
                for mask in standing.masks
            ]
            with reading(self.engine) as session:
                found = session.scalars(select(DecisionRow).where(DecisionRow.patient_id == standing.id)).all()
            changes += [
                Change(row.at, row.reviewer, standing.name, f"{row.before} → {row.state}", row.note) for row in found
            ]
            changes += [
                Change(
                    row.at, row.reader, standing.name, f"reading {row.phase} seeing the result: {row.answer}", row.note
                )
                for row in self.readings(standing.id)
            ]
        return sorted(changes, key=lambda change: change.at)

    def numbers(self, standing: Standing) -> dict[str, int]:
        """Give the number of each mask that a patient has, 0 where it is the original."""
        originals = self._subjects[standing.name].masks
        return {
            mask.slug: saved.number if (saved := standing.current(mask.slug)) else ORIGINAL
            for mask in self.cohort.masks
            if standing.current(mask.slug) or mask.slug in originals
        }

    def path_of(self, standing: Standing, slug: str, number: int | None = None) -> Path | None:
        """Find the file of a mask: of that number, or the one that holds now; None where there is none."""
        saved = standing.current(slug)
        if number is not None:
            saved = next((mask for mask in standing.masks if (mask.slug, mask.number) == (slug, number)), None)
            if saved is None and number != ORIGINAL:
                return None
        return saved.path if saved else self._subjects[standing.name].masks.get(slug)

    @property
    def _root(self) -> Path:
        return self.cohort.table.parent.absolute()

    def _state(self, standing: Standing, verdict: Verdict) -> State:
        if verdict == "reopen":
            return State.TO_DO
        if verdict == "reject":
            return State.REJECTED
        numbers = self.numbers(standing)
        if not numbers:
            raise InvalidInputError(f"{standing.name} has no mask yet: draw one and save it, or reject the patient.")
        originals = self._subjects[standing.name].masks
        saved = [slug for slug, number in numbers.items() if number != ORIGINAL]
        if any(slug not in originals for slug in saved):
            return State.DRAWN
        return State.CORRECTED if saved else State.APPROVED

    def _rows(self, session: Session, patient: int) -> tuple[PatientRow, Sequence[MaskRow]]:
        row = session.get(PatientRow, patient)
        if row is None or row.name not in self._subjects:
            raise UnknownPatientError(f"There is no patient {patient} in this cohort.")
        return row, session.scalars(select(MaskRow).where(MaskRow.patient_id == patient).order_by(MaskRow.number)).all()

    def _standing(self, row: PatientRow, masks: Sequence[MaskRow]) -> Standing:
        saved = [
            SavedMask(
                each.slug,
                each.number,
                each.reviewer,
                each.at,
                each.origin,
                self._root / each.file,
                each.sha256,
                each.voxels,
                each.based_on,
            )
            for each in masks
        ]
        return Standing(
            row.id, row.name, State(row.state), row.revision, row.reviewer, row.changed_at, row.note, tuple(saved)
        )

    @staticmethod
    def _refuse_stale(standing: Standing, revision: int) -> None:
        if standing.revision != revision:
            when = (
                f" at {standing.changed_at:%H:%M} UTC on {standing.changed_at:%d %B %Y}" if standing.changed_at else ""
            )
            raise ConflictError(
                f"{standing.reviewer or 'Someone'} changed {standing.name}{when}, after you opened it ({standing.state}). "
                "Nothing of yours was written: look at that change first."
            )

    def _advance(self, session: Session, before: Standing, revision: int, **values: Any) -> None:
        """Bring a patient to the next revision, if it is still at the one that the reviewer saw."""
        self._refuse_stale(before, revision)
        # Compared by the database itself: a server beside this one may have written since it was read.
        changed = session.execute(
            update(PatientRow)
            .where(PatientRow.id == before.id, PatientRow.revision == revision)
            .values(revision=revision + 1, changed_at=now(), **values)
        )
        if changed.rowcount != 1:  # type: ignore[attr-defined]
            session.expire_all()
            self._refuse_stale(self._standing(*self._rows(session, before.id)), revision)

    def _write(self, standing: Standing, slug: str, labels: Image, number: int) -> Path:
        """Write a mask under the next name that is free, and never over another file."""
        subject = self._subjects[standing.name]
        model = subject.masks.get(slug)
        scan = subject.scans[self.cohort.mask(slug).of]
        stem, ending = _name_parts(model) if model else (f"{_name_parts(scan)[0]}.{slug}", ".nii.gz")
        folder = self._folder / self._folders[standing.name] if self._folder else (model or scan).parent
        hidden = folder / f".partial-{hashlib.sha256(os.urandom(16)).hexdigest()[:12]}{ending}"
        try:
            write_image(labels, hidden)
            for free in range(number, number + 10_000):
                path = folder / f"{stem}.r{free}{ending}"
                with suppress(FileExistsError):
                    _move_to_free_name(hidden, path)
                    return path.absolute()
            raise InvalidOutputError(f"{folder} holds too many masks called {stem}.r*{ending}.")
        except OSError as error:
            raise InvalidOutputError(
                f"The mask cannot be written to {folder}: {error.strerror}. Start the review with --masks and a folder that "
                "can be written."
            ) from error
        finally:
            hidden.unlink(missing_ok=True)


def _name_parts(path: Path) -> tuple[str, str]:
    """Split a file's name into its stem, and an ending in which masks are written."""
    for ending in WRITABLE:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)], ending
    return path.stem if path.suffix else path.name, ".nii.gz"


def _move_to_free_name(source: Path, target: Path) -> None:
    """Give a complete file its name, unless something has that name."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:  # some network drives and memory sticks know no links
        with target.open("x"):
            pass
        source.replace(target)


def _check_person(name: str) -> None:
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise InvalidInputError("Who is reviewing? Give your name or initials first.")


def approvals(records: Records) -> Mapping[str, DecisionRow]:
    """Give the decision that holds for each patient whose masks are approved, by name."""
    usable = {standing.id: standing for standing in records.all() if standing.state.is_usable}
    latest = {row.patient_id: row for row in records.decisions() if row.patient_id in usable}
    return {usable[number].name: row for number, row in latest.items()}
