"""Spatial autocorrelation of a region: Moran's I and Geary's C (IBSI reference manual, section "Morphological features").

The weight of a pair of voxels is the inverse of its distance. Both features need sums over all pairs, which are sums over
lags of the weight times an autocorrelation; Parseval's theorem turns those into sums over frequencies, so that no pair is
left out and the time grows as n log n instead of n^2.

On a large box the weight is split in two, as Ewald split the potential of charges: what is left of it within a short
distance needs a transform that is little larger than the box, and the rest, which is smooth, needs few frequencies of one
that is twice as long along each axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from preop.imaging import bounding_box
from preop.radiomics.preparation import Mask, RegionOfInterest

# Voxels of a spectrum that are held at once (8 bytes each, three spectra): what fits a processor's cache.
SPECTRUM_VOXELS = 2**18
REACH_VOXELS = 14
"""How far the near part of the weight reaches."""
HIGHEST_FREQUENCY = 1.2
"""That of the far part in radians a voxel; what lies beyond changes the sums by a millionth or two."""
STRIDE = 2
"""One of so many lags is enough to know the far part of the weight, whose frequencies are below half the highest."""
SMOOTHED_VOXELS = 12
"""Where the far part is made to end smoothly, beyond all lags of the box."""

Field = NDArray[np.float32]


def autocorrelation(region: RegionOfInterest) -> dict[str, float]:
    """Compute Moran's I and Geary's C (``morph_moran_i``, ``morph_geary_c``) over all pairs of voxels.

    With standardised intensities y and indicator m, both need the sums over pairs of w y y, w m m and w y^2 m.
    """
    values = region.values
    mean, deviation = values.mean(), values.std()
    if deviation == 0:
        return {"morph_moran_i": math.nan, "morph_geary_c": math.nan}
    box = bounding_box(region.intensity)
    inside = region.intensity[box]
    standardised = np.where(inside, (region.intensities[box] - mean) / deviation, 0)
    yy, mm, yym = weighted_pairs(standardised, inside, region.spacing_mm)
    return {"morph_moran_i": yy / mm, "morph_geary_c": (values.size - 1) / values.size * (yym - yy) / mm}


def weighted_pairs(y: NDArray[np.float64], inside: Mask, spacing_mm: tuple[float, ...]) -> tuple[float, float, float]:
    """Sum over ordered pairs of voxels of y y / d, m m / d and y^2 m / d, where d is their distance in mm.

    Single precision, whose rounding changes the result by less than a millionth, takes half the time and memory.
    """
    fields = [array.astype(np.float32) for array in (y, inside, y**2)]
    reach = [math.ceil(REACH_VOXELS * max(spacing_mm) / mm) for mm in spacing_mm]
    whole, near = [2 * n for n in y.shape], [n + min(n, most) for n, most in zip(y.shape, reach, strict=True)]
    if 2 * math.prod(near) < math.prod(whole):
        found = _near_sums(fields, near, reach, spacing_mm) + _far_sums(fields, reach, spacing_mm)
    else:
        sizes = _even_sizes(whole)
        weight = _inverse(_distance([np.arange(n // 2 + 1.0) for n in sizes], spacing_mm))
        found = _sums(fields, sizes, _spectrum(weight))
    yy, mm, yym = found.tolist()
    return yy, mm, yym


def _near_sums(
    fields: list[Field], sizes: Sequence[int], reach: Sequence[int], spacing_mm: tuple[float, ...]
) -> NDArray[np.float64]:
    sizes = _even_sizes(sizes)
    corner = tuple(slice(0, most + 1) for most in reach)
    distance = _distance([np.arange(n // 2 + 1.0)[part] for n, part in zip(sizes, corner, strict=True)], spacing_mm)
    share, at_no_distance = _far_share(distance, REACH_VOXELS * max(spacing_mm))
    weight = np.zeros([n // 2 + 1 for n in sizes])
    weight[corner] = (1 - share) * _inverse(distance)
    # A voxel has no weight with itself, of which the far part has some.
    weight[0, 0, 0] = -at_no_distance
    return _sums(fields, sizes, _spectrum(weight))


def _far_sums(fields: list[Field], reach: Sequence[int], spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    shape = fields[0].shape
    sizes = [STRIDE * n for n in _even_sizes(math.ceil(2 * (n + SMOOTHED_VOXELS) / STRIDE) for n in shape)]
    lags = [
        _ending_smoothly(np.arange(0.0, n // 2 + 1, STRIDE), last - 1) for n, last in zip(sizes, shape, strict=True)
    ]
    distance = _distance(lags, spacing_mm)
    weight = _inverse(distance)
    corner = tuple(slice(0, most // STRIDE + 1) for most in reach)
    share, at_no_distance = _far_share(distance[corner], REACH_VOXELS * max(spacing_mm))
    weight[corner] *= share
    weight[0, 0, 0] = at_no_distance
    highest = (HIGHEST_FREQUENCY * mm / max(spacing_mm) for mm in spacing_mm)
    kept = [math.ceil(each * n / (2 * math.pi)) + 1 for each, n in zip(highest, sizes, strict=True)]
    return _sums(fields, sizes, STRIDE**3 * _spectrum(weight, kept))


def _even_sizes(wanted: Iterable[int]) -> list[int]:
    """Even lengths of which transforms are quick."""
    from scipy import fft

    return [2 * fft.next_fast_len(math.ceil(n / 2)) for n in wanted]


def _distance(lags: Sequence[NDArray[np.float64]], spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Distance in mm of lags (z, y, x) in voxels."""
    along = (lag * mm for lag, mm in zip(lags, spacing_mm, strict=True))
    return np.asarray(np.sqrt(sum(each**2 for each in np.meshgrid(*along, indexing="ij", sparse=True))))


