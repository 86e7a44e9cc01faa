import math

import numpy as np
import pytest
from scipy.spatial import ConvexHull
from scipy.spatial.transform import Rotation

from preop.imaging import Geometry
from preop.radiomics.hulls import ellipsoid_moments, smallest_box_sides
from preop.radiomics.morphology import shape
from preop.radiomics.preparation import RegionOfInterest


def box_around(points):
    hull = ConvexHull(points)
    normals = np.ascontiguousarray(hull.equations[:, :3])
    return sorted(smallest_box_sides(points, hull.simplices, hull.neighbors, normals).tolist())


def semi_axes_around(points):
    return np.sqrt(3 * np.linalg.eigvalsh(ellipsoid_moments(points))).tolist()


def corners_of_box(*sides):
    return np.array([[z, y, x] for z in (0, sides[0]) for y in (0, sides[1]) for x in (0, sides[2])], dtype=float)


@pytest.mark.parametrize("seed", range(5))
def test_a_turned_box_is_its_own_smallest_box_and_its_ellipsoid_touches_its_corners(seed):
    turned = Rotation.random(random_state=seed).apply(corners_of_box(3, 5, 7)) + 100
    assert box_around(turned) == pytest.approx([3, 5, 7])
    # That of a cube is the ball around it, stretched with it.
    assert semi_axes_around(turned) == pytest.approx([math.sqrt(3) / 2 * side for side in (3, 5, 7)], rel=1e-5)


def test_a_turned_ellipsoid_is_its_own_smallest_ellipsoid():
    directions = np.random.default_rng(0).normal(size=(1000, 3))
    points = directions / np.linalg.norm(directions, axis=1, keepdims=True) * (2, 3, 4)
    turned = Rotation.random(random_state=1).apply(points)
    assert semi_axes_around(turned) == pytest.approx([2, 3, 4], rel=1e-3)
    assert box_around(turned) == pytest.approx([4, 6, 8], rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_all_points_lie_in_the_ellipsoid_and_in_a_box_no_larger_than_along_the_axes(seed):
    points = np.random.default_rng(seed).normal(size=(60, 3)) * (1, 2, 5)
    moments = ellipsoid_moments(points)
    on_hull = points[ConvexHull(points).vertices]
    assert ellipsoid_moments(on_hull) == pytest.approx(moments, rel=1e-3, abs=1e-4)
    assert math.prod(box_around(points)) <= np.ptp(points, axis=0).prod() * (1 + 1e-9)
    # The smallest of many boxes turned at random is hardly smaller.
    turned = np.einsum("nij,pj->npi", Rotation.random(3000, random_state=seed).as_matrix(), points)
    assert math.prod(box_around(points)) <= 1.001 * np.ptp(turned, axis=1).prod(axis=1).min()


def test_a_tetrahedron_has_a_cube_and_a_ball_around_it():
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=float)
    assert box_around(corners) == pytest.approx([2, 2, 2])
    assert semi_axes_around(corners) == pytest.approx([math.sqrt(3)] * 3)


def test_a_ball_fills_its_ellipsoid_and_a_diagonal_block_its_box():
    z, y, x = np.mgrid[-21:22, -21:22, -21:22]
    ball = shape(_region(z**2 + y**2 + x**2 <= 400))
    assert ball["morph_vol_dens_mvee"] == pytest.approx(1, abs=0.1)
    assert ball["morph_area_dens_mvee"] == pytest.approx(1, abs=0.12)
    block = shape(_region((abs(z) <= 5) & (abs(y + x) <= 12) & (abs(y - x) <= 20)))
    assert block["morph_vol_dens_ombb"] == pytest.approx(1, abs=0.05)
    assert block["morph_vol_dens_aabb"] < 0.7


def _region(mask):
    return RegionOfInterest(np.ones(mask.shape), mask, mask, Geometry.axis_aligned(mask.shape, (1.0, 1.0, 1.0)))
