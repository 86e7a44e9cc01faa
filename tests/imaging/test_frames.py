from __future__ import annotations

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, overlap, reorient, to_common_frame


def ramp(geometry: Geometry) -> Image:
    """An image whose value is its world x + 10 y + 100 z, so that linear interpolation is exact."""
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1).reshape(-1, 3)
    return Image((geometry.world_mm(index) @ [1.0, 10.0, 100.0]).reshape(geometry.shape), geometry)


CT = Geometry.axis_aligned((40, 60, 60), (3.0, 2.0, 2.0), (-60.0, -60.0, 0.0))
PET = Geometry.axis_aligned((50, 50, 50), (4.0, 4.0, 4.0), (-100.0, -100.0, -40.0))


def test_pet_comes_to_the_grid_of_the_ct() -> None:
    pet, ct = to_common_frame(ramp(PET), ramp(CT))
    assert pet.geometry == ct.geometry == CT
    np.testing.assert_allclose(pet.voxels, ct.voxels, atol=1e-3)


def test_the_direction_of_the_axes_does_not_matter() -> None:
    pet, ct = to_common_frame(reorient(ramp(PET), "RAS"), reorient(ramp(CT), "ASL"))
    assert pet.geometry == ct.geometry
    np.testing.assert_allclose(pet.voxels, ct.voxels, atol=1e-3)


def test_both_come_to_a_wanted_spacing_with_the_centre_of_the_ct() -> None:
    pet, ct = to_common_frame(ramp(PET), ramp(CT), spacing_mm=(4.0, 4.0, 4.0))
    assert pet.shape == ct.shape == (30, 30, 30)
    np.testing.assert_allclose(pet.voxels, ct.voxels, atol=1e-3)


def test_the_pet_is_0_where_the_ct_reaches_beyond_it() -> None:
    long_ct = Geometry.axis_aligned((100, 60, 60), (3.0, 2.0, 2.0), (-60.0, -60.0, 0.0))
    pet, _ = to_common_frame(ramp(PET).with_voxels(np.ones(PET.shape, np.float32)), ramp(long_ct))
    last_slice = 160 // 3  # the PET ends at 158 mm
    assert (pet.voxels[: last_slice - 1] == 1).all()
    assert (pet.voxels[last_slice + 1 :] == 0).all()


def test_overlap_is_the_share_of_the_smaller_one() -> None:
    inside = Geometry.axis_aligned((10, 10, 10), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5))
    half = Geometry.axis_aligned((10, 10, 10), (1.0, 1.0, 1.0), (5.5, 0.5, 0.5))
    large = Geometry.axis_aligned((20, 20, 20), (1.0, 1.0, 1.0), (-0.5, -0.5, -0.5))
    assert overlap(inside, large) == overlap(large, inside) == overlap(inside, inside) == 1
    assert overlap(inside, half) == 0.5


def test_scans_of_different_patients_are_refused() -> None:
    elsewhere = Geometry.axis_aligned(PET.shape, PET.spacing_mm, (-100.0, -100.0, 900.0))
    with pytest.raises(InvalidInputError, match=r"share 0% .* z 898 to 1098 mm, CT x -61 to 59, .* same patient"):
        to_common_frame(ramp(elsewhere), ramp(CT))
    neighbour = Geometry.axis_aligned(PET.shape, PET.spacing_mm, (-100.0, -100.0, 90.0))
    with pytest.raises(InvalidInputError, match="expected 50% or more"):
        to_common_frame(ramp(neighbour), ramp(CT))
