"""Intensity statistics and local intensity (IBSI reference manual, sections of the same names)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.imaging import bounding_box
from preop.imaging.regions import Box
from preop.radiomics.preparation import RegionOfInterest

PEAK_RADIUS_MM = (3 / (4 * math.pi)) ** (1 / 3) * 10
"""Radius of a sphere of 1 cm3, over which a local peak is averaged."""
MAX_SUMMAND = 2**15
"""Whole numbers below it may be added up in 32 bits, for a sphere at a spacing of 0.3 mm has fewer than 2**16 voxels."""


def statistics(region: RegionOfInterest) -> dict[str, float]:
    """Compute the features ``stat_*`` of a region; skewness and kurtosis of a flat region are 0."""
    # Not as a product of vectors, for which numpy starts threads.
    energy = float(np.square(region.values).sum())
    return {f"stat_{name}": value for name, value in moments_and_quantiles(*_distinct(region.values)).items()} | {
        "stat_energy": energy,
        "stat_rms": math.sqrt(energy / region.values.size),
    }


def _distinct(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Whole numbers, such as HU, in ascending order, and how often each occurs; other values as they are."""
    first, last = values.min(), values.max()
    if last - first < values.size and first == np.rint(first):
        places = (values - first).astype(np.int64)
        if (places + first == values).all():
            counts = np.bincount(places)
            used = np.flatnonzero(counts)
            return used + first, counts[used].astype(np.float64)
    return values, None


def moments_and_quantiles(values: NDArray[np.float64], counts: NDArray[np.float64] | None) -> dict[str, float]:
    """Features that intensities and grey levels share; quotients by 0 are NaN.

    Parameters
    ----------
    values, counts
        Ascending values and how often each occurs, or all values in any order.
    """
    # The compiler behind the loops takes a third of a second to import.
    from preop.radiomics import kernels, order

    smallest, largest = float(values.min()), float(values.max())
    n = values.size if counts is None else int(counts.sum())
    ranks = [share * (n - 1) for share in (0.1, 0.25, 0.5, 0.75, 0.9)]
    places = np.array([side(rank) for rank in ranks for side in (math.floor, math.ceil)])
    if counts is None:
        mean, weights = float(values.mean()), np.ones(min(n, kernels.SUMMANDS))
        found = order.at_ranks(values, smallest, largest, places)
    else:
        mean, weights = float(values @ counts / n), counts
        found = values[np.searchsorted(counts.cumsum(), places, side="right")]
    # Interpolated between the two neighbours of a rank.
    p10, p25, median, p75, p90 = (
        float(below + (above - below) * (rank % 1))
        for rank, (below, above) in zip(ranks, found.reshape(5, 2), strict=True)
    )
    squares, cubes, fourth, absolute, from_median = (kernels.central_sums(values, weights, mean, median) / n).tolist()
    return {
        "mean": mean,
        "var": squares,
        "skew": cubes / squares**1.5 if squares > 0 else 0.0,
        "kurt": fourth / squares**2 - 3 if squares > 0 else 0.0,
        "median": median,
        "min": smallest,
        "p10": p10,
        "p90": p90,
        "max": largest,
        "iqr": p75 - p25,
        "range": largest - smallest,
        "mad": absolute,
        "rmad": order.absolute_deviation_between(values, weights, p10, p90),
        "medad": from_median,
        "cov": math.sqrt(squares) / mean if mean != 0 else math.nan,
        "qcod": (p75 - p25) / (p75 + p25) if p75 + p25 != 0 else math.nan,
    }


def local_intensity(region: RegionOfInterest) -> dict[str, float]:
    """Compute the features ``loc_*``: means over 1 cm3 around the brightest voxel, and the largest such mean.

    The sphere may reach beyond the region, not beyond the image: ``region`` needs a margin of ``PEAK_RADIUS_MM``.
    """
    halves = _sphere_columns(region.spacing_mm)
    far = np.array((len(halves) - 1, halves.shape[1] - 1, halves.max()))
    # The part of the image that spheres around the region's voxels reach, with nothing beyond the image.
    box = bounding_box(region.intensity)
    start, stop = (np.array([getattr(part, end) for part in box]) for end in ("start", "stop"))
    low, high = np.maximum(start - far, 0), np.minimum(stop + far, region.intensities.shape)
    reached = region.intensities[tuple(map(slice, low, high))]
    # Sums of differences from the mean are small, and so is what rounding takes from them; of whole numbers there is none.
    middle = float(np.rint(reached.mean()))
    around = _differences(reached, middle, low - start + far, stop + 2 * far - start)
    inside = region.intensity[box]
    means = _sphere_sums(around, halves)[inside] / _voxels_in_spheres(region.intensities.shape, halves, box)[inside]
    values = region.values
    return {
        "loc_peak_loc": float(means[values == values.max()].max() + middle),
        "loc_peak_glob": float(means.max() + middle),
    }


def _sphere_sums(values: NDArray[Any], halves: NDArray[np.int64]) -> NDArray[Any]:
    """Sums over spheres around the voxels of an image within its border."""
    # The compiler behind the loop takes a third of a second to import.
    from preop.radiomics import kernels

    reach = (len(halves) - 1, halves.shape[1] - 1, int(halves.max()))
    found = np.zeros([n - 2 * far for n, far in zip(values.shape, reach, strict=True)], dtype=values.dtype)
    kernels.sphere_sums(values, halves, found)
    return found


def _differences(
    values: NDArray[np.float64], middle: float, first: NDArray[np.intp], shape: NDArray[np.intp]
) -> NDArray[np.float64] | NDArray[np.int32]:
    """Differences of an image from a whole number, from the place ``first`` on in a larger image of nothing.

    Whole numbers of which millions can be added without a loss as such, in half the memory.
    """
    # The compiler behind the loop takes a third of a second to import.
    from preop.radiomics import kernels

    whole = np.zeros(shape, dtype=np.int32)
    if kernels.write_whole(values, middle, MAX_SUMMAND, first, whole):
        return whole
    return np.pad(values - middle, list(zip(first, shape - first - values.shape, strict=True)))


def _sphere_columns(spacing_mm: tuple[float, ...]) -> NDArray[np.int64]:
    """Half the length along x, in voxels, of a sphere's columns by distance in z and y; -1 where it has none."""
    dz, dy = (np.arange(int(PEAK_RADIUS_MM / s) + 1) * s for s in spacing_mm[:2])
    room = PEAK_RADIUS_MM**2 - dz[:, None] ** 2 - dy[None, :] ** 2
    return np.where(room >= 0, (np.sqrt(np.maximum(room, 0)) / spacing_mm[2]).astype(np.int64), -1)


def _voxels_in_spheres(shape: tuple[int, ...], halves: NDArray[np.int64], box: Box) -> NDArray[np.int32]:
    """Number of voxels in spheres around voxels of a box of an image: those in the middle of it have equally many."""
    reach = (len(halves) - 1, halves.shape[1] - 1, int(halves.max()))
    small = [min(n, 2 * far + 1) for n, far in zip(shape, reach, strict=True)]
    counts = _sphere_sums(np.pad(np.ones(small, dtype=np.int32), [(far, far) for far in reach]), halves)
    places = (np.arange(part.start, part.stop) for part in box)
    index = (
        np.minimum(place, far) + np.maximum(place - max(n - 1 - far, far), 0)
        for place, n, far in zip(places, shape, reach, strict=True)
    )
    return np.asarray(counts[np.ix_(*index)])
