import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from preop.imaging import Geometry
from preop.radiomics.autocorrelation import autocorrelation
from preop.radiomics.morphology import (
    _CORNERS,
    _marching_cubes,
    mesh_volume_and_area,
    outermost_mesh_points,
    shape,
)
from preop.radiomics.preparation import RegionOfInterest


def region_of(mask, intensities=None, spacing_mm=(1.0, 1.0, 1.0)):
    mask = np.asarray(mask, dtype=bool)
    intensities = np.ones(mask.shape) if intensities is None else np.asarray(intensities, dtype=np.float64)
    return RegionOfInterest(intensities, mask, mask, Geometry.axis_aligned(mask.shape, spacing_mm))


def ball(radius_voxels):
    n = radius_voxels + 1
    z, y, x = np.mgrid[-n : n + 1, -n : n + 1, -n : n + 1]
    return z**2 + y**2 + x**2 <= radius_voxels**2


def test_one_voxel_is_an_octahedron():
    volume, area = mesh_volume_and_area(np.ones((1, 1, 1), dtype=bool), (1.0, 1.0, 1.0))
    assert volume == pytest.approx(1 / 6)
    assert area == pytest.approx(math.sqrt(3))


def test_a_block_loses_only_its_edges_and_corners():
    """Of the quarter of a cube along an edge, half is cut off; of the eighth at a corner, all but 1/48."""
    volume, _ = mesh_volume_and_area(np.ones((10, 10, 10), dtype=bool), (1.0, 1.0, 1.0))
    assert volume == pytest.approx(1000 - 12 * 9 / 8 - 8 * (1 / 8 - 1 / 48))


def test_every_kind_of_cube_but_the_empty_and_the_full_one_holds_a_surface_inside_it():
    volumes, triangles, kinds = _marching_cubes()
    assert set(kinds.tolist()) == set(range(1, 255))
    assert (volumes[0], volumes[255]) == (0, 1)
    assert 0 <= triangles.min() <= triangles.max() <= 1


def test_cubes_without_ambiguous_faces_fill_space_with_their_complement():
    volumes, *_ = _marching_cubes()
    one_corner, two_beside_each_other, one_side = 0b1, 0b11, 0b1111
    for kind in (one_corner, two_beside_each_other, one_side):
        assert volumes[kind] + volumes[255 - kind] == pytest.approx(1)


@given(st.integers(0, 2**12 - 1))
def test_the_mesh_is_closed(bits):
    """An edge that only one triangle has would be a hole."""
    mask = np.array([bits >> i & 1 for i in range(12)], dtype=bool).reshape(2, 2, 3)
    _, triangles, kinds = _marching_cubes()
    edges = Counter()
    padded = np.pad(mask, 1)
    for cube in np.ndindex(*(n + 1 for n in mask.shape)):
        kind = sum(int(padded[tuple(np.add(cube, corner))]) << bit for bit, corner in enumerate(_CORNERS))
        for triangle in triangles[kinds == kind] + np.array(cube):
            corners = [tuple(corner) for corner in triangle.tolist()]
            edges.update(zip(corners, corners[1:] + corners[:1], strict=True))
    assert all(edges[edge] == edges[edge[::-1]] for edge in edges)


def test_a_ball_is_nearly_a_sphere():
    found = shape(region_of(ball(20), spacing_mm=(0.5, 0.5, 0.5)))
    assert found["morph_volume"] == pytest.approx(4 / 3 * math.pi * 10**3, rel=0.01)
    assert found["morph_diam"] == pytest.approx(20, rel=0.03)
    assert found["morph_sphericity"] > 0.9
    assert found["morph_pca_flatness"] == pytest.approx(1)
    assert found["morph_vol_dens_conv_hull"] == pytest.approx(1, abs=0.05)
    assert found["morph_vol_dens_aee"] == pytest.approx(
        (5 / 4) ** 1.5, rel=0.01
    )  # variance of a ball: a fifth of r squared


def test_lengths_scale_with_the_voxel():
    mask = np.zeros((6, 7, 8), dtype=bool)
    mask[1:4, 2:6, 1:7] = True
    mask[3, 4, 7] = True
    small, large = (shape(region_of(mask, spacing_mm=(s, s, s))) for s in (1.0, 2.0))
    assert large["morph_volume"] == pytest.approx(8 * small["morph_volume"])
    assert large["morph_area_mesh"] == pytest.approx(4 * small["morph_area_mesh"])
    assert large["morph_diam"] == pytest.approx(2 * small["morph_diam"])
    assert large["morph_sphericity"] == pytest.approx(small["morph_sphericity"])


@given(st.integers(1, 2**18 - 1))
def test_hull_points_span_the_largest_distance_of_all_mesh_points(bits):
    mask = np.array([bits >> i & 1 for i in range(18)], dtype=bool).reshape(3, 3, 2)
    padded = np.pad(mask, 1)
    ends = []
    for axis in range(3):
        step = np.eye(3)[axis]
        ends.extend(np.argwhere(np.diff(padded.astype(int), axis=axis)) - 1 + step / 2)
    found = outermost_mesh_points(mask, (1.0, 1.0, 1.0))
    assert cdist(found, found).max() == pytest.approx(cdist(ends, ends).max())


def test_intensity_on_one_side_moves_the_centre_of_mass():
    intensities = np.ones((1, 1, 4))
    intensities[..., 3] = 5
    found = shape(region_of(np.ones((1, 1, 4)), intensities, (1.0, 1.0, 2.0)))
    assert found["morph_com"] == pytest.approx(2 * ((0 + 1 + 2 + 15) / 8 - 1.5))


def test_what_one_voxel_does_not_define_is_not_a_number():
    voxel = region_of(np.ones((1, 1, 1)))
    found = shape(voxel) | autocorrelation(voxel)
    undefined = {tag for tag, value in found.items() if math.isnan(value)}
    assert undefined == {
        "morph_pca_elongation",
        "morph_pca_flatness",
        "morph_vol_dens_aee",
        "morph_area_dens_aee",
        "morph_moran_i",
        "morph_geary_c",
    }
