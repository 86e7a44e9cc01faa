"""Contours (RTSTRUCT) and segmentations (SEG) become the voxels that they enclose."""

from pathlib import Path

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.imaging import Geometry, read_image, read_labels, read_mask
from preop.imaging.dicom.structures import inside_polygon
from tests.dicom.made import volume_of, write_segmentation, write_series, write_structures

GRID = Geometry((8, 10, 12), (3.0, 1.0, 0.8), (-10.0, 20.0, 30.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def circle(radius_mm: float, z_mm: float, centre: tuple[float, float] = (-5.6, 24.5), points: int = 400) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    x, y = centre[0] + radius_mm * np.cos(angles), centre[1] + radius_mm * np.sin(angles)
    return np.column_stack([x, y, np.full(points, z_mm)])


def disc(radius_mm: float, centre: tuple[float, float] = (-5.6, 24.5)) -> np.ndarray:
    rows, columns = np.mgrid[:10, :12]
    return np.hypot(-10 + 0.8 * columns - centre[0], 20 + rows - centre[1]) < radius_mm


def test_a_contour_encloses_the_voxels_whose_centres_are_inside(tmp_path: Path) -> None:
    path = write_structures(tmp_path / "rs.dcm", {"GTV": [circle(3.3, 36), circle(2.2, 39)]})
    mask = read_mask(path, like=GRID)
    assert np.array_equal(mask.voxels[2], disc(3.3))
    assert np.array_equal(mask.voxels[3], disc(2.2))
    assert mask.voxels.sum() == disc(3.3).sum() + disc(2.2).sum()


def test_a_contour_inside_another_is_a_hole_and_one_that_is_there_twice_is_none(tmp_path: Path) -> None:
    outer, inner = circle(3.8, 36), circle(1.7, 36)
    path = write_structures(tmp_path / "rs.dcm", {"GTV": [outer, inner, outer]})
    assert np.array_equal(read_mask(path, like=GRID).voxels[2], disc(3.8) & ~disc(1.7))


@pytest.mark.parametrize("again", [lambda points: points[::-1], lambda points: np.roll(points, 7, axis=0)])
def test_a_contour_that_is_there_twice_may_begin_elsewhere_or_run_the_other_way(tmp_path: Path, again) -> None:
    outline = circle(3.8, 36)
    path = write_structures(tmp_path / "rs.dcm", {"GTV": [outline, again(outline)]})
    assert np.array_equal(read_mask(path, like=GRID).voxels[2], disc(3.8))


def test_a_hole_that_a_keyhole_leads_to_is_a_hole(tmp_path: Path) -> None:
    outer, inner = circle(3.8, 36), circle(1.7, 36)
    path = write_structures(tmp_path / "rs.dcm", {"GTV": [np.vstack([outer, outer[:1], inner[::-1], inner[-1:]])]})
    assert np.array_equal(read_mask(path, like=GRID).voxels[2], disc(3.8) & ~disc(1.7))


@pytest.mark.parametrize("flips", [(0,), (1,), (2,), (0, 1, 2)])
def test_contours_find_their_voxels_in_any_order_of_axes(tmp_path: Path, flips: tuple[int, ...]) -> None:
    path = write_structures(tmp_path / "rs.dcm", {"GTV": [circle(3.3, 36)]})
    straight = read_mask(path, like=GRID)
    direction = np.eye(3)
    corner = np.zeros(3)
    for axis in flips:
        direction[:, 2 - axis] *= -1
        corner[axis] = GRID.shape[axis] - 1
    grid = Geometry(
        GRID.shape, GRID.spacing_mm, tuple(GRID.world_mm(corner[None])[0].tolist()), tuple(direction.ravel().tolist())
    )
    assert np.array_equal(read_mask(path, like=grid).voxels, np.flip(straight.voxels, flips))


def test_a_region_is_chosen_by_number_name_or_pattern(tmp_path: Path) -> None:
    path = write_structures(tmp_path / "rs.dcm", {"Lung": [circle(3.9, 36)], "GTV_Mass": [circle(2.2, 36)]})
    for label in (2, "2", "GTV_Mass", "gtv_mass", "GTV*"):
        assert np.array_equal(read_mask(path, label=label, like=GRID).voxels[2], disc(2.2))
    with pytest.raises(InvalidInputError, match=r"2 values \(1 Lung, 2 GTV_Mass\); expected one: .*--label"):
        read_mask(path, like=GRID)
    with pytest.raises(InvalidInputError, match=r"The label Heart is not in rs\.dcm; it holds 1 Lung, 2 GTV_Mass"):
        read_mask(path, label="Heart", like=GRID)
    with pytest.raises(InvalidInputError, match=r"The label \* fits 2 regions"):
        read_mask(path, label="*", like=GRID)


@pytest.mark.parametrize(
    ("contours", "kind", "words"),
    [
        pytest.param([circle(3, 37.4)], "CLOSED_PLANAR", "lie between the scan's slices", id="between slices"),
        pytest.param([circle(3, 300)], "CLOSED_PLANAR", "lies outside the scan", id="outside"),
        pytest.param([circle(3, 36)], "OPEN_PLANAR", "encloses nothing: it holds OPEN_PLANAR", id="open"),
        pytest.param([], "CLOSED_PLANAR", "encloses nothing: it holds no contour", id="none"),
        pytest.param([circle(3, 36)[:, [2, 0, 1]] * 5], "CLOSED_PLANAR", "outside the scan|not parallel", id="other"),
    ],
)
def test_contours_that_do_not_fit_the_scan_are_refused(
    tmp_path: Path, contours: list[np.ndarray], kind: str, words: str
) -> None:
    path = write_structures(tmp_path / "rs.dcm", {"GTV": contours}, kind)
    with pytest.raises(InvalidInputError, match=words):
        read_mask(path, like=GRID)


def test_slices_without_a_contour_are_told_of(tmp_path: Path) -> None:
    path = write_structures(tmp_path / "rs.dcm", {"GTV": [circle(3, 33), circle(3, 39)]})
    assert read_mask(path, like=GRID).notes == (
        "GTV has no contour on 1 of the 3 slices that it spans; they were left empty.",
    )


def test_contours_need_a_scan(tmp_path: Path) -> None:
    path = write_structures(tmp_path / "rs.dcm", {"GTV": [circle(3, 36)]})
    with pytest.raises(InvalidInputError, match="contours, which have no voxels"):
        read_mask(path)


def test_a_polygon_that_turns_back_on_itself_is_filled_by_the_even_odd_rule() -> None:
    # A square ring drawn in one line, by a bridge of no width.
    ring = [(0, 0), (0, 8), (8, 8), (8, 0), (0, 0), (2, 2), (2, 6), (6, 6), (6, 2), (2, 2)]
    filled = inside_polygon(np.array(ring) + 0.5, (10, 10))
    expected = np.zeros((10, 10), bool)
    expected[1:9, 1:9] = True
    expected[3:7, 3:7] = False
    assert np.array_equal(filled, expected)


@pytest.mark.parametrize("scan", ["CT", "PET", "MR_T1"])
def test_real_contours_give_the_published_masks(data: Path, scan: str) -> None:
    folder = data / "dicom/STS_002" / scan
    published = read_mask(data / f"sarcoma/STS_002/{scan}_mask.nii.gz")
    ours = read_mask(folder / "mask", label="GTV*", like=published.geometry)
    dice = 2 * (ours.voxels & published.voxels).sum() / (ours.voxels.sum() + published.voxels.sum())
    assert dice >= 0.99
    assert read_mask(folder / "mask", like=read_image(folder / "image").geometry).voxels.sum() == ours.voxels.sum()


def masks() -> dict[str, np.ndarray]:
    organ, tumour = np.zeros((2, 8, 10, 12), bool)
    organ[1:7, 2:8, 2:10] = True
    tumour[3:5, 3:6, 4:7] = True
    return {"Liver": organ & ~tumour, "Tumour": tumour}


@pytest.mark.parametrize("flip", [False, True])
def test_segments_lie_on_the_scan_although_empty_frames_are_missing(tmp_path: Path, *, flip: bool) -> None:
    scan = read_image(write_series(tmp_path / "ct", volume_of()))
    path = write_segmentation(tmp_path / "seg.dcm", masks(), flip=flip)
    for name, mask in masks().items():
        assert np.array_equal(read_mask(path, label=name, like=scan.geometry).voxels, mask)
    labels = read_labels(path, like=scan.geometry).voxels
    assert np.array_equal(labels, masks()["Liver"] + 2 * masks()["Tumour"])


def test_segments_without_a_scan_lie_on_a_grid_of_their_own(tmp_path: Path) -> None:
    mask = read_mask(write_segmentation(tmp_path / "seg.dcm", masks()), label="tumour")
    scan = read_image(write_series(tmp_path / "ct", volume_of()))
    there = np.rint(scan.geometry.index_zyx(mask.geometry.world_mm(np.argwhere(mask.voxels)))).astype(int)
    assert np.array_equal(there, np.argwhere(masks()["Tumour"]))


def test_several_segments_need_a_label_and_fractional_ones_are_refused(tmp_path: Path) -> None:
    path = write_segmentation(tmp_path / "seg.dcm", masks())
    with pytest.raises(InvalidInputError, match=r"1 Liver, 2 Tumour"):
        read_mask(path, like=GRID)
    path = write_segmentation(tmp_path / "half.dcm", masks(), kind="FRACTIONAL")
    with pytest.raises(InvalidInputError, match="type FRACTIONAL"):
        read_mask(path, label=1, like=GRID)


def test_a_segmentation_of_another_scan_is_refused(tmp_path: Path) -> None:
    path = write_segmentation(tmp_path / "seg.dcm", masks())
    moved = Geometry(GRID.shape, GRID.spacing_mm, (-10.4, 20.0, 30.0), GRID.direction)
    with pytest.raises(InvalidInputError, match="does not lie on the grid of the scan"):
        read_mask(path, label=1, like=moved)
    small = Geometry((4, 10, 12), GRID.spacing_mm, GRID.origin_mm, GRID.direction)
    with pytest.raises(InvalidInputError, match="reaches beyond the scan"):
        read_mask(path, label=1, like=small)


def test_segments_that_overlap_are_read_one_by_one(tmp_path: Path) -> None:
    both = {"Liver": masks()["Liver"] | masks()["Tumour"], "Tumour": masks()["Tumour"]}
    path = write_segmentation(tmp_path / "seg.dcm", both)
    assert np.array_equal(read_mask(path, label=1, like=GRID).voxels, both["Liver"])
    with pytest.raises(InvalidInputError, match="share voxels"):
        read_labels(path, like=GRID)


def test_all_regions_of_a_pattern_are_labels_and_a_shared_voxel_is_the_first_ones(tmp_path: Path) -> None:
    names = {"Lung": [circle(3.9, 36)], "LN 1": [circle(2.2, 36)], "LN 2": [circle(1.5, 36), circle(2.2, 39)]}
    path = write_structures(tmp_path / "rs.dcm", names)
    found = read_labels(path, label="LN*", like=GRID)
    assert np.array_equal(found.voxels[2], disc(2.2))
    assert np.array_equal(found.voxels[3], 2 * disc(2.2))
    assert found.notes == (f"{disc(1.5).sum()} voxels lie in two of the regions; they were counted to the first.",)
    with pytest.raises(InvalidInputError, match=r"The label Heart is not in rs\.dcm"):
        read_labels(path, label="Heart", like=GRID)
    segments = write_segmentation(tmp_path / "seg.dcm", masks())
    assert set(np.unique(read_labels(segments, label="*", like=GRID).voxels)) == {0, 1, 2}
