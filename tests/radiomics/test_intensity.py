import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from preop.imaging import Geometry
from preop.radiomics import order
from preop.radiomics.intensity import local_intensity, statistics
from preop.radiomics.preparation import RegionOfInterest


def region_of(intensities, mask=None, spacing_mm=(1.0, 1.0, 1.0)):
    intensities = np.asarray(intensities, dtype=np.float64)
    mask = np.ones(intensities.shape, dtype=bool) if mask is None else mask
    return RegionOfInterest(intensities, mask, mask, Geometry.axis_aligned(mask.shape, spacing_mm))


def test_a_flat_region_has_no_spread_and_no_skewness():
    found = statistics(region_of(np.full((2, 2, 2), 7.0)))
    assert found["stat_mean"] == 7
    assert [found[f"stat_{name}"] for name in ("var", "skew", "kurt", "iqr", "cov")] == [0, 0, 0, 0, 0]


@pytest.mark.parametrize("scale", [1.0, 0.37], ids=["whole numbers are counted", "others are sorted"])
def test_statistics_are_those_of_the_textbook(scale):
    values = np.rint(np.random.default_rng(0).normal(30, 20, size=(13, 17, 23))) * scale
    found = statistics(region_of(values))
    p10, p25, median, p75, p90 = np.percentile(values, (10, 25, 50, 75, 90))
    middle = values[(values >= p10) & (values <= p90)]
    expected = {
        "mean": values.mean(),
        "var": values.var(),
        "skew": stats.skew(values, axis=None),
        "kurt": stats.kurtosis(values, axis=None),
        "median": median,
        "p10": p10,
        "iqr": p75 - p25,
        "mad": np.abs(values - values.mean()).mean(),
        "rmad": np.abs(middle - middle.mean()).mean(),
        "medad": np.abs(values - median).mean(),
        "energy": (values**2).sum(),
    }
    assert {name: found[f"stat_{name}"] for name in expected} == pytest.approx(expected, rel=1e-10)


def test_a_rank_beside_a_step_is_that_of_the_upper_value():
    """The sixth of eleven: five ones, and six twos."""
    assert statistics(region_of(np.array([1.0] * 5 + [2.0] * 6).reshape(1, 1, 11)))["stat_median"] == 2


@given(st.lists(st.floats(-1e3, 1e3) | st.sampled_from([0.1, 0.2]), min_size=1, max_size=60), st.data())
def test_the_number_of_a_rank_is_that_of_the_sorted_list(values, data):
    ranks = np.array(data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=5)))
    found = order.at_ranks(np.array(values), min(values), max(values), ranks)
    assert found.tolist() == np.sort(values)[ranks].tolist()


def test_quotients_by_a_mean_of_0_are_not_numbers():
    found = statistics(region_of([[[-1.0, 1.0]]]))
    assert math.isnan(found["stat_cov"])
    assert math.isnan(found["stat_qcod"])


def test_the_peak_is_the_mean_of_a_sphere_that_reaches_beyond_the_region():
    intensities = np.zeros((21, 21, 21))
    intensities[10, 10, 10] = 1021  # a sphere of 6.2 mm holds 1021 voxel centres of a 1 mm grid
    mask = np.zeros(intensities.shape, dtype=bool)
    mask[10, 10, 10] = True
    found = local_intensity(region_of(intensities, mask))
    assert found["loc_peak_loc"] == pytest.approx(1)
    assert found["loc_peak_glob"] == pytest.approx(1)


def test_the_sphere_ends_where_the_image_ends():
    found = local_intensity(region_of(np.full((3, 3, 3), -1000.0), spacing_mm=(2.0, 2.0, 2.0)))
    assert found["loc_peak_glob"] == pytest.approx(-1000)


def test_of_several_brightest_voxels_the_one_with_the_higher_peak_counts():
    intensities = np.zeros((1, 1, 40))
    intensities[0, 0, 5] = 10
    intensities[0, 0, 30:32] = 10
    found = local_intensity(region_of(intensities))
    assert found["loc_peak_loc"] == pytest.approx(20 / 13)
