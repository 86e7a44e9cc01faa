"""A hospital's export becomes a cohort: found, chosen, written under pseudonyms, and searched for whose it is.

Two folders come of it: the cohort, which holds pixels, geometry and the columns that were asked for; and beside it a private
one with all that leads back to the patients: the key of the pseudonyms, the table of choices, and what was read of headers.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from preop.atomic import replacing
from preop.cohort.measuring import FailedPatientsError
from preop.cohort.running import map_patients, refuse_to_start_again
from preop.cohort.table import PATIENT_COLUMN, read_cohort, write_source
from preop.dicom.choices import Corrections, read_corrections, with_patient, write_choices
from preop.dicom.choosing import Choice, choose
from preop.dicom.index import Index, read_index
from preop.dicom.inputs import inputs_of, write_inputs
from preop.dicom.privacy import Originals, leaks
from preop.dicom.pseudonyms import person, pseudonym, read_key
from preop.dicom.series import Series, series_of
from preop.errors import InvalidInputError, InvalidOutputError, PreopError
from preop.folders import Key, Results, changes_told, digest_of, is_empty, locked, versions_digest
from preop.grandchallenge.algorithm import Algorithm
from preop.study import DataSource
from preop.tables import read_table
from preop.wording import counted

TABLE, UNFINISHED = "cohort.csv", "to_draw.csv"
IMAGES = "images"
_ENDING = ".private"
_DATE = re.compile(r"\d{4}[-./]\d{1,2}[-./]\d{1,2}.*|\d{1,2}[-./]\d{1,2}[-./]\d{4}.*|(19|20)\d{6}")
_MOST_TOLD = 5


@dataclass(frozen=True)
class Imported:
    """What an import gave.

    Attributes
    ----------
    table
        ``cohort.csv``; None where no patient has a combination of inputs that the study accepts.
    unfinished
        Table of the patients who lack a mask, for ``preop review``; None where there are none.
    choices
        The table of choices, in the private folder.
    patients
        How many are in ``table``.
    failures
        Why a patient could not be written, by pseudonym.
    notes
        What a reader should know, in sentences.
    """

    table: Path | None
    unfinished: Path | None
    choices: Path
    patients: int
    failures: dict[str, str]
    notes: tuple[str, ...] = ()

    def refuse_failures(self) -> None:
        """End with the failed patients and their reasons, after those of the others are written.

        Raises
        ------
        FailedPatientsError
            If there are any.
        """
        if self.failures:
            lines = "\n".join(f"{name}: {reason}" for name, reason in sorted(self.failures.items()))
            raise FailedPatientsError(
                f"{counted(len(self.failures), 'patient')} could not be imported; the others are. Choose other series for them in "
                f"{self.choices}, and run the same command again:\n{lines}"
            )


@dataclass(frozen=True)
class _Job:
    """One patient, for another process."""

    name: str
    algorithm: Algorithm
    choices: tuple[Choice, ...]
    results: Results
    key: Key
    notes: Path


@dataclass
class _Run:
    """An import at work."""

    algorithm: Algorithm
    output: Path
    private: Path
    secret: bytes
    index: Index
    corrections: Corrections
    patients: dict[str, list[Series]] = field(default_factory=dict)
    choices: dict[str, list[Choice]] = field(default_factory=dict)
    paths: dict[str, dict[str, Path]] = field(default_factory=dict)
    image_notes: dict[tuple[str, str], str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def choices_table(self) -> Path:
        return self.private / "choices.csv"

    def notes_of(self, name: str) -> Path:
        """File with what was found when the images of a patient were read."""
        return self.private / "notes" / f"{name}.csv"


def private_folder(output: Path) -> Path:
    """Folder beside a cohort with what leads back to the patients; it is not to be passed on."""
    return output.with_name(output.name + _ENDING)


def import_cohort(
    source: Path,
    algorithm: Algorithm,
    output: Path,
    *,
    key: Path | None = None,
    clinical: Path | None = None,
) -> Imported:
    """Make a cohort of all patients in a folder of DICOM files, zip archives and slides; a second call does what is new.

    Parameters
    ----------
    key
        File with the key of the pseudonyms; by default one in the private folder, made there once.
    clinical
        Table with a column ``patient``, the number of the hospital or the pseudonym; its other columns go into the cohort,
        but for dates and whatever else tells whose it is.

    Raises
    ------
    InvalidInputError
        If the folder holds no series of the study, or the table of choices cannot be read.
    InvalidOutputError
        If something of the original headers is found in what was written.
    """
    refuse_to_start_again()
    private = private_folder(output)
    if key is not None and key.absolute().is_relative_to(output.absolute()):
        raise InvalidInputError(f"The key {key} lies in the cohort, to which it is the way back: put it elsewhere.")
    if not is_empty(output) and not private.is_dir():
        raise InvalidOutputError(f"{output} holds files of something else; expected a new folder: name another.")
    private.mkdir(parents=True, exist_ok=True)
    private.chmod(0o700)
    with locked(output):
        index = read_index(source, remembered=private / "index.sqlite")
        secret = read_key(key or private / "pseudonyms.key")
        run = _Run(algorithm, output, private, secret, index, read_corrections(private / "choices.csv", algorithm))
        run.notes += run.index.notes
        _choose(run)
        _write_images(run)
        columns, rows = _clinical(run, clinical)
        done, undone = _rows(run, rows)
        table = _write_table(output / TABLE, run, columns, done)
        unfinished = _write_table(output / UNFINISHED, run, columns, undone)
        if table is not None:
            write_source(DataSource(description=f"{counted(len(done), 'patient')} imported from DICOM."), table)
        _search(run, columns)
        if table is not None:
            read_cohort(table, algorithm)
        return Imported(table, unfinished, run.choices_table, len(done), run.failures, tuple(run.notes))


def _choose(run: _Run) -> None:
    """Sort series by patients, share them out among the inputs, and write the table of it."""
    corrections = run.corrections
    found = [
        with_patient(each, corrections.patients[each.name]) if each.name in corrections.patients else each
        for each in series_of(run.index)
    ]
    patients: dict[str, list[Series]] = defaultdict(list)
    for each in found:
        patients[pseudonym(person(each.header), run.secret)].append(each)
    run.patients = dict(sorted(patients.items()))
    run.choices = {name: choose(run.algorithm, series, corrections.uses) for name, series in run.patients.items()}
    _write_choices(run, {})
    if not any(choice.use for choices in run.choices.values() for choice in choices):
        raise InvalidInputError(
            f"Of {len(found)} series of {len(patients)} patients in {run.index.files} files none is an input of "
            f"{run.algorithm.name}; why stands in {run.choices_table}."
        )


def _write_images(run: _Run) -> None:
    """Write what is new, a patient in a process; what is finished and made of the same stays."""
    results = Results(run.output / IMAGES, run.choices)
    results.folder.mkdir(exist_ok=True)
    results.tidy()
    wanted = {name: choices for name, choices in run.choices.items() if any(choice.use for choice in choices)}
    jobs, changed = [], {}
    for name, choices in wanted.items():
        key = {choice.use: _key(choice, run.secret) for choice in choices if choice.use} | {
            "the program": versions_digest()
        }
        parts = results.changed(name, key)
        if parts:
            changed[name] = parts
        if parts is None or parts:
            jobs.append(_Job(name, run.algorithm, tuple(choices), results, key, run.notes_of(name)))
    for name in {path.name for path in results.folder.iterdir() if path.is_dir() and not path.name.startswith(".")}:
        if name not in {results[each].name for each in wanted}:
            run.notes.append(
                f"{results.folder / name} belongs to no patient of this export any more; it was left as it is."
            )
    run.notes += changes_told(changed)
    with closing(map_patients(_write_patient, jobs, description="Writing patients")) as finished:
        for job, result in finished:
            if isinstance(result, PreopError):
                results.drop(job.name)
                run.failures[job.name] = str(result)
    for name, choices in wanted.items():
        if name not in run.failures:
            run.paths[name] = {
                choice.use: path for choice in choices if choice.use and (path := _written(results[name], choice.use))
            }
            run.image_notes |= {(name, slug): text for slug, text in _noted(run.notes_of(name)).items()}
    failed = {(name, choice.use): text for name, text in run.failures.items() for choice in wanted[name] if choice.use}
    _write_choices(run, run.image_notes | failed)
    _tell_images(run)


def _write_choices(run: _Run, notes: Mapping[tuple[str, str], str]) -> None:
    write_choices(run.choices_table, run.choices, notes, run.corrections.patients)


def _key(choice: Choice, secret: bytes) -> str:
    """What an image is made of: UIDs, which never change; of slides, size and time of the file. Nobody can try UIDs out."""
    if not choice.series.is_dicom:
        stat = choice.series.places[0].path.stat()
        return digest_of([secret.hex(), choice.series.name, stat.st_size, stat.st_mtime_ns])
    return digest_of(
        [secret.hex(), sorted(header["SOPInstanceUID"] for header in choice.series.headers), choice.region]
    )


def _write_patient(job: _Job) -> None:
    with job.results.place(job.name).making(job.key) as partial:
        _, notes = write_inputs(job.algorithm, job.choices, partial)
    job.notes.parent.mkdir(exist_ok=True)
    with replacing(job.notes) as noted, noted.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows((slug, " ".join(of)) for slug, of in notes.items())


def _written(folder: Path, slug: str) -> Path | None:
    return next((path for path in (folder / f"{slug}.mha", folder / f"{slug}.tif") if path.exists()), None)


def _noted(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {slug: text for slug, text in csv.reader(file) if text}


def _tell_images(run: _Run) -> None:
    told = [f"{name}, {slug}: {text}" for (name, slug), text in run.image_notes.items()]
    run.notes += told[:_MOST_TOLD]
    if len(told) > _MOST_TOLD:
        run.notes.append(f"{len(told) - _MOST_TOLD} more notes on images stand in {run.choices_table}.")


def _clinical(run: _Run, table: Path | None) -> tuple[list[str], dict[str, dict[str, str]]]:
    """Join a clinical table by the hospital's numbers or the pseudonyms, without what tells whose it is."""
    if table is None:
        return [], {}
    found = read_table(table, key=PATIENT_COLUMN, what="clinical table")
    run.notes += found.notes
    names = {series.text("PatientID"): name for name, group in run.patients.items() for series in group}
    rows: dict[str, dict[str, str]] = {}
    without = []
    for row in found.rows:
        name = names.get(row[PATIENT_COLUMN]) or (row[PATIENT_COLUMN] if row[PATIENT_COLUMN] in run.patients else None)
        if name is None:
            without.append(row[PATIENT_COLUMN])
        else:
            rows[name] = row
    if without:
        run.notes.append(f"{len(without)} of {len(found.rows)} rows of {table.name} are of no patient in the export.")
    originals = _originals(run, found.columns)
    kept = []
    for column in found.columns:
        if column == PATIENT_COLUMN:
            continue
        cells = [row[column] for row in rows.values() if row[column]]
        if any(_DATE.fullmatch(cell) for cell in cells):
            run.notes.append(
                f"The column {column} of {table.name} was left out: it holds dates; give durations or ages."
            )
        elif any(originals.in_text(cell) for cell in cells):
            run.notes.append(f"The column {column} of {table.name} was left out: it tells whose the rows are.")
        else:
            kept.append(column)
    return kept, rows


