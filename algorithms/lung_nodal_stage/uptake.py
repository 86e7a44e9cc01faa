"""Uptake of a lesion and of what it is compared with: SUVpeak, mediastinal blood pool and liver.

SUVpeak: the highest mean in a sphere of 1 ml centred in the lesion (Wahl et al. 2009, PERCIST 1.0,
doi 10.2967/jnumed.108.057307). Blood pool and liver: the references of visual scales of FDG uptake (Barrington et al.
2014, doi 10.1200/JCO.2013.53.5229, table 1); here the medians inside of the aorta and of the liver, away from their walls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Image, bounding_box, crop
from preop.segmentation import Organs

PEAK_RADIUS_MM = 6.2
"""Of a sphere of 1 ml."""

FROM_AORTIC_WALL_MM, FROM_LIVER_EDGE_MM = 4.0, 10.0
"""Nearer to its edge an organ's uptake is blurred with what lies beside it; the aorta is narrow."""

MIN_REFERENCE_ML = 0.5


@dataclass(frozen=True)
class References:
    """Uptake of health in this patient, in SUV; None where the organ is not in view.

    Attributes
    ----------
    blood_pool
        Of the mediastinum: median inside of the aorta.
    liver
        Median inside of the liver.
    """

    blood_pool: float | None
    liver: float | None


def reference_uptake(suv: Image, organs: Organs, lesions: NDArray[np.bool_]) -> References:
    """Measure blood pool and liver, without the lesions in them; all on one grid (z, y, x)."""
    return References(
        _median_inside(suv, organs.mask("aorta"), lesions, FROM_AORTIC_WALL_MM),
        _median_inside(suv, organs.mask("liver"), lesions, FROM_LIVER_EDGE_MM),
    )


def suv_peak(suv: Image, mask: NDArray[np.bool_]) -> float:
    """SUVpeak of a lesion (z, y, x) in a part of the PET that reaches 7 mm beyond it."""
    from scipy import fft

    ball = _ball(suv.spacing_mm)
    padded = np.pad(suv.voxels.astype(np.float64), [(size // 2,) * 2 for size in ball.shape], mode="edge")
    shape = [fft.next_fast_len(size, real=True) for size in padded.shape]
    means = fft.irfftn(fft.rfftn(padded, shape) * fft.rfftn(ball / ball.sum(), shape), shape)
    # The sum around a voxel stands where the ball's last corner lies.
    valid = tuple(slice(size - 1, size - 1 + length) for size, length in zip(ball.shape, suv.voxels.shape, strict=True))
    return float(means[valid][mask].max())


def _median_inside(
    suv: Image, organ: NDArray[np.bool_], lesions: NDArray[np.bool_], from_edge_mm: float
) -> float | None:
    from scipy import ndimage

    if not organ.any():
        return None
    box = bounding_box(organ)
    depth_mm = ndimage.distance_transform_edt(np.pad(organ[box], 1), sampling=suv.spacing_mm)[1:-1, 1:-1, 1:-1]
    inside = (depth_mm >= from_edge_mm) & ~lesions[box]
    if inside.sum() * suv.geometry.voxel_volume_mm3 < MIN_REFERENCE_ML * 1000:
        return None
    median = float(np.median(crop(suv, box).voxels[inside]))
    return median if median > 0 else None


def _ball(spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    reach = [int(PEAK_RADIUS_MM // mm) for mm in spacing_mm]
    offsets = np.meshgrid(
        *(np.arange(-n, n + 1) * mm for n, mm in zip(reach, spacing_mm, strict=True)), indexing="ij", sparse=True
    )
    return np.asarray(sum(offset**2 for offset in offsets) <= PEAK_RADIUS_MM**2, dtype=np.float64)
