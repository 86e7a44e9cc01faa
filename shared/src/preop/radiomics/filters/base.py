"""What all filters have in common (IBSI-2 reference manual, chapter "Convolutional filters")."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from preop.imaging import Image
from preop.imaging.regions import Box

Voxels = NDArray[np.float64]
Rows = NDArray[np.int64]
"""First and last but one voxel that is needed, of each row (z, y, 2) of a box."""
Boundary = Literal["zero", "nearest", "periodic", "mirror"]
Pooling = Literal["average", "max"]

PAD_MODE: dict[Boundary, Literal["constant", "edge", "wrap", "symmetric"]] = {
    "zero": "constant",
    "nearest": "edge",
    "periodic": "wrap",
    "mirror": "symmetric",
}


class BaseFilter(BaseModel, ABC):
    """A filter and its parameters; distances in mm are of the patient, not of the grid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by_slice: bool = Field(default=False, description="Filter each slice by itself.")
    boundary: Boundary = Field(default="mirror", description="How the image goes on beyond its edge.")

    @property
    @abstractmethod
    def name(self) -> str:
        """What stands before the feature's tag, such as ``log_2mm``."""

    def apply(self, image: Image) -> Image:
        """Compute the response map of a three-dimensional image."""
        return image.with_voxels(self.within(image, tuple(slice(0, n) for n in image.shape)))

    @abstractmethod
    def within(self, image: Image, box: Box, rows: Rows | None = None) -> Voxels:
        """Compute the part of the response map that lies in a box; voxels around it have their influence on it.

        Where ``rows`` says what is needed of each row of the box, the rest may hold anything.
        """

    @property
    def beginning(self) -> Hashable:
        """What is equal for filters that are computed together, because their computation begins alike."""
        return self.name

    @classmethod
    def together(
        cls, filters: Sequence[BaseFilter], image: Image, box: Box, rows: Rows | None = None
    ) -> Iterator[tuple[BaseFilter, Voxels]]:
        """Compute what ``within`` does for filters that begin alike, one response after the other."""
        for each in filters:
            yield each, each.within(image, box, rows)

    @abstractmethod
    def reach_mm(self, spacing_mm: tuple[float, ...]) -> float:
        """Distance beyond which the image has no influence on a voxel's response; infinite without a limit."""

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes that are filtered."""
        return (1, 2) if self.by_slice else (0, 1, 2)

    @property
    def _suffix(self) -> str:
        return "_2D" if self.by_slice else ""


def number(value: float) -> str:
    """Write a number so that it can stand in a column's name: 1.5 as ``1p5``."""
    return f"{value:g}".replace(".", "p")


def reach_of_taps(taps: int, spacing_mm: tuple[float, ...]) -> float:
    """Reach in mm of a kernel of so many voxels along each axis."""
    return math.ceil(taps / 2) * max(spacing_mm)
