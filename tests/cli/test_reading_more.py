"""More of what a user types: members of each kind of imperfect file, through the command, with values known from elsewhere."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from tests.cli.test_reading import Typed, refused, typed
from tests.dicom.made import edit, file_of, pixels, volume_of, write_series, write_structures
from tests.dicom.test_masks import circle, disc

__all__ = ["typed"]

Change = Callable[[Path], object]

SERIES: dict[str, tuple[Change, str]] = {
    "a slice twice, and not alike": (
        lambda folder: (
            shutil.copy(file_of(folder, 3), folder / "zz_copy.dcm"),
            edit(folder / "zz_copy.dcm", lambda each: pixels(each, np.zeros((10, 12), np.int16))),
        ),
        "lie in the same place and differ",
    ),
    "a slice of another size": (
        lambda folder: edit(file_of(folder, 6), lambda each: pixels(each, np.zeros((10, 11), np.int16))),
        "11 x 10 pixels, the others 12 x 10",
    ),
    "a slice of other pixels": (
        lambda folder: edit(file_of(folder, 1), lambda each: setattr(each, "PixelSpacing", [1.0, 0.9])),
        "pixels of 0.9 x 1 mm",
    ),
    "a slice beside the others": (
        lambda folder: edit(file_of(folder, 4), lambda each: setattr(each, "ImagePositionPatient", [-7.0, 20, 42])),
        "beside the line",
    ),
}


@pytest.mark.parametrize("name", SERIES)
def test_a_series_that_is_no_regular_volume(typed: Typed, tmp_path: Path, name: str) -> None:
    change, words = SERIES[name]
    scan = write_series(tmp_path / "ct", volume_of())
    contours = write_structures(tmp_path / "rs.dcm", {"GTV": [circle(3.3, 36)]})
    change(scan)
    refused(typed, words, scan, contours)


def test_slopes_that_differ_by_slice_are_each_slices_own(typed: Typed, tmp_path: Path) -> None:
    volume = volume_of()
    scan = write_series(tmp_path / "ct", volume)
    contours = write_structures(tmp_path / "rs.dcm", {"GTV": [circle(3.3, 36)]})
    edit(file_of(scan, 2), lambda each: setattr(each, "RescaleSlope", 0.5 * float(each.RescaleSlope)))
    edit(file_of(scan, 2), lambda each: setattr(each, "RescaleIntercept", 0.5 * float(each.RescaleIntercept)))
    code, _, features = typed(scan, contours)
    assert code == 0
    assert features["stat_mean"] == pytest.approx(0.5 * volume[2][disc(3.3)].mean())


def nifti(path: Path, voxels: np.ndarray, change: Callable[[nib.Nifti1Image], object] = lambda _: None) -> Path:
    image = nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 2.0, 1.0]))
    change(image)
    nib.save(image, path)
    return path


def scan_and_mask(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    voxels = np.random.default_rng(0).normal(40, 20, (9, 8, 7)).astype(np.float32)
    mask = np.zeros(voxels.shape, np.uint8)
    mask[2:7, 2:6, 2:5] = 1
    nifti(folder / "image.nii.gz", voxels)
    nifti(folder / "mask.nii.gz", mask)
    return voxels, mask


def test_an_infinite_voxel(typed: Typed, tmp_path: Path) -> None:
    voxels, _ = scan_and_mask(tmp_path)
    voxels[4, 4, 3] = np.inf
    refused(
        typed, "1 voxel that is not a finite number", nifti(tmp_path / "inf.nii.gz", voxels), tmp_path / "mask.nii.gz"
    )


def test_a_truncated_file(typed: Typed, tmp_path: Path) -> None:
    scan_and_mask(tmp_path)
    whole = gzip.decompress((tmp_path / "image.nii.gz").read_bytes())
    (tmp_path / "cut.nii.gz").write_bytes(gzip.compress(whole[:-400]))
    refused(typed, "cut.nii.gz", tmp_path / "cut.nii.gz", tmp_path / "mask.nii.gz")


def test_a_scan_of_complex_numbers(typed: Typed, tmp_path: Path) -> None:
    voxels, _ = scan_and_mask(tmp_path)
    refused(typed, "complex", nifti(tmp_path / "c.nii", voxels.astype(np.complex64)), tmp_path / "mask.nii.gz")


def test_a_slope_in_the_header_is_applied(typed: Typed, tmp_path: Path) -> None:
    voxels, mask = scan_and_mask(tmp_path)
    stored = np.rint(voxels * 10).astype(np.int16)
    nifti(tmp_path / "scaled.nii.gz", stored, lambda image: image.header.set_slope_inter(0.1, 5))
    code, _, features = typed(tmp_path / "scaled.nii.gz", tmp_path / "mask.nii.gz")
    known = np.asarray(nib.load(tmp_path / "scaled.nii.gz").dataobj)  # nibabel applies it too
    assert code == 0
    assert features["stat_mean"] == pytest.approx(known[mask > 0].mean(), rel=1e-6)


@pytest.mark.parametrize("axes", [(2, 1, 0), (1, 2, 0), (0, 2, 1)])
def test_storage_order_changes_no_feature(typed: Typed, tmp_path: Path, axes: tuple[int, int, int]) -> None:
    scan_and_mask(tmp_path)
    _, _, straight = typed(tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz")
    for name in ("image", "mask"):
        image = sitk.PermuteAxes(sitk.ReadImage(str(tmp_path / f"{name}.nii.gz")), axes)
        sitk.WriteImage(image, str(tmp_path / f"turned_{name}.mha"))
    code, _, turned = typed(tmp_path / "turned_image.mha", tmp_path / "turned_mask.mha")
    assert code == 0
    assert turned.keys() == straight.keys()
    for name, value in straight.items():
        if value is not None:
            assert turned[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name


def test_a_flat_image(typed: Typed, tmp_path: Path) -> None:
    for name in ("flat", "flat_mask"):
        sitk.WriteImage(sitk.GetImageFromArray(np.ones((6, 6), np.uint8)), str(tmp_path / f"{name}.mha"))
    code, told, features = typed(tmp_path / "flat.mha", tmp_path / "flat_mask.mha")
    assert (code, features) == (1, {})
    assert "has 2 dimensions; expected 3" in told
    assert "Traceback" not in told
