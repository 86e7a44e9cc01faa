import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image
from preop.radiomics import Core, LargestSlab, RingInside, RingOutside, Settings, Tumour, compute_features
from preop.radiomics.preparation import prepare

MM = (1.0, 1.0, 1.0)


@pytest.fixture
def block():
    """A cube of 10 mm in a space of 30 mm."""
    mask = np.zeros((30, 30, 30), dtype=bool)
    mask[10:20, 10:20, 10:20] = True
    return mask


def test_a_ring_inside_is_as_wide_as_it_says(block):
    assert RingInside(width_mm=3).of(block, MM).sum() == 10**3 - 4**3


def test_a_ring_outside_is_as_wide_as_it_says(block):
    ring = RingOutside(width_mm=3).of(block, MM)
    assert ring[15, 15].nonzero()[0].tolist() == [7, 8, 9, 20, 21, 22]
    assert not (ring & block).any()


@given(st.floats(0.5, 4.5))
def test_core_and_ring_inside_are_the_whole_tumour(width):
    mask = np.zeros((12, 12, 12), dtype=bool)
    mask[1:11, 1:11, 1:11] = True
    core, ring = Core(depth_mm=width).of(mask, MM), RingInside(width_mm=max(width, 1)).of(mask, MM)
    assert not (core & ring).any() or width < 1
    assert ((core | ring) == mask).all()


def test_widths_are_in_mm_along_every_axis(block):
    ring = RingOutside(width_mm=4).of(block, (4.0, 2.0, 1.0))
    assert ring[:, 15, 15].sum() == 2 * 1
    assert ring[15, :, 15].sum() == 2 * 2
    assert ring[15, 15, :].sum() == 2 * 4


def test_a_depth_is_in_mm_along_every_axis(block):
    core = Core(depth_mm=4).of(block, (4.0, 2.0, 1.0))
    assert [core[:, 15, 15].sum(), core[15, :, 15].sum(), core[15, 15, :].sum()] == [10 - 2 * 1, 10 - 2 * 2, 10 - 2 * 4]


def test_a_tumour_at_the_edge_of_the_image_has_a_surface_there():
    mask = np.ones((5, 5, 5), dtype=bool)
    assert RingInside(width_mm=1).of(mask, MM).sum() == 5**3 - 3**3


def test_the_largest_slab_lies_around_the_largest_slice(block):
    block[12, 10:22, 10:22] = True
    slab = LargestSlab(thickness_mm=3).of(block, MM)
    assert np.flatnonzero(slab.any(axis=(1, 2))).tolist() == [11, 12, 13]


def test_a_slab_thinner_than_a_slice_is_one_slice(block):
    slab = LargestSlab(thickness_mm=1).of(block, (5.0, 1.0, 1.0))
    assert np.flatnonzero(slab.any(axis=(1, 2))).tolist() == [15]


def test_a_core_that_is_nowhere_names_the_depth_there_is(block):
    with pytest.raises(InvalidInputError, match="core_20mm is empty: the tumour's deepest voxel lies 5 mm below"):
        Core(depth_mm=20).of(block, MM)


def test_features_come_from_the_region_on_the_grid_of_the_settings(block):
    geometry = Geometry.axis_aligned(block.shape, (3.0, 1.0, 1.0))
    image, mask = Image(np.where(block, 100.0, 0.0), geometry), Image(block, geometry)
    ring = Settings(spacing_mm=MM, interpolation="nearest", region=RingOutside(width_mm=2))
    assert compute_features(image, mask, ring)["stat_max"] == 0
    region = prepare(image, mask, ring)
    assert region.morphological[:, region.morphological.shape[1] // 2, region.morphological.shape[2] // 2].sum() == 4


def test_every_region_has_a_name_of_its_own():
    regions = [Tumour(), Core(), RingInside(), RingOutside(), LargestSlab()]
    assert len({region.name for region in regions}) == len(regions)
