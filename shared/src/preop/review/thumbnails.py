"""A small picture of a patient for the work list: the slice where the mask is largest, with its outline."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Image, axial_axis, reorient
from preop.radiomics.settings import Modality

PIXELS = 96
WINDOWS_HU = {
    "soft tissue": (-160.0, 240.0),
    "lung": (-1350.0, 150.0),
    "liver": (-45.0, 105.0),
    "bone": (-500.0, 1300.0),
}
"""Lowest and highest HU in view (Radiopaedia, "Windowing (CT)": width 400 at 40, 1500 at -600, 150 at 30, 1800 at 400)."""
PET_SUV = (0.0, 8.0)
_OUTLINE = (255, 176, 32)


def window_of(scan: Callable[[], Image], modality: Modality | None) -> tuple[float, float]:
    """Give the lowest and highest value in view of a scan of this modality, which is read only where that depends on it."""
    if modality is Modality.CT:
        return WINDOWS_HU["soft tissue"]
    if modality is Modality.PET:
        return PET_SUV
    low, high = np.quantile(scan().voxels[::2, ::2, ::2], (0.01, 0.995))
    return float(low), float(max(high, low + 1e-6))


def thumbnail(scan: Image, modality: Modality | None, mask: Image | None) -> bytes:
    """Draw an axial slice as PNG, seen from the feet as radiologists do; without a mask, the middle one."""
    from PIL import Image as Picture
    from scipy import ndimage

    turned = reorient(scan, "LPS")
    inside = reorient(mask.with_voxels(mask.voxels != 0), "LPS").voxels if mask else None
    axis = axial_axis(turned.geometry)
    areas = inside.sum(axis=tuple(each for each in range(3) if each != axis)) if inside is not None else None
    place = int(areas.argmax()) if areas is not None and areas.any() else turned.shape[axis] // 2
    low, high = window_of(lambda: scan, modality)
    section = turned.voxels.take(place, axis=axis).astype(np.float32)
    grey = np.clip((section - low) / (high - low), 0, 1) * 255
    if modality is Modality.PET:
        grey = 255 - grey
    pixels: NDArray[np.uint8] = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    dy, dx = (turned.spacing_mm[each] for each in range(3) if each != axis)
    height, width = pixels.shape[0] * dy, pixels.shape[1] * dx
    scale = PIXELS / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    picture = np.asarray(Picture.fromarray(pixels).resize(size, Picture.Resampling.BILINEAR)).copy()
    if inside is not None:
        drawn = Picture.fromarray(inside.take(place, axis=axis).astype(np.uint8) * 255).resize(
            size, Picture.Resampling.BOX
        )
        region = np.asarray(drawn) >= 128
        picture[region & ~ndimage.binary_erosion(region)] = _OUTLINE
    file = io.BytesIO()
    Picture.fromarray(picture).save(file, "PNG", optimize=True)
    return file.getvalue()
