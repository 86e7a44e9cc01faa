"""Settings in TOML files, read into checked types, with one sentence for each thing that can be wrong."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from preop.errors import InvalidInputError, meant

Settings = TypeVar("Settings", bound=BaseModel)


def read_toml(path: Path, kind: type[Settings], **known: Any) -> Settings:
    """Read a TOML file into a type; ``known`` are fields that do not stand in the file.

    Raises
    ------
    InvalidInputError
        If the file is missing, is not TOML, or breaks a rule of the type; the sentence names the rule.
    """
    try:
        return kind(**known, **tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InvalidInputError(f"{path} is missing.") from None
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} is not valid TOML: {error}.") from None
    except ValidationError as error:
        raise InvalidInputError(f"{path} is not right: {first_validation_error(error, kind)}.") from None


def to_toml(table: Mapping[str, Any]) -> str:
    """Write a table as TOML, one line a key: a JSON string, number or boolean is a TOML one too; tables in it are inline."""
    return "".join(f"{_key(key)} = {_inline(value)}\n" for key, value in table.items())


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_inline(part)}" for key, part in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)


def first_validation_error(error: ValidationError, kind: type[BaseModel] | None = None) -> str:
    """Say the first thing that pydantic found wrong, with its place, in a few words.

    Parameters
    ----------
    kind
        The type that was asked for; its fields are named where one is unknown.
    """
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden" and kind is not None:
        known = _fields_at(kind, problem["loc"][:-1])
        if known:
            return f"there is no setting {place}{meant(str(problem['loc'][-1]), known)}; there are {', '.join(known)}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _fields_at(kind: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Name the fields of the table at a place; none where the place is no table of one type."""
    for part in place:
        field = kind.model_fields.get(str(part))
        inner = None if field is None else field.annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        kind = inner
    return list(kind.model_fields)
