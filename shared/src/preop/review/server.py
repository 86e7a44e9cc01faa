"""Starting the server: what is reviewed is read and checked first, then the address is printed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preop.errors import InvalidInputError, InvalidOutputError
from preop.grandchallenge.algorithm import Algorithm
from preop.review.app import make_app
from preop.review.database import open_database, sqlite_address
from preop.review.examination import Examination
from preop.review.networks import Networks
from preop.review.pages import find_pages
from preop.review.records import Records
from preop.review.results import Predictions
from preop.review.review import Review
from preop.review.security import is_loopback, new_token
from preop.review.subjects import ReviewedCohort, read_reviewed_cohort

DATABASE_FILE = "review.sqlite"


@dataclass(frozen=True)
class Options:
    """What a review is started with.

    Attributes
    ----------
    study
        Whose columns the table has; found by them if None.
    results
        Folder that ``preop validate`` wrote.
    networks
        Folders of networks that propose masks, by name.
    masks
        Where masks are saved; beside their originals if None.
    database
        Address; a SQLite file in the review's folder if "".
    """

    study: Algorithm | None = None
    results: Path | None = None
    reader_study: bool = False
    networks: Mapping[str, Path] = field(default_factory=dict)
    masks: Path | None = None
    folder: Path | None = None
    database: str = ""


def review_folder(table: Path) -> Path:
    """Folder of a cohort's review, beside its table: the database, thumbnails, results of the checks."""
    return (table / "cohort.csv" if table.is_dir() else table).with_suffix(".review")


def open_records(table: Path, studies: Sequence[Algorithm], options: Options) -> Records:
    """Open the records of a cohort's review, which are made where there are none.

    Raises
    ------
    InvalidInputError
        If the table or the database cannot be read.
    InvalidOutputError
        If the review's folder cannot be written.
    """
    cohort = read_reviewed_cohort(table, studies, options.study)
    folder = _made(options.folder or review_folder(table))
    database = open_database(options.database or sqlite_address(folder / DATABASE_FILE))
    return Records(database, cohort, options.masks)


def open_review(table: Path, studies: Sequence[Algorithm], options: Options) -> Review:
    """Open a review with everything that it needs.

    Raises
    ------
    InvalidInputError
        If something that was named cannot be read.
    """
    records = open_records(table, studies, options)
    predictions = _predictions(records.cohort, options.results)
    if options.reader_study and predictions is None:
        raise InvalidInputError("A reader study compares readers with results: name their folder by --results.")
    return Review(
        cohort=records.cohort,
        records=records,
        examination=Examination(records, options.folder or review_folder(table)),
        networks=Networks(options.networks),
        predictions=predictions,
        reader_study=options.reader_study,
    )


def open_predictions(records: Records, options: Options) -> Predictions | None:
    """Open the results that a review was started with."""
    return _predictions(records.cohort, options.results)


def serve(review: Review, *, host: str, port: int, tell: Callable[[str], object]) -> None:
    """Serve a review until it is stopped (Ctrl-C).

    Parameters
    ----------
    host
        Address to listen at; another than the loopback one is served to who has the token, which is printed once.
    tell
        Is given each sentence for the user.

    Raises
    ------
    InvalidInputError
        If the address cannot be listened at.
    MissingToolError
        If the pages are not built and cannot be.
    """
    import uvicorn

    pages = find_pages(tell)
    token = None if is_loopback(host) else new_token()
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    hosts = [f"{_bracketed(name)}:{port}" for name in _names(host)]
    app = make_app(review, pages, hosts=hosts, token=token)
    shown = hosts[0] if host in {"0.0.0.0", "::"} else f"{_bracketed(host)}:{port}"  # noqa: S104
    tell(f"{len(review.cohort.subjects)} patients of {review.cohort.table.name} ({review.cohort.algorithm.title})")
    tell(f"Open http://{shown}/{f'?token={token}' if token else ''}")
    if token:
        tell("Whoever has this address can see and change the review; it is not encrypted on its way.")
    tell("Ctrl-C stops it; everything that was saved is kept.")
    config = uvicorn.Config(
        app, log_level="warning", server_header=False, timeout_graceful_shutdown=3, h11_max_incomplete_event_size=2**16
    )
    uvicorn.Server(config).run(sockets=[listening])


def _names(host: str) -> list[str]:
    """Names under which an address may be asked."""
    if is_loopback(host):
        return list(dict.fromkeys([host, "127.0.0.1", "localhost", "::1"]))
    if host not in {"0.0.0.0", "::"}:  # noqa: S104
        return [host]
    name = socket.gethostname()
    found = {entry[4][0] for entry in socket.getaddrinfo(name, None)} if name else set()
    return list(dict.fromkeys([name, socket.getfqdn(), *sorted(map(str, found)), "127.0.0.1", "localhost"]))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        raise InvalidInputError(
            f"The review cannot be served at {host}, port {port}: {error.strerror}; name another by --port."
        ) from error
    return listening


def _predictions(cohort: ReviewedCohort, folder: Path | None) -> Predictions | None:
    return Predictions(folder, cohort.algorithm, [each.name for each in cohort.subjects]) if folder else None


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidOutputError(
            f"The folder of the review cannot be made at {folder}: {error.strerror}; name another by --folder."
        ) from error
    return folder
