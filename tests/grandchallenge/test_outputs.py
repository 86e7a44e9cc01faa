"""Outputs out: all or nothing, in the one form that the platform accepts, as its own importer (panimg) says."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import panimg
import pytest
import SimpleITK as sitk
from PIL import Image as PillowImage

from preop.errors import InvalidOutputError
from preop.grandchallenge.algorithm import Algorithm, Kind, Socket
from preop.grandchallenge.cases import Case, read_case
from preop.grandchallenge.outputs import Thumbnail, write_outputs
from preop.imaging import Geometry, Image
from tests.conftest import scan_of


@pytest.fixture
def case(toy: Algorithm, lay_out: Callable[..., Path]) -> Case:
    return read_case(toy, lay_out(toy, scan=scan_of()))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


def good(case: Case) -> dict[str, object]:
    scan = case.image("scan")
    labels = np.zeros(scan.shape, np.uint8)
    labels[0], labels[1] = 1, 3
    return {"score": 0.25, "regions": scan.with_voxels(labels), "heat": scan}


def imported(folder: Path, to: Path) -> panimg.models.PanImg:
    """Let the platform's importer take over the one image of a folder, and give what it understood."""
    to.mkdir()
    source = to / "source"
    shutil.copytree(folder, source)
    result = panimg.convert(input_directory=source, output_directory=to / "converted")
    # Each of its readers tries each file: the errors of those that did not take it say nothing.
    reader = "TIFF image builder" if any(source.glob("*.tif")) else "Mhd image builder"
    assert not [error for errors in result.file_errors.values() for error in errors if error.startswith(reader)]
    assert len(result.new_images) == 1
    return next(iter(result.new_images))


def test_outputs_are_written_where_their_sockets_say(case: Case, root: Path) -> None:
    write_outputs(good(case), case, root)
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()) == [
        "images/heat/output.mha",
        "images/regions/output.mha",
        "score.json",
    ]
    assert json.loads((root / "score.json").read_text()) == 0.25


def test_a_segmentation_has_the_very_geometry_of_its_scan(case: Case, root: Path) -> None:
    outputs = good(case)
    regions = outputs["regions"]
    rounded = Geometry(
        regions.geometry.shape, (3.0000001, 0.7, 1.5), regions.geometry.origin_mm, regions.geometry.direction
    )
    outputs["regions"] = Image(regions.voxels, rounded)
    write_outputs(outputs, case, root)
    written = sitk.ReadImage(str(root / "images/regions/output.mha"))
    scan = sitk.ReadImage(str(case.image_paths["scan"]))
    assert written.GetSize() == scan.GetSize()
    assert written.GetSpacing() == scan.GetSpacing()
    assert written.GetOrigin() == scan.GetOrigin()
    assert written.GetDirection() == scan.GetDirection()


def test_the_platform_takes_a_segmentation_with_its_labels(case: Case, root: Path, tmp_path: Path) -> None:
    write_outputs(good(case), case, root)
    image = imported(root / "images/regions", tmp_path / "platform")
    assert set(image.segments) == {0, 1, 3}
    assert (image.width, image.height, image.depth) == (6, 5, 4)
    assert (image.voxel_width_mm, image.voxel_height_mm, image.voxel_depth_mm) == (1.5, 0.7, 3.0)


def test_the_platform_takes_a_heat_map(case: Case, root: Path, tmp_path: Path) -> None:
    write_outputs(good(case), case, root)
    image = imported(root / "images/heat", tmp_path / "platform")
    assert image.segments is None
    assert image.color_space == "GRAY"


@pytest.mark.parametrize(("dtype", "labels"), [(np.uint8, {0, 1, 2}), (np.float32, None)])
def test_the_platform_takes_a_flat_image_as_tiff(
    case: Case, root: Path, tmp_path: Path, dtype: type, labels: set[int] | None
) -> None:
    voxels = np.zeros((700, 300), dtype)
    voxels[100:200, 50:60], voxels[300:350] = 1, 2
    flat = Image(voxels, Geometry.axis_aligned(voxels.shape, (0.002, 0.001)))
    toy = case.algorithm.model_copy(
        update={
            "outputs": tuple(socket.model_copy(update={"segmentation_of": None}) for socket in case.algorithm.outputs)
        }
    )
    slug = "regions" if labels else "heat"
    outputs = {**good(case), slug: flat}
    write_outputs(outputs, Case(toy, "slide", case.image_paths, {}), root)
    image = imported(root / "images" / slug, tmp_path / "platform")
    assert (image.width, image.height, image.resolution_levels) == (300, 700, 3)
    assert image.voxel_width_mm == pytest.approx(0.001, rel=1e-6)
    assert image.voxel_height_mm == pytest.approx(0.002, rel=1e-6)
    assert image.segments == (None if labels is None else frozenset(labels))


