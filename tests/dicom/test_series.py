"""A DICOM series is read as the one regular volume that it is, or refused with the slice that is not of it."""

import re
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import RLELossless

from preop.errors import InvalidInputError
from preop.imaging import read_geometry, read_image
from tests.dicom.made import ENHANCED_CT, MR, PET, base, edit, file_of, pixels, volume_of, write_enhanced, write_series


def refused(path: Path, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words) as raised:
        read_image(path)
    assert "\n" not in str(raised.value)


def test_slices_are_sorted_by_position_and_lie_where_their_headers_say(tmp_path: Path) -> None:
    volume = volume_of()
    image = read_image(write_series(tmp_path / "ct", volume))
    assert np.array_equal(image.voxels, volume)
    assert image.voxels.dtype == np.int16
    assert image.spacing_mm == pytest.approx((3.0, 1.0, 0.8))
    assert image.geometry.world_mm(np.array([[2, 3, 4]]))[0] == pytest.approx([-10 + 4 * 0.8, 20 + 3, 30 + 6])
    assert image.notes == ()
    assert read_geometry(tmp_path / "ct") == image.geometry


@pytest.mark.parametrize(
    "orientation",
    [
        pytest.param((0, 1, 0, 0, 0, -1), id="sagittal"),
        pytest.param((1, 0, 0, 0, 0, -1), id="coronal"),
        pytest.param((0.8, 0.6, 0, -0.6, 0.8, 0), id="oblique"),
        pytest.param((-1, 0, 0, 0, -1, 0), id="turned round"),
    ],
)
def test_other_orientations_lie_where_itk_puts_them(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    volume = volume_of()
    folder = write_series(tmp_path / "ct", volume, orientation=orientation)
    image = read_image(folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(file_of(folder, number)) for number in range(len(volume))])
    theirs = reader.Execute()
    for index in ((0, 0, 0), (7, 9, 11), (3, 2, 1)):
        point = theirs.TransformIndexToPhysicalPoint(index[::-1])
        assert image.geometry.world_mm(np.array([index]))[0] == pytest.approx(point, abs=1e-3)
    assert np.array_equal(image.voxels, sitk.GetArrayFromImage(theirs))


def test_each_slice_has_its_own_slope(tmp_path: Path) -> None:
    stored = np.abs(volume_of()).astype(np.int16)
    slopes = [1.0, *np.linspace(0.5, 0.7, 7)]

    def change(number: int, dataset: pydicom.Dataset) -> None:
        dataset.RescaleSlope, dataset.Units = f"{slopes[number]:.6f}", "GML"

    image = read_image(write_series(tmp_path / "pet", stored, sop_class=PET, modality="PT", change=change))
    expected = stored * np.round(slopes, 6)[:, None, None]
    assert image.voxels.dtype.kind == "f"
    assert image.voxels == pytest.approx(expected)


def test_an_intercept_is_added_and_unsigned_values_go_below_zero(tmp_path: Path) -> None:
    stored = np.abs(volume_of()).astype(np.uint16)
    folder = write_series(tmp_path / "ct", stored, change=lambda _, each: setattr(each, "RescaleIntercept", -1024))
    assert np.array_equal(read_image(folder).voxels, stored.astype(int) - 1024)


def test_the_units_of_a_pet_must_agree(tmp_path: Path) -> None:
    def change(number: int, dataset: pydicom.Dataset) -> None:
        dataset.Units = "GML" if number else "BQML"

    refused(write_series(tmp_path / "pet", volume_of(), modality="PT", change=change), r"different units \(BQML, GML\)")


