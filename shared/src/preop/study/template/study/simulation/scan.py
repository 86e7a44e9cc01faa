"""CT of a simulated lesion, and its segmentation."""

from __future__ import annotations

import numpy as np

from preop.imaging import Geometry, Image

from .disease import Lesion

TISSUE_HU, NOISE_HU = 10.0, 12.0
SIZE_MM = 60.0
SPACING_MM, SMALL_SPACING_MM = (2.5, 1.5, 1.5), (5.0, 3.0, 3.0)


def scan(rng: np.random.Generator, lesion: Lesion, *, small: bool = False) -> tuple[Image, Image]:
    """Scan the lesion in the middle of soft tissue: CT in HU (int16) and mask (uint8) on the same grid."""
    spacing = SMALL_SPACING_MM if small else SPACING_MM
    shape = tuple(round(SIZE_MM / step) for step in spacing)
    grid = Geometry.axis_aligned(shape, spacing)
    places = (np.indices(shape).reshape(3, -1).T - (np.array(shape) - 1) / 2) * spacing
    inside = (np.linalg.norm(places, axis=1) <= lesion.radius_mm).reshape(shape)
    hu = np.where(inside, lesion.density_hu, TISSUE_HU) + rng.normal(0, NOISE_HU, shape)
    return Image(np.round(hu).astype(np.int16), grid), Image(inside.astype(np.uint8), grid)
