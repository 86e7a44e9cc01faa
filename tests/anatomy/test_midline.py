"""The midline of a body, or that a scan does not show it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from preop.anatomy import midline_mm
from preop.imaging import Geometry, Image, crop, read_image, reorient


def part_of(scan: Image, first: float, last: float) -> Image:
    depth, height, width = scan.shape
    return crop(scan, (slice(0, depth), slice(0, height), slice(int(first * width), int(last * width))))


def test_the_midline_of_a_real_abdomen_is_that_of_its_spine_and_a_half_of_it_has_none(data: Path) -> None:
    ct = reorient(read_image(data / "anatomy" / "abdomen_ct_3mm.nii.gz"), "LPS")
    labels = reorient(read_image(data / "anatomy" / "abdomen_ct_3mm_totalsegmentator_labels.nii.gz"), "LPS")
    vertebrae = np.argwhere((labels.voxels >= 26) & (labels.voxels <= 50))
    spine_mm = float(np.median(labels.geometry.world_mm(vertebrae)[:, 0]))
    assert midline_mm(ct) == pytest.approx(spine_mm, abs=5)
    assert midline_mm(reorient(ct, "SRA")) == pytest.approx(spine_mm, abs=5)
    for first, last in ((0, 0.5), (0.5, 1), (0, 0.65), (0.35, 1), (0.2, 0.6), (0.25, 0.75)):
        assert midline_mm(part_of(ct, first, last)) is None


@pytest.mark.parametrize("name", ["STS_002", "STS_005", "STS_033"])
def test_a_part_of_a_thigh_or_a_buttock_has_no_midline(data: Path, name: str) -> None:
    assert midline_mm(read_image(data / "sarcoma" / name / "CT_image.nii.gz")) is None


def test_a_pelvis_without_skin_in_view_is_divided_by_its_bones_and_one_half_of_it_is_not() -> None:
    # Two ilia and a sacrum in soft tissue that fills the field of view.
    voxels = np.full((30, 60, 90), 40, dtype=np.int16)
    for side in (15, 70):
        voxels[5:25, 20:45, side - 4 : side + 5] = 500
    voxels[5:25, 40:50, 38:48] = 500
    scan = Image(voxels, Geometry.axis_aligned(voxels.shape, (4.0, 4.0, 4.0), (-100.0, 0.0, 0.0)))
    assert midline_mm(scan) == pytest.approx(-100 + 4 * 42.5, abs=4)
    assert midline_mm(part_of(scan, 0, 0.6)) is None
