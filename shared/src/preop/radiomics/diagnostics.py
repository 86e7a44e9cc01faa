"""Dimensions and intensities after each step of image processing (IBSI reference manual, section "Diagnostic features").

They tell, where two programs disagree about a feature, in which step they part.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Image, bounding_box
from preop.radiomics.preparation import RegionOfInterest, discretise, prepare
from preop.radiomics.settings import Settings
from preop.wording import counted

MIN_GREY_LEVELS, MAX_GREY_LEVELS = 4, 1000
"""Beyond these a texture is of the bins, not of the tissue."""
DARKER_THAN_WATER_HU = -10


def diagnostics(image: Image, mask: Image, settings: Settings) -> dict[str, float]:
    """Compute size, spacing and intensities of image and masks: as given, interpolated, and re-segmented."""
    untouched = Settings(spacing_mm=None, round_intensities=False)
    given = prepare(image, mask, untouched, margin_mm=None)
    whole = prepare(image, mask, settings, margin_mm=None)
    return {
        **_of_image(given, "init_img"),
        **_of_image(whole, "interp_img"),
        **_of_masks(given.intensities, given.morphological, given.morphological, "init_roi"),
        **_of_masks(whole.intensities, whole.morphological, whole.morphological, "interp_roi"),
        **_of_masks(whole.intensities, whole.intensity, whole.morphological, "reseg_roi"),
    }


def grey_level_warnings(image: Image, mask: Image, settings: Settings) -> list[str]:
    """Say where the region has so few or so many grey levels that histogram and textures mean little.

    Raises
    ------
    InvalidInputError
        As :func:`preop.radiomics.preparation.prepare` and ``discretise``.
    """
    region = prepare(image, mask, settings)
    levels = discretise(region, settings).levels[region.intensity]
    found = int(np.unique(levels).size)
    if found >= MIN_GREY_LEVELS and int(levels.max()) - int(levels.min()) < MAX_GREY_LEVELS:
        return []
    values = region.values
    extent = f"{values.min():.4g} to {values.max():.4g}"
    if found < MIN_GREY_LEVELS:
        return [
            f"The region has {counted(found, 'grey level')} (intensities {extent}): histogram and "
            "textures say little about it; use narrower bins, or the settings of its modality."
        ]
    return [
        f"The region has over {MAX_GREY_LEVELS} grey levels (intensities {extent}): textures say little about it; use wider bins."
    ]


def looks_like_hounsfield_units(image: Image) -> bool:
    """Whether an image can be a CT in HU: it has voxels darker than water, as fat and air are, and none far below air."""
    return -10_000 < float(image.voxels.min()) < DARKER_THAN_WATER_HU and float(image.voxels.max()) < 40_000


def _of_image(region: RegionOfInterest, step: str) -> dict[str, float]:
    voxels = region.intensities
    return {
        **{f"img_dim_{axis}_{step}": float(n) for axis, n in zip("zyx", voxels.shape, strict=True)},
        **{f"vox_dim_{axis}_{step}": mm for axis, mm in zip("zyx", region.spacing_mm, strict=True)},
        f"mean_int_{step}": float(voxels.mean()),
        f"min_int_{step}": float(voxels.min()),
        f"max_int_{step}": float(voxels.max()),
    }


def _of_masks(
    intensities: NDArray[np.float64], intensity: NDArray[Any], morphological: NDArray[Any], step: str
) -> dict[str, float]:
    values = intensities[intensity]
    found = {f"int_mask_dim_{axis}_{step}": float(n) for axis, n in zip("zyx", intensities.shape, strict=True)}
    for name, mask in (("int_mask", intensity), ("morph_mask", morphological)):
        for axis, part in zip("zyx", bounding_box(mask), strict=True):
            found[f"{name}_bb_dim_{axis}_{step}"] = float(part.stop - part.start)
        found[f"{name}_vox_count_{step}"] = float(mask.sum())
    return found | {
        f"int_mask_mean_int_{step}": float(values.mean()),
        f"int_mask_min_int_{step}": float(values.min()),
        f"int_mask_max_int_{step}": float(values.max()),
    }
