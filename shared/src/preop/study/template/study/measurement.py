"""What is measured of a lesion: the same for training and for a new patient."""

from __future__ import annotations

import math

from preop.imaging import Image

CT, SEGMENTATION = "ct-image", "lesion-segmentation"
VOLUME, DENSITY = "log_volume_ml", "mean_hu"


def measure(ct: Image, lesion: Image) -> dict[str, float]:
    """Measure the lesion: the logarithm of its volume in ml, and its mean density in HU.

    Parameters
    ----------
    lesion
        Mask on the grid of the CT, not empty.
    """
    volume_ml = int(lesion.voxels.sum()) * lesion.geometry.voxel_volume_mm3 / 1000
    return {VOLUME: math.log(volume_ml), DENSITY: float(ct.voxels[lesion.voxels].mean())}
