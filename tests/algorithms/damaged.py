"""Models of which one entry was taken out, or replaced by a value of another type."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from preop.errors import InvalidModelError
from preop.study import MODEL_FILE

Place = tuple[str | int, ...]
"""Keys and numbers that lead to an entry of a JSON file."""

ONE_SENTENCE = re.compile(r"The(re is no)? model in .*\.")


def not_refused(
    folder: Path, file: str, load: Callable[[], object], *, may_be_missing: Callable[[Place], bool]
) -> list[tuple[str, Place]]:
    """Damage one entry of a file after the other, with its checksum put right; give those that are not refused.

    A model is refused with InvalidModelError, in one sentence that names it.
    """
    content = json.loads((folder / file).read_text())
    accepted = []
    for what, place in _damaged(content):
        if what == "missing" and may_be_missing(place):
            continue
        write(folder, file, content)
        if not ONE_SENTENCE.fullmatch(_refusal(load)):
            accepted.append((what, place))
    return accepted


def write(folder: Path, file: str, content: Any) -> None:
    """Write a JSON file of a model, and its checksum beside it."""
    (folder / file).write_text(json.dumps(content))
    if file != MODEL_FILE:
        info = json.loads((folder / MODEL_FILE).read_text())
        info["files"][file] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        (folder / MODEL_FILE).write_text(json.dumps(info))


def _refusal(load: Callable[[], object]) -> str:
    try:
        load()
    except InvalidModelError as error:
        return str(error)
    return "It was loaded"


def _damaged(content: Any) -> Iterator[tuple[str, Place]]:
    """Change one entry after the other in place, and put it back when asked to go on; give what was done, and where."""
    for parent, place in list(_entries(content)):
        before = parent.copy()
        yield _remove(parent, place[-1]), place
        _restore(parent, before)
        yield _retype(parent, place[-1]), place
        _restore(parent, before)


def _entries(content: Any, place: Place = ()) -> Iterator[tuple[Any, Place]]:
    """Each dictionary or list, with the place of each entry in it."""
    if isinstance(content, dict | list):
        for step in content if isinstance(content, dict) else range(len(content)):
            yield content, (*place, step)
            yield from _entries(content[step], (*place, step))


def _remove(parent: Any, step: str | int) -> str:
    del parent[step]
    return "missing"


def _retype(parent: Any, step: str | int) -> str:
    parent[step] = 7 if isinstance(parent[step], str) else "another type"
    return "of another type"


def _restore(parent: Any, before: Any) -> None:
    parent.clear()
    (parent.update if isinstance(parent, dict) else parent.extend)(before)
