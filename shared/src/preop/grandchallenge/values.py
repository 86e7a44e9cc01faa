"""What a JSON value of each kind of socket must look like (grand-challenge.org, ``components/schemas.py``)."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Kind, Socket

JSON = Any

_NUMBERS = {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}
_POINT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["point"],
    "properties": {
        "name": {"type": "string"},
        "type": {"const": "Point"},
        "point": _NUMBERS,
        "probability": {"type": "number", "minimum": 0, "maximum": 1},
    },
}
_VERSION = {
    "type": "object",
    "additionalProperties": False,
    "required": ["major", "minor"],
    "properties": {"major": {"const": 1}, "minor": {"type": "integer", "minimum": 0}},
}
_SCHEMAS: dict[Kind, Any] = {
    Kind.STRING: {"type": "string"},
    Kind.BOOL: {"type": "boolean"},
    Kind.INTEGER: {"type": "integer"},
    Kind.FLOAT: {"type": "number"},
    Kind.ANYTHING: {},
    Kind.MULTIPLE_POINTS: {
        "type": "object",
        "additionalProperties": False,
        "required": ["version", "type", "points"],
        "properties": {
            "name": {"type": "string"},
            "type": {"const": "Multiple points"},
            "points": {"type": "array", "items": _POINT},
            "version": _VERSION,
        },
    },
    # The whole of Vega-Lite is checked by the tests of the charts, with its own schema; this refuses what is no chart.
    Kind.CHART: {
        "type": "object",
        "required": ["$schema", "data"],
        "properties": {"$schema": {"type": "string", "pattern": "/vega-lite/v5"}},
        "anyOf": [
            {"required": [view]} for view in ("mark", "layer", "hconcat", "vconcat", "concat", "facet", "repeat")
        ],
    },
}


class Point(NamedTuple):
    """A place in the patient.

    Attributes
    ----------
    position_mm
        World coordinates (x, y, z) in mm.
    name
        What a reader sees beside it.
    probability
        0 to 1, where there is one.
    """

    position_mm: tuple[float, float, float]
    name: str | None = None
    probability: float | None = None


def multiple_points(points: Iterable[Point], *, name: str | None = None) -> JSON:
    """Make the value of a "Multiple points" socket."""
    result: dict[str, Any] = {
        "type": "Multiple points",
        "points": [
            {"point": [float(coordinate) for coordinate in point.position_mm]}
            | ({} if point.name is None else {"name": point.name})
            | ({} if point.probability is None else {"probability": float(point.probability)})
            for point in points
        ],
        "version": {"major": 1, "minor": 0},
    }
    return result if name is None else {"name": name, **result}


def check_value(value: JSON, socket: Socket, json_schema: Mapping[str, Any] | None = None) -> None:
    """Refuse a value that the socket's kind, its own limits or its JSON schema do not allow.

    Raises
    ------
    InvalidInputError
        With the place and the value in the sentence.
    """
    place = non_finite_place(value)
    if place is not None:
        raise InvalidInputError(
            f"{socket.slug}{place} is not a finite number; JSON and the platform have no such value."
        )
    for schema in (_schema_of(socket), json_schema):
        if schema is None:
            continue
        error = best_match(Draft7Validator(schema).iter_errors(value))
        if error is not None:
            raise InvalidInputError(f"{socket.slug}{_place(error.absolute_path)}: {_shortened(error.message)}.")


MAX_JSON_MB = 256
"""A table of a hundred thousand instances is a tenth of that; a file beyond it was made to fill the memory."""


MAX_JSON_DEPTH = 100
"""Lists and objects within each other: what is made by people or programs has ten."""


def read_json(path: Path) -> JSON:
    """Read a JSON file; NaN and Infinity, which are not JSON, are refused, and so is a key twice in one object.

    Raises
    ------
    InvalidInputError
        If it is missing or broken, no regular file (a pipe would be waited for without end), or over ``MAX_JSON_MB``.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInputError(f"{path.name} is not a regular file; expected a JSON file.")
        if status.st_size > MAX_JSON_MB * 1_000_000:
            raise InvalidInputError(
                f"{path.name} holds {status.st_size / 1e6:,.0f} MB; expected at most {MAX_JSON_MB} MB of JSON."
            )
        text = path.read_text(encoding="utf-8")
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_repetition)
        _check_depth(value)
    except FileNotFoundError:
        raise InvalidInputError(f"{path.name} is missing in {path.parent}.") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path.name} is not valid JSON ({error}).") from None
    except OSError as error:
        raise InvalidInputError(f"{path.name} cannot be read ({error.strerror}).") from None
    return value


def to_json(value: JSON) -> str:
    """Write a value as JSON text, always the same for the same value."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Half of a surrogate pair, which others may write and no file can hold, is escaped as JSON escapes it.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def non_finite_place(value: JSON) -> str | None:
    """Tell where a value holds NaN or an infinity, as in ``.features[3].value``; None where it holds none."""
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    if isinstance(value, Mapping):
        items: Iterable[tuple[str, JSON]] = ((f".{key}", item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        items = ((f"[{number}]", item) for number, item in enumerate(value))
    else:
        return None
    for step, item in items:
        place = non_finite_place(item)
        if place is not None:
            return step + place
    return None


def limits_of(socket: Socket) -> dict[str, Any]:
    """Give the socket's own limits as parts of a JSON schema."""
    limits: dict[str, Any] = {}
    if socket.minimum is not None:
        limits["minimum"] = socket.minimum
    if socket.maximum is not None:
        limits["maximum"] = socket.maximum
    if socket.choices:
        limits["enum"] = list(socket.choices)
    return limits


def _schema_of(socket: Socket) -> Any:
    """Give the schema of the socket's kind, narrowed by the socket's own limits."""
    return _SCHEMAS[socket.kind] | limits_of(socket)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _without_repetition(pairs: list[tuple[str, JSON]]) -> dict[str, JSON]:
    """Make an object of its pairs; of two values under one key, programs take the one or the other."""
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(key for number, (key, _) in enumerate(pairs) if key in dict(pairs[:number]))
        raise ValueError(f"an object names {repeated!r:.60} twice")
    return found


def _check_depth(value: JSON) -> None:
    """Refuse what is nested deeper than anything that walks over it can follow."""
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            part
            for each in level
            if isinstance(each, dict | list)
            for part in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise ValueError(f"it is nested more than {MAX_JSON_DEPTH} deep")


def _place(path: Iterable[Any]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def _shortened(message: str, limit: int = 300) -> str:
    return message if len(message) <= limit else message[:limit] + " ..."
