"""Masks go to the viewer and come back voxel for voxel, in whatever order and direction a scan is stored."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable

import nibabel as nib
import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image
from preop.review import volumes
from preop.review.volumes import (
    index_in_scan,
    mask_bytes,
    mask_from_bytes,
    packed,
    to_nifti,
    unpacked,
    voxel_in_view,
)
from tests.review.conftest import COARSE_GRID, OBLIQUE_GRID, STRAIGHT_GRID, ball, ct

GRIDS = [OBLIQUE_GRID, STRAIGHT_GRID, COARSE_GRID]


def as_nifti(parts: Iterable[bytes | memoryview]) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_stream(io.BytesIO(b"".join(parts)))


@pytest.mark.parametrize("grid", GRIDS)
def test_a_mask_that_goes_to_the_viewer_and_back_is_the_same(grid: Geometry) -> None:
    labels = Image(np.random.default_rng(0).integers(0, 4, grid.shape).astype(np.uint8), grid)
    back = mask_from_bytes(mask_bytes(labels), grid)
    assert np.array_equal(back.voxels, labels.voxels)
    assert back.geometry == grid


@pytest.mark.parametrize("grid", GRIDS)
def test_the_viewer_sees_scan_and_mask_in_one_order_and_laid_straight(grid: Geometry) -> None:
    scan = ct(grid)
    image = as_nifti(to_nifti(scan, grid))
    shown = np.asarray(image.dataobj)
    mask = np.frombuffer(mask_bytes(ball(grid)), np.uint8).reshape(shown.shape, order="F")
    assert np.allclose(shown[mask > 0].mean(), scan.voxels[ball(grid).voxels > 0].mean())
    # Nothing is left for a viewer to turn: x to the right, y to the front, z to the head, each along its axis.
    assert np.allclose(image.affine[:3, :3], np.diag(np.diag(image.affine[:3, :3])), atol=1e-5)
    assert (np.diag(image.affine)[:3] > 0).all()


def test_a_scan_of_several_parts_is_sent_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = as_nifti(to_nifti(ct(OBLIQUE_GRID), OBLIQUE_GRID))
    monkeypatch.setattr(volumes, "PART_BYTES", 5000)
    parts = list(to_nifti(ct(OBLIQUE_GRID), OBLIQUE_GRID))
    assert len(parts) > 5
    assert np.array_equal(as_nifti(parts).dataobj, whole.dataobj)


def test_a_second_scan_keeps_its_place_relative_to_the_first() -> None:
    point = OBLIQUE_GRID.world_mm(np.array([[10, 12, 8]]))[0]
    other = Geometry.axis_aligned((30, 40, 50), (2.0, 2.0, 2.0), tuple(point - 20))
    marked = Image(np.zeros(other.shape, np.uint8), other)
    marked.voxels[10, 10, 10] = 1  # where the point is: 20 mm from the origin along each axis
    shown, base = as_nifti(to_nifti(marked, OBLIQUE_GRID)), as_nifti(to_nifti(ct(OBLIQUE_GRID), OBLIQUE_GRID))
    there = shown.affine @ [*np.argwhere(np.asarray(shown.dataobj))[0], 1]
    assert np.allclose(base.affine @ [*voxel_in_view(OBLIQUE_GRID, tuple(point)), 1], there, atol=1e-3)


@pytest.mark.parametrize("grid", GRIDS)
def test_a_voxel_that_is_clicked_is_the_one_in_the_scan(grid: Geometry) -> None:
    marked = Image(np.zeros(grid.shape, np.uint8), grid)
    marked.voxels[7, 3, 5] = 1
    shown = np.asarray(as_nifti(to_nifti(marked, grid)).dataobj)
    assert index_in_scan(grid, np.argwhere(shown)[0].tolist()) == (7, 3, 5)


def test_a_click_outside_of_the_scan_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="outside"):
        index_in_scan(STRAIGHT_GRID, [28, 0, 0])


def test_whole_numbers_stay_whole_and_large_ones_become_floats() -> None:
    assert as_nifti(to_nifti(ct(STRAIGHT_GRID), STRAIGHT_GRID)).get_data_dtype() == np.int16
    large = Image(np.full(STRAIGHT_GRID.shape, 70000, np.int32), STRAIGHT_GRID)
    image = as_nifti(to_nifti(large, STRAIGHT_GRID))
    assert image.get_data_dtype() == np.float32
    assert np.asarray(image.dataobj).max() == 70000


def test_labels_that_do_not_fit_into_a_byte_are_refused_not_wrapped() -> None:
    with pytest.raises(InvalidInputError, match="label 256"):
        mask_bytes(Image(np.full(STRAIGHT_GRID.shape, 256, np.uint16), STRAIGHT_GRID))


def test_what_was_packed_is_unpacked() -> None:
    assert unpacked([packed(b"abc" * 100)], 300) == b"abc" * 100


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(bytes(1001)), "larger than its scan"),
        (gzip.compress(bytes(10**8)), "larger than its scan"),
        (gzip.compress(bytes(1000))[:-9], "damaged or cut off"),
        (gzip.compress(bytes(10)) + b"more", "damaged or cut off"),
        (b"no gzip at all", "not packed by gzip"),
        (b"", "damaged or cut off"),
    ],
    ids=["a byte more", "a bomb", "cut off", "something after it", "no gzip", "empty"],
)
def test_damaged_and_oversized_masks_are_refused(content: bytes, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        unpacked([content], 1000)
