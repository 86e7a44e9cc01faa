"""The one function that computes features of a region."""

from __future__ import annotations

from collections.abc import Collection

from preop.imaging import Image
from preop.radiomics.diagnostics import diagnostics
from preop.radiomics.histogram import intensity_histogram, intensity_volume_histogram
from preop.radiomics.intensity import PEAK_RADIUS_MM, local_intensity, statistics
from preop.radiomics.morphology import morphology
from preop.radiomics.preparation import Region, discretise, prepare
from preop.radiomics.settings import TEXTURES, Family, Settings

_OF_REGION = {
    Family.MORPHOLOGY: morphology,
    Family.LOCAL_INTENSITY: local_intensity,
    Family.STATISTICS: statistics,
}
DEFAULT_FAMILIES = frozenset(Family) - {Family.DIAGNOSTICS}


def compute_features(
    image: Image, mask: Image, settings: Settings, families: Collection[Family] | None = None
) -> dict[str, float]:
    """Compute IBSI-1 features of the region where a mask is greater than 0.

    Parameters
    ----------
    image, mask
        Three-dimensional, on the same grid.
    settings
        How both are prepared, and the aggregations of textures.
    families
        What to compute; all but the diagnostics where none is given.

    Returns
    -------
    Values by IBSI tag, textures with their aggregation: ``morph_volume``, ``stat_mean``, ``cm_contrast_3D_comb``, in
    the units of the standard (mm, mm2, mm3, the image's intensity). A feature that is not defined on the region is NaN:
    ratios with an axis of no length, quotients by a mean of 0, autocorrelation of a flat region.

    Raises
    ------
    InvalidInputError
        If image and mask do not belong together or no voxel is left in the region.
    """
    wanted = DEFAULT_FAMILIES if families is None else frozenset(families)
    found: dict[str, float] = diagnostics(image, mask, settings) if Family.DIAGNOSTICS in wanted else {}
    region = prepare(image, mask, settings, margin_mm=PEAK_RADIUS_MM if Family.LOCAL_INTENSITY in wanted else 0.0)
    for family, compute in _OF_REGION.items():
        if family in wanted:
            found |= compute(region)
    if Family.VOLUME_HISTOGRAM in wanted:
        found |= intensity_volume_histogram(region, settings)
    if Family.HISTOGRAM in wanted or wanted & TEXTURES:
        found |= _of_grey_levels(region, settings, wanted)
    return found


def _of_grey_levels(region: Region, settings: Settings, wanted: Collection[Family]) -> dict[str, float]:
    grey_levels = discretise(region, settings)
    found = intensity_histogram(grey_levels) if Family.HISTOGRAM in wanted else {}
    if TEXTURES.isdisjoint(wanted):
        return found
    # The compiler behind the textures takes a third of a second to import.
    from preop.radiomics.textures import textures

    return found | textures(grey_levels, region.morphological, wanted, settings.aggregations)
