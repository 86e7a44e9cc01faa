import json

import numpy as np
import pytest

import preop
from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, write_image
from preop.radiomics import Extraction, Family, Settings, compute_features, extract


@pytest.fixture
def files(tmp_path):
    geometry = Geometry.axis_aligned((10, 10, 10), (1.0, 1.0, 1.0))
    mask = np.zeros(geometry.shape, dtype=np.uint8)
    mask[2:8, 2:8, 2:8] = 1
    image = Image(np.random.default_rng(0).integers(-100, 100, geometry.shape).astype(np.int16), geometry)
    write_image(image, tmp_path / "image.nii.gz")
    write_image(Image(mask, geometry), tmp_path / "mask.mha")
    return tmp_path / "image.nii.gz", tmp_path / "mask.mha", image, Image(mask, geometry)


def test_a_row_names_its_files_and_holds_the_features(files):
    image_file, mask_file, image, mask = files
    row = extract(image_file, mask_file, families={Family.STATISTICS}).row()
    assert (row["image"], row["mask"], row["preop"]) == ("image.nii.gz", "mask.mha", preop.__version__)
    expected = compute_features(image, mask, Settings(), {Family.STATISTICS})
    assert {tag: row[tag] for tag in expected} == expected


def test_checksums_follow_the_content_and_the_settings(files, tmp_path):
    image_file, mask_file, *_ = files
    first, again = (extract(image_file, mask_file, families={Family.STATISTICS}) for _ in range(2))
    other = extract(image_file, mask_file, Settings(lower=-1), families={Family.STATISTICS})
    assert first == again
    assert other.image_sha256 == first.image_sha256 != first.mask_sha256
    assert other.settings_sha256 != first.settings_sha256


def test_json_can_be_read_back_with_what_is_not_defined(files):
    image_file, mask_file, *_ = files
    found = extract(image_file, mask_file, families={Family.STATISTICS})
    undefined = found.model_copy(update={"features": {"stat_cov": float("nan"), "stat_mean": 1.0}})
    content = json.loads(undefined.model_dump_json())
    assert content["features"] == {"stat_cov": None, "stat_mean": 1.0}
    assert Extraction.model_validate_json(found.model_dump_json()) == found


def test_a_missing_file_is_named(files, tmp_path):
    with pytest.raises(InvalidInputError, match=r"other\.nii\.gz does not exist"):
        extract(tmp_path / "other.nii.gz", files[1])


def extracted(tmp_path, voxels, settings=None, **more):
    """Features of the inner 6 x 6 x 6 voxels, on the image's own grid."""
    geometry = Geometry.axis_aligned(voxels.shape, (1.0, 1.0, 1.0))
    mask = np.zeros(voxels.shape, dtype=bool)
    mask[2:8, 2:8, 2:8] = True
    write_image(Image(voxels, geometry), tmp_path / "v.mha")
    write_image(Image(mask, geometry), tmp_path / "m.mha")
    chosen = {"spacing_mm": None} | (settings or {})
    return extract(tmp_path / "v.mha", tmp_path / "m.mha", Settings(**chosen), {Family.HISTOGRAM}, **more)


RAMP = np.broadcast_to(np.arange(10.0)[:, None, None], (10, 10, 10)).astype(np.float32)  # 2 to 7 in the region


@pytest.mark.parametrize(
    ("voxels", "settings", "modality", "levels"),
    [
        (RAMP * 2 - 100, {}, "CT", 1),  # -96 to -86 HU, in a bin of 25
        (RAMP, {"discretisation": {"method": "fixed_bin_number", "count": 3}}, "MR", 3),
        (np.where(RAMP > 4, 500, -500).astype(np.int16), {}, "CT", 2),  # forty bins apart, but only two of them
        (np.full((10, 10, 10), 3.0, np.float32), {}, "PET", 1),
        (RAMP, {"discretisation": {"method": "fixed_bin_size", "width": 1.0}}, "MR", 6),
        (RAMP, {}, "PET", 6),  # 2 to 7 SUV in bins of half an SUV
        (RAMP, {}, "MR", 6),
    ],
)
def test_few_grey_levels_are_a_warning(tmp_path, voxels, settings, modality, levels):
    found = extracted(tmp_path, voxels, settings, modality=modality)
    if levels >= 4:
        assert found.row()["warnings"] == ""
    else:
        assert f"The region has {levels} grey level" in found.row()["warnings"]


def test_over_a_thousand_grey_levels_are_a_warning(tmp_path):
    unit = {"discretisation": {"method": "fixed_bin_size", "width": 1.0}, "round_intensities": False}
    steps = RAMP - 4.5  # -2.5 to 2.5 in the region
    assert extracted(tmp_path, steps * 199.8, unit).warnings == []  # 999 apart: 1000 levels
    assert "over 1000 grey levels" in extracted(tmp_path, steps * 201, unit).warnings[0]


@pytest.mark.parametrize(
    "voxels", [RAMP, RAMP * 1000, RAMP + 1024, RAMP - 5, np.where(RAMP > 4, 40.0, -32768.0).astype(np.float32)]
)
def test_what_does_not_look_like_hounsfield_units_is_not_measured_as_such_without_a_word(tmp_path, voxels):
    with pytest.raises(InvalidInputError, match="does not look like a CT in HU"):
        extracted(tmp_path, voxels)
    assert extracted(tmp_path, voxels / np.abs(voxels).max(), modality="MR").modality == "MR"


def test_what_is_set_on_purpose_stands_above_the_modality(tmp_path):
    settings = extracted(tmp_path, RAMP, {"lower": 1.0}, modality="PET").settings
    assert (settings.lower, settings.spacing_mm, settings.round_intensities) == (1.0, None, False)
    assert settings.discretisation.width == 0.5
