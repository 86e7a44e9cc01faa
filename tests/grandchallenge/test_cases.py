"""Cases in: what the platform lays out is read, and what it would never lay out is refused in one sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.grandchallenge.cases import read_case
from preop.imaging import Geometry, Image, write_tiff
from tests.conftest import scan_of

LayOut = Callable[..., Path]


def mask_of(scan: sitk.Image, value: int = 1) -> sitk.Image:
    voxels = np.zeros(scan.GetSize()[::-1], np.uint8)
    voxels[1:3, 1:3, 1:3] = value
    mask = sitk.GetImageFromArray(voxels)
    mask.CopyInformation(scan)
    return mask


def edited(root: Path, edit: Callable[[list[dict]], None]) -> Path:
    path = root / "inputs.json"
    items = json.loads(path.read_text())
    edit(items)
    path.write_text(json.dumps(items))
    return root


def test_a_case_is_read_with_its_geometry(toy: Algorithm, lay_out: LayOut) -> None:
    scan = scan_of()
    case = read_case(toy, lay_out(toy, scan=scan, mask=mask_of(scan), facts={"age": 50}))
    assert case.interface == ("facts", "mask", "scan")
    assert case.name == "scan"
    image = case.image("scan")
    assert image.shape == (4, 5, 6)
    assert image.spacing_mm == (3.0, 0.7, 1.5)
    assert image.geometry.origin_mm == (10.0, -20.0, 30.0)
    assert image.geometry.direction == pytest.approx((0.8, 0.6, 0, -0.6, 0.8, 0, 0, 0, 1))
    assert np.array_equal(image.voxels, sitk.GetArrayFromImage(scan))
    assert case.mask("mask").voxels.sum() == 8
    assert case.value("facts") == {"age": 50}


@pytest.mark.parametrize("kept", ["socket", "interface"])
def test_either_name_of_a_socket_is_enough(toy: Algorithm, lay_out: LayOut, kept: str) -> None:
    other = {"socket": "interface", "interface": "socket"}[kept]
    root = edited(lay_out(toy, scan=scan_of()), lambda items: [item.pop(other) for item in items] and None)
    assert read_case(toy, root).interface == ("scan",)


def test_the_relative_path_counts_and_not_the_slug(toy: Algorithm, lay_out: LayOut) -> None:
    root = lay_out(toy, scan=scan_of())
    (root / "images" / "scan").rename(root / "images" / "elsewhere")

    def move(items: list[dict]) -> None:
        items[0]["socket"]["relative_path"] = "images/elsewhere"

    assert read_case(toy, edited(root, move)).image("scan").shape == (4, 5, 6)


def test_a_value_may_stand_only_in_inputs_json(toy: Algorithm, lay_out: LayOut) -> None:
    scan = scan_of()
    root = lay_out(toy, scan=scan, mask=mask_of(scan), facts={"sex": "female"})
    (root / "facts.json").unlink()
    assert read_case(toy, root).value("facts") == {"sex": "female"}


def test_a_folder_of_dicom_slices_is_one_image(toy: Algorithm, lay_out: LayOut, data: Path) -> None:
    root = lay_out(toy, scan=scan_of())
    folder = root / "images" / "scan"
    for file in folder.iterdir():
        file.unlink()
    slices = sorted((data / "dicom/STS_002/CT/image").glob("*.dcm"))
    for file in slices:
        shutil.copy(file, folder / file.name)
    assert read_case(toy, root).image("scan").shape[0] == len(slices)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda root: (root / "inputs.json").unlink(), "inputs.json is missing in "),
        (lambda root: (root / "inputs.json").write_text("[{"), "inputs.json is not valid JSON"),
        (lambda root: (root / "inputs.json").write_text("{}"), "inputs.json is not a list of inputs"),
        (lambda root: (root / "inputs.json").write_text("[1]"), "an item without the slug"),
        (lambda root: (root / "inputs.json").write_bytes(b"\xff\xfe"), "inputs.json is not valid JSON"),
        (lambda root: edited(root, list.clear), "The inputs (none) are not a combination that toy accepts"),
        (
            lambda root: edited(root, lambda items: items[0]["socket"].update(slug="other")),
            "The inputs other are not a combination that toy accepts; expected scan; or scan, mask; or",
        ),
        (lambda root: edited(root, lambda items: items.append(items[0])), "names scan twice"),
        (
            lambda root: edited(root, lambda items: items[0]["socket"].update(relative_path="../secret")),
            "leads out of its folder",
        ),
        (lambda root: next((root / "images/scan").iterdir()).unlink(), "scan: found no image in"),
        (
            lambda root: (root / "images/scan/second.mha").write_bytes(b""),
            "scan: found 2 files",
        ),
    ],
)
def test_a_wrong_layout_is_refused(
    toy: Algorithm, lay_out: LayOut, damage: Callable[[Path], object], sentence: str
) -> None:
    root = lay_out(toy, scan=scan_of())
    damage(root)
    with pytest.raises(InvalidInputError, match=r"^[^\n]*$") as caught:
        read_case(toy, root)
    assert sentence in str(caught.value)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def four_dimensional(path: Path) -> None:
    sitk.WriteImage(sitk.JoinSeries([scan_of(), scan_of()]), str(path))


def with_nan(path: Path) -> None:
    image = scan_of()
    image[0, 0, 0] = float("nan")
    sitk.WriteImage(image, str(path))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (truncated, "is cut off"),
        (lambda path: path.write_text("no image"), "is in an unknown format"),
        (four_dimensional, "has 4 dimensions"),
        (with_nan, "1 voxel that is not a finite number"),
        (lambda path: sitk.WriteImage(scan_of((5, 6)), str(path)), "is a flat image"),
        (
            lambda path: sitk.WriteImage(sitk.Compose(scan_of(), scan_of()), str(path)),
            "has 2 channels",
        ),
    ],
)
def test_a_bad_image_is_refused(
    toy: Algorithm, lay_out: LayOut, damage: Callable[[Path], object], sentence: str
) -> None:
    root = lay_out(toy, scan=scan_of())
    damage(next((root / "images/scan").iterdir()))
    case = read_case(toy, root)
    with pytest.raises(InvalidInputError) as caught:
        case.image("scan")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("scan: ") or str(caught.value).startswith("scan is")


def moved(mask: sitk.Image) -> sitk.Image:
    mask.SetOrigin((10.0, -20.0, 31.0))
    return mask


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda scan: mask_of(scan) * 0, "mask is empty"),
        (lambda scan: mask_of(scan, 5), "mask holds the label 5; expected only 0 and 1 (inside)"),
        (lambda _: mask_of(scan_of((4, 5, 7))), "size 7 x 5 x 4 against 6 x 5 x 4 voxels"),
        (lambda scan: moved(mask_of(scan)), "origin (10, -20, 31) against (10, -20, 30) mm"),
    ],
)
def test_a_bad_mask_is_refused(toy: Algorithm, lay_out: LayOut, make: Callable, sentence: str) -> None:
    scan = scan_of()
    case = read_case(toy, lay_out(toy, scan=scan, mask=make(scan)))
    with pytest.raises(InvalidInputError) as caught:
        case.mask("mask")
    assert sentence in str(caught.value)


def test_every_label_of_a_structure_is_part_of_its_mask(toy: Algorithm, lay_out: LayOut) -> None:
    text = (toy.folder / "algorithm.toml").read_text().replace("{ inside = 1 }", "{ inside = 1, rim = 2 }")
    (toy.folder / "algorithm.toml").write_text(text)
    scan = scan_of()
    case = read_case(read_algorithm(toy.folder), lay_out(toy, scan=scan, mask=mask_of(scan, 2)))
    assert case.mask("mask").voxels.sum() == 8


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"age": 240}, "facts.age: 240 is greater than the maximum of 120"),
        ({"age": "old"}, "facts.age: 'old' is not of type 'number'"),
        ({"sex": "x"}, "facts.sex: 'x' is not one of ['female', 'male']"),
        ({"weight": 1}, "'weight' was unexpected"),
        (["age"], "facts: ['age'] is not of type 'object'"),
        ({"age": float("nan")}, "facts.json is not valid JSON (NaN is not a JSON number)"),
    ],
)
def test_impossible_values_are_refused(toy: Algorithm, lay_out: LayOut, facts: object, sentence: str) -> None:
    scan = scan_of()
    root = lay_out(toy, scan=scan, mask=mask_of(scan), facts={})
    (root / "facts.json").write_text(json.dumps(facts))
    with pytest.raises(InvalidInputError) as caught:
        read_case(toy, root)
    assert sentence in str(caught.value)


def flat_mask(root: Path, labels: np.ndarray) -> None:
    """Put a flat mask with pixels of 0.004 mm in the place of the 3D one."""
    (path,) = (root / "images/mask").iterdir()
    path.unlink()
    write_tiff(Image(labels, Geometry.axis_aligned(labels.shape, (0.004, 0.004))), path.with_suffix(".tif"))


def test_the_mask_of_a_slide_is_read_from_a_level_that_is_fine_enough(toy: Algorithm, lay_out: LayOut) -> None:
    scan = scan_of()
    root = lay_out(toy, scan=scan, mask=mask_of(scan))
    labels = np.zeros((1200, 2000), np.uint8)
    labels[400:800] = 1
    flat_mask(root, labels)
    mask = read_case(toy, root).flat_mask("mask", pixel_mm=0.016)
    assert mask.spacing_mm == pytest.approx((0.016, 0.016))
    assert mask.shape == (300, 500)
    assert mask.voxels[100:200].all()
    assert mask.voxels.sum() == 100 * 500


@pytest.mark.parametrize(
    ("value", "sentence"), [(0, "mask is empty"), (7, r"mask holds the label 7; expected only 0 and 1 \(inside\)")]
)
def test_a_wrong_mask_of_a_slide_is_refused(toy: Algorithm, lay_out: LayOut, value: int, sentence: str) -> None:
    scan = scan_of()
    root = lay_out(toy, scan=scan, mask=mask_of(scan))
    flat_mask(root, np.full((20, 30), value, np.uint8))
    with pytest.raises(InvalidInputError, match=sentence):
        read_case(toy, root).flat_mask("mask", pixel_mm=0.016)


def test_an_image_can_be_opened_by_a_reader_of_ones_own(toy: Algorithm, lay_out: LayOut) -> None:
    def refuse(path: Path) -> None:
        raise InvalidInputError(f"{path.suffix} is not for me.")

    case = read_case(toy, lay_out(toy, scan=scan_of()))
    assert case.open("scan", lambda path: path) == case.image_paths["scan"]
    with pytest.raises(InvalidInputError, match=r"^scan: \.mha is not for me\.$"):
        case.open("scan", refuse)


def test_a_mask_stored_in_another_order_is_brought_to_its_scan(toy: Algorithm, lay_out: LayOut) -> None:
    straight = mask_of(scan_of())
    turned = sitk.PermuteAxes(sitk.Flip(straight, [True, False, True]), [2, 0, 1])
    case = read_case(toy, lay_out(toy, scan=scan_of(), mask=turned))
    assert np.array_equal(case.mask("mask").voxels, sitk.GetArrayFromImage(straight) > 0)


def test_what_was_corrected_is_a_note_of_the_case(toy: Algorithm, lay_out: LayOut) -> None:
    sheared = scan_of()
    sheared.SetDirection([1, 0.005, 0, 0, 1, 0, 0, 0, 1])
    case = read_case(toy, lay_out(toy, scan=sheared))
    case.image("scan")
    (note,) = case.notes
    assert note.startswith("scan: the axes x and y meet at 89.71 degrees")
