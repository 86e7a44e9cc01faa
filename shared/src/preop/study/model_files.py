"""The files of a model folder: each of them listed in ``model.json`` with its checksum, and nothing else beside them."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from preop.errors import InvalidInputError, InvalidModelError
from preop.folders import sha256
from preop.grandchallenge.algorithm import LARGEST_UPLOAD_BYTES
from preop.grandchallenge.roots import below
from preop.grandchallenge.values import MAX_JSON_MB

MODEL_FILE = "model.json"
MAX_FILES = 10_000

# What file managers, other systems and a run leave behind: no part of a model, and read by nobody.
_NO_PART = re.compile(r"\.lock|\.DS_Store|\._.*|Thumbs\.db|desktop\.ini")


def files_in(folder: Path, *, within: Path | None = None) -> dict[str, Path]:
    """Give all files of a model folder but ``model.json``, by their paths in it, in the order of these.

    Parameters
    ----------
    within
        One of its folders, to give only what lies below that.

    Raises
    ------
    InvalidModelError
        If anything is no regular file (a link leads out of the folder, a pipe is waited for without end), or there is more
        than the platform takes.
    """
    found: dict[str, Path] = {}
    size = 0
    for path in _all_in(folder, within or folder):
        name = path.relative_to(folder).as_posix()
        status = path.stat()
        size += status.st_size
        if len(found) > MAX_FILES or size > LARGEST_UPLOAD_BYTES:
            raise InvalidModelError(
                f"The model in {folder} holds more than {LARGEST_UPLOAD_BYTES / 1e9:.0f} GB or {MAX_FILES:,} files, and the "
                "platform takes no more."
            )
        if path.suffix == ".json" and status.st_size > MAX_JSON_MB * 1_000_000:
            raise InvalidModelError(
                f"The model in {folder} holds {status.st_size / 1e6:,.0f} MB in {name}; expected at most {MAX_JSON_MB} MB."
            )
        if name != MODEL_FILE:
            found[name] = path
    return dict(sorted(found.items()))


def _all_in(folder: Path, place: Path) -> Iterator[Path]:
    for path in place.iterdir():
        if _NO_PART.fullmatch(path.name):
            continue
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from _all_in(folder, path)
        elif stat.S_ISREG(mode):
            yield path
        else:
            kind = "a link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
            raise InvalidModelError(
                f"In the model in {folder}, {path.relative_to(folder)} is {kind}; expected plain files and folders only: "
                "put a copy in its place."
            )


def check_files(folder: Path, listed: Mapping[str, str]) -> None:
    """Check that the files of a model are those that are listed, each with the checksum (SHA-256) it was written with.

    Raises
    ------
    InvalidModelError
        If one is missing, changed, not listed, or no regular file.
    """
    found = files_in(folder)
    for name in listed:
        try:
            below(folder, name)
        except InvalidInputError:
            raise InvalidModelError(
                f"The model in {folder} names the file {name!r}, which is not in its folder."
            ) from None
        if name not in found:
            raise InvalidModelError(f"The model in {folder} is incomplete: {name} is missing.")
    for name, path in found.items():
        if name not in listed:
            raise InvalidModelError(
                f"The model in {folder} holds {name}, which {MODEL_FILE} does not list: take it away, or take the complete "
                f"{MODEL_FILE}; networks that you have added yourself are listed by preop register."
            )
        if sha256(path) != listed[name]:
            raise InvalidModelError(
                f"The model in {folder} is damaged: {name} is not the file that was written (its SHA-256 differs)."
            )
