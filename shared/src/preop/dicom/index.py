"""What lies in a folder: every DICOM object below it, also inside of zip archives; each header is read once."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

from preop.dicom.headers import Header, Place, read_header, read_members
from preop.errors import InvalidInputError
from preop.progress import progress_bar

SLIDES = {".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".tif", ".tiff"}
"""Endings of slides of scanners, which are no DICOM."""
_AT_ONCE = 200
"""Files that a process reads before it hands over."""
_FEW = 400
"""So few files are read faster without further processes."""
_TABLES = """
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INTEGER, changed INTEGER);
CREATE TABLE IF NOT EXISTS objects (path TEXT, member TEXT, header TEXT, damage TEXT, PRIMARY KEY (path, member));
"""

_Found = list[tuple[str, Header | str | None]]
_State = tuple[int, int]


@dataclass(frozen=True)
class Index:
    """What was found.

    Attributes
    ----------
    objects
        Header of each object by its place; one that lies in several places stands once.
    slides
        Slides of scanners.
    damaged
        What is wrong with each file that should be DICOM and cannot be read.
    files
        How many files there are.
    read
        How many of them had to be read now; the others were known.
    twice
        How many objects lie in a second place.
    """

    objects: dict[Place, Header]
    slides: tuple[Path, ...] = ()
    damaged: dict[Place, str] = field(default_factory=dict)
    files: int = 0
    read: int = 0
    twice: int = 0

    @property
    def notes(self) -> list[str]:
        """What a reader should know, in sentences."""
        notes = []
        if self.damaged:
            place, reason = next(iter(self.damaged.items()))
            more = f", and {len(self.damaged) - 1} more" if len(self.damaged) > 1 else ""
            notes.append(f"Left out, for it is damaged: {place}: {reason}{more}.")
        if self.twice:
            notes.append(f"{self.twice} objects lie in two places; they were taken once.")
        return notes


def read_index(folder: Path, *, remembered: Path | None = None, processes: int | None = None) -> Index:
    """Read the headers of all DICOM objects below a folder, on all cores, with a progress bar.

    Parameters
    ----------
    folder
        Any layout; a DICOMDIR is not needed. Zip archives are looked into.
    remembered
        File that keeps what was read, so that a later call reads only what is new or changed; it holds names and numbers of
        patients, and belongs beside the key of the pseudonyms.

    Raises
    ------
    InvalidInputError
        If the folder is missing or cannot be read, or what is remembered is damaged.
    """
    if not folder.exists():
        raise InvalidInputError(f"There is no folder {folder}.")
    found = dict(sorted(_files(folder)))
    slides = tuple(path for path in found if path.suffix.lower() in SLIDES)
    states = {path: state for path, state in found.items() if path.suffix.lower() not in SLIDES}
    try:
        with closing(sqlite3.connect(remembered or ":memory:")) as memory:
            memory.executescript(_TABLES)
            todo = _changed(memory, states)
            _read(memory, todo, states, processes or os.cpu_count() or 1)
            objects, damaged, twice = _collected(memory)
    except sqlite3.DatabaseError as error:
        raise InvalidInputError(
            f"{remembered} is damaged ({error}): remove it, and the headers are read again."
        ) from error
    return Index(objects, slides, damaged, len(found), len(todo), twice)


def _files(folder: Path) -> Iterator[tuple[Path, _State]]:
    """List files with size and time of change; links to folders are not followed, so that none is walked twice."""
    if folder.is_file():
        stat = folder.stat()
        yield folder.absolute(), (stat.st_size, stat.st_mtime_ns)
        return
    waiting = [os.fspath(folder.absolute())]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError as error:
            raise InvalidInputError(f"{error.filename} cannot be read: {error.strerror}.") from error
        for entry in entries:
            if entry.name.startswith(".") or entry.name.upper() == "DICOMDIR":
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            elif entry.is_file():
                stat = entry.stat()
                yield Path(entry.path), (stat.st_size, stat.st_mtime_ns)


def _changed(memory: sqlite3.Connection, states: dict[Path, _State]) -> list[Path]:
    """Forget what is gone or changed; give what has to be read."""
    known = {path: (size, changed) for path, size, changed in memory.execute("SELECT * FROM files")}
    now = {os.fspath(path): state for path, state in states.items()}
    stale = [(path,) for path, state in known.items() if now.get(path) != state]
    memory.executemany("DELETE FROM files WHERE path = ?", stale)
    memory.executemany("DELETE FROM objects WHERE path = ?", stale)
    memory.commit()
    return [path for path in states if known.get(os.fspath(path)) != states[path]]


def _read(memory: sqlite3.Connection, todo: Sequence[Path], states: dict[Path, _State], processes: int) -> None:
    parts = [todo[first : first + _AT_ONCE] for first in range(0, len(todo), _AT_ONCE)]
    with progress_bar("Reading headers", len(todo)) as advance:
        for part, results in _results(parts, 1 if len(todo) < _FEW else processes):
            rows = [
                (
                    os.fspath(path),
                    member,
                    json.dumps(header) if isinstance(header, dict) else None,
                    header if isinstance(header, str) else None,
                )
                for path, found in zip(part, results, strict=True)
                for member, header in found
                if header is not None
            ]
            memory.executemany("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)", rows)
            memory.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?)", [(os.fspath(path), *states[path]) for path in part]
            )
            memory.commit()  # a stopped run goes on from here
            advance(len(part))


def _results(parts: Sequence[Sequence[Path]], processes: int) -> Iterator[tuple[Sequence[Path], list[_Found]]]:
    if processes == 1:
        yield from ((part, _headers(part)) for part in parts)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        try:
            yield from zip(parts, pool.map(_headers, parts), strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def _headers(paths: Sequence[Path]) -> list[_Found]:
    """Read the headers of some files: one each, or those of the members of an archive."""
    return [
        list(read_members(path).items()) if path.suffix.lower() == ".zip" else [("", read_header(Place(path)))]
        for path in paths
    ]


def _collected(memory: sqlite3.Connection) -> tuple[dict[Place, Header], dict[Place, str], int]:
    objects: dict[Place, Header] = {}
    damaged: dict[Place, str] = {}
    seen: set[str] = set()
    twice = 0
    for path, member, header, damage in memory.execute("SELECT * FROM objects ORDER BY path, member"):
        place = Place(Path(path), member)
        if damage is not None:
            damaged[place] = damage
            continue
        values = json.loads(header)
        if values["SOPInstanceUID"] in seen:
            twice += 1
        else:
            seen.add(values["SOPInstanceUID"])
            objects[place] = values
    return objects, damaged, twice
