from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, from_sitk, reorient, reorient_like, to_sitk

OBLIQUE = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
# x to the feet, y to the left, z to the back
TURNED = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0)


def image_of(direction: tuple[float, ...]) -> Image:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    return Image(voxels, Geometry((2, 3, 4), (3.0, 2.0, 1.0), (10.0, 20.0, 30.0), direction))


@pytest.mark.parametrize("direction", [IDENTITY, OBLIQUE, TURNED])
@pytest.mark.parametrize("code", ["RAS", "LPS", "SAL", "PIR"])
def test_axes_are_turned_as_itk_turns_them(direction: tuple[float, ...], code: str) -> None:
    image = image_of(direction)
    found = reorient(image, code)
    expected = from_sitk(sitk.DICOMOrient(to_sitk(image), code))
    np.testing.assert_array_equal(found.voxels, expected.voxels)
    assert expected.geometry.difference(found.geometry) is None


@pytest.mark.parametrize("direction", [IDENTITY, OBLIQUE, TURNED])
def test_every_voxel_keeps_its_place_in_the_world(direction: tuple[float, ...]) -> None:
    image = image_of(direction)
    turned = reorient(image, "RAS")
    for index in itertools.product(range(2), range(3), range(4)):
        world = image.geometry.world_mm(np.array([index]))
        there = tuple(np.rint(turned.geometry.index_zyx(world)[0]).astype(int))
        assert turned.voxels[there] == image.voxels[index]


@pytest.mark.parametrize("direction", [IDENTITY, OBLIQUE, TURNED])
def test_turning_back_gives_the_image(direction: tuple[float, ...]) -> None:
    image = image_of(direction)
    back = reorient_like(reorient(image, "ASR"), image.geometry)
    np.testing.assert_array_equal(back.voxels, image.voxels)
    assert image.geometry.difference(back.geometry) is None


@pytest.mark.parametrize("code", ["RAR", "RA", "XYZ", "RLS", ""])
def test_an_orientation_names_three_axes(code: str) -> None:
    with pytest.raises(InvalidInputError, match="is not an orientation"):
        reorient(image_of(IDENTITY), code)


def test_a_flat_image_cannot_be_turned() -> None:
    with pytest.raises(InvalidInputError, match="2 dimensions; expected 3"):
        reorient(Image(np.zeros((2, 3)), Geometry.axis_aligned((2, 3), (1.0, 1.0))), "RAS")
