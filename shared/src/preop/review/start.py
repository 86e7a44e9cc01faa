"""Opening a review from the command line: what is named is read and checked, then it is served, or tables are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from preop.errors import InvalidInputError, InvalidOutputError, MissingToolError
from preop.grandchallenge.algorithm import Algorithm
from preop.wording import counted

if TYPE_CHECKING:
    from preop.review.records import Records
    from preop.review.results import Predictions
    from preop.review.review import Review

DATABASE_FILE = "review.sqlite"


@dataclass(frozen=True)
class Options:
    """What a review is opened with.

    Attributes
    ----------
    study
        Whose columns the table has; found by them if None.
    results
        Folder that ``preop validate`` wrote.
    networks
        Folders of networks that propose masks, by name.
    model
        Model folder whose networks propose masks, too.
    masks
        Where masks are saved; beside their originals if None.
    folder
        For the database, thumbnails and what the checks found; beside the table if None.
    database
        Address; a SQLite file in that folder if "".
    """

    study: Algorithm | None = None
    results: Path | None = None
    reader_study: bool = False
    networks: Mapping[str, Path] = field(default_factory=dict)
    model: Path | None = None
    masks: Path | None = None
    folder: Path | None = None
    database: str = ""


@dataclass(frozen=True)
class Tables:
    """Which tables are wanted, and where."""

    cohort: Path | None = None
    agreement: Path | None = None
    readings: Path | None = None
    history: Path | None = None

    @property
    def any(self) -> bool:
        """Whether any is."""
        return any((self.cohort, self.agreement, self.readings, self.history))


def serve_review(
    table: Path,
    studies: Sequence[Algorithm],
    options: Options,
    *,
    host: str,
    port: int,
    tell: Callable[[str], object],
) -> None:
    """Open a review and serve it until it is stopped.

    Raises
    ------
    InvalidInputError
        If something that was named cannot be read, or the address cannot be listened at.
    MissingToolError
        If a package is missing, or Node.js, with which the pages are built.
    """
    _check_packages()
    from preop.review.server import serve

    serve(open_review(table, studies, options), host=host, port=port, tell=tell)


def write_tables(table: Path, studies: Sequence[Algorithm], options: Options, wanted: Tables) -> list[str]:
    """Write tables of a review; gives a sentence about each."""
    _check_packages()
    from preop.review import exports

    records = open_records(table, studies, options)
    told = []
    if wanted.cohort:
        count = exports.write_approved_cohort(records, wanted.cohort)
        told.append(
            f"{count} of {counted(len(records.cohort.subjects), 'patient')} approved; the cohort is {wanted.cohort}"
        )
    if wanted.agreement:
        count = exports.write_agreement(records, wanted.agreement)
        told.append(f"{counted(count, 'pair')} of masks compared; the agreement is in {wanted.agreement}")
    if wanted.readings:
        count = exports.write_readings(records, wanted.readings, _predictions(records, options))
        told.append(f"{counted(count, 'reading')}, in {wanted.readings}")
    if wanted.history:
        count = exports.write_history(records, wanted.history)
        told.append(f"{counted(count, 'change')}; the history is in {wanted.history}")
    return told


def open_records(table: Path, studies: Sequence[Algorithm], options: Options) -> Records:
    """Open the records of a cohort's review, which are made where there are none.

    Raises
    ------
    InvalidInputError
        If the table or the database cannot be read.
    InvalidOutputError
        If the review's folder cannot be written.
    """
    from preop.review.database import open_database, sqlite_address
    from preop.review.records import Records
    from preop.review.subjects import read_reviewed_cohort

    cohort = read_reviewed_cohort(table, studies, options.study)
    address = options.database or sqlite_address(_folder(table, options) / DATABASE_FILE)
    return Records(open_database(address), cohort, options.masks)


def open_review(table: Path, studies: Sequence[Algorithm], options: Options) -> Review:
    """Open a review with everything that it needs; errors as those of :func:`serve_review`."""
    from preop.review.examination import Examination
    from preop.review.networks import Networks
    from preop.review.proposals import promptables
    from preop.review.review import Review

    records = open_records(table, studies, options)
    algorithm = records.cohort.algorithm
    of_model = networks_of_model(options.model, algorithm) if options.model else {}
    scans = {name: place.name for name, place in of_model.items() if place.name in {s.slug for s in algorithm.inputs}}
    predictions = _predictions(records, options)
    if options.reader_study and predictions is None:
        raise InvalidInputError("A reader study compares readers with results: name their folder by --results.")
    networks = Networks({**options.networks, **of_model}, scans)
    return Review(
        cohort=records.cohort,
        records=records,
        examination=Examination(records, _folder(table, options)),
        networks=networks,
        methods={**promptables(), **networks.in_box()},
        predictions=predictions,
        reader_study=options.reader_study,
    )


def networks_of_model(folder: Path, algorithm: Algorithm) -> dict[str, Path]:
    """Find the networks of a model folder that draw masks: one in each place that ``algorithm.toml`` names, or one a scan there.

    Raises
    ------
    InvalidModelError
        If there is no model, it belongs to another algorithm, or a file is not as the model lists it.
    InvalidInputError
        If it holds no such network.
    """
    from preop.segmentation.model_folder import PLANS_FILE
    from preop.study import read_model_info

    read_model_info(folder, algorithm, None)
    places = [
        plans.parent
        for network in algorithm.networks
        for pattern in (PLANS_FILE, f"*/{PLANS_FILE}")
        for plans in sorted((folder / network).glob(pattern))
    ]
    if not places:
        expected = " or ".join(f"{network}/" for network in algorithm.networks) or "no network"
        raise InvalidInputError(
            f"The model in {folder} holds no network that draws masks; {algorithm.name} takes {expected}."
        )
    return {place.relative_to(folder).as_posix(): place for place in places}


def _predictions(records: Records, options: Options) -> Predictions | None:
    from preop.review.results import Predictions

    names = [subject.name for subject in records.cohort.subjects]
    return Predictions(options.results, records.cohort.algorithm, names) if options.results else None


def _folder(table: Path, options: Options) -> Path:
    """Make the folder of a review."""
    folder = options.folder or (table / "cohort.csv" if table.is_dir() else table).with_suffix(".review")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidOutputError(
            f"The folder of the review cannot be made at {folder}: {error.strerror}; name another by --folder."
        ) from error
    return folder


def _check_packages() -> None:
    try:
        import alembic  # noqa: F401
        import skimage  # noqa: F401
        import sqlalchemy  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingToolError(
            f"The review needs the Python package {error.name}, which is not installed: requirements/install.sh review"
        ) from None
