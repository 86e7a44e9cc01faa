"""Matrices small enough to count by hand; the standard's tables are in test_ibsi_1."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from preop.radiomics import kernels
from preop.radiomics.lattices import Layouts
from preop.radiomics.preparation import GreyLevels
from preop.radiomics.settings import TEXTURES, Aggregation, Family
from preop.radiomics.textures import textures


def grey_levels(levels):
    levels = np.asarray(levels, dtype=np.uint16)
    return GreyLevels(levels, np.bincount(levels.ravel())[1:])


def layouts(levels):
    inside = np.asarray(levels) > 0
    return Layouts(inside, inside)


def lattice_of(levels):
    return layouts(levels).volume(grey_levels(levels))


def textures_of(levels, families, aggregations):
    return textures(grey_levels(levels), layouts(levels), families, aggregations)


@pytest.fixture
def square():
    """One slice: 1 1 2 / 1 3 2 / . 3 3, where the dot is outside."""
    levels = [[[1, 1, 2], [1, 3, 2], [0, 3, 3]]]
    (lattice,) = layouts(levels).slices(grey_levels(levels))
    return lattice


def test_a_volume_has_13_directions_and_a_slice_4(square):
    assert len(square.layout.directions) == 4
    assert len(lattice_of(np.ones((2, 2, 2))).layout.directions) == 13


def test_pairs_are_counted_in_each_direction(square):
    x = np.array([1])
    assert kernels.cooccurrences(square.flat, square.layout.rows, x, 3, 1)[0].tolist() == [
        [1, 1, 1],
        [0, 0, 0],
        [0, 1, 1],
    ]


def test_the_merged_matrix_of_few_levels_is_the_sum_of_those_of_all_directions():
    rng = np.random.default_rng(1)
    for shape in ((9, 10, 11), (1, 30, 20)):
        lattice = lattice_of(rng.integers(0, 4, size=shape))
        merged = kernels.merged_cooccurrences(
            lattice.flat, lattice.layout.rows, lattice.layout.directions, lattice.count
        )
        assert (lattice.cooccurrences(by_direction=False) == merged).all()
        assert (lattice.cooccurrences(by_direction=True).sum(axis=0) == merged[0]).all()


def test_runs_are_counted_by_level_and_length(square):
    x = np.array([1])
    same = kernels.same_before(square.flat, square.layout.rows, x)
    lowest = np.array([0, 0], dtype=np.int8)
    runs = kernels.run_lengths(square.flat, same, square.layout.rows, x, lowest, 3, 3, 1)[0]
    assert runs.tolist() == [[1, 1, 0], [2, 0, 0], [1, 1, 0]]


def test_zones_have_level_size_and_distance_from_the_border(square):
    zones = sorted(map(tuple, square.zones.T.tolist()))
    assert zones == [(1, 3, 1), (2, 2, 1), (3, 3, 1)]


def test_the_middle_of_a_block_of_5_is_3_steps_from_the_outside():
    block = np.pad(np.ones((5, 5, 5), dtype=bool), 1)
    distances = kernels.border_distances(block.ravel(), np.array([49, 7, 1])).reshape(7, 7, 7)
    assert distances[3, 3, 3] == 3
    assert distances[1, 3, 3] == 1
    assert distances.sum() == 98 * 1 + 26 * 2 + 1 * 3


def test_neighbours_are_compared_with_their_mean():
    occupied, differences, dependences = lattice_of([[[1, 3, 1]]]).neighbourhoods
    assert occupied.tolist() == [2, 0, 1]
    assert differences.tolist() == [4, 0, 2]
    assert dependences[:, 0].tolist() == [2, 0, 1]


@given(st.lists(st.integers(0, 4), min_size=27, max_size=27))
def test_every_voxel_is_in_one_run_a_direction_one_zone_and_one_neighbourhood(levels):
    lattice = lattice_of(np.reshape([*levels[:26], 1], (3, 3, 3)))
    voxels, longest = lattice.layout.voxels, lattice.layout.longest
    runs = lattice.run_lengths(longest, by_direction=True)
    assert (runs.sum(axis=1) @ np.arange(1, longest + 1) == voxels).all()
    assert (runs.sum(axis=0) == lattice.run_lengths(longest, by_direction=False)[0]).all()
    assert lattice.zones[1].sum() == voxels
    assert lattice.neighbourhoods[2].sum() == voxels


@given(st.lists(st.integers(0, 4), min_size=60, max_size=60))
def test_pairs_of_all_directions_are_those_of_each(levels):
    lattice = lattice_of(np.reshape(levels, (3, 4, 5)))
    (merged,) = lattice.cooccurrences(by_direction=False)
    assert (lattice.cooccurrences(by_direction=True).sum(axis=0) == merged).all()


@given(st.lists(st.integers(0, 3), min_size=80, max_size=80))
def test_zones_are_the_connected_parts_of_each_level(levels):
    levels = np.reshape(levels, (4, 4, 5))
    expected = []
    for level in (1, 2, 3):
        parts, _ = ndimage.label(levels == level, np.ones((3, 3, 3)))
        expected += [(level, size) for size in np.bincount(parts.ravel())[1:]]
    assert sorted(map(tuple, lattice_of(levels).zones[:2].T.tolist())) == sorted(expected)


@given(st.lists(st.integers(0, 4), min_size=27, max_size=27), st.integers(0, 2), st.integers(0, 2))
def test_volume_textures_do_not_depend_on_how_the_patient_lies(levels, axis, other):
    levels = np.reshape([*levels[:26], 1], (3, 3, 3))
    turned = np.ascontiguousarray(np.flip(np.swapaxes(levels, axis, other), axis))
    straight, lying = (textures_of(each, TEXTURES, [Aggregation.VOLUME_MERGED]) for each in (levels, turned))
    assert lying == pytest.approx(straight, nan_ok=True, rel=1e-6, abs=1e-6)


def test_a_single_voxel_has_no_pairs_but_a_run_and_a_zone():
    levels = np.ones((1, 1, 1))
    found = textures_of(levels, TEXTURES, tuple(Aggregation))
    undefined = {tag.split("_")[0] for tag, value in found.items() if math.isnan(value)}
    assert undefined == {"cm", "ngt"}
    assert found["szm_z_perc_3D"] == 1


def test_a_flat_region_is_as_coarse_and_as_correlated_as_can_be():
    levels = np.full((3, 3, 3), 2)
    found = textures_of(levels, TEXTURES, [Aggregation.VOLUME_MERGED])
    assert found["ngt_coarseness_3D"] == 1e6
    assert found["cm_corr_3D_comb"] == 1
    assert found["cm_contrast_3D_comb"] == 0
    assert found["szm_lze_3D"] == 27**2


def test_slices_in_which_a_feature_is_not_defined_do_not_count_in_its_average():
    levels = np.array([[[1, 2, 1]], [[3, 0, 0]]])
    both = textures_of(levels, {Family.NGTDM}, [Aggregation.SLICE_MERGED])
    one = textures_of(levels[:1], {Family.NGTDM}, [Aggregation.SLICE_MERGED])
    assert both == pytest.approx(one)


def test_slices_without_a_voxel_do_not_count_in_the_average():
    levels = np.array([[[1, 2, 1]], [[0, 0, 0]], [[1, 2, 1]]])
    both = textures_of(levels, {Family.GLCM}, [Aggregation.SLICE_MERGED])
    one = textures_of(levels[:1], {Family.GLCM}, [Aggregation.SLICE_MERGED])
    assert both == pytest.approx(one)
