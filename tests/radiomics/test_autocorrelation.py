import numpy as np
import pytest
from scipy.spatial.distance import cdist

from preop.imaging import Geometry
from preop.radiomics import autocorrelation as module
from preop.radiomics.autocorrelation import autocorrelation
from preop.radiomics.preparation import RegionOfInterest


def over_all_pairs(points_mm, values):
    """Moran's I and Geary's C by their definition."""
    distance = cdist(points_mm, points_mm)
    weight = 1 / (distance + np.where(distance == 0, np.inf, 0))
    deviation = values - values.mean()
    moran = (weight * np.outer(deviation, deviation)).sum() / weight.sum() / values.var()
    geary = (weight * (values[:, None] - values) ** 2).sum() / (2 * weight.sum() * values.var(ddof=1))
    return moran, geary


@pytest.mark.parametrize(
    ("shape", "spacing", "share", "is_split"),
    [
        ((4, 5, 6), (2.0, 1.0, 0.7), 0.6, False),
        ((1, 7, 9), (3.0, 1.0, 1.0), 0.6, False),
        ((60, 50, 64), (1.0, 1.0, 1.0), 0.008, True),
        ((1, 120, 130), (5.0, 0.9, 1.1), 0.1, False),
        ((9, 90, 80), (2.0, 2.0, 2.0), 0.03, True),
        ((40, 80, 90), (2.0, 1.0, 0.9), 0.005, True),
    ],
)
def test_autocorrelation_is_the_sum_over_all_pairs(shape, spacing, share, is_split, monkeypatch):
    rng = np.random.default_rng(1)
    mask = rng.random(shape) < share
    for axis in range(3):  # the box is as large as it says
        mask[(0,) * axis + (-1,) + (0,) * (2 - axis)] = mask[0, 0, 0] = True
    # Smooth and rough at once, as a tissue is.
    z, y, x = np.indices(shape)
    intensities = rng.normal(size=shape) + np.sin(z / 9) + np.cos(y / 13) + x / 40
    splits = []
    far = module._far_sums
    monkeypatch.setattr(module, "_far_sums", lambda *given: splits.append(None) or far(*given))
    geometry = Geometry.axis_aligned(shape, spacing)
    found = autocorrelation(RegionOfInterest(intensities, mask, mask, geometry))
    moran, geary = over_all_pairs(np.argwhere(mask) * spacing, intensities[mask])
    assert found["morph_moran_i"] == pytest.approx(moran, rel=5e-6)
    assert found["morph_geary_c"] == pytest.approx(geary, rel=5e-6)
    assert bool(splits) == is_split
