"""What a CT, MR or PET looks like, whatever it shows: voxels, noise, sharpness and densities, measured in tissue.

By these a scanner, a reconstruction and a protocol are told apart, and simulated scans from real ones. Everything is
measured where tissue is, so that more air around the patient changes nothing, and along the patient's axes, so that it does
not matter in which order a scan is stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Image, axial_axis
from preop.likeness.references import Measure

TISSUE_HU = -250.0
"""Fat and all that is denser: lung, air and clothes are less dense."""
FAT_HU = (-150.0, -40.0)
SOFT_HU = (-20.0, 250.0)
BONE_HU = 300.0
SIGNAL_SHARE = 0.1
"""Of the 99th percentile of a scan without HU, from which a voxel shows tissue."""

_PAIRS = 16  # of neighbouring slices that are looked at: enough for a mean, and quick on a scan of 500 slices
_LEAST = 200  # voxels, of which anything is measured
_USUAL = 75  # percentile up to which changes are noise; beyond it they may be the borders of tissues
_USUAL_MEAN = 0.5149  # mean of the absolute values of a standard normal variable up to that percentile

_VOXELS = (
    Measure("slice_mm", "the slice spacing", "mm", ratio=True, resolution=0.05),
    Measure("pixel_mm", "the pixel size", "mm", ratio=True, resolution=0.05),
)
_GRAIN = (
    Measure("noise_grain", "the grain of the noise (its change over two pixels by that over one)", resolution=0.05),
    Measure("noise_across", "the change from slice to slice, by that from pixel to pixel", ratio=True, resolution=0.1),
    Measure(
        "detail",
        "the fine detail (strongest twentieth of the changes over a pixel by the usual ones)",
        ratio=True,
        resolution=0.05,
    ),
)
CT_MEASURES = (
    *_VOXELS,
    Measure("noise_hu", "the noise in soft tissue and fat", "HU", ratio=True, resolution=0.1),
    *_GRAIN,
    Measure("fat_hu", "the density of fat", "HU", resolution=3),
    Measure("fat_spread_hu", "the spread of the density of fat", "HU", resolution=3),
    Measure("soft_p10_hu", "the lowest tenth of the densities of soft tissue", "HU", resolution=5),
    Measure("soft_hu", "the density of soft tissue", "HU", resolution=5),
    Measure("soft_p90_hu", "the highest tenth of the densities of soft tissue", "HU", resolution=5),
    Measure("fat_share", "the share of fat", resolution=0.03),
    Measure("bone_share", "the share of bone", resolution=0.02),
)
SIGNAL_MEASURES = (
    *_VOXELS,
    Measure("noise", "the noise, as a share of the signal", ratio=True, resolution=0.1),
    *_GRAIN,
    Measure("p10", "the lowest tenth of the signal, as a share of the brightest", resolution=0.03),
    Measure("median", "the median signal, as a share of the brightest", resolution=0.03),
    Measure("p90", "the highest tenth of the signal, as a share of the brightest", resolution=0.03),
)
PET_MEASURES = (
    *SIGNAL_MEASURES,
    Measure("median_suv", "the median uptake", "SUV", ratio=True, resolution=0.1),
)

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


def ct_measures(ct: Image, body: Mask | None = None) -> dict[str, float]:
    """Measure a CT in HU.

    Parameters
    ----------
    body
        Voxels (z, y, x) to look at; all of them by default.

    Returns
    -------
    Value of each of ``CT_MEASURES``; NaN of what does not show.
    """
    from scipy import ndimage

    slices, inside = _pairs(ct, body)
    tissue = inside & (ndimage.minimum_filter(slices, size=(1, 1, 3, 3)) > TISSUE_HU)
    smooth = ndimage.uniform_filter(slices, size=(1, 1, 3, 3))[tissue]
    noise, texture = _texture(slices, tissue)
    fat = smooth[(smooth > FAT_HU[0]) & (smooth < FAT_HU[1])]
    soft = smooth[(smooth > SOFT_HU[0]) & (smooth < SOFT_HU[1])]
    quartiles = _percentiles(fat, (25, 50, 75))
    low, middle, high = _percentiles(soft, (10, 50, 90))
    return {
        **_spacing(ct),
        "noise_hu": noise,
        **texture,
        "fat_hu": quartiles[1],
        "fat_spread_hu": quartiles[2] - quartiles[0],
        "soft_p10_hu": low,
        "soft_hu": middle,
        "soft_p90_hu": high,
        "fat_share": _share(fat, smooth),
        "bone_share": _share(smooth[smooth > BONE_HU], smooth),
    }


def signal_measures(scan: Image, body: Mask | None = None) -> dict[str, float]:
    """Measure a scan whose intensities have no unit, such as MR; as :func:`ct_measures`, of ``SIGNAL_MEASURES``."""
    return _signal(scan, body)[0]


def pet_measures(suv: Image, body: Mask | None = None) -> dict[str, float]:
    """Measure a PET in SUV; as :func:`ct_measures`, of ``PET_MEASURES``."""
    measured, median = _signal(suv, body)
    return {**measured, "median_suv": median}


def _signal(scan: Image, body: Mask | None) -> tuple[dict[str, float], float]:
    """Measures without a unit, and the median of the signal in tissue."""
    slices, inside = _pairs(scan, body)
    bright = float(np.percentile(slices[inside], 99)) if inside.any() else 0.0
    tissue = inside & (slices > SIGNAL_SHARE * bright)
    noise, texture = _texture(slices, tissue)
    low, middle, high = _percentiles(slices[tissue], (10, 50, 90))
    by_bright = {name: _ratio(value, bright) for name, value in (("p10", low), ("median", middle), ("p90", high))}
    return {**_spacing(scan), "noise": _ratio(noise, middle), **texture, **by_bright}, middle


def _pairs(scan: Image, body: Mask | None) -> tuple[NDArray[np.float32], Mask]:
    """Take pairs of neighbouring axial slices (pairs, 2, rows, columns), evenly over those of the body, and where it is."""
    axis = axial_axis(scan.geometry)
    voxels = np.moveaxis(scan.voxels, axis, 0)
    inside = np.ones(voxels.shape, bool) if body is None else np.moveaxis(body, axis, 0)
    shown = np.flatnonzero(inside.any(axis=(1, 2)))
    first, last = (int(shown[0]), int(shown[-1])) if len(shown) else (0, 0)
    starts = np.unique(np.linspace(first, max(first, last - 1), _PAIRS).round().astype(int))
    places = np.stack([starts, np.minimum(starts + 1, last)], axis=1)
    return voxels[places].astype(np.float32), np.asarray(inside[places])


def _texture(slices: Floats, tissue: Mask) -> tuple[float, dict[str, float]]:
    """Noise as a standard deviation, and what it looks like."""
    one, two = (_usual([_changes(slices, tissue, axis, step) for axis in (2, 3)]) for step in (1, 2))
    across = _usual([_changes(slices, tissue, 1, 1)])
    tail = _percentiles(np.concatenate([_changes(slices, tissue, axis, 1) for axis in (2, 3)]), (95,))[0]
    texture = {
        "noise_grain": _ratio(two, one),
        "noise_across": _ratio(across, one),
        "detail": _ratio(tail, one),
    }
    return one / _USUAL_MEAN / math.sqrt(2), texture  # a difference of two voxels is root two times wider than one


def _usual(changes: Sequence[Floats]) -> float:
    """Mean of those changes that are no border."""
    values = np.concatenate(changes)
    (most,) = _percentiles(values, (_USUAL,))
    return math.nan if math.isnan(most) else float(values[values <= most].mean())


def _ratio(value: float, by: float) -> float:
    return value / by if by > 0 else math.nan


def _changes(slices: Floats, tissue: Mask, axis: int, step: int) -> Floats:
    """Absolute differences of voxels that many steps apart, both of them in tissue."""
    first = tuple(slice(None, -step) if each == axis else slice(None) for each in range(4))
    second = tuple(slice(step, None) if each == axis else slice(None) for each in range(4))
    both = tissue[first] & tissue[second]
    return np.asarray(np.abs(slices[second][both] - slices[first][both]))


def _spacing(scan: Image) -> dict[str, float]:
    axis = axial_axis(scan.geometry)
    others = [mm for each, mm in enumerate(scan.spacing_mm) if each != axis]
    return {"slice_mm": scan.spacing_mm[axis], "pixel_mm": float(np.sqrt(np.prod(others)))}


def _percentiles(values: Floats, wanted: Sequence[float]) -> list[float]:
    if len(values) < _LEAST:
        return [math.nan] * len(wanted)
    return [float(value) for value in np.percentile(values, wanted)]


def _share(some: Floats, of: Floats) -> float:
    return len(some) / len(of) if len(of) >= _LEAST else math.nan
