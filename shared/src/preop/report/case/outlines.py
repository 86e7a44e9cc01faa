"""Outlines of masks as paths of SVG: drawn over a raster they stay sharp at any size, and can be switched off."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

UNITS_PER_PIXEL = 2
"""A path counts in half pixels, from the outer corner of the first pixel: so all its numbers are whole."""

# Directions along the sides of pixels, clockwise on the screen: right, down, left, up.
_STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))


def outline(mask: NDArray[Any], corner: tuple[int, int] = (0, 0)) -> str:
    """Trace the border of a mask through the middles of the sides between inside and outside; holes have theirs too.

    That is the line on which linear interpolation of the mask is one half (marching squares; Lorensen and Cline 1987 in two
    dimensions), with parts that only touch at a corner apart.

    Parameters
    ----------
    mask
        (y, x); what is not 0 is inside.
    corner
        Row and column of its first pixel in the picture that it was cut out of.

    Returns
    -------
    The ``d`` of a path, x before y, in half pixels; empty without a voxel inside.
    """
    sides = _sides(mask != 0)
    paths = []
    while sides:
        paths.append(_path(_loop(sides), corner))
    return "".join(paths)


def label_place(mask: NDArray[Any], corner: tuple[int, int] = (0, 0)) -> tuple[float, float]:
    """Find where to write a name: the pixel of a mask (y, x) nearest to its centre of mass, in half pixels, x before y."""
    inside = np.argwhere(mask) + corner
    nearest = inside[((inside - inside.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    y, x = (UNITS_PER_PIXEL * (nearest + 0.5)).tolist()
    return x, y


Side = tuple[int, int, int]
"""Where a side begins, x and y, and its direction."""


def _sides(inside: NDArray[np.bool_]) -> dict[Side, None]:
    """Find all sides between inside and outside, with the inside to the right of the way, in a fixed order."""
    padded = np.pad(inside, 1)
    centre = padded[1:-1, 1:-1]
    outside = {
        0: ~padded[:-2, 1:-1],  # above: along the upper side to the right
        1: ~padded[1:-1, 2:],
        2: ~padded[2:, 1:-1],
        3: ~padded[1:-1, :-2],
    }
    starts = ((0, 0), (1, 0), (1, 1), (0, 1))
    found: dict[Side, None] = {}
    for direction, beyond in outside.items():
        x, y = starts[direction]
        for row, column in np.argwhere(centre & beyond).tolist():
            found[column + x, row + y, direction] = None
    return found


def _loop(sides: dict[Side, None]) -> list[tuple[int, int]]:
    """Take one closed way out of the sides, as the middles of its sides in half pixels."""
    first = side = next(iter(sides))
    points = []
    while True:
        x, y, direction = side
        del sides[side]
        dx, dy = _STEPS[direction]
        points.append((2 * x + dx, 2 * y + dy))
        onwards = ((x + dx, y + dy, (direction + turn) % 4) for turn in (1, 0, -1))
        side = next(each for each in onwards if each == first or each in sides)
        if side == first:
            return points


def _path(points: list[tuple[int, int]], corner: tuple[int, int]) -> str:
    """Write a closed way, with points left out that lie on a straight line between others."""
    steps: list[list[int]] = []
    for (x, y), (next_x, next_y) in zip(points, [*points[1:], points[0]], strict=True):
        step = [next_x - x, next_y - y]
        # Diagonal steps are one half pixel each way, straight ones two.
        if steps and _same_direction(steps[-1], step):
            steps[-1] = [steps[-1][0] + step[0], steps[-1][1] + step[1]]
        else:
            steps.append(step)
    x, y = points[0][0] + UNITS_PER_PIXEL * corner[1], points[0][1] + UNITS_PER_PIXEL * corner[0]
    return f"M{x} {y}l" + " ".join(f"{dx} {dy}" for dx, dy in steps[:-1]) + "z"


def _same_direction(one: list[int], other: list[int]) -> bool:
    return one[0] * other[1] == one[1] * other[0] and one[0] * other[0] + one[1] * other[1] > 0
