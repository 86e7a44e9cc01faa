"""From an image and a mask to the voxels that features are computed from.

The steps and their order are those of the IBSI reference manual (arXiv 1612.07003), chapter "Image processing":
interpolation of image and mask on a common grid, rounding, re-segmentation, discretisation.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import (
    Geometry,
    Image,
    aligned_grid,
    bounding_box,
    crop,
    crop_geometry,
    resample_like,
    slices_first,
)
from preop.imaging.regions import Box
from preop.radiomics.perturbations import Perturbation
from preop.radiomics.settings import Discretisation, FixedBinSize, Settings

if TYPE_CHECKING:
    from preop.radiomics.lattices import Layouts

Mask = NDArray[np.bool_]

UNCHANGED = Perturbation()
# More grey levels than this are a wrong bin width, and their co-occurrence matrices would fill the memory.
MAX_GREY_LEVELS = 1024
# Interpolation of a cropped image equals that of the whole one: the influence of a voxel on a cubic spline
# falls by 0.27 per voxel, so that beyond 16 voxels it is lost in rounding.
SPLINE_REACH_VOXELS = 16


@dataclass(frozen=True)
class RegionOfInterest:
    """The box of an image around its region of interest, ready for features.

    Attributes
    ----------
    intensities
        Float64 (z, y, x), interpolated and rounded as the settings say.
    morphological
        The region as drawn: what morphology is computed from.
    intensity
        The region after re-segmentation: what intensities and textures are computed from.
    geometry
        Where the box lies.
    """

    intensities: NDArray[np.float64]
    morphological: Mask
    intensity: Mask
    geometry: Geometry

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Distance between voxel centres in mm, (z, y, x)."""
        return self.geometry.spacing_mm

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """Where in memory the voxels of the re-segmented region lie."""
        return np.flatnonzero(self.intensity)

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Intensities of the re-segmented region, one a voxel."""
        return np.asarray(self.intensities.ravel()[self.places])

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """First and last but one voxel of the re-segmented region of each row (z, y, 2)."""
        first = self.intensity.argmax(axis=2)
        after = self.intensity.shape[2] - self.intensity[:, :, ::-1].argmax(axis=2)
        return np.stack((first, np.where(self.intensity.any(axis=2), after, first)), axis=2)

    @cached_property
    def layouts(self) -> Layouts:
        """How the compiled loops see the region."""
        # The compiler behind the loops takes a third of a second to import.
        from preop.radiomics.lattices import Layouts

        return Layouts(self.intensity, self.morphological)

    @cached_property
    def trimmed(self) -> RegionOfInterest:
        """The same without the image around the region."""
        box = bounding_box(self.morphological)
        return RegionOfInterest(
            np.ascontiguousarray(self.intensities[box]),
            np.ascontiguousarray(self.morphological[box]),
            np.ascontiguousarray(self.intensity[box]),
            crop_geometry(self.geometry, box),
        )

    def with_intensities(self, intensities: NDArray[np.float64]) -> RegionOfInterest:
        """Take the same region from another image; what follows from the region alone is not computed again."""
        other = replace(self, intensities=intensities)
        vars(other).update(places=self.places, layouts=self.layouts)
        return other


@dataclass(frozen=True)
class Bins:
    """Bins from 1 to ``count``: that of a value is ``factor * (value - start) / width``, rounded down, and 1."""

    start: float
    factor: float
    width: float
    count: int


@dataclass(frozen=True)
class GreyLevels:
    """A discretised region.

    Attributes
    ----------
    levels
        Uint16 (z, y, x) from 1 inside the re-segmented region, 0 outside.
    counts
        Number of voxels of each grey level from 1, including those that no voxel has.
    """

    levels: NDArray[np.uint16]
    counts: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of grey levels."""
        return self.counts.size


def prepare(
    image: Image,
    mask: Image,
    settings: Settings,
    *,
    margin_mm: float | None = 0.0,
    perturbation: Perturbation = UNCHANGED,
) -> RegionOfInterest:
    """Bring image and mask to the grid of the settings, and find the voxels of the region.

    Parameters
    ----------
    image, mask
        Three-dimensional, on the same grid; the region is where the mask is greater than 0. They may be stored in any order
        of axes: what is computed in slices or given by axis (z, y, x) follows the slices.
    margin_mm
        Width of image kept around the region; None keeps the whole image.
    perturbation
        A change of image and mask.

    Raises
    ------
    InvalidInputError
        If the grids differ, an intensity is not finite, or the region has no voxel before or after resampling and
        re-segmentation.
    """
    image, mask = in_slices(image, mask)
    inside = Image((mask.voxels > 0).astype(np.float32), mask.geometry)
    reach_mm = None if margin_mm is None else margin_mm + settings.region.reach_mm + perturbation.reach_mm
    image, inside = _on_grid(image, inside, settings, reach_mm, perturbation)
    mask_on_grid = perturbation.redrawn(inside.voxels >= 0.5, image.spacing_mm)
    if not mask_on_grid.any():
        raise InvalidInputError(
            f"The region vanishes when it is resampled to {_times(image.spacing_mm)} mm; use smaller voxels."
        )
    morphological = settings.region.of(mask_on_grid, image.spacing_mm)
    # Laid out in one order, whatever the image's: other layouts would be compiled anew.
    morphological = np.ascontiguousarray(morphological)
    intensities = np.ascontiguousarray(image.voxels, dtype=np.float64)
    if settings.round_intensities:
        intensities = np.rint(intensities)
    intensity = resegment(intensities, morphological, settings)
    return RegionOfInterest(intensities, morphological, intensity, image.geometry)


