"""Structures told apart, whichever way they were drawn."""

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, separate_instances


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
