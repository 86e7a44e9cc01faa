"""Slices of DICOM images, whether each is a file (CT, MR, PET) or a frame of one file (enhanced multi-frame)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging.dicom.files import read_object

PHASE_TAGS = {
    "EchoTime": "echo time",
    "EffectiveEchoTime": "echo time",
    "EchoNumbers": "echo",
    "TemporalPositionIdentifier": "time point",
    "TemporalPositionIndex": "time point",
    "TriggerTime": "trigger time",
    "NominalCardiacTriggerDelayTime": "trigger delay",
    "DiffusionBValue": "b-value",
    "AcquisitionNumber": "acquisition",
    "ContentTime": "time",
    "AcquisitionTime": "acquisition time",
    "ConvolutionKernel": "reconstruction kernel",
    "ImageType": "image type",
    "StackID": "stack",
    "FrameReferenceTime": "frame time",
}
"""What tells volumes apart that share one series and one place, the most telling first."""
_RESCALING = ("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence")
_DEFLATED = "1.2.840.10008.1.2.1.99"
_PLAIN = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", _DEFLATED, "1.2.840.10008.1.2.5"}
"""Transfer syntaxes that pydicom decodes alone: uncompressed, deflated, RLE. The others go through GDCM in SimpleITK."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice with its place in the world (LPS, mm).

    Attributes
    ----------
    name
        How a person finds it: the file, or the frame of a file.
    position
        World position (x, y, z) of the centre of the first pixel.
    orientation
        (2, 3): directions along a row (to the next column) and along a column (to the next row).
    spacing_mm
        Distance of rows, and of columns.
    size
        Rows and columns.
    thickness_mm
        As stated, or None.
    phase
        Value of each of ``PHASE_TAGS`` that it has, as text.
    voxels
        Reads its values (rows, columns), rescaled.
    """

    name: str
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing_mm: tuple[float, float]
    size: tuple[int, int]
    thickness_mm: float | None
    phase: dict[str, str]
    voxels: Callable[[], NDArray[Any]]

    @property
    def normal(self) -> NDArray[np.float64]:
        """Direction across the slice."""
        return np.cross(self.orientation[0], self.orientation[1])

    @property
    def is_localizer(self) -> bool:
        """Whether it says that it is one."""
        return "LOCALIZER" in self.phase.get("ImageType", "").upper()


def slices_of(path: Path, header: Any) -> list[Slice]:
    """Give the slices of one image file: one, or one a frame.

    Raises
    ------
    InvalidInputError
        If it holds colours, or does not say where a slice lies.
    """
    samples = int(header.get("SamplesPerPixel", 1) or 1)
    if samples != 1:
        raise InvalidInputError(f"{path.name} holds colours ({samples} values a pixel); expected one value a voxel.")
    frames = int(header.get("NumberOfFrames", 1) or 1)
    if "PerFrameFunctionalGroupsSequence" in header:
        return list(_frames(path, header))
    if frames > 1:
        raise InvalidInputError(
            f"{path.name} has {frames} frames and does not say where each lies; export it as single slices, or as an "
            "enhanced multi-frame image."
        )
    return [_slice(path.name, header, _phase(header), lambda: read_pixels(read_object(path), name=path.name))]


def read_pixels(dataset: Any, *, name: str) -> NDArray[Any]:
    """Decode the pixels of a file and rescale them by its own slope and intercept, (rows, columns)."""
    from pydicom.pixels.processing import apply_modality_lut

    stored = decode(dataset, name=name)
    return np.asarray(apply_modality_lut(stored, dataset))


def decode(dataset: Any, *, name: str) -> NDArray[Any]:
    """Decode the stored values of a file, (rows, columns) or (frames, rows, columns).

    Raises
    ------
    InvalidInputError
        If the pixels are missing, cut off, or cannot be decoded.
    """
    if "PixelData" not in dataset and "FloatPixelData" not in dataset and "DoubleFloatPixelData" not in dataset:
        raise InvalidInputError(f"{name} holds no pixels, or is cut off before them; copy it again.")
    syntax = str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID", "") or "1.2.840.10008.1.2")
    if not hasattr(dataset, "file_meta") or "TransferSyntaxUID" not in dataset.file_meta:
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = syntax
    if syntax not in _PLAIN:
        return _decode_by_gdcm(dataset, name)
    try:
        return np.asarray(dataset.pixel_array)
    except (ValueError, AttributeError, NotImplementedError, RuntimeError, EOFError) as error:
        raise InvalidInputError(f"{name} is cut off or damaged: its pixels cannot be decoded ({error}).") from error


def _decode_by_gdcm(dataset: Any, name: str) -> NDArray[Any]:
    """Decode JPEG, JPEG-LS and JPEG 2000, with rescaling taken out so that it happens in one place."""
    import SimpleITK as sitk

    rescaling = [dataset[tag] for tag in _RESCALING if tag in dataset]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "slice.dcm"
        try:
            for element in rescaling:
                del dataset[element.tag]
            dataset.save_as(file)
            pixels = sitk.GetArrayFromImage(sitk.ReadImage(os.fspath(file), imageIO="GDCMImageIO"))
        except RuntimeError as error:
            raise InvalidInputError(
                f"{name} is damaged, or compressed in a way that is not read ({dataset.file_meta.TransferSyntaxUID.name})."
            ) from error
        finally:
            for element in rescaling:
                dataset.add(element)
    return np.asarray(pixels[0] if pixels.ndim == 3 and len(pixels) == 1 else pixels)


def _slice(name: str, source: Any, phase: dict[str, str], voxels: Callable[[], NDArray[Any]]) -> Slice:
    """Take a slice's place from a header, or from the functional groups of a frame, laid together."""
    numbers = {}
    for tag, count, words in (
        ("ImagePositionPatient", 3, "where it lies"),
        ("ImageOrientationPatient", 6, "how it is turned"),
        ("PixelSpacing", 2, "the size of its pixels"),
    ):
        value = source.get(tag)
        if value is None or len(value) != count:
            raise InvalidInputError(f"{name} does not say {words} ({tag}); expected slices of a CT, MR or PET series.")
        numbers[tag] = np.array([float(each) for each in value])
        if not np.isfinite(numbers[tag]).all():
            raise InvalidInputError(f"{name} states {tag} = {list(value)}; expected finite numbers.")
    spacing = numbers["PixelSpacing"]
    orientation = numbers["ImageOrientationPatient"].reshape(2, 3)
    lengths = np.linalg.norm(orientation, axis=1)
    if (spacing <= 0).any() or (abs(lengths - 1) > 0.01).any() or abs(orientation[0] @ orientation[1]) > 0.01:
        raise InvalidInputError(
            f"{name} states pixels of {spacing[0]:g} x {spacing[1]:g} mm in the directions {orientation.ravel().tolist()}; "
            "expected sizes above 0 and two directions at right angles."
        )
    thickness = source.get("SliceThickness")
    return Slice(
        name=name,
        position=numbers["ImagePositionPatient"],
        orientation=orientation / lengths[:, None],
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        size=(int(source.Rows), int(source.Columns)),
        thickness_mm=float(thickness) if thickness not in (None, "") and float(thickness) > 0 else None,
        phase=phase,
        voxels=voxels,
    )