def in_slices(image: Image, mask: Image) -> tuple[Image, Image]:
    """Check an image and its mask, and bring both to an order in which the first axis runs across the slices.

    Raises
    ------
    InvalidInputError
        If they do not belong together, or nothing can be computed of them.
    """
    _check(image, mask)
    return slices_first(image), slices_first(mask)


def _check(image: Image, mask: Image) -> None:
    if image.voxels.ndim != 3:
        raise InvalidInputError(
            f"The image has {image.voxels.ndim} dimensions; expected 3: give a single slice as a volume of one slice."
        )
    difference = image.geometry.difference(mask.geometry)
    if difference:
        raise InvalidInputError(
            f"The mask lies on another grid than the image: {difference}; resample it to the image's grid."
        )
    if not (mask.voxels > 0).any():
        raise InvalidInputError("The mask is empty; expected at least one voxel greater than 0.")
    if image.voxels.dtype.kind == "f" and not np.isfinite(image.voxels).all():
        raise InvalidInputError("The image holds voxels that are not finite numbers; expected none.")


def resegment(intensities: NDArray[np.float64], region: Mask, settings: Settings) -> Mask:
    """Leave out the voxels whose intensity is out of range or an outlier (IBSI, section "Re-segmentation").

    Range and outliers are both judged on the whole region; what neither excludes remains.
    """
    lower = -np.inf if settings.lower is None else settings.lower
    upper = np.inf if settings.upper is None else settings.upper
    if settings.outlier_sigma is not None:
        values = intensities[region]
        reach = settings.outlier_sigma * values.std()
        lower, upper = max(lower, values.mean() - reach), min(upper, values.mean() + reach)
    kept = region & (intensities >= lower) & (intensities <= upper)
    if not kept.any():
        found = intensities[region]
        raise InvalidInputError(
            f"No voxel of the region has an intensity from {lower:g} to {upper:g}: found {found.min():g} to "
            f"{found.max():g}; set lower and upper to the image's unit."
        )
    return kept


def discretise(region: RegionOfInterest, settings: Settings) -> GreyLevels:
    """Assign grey levels from 1 to the re-segmented region (IBSI, section "Intensity discretisation").

    Raises
    ------
    InvalidInputError
        If the levels would be more than 1024, or intensities that should be grey levels are not whole numbers from 1.
    """
    # The compiler behind the loop takes a third of a second to import.
    from preop.radiomics import kernels

    values = region.values
    if settings.discretisation is None:
        if values.min() < 1 or (values != np.rint(values)).any():
            raise InvalidInputError(
                f"Intensities from {values.min():g} to {values.max():g} are not grey levels (whole numbers from 1); "
                "set a discretisation."
            )
        bins = Bins(1.0, 1.0, 1.0, int(values.max()))
    else:
        bins = bins_of(values, settings.discretisation, settings.lower)
    if bins.count > MAX_GREY_LEVELS:
        raise InvalidInputError(
            f"The region would have {bins.count} grey levels; expected at most {MAX_GREY_LEVELS}: use wider bins."
        )
    levels = np.zeros(region.intensity.shape, dtype=np.uint16)
    counts = kernels.fill_levels(values, region.places, bins.start, bins.factor, bins.width, bins.count, levels.ravel())
    return GreyLevels(levels, counts)


def bins_of(values: NDArray[np.float64], discretisation: Discretisation, lower: float | None) -> Bins:
    """Find the bins of values; those of fixed size begin at ``lower``, or at the smallest value."""
    smallest, largest = float(values.min()), float(values.max())
    if isinstance(discretisation, FixedBinSize):
        start = smallest if lower is None else float(lower)
        return Bins(start, 1.0, discretisation.width, math.floor((largest - start) / discretisation.width) + 1)
    if smallest == largest:
        return Bins(smallest, 1.0, 1.0, 1)
    return Bins(smallest, float(discretisation.count), largest - smallest, discretisation.count)


