"""Structures told apart, and measured as radiologists do."""

import numpy as np
import pytest
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, axial_diameters, split_touching

HEAD_FIRST = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)
# The array's first axis runs along the patient's y axis, its second along z: a coronal stack.
CORONAL = (1.0, 0, 0, 0, 0, 1, 0, 1, 0)


def ellipsoid(
    shape: tuple[int, int, int], centre: tuple[float, ...], radii_mm: tuple[float, ...], spacing: tuple[float, ...]
) -> NDArray[np.bool_]:
    grid = np.indices(shape).astype(float)
    offset = [(grid[axis] - centre[axis]) * spacing[axis] / radii_mm[axis] for axis in range(3)]
    return np.asarray(sum(part**2 for part in offset) <= 1)


def image(mask: NDArray[np.bool_], spacing: tuple[float, ...], direction: tuple[float, ...] = HEAD_FIRST) -> Image:
    return Image(mask, Geometry(mask.shape, spacing, (0.0, 0.0, 0.0), direction))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.7, 0.7), (5.0, 0.9, 0.9)])
def test_the_short_axis_of_an_ellipsoid_is_its_second_axis_in_the_axial_plane(spacing: tuple[float, ...]) -> None:
    mask = ellipsoid((30, 60, 60), (15, 30, 30), (20, 4, 9), spacing)
    measured = axial_diameters(image(mask, spacing))
    assert measured.long_axis_mm == pytest.approx(18, abs=spacing[1])
    assert measured.short_axis_mm == pytest.approx(8, abs=spacing[1])


def test_the_axial_plane_is_the_patients_whatever_the_order_of_storage() -> None:
    spacing = (1.0, 1.0, 1.0)
    axial = ellipsoid((40, 40, 40), (20, 20, 20), (12, 3, 6), spacing)
    coronal = np.swapaxes(axial, 0, 1)
    assert axial_diameters(image(coronal, spacing, CORONAL)) == axial_diameters(image(axial, spacing))


def test_a_single_voxel_is_as_wide_as_a_voxel() -> None:
    mask = np.zeros((3, 3, 3), dtype=bool)
    mask[1, 1, 1] = True
    assert axial_diameters(image(mask, (5.0, 0.8, 0.8))) == pytest.approx((0.8, 0.8))


def test_an_oblique_node_is_measured_along_its_own_axes() -> None:
    y, x = np.indices((60, 60)) - 30.0
    along, across = (x + y) / np.sqrt(2), (x - y) / np.sqrt(2)
    mask = np.repeat(((along / 15) ** 2 + (across / 5) ** 2 <= 1)[None], 3, axis=0)
    assert axial_diameters(image(mask, (1.0, 1.0, 1.0))) == pytest.approx((30, 10), abs=1.2)


def test_an_empty_mask_has_no_diameter() -> None:
    with pytest.raises(InvalidInputError, match="The mask is empty"):
        axial_diameters(image(np.zeros((3, 3, 3), dtype=bool), (1.0, 1.0, 1.0)))


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (3.0, 0.8, 0.8)])
def test_touching_nodes_are_split_at_their_waist(spacing: tuple[float, ...]) -> None:
    large = ellipsoid((24, 50, 60), (12, 25, 20), (9, 9, 9), spacing)
    small = ellipsoid((24, 50, 60), (12, 25, 20 + 14 / spacing[2]), (6, 6, 6), spacing)
    labels, count = split_touching(image(large | small, spacing), waist_mm=1.0)
    assert count == 2
    assert (labels.voxels[large & ~small] == 1).mean() > 0.97
    assert (labels.voxels[small & ~large] == 2).mean() > 0.97
    assert ((labels.voxels > 0) == (large | small)).all()


def test_a_long_or_bent_node_is_one_node() -> None:
    spacing = (1.0, 1.0, 1.0)
    straight = ellipsoid((20, 20, 60), (10, 10, 30), (4, 5, 20), spacing)
    z, y, x = np.indices((12, 60, 60))
    bean = (np.abs(np.hypot(y - 30, x - 30) - 15) <= 4) & (x > 30) & (np.abs(z - 6) <= 4)
    assert split_touching(image(straight, spacing), waist_mm=1.0)[1] == 1
    assert split_touching(image(bean, spacing), waist_mm=1.0)[1] == 1


def test_separate_nodes_are_numbered_by_falling_size() -> None:
    spacing = (1.0, 1.0, 1.0)
    mask = ellipsoid((20, 20, 60), (10, 10, 10), (3, 3, 3), spacing) | ellipsoid(
        (20, 20, 60), (10, 10, 40), (6, 6, 6), spacing
    )
    labels, count = split_touching(image(mask, spacing), waist_mm=1.0)
    assert count == 2
    assert labels.voxels[10, 10, 40] == 1
    assert labels.voxels[10, 10, 10] == 2


def test_a_node_cut_by_the_edge_of_the_scan_stays_one() -> None:
    spacing = (1.0, 1.0, 1.0)
    labels, count = split_touching(image(ellipsoid((20, 20, 20), (0, 10, 0), (7, 7, 7), spacing), spacing), waist_mm=1)
    assert count == 1
    assert labels.voxels[0, 10, 0] == 1


def test_an_empty_mask_holds_no_structure() -> None:
    assert split_touching(image(np.zeros((4, 4, 4), dtype=bool), (1.0, 1.0, 1.0)), waist_mm=1.0)[1] == 0


def test_the_ragged_outline_of_noise_is_measured_like_any_other() -> None:
    """All pairs of its 40,000 points would fill the memory."""
    rng = np.random.default_rng(0)
    mask = np.zeros((1, 200, 200), dtype=bool)
    mask[0, 20:180, 50:150] = rng.random((160, 100)) < 0.7
    diameters = axial_diameters(image(mask, (1.0, 1.0, 1.0)))
    assert diameters.long_axis_mm == pytest.approx(np.hypot(160, 100), abs=4)
    assert 100 < diameters.short_axis_mm < 190
