"""What is found about masks without anyone looking."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from preop.imaging import Image, write_image
from preop.radiomics.settings import Modality
from preop.review.checks import Kind, examine_mask, examine_scan, volumes_out_of_range
from preop.review.review import Review
from preop.review.subjects import MaskKind
from preop.review.thumbnails import PIXELS, thumbnail
from tests.review.conftest import COARSE_GRID, CT_MASK, STRAIGHT_GRID, ball, ct

TUMOUR = MaskKind("mask", "Tumour", "ct-image", {"tumour": 1})
NODES = MaskKind("nodes", "Nodes", "ct-image", {})


def found(mask: Image, folder: Path, kind: MaskKind = TUMOUR) -> list[tuple[Kind, str]]:
    write_image(mask, folder / "mask.nii.gz")
    facts, _ = examine_mask(folder / "mask.nii.gz", ct(STRAIGHT_GRID), kind)
    return [(each.kind, each.text) for each in facts.findings]


def drawn(*boxes: tuple[slice, slice, slice], value: int = 1) -> Image:
    voxels = np.zeros(STRAIGHT_GRID.shape, np.uint8)
    for box in boxes:
        voxels[box] = value
    return Image(voxels, STRAIGHT_GRID)


def test_nothing_is_found_about_one_ball_in_the_middle(tmp_path: Path) -> None:
    assert found(ball(STRAIGHT_GRID), tmp_path) == []


def test_an_empty_mask_is_found(tmp_path: Path) -> None:
    assert found(drawn(), tmp_path) == [(Kind.EMPTY, "No voxel is marked.")]


def test_separate_parts_are_counted_and_crumbs_told_apart(tmp_path: Path) -> None:
    large, crumb = (slice(4, 10), slice(4, 14), slice(4, 14)), (slice(15, 16), slice(20, 21), slice(20, 21))
    assert found(drawn(large, crumb), tmp_path) == [
        (Kind.COMPONENTS, "The region tumour has 2 separate parts, 1 of them below 1% of its voxels.")
    ]


def test_instances_may_be_many_but_each_is_one_part(tmp_path: Path) -> None:
    one, other = (slice(4, 7), slice(4, 8), slice(4, 8)), (slice(12, 15), slice(20, 24), slice(20, 24))
    assert found(drawn(one, other), tmp_path, NODES) == []
    two = drawn(one)
    two.voxels[other] = 2
    assert found(two, tmp_path, NODES) == []
    two.voxels[17:19, 4:8, 4:8] = 2
    assert found(two, tmp_path, NODES) == [(Kind.COMPONENTS, "The region 2 has 2 separate parts.")]


@pytest.mark.parametrize(
    ("box", "side"),
    [
        ((slice(0, 4), slice(8, 12), slice(8, 12)), "foot"),
        ((slice(16, 20), slice(8, 12), slice(8, 12)), "head"),
        ((slice(4, 8), slice(0, 4), slice(8, 12)), "front"),
        ((slice(4, 8), slice(28, 32), slice(8, 12)), "back"),
        ((slice(4, 8), slice(8, 12), slice(0, 4)), "right"),
        ((slice(4, 8), slice(8, 12), slice(24, 28)), "left"),
    ],
)
def test_a_mask_at_the_edge_is_told_by_the_patients_side(
    box: tuple[slice, slice, slice], side: str, tmp_path: Path
) -> None:
    assert [kind for kind, _ in found(drawn(box), tmp_path)] == [Kind.EDGE]
    assert f"({side})" in found(drawn(box), tmp_path)[0][1]


def test_a_mask_of_another_grid_is_found(tmp_path: Path) -> None:
    assert found(ball(COARSE_GRID), tmp_path)[0][0] is Kind.GEOMETRY


def test_a_label_that_the_study_does_not_know_is_found(tmp_path: Path) -> None:
    mask = drawn((slice(4, 8), slice(8, 12), slice(8, 12)), value=3)
    assert (Kind.UNREADABLE, "It holds the label 3; expected 1 tumour.") in found(mask, tmp_path)


def test_a_damaged_mask_is_found_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "mask.nii.gz").write_bytes(b"\x1f\x8b damaged")
    facts, mask = examine_mask(tmp_path / "mask.nii.gz", ct(STRAIGHT_GRID), TUMOUR)
    assert (facts.volume_ml, mask) == (None, None)
    assert [each.kind for each in facts.findings] == [Kind.UNREADABLE]


def test_a_volume_far_from_the_others_is_found_in_cohorts_of_eight_or_more() -> None:
    volumes = {number: 100.0 + number for number in range(7)}
    assert volumes_out_of_range({**volumes, 7: 107.0}, "mask") == {}
    assert list(volumes_out_of_range({**volumes, 7: 0.5}, "mask")) == [7]
    assert volumes_out_of_range({**dict(list(volumes.items())[:6]), 7: 0.5}, "mask") == {}


def test_a_ct_that_is_not_in_hu_is_found() -> None:
    scan = ct(STRAIGHT_GRID)
    assert examine_scan(scan, "ct-image", Modality.CT) == ()
    shifted = scan.with_voxels(scan.voxels + 1024)
    assert [each.kind for each in examine_scan(shifted, "ct-image", Modality.CT)] == [Kind.SCAN]


def test_a_thumbnail_shows_the_slice_where_the_mask_is_largest_with_its_outline() -> None:
    picture = np.asarray(Picture.open(io.BytesIO(thumbnail(ct(STRAIGHT_GRID), Modality.CT, ball(STRAIGHT_GRID)))))
    assert max(picture.shape) == PIXELS
    coloured = (picture[..., 0] > 200) & (picture[..., 2] < 80)
    assert 30 < coloured.sum() < 400


def wait_for(review: Review, patient: int) -> list[str]:
    for _ in range(300):
        if review.examination.of(patient):
            return sorted(each.kind for each in review.examination.findings()[patient])
        time.sleep(0.05)
    pytest.fail("the checks did not come that far")


def test_the_cohort_is_checked_and_a_saved_mask_again(review: Review) -> None:
    review.examination.start()
    try:
        assert [wait_for(review, patient) for patient in (1, 2, 3)] == [[], ["missing", "missing"], ["empty"]]
        review.records.save_mask(3, CT_MASK, ball(STRAIGHT_GRID), reviewer="A", revision=0)
        review.examination.again(3)
        for _ in range(200):
            if not review.examination.findings()[3]:
                break
            time.sleep(0.05)
        assert review.examination.findings()[3] == []
    finally:
        review.examination.stop()


def test_what_was_checked_is_remembered_until_the_file_changes(review: Review, monkeypatch: pytest.MonkeyPatch) -> None:
    standing = review.records.one(1)
    before = review.examination.examine(standing)
    read = []
    monkeypatch.setattr("preop.review.examination.read_image", lambda path: read.append(path) or ct(STRAIGHT_GRID))
    assert review.examination.examine(standing) == before
    assert read == []


def test_a_missing_file_is_a_finding(review: Review, cohort: Path) -> None:
    (cohort.parent / "one" / "ct.nii.gz").unlink()
    examined = review.examination.examine(review.records.one(1))
    assert [each.kind for each in examined.findings] == [Kind.UNREADABLE]
    assert replace(examined, findings=()).masks == {}
