"""What files hold, as checksums: computed once for each state of a file, so that a resumed run need not read all again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

from preop.atomic import write_text
from preop.errors import InvalidInputError
from preop.imaging import files_of as files_of_image

SETTLED_S = 2.0
"""A file that was changed so shortly before it was read may change again within one tick of its clock (FAT: 2 s)."""


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_of(path: Path) -> list[Path]:
    """List the files that make up an image, a slide or a folder, each once.

    A folder means all files in it. A header brings the files of its voxels, whatever its ending; an ``.mrxs`` its folder,
    and a ``.dcm`` or ``.vms`` what lies beside it, for a slide is spread over several.
    """
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))
    suffix = path.suffix.lower()
    found = {path}
    if suffix == ".mrxs":
        found.update(path.with_suffix("").rglob("*"))
    elif suffix in {".dcm", ".vms", ".vmu"}:
        found.update(path.parent.iterdir())
    else:
        with suppress(InvalidInputError):  # no image, or a damaged one: that is told when it is read
            found.update(files_of_image(path))
    return sorted(each for each in found if each.is_file())


class Noted(TypedDict):
    """What is remembered: of files, by their places, and what was computed from images, by what it is and their checksums."""

    files: dict[str, list[object]]
    derived: dict[str, str]


class Contents:
    """Checksums of files, remembered in a small file between runs.

    A checksum is taken over without reading the file again where size, times and inode are those it had, and it had been
    left alone for two seconds when it was read.

    Parameters
    ----------
    index
        Where they are remembered; a damaged or missing one costs only time.
    """

    def __init__(self, index: Path | None = None) -> None:
        self._index = index
        self._known: dict[str, list[object]] = {}
        self._derived: dict[str, str] = {}
        self._changed = False
        if index is not None:
            with suppress(OSError, ValueError, TypeError, KeyError):
                noted = json.loads(index.read_text(encoding="utf-8"))
                self._known, self._derived = dict(noted["files"]), dict(noted["derived"])

    def of(self, path: Path) -> str:
        """Checksum of what an image's files, or a folder's, hold; a file's name counts within a folder.

        Raises
        ------
        InvalidInputError
            If there is nothing, or a file cannot be read.
        """
        files = files_of(path)
        if not files:
            raise InvalidInputError(f"{path} does not exist, or holds no file.")
        if files == [path]:
            return self._file(path)
        root = path if path.is_dir() else path.parent
        lines = [
            f"{self._file(each)}  {each.relative_to(root) if each.is_relative_to(root) else each}" for each in files
        ]
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()

    def derived(self, path: Path, what: str, compute: Callable[[Path], str]) -> str:
        """Give what is computed from an image, remembered under its content."""
        key = f"{what} {self.of(path)}"
        if key not in self._derived:
            self._derived[key] = compute(path)
            self._changed = True
        return self._derived[key]

    def known(self, path: Path, what: str) -> str | None:
        """Give what was computed from an image before, or None."""
        return self._derived.get(f"{what} {self.of(path)}")

    def note(self, path: Path, what: str, value: str) -> None:
        """Remember what was computed from an image elsewhere."""
        self._derived[f"{what} {self.of(path)}"] = value
        self._changed = True

    def remembers(self, path: Path) -> bool:
        """Whether the checksum of this image or folder, as it is now, need not be computed."""
        try:
            return all(self._remembered(each, _state(each)) is not None for each in files_of(path))
        except OSError:
            return False

    @property
    def noted(self) -> Noted:
        """What is remembered, for :meth:`learn` of another machine that sees the files at the same places."""
        return {"files": dict(self._known), "derived": dict(self._derived)}

    def learn(self, noted: Noted) -> None:
        """Take over what was remembered elsewhere; it counts only where a file has the same size, times and inode here."""
        self._known |= noted["files"]
        self._derived |= noted["derived"]
        self._changed = True

    def save(self) -> None:
        """Remember for later runs."""
        if self._index is not None and self._changed:
            write_text(self._index, json.dumps(self.noted))
            self._changed = False

    def _remembered(self, path: Path, state: list[int]) -> str | None:
        known = self._known.get(str(path.absolute()))
        return str(known[-1]) if known is not None and known[:-1] == state else None

    def _file(self, path: Path) -> str:
        key = str(path.absolute())
        try:
            state = _state(path)
            if (known := self._remembered(path, state)) is not None:
                return known
            now = time.time_ns()
            digest = sha256(path)
            if _state(path) != state:
                raise InvalidInputError(f"{path} is being written while it is read: wait until it is complete.")
        except OSError as error:
            raise InvalidInputError(f"{path} cannot be read: {error.strerror}.") from error
        if now - max(state[1:3]) > SETTLED_S * 1e9:
            self._known[key] = [*state, digest]
            self._changed = True
        else:
            self._known.pop(key, None)
        return digest


def digest_of(parts: Iterable[object]) -> str:
    """SHA-256 of plain values, such as texts and numbers."""
    return hashlib.sha256(json.dumps(list(parts), sort_keys=True, default=str).encode()).hexdigest()


def _state(path: Path) -> list[int]:
    """Size, times of change of content and of the entry, and inode: one of them differs after any change."""
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
