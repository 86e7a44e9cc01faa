"""Settings of a training run: a TOML file against the algorithm's own list of what can be set."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import first_problem

Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(path: Path | None, kind: type[Settings]) -> Settings:
    """Read settings of a kind; without a file, its defaults.

    Raises
    ------
    InvalidInputError
        If the file is missing, is not TOML, or names something that cannot be set.
    """
    if path is None:
        return kind()
    try:
        return kind(**tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InvalidInputError(f"The settings {path} cannot be read: {error.strerror}.") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"{path} is not valid TOML: {error}.") from None
    except ValidationError as error:
        raise InvalidInputError(f"{path} is not right: {first_problem(error)}.") from None
