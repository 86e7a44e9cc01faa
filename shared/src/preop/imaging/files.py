"""Reading and writing images in physical space, through SimpleITK (medical formats) and tifffile (TIFF)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preop.atomic import replacing
from preop.errors import InvalidInputError, InvalidOutputError
from preop.imaging.images import Geometry, Image
from preop.imaging.tiff import TIFF_SUFFIXES, read_tiff

if TYPE_CHECKING:
    import SimpleITK as sitk


def read_image(path: Path) -> Image:
    """Read a single-channel scan or label map in any format SimpleITK knows, a flat TIFF, or a folder of DICOM slices.

    Parameters
    ----------
    path
        The file, or the folder that holds the ``.dcm`` files of one series.

    Raises
    ------
    InvalidInputError
        If there is nothing readable, the image has other than 2 or 3 dimensions or several channels,
        or a voxel is not a finite number.
    """
    if path.is_file() and path.suffix.lower() in TIFF_SUFFIXES:
        return read_tiff(path)
    image = _read_dicom_folder(path) if path.is_dir() else _read_file(path)
    _check_dimensions(image.GetSize(), path)
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InvalidInputError(
            f"{path.name} has {image.GetNumberOfComponentsPerPixel()} channels; expected one value a voxel."
        )
    return from_sitk(image, name=path.name)


def read_geometry(path: Path) -> Geometry:
    """Read where the voxels of a file lie, without reading the voxels."""
    if path.is_dir() or path.suffix.lower() in TIFF_SUFFIXES:
        return read_image(path).geometry
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(os.fspath(path))
    with _readable(path):
        reader.ReadImageInformation()
    _check_dimensions(reader.GetSize(), path)
    return Geometry(
        shape=tuple(reversed(reader.GetSize())),
        spacing_mm=tuple(reversed(reader.GetSpacing())),
        origin_mm=tuple(reader.GetOrigin()),
        direction=tuple(reader.GetDirection()),
    )


def write_image(image: Image, path: Path) -> None:
    """Write an image in the format of the file's ending, compressed; masks become 8-bit labels.

    The file appears under its name only when it is complete, and is read back before: a full disk must not
    leave a truncated scan behind, and the writers of some formats do not report one.

    Raises
    ------
    InvalidOutputError
        If the folder cannot be written, or the disk is full.
    """
    import SimpleITK as sitk

    suffix = "".join(path.suffixes[-2:]) if path.name.endswith(".nii.gz") else path.suffix
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path, suffix=suffix) as partial:
            sitk.WriteImage(to_sitk(image), os.fspath(partial), useCompression=True)
            written = sitk.GetArrayFromImage(sitk.ReadImage(os.fspath(partial)))
            if not np.array_equal(written, image.voxels, equal_nan=written.dtype.kind == "f"):
                raise InvalidOutputError(
                    f"{path.name} could not be written completely to {path.parent}: is the disk full?"
                )
    except (RuntimeError, OSError) as error:
        raise InvalidOutputError(
            f"{path.name} could not be written to {path.parent}: is the disk full or the folder read-only?"
        ) from error


def from_sitk(image: sitk.Image, *, name: str = "The image") -> Image:
    """Take over a single-channel SimpleITK image; ``name`` stands in the message if a voxel is not a number."""
    import SimpleITK as sitk

    voxels = sitk.GetArrayFromImage(image)
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        count = int((~np.isfinite(voxels)).sum())
        raise InvalidInputError(f"{name} holds {count} voxels that are not finite numbers; expected none.")
    return Image(
        voxels,
        Geometry(
            shape=voxels.shape,
            spacing_mm=tuple(reversed(image.GetSpacing())),
            origin_mm=tuple(image.GetOrigin()),
            direction=tuple(image.GetDirection()),
        ),
    )


def to_sitk(image: Image) -> sitk.Image:
    """Make a SimpleITK image; a boolean mask becomes an 8-bit label map."""
    import SimpleITK as sitk

    voxels: Any = image.voxels
    result = sitk.GetImageFromArray(voxels.astype(np.uint8) if voxels.dtype == bool else voxels)
    result.SetSpacing(tuple(map(float, reversed(image.geometry.spacing_mm))))
    result.SetOrigin(image.geometry.origin_mm)
    result.SetDirection(image.geometry.direction)
    return result


def _check_dimensions(size: tuple[int, ...], path: Path) -> None:
    if len(size) not in (2, 3):
        raise InvalidInputError(
            f"{path.name} has {len(size)} dimensions ({' x '.join(map(str, size))}); "
            "expected a 3D image: store one time point or one channel a file."
        )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn a reader's failure into one sentence."""
    if not path.exists():
        raise InvalidInputError(f"{path} does not exist.")
    try:
        yield
    except RuntimeError as error:
        raise InvalidInputError(
            f"{path.name} cannot be read as an image: it is damaged, cut off, or in an unknown format."
        ) from error


def _read_file(path: Path) -> sitk.Image:
    import SimpleITK as sitk

    with _readable(path):
        return sitk.ReadImage(os.fspath(path))


def _read_dicom_folder(folder: Path) -> sitk.Image:
    """Read the one series of a folder, slices in the order of their positions."""
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    series = reader.GetGDCMSeriesIDs(os.fspath(folder))
    if len(series) != 1:
        raise InvalidInputError(f"{folder.name} holds {len(series)} DICOM series; expected exactly one.")
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(os.fspath(folder), series[0]))
    with _readable(folder):
        return reader.Execute()
