"""The one function that computes features of a region."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from preop.imaging import Image, bounding_box
from preop.radiomics.autocorrelation import autocorrelation
from preop.radiomics.diagnostics import diagnostics
from preop.radiomics.filters import Filter
from preop.radiomics.histogram import intensity_histogram, intensity_volume_histogram
from preop.radiomics.intensity import PEAK_RADIUS_MM, local_intensity, statistics
from preop.radiomics.morphology import shape
from preop.radiomics.perturbations import Perturbation
from preop.radiomics.preparation import UNCHANGED, RegionOfInterest, discretise, in_slices, prepare
from preop.radiomics.settings import TEXTURES, Family, Settings

DEFAULT_FAMILIES = frozenset(Family) - {Family.DIAGNOSTICS}
RESPONSE_FAMILIES = TEXTURES | {Family.STATISTICS, Family.HISTOGRAM, Family.VOLUME_HISTOGRAM}
"""Families that are computed from the response maps of filters."""
FILTER_SEPARATOR = "__"
"""Stands between the name of a filter and the tag of a feature."""


def compute_features(
    image: Image,
    mask: Image,
    settings: Settings,
    families: Collection[Family] | None = None,
    *,
    perturbation: Perturbation = UNCHANGED,
    threads: int | None = None,
) -> dict[str, float]:
    """Compute IBSI-1 features of the region where a mask is greater than 0, and of its IBSI-2 response maps.

    Parameters
    ----------
    image, mask
        Three-dimensional, on the same grid.
    settings
        How both are prepared, the aggregations of textures, and the filters.
    families
        What to compute; all but the diagnostics where none is given.
    perturbation
        A change of image and mask, to see whether a feature survives it; diagnostics are of what is not changed.
    threads
        How many families or filters are computed at a time; up to four where none is given, as this process has cores.

    Returns
    -------
    Values by IBSI tag, textures with their aggregation: ``morph_volume``, ``stat_mean``, ``cm_contrast_3D_comb``, those
    of a response map after the filter's name: ``log_2mm__stat_mean``. Units are those of the standard (mm, mm2, mm3, the
    image's intensity). A feature that is not defined on the region is NaN: ratios with an axis of no length, quotients
    by a mean of 0, autocorrelation of a flat region, textures of voxels without neighbours.

    Raises
    ------
    InvalidInputError
        If image and mask do not belong together or no voxel is left in the region.
    """
    image, mask = in_slices(image, mask)
    wanted = DEFAULT_FAMILIES if families is None else frozenset(families)
    found: dict[str, float] = diagnostics(image, mask, settings) if Family.DIAGNOSTICS in wanted else {}
    margin_mm = _margin_mm(image, settings, wanted)
    region = prepare(image, mask, settings, margin_mm=margin_mm, perturbation=perturbation)
    tasks: list[Callable[[], dict[str, float]]] = [
        *([partial(shape, region.trimmed), partial(autocorrelation, region)] if Family.MORPHOLOGY in wanted else []),
        *([partial(local_intensity, region)] if Family.LOCAL_INTENSITY in wanted else []),
        partial(_of_intensities, region.trimmed, settings, wanted),
    ]
    groups: dict[Hashable, list[Filter]] = defaultdict(list)
    for each in settings.filters:
        groups[each.kind, each.beginning].append(each)
    of_group = partial(_of_responses, region=region, settings=settings, wanted=wanted & RESPONSE_FAMILIES)
    with ThreadPoolExecutor(threads or min(_cores(), 4)) as pool:
        of_image, of_groups = pool.map(lambda task: task(), tasks), pool.map(of_group, groups.values())
        for values in of_image:
            found |= values
        of_responses = {name: values for group in of_groups for name, values in group.items()}
    for each in settings.filters:
        found |= {f"{each.name}{FILTER_SEPARATOR}{tag}": value for tag, value in of_responses[each.name].items()}
    return found


def _of_responses(
    filters: Sequence[Filter], region: RegionOfInterest, settings: Settings, wanted: Collection[Family]
) -> dict[str, dict[str, float]]:
    """Features of the response maps of filters that begin alike, by the filter's name."""
    image, box, trimmed = Image(region.intensities, region.geometry), bounding_box(region.morphological), region.trimmed
    of_responses = settings.of_responses
    return {
        each.name: _of_intensities(trimmed.with_intensities(response), of_responses, wanted)
        for each, response in filters[0].together(filters, image, box, trimmed.rows)
    }


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _margin_mm(image: Image, settings: Settings, wanted: Collection[Family]) -> float | None:
    """Width of image around the region that features depend on; None where it is the whole image."""
    spacing = tuple(
        new or old for new, old in zip(settings.spacing_mm or image.spacing_mm, image.spacing_mm, strict=True)
    )
    reach = [PEAK_RADIUS_MM if Family.LOCAL_INTENSITY in wanted else 0.0]
    reach += [each.reach_mm(spacing) for each in settings.filters]
    return None if math.isinf(max(reach)) else max(reach)


def _of_intensities(region: RegionOfInterest, settings: Settings, wanted: Collection[Family]) -> dict[str, float]:
    """Features that depend on the intensities of the region's voxels and their places, not on its shape."""
    found: dict[str, float] = {}
    if Family.STATISTICS in wanted:
        found |= statistics(region)
    if Family.VOLUME_HISTOGRAM in wanted:
        found |= intensity_volume_histogram(region, settings)
    if Family.HISTOGRAM not in wanted and TEXTURES.isdisjoint(wanted):
        return found
    grey_levels = discretise(region, settings)
    if Family.HISTOGRAM in wanted:
        found |= intensity_histogram(grey_levels)
    if TEXTURES.isdisjoint(wanted):
        return found
    # The compiler behind the textures takes a third of a second to import.
    from preop.radiomics.textures import textures

    return found | textures(grey_levels, region.layouts, wanted, settings.aggregations)
