"""What a model folder says of its own model beside the weights: one JSON file, read into a type of the study."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from preop.errors import InvalidModelError
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
        If it is missing, an entry is of another type (text for a number, too), or it breaks a rule of the type.
    """
    try:
        return kind.model_validate_json((folder / file).read_bytes(), strict=True)
    except OSError:
        raise InvalidModelError(f"The model in {folder} is incomplete: {file} is missing.") from None
    except ValidationError as error:
        raise InvalidModelError(f"The model in {folder} is damaged: {file}, {first_validation_error(error)}.") from None
