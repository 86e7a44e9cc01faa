"""Intensity statistics and local intensity (IBSI reference manual, sections of the same names)."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from preop.radiomics.preparation import RegionOfInterest

PEAK_RADIUS_MM = (3 / (4 * math.pi)) ** (1 / 3) * 10
"""Radius of a sphere of 1 cm3, over which a local peak is averaged."""


def statistics(region: RegionOfInterest) -> dict[str, float]:
    """Compute the features ``stat_*`` of a region; skewness and kurtosis of a flat region are 0."""
    values = region.values
    return {f"stat_{name}": value for name, value in moments_and_quantiles(np.sort(values)).items()} | {
        "stat_energy": float(values @ values),
        "stat_rms": math.sqrt(values @ values / values.size),
    }


def moments_and_quantiles(ordered: NDArray[np.float64]) -> dict[str, float]:
    """Features that intensities and grey levels share, of values in ascending order; quotients by 0 are NaN."""
    mean = float(ordered.mean())
    deviation = ordered - mean
    squares = deviation * deviation
    variance = float(squares.mean())
    p10, p25, median, p75, p90 = (_quantile(ordered, q) for q in (0.1, 0.25, 0.5, 0.75, 0.9))
    middle = ordered[np.searchsorted(ordered, p10, side="left") : np.searchsorted(ordered, p90, side="right")]
    return {
        "mean": mean,
        "var": variance,
        "skew": float((squares * deviation).mean()) / variance**1.5 if variance > 0 else 0.0,
        "kurt": float((squares * squares).mean()) / variance**2 - 3 if variance > 0 else 0.0,
        "median": median,
        "min": float(ordered[0]),
        "p10": p10,
        "p90": p90,
        "max": float(ordered[-1]),
        "iqr": p75 - p25,
        "range": float(ordered[-1] - ordered[0]),
        "mad": float(np.abs(deviation).mean()),
        "rmad": float(np.abs(middle - middle.mean()).mean()) if len(middle) else math.nan,
        "medad": float(np.abs(ordered - median).mean()),
        "cov": math.sqrt(variance) / mean if mean != 0 else math.nan,
        "qcod": (p75 - p25) / (p75 + p25) if p75 + p25 != 0 else math.nan,
    }


def _quantile(ordered: NDArray[np.float64], q: float) -> float:
    """Quantile of values in ascending order, interpolated between the two neighbours of its rank."""
    rank = q * (len(ordered) - 1)
    below = ordered[math.floor(rank)]
    return float(below + (ordered[math.ceil(rank)] - below) * (rank % 1))


def local_intensity(region: RegionOfInterest) -> dict[str, float]:
    """Compute the features ``loc_*``: means over 1 cm3 around the brightest voxel, and the largest such mean.

    The sphere may reach beyond the region, not beyond the image: ``region`` needs a margin of ``PEAK_RADIUS_MM``.
    """
    # The compiler behind the loop takes a third of a second to import.
    from preop.radiomics import kernels

    columns = _sphere_columns(region.spacing_mm)
    reach = int(columns[:, 2].max())
    # Sums of differences from the mean are small, and so is what rounding takes from them.
    middle = region.intensities.mean()
    sums = np.pad(np.cumsum(region.intensities - middle, axis=2), ((0, 0), (0, 0), (reach + 1, 0)))
    sums = np.pad(sums, ((0, 0), (0, 0), (0, reach)), mode="edge")
    brightest = region.intensity & (region.intensities == region.values.max())
    around_brightest, around_any = kernels.sphere_peaks(sums, region.intensity, brightest, columns, reach)
    return {"loc_peak_loc": float(around_brightest + middle), "loc_peak_glob": float(around_any + middle)}


def _sphere_columns(spacing_mm: tuple[float, ...]) -> NDArray[np.int64]:
    """Columns of a sphere along x (n, 3): distance in z and y, and half the length, in voxels."""
    dz, dy = (int(PEAK_RADIUS_MM / s) for s in spacing_mm[:2])
    columns = []
    for z, y in itertools.product(range(-dz, dz + 1), range(-dy, dy + 1)):
        room = PEAK_RADIUS_MM**2 - (z * spacing_mm[0]) ** 2 - (y * spacing_mm[1]) ** 2
        if room >= 0:
            columns.append((z, y, int(math.sqrt(room) / spacing_mm[2])))
    return np.array(columns)