def test_a_missing_slice_is_named_by_its_neighbours(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", volume_of())
    before, after = file_of(folder, 3).name, file_of(folder, 5).name
    file_of(folder, 4).unlink()
    refused(folder, f"1 slice is missing: between {before} and {after}.*lie 6.00 mm, between the others 3.00 mm")


def test_several_missing_slices_are_counted(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", volume_of((12, 6, 6)))
    for number in (3, 4, 8):
        file_of(folder, number).unlink()
    refused(folder, "3 slices are missing")


def test_uneven_distances_are_refused(tmp_path: Path) -> None:
    def change(number: int, dataset: pydicom.Dataset) -> None:
        if number >= 4:
            dataset.ImagePositionPatient = [-10, 20, 30 + 12 + 4 * (number - 4)]

    refused(write_series(tmp_path / "ct", volume_of(), change=change), "3.00 to 4.00 mm apart")


def test_positions_rounded_to_tenths_of_a_millimetre_are_even(tmp_path: Path) -> None:
    def change(number: int, dataset: pydicom.Dataset) -> None:
        dataset.ImagePositionPatient = [-10, 20, round(30 + 3.27 * number, 1)]

    image = read_image(write_series(tmp_path / "ct", volume_of(), change=change))
    assert image.spacing_mm[0] == pytest.approx(3.27, abs=0.02)


def test_the_same_slice_twice_is_taken_once_and_said(tmp_path: Path) -> None:
    volume = volume_of()
    folder = write_series(tmp_path / "ct", volume)
    shutil.copy(file_of(folder, 2), folder / "zz_copy.dcm")
    image = read_image(folder)
    assert np.array_equal(image.voxels, volume)
    assert image.notes == ("taken once, for it is there twice: zz_copy.dcm.",)


def test_two_different_slices_in_one_place_are_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", volume_of())
    shutil.copy(file_of(folder, 2), folder / "zz_copy.dcm")
    edit(folder / "zz_copy.dcm", lambda each: setattr(each, "PixelData", bytes(len(each.PixelData))))
    refused(folder, r"and zz_copy\.dcm lie in the same place and differ")


@pytest.mark.parametrize(
    ("tag", "values", "words"),
    [
        ("EchoTime", ("4.6", "2.3"), r"2 echo times \(2.3, 4.6\)"),
        ("TemporalPositionIdentifier", (1, 2), r"2 volumes in one place, which differ in their time point \(1, 2\)"),
        ("AcquisitionNumber", (1, 2), r"2 volumes in one place, which differ in their acquisition \(1, 2\)"),
        ("TriggerTime", ("10", "60"), r"2 volumes in one place, which differ in their trigger time \(10, 60\)"),
    ],
)
def test_two_phases_or_echoes_in_one_series_are_refused(tmp_path: Path, tag: str, values: tuple, words: str) -> None:
    folder = tmp_path / "mr"
    for number, value in enumerate(values):
        write_series(
            tmp_path / str(number),
            volume_of(seed=number),
            sop_class=MR,
            modality="MR",
            change=lambda _, each, value=value: setattr(each, tag, value),
        )
        folder.mkdir(exist_ok=True)
        for file in (tmp_path / str(number)).iterdir():
            shutil.copy(file, folder / f"{number}_{file.name}")
    refused(folder, words)


def test_one_slice_of_another_size_is_named(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", volume_of())
    edit(file_of(folder, 6), lambda each: pixels(each, np.zeros((10, 11), np.int16)))
    refused(folder, re.escape(f"{file_of(folder, 6).name} of 8 slices has 11 x 10 pixels, the others 12 x 10 pixels"))


def test_one_slice_of_another_pixel_spacing_is_named(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", volume_of())
    edit(file_of(folder, 1), lambda each: setattr(each, "PixelSpacing", [1.0, 0.9]))
    refused(folder, f"{file_of(folder, 1).name} of 8 slices has pixels of 0.9 x 1 mm, the others pixels of 0.8 x 1 mm")


def test_a_slice_moved_in_its_plane_is_named(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", volume_of())
    edit(file_of(folder, 4), lambda each: setattr(each, "ImagePositionPatient", [-7.0, 20, 42]))
    refused(folder, f"{file_of(folder, 4).name} lies .* pixels beside the line")


def test_a_localizer_of_another_orientation_is_left_out_and_said(tmp_path: Path) -> None:
    volume = volume_of()
    folder = write_series(tmp_path / "ct", volume)
    write_series(tmp_path / "scout", volume[:1], orientation=(1, 0, 0, 0, 0, -1))
    shutil.copy(next((tmp_path / "scout").iterdir()), folder / "scout.dcm")
    image = read_image(folder)
    assert np.array_equal(image.voxels, volume)
    assert image.notes == ("left out, for it has another orientation: scout.dcm.",)


def test_two_stacks_of_other_orientation_are_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "mr", volume_of(), modality="MR")
    write_series(tmp_path / "other", volume_of(), orientation=(1, 0, 0, 0, 0, -1), modality="MR")
    for file in (tmp_path / "other").iterdir():
        shutil.copy(file, folder / f"b{file.name}")
    refused(folder, r"slices of 2 orientations \(8, 8 slices")


@pytest.mark.parametrize("degrees", [-20.0, 7.0, 15.0])
def test_a_gantry_tilt_is_sheared_back_so_that_a_point_keeps_its_place(tmp_path: Path, degrees: float) -> None:
    angle = np.radians(degrees)
    orientation = (1, 0, 0, 0, np.cos(angle), -np.sin(angle))
    # A field that is linear in the world is given back exactly by linear interpolation, wherever voxels lie.
    rows, columns = np.mgrid[:60, :30]
    step = np.array([0, 0, 3.0])
    planes = []
    for number in range(10):
        world = (
            np.array([-10.0, 20.0, 30.0])
            + number * step
            + columns[..., None] * 0.8 * np.array(orientation[:3])
            + rows[..., None] * 1.0 * np.array(orientation[3:])
        )
        planes.append(np.rint(world @ [3.0, -2.0, 1.0] + 500))
    folder = write_series(tmp_path / "ct", np.array(planes, dtype=np.int16), orientation=orientation, step=step)
    image = read_image(folder)
    assert f"tilted by {abs(degrees):.3g} degrees" in image.notes[0]
    inside = np.argwhere(image.voxels > image.voxels.min() + 5)
    middle = inside[(inside[:, 1] > 15) & (inside[:, 1] < 45) & (inside[:, 2] > 2) & (inside[:, 2] < 27)]
    expected = image.geometry.world_mm(middle) @ [3.0, -2.0, 1.0] + 500
    assert len(middle) > 1000
    assert np.abs(image.voxels[tuple(middle.T)] - expected).max() < 1.5
    assert read_geometry(folder) == image.geometry


def test_a_single_slice_is_as_thick_as_it_says(tmp_path: Path) -> None:
    image = read_image(write_series(tmp_path / "ct", volume_of((1, 10, 12)), spacing_mm=(5.0, 1.0, 0.8)))
    assert image.spacing_mm == pytest.approx((5.0, 1.0, 0.8))


def test_a_single_slice_without_thickness_is_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", volume_of((1, 10, 12)))
    edit(file_of(folder, 0), lambda each: each.__delattr__("SliceThickness"))
    refused(folder, "single slice that does not state its thickness")


def test_thin_slices_far_apart_are_told_of(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", volume_of(), change=lambda _, each: setattr(each, "SliceThickness", 1.5))
    assert "1.5 mm thick and 3.00 mm apart" in read_image(folder).notes[0]


def test_enhanced_frames_are_sorted_and_rescaled_each_by_its_own(tmp_path: Path) -> None:
    volume = volume_of()
    slopes = [1.0, 2.0, 1.0, 0.5, 1.0, 1.0, 1.0, 3.0]
    path = write_enhanced(tmp_path / "enhanced.dcm", volume, slopes=slopes, order=[3, 1, 0, 2, 7, 6, 5, 4])
    image = read_image(path)
    assert image.voxels == pytest.approx(volume * np.array(slopes)[:, None, None])
    assert image.spacing_mm == pytest.approx((3.0, 1.0, 0.8))


def test_an_enhanced_image_with_a_missing_frame_is_refused(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "enhanced.dcm", volume_of(), slopes=[1.0] * 8, order=[0, 1, 2, 4, 5, 6, 7])
    edit(path, lambda each: setattr(each, "NumberOfFrames", 7))
    refused(path, r"1 slice is missing: between frame 3 of enhanced\.dcm and frame 4 of enhanced\.dcm")


def test_frames_without_places_are_refused(tmp_path: Path) -> None:
    dataset = base(ENHANCED_CT, "NM")
    dataset.NumberOfFrames = 8
    pixels(dataset, volume_of())
    dataset.save_as(tmp_path / "nm.dcm", enforce_file_format=True)
    refused(tmp_path / "nm.dcm", r"nm\.dcm has 8 frames and does not say where each lies")


def test_colours_are_refused(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", volume_of((1, 10, 12)))
    edit(file_of(folder, 0), lambda each: setattr(each, "SamplesPerPixel", 3))
    refused(folder, "holds colours")


def test_a_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", volume_of())
    file = file_of(folder, 3)
    file.write_bytes(file.read_bytes()[:-100])
    refused(folder, re.escape(file.name))


def test_what_is_no_image_is_left_out(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", volume_of())
    (folder / "README.txt").write_text("notes")
    (folder / "._0001.dcm").write_bytes(b"what macOS leaves beside a file")
    report = base("1.2.840.10008.5.1.4.1.1.88.11", "SR")
    report.save_as(folder / "report.dcm", enforce_file_format=True)
    image = read_image(folder)
    assert image.shape[0] == 8
    assert image.notes == ("left out, for it is no image: report.dcm (Basic Text SR Storage).",)


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("nothing")
    refused(tmp_path, "holds no DICOM file")


def test_run_length_encoding_and_missing_endings_are_read(tmp_path: Path) -> None:
    volume = volume_of()
    folder = write_series(tmp_path / "ct", volume, change=lambda _, each: each.compress(RLELossless))
    for file in list(folder.iterdir()):
        file.rename(folder / file.stem)
    assert np.array_equal(read_image(folder).voxels, volume)


def test_slices_that_itk_compressed_are_read(tmp_path: Path) -> None:
    volume = volume_of()
    folder = write_series(tmp_path / "ct", volume, change=lambda _, each: setattr(each, "RescaleIntercept", -1024))
    for file in folder.iterdir():
        dataset = pydicom.dcmread(file)
        image = sitk.ReadImage(str(file))
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(tmp_path / "packed.dcm"))
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG2000")
        writer.Execute(sitk.Cast(image + 1024, sitk.sitkInt16))
        packed = pydicom.dcmread(tmp_path / "packed.dcm")
        assert packed.file_meta.TransferSyntaxUID.is_compressed
        dataset.PixelData = packed.PixelData
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
        dataset.save_as(file)
    assert np.array_equal(read_image(folder).voxels, volume.astype(int) - 1024)


def test_the_public_examples_of_a_localizer_and_a_tilt(data: Path) -> None:
    localizer = read_image(data / "faults/dicom_localizer")
    assert localizer.shape == (20, 96, 96)
    assert localizer.spacing_mm[0] == pytest.approx(3.27, abs=1e-3)
    assert "0020.dcm" in localizer.notes[0]
    tilt = read_image(data / "faults/dicom_tilt")
    assert "tilted by 15 degrees" in tilt.notes[0]
    # The last slice's first pixel lies where its own header says.
    first = pydicom.dcmread(data / "faults/dicom_tilt/0019.dcm")
    index = tilt.geometry.index_zyx(np.array([[float(each) for each in first.ImagePositionPatient]]))[0]
    assert index[0] == pytest.approx(19, abs=1e-3)
