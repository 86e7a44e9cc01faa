"""Intensity statistics and local intensity (IBSI reference manual, sections of the same names)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.radiomics.preparation import Region

PEAK_RADIUS_MM = (3 / (4 * math.pi)) ** (1 / 3) * 10
"""Radius of a sphere of 1 cm3, over which a local peak is averaged."""


def statistics(region: Region) -> dict[str, float]:
    """Compute the features ``stat_*`` of a region; skewness and kurtosis of a flat region are 0, as in the standard."""
    values = region.values
    return {f"stat_{name}": value for name, value in moments_and_quantiles(values).items()} | {
        "stat_energy": float((values**2).sum()),
        "stat_rms": float(np.sqrt((values**2).mean())),
    }


def moments_and_quantiles(values: NDArray[Any]) -> dict[str, float]:
    """Features that intensities and grey levels share; quotients by 0 and means of nothing are NaN."""
    mean, median = float(values.mean()), float(np.median(values))
    deviation = values - mean
    variance = float((deviation**2).mean())
    p10, p25, p75, p90 = map(float, np.percentile(values, (10, 25, 75, 90)))
    middle = values[(values >= p10) & (values <= p90)]
    return {
        "mean": mean,
        "var": variance,
        "skew": float((deviation**3).mean()) / variance**1.5 if variance > 0 else 0.0,
        "kurt": float((deviation**4).mean()) / variance**2 - 3 if variance > 0 else 0.0,
        "median": median,
        "min": float(values.min()),
        "p10": p10,
        "p90": p90,
        "max": float(values.max()),
        "iqr": p75 - p25,
        "range": float(values.max() - values.min()),
        "mad": float(np.abs(deviation).mean()),
        "rmad": float(np.abs(middle - middle.mean()).mean()) if len(middle) else math.nan,
        "medad": float(np.abs(values - median).mean()),
        "cov": math.sqrt(variance) / mean if mean != 0 else math.nan,
        "qcod": (p75 - p25) / (p75 + p25) if p75 + p25 != 0 else math.nan,
    }


def local_intensity(region: Region) -> dict[str, float]:
    """Compute the features ``loc_*``: means over 1 cm3 around the brightest voxel, and the largest such mean.

    The sphere may reach beyond the region, not beyond the image: ``region`` needs a margin of ``PEAK_RADIUS_MM``.
    """
    peaks = _sphere_means(region.intensities, region.spacing_mm)[region.intensity]
    values = region.values
    return {"loc_peak_loc": float(peaks[values == values.max()].max()), "loc_peak_glob": float(peaks.max())}


def _sphere_means(intensities: NDArray[np.float64], spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Mean over the voxels of the image whose centres lie within the sphere around each voxel."""
    from scipy import signal

    reach = [int(PEAK_RADIUS_MM / s) for s in spacing_mm]
    offsets = np.meshgrid(*(np.arange(-r, r + 1) * s for r, s in zip(reach, spacing_mm, strict=True)), indexing="ij")
    sphere = (sum(offset**2 for offset in offsets) <= PEAK_RADIUS_MM**2).astype(np.float64)
    # Centred on the mean, so that the transform's rounding is small beside the intensities' differences.
    middle = float(intensities.mean())
    total = signal.fftconvolve(intensities - middle, sphere, mode="same")
    count = np.rint(signal.fftconvolve(np.ones_like(intensities), sphere, mode="same"))
    return np.asarray(total / count + middle)
