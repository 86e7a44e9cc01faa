"""A mask is whole numbers on the grid of its scan, and one region of it."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, read_labels, read_mask, write_image

GRID = Geometry((6, 8, 10), (3.0, 1.2, 1.1), (5.0, -7.0, 40.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


def labels() -> np.ndarray:
    voxels = np.zeros(GRID.shape, np.uint8)
    voxels[1:5, 1:7, 1:9] = 1
    voxels[2:4, 2:5, 3:6] = 2
    return voxels


@pytest.fixture
def organ_and_tumour(tmp_path: Path) -> Path:
    path = tmp_path / "drawn.nii.gz"
    write_image(Image(labels(), GRID), path)
    return path


def refused(path: Path, words: str, **options: object) -> None:
    with pytest.raises(InvalidInputError, match=words):
        read_mask(path, **options)


def test_several_values_need_a_label(organ_and_tumour: Path) -> None:
    refused(organ_and_tumour, r"drawn\.nii\.gz holds 2 values \(1, 2\); expected one: name the region with --label")
    for label in (2, "2", "2.0"):
        assert np.array_equal(read_mask(organ_and_tumour, label=label).voxels, labels() == 2)
    refused(organ_and_tumour, r"The label 7 is not in drawn\.nii\.gz; it holds 1, 2", label=7)


@pytest.mark.parametrize("value", [1, 5, 255])
def test_one_value_is_the_mask_whatever_it_is(tmp_path: Path, value: int) -> None:
    write_image(Image((labels() == 2) * np.uint8(value), GRID), tmp_path / "a.mha")
    assert np.array_equal(read_mask(tmp_path / "a.mha").voxels, labels() == 2)


@pytest.mark.parametrize(
    "table",
    [{"1": "Liver", "2": "Tumour"}, {"Liver": 1, "Tumour": 2}, {"labels": {"background": 0, "Liver": 1, "Tumour": 2}}],
)
def test_names_come_from_a_file_beside_the_mask(organ_and_tumour: Path, table: dict) -> None:
    organ_and_tumour.with_name("drawn.json").write_text(json.dumps(table))
    for label in ("Tumour", "tumour", "tum*"):
        assert np.array_equal(read_mask(organ_and_tumour, label=label).voxels, labels() == 2)
    refused(organ_and_tumour, r"2 values \(1 Liver, 2 Tumour\)")
    refused(organ_and_tumour, r"The label \* fits 2 regions \(1 Liver, 2 Tumour\)", label="*")


def test_names_come_from_a_segmentation_of_slicer(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(labels())
    for number, (name, value) in enumerate((("Liver", 1), ("Tumour", 2))):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
    sitk.WriteImage(image, str(tmp_path / "a.seg.nrrd"))
    assert np.array_equal(read_mask(tmp_path / "a.seg.nrrd", label="Tumour").voxels, labels() == 2)


def test_names_come_from_the_label_table_behind_a_nifti_header(tmp_path: Path) -> None:
    image = nib.Nifti1Image(labels().T, np.eye(4))
    table = '<CaretExtension><Label Key="1" Red="0"><![CDATA[liver]]></Label><Label Key="2"><![CDATA[tumour]]></Label>'
    image.header.extensions.append(nib.nifti1.Nifti1Extension(0, table.encode()))
    nib.save(image, tmp_path / "a.nii.gz")
    assert np.array_equal(read_mask(tmp_path / "a.nii.gz", label="tumour").voxels, labels() == 2)


def interpolated(interpolator: int) -> np.ndarray:
    image = sitk.Cast(sitk.GetImageFromArray((labels() == 2).astype(np.float32)), sitk.sitkFloat32)
    moved = sitk.TranslationTransform(3, (0.3, 0.2, 0.0))
    return sitk.GetArrayFromImage(sitk.Resample(image, image, moved, interpolator))


@pytest.mark.parametrize(
    "voxels",
    [
        pytest.param(interpolated(sitk.sitkLinear), id="linear"),
        pytest.param(interpolated(sitk.sitkBSpline), id="B-spline"),
        pytest.param(np.where(labels() == 2, 1.0, 1e-9), id="noise around 0"),
        pytest.param(labels() / 255, id="divided by 255"),
        pytest.param(np.where(labels() == 2, 0.73, 0.0), id="a probability"),
    ],
)
def test_fractions_are_refused_with_the_command_that_mends_them(tmp_path: Path, voxels: np.ndarray) -> None:
    write_image(Image(voxels.astype(np.float64), GRID), tmp_path / "a.nii.gz")
    refused(tmp_path / "a.nii.gz", r"voxels with fractions .* nearest neighbour, or cut this one at a half: python -c")
    refused(tmp_path / "a.nii.gz", "voxels with fractions", label=1)


def test_the_command_that_mends_fractions_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    voxels = interpolated(sitk.sitkLinear)
    write_image(Image(voxels, GRID), tmp_path / "a.nii.gz")
    with pytest.raises(InvalidInputError) as raised:
        read_mask(tmp_path / "a.nii.gz")
    code = str(raised.value).split('python -c "')[1].rstrip('"')
    exec(code)  # noqa: S102 - what a user is told to type
    assert np.array_equal(read_mask(tmp_path / "a_whole.nii.gz").voxels, voxels >= 0.5)


def test_labels_that_a_header_rescales_are_whole(tmp_path: Path) -> None:
    image = nib.Nifti1Image((labels() * 127).T, np.eye(4))
    image.header.set_slope_inter(1 / 127, 0)
    image.to_filename(tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    header["scl_slope"], header["scl_inter"] = 1 / 127, 0
    raw[:348] = header.binaryblock
    raw[352:] = (labels() * 127).tobytes()
    (tmp_path / "a.nii").write_bytes(raw)
    assert np.array_equal(read_mask(tmp_path / "a.nii", label=2).voxels, labels() == 2)


@pytest.mark.parametrize("order", ["LPS", "RAS", "PIR", "SAL", "ARS", "IPL"])
def test_a_mask_in_another_order_of_axes_is_brought_to_the_scans(tmp_path: Path, order: str) -> None:
    image = sitk.GetImageFromArray(labels())
    image.SetSpacing(GRID.spacing_mm[::-1])
    image.SetOrigin(GRID.origin_mm)
    sitk.WriteImage(sitk.DICOMOrient(image, order), str(tmp_path / "a.nii.gz"))
    mask = read_mask(tmp_path / "a.nii.gz", label=2, like=GRID)
    assert np.array_equal(mask.voxels, labels() == 2)
    assert mask.geometry == GRID
    assert np.array_equal(read_labels(tmp_path / "a.nii.gz", like=GRID).voxels, labels())


@pytest.mark.parametrize(
    ("geometry", "words"),
    [
        (Geometry(GRID.shape, GRID.spacing_mm, (6.0, -7.0, 40.0), GRID.direction), r"origin \(6, -7, 40\) against"),
        (Geometry(GRID.shape, (3.0, 1.2, 1.2), GRID.origin_mm, GRID.direction), "spacing 1.2 x 1.2 x 3 against"),
        (
            Geometry(GRID.shape, GRID.spacing_mm, GRID.origin_mm, (0.8, 0.6, 0, -0.6, 0.8, 0, 0, 0, 1)),
            "another direction of its axes",
        ),
    ],
)
def test_a_mask_on_another_grid_is_refused(tmp_path: Path, geometry: Geometry, words: str) -> None:
    write_image(Image(labels(), geometry), tmp_path / "a.mha")
    refused(tmp_path / "a.mha", rf"does not lie on the grid of the scan \({words}", label=2, like=GRID)


def test_an_empty_mask_and_a_scan_in_its_place_are_refused(tmp_path: Path) -> None:
    write_image(Image(labels() * 0, GRID), tmp_path / "empty.mha")
    refused(tmp_path / "empty.mha", r"empty\.mha is empty: all its voxels are 0")
    scan = np.random.default_rng(0).integers(-1000, 1000, GRID.shape).astype(np.int16)
    write_image(Image(scan, GRID), tmp_path / "scan.mha")
    refused(
        tmp_path / "scan.mha", r"holds the value -\d+; expected whole numbers from 0: is this the mask, or the scan"
    )


def test_the_public_examples(data: Path) -> None:
    folder = data / "faults/masks"
    refused(folder / "mk_bspline.nii.gz", r"holds [\d,]+ voxels with fractions \(-5.04e-15")
    refused(folder / "multi_kidney1_tumour2.nii.gz", r"2 values \(1, 2\)")
    ball = np.asarray(nib.load(folder / "mk.nii.gz").dataobj).T > 0
    assert np.array_equal(read_mask(folder / "multi_kidney1_tumour2.nii.gz", label=2).voxels, ball)


def test_a_grid_that_is_off_by_less_than_a_tenth_of_a_voxel_is_the_scans_and_told(tmp_path: Path) -> None:
    voxels = np.zeros((6, 5, 4), np.uint8)
    voxels[2:4, 1:3, 1:3] = 1
    scan = Geometry.axis_aligned(voxels.shape, (2.0, 1.0, 1.0))
    for shift, told in ((0.05, 1), (0.3, None)):
        moved = Geometry.axis_aligned(voxels.shape, (2.0, 1.0, 1.0), (shift, 0.0, 0.0))
        write_image(Image(voxels, moved), tmp_path / f"mask{shift}.mha")
        if told is None:
            with pytest.raises(InvalidInputError, match="does not lie on the grid of the scan"):
                read_mask(tmp_path / f"mask{shift}.mha", like=scan)
        else:
            found = read_mask(tmp_path / f"mask{shift}.mha", like=scan)
            assert found.geometry == scan
            assert found.voxels.sum() == 8
            assert "less than a tenth of a voxel" in found.notes[0]
