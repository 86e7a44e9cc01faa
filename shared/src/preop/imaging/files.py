"""The door for images: what a file is, is told by its content, and the module of its format reads it. Writing is by ITK."""

from __future__ import annotations

import gzip
import os
import zlib
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preop.atomic import replacing
from preop.errors import InvalidInputError, InvalidOutputError
from preop.imaging.dicom.files import is_dicom
from preop.imaging.formats import metaimage, nifti, nrrd
from preop.imaging.formats.content import Content, check_finite, other_content
from preop.imaging.images import Geometry, Image
from preop.imaging.tiff import TIFF_SUFFIXES, read_tiff

if TYPE_CHECKING:
    import SimpleITK as sitk

_GZIP = b"\x1f\x8b"
_SNIFFED = 512


class _Format(Enum):
    NIFTI = "NIfTI"
    METAIMAGE = "MetaImage"
    NRRD = "NRRD"
    TIFF = "TIFF"
    DICOM = "DICOM"


def read_image(path: Path) -> Image:
    """Read a single-channel scan or label map: NIfTI, MetaImage, NRRD, a flat TIFF, or DICOM (a file, or a folder of slices).

    The format is told by the content, not by the ending.

    Returns
    -------
    The image; what was corrected stands in its notes.

    Raises
    ------
    InvalidInputError
        If there is nothing readable, the header contradicts itself or the voxels, the image has other than 2 or 3 dimensions
        or several channels, or a voxel is not a finite number.
    """
    return read_content(path).image


def read_content(path: Path) -> Content:
    """Read an image with the names that its file gives to values; see :func:`read_image`."""
    form, path = _format_of(path)
    if form is _Format.NIFTI:
        return nifti.read_nifti(path)
    if form is _Format.METAIMAGE:
        return metaimage.read_metaimage(path)
    if form is _Format.NRRD:
        return nrrd.read_nrrd(path)
    if form is _Format.TIFF:
        return Content(read_tiff(path))
    from preop.imaging.dicom.series import read_series

    return read_series(path)


def read_geometry(path: Path) -> Geometry:
    """Read where the voxels of a file lie, without reading the voxels where that is possible."""
    form, path = _format_of(path)
    if form is _Format.NIFTI:
        return nifti.read_nifti_geometry(path)
    if form is _Format.METAIMAGE:
        return metaimage.read_metaimage_geometry(path)
    if form is _Format.NRRD:
        return nrrd.read_nrrd_geometry(path)
    if form is _Format.TIFF:
        return read_tiff(path).geometry
    from preop.imaging.dicom.series import read_series_geometry

    return read_series_geometry(path)


def files_of(path: Path) -> list[Path]:
    """List the files that an image consists of: a header and its data, all of a folder, or one.

    Raises
    ------
    InvalidInputError
        If there is no such file or folder, or a header does not say where its data are.
    """
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if each.is_file())
    form, header = _format_of(path)
    more: list[Path] = []
    if form is _Format.METAIMAGE:
        more = metaimage.metaimage_data_files(header)
    elif form is _Format.NRRD:
        more = nrrd.nrrd_data_files(header)
    elif form is _Format.NIFTI and (partner := nifti.partner_of(header)):
        more = [partner]
    return [header, *(each for each in more if each.is_file())]


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
    check_finite(voxels, name=name)
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


def _format_of(path: Path) -> tuple[_Format, Path]:
    """Tell the format of a file by its first bytes, and which file of a pair is the header."""
    if path.is_dir():
        return _Format.DICOM, path
    if not path.exists():
        raise InvalidInputError(f"{path} does not exist.")
    if path.suffix.lower() in TIFF_SUFFIXES:
        return _Format.TIFF, path
    start = _first_bytes(path)
    if path.name.lower().endswith((".img", ".img.gz")) and (header := nifti.partner_of(path)):
        path, start = header, _first_bytes(header)
    packed = start.startswith(_GZIP)
    if packed:
        start = _first_bytes(path, unpack=True)
    if nifti.is_nifti(start):
        return _Format.NIFTI, path
    if packed:
        raise InvalidInputError(f"{path.name} is packed by gzip, and what is in it is no NIfTI; unpack it.")
    if metaimage.is_metaimage(start):
        return _Format.METAIMAGE, path
    if nrrd.is_nrrd(start):
        return _Format.NRRD, path
    if is_dicom(start) or path.suffix.lower() == ".dcm":
        return _Format.DICOM, path
    if not start:
        raise InvalidInputError(f"{path.name} is {other_content(start)}.")
    known = other_content(start)
    found = f"is {known}" if known else "is in an unknown format, or damaged at its beginning"
    raise InvalidInputError(
        f"{path.name} {found}; expected NIfTI (.nii.gz), MetaImage (.mha), NRRD, DICOM or a flat TIFF with its resolution."
    )


def _first_bytes(path: Path, *, unpack: bool = False) -> bytes:
    try:
        with gzip.open(path) if unpack else path.open("rb") as file:
            return file.read(_SNIFFED)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidInputError(f"{path.name} is damaged or cut off: gzip cannot unpack it ({error}).") from error
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}.") from error