def _rows(run: _Run, clinical: Mapping[str, Mapping[str, str]]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Sort patients into those whose images the study accepts, and those who lack a mask for that or for one of their scans."""
    done, undone, lacking = [], [], []
    for name, paths in run.paths.items():
        row = dict(clinical.get(name, {})) | {PATIENT_COLUMN: name}
        relative = {slug: path.relative_to(run.output).as_posix() for slug, path in paths.items()}
        accepted = inputs_of(paths, run.algorithm)
        drawn = [socket.slug for socket in run.algorithm.inputs if socket.segmentation_of in paths]
        with_masks = inputs_of([*paths, *drawn], run.algorithm)
        if accepted is not None:
            done.append(row | {slug: relative[slug] for slug in accepted})
        if with_masks is not None and (set(with_masks) & set(paths)) > set(accepted or ()):
            undone.append(row | relative)
        elif accepted is None:
            lacking.append(f"{name} ({', '.join(paths)})")
    if undone:
        told = f"Masks are missing of {counted(len(undone), 'patient')}: draw them by preop review {run.output / UNFINISHED}"
        run.notes.append(told)
    if lacking:
        more = f" and {len(lacking) - _MOST_TOLD} more" if len(lacking) > _MOST_TOLD else ""
        run.notes.append(
            f"Left out, for {run.algorithm.name} needs more inputs: {', '.join(lacking[:_MOST_TOLD])}{more}."
        )
    return done, undone


def _write_table(path: Path, run: _Run, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> Path | None:
    if not rows:
        path.unlink(missing_ok=True)
        return None
    slugs = [socket.slug for socket in run.algorithm.inputs if socket.kind.is_image]
    names = [PATIENT_COLUMN, *(slug for slug in slugs if any(row.get(slug) for row in rows)), *columns]
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def _known_words(algorithm: Algorithm) -> tuple[str, ...]:
    """Words that the tables of a study hold whoever the patients are."""
    words = [
        algorithm.name,
        TABLE,
        UNFINISHED,
        IMAGES,
        "patients imported from DICOM simulated licence citation description",
    ]
    for socket in algorithm.inputs:
        words += [socket.slug, *socket.columns, str(algorithm.json_schemas.get(socket.slug, ""))]
    return tuple(words)


def _originals(run: _Run, columns: Sequence[str]) -> Originals:
    of_slides = [series.header for group in run.patients.values() for series in group if not series.is_dicom]
    return Originals([*run.index.objects.values(), *of_slides], (*_known_words(run.algorithm), *columns))


def _search(run: _Run, columns: Sequence[str]) -> None:
    """Search all that was written for words of the original headers.

    Raises
    ------
    InvalidOutputError
        If one is found; what it is stands in no message.
    """
    found = leaks(run.output, _originals(run, columns))
    if found:
        told = "; ".join(map(str, found[:_MOST_TOLD])) + (
            f"; and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
        )
        raise InvalidOutputError(
            f"What was written tells whose it is: {told}. Remove it before {run.output} is passed on; columns of the clinical "
            "table can be left out of it."
        )