def _phase(source: Any) -> dict[str, str]:
    found = {tag: source.get(tag) for tag in PHASE_TAGS}
    return {tag: _text(value) for tag, value in found.items() if value not in (None, "", [])}


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str) or not hasattr(value, "__iter__") else "\\".join(map(str, value))


def _frames(path: Path, header: Any) -> Iterator[Slice]:
    """Lay together what all frames share and what each has of its own (DICOM PS3.3, section C.7.6.16)."""
    import pydicom
    from pydicom.pixels.processing import apply_rescale

    shared = header.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()]
    decoded: list[NDArray[Any]] = []

    def pixels(number: int, groups: Any) -> NDArray[Any]:
        if not decoded:
            stored = decode(read_object(path), name=path.name)
            decoded.append(stored if stored.ndim == 3 else stored[None])
        return np.asarray(apply_rescale(decoded[0][number], groups))

    for number, own in enumerate(header.PerFrameFunctionalGroupsSequence):
        groups = pydicom.Dataset()
        groups.Rows, groups.Columns = header.Rows, header.Columns
        for functional in (shared[0], own):
            for element in functional:
                if element.VR == "SQ" and len(element.value):
                    groups.update({inner.tag: inner for inner in element.value[0]})
        name = f"frame {number + 1} of {path.name}"
        yield _slice(name, groups, _phase(groups), partial(pixels, number, groups))
