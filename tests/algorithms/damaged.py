"""Every way in which one entry of a JSON file can be taken out, or replaced by a value of another type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Place = tuple[str | int, ...]
"""Keys and numbers that lead to an entry."""


def damaged(content: Any) -> Iterator[tuple[str, Place]]:
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
