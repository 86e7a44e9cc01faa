import numpy as np
import pytest

from preop.imaging import Geometry, Image
from preop.simulation import Blob, distance_map, draw_contour

GRID = Geometry.axis_aligned((20, 60, 60), (3.0, 1.0, 1.0), (-29.5, -29.5, -28.5))
BALL = distance_map(Blob((0.0, 0.0, 0.0), (20.0, 20.0, 20.0), 0.0, np.zeros((1, 3)), np.zeros(1)), GRID)


def _volumes_cm3(habit_mm: float, wander_mm: float) -> list[float]:
    masks = [
        draw_contour(np.random.default_rng(seed), BALL, habit_mm=habit_mm, wander_mm=wander_mm) for seed in range(40)
    ]
    return [mask.voxels.sum() * GRID.voxel_volume_mm3 / 1000 for mask in masks]


def test_a_perfect_reader_draws_the_true_surface() -> None:
    assert _volumes_cm3(0, 0)[0] == pytest.approx(4 / 3 * np.pi * 8, rel=0.02)


def test_readers_differ_by_their_habit_times_the_surface() -> None:
    surface_cm2 = 4 * np.pi * 4
    assert np.std(_volumes_cm3(0.5, 0)) == pytest.approx(surface_cm2 * 0.05, rel=0.3)


def test_the_hand_wanders_from_slice_to_slice_but_stays_near_the_surface() -> None:
    mask = draw_contour(np.random.default_rng(1), BALL, habit_mm=0, wander_mm=1.0)
    wrong = mask.voxels != (BALL.voxels < 0)
    assert wrong.any(axis=(1, 2)).sum() > 8
    assert np.abs(BALL.voxels[wrong]).max() < 5


def test_a_mask_lies_where_its_scan_lies() -> None:
    mask = draw_contour(np.random.default_rng(1), Image(BALL.voxels, GRID), habit_mm=1, wander_mm=1)
    assert mask.geometry.difference(GRID) is None
    assert mask.voxels.dtype == bool
