import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, aligned_grid, crop, resample_like
from preop.radiomics import FixedBinNumber, FixedBinSize, Settings, kernels
from preop.radiomics.preparation import _interpolated, bins_of, discretise, prepare


def image_of(voxels, spacing_mm=(1.0, 1.0, 1.0)):
    voxels = np.asarray(voxels)
    return Image(voxels, Geometry.axis_aligned(voxels.shape, spacing_mm))


@pytest.fixture
def ramp():
    """10 x 10 x 10 voxels of 2 mm; intensity 10 per voxel along x; the region is the middle 4 x 4 x 4."""
    voxels = np.broadcast_to(np.arange(10.0) * 10, (10, 10, 10)).copy()
    mask = np.zeros((10, 10, 10), dtype=bool)
    mask[3:7, 3:7, 3:7] = True
    return image_of(voxels, (2.0, 2.0, 2.0)), image_of(mask, (2.0, 2.0, 2.0))


def test_resampling_to_half_the_spacing_keeps_volume_and_mean(ramp):
    region = prepare(*ramp, Settings(spacing_mm=(1.0, 1.0, 1.0), round_intensities=False))
    assert region.morphological.sum() == 8**3 - 8  # a corner voxel is covered to 0.75^3, less than half
    assert region.values.mean() == pytest.approx(45)
    assert sorted(set(region.values.round(4).tolist())) == [27.5, 32.5, 37.5, 42.5, 47.5, 52.5, 57.5, 62.5]


def test_spacing_without_z_keeps_the_slices(ramp):
    region = prepare(*ramp, Settings(spacing_mm=(None, 1.0, 1.0)))
    assert region.spacing_mm == (2.0, 1.0, 1.0)
    assert region.morphological.sum() == 4 * 8 * 8  # at an edge 0.75^2, more than half


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
def test_the_box_around_the_region_holds_what_the_whole_image_does(interpolation):
    rng = np.random.default_rng(0)
    image = image_of(rng.normal(size=(40, 41, 60)).astype(np.float32), (3.0, 1.3, 0.9))
    mask = image_of(np.zeros(image.shape, dtype=np.uint8), image.spacing_mm)
    mask.voxels[20:24, 15:21, 25:40] = 1
    settings = Settings(spacing_mm=(1.7, 1.1, 1.0), interpolation=interpolation, round_intensities=False)
    whole, box = prepare(image, mask, settings, margin_mm=None), prepare(image, mask, settings, margin_mm=3.0)
    np.testing.assert_allclose(box.values, whole.values, atol=1e-5)
    assert box.intensities.size < whole.intensities.size / 4


def test_region_keeps_its_place_in_the_world(ramp):
    region = prepare(*ramp, Settings(spacing_mm=(1.0, 1.0, 1.0)))
    centre = region.geometry.world_mm(np.argwhere(region.morphological).mean(axis=0)[None])[0]
    np.testing.assert_allclose(centre, [9.0, 9.0, 9.0])


def test_range_and_outliers_are_left_out_of_the_intensity_mask_only():
    values = np.array([0.0] * 50 + [1.0] * 49 + [1000.0])
    image, mask = image_of(values.reshape(1, 10, 10)), image_of(np.ones((1, 10, 10)))
    by_sigma = prepare(image, mask, Settings(spacing_mm=None, outlier_sigma=3))
    by_both = prepare(image, mask, Settings(spacing_mm=None, outlier_sigma=3, lower=1))
    assert (by_sigma.intensity.sum(), by_sigma.morphological.sum()) == (99, 100)
    assert by_both.intensity.sum() == 49


def test_the_ends_of_a_range_belong_to_it_and_outliers_lie_beyond_so_many_standard_deviations():
    values = np.random.default_rng(3).normal(size=(10, 20, 20))
    image, mask = image_of(values), image_of(np.ones(values.shape))
    settings = Settings(spacing_mm=None, round_intensities=False)
    kept = prepare(image, mask, settings.model_copy(update={"outlier_sigma": 2.0})).intensity
    assert (kept == (np.abs(values - values.mean()) <= 2 * values.std())).all()
    largest, smallest = float(np.sort(values, axis=None)[-5]), float(np.sort(values, axis=None)[4])
    kept = prepare(image, mask, settings.model_copy(update={"lower": smallest, "upper": largest})).intensity
    assert kept.sum() == values.size - 8


def binned(values, method, lower=None):
    values = np.array(values)
    bins = bins_of(values, method, lower)
    levels = np.zeros(values.size, dtype=np.uint16)
    counts = kernels.fill_levels(
        values, np.arange(values.size), bins.start, bins.factor, bins.width, bins.count, levels
    )
    assert (counts == np.bincount(levels, minlength=bins.count + 1)[1:]).all()
    return levels.astype(int), bins.count


