"""Intensity histogram and intensity-volume histogram (IBSI reference manual, sections of the same names)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.radiomics.intensity import moments_and_quantiles
from preop.radiomics.preparation import GreyLevels, RegionOfInterest, discrete
from preop.radiomics.settings import FixedBinNumber, FixedBinSize, Settings

CONTINUOUS_STEPS = FixedBinNumber(count=1000)
"""The standard's proposal for intensities without a natural step."""


def intensity_histogram(grey_levels: GreyLevels) -> dict[str, float]:
    """Compute the features ``ih_*`` of a discretised region; the gradients of a single grey level are NaN."""
    counts = np.bincount(grey_levels.levels.ravel(), minlength=grey_levels.count + 1)[1:]
    share = counts[counts > 0] / counts.sum()
    common = moments_and_quantiles(np.repeat(np.arange(1.0, counts.size + 1), counts))
    return {f"ih_{name}": value for name, value in common.items()} | {
        "ih_mode": _mode(counts, common["mean"]),
        "ih_entropy": float(-(share * np.log2(share)).sum()) + 0.0,
        "ih_uniformity": float((share**2).sum()),
        **_steepest(counts),
    }


def intensity_volume_histogram(region: RegionOfInterest, settings: Settings) -> dict[str, float]:
    """Compute the features ``ivh_*``: the share of the volume that has at least an intensity."""
    levels, count, first, step = _intensity_steps(region, settings)
    reached = np.bincount(levels, minlength=count + 1)[1:]
    volume = 1 - np.concatenate(([0], np.cumsum(reached)[:-1])) / levels.size
    fraction = np.arange(count) / max(count - 1, 1)
    # 1e-9: a tenth of the range is not exact in binary.
    v10, v90 = (_first_where(fraction >= share - 1e-9, volume) for share in (0.1, 0.9))
    intensity = first + step * np.arange(count, dtype=np.float64)
    i10, i90 = (_first_where(volume <= share + 1e-9, intensity) for share in (0.1, 0.9))
    return {
        "ivh_v10": v10,
        "ivh_v90": v90,
        "ivh_i10": i10,
        "ivh_i90": i90,
        "ivh_diff_v10_v90": v10 - v90,
        "ivh_diff_i10_i90": i10 - i90,
    }


def _intensity_steps(region: RegionOfInterest, settings: Settings) -> tuple[NDArray[np.int64], int, float, float]:
    """Level of each voxel from 1, number of levels, and the intensity of the first level and between two levels.

    With a unit, the levels span the re-segmentation range where one is set; without, the region's.
    """
    values = region.values
    method = settings.ivh_discretisation or (None if settings.has_whole_intensities else CONTINUOUS_STEPS)
    lower = float(values.min()) if settings.lower is None else settings.lower
    upper = float(values.max()) if settings.upper is None else settings.upper
    if method is None:
        start = math.ceil(lower)
        return (values - start + 1).astype(np.int64), math.floor(upper) - start + 1, float(start), 1.0
    levels, count = discrete(values, method, settings.lower)
    if isinstance(method, FixedBinSize):
        count = max(count, math.ceil((upper - lower) / method.width))
        return levels.astype(np.int64), count, lower + method.width / 2, method.width
    return levels.astype(np.int64), count, 1.0, 1.0


def _first_where(condition: NDArray[np.bool_], values: NDArray[np.floating[Any]]) -> float:
    """Value at the first place where a condition holds, NaN where it holds nowhere."""
    return float(values[condition.argmax()]) if condition.any() else math.nan


def _mode(counts: NDArray[np.intp], mean: float) -> float:
    """Most common grey level; of several, the one closest to the mean."""
    modes = np.flatnonzero(counts == counts.max()) + 1
    return float(modes[np.abs(modes - mean).argmin()])


def _steepest(counts: NDArray[np.intp]) -> dict[str, float]:
    """Largest and smallest gradient of the histogram, and the grey levels where they are."""
    if counts.size < 2:
        return dict.fromkeys(("ih_max_grad", "ih_max_grad_g", "ih_min_grad", "ih_min_grad_g"), math.nan)
    gradient = np.gradient(counts.astype(np.float64))
    return {
        "ih_max_grad": float(gradient.max()),
        "ih_max_grad_g": float(gradient.argmax() + 1),
        "ih_min_grad": float(gradient.min()),
        "ih_min_grad_g": float(gradient.argmin() + 1),
    }
