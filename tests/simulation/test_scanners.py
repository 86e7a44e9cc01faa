import numpy as np
import pytest

from preop.imaging import Geometry, Image
from preop.simulation import CtScanner, MrScanner

GRID = Geometry.axis_aligned((24, 64, 64), (3.0, 1.0, 1.0))
CT = CtScanner((3.0, 1.0, 1.0), resolution_mm=2.0, noise_hu=20, noise_correlation_mm=(3.0, 1.0, 2.0))
MR = MrScanner(
    (3.0, 1.0, 1.0), resolution_mm=1.5, noise=0.02, bias=0.0, bias_correlation_mm=100.0, scale=1000.0
)  # fmt: skip


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
