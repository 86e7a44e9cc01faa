"""Structures told apart, whichever way they were drawn."""

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, check_drawn, separate_instances
from preop.imaging.separation import MAX_STRUCTURES


def drawn(*boxes: tuple[int, slice], size: int = 40) -> Image:
    """Blocks of 5 x 5 voxels of 1 mm along a line, by value and extent."""
    voxels = np.zeros((9, 9, size), dtype=np.int16)
    for value, extent in boxes:
        voxels[2:7, 2:7, extent] = value
    return Image(voxels, Geometry.axis_aligned(voxels.shape, (1.0, 1.0, 1.0)))


def told(image: Image) -> tuple[np.ndarray, list[str]]:
    labels, notes = separate_instances(image, name="drawing", structure="node")
    return labels.voxels, notes


def test_labels_keep_their_numbers() -> None:
    labels, notes = told(drawn((7, slice(2, 6)), (3, slice(20, 26))))
    assert labels[4, 4, 3] == 7
    assert labels[4, 4, 22] == 3
    assert notes == []


def test_large_parts_of_one_label_are_structures_of_their_own() -> None:
    labels, notes = told(drawn((1, slice(2, 8)), (1, slice(20, 24)), (2, slice(30, 34))))
    assert {labels[4, 4, 3], labels[4, 4, 22], labels[4, 4, 31]} == {1, 2, 3}
    assert labels[4, 4, 31] == 2
    assert notes == [
        "Labels of the segmentation have 1 detached part, taken as nodes of their own: the 1 last numbers."
    ]


def test_connected_parts_of_a_mask_are_numbered_by_falling_size() -> None:
    labels, _ = told(drawn((1, slice(2, 5)), (1, slice(20, 26))))
    assert labels[4, 4, 22] == 1
    assert labels[4, 4, 3] == 2


def test_parts_of_a_mask_that_touch_are_split_at_their_waist() -> None:
    image = drawn((1, slice(2, 9)), (1, slice(12, 19)))
    image.voxels[4, 4, 9:12] = 1
    labels, notes = told(image)
    assert labels[4, 4, 5] != labels[4, 4, 15]
    assert notes == ["Nodes that touch each other were split at their waist, 1 time."]


def test_specks_are_left_out_and_told() -> None:
    image = drawn((1, slice(2, 8)))
    image.voxels[0, 0, 30] = 1
    labels, notes = told(image)
    assert labels[0, 0, 30] == 0
    assert notes == ["1 part of the segmentation left out: under 5 mm3, too small."]


def test_nothing_drawn_gives_nothing() -> None:
    labels, notes = told(drawn())
    assert not labels.any()
    assert notes == []


@pytest.mark.parametrize("value", [-1, 0.5, 70000])
def test_what_is_no_label_is_refused(value: float) -> None:
    image = drawn((1, slice(2, 8)))
    with pytest.raises(InvalidInputError, match=r"The drawing holds values from .* one for each node"):
        separate_instances(image.with_voxels(image.voxels * np.float64(value)), name="drawing", structure="node")


def check(voxels: np.ndarray) -> None:
    image = Image(voxels, Geometry.axis_aligned(voxels.shape, (1.0,) * voxels.ndim))
    check_drawn(image, name="drawing", structure="node")


def test_small_structures_in_thick_slices_are_no_noise() -> None:
    voxels = np.zeros((40, 60, 60), dtype=np.uint8)
    voxels[::4, 2::6, 2::6] = voxels[::4, 3::6, 2::6] = voxels[::4, 4::6, 2::6] = 1
    voxels[::4, 2::6, 3::6] = voxels[::4, 3::6, 3::6] = voxels[::4, 4::6, 3::6] = 1
    voxels[::4, 2::6, 4::6] = voxels[::4, 3::6, 4::6] = voxels[::4, 4::6, 4::6] = 1
    check(voxels)
    check(np.ascontiguousarray(np.moveaxis(voxels, 0, 2)))


def test_a_structure_of_most_of_a_narrow_crop_is_drawn() -> None:
    z, y, x = np.ogrid[-10:11, -10:11, -10:11]
    check((z**2 + y**2 + x**2 <= 110).astype(np.uint8))


@pytest.mark.parametrize(("share", "labels"), [(0.02, 1), (0.3, 1), (0.5, 1), (0.7, 3), (0.7, 400)])
def test_noise_is_refused(share: float, labels: int) -> None:
    random = np.random.default_rng(0)
    voxels = random.integers(1, labels + 1, (30, 40, 40)) * (random.random((30, 40, 40)) < share)
    with pytest.raises(InvalidInputError, match="The drawing looks like noise"):
        check(voxels)


def test_the_whole_scan_is_no_structure() -> None:
    with pytest.raises(InvalidInputError, match="The drawing marks 100% of the scan"):
        check(np.ones((10, 10, 10), dtype=np.uint8))


def test_a_scan_in_place_of_the_drawing_is_refused() -> None:
    voxels = np.zeros((20, 20, 20), dtype=np.int32)
    voxels[:5] = np.arange(2000).reshape(5, 20, 20) + 1
    with pytest.raises(InvalidInputError, match="The drawing holds 2,000 labels"):
        check(voxels)


def test_more_structures_than_anyone_draws_are_refused() -> None:
    node = np.pad(np.ones((1, 3, 3), dtype=np.uint8), ((1, 1), (0, 1), (0, 1)))
    voxels = np.tile(node, (1, 23, 23))
    image = Image(voxels, Geometry.axis_aligned(voxels.shape, (5.0, 2.0, 2.0)))
    with pytest.raises(InvalidInputError, match=f"holds 529 separate nodes; expected at most {MAX_STRUCTURES}"):
        separate_instances(image, name="drawing", structure="node")


def test_labels_that_are_scattered_everywhere_are_refused() -> None:
    voxels = np.zeros((48, 48, 48), dtype=np.int32)
    cubes = np.random.default_rng(0).integers(1, 21, (12, 12, 12))
    for place, label in np.ndenumerate(cubes):
        z, y, x = (4 * each for each in place)
        voxels[z : z + 3, y : y + 3, x : x + 3] = label
    with pytest.raises(InvalidInputError, match="looks like noise: its 20 labels are scattered"):
        check(voxels)


def test_parts_are_counted_before_they_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    def split(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("preop.imaging.separation.split_touching", split)
    voxels = np.tile(np.pad(np.ones((3, 3, 3), dtype=np.uint8), (0, 1)), (9, 9, 9))
    image = Image(voxels, Geometry.axis_aligned(voxels.shape, (1.0, 1.0, 1.0)))
    with pytest.raises(InvalidInputError, match="holds 729 separate nodes"):
        separate_instances(image, name="drawing", structure="node")
