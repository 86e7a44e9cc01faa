"""Random fields with a stated correlation length: tissue texture, scanner noise, and how a reader's hand wanders.

A field here is white noise through a Gaussian filter of width s, so its values at a distance d correlate by
exp(-d^2 / 4 s^2). The correlation length is the distance at which that is 1/e, 2 s.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Geometry, Image

# Linear interpolation between knots this close keeps nine tenths of the variance everywhere.
KNOTS_PER_CORRELATION_LENGTH = 3
# Noise drawn around the edge of fewer knots than this would meet itself.
MIN_KNOTS = 12


def random_field(rng: np.random.Generator, box: Geometry, correlation_mm: tuple[float, float, float]) -> Image:
    """Draw a smooth field that is a function of the place, so that several scanners can look at the same one.

    Sample it on a scanner's grid with ``preop.imaging.resample_like(field, grid, interpolation="linear")``.

    Parameters
    ----------
    box
        The space that the field covers; its spacing does not matter.
    correlation_mm
        Correlation length along z, y, x of the box.

    Returns
    -------
    Knots over the box and perhaps beyond, float32, from a distribution with mean 0 and standard deviation 1.
    """
    spacing = tuple(length / KNOTS_PER_CORRELATION_LENGTH for length in correlation_mm)
    last = [(size - 1) * old / new for size, old, new in zip(box.shape, box.spacing_mm, spacing, strict=True)]
    shape = tuple(max(math.ceil(knots) + 1, MIN_KNOTS) for knots in last)
    voxels = correlated_noise(rng, shape, spacing, correlation_mm)
    return Image(voxels, Geometry(shape, spacing, box.origin_mm, box.direction))


def correlated_noise(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    spacing_mm: tuple[float, ...],
    correlation_mm: tuple[float, ...],
) -> NDArray[np.float32]:
    """Draw Gaussian noise on a grid: mean 0, standard deviation 1, correlation lengths along the grid's axes."""
    from scipy import ndimage

    noise = rng.standard_normal(shape, dtype=np.float32)
    for axis, (length, spacing) in enumerate(zip(correlation_mm, spacing_mm, strict=True)):
        width_voxels = length / 2 / spacing
        # Around the edge: the noise of a border voxel then has as many sources as any other.
        noise = ndimage.gaussian_filter1d(noise, width_voxels, axis=axis, mode="wrap")
        noise /= _gain(width_voxels)
    return noise


@lru_cache
def _gain(width_voxels: float) -> np.float32:
    """Factor by which the Gaussian filter lowers the standard deviation of white noise along one axis."""
    from scipy import ndimage

    impulse = np.zeros(2 * math.ceil(4 * width_voxels) + 3)
    impulse[impulse.size // 2] = 1
    return np.float32(np.linalg.norm(ndimage.gaussian_filter1d(impulse, width_voxels)))
