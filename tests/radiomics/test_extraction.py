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
