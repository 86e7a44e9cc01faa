import math

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.imaging import Geometry
from preop.radiomics import FixedBinSize, Settings
from preop.radiomics.histogram import intensity_histogram, intensity_volume_histogram
from preop.radiomics.preparation import GreyLevels, RegionOfInterest


def region_of(values):
    intensities = np.asarray(values, dtype=np.float64).reshape(1, 1, -1)
    mask = np.ones(intensities.shape, dtype=bool)
    return RegionOfInterest(intensities, mask, mask, Geometry.axis_aligned(mask.shape, (1.0, 1.0, 1.0)))


def grey_levels(levels, count):
    levels = np.array(levels, dtype=np.uint16)
    return GreyLevels(levels, np.bincount(levels, minlength=count + 1)[1:])


def test_of_several_modes_the_one_closest_to_the_mean_counts():
    assert intensity_histogram(grey_levels([1, 1, 2, 3, 3, 4], 4))["ih_mode"] == 3


def test_entropy_of_equal_shares_is_the_logarithm_of_their_number():
    found = intensity_histogram(grey_levels(range(1, 9), 8))
    assert found["ih_entropy"] == pytest.approx(3)
    assert found["ih_uniformity"] == pytest.approx(1 / 8)


def test_one_grey_level_has_no_gradient():
    found = intensity_histogram(grey_levels([1] * 5, 1))
    assert math.isnan(found["ih_max_grad"])
    assert found["ih_entropy"] == 0


def test_half_the_volume_reaches_half_the_range():
    found = intensity_volume_histogram(region_of(np.arange(101)), Settings())
    assert found["ivh_v10"] == pytest.approx(91 / 101)
    assert found["ivh_v90"] == pytest.approx(11 / 101)
    assert found["ivh_i10"] == 91


def test_the_range_of_the_settings_is_the_range_of_the_histogram():
    found = intensity_volume_histogram(region_of(np.arange(101)), Settings(lower=-100, upper=100))
    assert found["ivh_v10"] == 1
    assert found["ivh_v90"] == pytest.approx(21 / 101)


def test_bins_of_fixed_size_give_the_intensity_of_their_centre():
    settings = Settings(ivh_discretisation=FixedBinSize(width=10))
    assert intensity_volume_histogram(region_of(np.arange(100)), settings)["ivh_i10"] == 95


def test_an_intensity_that_more_than_a_tenth_reach_is_not_the_tenth_s_but_the_next():
    found = intensity_volume_histogram(region_of([1, 2, 3, 3]), Settings())
    assert found["ivh_i10"] == 4


def test_a_flat_region_has_no_fraction_of_its_range():
    found = intensity_volume_histogram(region_of([3, 3]), Settings())
    assert math.isnan(found["ivh_v10"])
    assert found["ivh_i90"] == 4


def test_a_step_of_the_wrong_unit_is_refused():
    with pytest.raises(InvalidInputError, match="at most 1,000,000: set a wider ivh_discretisation"):
        intensity_volume_histogram(region_of([0, 5e6]), Settings())


def test_intensities_that_are_not_rounded_are_divided_into_a_thousand_steps():
    found = intensity_volume_histogram(region_of(np.linspace(0, 1, 2001)), Settings(round_intensities=False))
    assert found["ivh_v10"] == pytest.approx(0.9, abs=0.002)
    assert found["ivh_i10"] == pytest.approx(900, abs=2)
