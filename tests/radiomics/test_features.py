import json

import numpy as np
import pytest
from pydantic import ValidationError

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image
from preop.radiomics import CATALOGUE, Aggregation, Family, FixedBinNumber, Settings, compute_features, describe
from preop.radiomics.filters import LaplacianOfGaussian


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    geometry = Geometry.axis_aligned((20, 22, 24), (1.0, 1.0, 1.0))
    z, y, x = np.mgrid[:20, :22, :24]
    inside = (z - 10) ** 2 + (y - 11) ** 2 + (x - 12) ** 2 <= 6**2
    return Image(rng.normal(50, 30, size=geometry.shape).astype(np.float32), geometry), Image(inside, geometry)


def test_every_feature_of_the_catalogue_is_found_and_finite(case):
    found = compute_features(*case, Settings())
    assert {describe(key).tag for key in found} == set(CATALOGUE)
    assert all(np.isfinite(list(found.values())))


def test_a_family_gives_its_own_features_alone(case):
    found = compute_features(*case, Settings(), {Family.GLCM})
    assert {describe(key).family for key in found} == {Family.GLCM}


def test_textures_are_named_after_their_aggregation(case):
    settings = Settings(aggregations=(Aggregation.VOLUME_AVERAGED, Aggregation.VOLUME_MERGED))
    found = compute_features(*case, settings, {Family.GLCM, Family.GLSZM})
    assert {"cm_contrast_3D_avg", "cm_contrast_3D_comb", "szm_sze_3D"} < set(found)
    assert len(found) == 2 * 25 + 16


def test_response_maps_give_intensity_and_texture_features_named_after_the_filter(case):
    settings = Settings(filters=(LaplacianOfGaussian(sigma_mm=1.5),))
    found = compute_features(*case, settings)
    of_filter = {key for key in found if key.startswith("log_1p5mm__")}
    assert "log_1p5mm__stat_mean" in of_filter
    assert {describe(key).family for key in of_filter}.isdisjoint({Family.MORPHOLOGY, Family.LOCAL_INTENSITY})
    assert len(found) > len(of_filter) > 100


def test_the_same_case_gives_the_same_numbers(case):
    assert compute_features(*case, Settings()) == compute_features(*case, Settings())


def test_threads_change_nothing(case):
    settings = Settings(filters=(LaplacianOfGaussian(),))
    assert compute_features(*case, settings, threads=3) == compute_features(*case, settings, threads=1)


def test_other_labels_than_1_belong_to_the_region_too(case):
    image, mask = case
    labels = mask.with_voxels(mask.voxels.astype(np.int16) * 3)
    assert compute_features(image, labels, Settings()) == compute_features(image, mask, Settings())


def test_one_voxel_gives_what_it_defines(case):
    image, mask = case
    one = np.zeros(mask.shape, dtype=bool)
    one[10, 11, 12] = True
    found = compute_features(image, mask.with_voxels(one), Settings(spacing_mm=None))
    assert found["morph_vol_approx"] == 1
    assert np.isnan(found["cm_contrast_3D_comb"])


def test_a_flat_image_gives_no_error(case):
    image, mask = case
    found = compute_features(image.with_voxels(np.full(image.shape, 30)), mask, Settings())
    assert found["stat_var"] == 0
    assert np.isnan(found["morph_moran_i"])


def test_an_image_with_holes_is_refused(case):
    image, mask = case
    voxels = image.voxels.copy()
    voxels[0, 0, 0] = np.nan
    with pytest.raises(InvalidInputError, match="not finite"):
        compute_features(image.with_voxels(voxels), mask, Settings())


def test_settings_survive_their_file():
    settings = Settings(lower=-100, discretisation=FixedBinNumber(count=64), filters=(LaplacianOfGaussian(sigma_mm=3),))
    assert Settings.model_validate(json.loads(settings.model_dump_json())) == settings


def test_a_spacing_of_0_keeps_what_the_scan_has():
    assert Settings.model_validate({"spacing_mm": [0, 1, 1]}).spacing_mm == (None, 1, 1)
    assert Settings.model_validate({"spacing_mm": [0, 0, 0]}).spacing_mm is None
    with pytest.raises(ValidationError, match="greater than 0"):
        Settings.model_validate({"spacing_mm": [-1, 1, 1]})


def test_a_misspelt_setting_is_refused():
    with pytest.raises(ValidationError, match="spacing"):
        Settings.model_validate({"spacing": [1, 1, 1]})


def test_two_filters_of_one_name_are_refused():
    with pytest.raises(ValidationError, match="must differ"):
        Settings(filters=(LaplacianOfGaussian(), LaplacianOfGaussian(truncate=3)))
