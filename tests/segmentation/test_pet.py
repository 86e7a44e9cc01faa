from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image
from preop.segmentation import FixedSuv, FractionOfMaximum, LiverBased, Organs, liver_threshold, segment_pet

GRID = Geometry.axis_aligned((40, 50, 60), (3.0, 2.0, 2.0), (0.0, 0.0, 0.0))
FORTY_ONE = FractionOfMaximum()


def distance_mm(centre_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Distance of each voxel from a point (z, y, x)."""
    axes = [np.arange(size) * mm - at for size, mm, at in zip(GRID.shape, GRID.spacing_mm, centre_mm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return np.asarray(np.sqrt(z**2 + y**2 + x**2))


def spheres(*parts: tuple[tuple[float, float, float], float, float], background: float = 0.8) -> Image:
    """Even spheres (centre, radius in mm, SUV)."""
    voxels = np.full(GRID.shape, background)
    for centre, radius_mm, suv in parts:
        voxels[distance_mm(centre) <= radius_mm] = suv
    return Image(voxels, GRID)


def hills(*parts: tuple[tuple[float, float, float], float, float], background: float = 0.8) -> Image:
    """Gaussian uptake (centre, standard deviation in mm, SUV of the peak)."""
    tops = [suv * np.exp(-(distance_mm(centre) ** 2) / (2 * sigma**2)) for centre, sigma, suv in parts]
    return Image(np.maximum(background, np.max(tops, axis=0)), GRID)


def organs_of(**masks: NDArray[np.bool_]) -> Organs:
    labels = np.zeros(GRID.shape, np.uint8)
    values = {name: value for value, name in enumerate(masks, 5)}
    for name, mask in masks.items():
        labels[mask] = values[name]
    return Organs(Image(labels, GRID), values)


LEFT, RIGHT, TOP = (60.0, 50.0, 30.0), (60.0, 50.0, 90.0), (100.0, 50.0, 60.0)


def test_each_lesion_goes_down_to_41_percent_of_its_own_maximum() -> None:
    pet = spheres((LEFT, 14, 20.0), (RIGHT, 10, 6.0))
    labels = segment_pet(pet, FORTY_ONE).voxels
    np.testing.assert_array_equal(labels == 1, distance_mm(LEFT) <= 14)
    np.testing.assert_array_equal(labels == 2, distance_mm(RIGHT) <= 10)
    # 41 % of the hottest lesion, 8.2, would have lost the other one.
    assert labels.max() == 2


def test_a_blurred_lesion_has_the_radius_that_41_percent_give() -> None:
    pet = hills((LEFT, 8, 20.0))
    labels = segment_pet(pet, FORTY_ONE).voxels
    np.testing.assert_array_equal(labels == 1, distance_mm(LEFT) <= 8 * np.sqrt(2 * np.log(1 / 0.41)))


@pytest.mark.parametrize("suv", [2.5, 4.0])
def test_a_fixed_threshold_takes_all_from_it_upwards(suv: float) -> None:
    pet = spheres((LEFT, 14, 3.9), (RIGHT, 10, 6.0), (TOP, 8, 4.0))
    labels = segment_pet(pet, FixedSuv(suv)).voxels
    np.testing.assert_array_equal(labels > 0, pet.voxels >= suv)
    assert labels.max() == (3 if suv == 2.5 else 2)


def test_the_largest_lesion_is_the_first() -> None:
    pet = spheres((LEFT, 8, 20.0), (RIGHT, 14, 5.0), (TOP, 11, 9.0))
    labels = segment_pet(pet, FORTY_ONE).voxels
    sizes = np.bincount(labels.ravel())[1:]
    assert len(sizes) == 3
    assert sorted(sizes, reverse=True) == sizes.tolist()


def test_two_peaks_are_one_lesion_if_the_saddle_between_them_is_above_41_percent() -> None:
    near, far = (60.0, 50.0, 46.0), (60.0, 50.0, 62.0)
    joined = segment_pet(hills((LEFT, 8, 10.0), (near, 8, 9.0)), FORTY_ONE).voxels
    assert joined.max() == 1
    assert joined[20, 25, 15] == joined[20, 25, 23] == 1
    apart = segment_pet(hills((LEFT, 8, 10.0), (far, 8, 9.0)), FORTY_ONE).voxels
    assert apart.max() == 2


def test_the_edge_of_a_hot_lesion_is_no_lesion_of_its_own() -> None:
    rng = np.random.default_rng(1)
    pet = hills((LEFT, 9, 30.0))
    noisy = pet.with_voxels(pet.voxels * rng.lognormal(0, 0.05, GRID.shape))
    assert segment_pet(noisy, FORTY_ONE).voxels.max() == 1


def test_a_faint_lesion_does_not_flow_into_the_blood_pool() -> None:
    pet = spheres((LEFT, 10, 3.0), background=1.7)
    np.testing.assert_array_equal(segment_pet(pet, FORTY_ONE).voxels > 0, distance_mm(LEFT) <= 10)


def test_small_lesions_are_dropped_by_their_volume() -> None:
    pet = spheres((LEFT, 10, 8.0), (RIGHT, 4, 8.0))
    volume_ml = (distance_mm(RIGHT) <= 4).sum() * 3 * 2 * 2 / 1000
    assert segment_pet(pet, FixedSuv(4), minimum_volume_ml=volume_ml + 0.001).voxels.max() == 1
    assert segment_pet(pet, FixedSuv(4), minimum_volume_ml=volume_ml).voxels.max() == 2


@pytest.mark.parametrize("threshold", [FORTY_ONE, FixedSuv(2.5)])
def test_uptake_of_organs_goes_with_the_blur_around_them(threshold: FractionOfMaximum | FixedSuv) -> None:
    bladder = distance_mm(LEFT) <= 8
    pet = hills((LEFT, 8, 40.0), (RIGHT, 6, 8.0))
    assert segment_pet(pet, threshold).voxels.max() == 2
    labels = segment_pet(pet, threshold, organs=organs_of(urinary_bladder=bladder)).voxels
    assert labels.max() == 1
    assert labels[20, 25, 45] == 1
    # The organ is 8 mm in radius, its blur above 2.5 reaches 19 mm.
    assert not labels[distance_mm(LEFT) < 20].any()


def test_a_lesion_beside_an_organ_stays() -> None:
    heart = distance_mm(LEFT) <= 16
    beside = (60.0, 50.0, 58.0)
    pet = hills((LEFT, 9, 12.0), (beside, 6, 8.0))
    labels = segment_pet(pet, FORTY_ONE, organs=organs_of(heart=heart)).voxels
    assert labels[20, 25, 29] == 1
    assert labels.max() == 1
    assert not labels[heart].any()


def test_only_the_organs_named_are_physiological() -> None:
    pet = spheres((LEFT, 10, 8.0))
    organs = organs_of(lung_upper_lobe_left=distance_mm(LEFT) <= 20)
    assert segment_pet(pet, FORTY_ONE, organs=organs).voxels.max() == 1
    assert segment_pet(pet, FORTY_ONE, organs=organs, physiological=["lung_upper_lobe_left"]).voxels.max() == 0


def test_the_liver_threshold_is_1_5_means_and_2_standard_deviations() -> None:
    liver = distance_mm(LEFT) <= 24
    checker = np.indices(GRID.shape).sum(axis=0) % 2
    pet = spheres((RIGHT, 9, 6.0), (TOP, 9, 3.6))
    voxels = np.where(liver, 2.0 + 0.3 * (2 * checker - 1), pet.voxels)
    organs = organs_of(liver=liver)
    found = liver_threshold(pet.with_voxels(voxels), organs)
    assert found == pytest.approx(1.5 * 2.0 + 2 * 0.3, abs=0.01)
    labels = segment_pet(pet.with_voxels(voxels), LiverBased(), organs=organs).voxels
    np.testing.assert_array_equal(labels == 1, distance_mm(RIGHT) <= 9)
    assert (labels[distance_mm(TOP) <= 9] == (2 if found <= 3.6 else 0)).all()


def test_without_enough_liver_its_threshold_is_refused() -> None:
    pet = spheres((LEFT, 10, 8.0))
    with pytest.raises(InvalidInputError, match="needs the labels of the organs"):
        segment_pet(pet, LiverBased())
    with pytest.raises(InvalidInputError, match="at most 0 mm deep"):
        segment_pet(pet, LiverBased(), organs=organs_of(heart=distance_mm(LEFT) <= 30))
    with pytest.raises(InvalidInputError, match=r"at most 1\d mm deep .* use a fixed SUV"):
        liver_threshold(pet, organs_of(liver=distance_mm((0.0, 50.0, 50.0)) <= 25))


def test_organs_on_another_grid_are_refused() -> None:
    other = Image(np.zeros((5, 5, 5), np.uint8), Geometry.axis_aligned((5, 5, 5), (1.0, 1.0, 1.0)))
    with pytest.raises(InvalidInputError, match="The organs lie on another grid than the PET"):
        segment_pet(spheres((LEFT, 10, 8.0)), FORTY_ONE, organs=Organs(other, {"heart": 1}))


def test_a_pet_without_lesions_gives_an_empty_label_map() -> None:
    for threshold in (FORTY_ONE, FixedSuv(4)):
        assert not segment_pet(spheres(), threshold).voxels.any()
