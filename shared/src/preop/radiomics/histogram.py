"""Intensity histogram and intensity-volume histogram (IBSI reference manual, sections of the same names)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.radiomics.intensity import moments_and_quantiles
from preop.radiomics.preparation import Bins, GreyLevels, RegionOfInterest, bins_of
from preop.radiomics.settings import FixedBinNumber, FixedBinSize, Settings

MAX_STEPS = 1_000_000
CONTINUOUS_STEPS = FixedBinNumber(count=1000)
"""The standard's proposal for intensities without a natural step."""


def intensity_histogram(grey_levels: GreyLevels) -> dict[str, float]:
    """Compute the features ``ih_*`` of a discretised region; the gradients of a single grey level are NaN."""
    counts = grey_levels.counts
    used = counts > 0
    share = counts[used] / counts.sum()
    common = moments_and_quantiles((np.flatnonzero(used) + 1).astype(np.float64), counts[used].astype(np.float64))
    return {f"ih_{name}": value for name, value in common.items()} | {
        "ih_mode": _mode(counts, common["mean"]),
        "ih_entropy": float(-(share * np.log2(share)).sum()) + 0.0,
        "ih_uniformity": float((share**2).sum()),
        **_steepest(counts),
    }


def intensity_volume_histogram(region: RegionOfInterest, settings: Settings) -> dict[str, float]:
    """Compute the features ``ivh_*``: the share of the volume that has at least an intensity.

    Volumes at a fraction of the range of a flat region are NaN.

    Raises
    ------
    InvalidInputError
        If the intensities would have more than a million steps.
    """
    # The compiler behind the loop takes a third of a second to import.
    from preop.radiomics import kernels

    bins, first, step = _intensity_steps(region, settings)
    count = bins.count
    if count > MAX_STEPS:
        raise InvalidInputError(
            f"The intensity-volume histogram would have {count:,} steps; expected at most {MAX_STEPS:,}: set a wider "
            "ivh_discretisation."
        )
    # Level by level, and one beyond the last, which no voxel reaches.
    below = np.cumsum(kernels.count_bins(region.values, bins.start, bins.factor, bins.width, count))
    volume = 1 - below / region.values.size
    # 1e-9: a tenth of the range is not exact in binary.
    v10, v90 = (_at(volume, math.ceil(share * (count - 1) - 1e-9), count) for share in (0.1, 0.9))
    i10, i90 = (first + step * int((volume <= share + 1e-9).argmax()) for share in (0.1, 0.9))
    return {
        "ivh_v10": v10,
        "ivh_v90": v90,
        "ivh_i10": i10,
        "ivh_i90": i90,
        "ivh_diff_v10_v90": v10 - v90,
        "ivh_diff_i10_i90": i10 - i90,
    }


def _intensity_steps(region: RegionOfInterest, settings: Settings) -> tuple[Bins, float, float]:
    """Bins of the intensities, and the intensity of the first and between two of them.

    With a unit, they span the re-segmentation range where one is set; without, the region's.
    """
    values = region.values
    method = settings.ivh_discretisation or (None if settings.has_whole_intensities else CONTINUOUS_STEPS)
    lower = float(values.min()) if settings.lower is None else settings.lower
    upper = float(values.max()) if settings.upper is None else settings.upper
    if method is None:
        start = math.ceil(lower)
        return Bins(float(start), 1.0, 1.0, math.floor(upper) - start + 1), float(start), 1.0
    bins = bins_of(values, method, settings.lower)
    if isinstance(method, FixedBinSize):
        bins = replace(bins, count=max(bins.count, math.ceil((upper - lower) / method.width)))
        return bins, lower + method.width / 2, method.width
    return bins, 1.0, 1.0


def _at(volume: NDArray[np.float64], level: int, count: int) -> float:
    """Volume that reaches a level, NaN where there is only one and thus no range to have a fraction of."""
    return float(volume[level]) if count > 1 else math.nan


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
