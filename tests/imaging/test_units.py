from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, check_suv, read_image

DOSE_BQ, WEIGHT_G = 300e6, 75_000.0


def pet_of(scale: float = 1.0) -> Image:
    """A body in air: muscle, liver, brain and a bladder, in SUV times ``scale``."""
    suv = np.full((60, 40, 40), 0.01)
    suv[:, 8:32, 8:32] = 0.6
    suv[30:40, 10:20, 10:25] = 2.3
    suv[55:, 14:26, 14:26] = 9.0
    suv[:3, 18:22, 18:22] = 60.0
    return Image((suv * scale).astype(np.float32), Geometry.axis_aligned(suv.shape, (4.0, 4.0, 4.0)))


def test_a_pet_in_suv_is_accepted() -> None:
    check_suv(pet_of())


def test_every_real_pet_in_suv_is_accepted_although_cropped(data: Path) -> None:
    files = sorted((data / "sarcoma").glob("*/PET_image.nii.gz"))
    assert len(files) > 30
    for file in files:
        check_suv(read_image(file))


def test_crops_of_brain_muscle_and_bladder_are_accepted() -> None:
    pet = pet_of()
    for box in (np.s_[55:, 14:26, 14:26], np.s_[5:20, 8:14, 8:14], np.s_[:9, 12:28, 12:28]):
        part = pet.voxels[box]
        check_suv(Image(part, Geometry.axis_aligned(part.shape, (4.0, 4.0, 4.0))))


@pytest.mark.parametrize(
    ("scale", "reason"),
    [
        pytest.param(DOSE_BQ / WEIGHT_G, "activity concentration in Bq/ml", id="Bq/ml"),
        pytest.param(DOSE_BQ / WEIGHT_G / 4, "activity concentration in Bq/ml", id="Bq/ml of a low dose"),
        pytest.param(1e3, "body weight 1,000 times too large", id="weight too large"),
        pytest.param(1e-3, "kg taken for g", id="weight too small"),
        pytest.param(1e6, "MBq taken for Bq", id="dose too small"),
        pytest.param(1e-6, "Bq for MBq", id="dose too large"),
        pytest.param(40, "kBq/ml", id="kBq/ml"),
    ],
)
def test_a_wrong_unit_is_refused_with_the_reason(scale: float, reason: str) -> None:
    with pytest.raises(InvalidInputError, match=reason):
        check_suv(pet_of(scale))


def test_real_pets_in_wrong_units_are_refused(data: Path) -> None:
    for file in sorted((data / "sarcoma").glob("*/PET_image.nii.gz"))[:10]:
        pet = read_image(file)
        for scale, reason in ((DOSE_BQ / WEIGHT_G, "Bq/ml"), (1e-3, "kg taken for g")):
            with pytest.raises(InvalidInputError, match=reason):
                check_suv(pet.with_voxels(pet.voxels * scale))


def test_other_scans_and_empty_ones_are_refused() -> None:
    pet = pet_of()
    with pytest.raises(InvalidInputError, match="looks like a CT or another scan"):
        check_suv(pet.with_voxels(np.minimum(pet.voxels * 500 - 1000, 1500)))
    with pytest.raises(InvalidInputError, match="The tracer holds no uptake"):
        check_suv(pet.with_voxels(pet.voxels * 0), name="The tracer")
