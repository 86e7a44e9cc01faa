"""Model folders with one entry taken out or of another type: what every study has to refuse."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Place = tuple[str | int, ...]

# A value of another type than the key, for each type that JSON has.
OF_ANOTHER_TYPE: dict[type, Any] = {
    str: 7,
    bool: "true",
    int: "7",
    float: "0.5",
    type(None): "none",
    dict: ["a"],
    list: {"a": 1},
}


def entries(content: Any) -> list[Place]:
    """Give the place of every entry; of a list that of its first element, for its elements are of one type."""
    return [*_entries(content, ())]


def keys(content: Any) -> list[Place]:
    """Give the places of all entries that have a key: an element less may still be a whole list."""
    return [place for place in entries(content) if isinstance(place[-1], str)]


def without(content: Any, place: Place) -> Any:
    """Give a copy that lacks an entry."""
    changed = copy.deepcopy(content)
    del _owner(changed, place)[place[-1]]
    return changed


def of_another_type(content: Any, place: Place) -> Any:
    """Give a copy in which an entry has a value of another type."""
    changed = copy.deepcopy(content)
    owner = _owner(changed, place)
    owner[place[-1]] = OF_ANOTHER_TYPE[type(owner[place[-1]])]
    return changed


def in_words(place: Place) -> str:
    """Name a test by a place."""
    return ".".join(map(str, place))


def rewrite(folder: Path, file: str, content: Any) -> None:
    """Write a JSON file of a model folder, and its checksum with it."""
    (folder / file).write_text(json.dumps(content))
    if file != "model.json":
        info = json.loads((folder / "model.json").read_text())
        info["files"][file] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
        (folder / "model.json").write_text(json.dumps(info))


def _entries(content: Any, place: Place) -> Iterator[Place]:
    for key, value in content.items() if isinstance(content, dict) else enumerate(content[:1]):
        yield (*place, key)
        if isinstance(value, dict | list):
            yield from _entries(value, (*place, key))


def _owner(content: Any, place: Place) -> Any:
    for key in place[:-1]:
        content = content[key]
    return content
