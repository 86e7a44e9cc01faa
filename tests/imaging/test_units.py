from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, check_hu, check_mm, check_suv, read_image

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


def test_a_pet_in_kbq_per_ml_is_refused_outside_the_brain() -> None:
    check_suv(pet_of(), brain=False)
    for factor in (2.5, 4.0, 7.0):
        with pytest.raises(InvalidInputError, match="kBq/ml"):
            check_suv(pet_of(factor), brain=False)


def test_suv_rounded_to_whole_numbers_are_refused() -> None:
    pet = pet_of()
    with pytest.raises(InvalidInputError, match="whole numbers alone, from 0 to 60: SUV were rounded"):
        check_suv(pet.with_voxels(np.rint(pet.voxels)))


def ct_of(seed: int = 0) -> Image:
    """A trunk in air: fat around muscle, lung, and a vertebra, with noise, in HU."""
    hu = np.full((30, 60, 60), -1000.0)
    hu[:, 8:52, 8:52] = -100
    hu[:, 12:48, 12:48] = 50
    hu[:, 15:30, 15:30] = -850
    hu[:, 38:46, 26:34] = 500
    noisy = hu + np.random.default_rng(seed).normal(0, 15, hu.shape)
    return Image(np.maximum(np.rint(noisy), -1024).astype(np.int16), Geometry.axis_aligned(hu.shape, (3.0, 1.0, 1.0)))


def test_a_ct_in_hu_is_accepted_also_as_a_crop_and_with_padding() -> None:
    ct = ct_of()
    check_hu(ct)
    part = ct.voxels[:, 10:48, 10:48]
    check_hu(Image(part, Geometry.axis_aligned(part.shape, (3.0, 1.0, 1.0))))
    for padding in (-2000, -3024):
        check_hu(ct.with_voxels(np.where(ct.voxels < -950, padding, ct.voxels)))


def scaled(voxels: np.ndarray) -> np.ndarray:
    return (np.clip(voxels, -1000, 1000) + 1000.0) / 2000


WRONG_HU = {
    "HU + 1024": (lambda hu: hu + 1024, r"most of the body lies near \d+; it looks like HU \+ 1024"),
    "HU + 1000": (lambda hu: hu + 1000, r"HU \+ 1024, or stored values without their rescale intercept"),
    "stored values with padding": (lambda hu: np.where(hu < -950, -2000, hu + 1024), r"HU \+ 1024"),
    "HU + 1024 with padding": (lambda hu: np.where(hu < -950, -976, hu + 1024), r"HU \+ 1024"),
    "rescaled twice": (lambda hu: hu - 1024, "subtracted twice"),
    "unsigned": (lambda hu: hu.astype(np.uint16), "stored without their sign"),
    "a window of 8 bits": (lambda hu: np.clip((hu + 160) / 400, 0, 1) * 255, "windowed picture"),
    "an MR": (lambda hu: np.clip(hu + 900, 0, 950), "HU|MR"),
    "from 0 to 1": (scaled, "it looks normalised"),
    "of mean 0 and standard deviation 1": (lambda hu: (hu - hu.mean()) / hu.std(), "it looks normalised"),
    "padding alone": (lambda hu: np.full_like(hu, -3024), "is padding below -1500"),
    "air alone": (lambda hu: np.clip(hu - 900, -1024, -800), "no soft tissue is in view"),
    "ten times as steep": (lambda hu: np.where(hu > -500, hu * 10.0, hu), "is soft tissue"),
}


@pytest.mark.parametrize("name", WRONG_HU)
def test_a_ct_in_another_unit_is_refused_with_what_it_probably_is(name: str) -> None:
    spoil, words = WRONG_HU[name]
    ct = ct_of()
    with pytest.raises(InvalidInputError, match=f"ct-image is not in HU: .*{words}"):
        check_hu(
            ct.with_voxels(spoil(ct.voxels.astype(np.int32) if name != "unsigned" else ct.voxels)), name="ct-image"
        )


def real_cts(data: Path) -> list[Path]:
    return [
        *sorted((data / "sarcoma").glob("*/CT_image.nii.gz"))[::4],
        *(file for file in sorted((data / "real/ct").glob("*.nii.gz")) if "bodylung" not in file.name),
        *(data / "anatomy").glob("*_ct_crop.nii.gz"),
        data / "liver/crlm_ct_1004.nii.gz",
    ]


def test_real_cts_are_accepted_and_refused_once_they_are_shifted(data: Path) -> None:
    files = real_cts(data)
    assert len(files) > 15
    for file in files:
        ct = read_image(file)
        check_hu(ct)
        for shift in (1024, 1000, -1024):
            with pytest.raises(InvalidInputError, match="is not in HU"):
                check_hu(ct.with_voxels(ct.voxels.astype(np.int32) + shift))


def test_real_pets_in_kbq_per_ml_are_refused(data: Path) -> None:
    for file in sorted((data / "sarcoma").glob("*/PET_image.nii.gz")):
        pet = read_image(file)
        check_suv(pet, brain=False)
        with pytest.raises(InvalidInputError, match="kBq/ml"):
            check_suv(pet.with_voxels(pet.voxels * 4), brain=False)


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "origin_mm"),
    [
        ((400, 512, 512), (0.1, 0.1, 0.1), (0, 0, 0)),  # temporal bone
        ((400, 168, 168), (5.0, 4.07, 4.07), (-342, -342, -1900)),  # whole-body PET
        ((25, 512, 512), (10.0, 0.98, 0.98), (0, 0, 2000)),
    ],
)
def test_scans_of_patients_are_accepted_by_their_sizes(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], origin_mm: tuple[float, ...]
) -> None:
    check_mm(Geometry.axis_aligned(shape, spacing_mm, origin_mm), name="scan")


@pytest.mark.parametrize(
    ("shape", "spacing_mm", "origin_mm", "sentence"),
    [
        (
            (50, 50, 50),
            (0.001, 0.001, 0.001),
            (0, 0, 0),
            "scan has voxels of 0.001 x 0.001 x 0.001 mm; expected 0.05 to 30 mm",
        ),
        ((50, 50, 50), (1000, 1, 1), (0, 0, 0), "scan has voxels of 1 x 1 x 1000 mm"),
        ((400, 50, 50), (10, 1, 1), (0, 0, 0), "scan has a size of 50 x 50 x 4000 mm; expected at most 3000 mm"),
        ((50, 50, 50), (1, 1, 1), (0, 1e300, 0), "scan has its origin 1e[+]300 mm away"),
    ],
)
def test_sizes_that_no_patient_has_are_refused(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], origin_mm: tuple[float, ...], sentence: str
) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        check_mm(Geometry.axis_aligned(shape, spacing_mm, origin_mm), name="scan")
