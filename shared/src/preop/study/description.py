"""What a model folder says of its own model beside the weights: one JSON file, read into a type of the study."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from preop.errors import InvalidInputError, InvalidModelError
from preop.grandchallenge.values import non_finite_place, read_json
from preop.toml import first_validation_error

Content = TypeVar("Content", bound=BaseModel)


class Range(BaseModel):
    """Smallest and largest value among the training patients."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float], digits: int = 2) -> Self:
        """Take the smallest and the largest value, rounded outwards."""
        known, scale = list(values), 10**digits
        return cls(low=math.floor(min(known) * scale) / scale, high=math.ceil(max(known) * scale) / scale)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


def read_description(folder: Path, file: str, kind: type[Content]) -> Content:
    """Read the description of a model.

    Raises
    ------
    InvalidModelError
        If it is missing, lacks an entry, even one with a default, breaks a rule of the type, or holds a number that is
        not finite.
    """
    path = folder / file
    if not path.is_file():
        raise InvalidModelError(f"The model in {folder} is incomplete: {file} is missing.")
    try:
        document = read_json(path)
        content = kind.model_validate_json(path.read_bytes(), strict=True)
    except InvalidInputError as error:
        raise InvalidModelError(f"The model in {folder} is damaged: {error}") from None
    except ValidationError as error:
        raise InvalidModelError(f"The model in {folder} is damaged: {file}, {first_validation_error(error)}.") from None
    if (place := non_finite_place(document)) is not None:  # 1e999 is JSON, and infinite
        raise InvalidModelError(f"The model in {folder} is damaged: {file}{place} is not a finite number.")
    if (missing := left_to_default(content)) is not None:
        raise InvalidModelError(f"The model in {folder} is damaged: {file}, {missing}: Field required.")
    return content


def left_to_default(content: object) -> str | None:
    """Give the place of the first field that a document leaves to a default; None where it states all of them.

    Defaults change with the software, and what was written with a model does not.
    """
    parts: Iterable[tuple[object, object]] = ()
    if isinstance(content, BaseModel):
        for name in type(content).model_fields:
            if name not in content.model_fields_set:
                return name
        parts = content
    elif isinstance(content, Mapping):
        parts = content.items()
    elif isinstance(content, (list, tuple)):
        parts = enumerate(content)
    for key, part in parts:
        if (place := left_to_default(part)) is not None:
            return f"{key}.{place}"
    return None