def _on_grid(
    image: Image, inside: Image, settings: Settings, margin_mm: float | None, perturbation: Perturbation
) -> tuple[Image, Image]:
    """Interpolate image and mask on the box of the settings' grid that holds the region and the margin."""
    grid = image.geometry
    if settings.spacing_mm is not None:
        spacing = tuple(new or old for new, old in zip(settings.spacing_mm, grid.spacing_mm, strict=True))
        grid = aligned_grid(grid, spacing)
    if perturbation.moves_the_grid:
        grid = perturbation.moved(grid, _centre_mm(inside))
    if margin_mm is not None:
        grid = crop_geometry(grid, _box_around(inside, grid, margin_mm))
    if settings.spacing_mm is None and not perturbation.moves_the_grid:
        box = _same_voxels(grid, image.geometry)
        return perturbation.noisy(crop(image, box)), crop(inside, box)
    source = _box_of(grid, image.geometry, SPLINE_REACH_VOXELS)
    if settings.interpolation == settings.mask_interpolation == "linear" and not perturbation.moves_the_grid:
        return _interpolated(perturbation.noisy(crop(image, source)), grid), _interpolated(crop(inside, source), grid)
    return (
        resample_like(perturbation.noisy(crop(image, source)), grid, interpolation=settings.interpolation),
        resample_like(crop(inside, source), grid, interpolation=settings.mask_interpolation),
    )


def _interpolated(image: Image, grid: Geometry) -> Image:
    """Interpolate linearly on a grid along the same axes, a voxel beyond the outermost centres as the nearest.

    The values are those of ``resample_like``, in a tenth of the time.
    """
    ends = image.geometry.index_zyx(grid.world_mm(np.array([np.zeros(3), np.array(grid.shape) - 1])))
    at_z, at_y, at_x = (
        np.clip(np.linspace(first, last, n), 0, size - 1)
        for first, last, n, size in zip(*ends, grid.shape, image.shape, strict=True)
    )
    (z, dz), (y, dy), (x, dx) = ((np.floor(at).astype(np.intp), at % 1) for at in (at_z, at_y, at_x))
    after_x, after_y = np.minimum(x + 1, image.shape[2] - 1), np.minimum(y + 1, image.shape[1] - 1)

    @lru_cache(maxsize=2)
    def in_plane(slice_number: int) -> NDArray[np.float64]:
        voxels = image.voxels[slice_number].astype(np.float64)
        along_x = _between(voxels.take(x, axis=1), voxels.take(after_x, axis=1), dx)
        return _between(along_x.take(y, axis=0), along_x.take(after_y, axis=0), dy[:, None])

    found = np.empty(grid.shape, dtype=np.float64 if image.voxels.dtype == np.float64 else np.float32)
    for n in range(len(z)):
        # Of the slice itself where the next is beyond the image.
        found[n] = _between(in_plane(z[n]), in_plane(min(z[n] + 1, len(image.voxels) - 1)), dz[n])
    return Image(found, grid)


def _between(
    one: NDArray[np.float64], other: NDArray[np.float64], part: NDArray[np.float64] | np.float64
) -> NDArray[np.float64]:
    difference = other - one
    difference *= part
    difference += one
    return difference


def _box_around(inside: Image, grid: Geometry, margin_mm: float) -> Box:
    """Voxels of ``grid`` that hold the region, with a margin."""
    box = bounding_box(inside.voxels > 0)
    # The region reaches half a voxel beyond the centres of its outermost voxels, and half a voxel of the new grid more.
    first = np.array([part.start for part in box]) - 0.5
    last = np.array([part.stop for part in box]) - 0.5
    index = grid.index_zyx(inside.geometry.world_mm(_corners(first, last)))
    reach = margin_mm / np.asarray(grid.spacing_mm) + 0.5
    return _box(index.min(axis=0) - reach, index.max(axis=0) + reach, grid.shape)


def _box_of(part: Geometry, grid: Geometry, margin_voxels: int) -> Box:
    """Voxels of ``grid`` that ``part`` lies in, with a margin."""
    index = grid.index_zyx(part.world_mm(_corners(np.zeros(3), np.array(part.shape) - 1)))
    return _box(index.min(axis=0) - margin_voxels, index.max(axis=0) + margin_voxels, grid.shape)


def _same_voxels(part: Geometry, grid: Geometry) -> Box:
    """Slices of ``grid`` whose voxels are those of ``part``."""
    start = np.rint(grid.index_zyx(part.world_mm(np.zeros((1, 3))))[0]).astype(int).tolist()
    return tuple(slice(first, first + size) for first, size in zip(start, part.shape, strict=True))


def _corners(first: NDArray[Any], last: NDArray[Any]) -> NDArray[np.float64]:
    """List the eight corners (8, 3) of a box."""
    return np.array(list(itertools.product(*zip(first, last, strict=True))), dtype=np.float64)


def _centre_mm(inside: Image) -> NDArray[np.float64]:
    """World position (x, y, z) of the middle of a region."""
    middle = np.argwhere(inside.voxels > 0).mean(axis=0)
    return np.asarray(inside.geometry.world_mm(middle[None])[0])


def _box(first: NDArray[np.float64], last: NDArray[np.float64], shape: tuple[int, ...]) -> Box:
    start = np.maximum(np.floor(first).astype(int), 0).tolist()
    stop = np.minimum(np.ceil(last).astype(int) + 1, shape).tolist()
    return tuple(slice(a, b) for a, b in zip(start, stop, strict=True))


def _times(spacing: tuple[float, ...]) -> str:
    return " x ".join(f"{number:g}" for number in reversed(spacing))
