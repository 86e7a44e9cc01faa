"""The order in which voxels are stored changes no feature: slices are found by the voxels' size and the axes' directions."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image, slice_axis, slices_first, write_image
from preop.radiomics import Aggregation, Family, FixedBinSize, Settings, compute_features, extract
from preop.radiomics.regions import LargestSlab

FAMILIES = {Family.STATISTICS, Family.GLCM, Family.GLRLM, Family.MORPHOLOGY}


def patient(spacing_xyz: tuple[float, float, float]) -> tuple[sitk.Image, sitk.Image]:
    rng = np.random.default_rng(0)
    shape = (8, 14, 12)
    z, y, x = np.indices(shape)
    voxels = (rng.normal(0, 40, shape) + 8 * z + 3 * y).astype(np.float32)
    inside = ((z - 4) / 3) ** 2 + ((y - 6) / 5) ** 2 + ((x - 6) / 4.5) ** 2 < 1
    images = sitk.GetImageFromArray(voxels), sitk.GetImageFromArray(inside.astype(np.uint8))
    for image in images:
        image.SetSpacing(spacing_xyz)
        image.SetOrigin((4, -8, 100))
    return images


def features(folder: Path, images: tuple[sitk.Image, sitk.Image], settings: Settings) -> dict[str, float]:
    for name, image in zip(("image", "mask"), images, strict=True):
        sitk.WriteImage(image, str(folder / f"{name}.nrrd"))
    return extract(folder / "image.nrrd", folder / "mask.nrrd", settings, FAMILIES).features


@pytest.mark.parametrize("spacing_xyz", [(1.0, 1.0, 3.0), (1.0, 1.0, 0.6), (1.0, 1.0, 1.0), (0.8, 1.0, 4.0)])
@pytest.mark.parametrize("order", [(2, 0, 1), (0, 2, 1), (1, 2, 0)])
@pytest.mark.parametrize("resampled", [None, (None, 0.7, 0.7)])
def test_a_permuted_scan_gives_the_same_features(
    tmp_path: Path, spacing_xyz: tuple[float, ...], order: tuple[int, int, int], resampled: tuple | None
) -> None:
    settings = Settings(
        spacing_mm=resampled,
        discretisation=FixedBinSize(width=25),
        aggregations=(Aggregation.SLICE_AVERAGED, Aggregation.SLICES_ADDED_MERGED, Aggregation.VOLUME_MERGED),
        region=LargestSlab(thickness_mm=5),
    )
    straight = patient(spacing_xyz)
    expected = features(tmp_path, straight, settings)
    permuted = features(tmp_path, tuple(sitk.PermuteAxes(image, order) for image in straight), settings)
    assert permuted == pytest.approx(expected, rel=1e-6, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    ("spacing_mm", "direction", "axis"),
    [
        ((3.0, 1.0, 1.0), np.eye(3), 0),
        ((1.0, 1.0, 3.0), np.eye(3), 2),
        ((0.6, 1.0, 1.0), np.eye(3), 0),
        ((1.0, 0.5, 1.0), np.eye(3), 1),
        ((1.0, 1.0, 1.0), np.eye(3), 0),
        ((1.0, 1.0, 1.0), np.eye(3)[:, [2, 0, 1]], 2),
        ((4.0, 0.9, 0.8), np.eye(3)[:, [1, 2, 0]], 0),
        ((1.1, 1.0, 0.9), np.eye(3)[:, [2, 1, 0]], 2),
    ],
)
def test_the_slice_axis_is_that_of_the_odd_spacing_else_of_the_body(
    spacing_mm: tuple[float, ...], direction: np.ndarray, axis: int
) -> None:
    geometry = Geometry((4, 5, 6), spacing_mm, (0.0, 0.0, 0.0), tuple(direction.ravel().tolist()))
    assert slice_axis(geometry) == axis


def test_voxels_keep_their_place_when_slices_come_first() -> None:
    geometry = Geometry((4, 5, 6), (1.0, 1.0, 3.0), (1.0, 2.0, 3.0), (0, 1, 0, 1, 0, 0, 0, 0, -1))
    image = Image(np.arange(120).reshape(4, 5, 6), geometry)
    turned = slices_first(image)
    assert turned.spacing_mm[0] == 3.0
    for index in ((0, 0, 0), (1, 2, 3), (3, 4, 5)):
        there = np.rint(turned.geometry.index_zyx(geometry.world_mm(np.array([index]))))[0].astype(int)
        assert turned.voxels[tuple(there)] == image.voxels[index]


def test_a_volume_of_one_slice_has_features_and_a_flat_image_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    voxels = rng.integers(-50, 100, (1, 20, 20)).astype(np.int16)
    mask = np.zeros((1, 20, 20), np.uint8)
    mask[0, 5:15, 5:15] = 1
    grid = Geometry.axis_aligned((1, 20, 20), (5.0, 1.0, 1.0))
    write_image(Image(voxels, grid), tmp_path / "image.nii.gz")
    write_image(Image(mask, grid), tmp_path / "mask.nii.gz")
    found = extract(tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz", Settings(spacing_mm=None), FAMILIES).features
    assert found["stat_mean"] == pytest.approx(voxels[mask > 0].mean())
    assert found["morph_vol_approx"] == pytest.approx(500)
    flat = Geometry.axis_aligned((20, 20), (1.0, 1.0))
    for families in (FAMILIES, {Family.LOCAL_INTENSITY}, set(Family)):
        with pytest.raises(InvalidInputError, match="The image has 2 dimensions; expected 3"):
            compute_features(Image(voxels[0], flat), Image(mask[0], flat), Settings(), families)


def test_the_checksum_of_a_header_covers_its_data(tmp_path: Path) -> None:
    image, mask = patient((1.0, 1.0, 3.0))
    sitk.WriteImage(mask, str(tmp_path / "mask.mha"))
    for name in ("image.mhd", "image.nhdr", "image.hdr"):
        sitk.WriteImage(image, str(tmp_path / name))
        settings = Settings(spacing_mm=None, discretisation=FixedBinSize(width=25))
        first = extract(tmp_path / name, tmp_path / "mask.mha", settings, {Family.STATISTICS})
        sitk.WriteImage(image + 1, str(tmp_path / name))
        other = extract(tmp_path / name, tmp_path / "mask.mha", settings, {Family.STATISTICS})
        assert first.image_sha256 != other.image_sha256
        assert other.features["stat_mean"] == pytest.approx(first.features["stat_mean"] + 1, abs=1e-3)