def with_sheet(case: Case) -> Case:
    """The case of an algorithm that also gives a thumbnail."""
    sheet = Socket(slug="sheet", kind=Kind.THUMBNAIL, relative_path="sheet.jpeg", description="A sheet.")
    algorithm = case.algorithm.model_copy(update={"outputs": (*case.algorithm.outputs, sheet)})
    return Case(algorithm, case.name, case.image_paths, case.values)


def test_a_thumbnail_is_a_jpeg_of_the_same_size(case: Case, root: Path) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, 30:] = (200, 40, 90)
    write_outputs({**good(case), "sheet": Thumbnail(pixels)}, with_sheet(case), root)
    with PillowImage.open(root / "sheet.jpeg") as written:
        assert (written.format, written.size) == ("JPEG", (60, 40))
        found = np.asarray(written)
    assert np.abs(found[:, 40:].astype(int) - (200, 40, 90)).max() < 6
    assert found[:, :20].max() < 6


@pytest.mark.parametrize(
    ("sheet", "sentence"),
    [
        (3, "sheet is a int; expected a thumbnail"),
        (
            Thumbnail(np.zeros((4, 4), np.uint8)),
            r"sheet is an array of uint8 of the shape \(4, 4\); expected 8-bit RGB",
        ),
        (Thumbnail(np.zeros((4, 4, 3))), "sheet is an array of float64"),
    ],
)
def test_what_is_no_picture_is_no_thumbnail(case: Case, root: Path, sheet: object, sentence: str) -> None:
    with pytest.raises(InvalidOutputError, match=sentence):
        write_outputs({**good(case), "sheet": sheet}, with_sheet(case), root)


def without(name: str) -> Callable[[dict, Case], None]:
    return lambda outputs, _case: outputs.pop(name) and None


def replaced(name: str, make: Callable[[Case], object]) -> Callable[[dict, Case], None]:
    return lambda outputs, case: outputs.update({name: make(case)})


def labels_of(value: int, dtype: type = np.uint8) -> Callable[[Case], Image]:
    return lambda case: case.image("scan").with_voxels(np.full(case.image("scan").shape, value, dtype))


def shifted(case: Case) -> Image:
    image = labels_of(1)(case)
    grid = image.geometry
    return Image(image.voxels, Geometry(grid.shape, grid.spacing_mm, (0.0, 0.0, 0.0), grid.direction))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (without("score"), "toy did not produce its output score"),
        (replaced("extra", lambda _: 1), "toy produced extra, which its algorithm.toml does not declare"),
        (replaced("score", lambda _: float("nan")), "score is not a finite number"),
        (replaced("score", lambda _: float("inf")), "score is not a finite number"),
        (replaced("score", lambda _: 1.5), "score: 1.5 is greater than the maximum of 1"),
        (replaced("score", lambda _: "high"), "score: 'high' is not of type 'number'"),
        (replaced("score", lambda _: True), "score: True is not of type 'number'"),
        (replaced("regions", lambda _: 3), "regions is a int; expected an image"),
        (replaced("regions", labels_of(4)), "regions holds the label 4, which its overlay_segments do not name"),
        (replaced("regions", labels_of(1, np.int16)), "regions holds int16 voxels; expected 8-bit integers"),
        (replaced("regions", shifted), "regions does not lie on the grid of scan (origin (0, 0, 0) against"),
        (
            replaced("heat", lambda case: case.image("scan").with_voxels(np.full((4, 5, 6), np.nan))),
            "heat holds voxels that are not finite",
        ),
    ],
)
def test_what_the_platform_would_refuse_is_not_written(
    case: Case, root: Path, spoil: Callable[[dict, Case], None], sentence: str
) -> None:
    outputs = good(case)
    spoil(outputs, case)
    with pytest.raises(InvalidOutputError) as caught:
        write_outputs(outputs, case, root)
    assert sentence in str(caught.value)
    assert list(root.iterdir()) == []


def test_a_failure_half_way_leaves_nothing_behind(case: Case, root: Path) -> None:
    (root / "score.json").mkdir()
    (root / "score.json" / "in the way").touch()
    with pytest.raises(InvalidOutputError, match="cannot be written"):
        write_outputs(good(case), case, root)
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == ["in the way"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Path:
    """A disk of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_and_nothing_is_left(toy: Algorithm, lay_out: Callable[..., Path], tiny_disk: Path) -> None:
    case = read_case(toy, lay_out(toy, scan=scan_of((40, 40, 40))))
    with pytest.raises(InvalidOutputError, match="full"):
        write_outputs(good(case), case, tiny_disk)
    assert list(tiny_disk.iterdir()) == []


def test_a_read_only_folder_is_told(case: Case, tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    with pytest.raises(InvalidOutputError, match=r"cannot be written: it is read-only\.$"):
        write_outputs(good(case), case, tiny_disk)


def test_a_missing_folder_is_told(case: Case, root: Path) -> None:
    with pytest.raises(InvalidOutputError, match="it does not exist"):
        write_outputs(good(case), case, root / "missing")
