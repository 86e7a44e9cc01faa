"""DICOM objects made by pydicom alone, so that what is read can be compared with what was meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT, PET, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
RTSTRUCT, SEG = "1.2.840.10008.5.1.4.1.1.481.3", "1.2.840.10008.5.1.4.1.1.66.4"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
Change = Callable[[int, Dataset], None]


def volume_of(shape: tuple[int, int, int] = (8, 10, 12), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)


def base(sop_class: str, modality: str) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.Modality = modality
    dataset.StudyInstanceUID = dataset.FrameOfReferenceUID = "1.2.3"
    dataset.SeriesInstanceUID = "1.2.3.4"
    dataset.SeriesDescription = "made"
    return dataset


def pixels(dataset: Dataset, stored: np.ndarray) -> None:
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = stored.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()


def write_series(
    folder: Path,
    volume: np.ndarray,
    *,
    spacing_mm: tuple[float, float, float] = (3.0, 1.0, 0.8),
    origin_mm: tuple[float, float, float] = (-10.0, 20.0, 30.0),
    orientation: Sequence[float] = AXIAL,
    step: Sequence[float] | None = None,
    sop_class: str = CT,
    modality: str = "CT",
    change: Change | None = None,
) -> Path:
    """Write one file a slice, in an order of names that is not that of the slices."""
    folder.mkdir(exist_ok=True)
    normal = np.cross(orientation[:3], orientation[3:])
    way = normal * spacing_mm[0] if step is None else np.asarray(step)
    for number, plane in enumerate(volume):
        dataset = base(sop_class, modality)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.InstanceNumber = number + 1
        dataset.ImagePositionPatient = [f"{each:.6g}" for each in np.asarray(origin_mm) + number * way]
        dataset.ImageOrientationPatient = [f"{each:.12g}"[:16] for each in orientation]
        dataset.PixelSpacing = [spacing_mm[1], spacing_mm[2]]
        dataset.SliceThickness = spacing_mm[0]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        pixels(dataset, plane)
        if change:
            change(number, dataset)
        dataset.save_as(folder / f"{(number * 5) % 97:04d}_{number}.dcm", enforce_file_format=True)
    return folder


def file_of(folder: Path, number: int) -> Path:
    return next(folder.glob(f"*_{number}.dcm"))


def edit(path: Path, change: Callable[[Dataset], Any]) -> None:
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)


def item(**values: Any) -> Dataset:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def write_enhanced(path: Path, volume: np.ndarray, *, slopes: Sequence[float], order: Sequence[int]) -> Path:
    """Write a multi-frame image; frames in any order, each with a slope of its own."""
    dataset = base(ENHANCED_CT, "CT")
    dataset.NumberOfFrames = len(volume)
    pixels(dataset, volume[list(order)])
    dataset.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=list(AXIAL))],
            PixelMeasuresSequence=[item(PixelSpacing=[1.0, 0.8], SliceThickness=3.0)],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=[-10.0, 20.0, 30.0 + 3 * number])],
            PixelValueTransformationSequence=[item(RescaleSlope=slopes[number], RescaleIntercept=0, RescaleType="HU")],
        )
        for number in order
    ]
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_structures(path: Path, structures: dict[str, list[np.ndarray]], kind: str = "CLOSED_PLANAR") -> Path:
    """Write contours (n, 3) in mm by the names of their regions."""
    dataset = base(RTSTRUCT, "RTSTRUCT")
    dataset.StructureSetROISequence = [item(ROINumber=n, ROIName=name) for n, name in enumerate(structures, 1)]
    dataset.ROIContourSequence = [
        item(
            ReferencedROINumber=n,
            ContourSequence=[
                item(
                    ContourGeometricType=kind,
                    NumberOfContourPoints=len(points),
                    ContourData=[f"{each:.6f}" for each in points.ravel()],
                )
                for points in contours
            ],
        )
        for n, contours in enumerate(structures.values(), 1)
    ]
    dataset.save_as(path, enforce_file_format=True)
    return path


def write_segmentation(path: Path, masks: dict[str, np.ndarray], *, kind: str = "BINARY", flip: bool = False) -> Path:
    """Write the frames that are not empty of each segment, on the grid of ``write_series``; ``flip`` stores columns reversed."""
    dataset = base(SEG, "SEG")
    dataset.SegmentationType = kind
    dataset.SegmentSequence = [item(SegmentNumber=n, SegmentLabel=name) for n, name in enumerate(masks, 1)]
    columns = next(iter(masks.values())).shape[2]
    frames, groups = [], []
    for n, mask in enumerate(masks.values(), 1):
        for number in reversed(np.flatnonzero(mask.any(axis=(1, 2)))):
            frames.append(mask[number, :, ::-1] if flip else mask[number])
            x = -10.0 + 0.8 * (columns - 1) if flip else -10.0
            groups.append(
                item(
                    SegmentIdentificationSequence=[item(ReferencedSegmentNumber=n)],
                    PlanePositionSequence=[item(ImagePositionPatient=[x, 20.0, 30.0 + 3 * int(number)])],
                )
            )
    dataset.NumberOfFrames = len(frames)
    stack = np.stack(frames)
    pixels(dataset, stack.astype(np.uint8))
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = 0
    packed = np.packbits(stack.astype(np.uint8).ravel(), bitorder="little").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    dataset.SharedFunctionalGroupsSequence = [
        item(
            PlaneOrientationSequence=[item(ImageOrientationPatient=[-1.0 if flip else 1.0, 0, 0, 0, 1.0, 0])],
            PixelMeasuresSequence=[item(PixelSpacing=[1.0, 0.8], SliceThickness=3.0)],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = groups
    dataset.save_as(path, enforce_file_format=True)
    return path
