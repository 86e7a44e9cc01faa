"""Readers: how a person contours what a scan shows."""

from __future__ import annotations

import numpy as np

from preop.imaging import Image, resample_like
from preop.simulation.fields import random_field


def draw_contour(
    rng: np.random.Generator, distance_mm: Image, *, habit_mm: float, wander_mm: float, stroke_mm: float = 12.0
) -> Image:
    """Draw a mask slice by slice as a reader would, from the signed distance to the true surface on the scan's grid.

    Parameters
    ----------
    habit_mm
        Standard deviation of how far out a reader draws everywhere.
    wander_mm
        Standard deviation of the hand around that, from stroke to stroke and from slice to slice.
    stroke_mm
        Correlation length of the hand along the contour.
    """
    grid = distance_mm.geometry
    hand = random_field(rng, grid, (grid.spacing_mm[0], stroke_mm, stroke_mm))
    drawn_at_mm = (
        habit_mm * rng.standard_normal() + wander_mm * resample_like(hand, grid, interpolation="linear").voxels
    )
    return Image(np.asarray(distance_mm.voxels < drawn_at_mm), grid)
