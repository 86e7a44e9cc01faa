"""What a scan looks like, measured on scans whose noise and voxels are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from preop.imaging import Geometry, Image, reorient
from preop.likeness import CT_MEASURES, PET_MEASURES, ct_measures, pet_measures
from preop.likeness.slides import _stains
from preop.slides.tissue import DYES


def ct_of(noise_hu: float, blur: float = 0.0) -> Image:
    """Half fat, half soft tissue, in 10 slices of 5 mm and pixels of 0.8 mm; the noise keeps its size when it is blurred."""
    noise = np.random.default_rng(0).normal(0, 1, (10, 60, 60))
    if blur:
        noise = ndimage.gaussian_filter(noise, (0, blur, blur))
        noise /= noise.std()
    voxels = np.full(noise.shape, -100.0)
    voxels[:, :, 30:] = 50
    voxels = np.rint(voxels + noise_hu * noise).astype(np.int16)
    return Image(voxels, Geometry.axis_aligned(voxels.shape, (5.0, 0.8, 0.8)))


def test_noise_voxels_and_densities_are_those_the_scan_was_made_of() -> None:
    found = ct_measures(ct_of(10))
    assert found.keys() == {measure.name for measure in CT_MEASURES}
    assert (found["slice_mm"], found["pixel_mm"]) == (5.0, pytest.approx(0.8))
    assert found["noise_hu"] == pytest.approx(10, rel=0.05)
    assert found["noise_grain"] == pytest.approx(1, abs=0.05)
    assert (found["fat_hu"], found["soft_hu"]) == (pytest.approx(-100, abs=2), pytest.approx(50, abs=2))
    assert found["fat_share"] == pytest.approx(0.5, abs=0.05)


def test_smooth_noise_has_a_coarser_grain() -> None:
    assert ct_measures(ct_of(10, blur=1.5))["noise_grain"] > 1.5


def test_more_air_and_another_order_of_axes_change_nothing() -> None:
    ct = ct_of(10)
    air = np.pad(ct.voxels, ((0, 0), (9, 9), (9, 9)), constant_values=-1000)
    wider = Image(air, Geometry.axis_aligned(air.shape, ct.spacing_mm))
    for other in (wider, reorient(ct, "SRA")):
        assert ct_measures(other) == pytest.approx(ct_measures(ct), rel=0.05, abs=0.01)


def test_a_scan_of_air_shows_nothing_but_its_voxels() -> None:
    air = ct_of(0).with_voxels(np.full((10, 60, 60), -1000, np.int16))
    known = {name for name, value in ct_measures(air).items() if np.isfinite(value)}
    assert known == {"slice_mm", "pixel_mm"}


def test_the_noise_of_a_pet_is_a_share_of_its_uptake() -> None:
    rng = np.random.default_rng(0)
    voxels = np.abs(rng.normal(2.0, 0.2, (8, 40, 40))).astype(np.float32)
    found = pet_measures(Image(voxels, Geometry.axis_aligned(voxels.shape, (4.0, 4.0, 4.0))))
    assert found.keys() == {measure.name for measure in PET_MEASURES}
    assert found["noise"] == pytest.approx(0.1, rel=0.05)
    assert found["median_suv"] == pytest.approx(2, rel=0.02)


def test_stains_are_found_as_those_that_were_mixed() -> None:
    rng = np.random.default_rng(0)
    amounts = rng.dirichlet((0.3, 0.3), 5000) * rng.uniform(0.5, 1.5, (5000, 1))
    found = _stains(amounts @ DYES)
    for name, dye in zip(("haematoxylin", "eosin"), DYES, strict=True):
        shares = dye / dye.sum()
        assert found[f"{name}_red"] == pytest.approx(shares[0], abs=0.01)
        assert found[f"{name}_blue"] == pytest.approx(shares[2], abs=0.01)
    assert found["other_colours"] < 1e-3
