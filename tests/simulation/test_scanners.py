import numpy as np
import pytest

from preop.imaging import Geometry, Image
from preop.simulation import CtScanner, MrScanner, PetScanner

GRID = Geometry.axis_aligned((24, 64, 64), (3.0, 1.0, 1.0))
CT = CtScanner((3.0, 1.0, 1.0), resolution_mm=2.0, noise_hu=20, noise_correlation_mm=(3.0, 1.0, 2.0))
MR = MrScanner(
    (3.0, 1.0, 1.0), resolution_mm=1.5, noise=0.02, bias=0.0, bias_correlation_mm=100.0, scale=1000.0
)  # fmt: skip
PET = PetScanner((3.0, 1.0, 1.0), resolution_mm=6.0, noise=0.3, noise_correlation_mm=(6.0, 5.0, 4.0))


def _uniform(value: float) -> Image:
    return Image(np.full(GRID.shape, value, dtype=np.float32), GRID)


def test_ct_of_water_has_the_stated_noise_in_whole_hu() -> None:
    scan = CT.scan(np.random.default_rng(0), _uniform(0))
    assert scan.voxels.dtype == np.int16
    assert scan.voxels.mean() == pytest.approx(0, abs=1)
    assert scan.voxels.std() == pytest.approx(20, rel=0.05)


def test_ct_stores_12_bits() -> None:
    rng = np.random.default_rng(0)
    assert CT.scan(rng, _uniform(-1020)).voxels.min() == -1024
    assert CT.scan(rng, _uniform(3060)).voxels.max() == 3071


def test_a_point_is_half_as_high_at_half_the_resolution() -> None:
    hu = _uniform(0)
    hu.voxels[:, :, 32] = 1000  # a sheet: its profile is that of the point spread function
    quiet = CtScanner((3.0, 1.0, 1.0), resolution_mm=4.0, noise_hu=0, noise_correlation_mm=(3.0, 1.0, 1.0))
    profile = quiet.scan(np.random.default_rng(0), hu).voxels[12, 32]
    assert profile[34] / profile[32] == pytest.approx(0.5, abs=0.02)


def test_mr_background_follows_rayleigh() -> None:
    """The mean of Rician noise without signal is sigma sqrt(pi / 2) (Gudbjartsson and Patz 1995, equation 4)."""
    background = MR.scan(np.random.default_rng(0), _uniform(0)).voxels
    assert background.mean() == pytest.approx(20 * np.sqrt(np.pi / 2), rel=0.02)


def test_mr_scale_is_arbitrary() -> None:
    dim = MrScanner((3.0, 1.0, 1.0), resolution_mm=1.5, noise=0.02, bias=0.0, bias_correlation_mm=100.0, scale=250.0)
    bright = MR.scan(np.random.default_rng(0), _uniform(0.5)).voxels
    assert dim.scan(np.random.default_rng(0), _uniform(0.5)).voxels == pytest.approx(bright / 4, abs=1)


def test_bias_varies_slowly_over_the_image() -> None:
    biased = MrScanner((3.0, 1.0, 1.0), resolution_mm=1.5, noise=0.0, bias=0.3, bias_correlation_mm=60.0, scale=1e4)
    voxels = biased.scan(np.random.default_rng(0), _uniform(1)).voxels.astype(float)
    assert voxels.max() / voxels.min() > 1.3
    assert np.abs(np.diff(np.log(voxels), axis=2)).max() < 0.05


def test_pet_of_a_uniform_body_has_its_uptake_and_the_stated_noise() -> None:
    scan = PET.scan(np.random.default_rng(0), _uniform(2))
    assert scan.voxels.dtype == np.float32
    assert scan.voxels.mean() == pytest.approx(2, rel=0.03)
    assert scan.voxels.std() == pytest.approx(0.6, rel=0.1)
    assert scan.voxels.min() > 0


def test_pet_noise_grows_with_the_uptake_and_leaves_the_cold_alone() -> None:
    once, twice = (PET.scan(np.random.default_rng(0), _uniform(value)).voxels for value in (1, 2))
    assert twice == pytest.approx(2 * once)
    assert not PET.scan(np.random.default_rng(0), _uniform(0)).voxels.any()


@pytest.mark.parametrize(("axis", "step"), [(0, 2), (1, 5), (2, 4)])
def test_pet_noise_falls_to_1_over_e_at_its_correlation_length(axis: int, step: int) -> None:
    grid = Geometry.axis_aligned((80, 120, 120), PET.spacing_mm)
    noise = np.log(PET.scan(np.random.default_rng(0), Image(np.ones(grid.shape, dtype=np.float32), grid)).voxels)
    near, far = (np.delete(noise, part, axis) for part in (np.s_[-step:], np.s_[:step]))
    assert np.corrcoef(near.ravel(), far.ravel())[0, 1] == pytest.approx(np.exp(-1), abs=0.05)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_pet_resolves_alike_in_all_directions(axis: int) -> None:
    grid = Geometry.axis_aligned((33, 33, 33), (1.0, 1.0, 1.0))
    suv = np.zeros(grid.shape, dtype=np.float32)
    suv[tuple(16 if other == axis else slice(None) for other in range(3))] = 10  # a sheet
    quiet = PetScanner((1.0, 1.0, 1.0), resolution_mm=6.0, noise=0, noise_correlation_mm=(1.0, 1.0, 1.0))
    profile = np.moveaxis(quiet.scan(np.random.default_rng(0), Image(suv, grid)).voxels, axis, 0)[:, 16, 16]
    assert profile[19] / profile[16] == pytest.approx(0.5, abs=0.02)