def _inverse(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of distances, of which the first is 0 and has none."""
    distance[0, 0, 0] = np.inf
    return 1 / distance


def _ending_smoothly(lags: NDArray[np.float64], longest: int) -> NDArray[np.float64]:
    """Let lags grow ever less beyond the longest that a box has, so that a periodic weight has no kink."""
    room = lags[-1] - longest
    beyond = np.clip((lags - longest) / room, 0, 1)
    return np.where(lags > longest, longest + room / 2 * (beyond + np.sin(math.pi * beyond) / math.pi), lags)


def _far_share(distance_mm: NDArray[np.float64], reach_mm: float) -> tuple[NDArray[np.float64], float]:
    """Which share of the weight is far, from none to all, and the far weight at distance 0.

    The share is the integral of a bump with few high frequencies, which ends at the reach (Barnett 2019,
    doi 10.1137/18M120885X).
    """
    place = np.linspace(0, 1, 4097)
    bump = np.exp(REACH_VOXELS * (np.sqrt(1 - place**2) - 1))
    share = np.append(0, np.cumsum((bump[1:] + bump[:-1]) / 2))
    # Its slope at 0, for the far weight is the share over the distance.
    at_no_distance = bump[0] * (place.size - 1) / share[-1] / reach_mm
    return np.interp(distance_mm / reach_mm, place, share / share[-1]), float(at_no_distance)


def _spectrum(weight: NDArray[np.float64], kept: Sequence[int | None] = (None,) * 3) -> NDArray[np.float32]:
    """Fourier transform (x, z, y) of a weight of lags: the first frequencies, and those along x that have a twin, twice.

    The weight is even in every lag, so that its transform is a cosine transform of one octant.
    """
    from scipy import fft

    spectrum = weight
    for axis, few in zip((2, 1, 0), reversed(kept), strict=True):
        spectrum = np.moveaxis(np.moveaxis(fft.dct(spectrum, type=1, axis=axis), axis, 0)[:few], 0, axis)
    twins = slice(1, weight.shape[2] - 1)
    spectrum[..., twins] *= 2
    return np.ascontiguousarray(np.moveaxis(spectrum, 2, 0)).astype(np.float32)


def _sums(fields: list[Field], sizes: Sequence[int], weight: NDArray[np.float32]) -> NDArray[np.float64]:
    """The three sums, over frequencies, of fields that are padded with zeros to these sizes."""
    from scipy import fft

    # The compiler behind the loop takes a third of a second to import.
    from preop.radiomics import kernels

    size_z, size_y, size_x = sizes
    kept_x, kept_z, kept_y = weight.shape
    # Frequencies along x first in memory.
    lines = [np.ascontiguousarray(np.moveaxis(fft.rfft(field, size_x, axis=2)[..., :kept_x], 2, 0)) for field in fields]
    found = np.zeros(3)
    # A few of them at a time: the padded spectrum of a large tumour would fill the memory, and it is slower.
    width = max(1, SPECTRUM_VOXELS // (size_z * (2 * kept_y - 1)))
    for first in range(0, kept_x, width):
        part = slice(first, first + width)
        # Axis by axis, so that zeros, and frequencies that are not kept, cost little.
        spectra = [_few(fft.fft(line[part], size_y, axis=2), 2, kept_y) for line in lines]
        spectra = [_few(fft.fft(each, size_z, axis=1, overwrite_x=True), 1, kept_z) for each in spectra]
        of_y, of_inside, of_squares = spectra
        found += kernels.weighted_products(of_y, of_inside, of_squares, weight[part])
    return found / math.prod(sizes)


def _few(spectrum: NDArray[np.complex64], axis: int, kept: int) -> NDArray[np.complex64]:
    """The first positive frequencies along an axis, and as many negative ones."""
    length = spectrum.shape[axis]
    if 2 * kept > length:
        return spectrum
    return np.delete(spectrum, slice(kept, length - kept + 1), axis=axis)
