import numpy as np
import pytest

from preop.imaging import Geometry, Image
from preop.simulation import average, finer, paint, sample_aligned, slabs

TURNED = Geometry((4, 6, 8), (3.0, 1.0, 2.0), (5.0, -4.0, 7.0), (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0))


def test_parts_of_a_voxel_lie_around_its_centre() -> None:
    fine = finer(TURNED, (3, 1, 2))
    parts = np.array([[z, 2, x] for z in (3, 4, 5) for x in (8, 9)])
    np.testing.assert_allclose(fine.world_mm(parts).mean(axis=0), TURNED.world_mm(np.array([[1, 2, 4]]))[0])
    assert fine.voxel_volume_mm3 * 6 == pytest.approx(TURNED.voxel_volume_mm3)


def test_a_voxel_half_filled_shows_the_mean_of_both_tissues() -> None:
    grid = Geometry.axis_aligned((1, 1, 2), (1.0, 1.0, 1.0))
    fine = finer(grid, (2, 2, 2))
    canvas = np.zeros(fine.shape, dtype=np.float32)
    canvas[:, :, :1] = 100
    np.testing.assert_allclose(average(Image(canvas, fine), grid).voxels, [[[50, 0]]])


def test_paint_covers_what_lies_beneath_by_the_fraction_inside() -> None:
    canvas = np.array([0.0, 10.0, 20.0])
    paint(canvas, np.array([0.0, 0.5, 1.0]), 100.0)
    np.testing.assert_allclose(canvas, [0, 55, 100])


def test_slabs_put_together_are_the_grid() -> None:
    pieces = list(slabs(TURNED, 3))
    assert [(part.start, part.stop) for part, _ in pieces] == [(0, 3), (3, 4)]
    np.testing.assert_allclose(
        pieces[1][1].world_mm(np.array([[0, 5, 7]])), TURNED.world_mm(np.array([[3, 5, 7]])), atol=1e-12
    )


def test_sampling_along_axes_is_linear_between_voxels_and_constant_beyond() -> None:
    ramp = Image(np.tile(np.arange(4.0), (3, 2, 1)), Geometry.axis_aligned((3, 2, 4), (2.0, 2.0, 2.0)))
    grid = Geometry.axis_aligned((1, 1, 5), (1.0, 1.0, 2.0), (-1.0, 0.0, 2.0))
    np.testing.assert_allclose(sample_aligned(ramp.voxels, ramp.geometry, grid), [[[0, 0.5, 1.5, 2.5, 3]]])


def test_a_thick_slice_shows_the_mean_over_its_thickness() -> None:
    steps = Image(np.arange(8.0)[:, None, None] ** 2, Geometry.axis_aligned((8, 1, 1), (1.0, 1.0, 1.0)))
    thick = Geometry.axis_aligned((1, 1, 1), (4.0, 1.0, 1.0), (0.0, 0.0, 3.5))
    fine = np.interp(np.linspace(1.5, 5.5, 2001), np.arange(8), np.arange(8.0) ** 2).mean()
    assert sample_aligned(steps.voxels, steps.geometry, thick)[0, 0, 0] == pytest.approx(fine, rel=0.02)
