"""Labelled organs, and what is taken out of them."""

import numpy as np

from preop.imaging import Geometry, Image
from preop.segmentation import Organs, remove_small_components


def test_small_pieces_go_and_large_ones_stay() -> None:
    labels = np.zeros((12, 12, 30), dtype=np.uint8)
    labels[:, :, :10] = 1
    labels[:6, :, 12:15] = 1  # more than a tenth of the first
    labels[0, 0, 20:22] = 1
    labels[5:8, 5:8, 5:8] = 2  # inside of the other
    labels[11, 11, 29] = 2
    organs = Organs(Image(labels, Geometry.axis_aligned(labels.shape, (1.0, 1.0, 1.0))), {"liver": 1, "heart": 2})
    cleaned = remove_small_components(organs)
    assert cleaned.mask("heart").sum() == 27
    assert cleaned.mask("liver").sum() == 12 * 12 * 10 - 27 + 6 * 12 * 3
    assert not cleaned.labels.voxels[:, :, 20:].any()


def test_labels_without_a_voxel_are_left_alone() -> None:
    labels = np.zeros((3, 4, 5), dtype=np.uint8)
    organs = Organs(Image(labels, Geometry.axis_aligned(labels.shape, (1.0, 1.0, 1.0))), {"liver": 1})
    assert not remove_small_components(organs).labels.voxels.any()
