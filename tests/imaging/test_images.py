"""Images keep their place in the world through every step."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from preop.errors import InvalidInputError, InvalidOutputError
from preop.imaging import (
    Geometry,
    Image,
    bounding_box,
    components,
    crop,
    read_geometry,
    read_image,
    read_tiff,
    resample,
    resample_like,
    to_sitk,
    write_image,
    write_tiff,
)
from tests.conftest import scan_of

OBLIQUE = Geometry((4, 5, 6), (3.0, 0.7, 1.5), (10.0, -20.0, 30.0), (0.8, 0.6, 0, -0.6, 0.8, 0, 0, 0, 1))


def test_world_positions_are_those_of_simpleitk() -> None:
    scan = scan_of()
    for index in [(0, 0, 0), (5, 4, 3), (2, 0, 1)]:
        ours = OBLIQUE.world_mm(np.array([index[::-1]]))[0]
        assert ours == pytest.approx(scan.TransformIndexToPhysicalPoint(index))


@given(npst.arrays(float, (3, 3), elements=st.floats(-50, 50)))
def test_index_and_world_are_inverse(points: np.ndarray) -> None:
    assert np.allclose(OBLIQUE.index_zyx(OBLIQUE.world_mm(points)), points, atol=1e-9)


@pytest.mark.parametrize("suffix", [".mha", ".nii.gz", ".nrrd"])
def test_what_is_written_is_read(tmp_path: Path, suffix: str) -> None:
    voxels = np.random.default_rng(0).integers(-1000, 1000, OBLIQUE.shape).astype(np.int16)
    path = tmp_path / f"scan{suffix}"
    write_image(Image(voxels, OBLIQUE), path)
    image = read_image(path)
    assert np.array_equal(image.voxels, voxels)
    assert OBLIQUE.difference(image.geometry) is None
    assert OBLIQUE.difference(read_geometry(path)) is None
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    image = Image(np.arange(120, dtype=np.int16).reshape(4, 5, 6), OBLIQUE)
    for name in ("a.mha", "b.mha"):
        write_image(image, tmp_path / name)
    assert (tmp_path / "a.mha").read_bytes() == (tmp_path / "b.mha").read_bytes()


def test_a_mask_is_written_as_8_bit_labels(tmp_path: Path) -> None:
    write_image(Image(np.ones(OBLIQUE.shape, bool), OBLIQUE), tmp_path / "mask.mha")
    assert sitk.ReadImage(str(tmp_path / "mask.mha")).GetPixelID() == sitk.sitkUInt8


def test_the_voxels_must_fit_the_geometry() -> None:
    with pytest.raises(InvalidInputError, match=r"shape \(1, 2, 3\) does not fit"):
        Image(np.zeros((1, 2, 3)), OBLIQUE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": (4, 5, 7)}, "size 7 x 5 x 4 against 6 x 5 x 4 voxels"),
        ({"spacing_mm": (3.0, 0.7, 1.6)}, "spacing 1.6 x 0.7 x 3 against 1.5 x 0.7 x 3 mm"),
        ({"origin_mm": (0.0, 0.0, 0.0)}, "origin (0, 0, 0) against (10, -20, 30) mm"),
        ({"origin_mm": (10.0, -20.0, 30.1)}, "origin (10, -20, 30.1) against (10, -20, 30) mm"),
        ({"origin_mm": (10.0, -20.0, 30.001)}, None),
        ({"direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}, "another direction of its axes"),
        ({"spacing_mm": (3.0, 0.7, 1.5000001)}, None),
    ],
)
def test_a_difference_is_said_in_words(changes: dict, words: str | None) -> None:
    assert OBLIQUE.difference(Geometry(**{**OBLIQUE.__dict__, **changes})) == words


@pytest.mark.parametrize("spacing_mm", [(1.0, 0.0, 1.0), (1.0, -1.0, 1.0), (1.0, float("nan"), 1.0)])
def test_a_spacing_that_is_not_positive_is_refused(spacing_mm: tuple[float, ...]) -> None:
    with pytest.raises(InvalidInputError, match="expected positive numbers"):
        Geometry.axis_aligned((2, 3, 4), spacing_mm)


def test_a_grid_of_larger_voxels_covers_the_whole_image() -> None:
    image = Image(np.zeros((10, 9, 8)), Geometry.axis_aligned((10, 9, 8), (1.0, 1.0, 1.0)))
    assert resample(image, (3.0, 3.0, 3.0), interpolation="nearest").shape == (4, 3, 3)


def test_a_crop_stays_where_it_was() -> None:
    image = Image(np.random.default_rng(0).normal(size=OBLIQUE.shape), OBLIQUE)
    mask = np.zeros(OBLIQUE.shape, bool)
    mask[1:3, 2, 3:5] = True
    part = crop(image, bounding_box(mask, margin_voxels=(0, 1, 5)))
    assert part.shape == (2, 3, 6)
    there = sitk.RegionOfInterest(to_sitk(image), [6, 3, 2], [0, 1, 1])
    assert part.geometry.origin_mm == pytest.approx(there.GetOrigin())
    assert np.array_equal(part.voxels, sitk.GetArrayFromImage(there))


def test_an_empty_mask_has_no_box() -> None:
    with pytest.raises(InvalidInputError, match="empty"):
        bounding_box(np.zeros((2, 2, 2)))


def test_components_are_numbered_by_size_and_joined_at_corners() -> None:
    voxels = np.zeros((4, 4, 4), bool)
    voxels[0, 0, 0] = True
    voxels[2, 2, 2] = voxels[3, 3, 3] = True
    labels, count = components(Image(voxels, Geometry.axis_aligned((4, 4, 4), (1.0, 1.0, 1.0))))
    assert count == 2
    assert labels.voxels[2, 2, 2] == labels.voxels[3, 3, 3] == 1
    assert labels.voxels[0, 0, 0] == 2


def test_a_resampled_grid_keeps_the_centre_and_covers_the_image() -> None:
    image = Image(np.zeros((10, 10, 10), np.int16), Geometry.axis_aligned((10, 10, 10), (3.0, 1.0, 1.0)))
    finer = resample(image, (2.0, 2.0, 2.0), interpolation="linear")
    assert finer.shape == (15, 5, 5)
    middle = [grid.world_mm((np.array([grid.shape]) - 1) / 2)[0] for grid in (image.geometry, finer.geometry)]
    assert middle[0] == pytest.approx(middle[1])


def test_resampling_a_linear_ramp_gives_the_ramp() -> None:
    z = np.arange(20, dtype=np.float32)[:, None, None] * np.ones((1, 6, 6), np.float32)
    image = Image(z, Geometry.axis_aligned(z.shape, (1.0, 1.0, 1.0)))
    finer = resample(image, (0.5, 1.0, 1.0), interpolation="linear")
    expected = finer.geometry.world_mm(np.stack([np.arange(40), np.full(40, 2), np.full(40, 2)], 1))[:, 2]
    assert finer.voxels[2:-2, 2, 2] == pytest.approx(expected[2:-2], abs=1e-5)


def test_a_mask_stays_a_mask() -> None:
    mask = Image(np.ones((4, 4, 4), bool), Geometry.axis_aligned((4, 4, 4), (1.0, 1.0, 1.0)))
    grid = Geometry.axis_aligned((8, 4, 4), (1.0, 1.0, 1.0))
    there = resample_like(mask, grid, interpolation="nearest", outside=0)
    assert there.voxels.dtype == bool
    assert there.voxels.sum() == 64


def test_a_dicom_series_is_read_with_its_slices_in_order(data: Path) -> None:
    folder = data / "dicom/STS_002/CT/image"
    image = read_image(folder)
    nifti = read_image(data / "sarcoma/STS_002/CT_image.nii.gz")
    assert image.voxels.dtype.kind in "if"
    assert image.shape[0] == len(list(folder.glob("*.dcm")))
    assert image.geometry.spacing_mm == pytest.approx(nifti.geometry.spacing_mm, abs=1e-3)


def test_two_dicom_series_in_a_folder_are_refused(data: Path, tmp_path: Path) -> None:
    for kind in ("CT", "MR_T1"):
        for file in (data / f"dicom/STS_002/{kind}/image").glob("00000[0-3].dcm"):
            (tmp_path / f"{kind}_{file.name}").symlink_to(file)
    with pytest.raises(InvalidInputError, match="2 DICOM series"):
        read_image(tmp_path)


def flat(dtype: type) -> Image:
    voxels = np.random.default_rng(0).integers(0, 9, (600, 333)).astype(dtype)
    return Image(voxels, Geometry.axis_aligned(voxels.shape, (0.0005, 0.00025)))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_flat_image_goes_through_tiff(tmp_path: Path, dtype: type) -> None:
    write_tiff(flat(dtype), tmp_path / "a.tif")
    image = read_tiff(tmp_path / "a.tif")
    assert np.array_equal(image.voxels, flat(dtype).voxels)
    assert image.spacing_mm == pytest.approx((0.0005, 0.00025), rel=1e-6)
    write_tiff(flat(dtype), tmp_path / "b.tif")
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_a_coarser_level_of_labels_holds_no_new_label(tmp_path: Path) -> None:
    write_tiff(flat(np.uint8), tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert [page.shape for page in tiff.pages] == [(600, 333), (300, 167), (150, 84)]
        assert set(np.unique(tiff.pages[1].asarray())) <= set(range(9))


def test_a_scan_is_no_tiff(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"Use \.mha"):
        write_tiff(Image(np.zeros(OBLIQUE.shape), OBLIQUE), tmp_path / "a.tif")


def test_a_tiff_without_resolution_or_cut_off_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8))
    with pytest.raises(InvalidInputError, match="does not state its resolution"):
        read_image(tmp_path / "a.tif")
    write_tiff(flat(np.uint8), tmp_path / "b.tif")
    (tmp_path / "b.tif").write_bytes((tmp_path / "b.tif").read_bytes()[:3000])
    with pytest.raises(InvalidInputError, match="damaged or cut off"):
        read_image(tmp_path / "b.tif")


def test_writing_to_a_place_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises((InvalidOutputError, OSError)):
        write_image(Image(np.zeros(OBLIQUE.shape), OBLIQUE), tmp_path / "file" / "a.mha")


def test_a_large_picture_is_refused_before_it_is_read(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "slide.tif",
        shape=(100_000, 100_000, 3),
        dtype=np.uint8,
        photometric="rgb",
        tile=(1024, 1024),
        compression="zlib",
        data=iter([b"x"] * 98 * 98),  # never decoded
        resolution=(20_000, 20_000),
        resolutionunit="CENTIMETER",
        bigtiff=True,
    )
    with pytest.raises(InvalidInputError, match="3 dimensions; expected a flat image of one channel"):
        read_tiff(tmp_path / "slide.tif")


def test_a_mask_without_coarser_levels_is_refused_where_it_is_too_large(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "mask.tif",
        shape=(50_000, 50_000),
        dtype=np.uint8,
        tile=(1024, 1024),
        compression="zlib",
        data=iter([b"x"] * 49 * 49),
        resolution=(20_000, 20_000),
        resolutionunit="CENTIMETER",
        bigtiff=True,
    )
    with pytest.raises(InvalidInputError, match="level of 50000 x 50000 pixels and no coarser one that would do"):
        read_tiff(tmp_path / "mask.tif", pixel_mm=0.016)
