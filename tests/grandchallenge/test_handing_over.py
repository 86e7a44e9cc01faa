"""A case of a cohort comes out of the folder it is handed over in as it went in, whatever forms its files have."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.handing_over import hand_over, read_input
from preop.imaging import Geometry, Image, write_image
from tests.conftest import scan_of

GRID = Geometry.axis_aligned((2, 3, 4), (3.0, 1.0, 1.0))
VOXELS = np.arange(24, dtype=np.float32).reshape(GRID.shape)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "inside").mkdir()
    return tmp_path / "inside"


def test_images_values_labels_and_resolution_arrive(toy: Algorithm, tmp_path: Path, root: Path) -> None:
    write_image(Image(VOXELS, GRID), tmp_path / "scan.nii.gz")
    write_image(Image((VOXELS > 3).astype(np.uint8) + (VOXELS > 9), GRID), tmp_path / "mask.mha")
    case = Case(
        toy,
        "patient 1",
        {"scan": tmp_path / "scan.nii.gz", "mask": tmp_path / "mask.mha"},
        {"facts": {"age": 3.5}},
        labels={"mask": "2"},
        um_per_pixel=0.25,
    )
    hand_over(case, root)
    found = read_input(toy, root)
    assert (found.name, found.values, found.labels, found.um_per_pixel) == (
        case.name,
        case.values,
        case.labels,
        case.um_per_pixel,
    )
    assert all(path.is_relative_to(root) for path in found.image_paths.values())
    for slug in ("scan", "mask"):
        assert (found.image(slug).voxels == case.image(slug).voxels).all()
    assert found.mask("mask").voxels.sum() == 14


def test_a_header_brings_its_voxels_and_a_folder_all_it_holds(toy: Algorithm, tmp_path: Path, root: Path) -> None:
    (tmp_path / "scan.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementSpacing = 1 1 3\nElementType = MET_FLOAT\n"
        "ElementDataFile = scan.raw\n"
    )
    (tmp_path / "scan.raw").write_bytes(VOXELS.tobytes())
    hand_over(Case(toy, "a", {"scan": tmp_path / "scan.mhd"}, {}), root)
    assert (read_input(toy, root).image("scan").voxels == VOXELS).all()

    series = tmp_path / "series" / "deeper"
    series.mkdir(parents=True)
    (series / "1").write_text("1")
    hand_over(Case(toy, "b", {"mask": tmp_path / "series"}, {}), root)
    assert (read_input(toy, root).image_paths["mask"] / "deeper" / "1").read_text() == "1"


def test_files_that_others_may_not_read_are_copied_so_that_they_can(toy: Algorithm, tmp_path: Path, root: Path) -> None:
    write_image(Image(VOXELS, GRID), tmp_path / "scan.mha")
    (tmp_path / "scan.mha").chmod(0o600)
    before = os.umask(0o077)
    try:
        hand_over(Case(toy, "a", {"scan": tmp_path / "scan.mha"}, {}), root)
    finally:
        os.umask(before)
    inside = list(root.rglob("*"))
    assert {oct(path.stat().st_mode & 0o777) for path in inside if path.is_file()} == {"0o644"}
    assert {oct(path.stat().st_mode & 0o777) for path in inside if path.is_dir()} == {"0o755"}
    assert (tmp_path / "scan.mha").stat().st_mode & 0o777 == 0o600


def test_an_image_that_is_gone_is_named(toy: Algorithm, tmp_path: Path, root: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"scan\.mha does not exist"):
        hand_over(Case(toy, "a", {"scan": tmp_path / "scan.mha"}, {}), root)


def test_the_layout_of_the_platform_is_read_as_before(toy: Algorithm, lay_out: Callable[..., Path]) -> None:
    found = read_input(toy, lay_out(toy, scan=scan_of()))
    assert (found.name, found.interface) == ("scan", ("scan",))
