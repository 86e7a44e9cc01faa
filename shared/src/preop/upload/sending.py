"""Talking to the platform: its own client runs in an environment of its own, and is told one patient a line.

gcapi holds httpx back at a version that other packages have left behind; so it is kept apart (``requirements/apart.sh upload``).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from preop.atomic import write_text
from preop.cohort import Cohort
from preop.errors import InvalidInputError, MissingToolError
from preop.grandchallenge.values import read_json, to_json
from preop.progress import progress_bar
from preop.upload.items import Item, item_of

CLIENT = Path(__file__).with_name("client.py")
TOKEN_VARIABLE = "GRAND_CHALLENGE_AUTHORIZATION"  # noqa: S105 - the name that gcapi gives it
ADDRESS = "https://grand-challenge.org/api/v1/"


class Archive:
    """An archive of the platform; made by :func:`archive`.

    Attributes
    ----------
    there
        The platform's slugs of what each item has already, by the item's title.
    """

    def __init__(self, process: subprocess.Popen[str], there: Mapping[str, frozenset[str]]) -> None:
        self._process = process
        self.there = there

    def send(self, item: Item) -> None:
        """Add an item, or to an item of this title what it does not have.

        Raises
        ------
        InvalidInputError
            If the platform refuses it, with its reason.
        """
        files = {slug: str(path) for slug, path in item.files.items()}
        _tell(self._process, {"title": item.title, "values": item.values, "files": files})
        _answer(self._process)


@contextmanager
def archive(python: Path, slug: str, address: str = ADDRESS) -> Iterator[Archive]:
    """Open an archive.

    Parameters
    ----------
    python
        The Python in whose environment gcapi is installed.
    slug
        As it stands in the archive's address.

    Raises
    ------
    InvalidInputError
        If the platform cannot be reached, refuses the token, or has no such archive that this user may see.
    MissingToolError
        If the client is not installed.
    """
    if not python.exists():
        raise MissingToolError("The platform's client is not installed: run requirements/apart.sh upload once.")
    known = ("HOME", "PATH", TOKEN_VARIABLE, "SSL_CERT_FILE", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")
    process = subprocess.Popen(
        [str(python), "-I", str(CLIENT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={name: os.environ[name] for name in known if name in os.environ},
    )
    try:
        _tell(process, {"archive": slug, "address": address})
        there = _answer(process)["there"]
        yield Archive(process, {title: frozenset(slugs) for title, slugs in there.items()})
    finally:
        process.kill()
        process.communicate()


@dataclass(frozen=True)
class Sent:
    """What became of the patients: how many were sent, how many had been, and why others could not be."""

    sent: int
    kept: int
    failures: dict[str, str]


def send_cohort(cohort: Cohort, python: Path, slug: str, address: str = ADDRESS) -> Sent:
    """Send every patient of a cohort that the archive does not have yet.

    Which patients were sent is also written beside the table: the platform needs some minutes to take an image in, and shows
    it only then.

    Raises
    ------
    InvalidInputError, MissingToolError
        As for :func:`archive`.
    """
    record = cohort.path.with_name(f"{cohort.path.stem}.upload-{slug}.json")
    done: list[str] = read_json(record) if record.exists() else []
    kept, failures = 0, {}
    with archive(python, slug, address) as opened, progress_bar("Uploading", len(cohort.patients)) as advance:
        for patient in cohort.patients:
            wanted = {patient.case.algorithm.platform_slug(each) for each in patient.case.interface}
            missing = wanted - opened.there.get(patient.name, frozenset())
            if patient.name in done or not missing:
                kept += 1
            else:
                try:
                    with TemporaryDirectory() as folder:
                        opened.send(item_of(patient, Path(folder), wanted=missing))
                    write_text(record, to_json([*done, patient.name]))
                    done.append(patient.name)
                except InvalidInputError as error:
                    failures[patient.name] = str(error)
            advance(1)
    return Sent(len(cohort.patients) - kept - len(failures), kept, failures)


def _tell(process: subprocess.Popen[str], content: Mapping[str, Any]) -> None:
    assert process.stdin is not None  # noqa: S101 - a pipe was asked for
    try:
        process.stdin.write(json.dumps(content) + "\n")
        process.stdin.flush()
    except OSError as error:
        raise InvalidInputError("The platform's client ended; start again, and it goes on where it was.") from error


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    line = process.stdout.readline()
    answer: dict[str, Any] = json.loads(line) if line else {"error": "the client ended without a word"}
    if "error" in answer:
        raise InvalidInputError(f"The platform did not take it: {answer['error']}.")
    return answer
