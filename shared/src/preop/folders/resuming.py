"""Work that can be stopped and goes on: a folder for settings that never change, results kept by what went into them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from preop.atomic import remove_leftovers, replacing_folder, write_text
from preop.errors import InvalidOutputError
from preop.folders.names import folder_names

SETTINGS_FILE = "made_with.json"
KEYS_FOLDER = ".keys"

Key = Mapping[str, str]
"""Checksum of everything that goes into a result, by what it is."""


def open_resumable_run(folder: Path, settings: Mapping[str, str | int | float | bool]) -> None:
    """Make a folder for work with these settings, or take up the one that an earlier run of them began.

    Raises
    ------
    InvalidOutputError
        If the folder holds anything else, or cannot be written.
    """
    noted = folder / SETTINGS_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if noted.exists():
            _refuse_other_settings(folder, noted.read_text(), settings)
        elif any(not path.name.startswith(".") for path in folder.iterdir()):
            raise InvalidOutputError(
                f"{folder} holds files of something else; expected an empty or new folder: name another."
            )
        else:
            write_text(noted, json.dumps(settings, indent=2) + "\n")
    except OSError as error:
        raise InvalidOutputError(f"The folder {folder} cannot be written: {error.strerror}.") from error


class Results:
    """Results of many, each in a folder of its own, and each with the key of what it was made of.

    Parameters
    ----------
    folder
        Where the folders of the results lie; their keys lie in a hidden folder beside them.
    names
        Of all results.
    """

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self.folder = folder
        self._names = folder_names(names)

    def __getitem__(self, name: str) -> Path:
        """Folder of a result."""
        return self.folder / self._names[name]

    def tidy(self) -> None:
        """Remove what killed runs left half written, of results and of keys; only for who holds the folder's lock."""
        remove_leftovers(self.folder)
        remove_leftovers(self.folder / KEYS_FOLDER)

    def changed(self, name: str, key: Key) -> list[str] | None:
        """Tell what a result lacks: nothing where it is made of just this, None where there is no result.

        Returns
        -------
        The parts of the key that differ, in words; empty where the result can be taken as it is.
        """
        if not self[name].is_dir() or not any(self[name].iterdir()):
            return None
        try:
            noted = json.loads(self._key_file(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return changed_parts(noted, key) if isinstance(noted, dict) else None

    def drop(self, name: str) -> None:
        """Remove a result that is no longer true."""
        self._key_file(name).unlink(missing_ok=True)
        shutil.rmtree(self[name], ignore_errors=True)

    def place(self, name: str) -> Place:
        """Give the place of one result, for who makes it in another process."""
        return Place(self[name], self._key_file(name))

    def _key_file(self, name: str) -> Path:
        return self.folder / KEYS_FOLDER / f"{self._names[name]}.key"


@dataclass(frozen=True)
class Place:
    """Where one result goes, and its key."""

    folder: Path
    key_file: Path

    @contextmanager
    def making(self, key: Key) -> Iterator[Path]:
        """Give an empty folder that becomes the result, with its key, when the block ends well."""
        self.key_file.parent.mkdir(parents=True, exist_ok=True)
        with replacing_folder(self.folder) as partial:
            yield partial
            self.key_file.unlink(missing_ok=True)  # never a new key on an old result, nor the other way round
        write_text(self.key_file, json.dumps(dict(key), sort_keys=True))


def changed_parts(before: Mapping[str, object], now: Key) -> list[str]:
    """Names of the parts in which two keys differ."""
    return sorted(part for part in {*before, *now} if before.get(part) != now.get(part))


def changes_told(changed: Mapping[str, Collection[str]], *, most: int = 5) -> list[str]:
    """Say which results are made anew and why, one sentence for each reason.

    Parameters
    ----------
    changed
        The parts that changed, by the name of the result.
    most
        Names in a sentence; of more, it gives the number.
    """
    names: dict[str, list[str]] = {}
    for name, parts in changed.items():
        names.setdefault(", ".join(parts), []).append(name)
    return [
        f"Computed anew, because {parts} changed since the last run: {', '.join(each[:most])}"
        + (f" and {len(each) - most} more." if len(each) > most else ".")
        for parts, each in names.items()
    ]


def _refuse_other_settings(folder: Path, text: str, settings: Mapping[str, str | int | float | bool]) -> None:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if found == settings:
        return
    differences = (
        [f"{name} {found.get(name)} instead of {value}" for name, value in settings.items() if found.get(name) != value]
        if isinstance(found, dict)
        else []
    )
    raise InvalidOutputError(
        f"{folder} was made with {', '.join(differences) or 'other settings'}: name another folder."
    )
