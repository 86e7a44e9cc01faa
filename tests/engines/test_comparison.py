"""Every difference that matters is found, and none that the tolerance allows."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from preop.engines.comparison import FileTolerance, Tolerance, compare_outputs, read_tolerance
from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, write_image

GEOMETRY = Geometry.axis_aligned((2, 3, 4), (3.0, 0.7, 0.7), (-10.0, 20.0, 5.0))
MIRRORED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
EXACT = Tolerance()

LABELS = Image(np.tile(np.arange(4, dtype=np.uint8), (2, 3, 1)), GEOMETRY)
SCAN = Image(np.linspace(-1000, 1000, 24, dtype=np.float32).reshape(2, 3, 4), GEOMETRY)
EXPLANATION = {"features": [{"name": "volume_ml", "value": 100.0}], "note": "none", "inside": True, "grade": None}


@pytest.fixture
def outputs(tmp_path: Path) -> tuple[Path, Path]:
    """Two equal folders of outputs."""
    expected = tmp_path / "expected"
    write_image(LABELS, expected / "images/labels/output.mha")
    write_image(SCAN, expected / "images/scan/output.mha")
    (expected / "likelihood.json").write_text("0.25")
    (expected / "explanation.json").write_text(json.dumps(EXPLANATION))
    (expected / "page.html").write_text("<p>0.25</p>")
    actual = tmp_path / "actual"
    shutil.copytree(expected, actual)
    return expected, actual


def with_explanation(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(json.dumps(EXPLANATION))
    change(content)
    (folder / "explanation.json").write_text(json.dumps(content))


def with_labels(folder: Path, **changed: Any) -> None:
    image = Image(LABELS.voxels, dataclasses.replace(GEOMETRY, **changed))
    write_image(image, folder / "images/labels/output.mha")


def test_equal_folders_do_not_differ(outputs):
    assert compare_outputs(*outputs, EXACT) == []


def test_a_changed_number_is_found(outputs):
    (outputs[1] / "likelihood.json").write_text("0.2501")
    assert compare_outputs(*outputs, EXACT) == ["likelihood.json: 0.2501, expected 0.25 (tolerance 0)"]


def test_a_changed_number_deep_inside_is_found_with_its_place(outputs):
    with_explanation(outputs[1], lambda content: content["features"][0].update(value=100.2))
    assert compare_outputs(*outputs, Tolerance(absolute=0.1)) == [
        "explanation.json > features[0] > value: 100.2, expected 100.0 (tolerance 0.1)"
    ]
    assert compare_outputs(*outputs, Tolerance(absolute=0.3)) == []
    assert compare_outputs(*outputs, Tolerance(relative=0.003)) == []
    assert compare_outputs(*outputs, Tolerance(relative=0.001)) != []


def test_the_tolerance_of_one_file_goes_before_the_general_one(outputs):
    (outputs[1] / "likelihood.json").write_text("0.26")
    with_explanation(outputs[1], lambda content: content["features"][0].update(value=100.01))
    tolerance = Tolerance(absolute=0.001, files={"explanation.json": FileTolerance(absolute=0.1)})
    assert [line.split(":")[0] for line in compare_outputs(*outputs, tolerance)] == ["likelihood.json"]


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_a_number_that_is_not_finite_differs_even_from_itself(outputs, number):
    for folder in outputs:
        (folder / "likelihood.json").write_text(number)
    assert "is not a finite number" in compare_outputs(*outputs, Tolerance(absolute=1e9))[0]


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda content: content.pop("note"), ": the key 'note' is missing"),
        (lambda content: content.update(date="today"), ": the key 'date' was not expected"),
        (lambda content: content["features"].append({}), " > features: 2 items, expected 1"),
        (lambda content: content.update(note="some"), ' > note: "some", expected "none"'),
        (lambda content: content.update(inside=1), " > inside: 1, expected true"),
        (lambda content: content.update(grade=0), " > grade: 0, expected null"),
        (lambda content: content["features"][0].update(value="100"), ' > features[0] > value: "100", expected 100.0'),
    ],
)
def test_a_change_of_structure_is_found_whatever_the_tolerance(outputs, change, difference):
    with_explanation(outputs[1], change)
    assert compare_outputs(*outputs, Tolerance(absolute=1e9)) == [f"explanation.json{difference}"]


def test_of_many_differences_in_a_file_the_first_ten_are_told_and_the_others_counted(outputs):
    for folder, numbers in zip(outputs, (range(12), range(1, 13)), strict=True):
        (folder / "likelihood.json").write_text(json.dumps(list(numbers)))
    lines = compare_outputs(*outputs, EXACT)
    assert lines[0] == "likelihood.json[0]: 1, expected 0 (tolerance 0)"
    assert lines[10:] == ["likelihood.json: and 2 more differences"]


def test_a_missing_and_an_extra_output_are_found(outputs):
    (outputs[1] / "likelihood.json").unlink()
    (outputs[1] / "images/labels/second.mha").touch()
    assert compare_outputs(*outputs, EXACT) == [
        "images/labels/second.mha was not expected",
        "likelihood.json is missing",
    ]


def test_all_outputs_are_missing_where_nothing_was_written(outputs, tmp_path):
    assert len(compare_outputs(outputs[0], tmp_path / "nothing", EXACT)) == 5


def test_broken_json_is_found(outputs):
    (outputs[1] / "likelihood.json").write_text("0.2 5")
    assert compare_outputs(*outputs, EXACT) == ["likelihood.json: it is not valid JSON"]


def test_another_file_is_compared_byte_by_byte(outputs):
    (outputs[1] / "page.html").write_text("<p>0.26</p>")
    assert compare_outputs(*outputs, EXACT) == ["page.html: its content differs"]


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"origin_mm": (-10.0, 20.7, 5.0)}, "origin"),
        ({"spacing_mm": (3.0, 0.7, 0.8)}, "spacing"),
        ({"direction": MIRRORED}, "direction"),
    ],
)
def test_a_moved_image_is_found_whatever_the_tolerance_of_its_voxels(outputs, changed, difference):
    with_labels(outputs[1], **changed)
    lines = compare_outputs(*outputs, Tolerance(voxel_absolute=1e9, voxel_share=1, absolute=1e9))
    assert len(lines) == 1
    assert lines[0].startswith("images/labels/output.mha: ")
    assert difference in lines[0]


def test_an_image_of_another_size_is_found(outputs):
    smaller = Geometry.axis_aligned((2, 3, 3), GEOMETRY.spacing_mm, GEOMETRY.origin_mm)
    write_image(Image(LABELS.voxels[..., :3], smaller), outputs[1] / "images/labels/output.mha")
    assert compare_outputs(*outputs, EXACT) == [
        "images/labels/output.mha: size 3 x 3 x 2 against 4 x 3 x 2 voxels",
    ]


def test_one_changed_label_is_found_unless_its_share_is_allowed(outputs):
    voxels = LABELS.voxels.copy()
    voxels[0, 0, 0] = 3
    write_image(Image(voxels, GEOMETRY), outputs[1] / "images/labels/output.mha")
    assert compare_outputs(*outputs, Tolerance(voxel_share=0.04)) == [
        "images/labels/output.mha: 1 of 24 voxels differ, by up to 3 (tolerance 0, or more in a share of 0.04)"
    ]
    assert compare_outputs(*outputs, Tolerance(voxel_share=0.05)) == []


def test_voxels_of_a_scan_may_differ_by_the_stated_amount(outputs):
    write_image(Image(SCAN.voxels + np.float32(0.5), GEOMETRY), outputs[1] / "images/scan/output.mha")
    assert compare_outputs(*outputs, Tolerance(voxel_absolute=0.6)) == []
    assert "24 of 24 voxels differ" in compare_outputs(*outputs, Tolerance(voxel_absolute=0.4))[0]


def test_another_type_of_voxels_is_found(outputs):
    write_image(Image(LABELS.voxels.astype(np.int16), GEOMETRY), outputs[1] / "images/labels/output.mha")
    assert compare_outputs(*outputs, EXACT) == ["images/labels/output.mha: voxels of type int16, expected uint8"]


def test_a_damaged_image_is_a_difference(outputs):
    path = outputs[1] / "images/labels/output.mha"
    path.write_bytes(path.read_bytes()[:-10])
    assert len(compare_outputs(*outputs, EXACT)) == 1


def test_thumbnails_are_compared_by_their_pixels(outputs):
    for folder, quality in zip(outputs, (95, 60), strict=True):
        grey = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
        PillowImage.fromarray(grey).convert("RGB").save(folder / "sheet.jpeg", quality=quality)
    assert compare_outputs(*outputs, Tolerance(voxel_absolute=20)) == []
    (line,) = compare_outputs(*outputs, EXACT)
    assert line.startswith("sheet.jpeg: ")
    PillowImage.new("RGB", (64, 32)).save(outputs[1] / "sheet.jpeg")
    assert compare_outputs(*outputs, EXACT) == ["sheet.jpeg: 64 x 32 pixels, expected 64 x 64"]
    (outputs[1] / "sheet.jpeg").write_bytes(b"no picture")
    assert compare_outputs(*outputs, EXACT) == ["sheet.jpeg: it is not a valid picture"]


def test_nothing_to_compare_with_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="holds no expected output"):
        compare_outputs(tmp_path, tmp_path, EXACT)


def test_a_tolerance_for_a_file_that_is_not_expected_is_refused(outputs):
    with pytest.raises(InvalidInputError, match=r"declared for typo\.json"):
        compare_outputs(*outputs, Tolerance(files={"typo.json": FileTolerance()}))


def test_tolerances_are_read_from_their_file(tmp_path):
    (tmp_path / "tolerance.toml").write_text('absolute = 1e-6\n[files."a.json"]\nrelative = 0.01\n')
    tolerance = read_tolerance(tmp_path)
    assert tolerance.of("a.json") == FileTolerance(absolute=1e-6, relative=0.01)
    assert tolerance.of("b.json") == FileTolerance(absolute=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("absolut = 1", r"there is no setting absolut \(did you mean absolute\?\)"),
        ("absolute = -1", "greater than or equal to 0"),
        ('[files."a.json"]\nvoxels = 1', r"files\.a\.json\.voxels: Extra inputs"),
        ("absolute = ", "not valid TOML"),
    ],
)
def test_a_wrong_tolerance_is_refused_by_its_place(tmp_path, text, message):
    (tmp_path / "tolerance.toml").write_text(text)
    with pytest.raises(InvalidInputError, match=message):
        read_tolerance(tmp_path)


def test_a_folder_without_tolerances_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match=r"holds no tolerance\.toml"):
        read_tolerance(tmp_path)
