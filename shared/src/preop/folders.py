"""Folders of long work: begun once, resumed by the same settings, never mixed with another's; and checksums of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from preop.errors import InvalidOutputError

SETTINGS_FILE = "made_with.json"


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
            partial = folder / f".{SETTINGS_FILE}"
            partial.write_text(json.dumps(settings, indent=2) + "\n")
            partial.replace(noted)
    except OSError as error:
        raise InvalidOutputError(f"The folder {folder} cannot be written: {error.strerror}.") from error


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
