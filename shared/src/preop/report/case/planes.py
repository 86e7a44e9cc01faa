"""Slices as radiologists look at them: turned the usual way, lettered, in a window, with a bar for the scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Geometry, Image, reorient, slice_axis
from preop.report.case.content import PointMm, Window

Plane = Literal["axial", "coronal", "sagittal"]
Grey = NDArray[np.uint8]

# Where columns, rows and slices run to: a patient seen from the feet, from the front, or from the left.
_USUAL: dict[Plane, str] = {"axial": "LPI", "coronal": "LIP", "sagittal": "PIL"}
_ACROSS: dict[int, Plane] = {0: "sagittal", 1: "coronal", 2: "axial"}
_LETTERS = (("L", "R"), ("P", "A"), ("H", "F"))

OBLIQUE = 0.2588
"""A direction has a second letter from 15 degrees on (sine)."""

BARS_MM = (1000.0, 500.0, 200.0, 100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
BAR_SHARE = 0.3
"""A bar is the longest of these lengths that is no longer than this share of the width."""


@dataclass(frozen=True)
class Letters:
    """What lies at each edge of a slice: R, L, A, P, H (head), F (feet); two or three of them where it is oblique."""

    left: str
    right: str
    top: str
    bottom: str


def plane_of(geometry: Geometry) -> Plane:
    """Tell in which plane a scan was acquired or rebuilt: the nearest one, where it is oblique."""
    # The first index of a direction is that of the world axis, its columns are the array's axes, x first.
    across = np.reshape(geometry.direction, (3, 3))[:, 2 - slice_axis(geometry)]
    return _ACROSS[int(np.abs(across).argmax())]


def as_displayed(image: Image, plane: Plane) -> Image:
    """Turn a scan or mask (z, y, x) to the usual view of a plane: slices, rows, columns, without resampling.

    Slices run from head to feet, from front to back, or from right to left.
    """
    return reorient(image, _USUAL[plane])


def letters_of(displayed: Geometry) -> Letters:
    """Say what lies at the edges of the slices of a displayed image, by its direction matrix."""
    columns = np.reshape(displayed.direction, (3, 3)).T
    right, bottom = columns[0], columns[1]
    return Letters(_letters(-right), _letters(right), _letters(-bottom), _letters(bottom))


def _letters(direction: NDArray[np.floating[Any]]) -> str:
    """Name a direction in the LPS system, the largest part first."""
    order = np.argsort(-np.abs(direction), kind="stable")
    return "".join(
        _LETTERS[axis][0 if direction[axis] > 0 else 1] for axis in order.tolist() if abs(direction[axis]) > OBLIQUE
    )


def slice_through(displayed: Geometry, position_mm: PointMm) -> tuple[int, float, float]:
    """Find a place in a displayed image: its slice, and row and column in pixels from the first pixel's centre."""
    at, row, column = displayed.index_zyx(np.array([position_mm]))[0].tolist()
    return min(max(round(at), 0), displayed.shape[0] - 1), row, column


def to_grey(values: NDArray[Any], window: Window) -> Grey:
    """Map values to 0 to 255 by a window."""
    shown = np.clip((values.astype(np.float32) - window.low) / (window.high - window.low), 0, 1)
    return np.asarray(np.rint(255 * (1 - shown if window.inverted else shown)), dtype=np.uint8)


def bar_mm(width_mm: float) -> float:
    """Length of the scale bar of a picture."""
    return next((length for length in BARS_MM if length <= BAR_SHARE * width_mm), BARS_MM[-1])


def bar_in_words(length_mm: float) -> str:
    """Write the length of a scale bar."""
    if length_mm >= 10:
        return f"{length_mm / 10:g} cm"
    return f"{length_mm:g} mm" if length_mm >= 1 else f"{1000 * length_mm:g} \N{MICRO SIGN}m"
