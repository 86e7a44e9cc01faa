"""Every entry of a stored JSON file, taken out or of another type: whatever reads the file has to refuse each in a sentence."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preop.errors import InvalidModelError
from preop.folders import sha256
from preop.study import MODEL_FILE

Key = str | int


@dataclass(frozen=True)
class Damage:
    """A JSON document with one entry that is not as it was written."""

    what: str
    document: Any


def damaged(document: Any, *, optional: Collection[str] = ()) -> Iterator[Damage]:
    """Take out each entry in turn, then make each of another type.

    Parameters
    ----------
    optional
        Entries whose elements may be fewer, by their place with dots between the keys and ``*`` for any key. They are
        made of another type all the same.
    """
    for place in _places(document):
        name = ".".join(map(str, place))
        parent = _entry(document, place[:-1])
        if not any(_matches(place[:-1], pattern) for pattern in optional):
            yield Damage(f"{name} taken out", _changed(document, place, _without))
        other = _of_another_type(parent[place[-1]])
        yield Damage(
            f"{name} is {json.dumps(other)}", _changed(document, place, lambda at, key, new=other: _put(at, key, new))
        )


def not_refused(
    folder: Path, file: str, load: Callable[[Path], object], *, optional: Collection[str] = ()
) -> list[str]:
    """Damage a file of a model folder entry by entry, and name what is not refused with one sentence.

    Parameters
    ----------
    folder
        A copy of a model folder; it is whole again in the end. A file that ``model.json`` lists gets a new checksum.
    """
    load(folder)
    whole = {name: (folder / name).read_bytes() for name in {file, MODEL_FILE}}
    found = []
    for damage in damaged(json.loads(whole[file]), optional=optional):
        write_stored(folder, file, damage.document)
        if problem := _problem(load, folder):
            found.append(f"{damage.what}: {problem}")
    for name, content in whole.items():
        (folder / name).write_bytes(content)
    return found


def write_stored(folder: Path, file: str, content: Any) -> None:
    """Write a JSON file of a model folder, with its checksum in ``model.json`` put right."""
    (folder / file).write_text(json.dumps(content))
    if file != MODEL_FILE:
        info = json.loads((folder / MODEL_FILE).read_text())
        info["files"][file] = sha256(folder / file)
        (folder / MODEL_FILE).write_text(json.dumps(info))


def _problem(load: Callable[[Path], object], folder: Path) -> str | None:
    try:
        load(folder)
    except InvalidModelError as error:
        sentence = str(error)
        return None if sentence.endswith(".") and "\n" not in sentence else f"no sentence: {sentence}"
    except Exception as error:  # noqa: BLE001 - this is what the test is about
        return f"{type(error).__name__}: {error}"
    return "accepted"


def _places(document: Any, at: tuple[Key, ...] = ()) -> Iterator[tuple[Key, ...]]:
    """Places of all entries; of a list those of the first and the last element."""
    keys: Collection[Key] = ()
    if isinstance(document, dict):
        keys = list(document)
    elif isinstance(document, list):
        keys = sorted({0, len(document) - 1}) if document else ()
    for key in keys:
        yield (*at, key)
        yield from _places(document[key], (*at, key))


def _entry(document: Any, place: tuple[Key, ...]) -> Any:
    for key in place:
        document = document[key]
    return document


def _changed(document: Any, place: tuple[Key, ...], change: Callable[[Any, Key], None]) -> Any:
    copied = copy.deepcopy(document)
    change(_entry(copied, place[:-1]), place[-1])
    return copied


def _without(parent: Any, key: Key) -> None:
    del parent[key]


def _put(parent: Any, key: Key, value: Any) -> None:
    parent[key] = value


def _of_another_type(value: Any) -> Any:
    if isinstance(value, dict):
        return [7]
    if isinstance(value, str):
        return 7
    return "text"


def _matches(place: tuple[Key, ...], pattern: str) -> bool:
    keys = pattern.split(".")
    return len(keys) == len(place) and all(key in ("*", str(found)) for key, found in zip(keys, place, strict=True))