def test_bins_of_fixed_size_begin_at_the_lower_bound():
    bins, count = binned([-90.0, -75.0, -51.0, -50.0], FixedBinSize(width=25), lower=-100)
    assert bins.tolist() == [1, 2, 2, 3]
    assert count == 3


def test_a_fixed_number_of_bins_spans_the_region_and_holds_its_maximum():
    bins, count = binned([0.0, 2.4, 2.5, 9.9, 10.0], FixedBinNumber(count=4))
    assert bins.tolist() == [1, 1, 2, 4, 4]
    assert count == 4


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(2, 64))
def test_bin_numbers_stay_between_1_and_their_count_and_keep_the_order(values, count):
    bins, _ = binned(values, FixedBinNumber(count=count))
    assert bins.min() >= 1
    assert bins.max() <= count
    assert (np.diff(bins[np.argsort(values)]) >= 0).all()


def test_grey_levels_without_discretisation_must_be_whole_numbers_from_1(ramp):
    region = prepare(*ramp, Settings(spacing_mm=(1.0, 1.0, 1.0), round_intensities=False))
    with pytest.raises(InvalidInputError, match=r"not grey levels .* set a discretisation"):
        discretise(region, Settings(discretisation=None))


def test_a_bin_width_in_the_wrong_unit_is_refused(ramp):
    region = prepare(*ramp, Settings())
    with pytest.raises(InvalidInputError, match="at most 1024: use wider bins"):
        discretise(region, Settings(discretisation=FixedBinSize(width=0.01)))


@pytest.mark.parametrize("spacing_mm", [None, (1.0, 1.0, 1.0)])
def test_a_region_is_laid_out_in_one_order_whatever_the_image(ramp, spacing_mm):
    image, mask = (each.with_voxels(np.asfortranarray(each.voxels)) for each in ramp)
    region = prepare(image, mask, Settings(spacing_mm=spacing_mm, lower=0))
    levels = discretise(region, Settings()).levels
    for array in (region.intensities, region.morphological, region.intensity, levels):
        assert array.flags.c_contiguous


def test_an_empty_mask_is_refused(ramp):
    image, mask = ramp
    with pytest.raises(InvalidInputError, match="The mask is empty"):
        prepare(image, image_of(np.zeros_like(mask.voxels), mask.spacing_mm), Settings())


def test_a_mask_on_another_grid_is_refused(ramp):
    image, mask = ramp
    with pytest.raises(InvalidInputError, match="another grid than the image: size 10 x 10 x 5"):
        prepare(image, crop(mask, (slice(0, 5), slice(0, 10), slice(0, 10))), Settings())


def test_a_flat_image_is_refused():
    flat = image_of(np.ones((4, 4)), (1.0, 1.0))
    with pytest.raises(InvalidInputError, match="2 dimensions; expected 3"):
        prepare(flat, flat, Settings())


def test_a_region_that_large_voxels_swallow_is_refused(ramp):
    image, _ = ramp
    one = np.zeros(image.shape, dtype=bool)
    one[4, 4, 4] = True
    with pytest.raises(InvalidInputError, match="vanishes when it is resampled to 9 x 9 x 9 mm"):
        prepare(image, image_of(one, image.spacing_mm), Settings(spacing_mm=(9.0, 9.0, 9.0)))


def test_a_range_without_voxels_names_what_was_found(ramp):
    with pytest.raises(InvalidInputError, match="from 500 to 600: found 28 to 62"):
        prepare(*ramp, Settings(lower=500, upper=600))


def test_a_range_the_wrong_way_round_is_refused():
    with pytest.raises(ValueError, match=r"lower \(2\) must be < upper \(1\)"):
        Settings(lower=2, upper=1)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0, 0.7, 1.3), (5.0, 2.0, 0.4)])
@pytest.mark.parametrize("kind", [np.int16, np.float64])
def test_linear_interpolation_is_that_of_the_resampler(spacing, kind):
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    old = Geometry((6, 9, 7), (3.0, 1.1, 0.9), (10.0, -20.0, 30.0), tuple(turn.ravel().tolist()))
    image = Image((100 * rng.normal(size=old.shape)).astype(kind), old)
    grid = aligned_grid(old, tuple(new or mm for new, mm in zip(spacing, old.spacing_mm, strict=True)))
    found, wanted = _interpolated(image, grid), resample_like(image, grid, interpolation="linear")
    assert found.voxels.dtype == wanted.voxels.dtype
    np.testing.assert_allclose(found.voxels, wanted.voxels, rtol=1e-6, atol=1e-5)
