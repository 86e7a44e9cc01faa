"""The four folders of the contract.

They can be moved for local runs; the names of the variables do not begin with ``GRAND_CHALLENGE_``,
because the platform removes those before an algorithm starts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Self

from preop.errors import InvalidInputError

_LONGEST_NAME = 255


@dataclass(frozen=True)
class Roots:
    """Where a container finds its input, output, model and ground truth."""

    input: Path = Path("/input")
    output: Path = Path("/output")
    model: Path = Path("/opt/ml/model")
    ground_truth: Path = Path("/opt/ml/input/data/ground_truth")

    @classmethod
    def from_environment(cls) -> Self:
        """Take the platform's folders, or those named by PREOP_INPUT, PREOP_OUTPUT, PREOP_MODEL, PREOP_GROUND_TRUTH."""
        moved = {name: os.environ.get(variable_of(name)) for name in (field.name for field in fields(cls))}
        return cls(**{name: Path(path) for name, path in moved.items() if path})

    def environment(self) -> dict[str, str]:
        """Give the variables that move a program to these folders."""
        return {variable_of(field.name): str(getattr(self, field.name)) for field in fields(self)}


def variable_of(name: str) -> str:
    """Name the environment variable that moves one of the roots."""
    return f"PREOP_{name.upper()}"


def below(root: Path, relative_path: str) -> Path:
    """Join a path from a file that others wrote, refusing one that leads out of ``root``.

    The root itself is a link on the platform and is not resolved.
    """
    parts = PurePosixPath(relative_path)
    if parts.is_absolute() or ".." in parts.parts or not relative_path:
        raise InvalidInputError(f"The path {relative_path!r:.80} leads out of its folder; expected one below it.")
    if not all(_can_be_a_name(part) for part in parts.parts):
        raise InvalidInputError(
            f"The path {relative_path!r:.80} has characters that no path can have, or too many; expected one below its folder."
        )
    return root / parts


def _can_be_a_name(part: str) -> bool:
    try:
        encoded = os.fsencode(part)
    except UnicodeEncodeError:
        return False
    return b"\0" not in encoded and len(encoded) <= _LONGEST_NAME


def below_without_links(root: Path, relative_path: str) -> Path:
    """Join a path below a folder whose files strangers wrote, refusing one that leads through a link.

    A link could lead to the files of another case, or out of the folder.

    Raises
    ------
    InvalidInputError
        If the path leads out of ``root``, or a part of it is a link.
    """
    path = below(root, relative_path)
    for number in range(len(PurePosixPath(relative_path).parts)):
        part = path.parents[number - 1] if number else path
        if part.is_symlink():
            raise InvalidInputError(f"{part.name} in {part.parent} is a link; expected a file or folder of its own.")
    return path
