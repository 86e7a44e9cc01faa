import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preop.imaging import Geometry
from preop.simulation import Blob, Tube, distance_map, ellipse_distance_mm, occupancy, random_blob

BALL = Blob((3.0, -2.0, 1.0), (10.0, 10.0, 10.0), 0.0, np.zeros((1, 3)), np.zeros(1))
BOX = Geometry.axis_aligned((40, 40, 40), (1.0, 1.0, 1.0), (-17.0, -22.0, -19.0))


def test_a_blob_without_roughness_is_a_ball() -> None:
    assert BALL.volume_mm3 == pytest.approx(4 / 3 * np.pi * 1000)
    assert BALL.level(np.array([13.0, -2.0, 1.0])) == pytest.approx(1)
    assert BALL.reach_mm(np.array([0.0, 0.6, 0.8])) == pytest.approx(10, rel=1e-3)


def test_distances_to_a_ball_are_exact() -> None:
    index = np.indices(BOX.shape).reshape(3, -1).T
    radius = np.linalg.norm(BOX.world_mm(index) - BALL.centre_mm, axis=1).reshape(BOX.shape)
    away = radius > 3
    np.testing.assert_allclose(distance_map(BALL, BOX).voxels[away], (radius - 10)[away], atol=0.35)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), volume_cm3=st.floats(5, 500), roughness=st.floats(0, 0.2))
def test_a_random_blob_has_the_volume_asked_for_on_a_voxel_grid(seed: int, volume_cm3: float, roughness: float) -> None:
    blob = random_blob(
        np.random.default_rng(seed),
        centre_mm=(1.0, 2.0, 3.0),
        volume_mm3=1000 * volume_cm3,
        proportions=(1.0, 1.2, 1.5),
        roughness=roughness,
    )
    assert blob.volume_mm3 == pytest.approx(1000 * volume_cm3)
    low, high = blob.surface_mm.min(axis=0) - 1, blob.surface_mm.max(axis=0) + 1
    step = (high - low) / 39
    grid = Geometry.axis_aligned((40, 40, 40), tuple(step[::-1].tolist()), tuple(low.tolist()))
    inside = blob.level(grid.world_mm(np.indices(grid.shape).reshape(3, -1).T)) < 1
    assert inside.sum() * grid.voxel_volume_mm3 == pytest.approx(1000 * volume_cm3, rel=0.02)


def test_a_blob_has_its_surface_where_its_level_is_1() -> None:
    blob = random_blob(np.random.default_rng(4), centre_mm=(9.0, 8.0, 7.0), volume_mm3=30_000, roughness=0.15)
    np.testing.assert_allclose(blob.level(blob.surface_mm), 1)


def test_distance_to_an_ellipse_is_exact_on_its_axes() -> None:
    x, y = np.array([25.0, 0.0, 20.0, 0.0]), np.array([0.0, 7.0, 0.0, 10.0])
    np.testing.assert_allclose(ellipse_distance_mm(x, y, (20.0, 10.0)), [5, -3, 0, 0], atol=1e-9)


def test_a_tube_moves_with_its_slope() -> None:
    tube = Tube(centre_mm=(5.0, 0.0), slope=(0.1, 0.0), radius_mm=4.0)
    z = np.array([0.0, 100.0])
    np.testing.assert_allclose(tube.distance_mm(np.array(15.0), np.array(0.0), z), [6, -4])


def test_a_voxel_on_the_surface_is_half_inside() -> None:
    np.testing.assert_allclose(occupancy(np.array([-3.0, -0.5, 0.0, 0.25, 3.0]), 1.0), [1, 1, 0.5, 0.25, 0])
