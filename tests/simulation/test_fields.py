import numpy as np
import pytest

from preop.imaging import Geometry, resample_like
from preop.simulation import correlated_noise, random_field


def _correlation(noise: np.ndarray, axis: int, step: int) -> float:
    first = np.delete(noise, np.s_[-step:], axis)
    second = np.delete(noise, np.s_[:step], axis)
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_noise_falls_to_1_over_e_at_its_correlation_length_along_each_axis(axis: int) -> None:
    spacing_mm, correlation_mm = (3.0, 1.0, 0.5), (12.0, 3.0, 4.0)
    noise = correlated_noise(np.random.default_rng(0), (96, 96, 160), spacing_mm, correlation_mm)
    step = round(correlation_mm[axis] / spacing_mm[axis])
    assert _correlation(noise, axis, step) == pytest.approx(np.exp(-1), abs=0.05)


@pytest.mark.parametrize("correlation_mm", [0.1, 1.0, 6.0])
def test_noise_has_mean_0_and_standard_deviation_1_whatever_its_correlation_length(correlation_mm: float) -> None:
    noise = correlated_noise(np.random.default_rng(1), (100, 100, 100), (1.0, 1.0, 1.0), (correlation_mm,) * 3)
    assert noise.mean() == pytest.approx(0, abs=0.1)
    assert noise.std() == pytest.approx(1, abs=0.05)


def test_two_scanners_see_the_same_field_at_the_same_place() -> None:
    box = Geometry.axis_aligned((40, 40, 40), (2.0, 2.0, 2.0))
    field = random_field(np.random.default_rng(2), box, (20.0, 20.0, 20.0))
    coarse = resample_like(field, Geometry.axis_aligned((10, 20, 20), (6.0, 3.0, 3.0)), interpolation="linear")
    fine = resample_like(field, Geometry.axis_aligned((60, 60, 60), (1.0, 1.0, 1.0)), interpolation="linear")
    np.testing.assert_allclose(fine.voxels[::6, ::3, ::3], coarse.voxels, atol=1e-4)


def test_a_field_covers_its_box_and_keeps_its_spread_over_many_draws() -> None:
    box = Geometry.axis_aligned((10, 10, 10), (5.0, 5.0, 5.0), (-7.0, 3.0, 11.0))
    last = np.array([[9, 9, 9]])
    corners = []
    for seed in range(300):
        field = random_field(np.random.default_rng(seed), box, (30.0, 30.0, 30.0))
        assert (field.geometry.index_zyx(box.world_mm(last)) <= np.array(field.shape) - 1).all()
        corners.append(field.voxels[0, 0, 0])
    assert np.std(corners) == pytest.approx(1, abs=0.13)


def test_the_same_generator_gives_the_same_noise() -> None:
    first, second = (correlated_noise(np.random.default_rng(3), (9, 9), (1.0, 1.0), (2.0, 2.0)) for _ in range(2))
    assert first.tobytes() == second.tobytes()
