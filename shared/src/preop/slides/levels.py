"""What the readers of slides share: stored levels, and the tiles that a file holds of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError

Pixels = NDArray[np.uint8]

WHITE = 255
"""What lies outside a slide, or was never scanned."""

RESOLUTIONS_UM = (0.05, 20.0)
"""Micrometres per pixel that a scanner can have; whoever writes a TIFF without knowing leaves 72 dpi or 1 pixel per mm."""

LARGEST_COARSEST_LEVEL_PX = 8192
"""Side of the coarsest level from which an overview can be made in about 200 MB."""


@dataclass(frozen=True)
class Level:
    """One resolution of a slide, as it is stored.

    Attributes
    ----------
    shape
        Pixels (height, width).
    tile_shape
        Pixels (height, width) of the tiles that are decoded as one.
    um_per_pixel
        Edge of a pixel.
    """

    shape: tuple[int, int]
    tile_shape: tuple[int, int]
    um_per_pixel: float


class Reader(ABC):
    """A slide's file: its levels, and their stored tiles. Safe to use from several threads at a time.

    Attributes
    ----------
    levels
        Finest first.
    """

    levels: tuple[Level, ...]

    @abstractmethod
    def read_tile(self, level: int, row: int, column: int, out: Pixels | None = None) -> Pixels:
        """Decode a stored tile to RGB (tile height, tile width, 3); the part outside the level is not specified.

        Parameters
        ----------
        out
            An array that may be filled and returned: new memory costs a third of the time of a small tile.
        """

    def in_storage_order(self, level: int, tiles: NDArray[np.intp]) -> NDArray[np.intp]:  # noqa: ARG002
        """Sort stored tiles (n, 2), as row and column, by where they lie in the file; row by row if that is not known."""
        return tiles[np.lexsort((tiles[:, 1], tiles[:, 0]))]

    @abstractmethod
    def close(self) -> None:
        """Close the file."""


def levels_of(
    path: Path,
    shapes: list[tuple[int, int]],
    tile_shapes: list[tuple[int, int]],
    um_per_pixel: tuple[float, float] | None,
) -> tuple[Level, ...]:
    """Check the levels of a slide, finest first.

    Every level's resolution follows from its size: TIFF writers commonly repeat the finest level's tags in all levels.

    Parameters
    ----------
    um_per_pixel
        Of the finest level, along y and x; None where the file does not state it.

    Raises
    ------
    InvalidInputError
        If the resolution is missing or impossible, or there is no level small enough to look at the whole slide.
    """
    if um_per_pixel is None:
        raise InvalidInputError(
            f"{path.name} does not state its resolution; expected micrometres per pixel, in a TIFF as resolution with the unit "
            "inch or centimetre: export the slide again with its resolution."
        )
    lowest, highest = RESOLUTIONS_UM
    if not all(lowest <= value <= highest for value in um_per_pixel):
        raise InvalidInputError(
            f"{path.name} states {um_per_pixel[0]:.4g} micrometres per pixel; expected {lowest:g} to {highest:g}: the program "
            "that wrote it did not know the resolution, so export the slide again."
        )
    if max(um_per_pixel) > 1.02 * min(um_per_pixel):
        raise InvalidInputError(
            f"{path.name} has pixels of {um_per_pixel[1]:.4g} x {um_per_pixel[0]:.4g} micrometres; expected square ones."
        )
    finest_um = float(np.sqrt(um_per_pixel[0] * um_per_pixel[1]))
    levels = tuple(
        Level(shape, tile, finest_um * _factor(shapes[0], shape))
        for shape, tile in zip(shapes, tile_shapes, strict=True)
    )
    coarsest = levels[-1].shape
    if max(coarsest) > LARGEST_COARSEST_LEVEL_PX:
        raise InvalidInputError(
            f"{path.name} has {'a single level' if len(levels) == 1 else 'no level smaller than one'} of {coarsest[1]} x "
            f"{coarsest[0]} pixels; expected a pyramid that reaches down to {LARGEST_COARSEST_LEVEL_PX} or fewer: convert it, for "
            "example with: vips tiffsave IN OUT --tile --pyramid --compression jpeg --bigtiff."
        )
    return levels


def _factor(finest: tuple[int, int], coarser: tuple[int, int]) -> float:
    """How many times smaller a level is; a whole number where rounding the sides can explain the difference."""
    factor = max(finest) / max(coarser)
    whole = round(factor)
    exact = all(abs(large / whole - small) <= 1 for large, small in zip(finest, coarser, strict=True))
    return float(whole) if exact else factor
