"""What the readers of slides share: stored levels, and the tiles that a file holds of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.tables import number

Pixels = NDArray[np.uint8]

Resolution = tuple[float, float]
"""Micrometres per pixel along y and x."""

WHITE = 255
"""What lies outside a slide, or was never scanned."""

RESOLUTIONS_UM = (0.05, 20.0)
"""Micrometres per pixel that a scanner can have; whoever writes a TIFF without knowing leaves 72 dpi or 1 pixel per mm."""

SAME_RESOLUTION = 1.02
"""Two resolutions whose ratio is smaller are the same: scanners of one model differ by as much."""

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


def closed(path: Path) -> ValueError:
    """Error of a slide that is read after it was closed."""
    return ValueError(f"{path.name} is closed; read it before that, or open it again.")


def number_in(text: str) -> float | None:
    """A number that a program wrote, with a decimal point or, in some countries, a comma; None if it is none."""
    try:
        return number(text.replace(",", "."), "")
    except InvalidInputError:
        return None


def on_white(pixels: NDArray[Any]) -> Pixels:
    """Lay RGBA (height, width, 4) of 8 bits over white, where it is transparent."""
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    if alpha.min(initial=WHITE) == WHITE:
        return np.ascontiguousarray(colours)
    share = alpha.astype(np.float32) / WHITE
    return np.asarray(np.rint(colours * share + WHITE * (1 - share)), np.uint8)


def levels_of(
    path: Path,
    shapes: list[tuple[int, int]],
    tile_shapes: list[tuple[int, int]],
    stated: Sequence[Resolution],
    given: float | None = None,
) -> tuple[Level, ...]:
    """Check the levels of a slide, finest first.

    Every level's resolution follows from its size: TIFF writers commonly repeat the finest level's tags in all levels.

    Parameters
    ----------
    stated
        Resolutions of the finest level that the file states, in all the places where it does.
    given
        Micrometres per pixel of the finest level by the user.

    Raises
    ------
    InvalidInputError
        If the resolution is missing, impossible or contradictory, or there is no level small enough to look at the whole
        slide.
    """
    um_per_pixel = _resolution(path, stated, given)
    if max(um_per_pixel) > SAME_RESOLUTION * min(um_per_pixel):
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


def _resolution(path: Path, stated: Sequence[Resolution], given: float | None) -> Resolution:
    """Choose the resolution of the finest level."""
    lowest, highest = RESOLUTIONS_UM
    possible = [pair for pair in stated if all(lowest <= value <= highest for value in pair)]
    if given is not None:
        if not lowest <= given <= highest:
            raise InvalidInputError(
                f"{given:.4g} micrometres per pixel were given for {path.name}; expected {lowest:g} to {highest:g}."
            )
        if possible and not any(_same(pair, (given, given)) for pair in possible):
            raise InvalidInputError(
                f"{path.name} states {possible[0][0]:.4g} micrometres per pixel, and {given:.4g} were given; leave out the "
                "given ones, or export the slide again with the right ones."
            )
        return next((pair for pair in possible if _same(pair, (given, given))), (given, given))
    if not stated:
        raise InvalidInputError(
            f"{path.name} does not state its resolution; expected micrometres per pixel, in a TIFF as resolution with the unit "
            "inch or centimetre: give it with --mpp, or export the slide again with its resolution."
        )
    if not possible:
        raise InvalidInputError(
            f"{path.name} states {stated[0][0]:.4g} micrometres per pixel; expected {lowest:g} to {highest:g}: the program "
            "that wrote it did not know the resolution; give it with --mpp, or export the slide again."
        )
    if not all(_same(pair, possible[0]) for pair in possible):
        raise InvalidInputError(
            f"{path.name} states {' and '.join(f'{pair[0]:.4g}' for pair in possible)} micrometres per pixel in two places: give "
            "the right one with --mpp."
        )
    return possible[0]


def _same(first: Resolution, second: Resolution) -> bool:
    return all(1 / SAME_RESOLUTION <= a / b <= SAME_RESOLUTION for a, b in zip(first, second, strict=True))


def _factor(finest: tuple[int, int], coarser: tuple[int, int]) -> float:
    """How many times smaller a level is; a whole number where rounding the sides can explain the difference."""
    factor = max(finest) / max(coarser)
    whole = round(factor)
    exact = all(abs(large / whole - small) <= 1 for large, small in zip(finest, coarser, strict=True))
    return float(whole) if exact else factor
