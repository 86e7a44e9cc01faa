"""An export of a PACS of two made patients: several series, contours, a zip archive, files that are no DICOM."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from tests.dicom.made import MR, PET, item, volume_of, write_series, write_structures
from tests.dicom.test_suv import usual

SHAPE = (12, 10, 12)
ANNA, BERND = ("4711-0815", "Kowalczyk^Anna", "19551224"), ("4711-0816", "Oberländer^Bernd", "19480229")
STUDY_DATE = "20240305"

Edit = Callable[[Dataset], None]


def of_patient(who: tuple[str, str, str], study: str, series: str, description: str, edit: Edit | None = None):
    """Make what writes whose a slice is."""

    def change(number: int, dataset: Dataset) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 100"
        dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = who
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}.{series}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{study}.{series}.{number + 1}"
        dataset.FrameOfReferenceUID = f"{study}.99"
        dataset.StudyDate, dataset.SeriesNumber = STUDY_DATE, int(series)
        dataset.ReferringPhysicianName, dataset.AccessionNumber = "Dr^Hausmann", "ACC-90125"
        dataset.SeriesDescription = description
        if edit:
            edit(dataset)

    return change


def with_kernel(kernel: str) -> Edit:
    return lambda dataset: setattr(dataset, "ConvolutionKernel", kernel)


def ball(z: int) -> np.ndarray:
    """A contour around the middle of slice ``z`` of ``write_series``."""
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return np.column_stack([-5.6 + 2.6 * np.cos(angles), 24.5 + 2.6 * np.sin(angles), np.full(60, 30.0 + 3 * z)])


def contours_on(folder: Path, scan: Path, names: dict[str, list[np.ndarray]], uid: str) -> Path:
    """Write contours that refer to a series."""
    header = pydicom.dcmread(next(scan.iterdir()), stop_before_pixels=True)
    path = write_structures(folder / f"{uid}.dcm", names)
    dataset = pydicom.dcmread(path)
    for tag in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID", "StudyDate", "FrameOfReferenceUID"):
        dataset[tag] = header[tag]
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SeriesInstanceUID = f"{header.StudyInstanceUID}.{uid}"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{header.StudyInstanceUID}.{uid}.1"
    dataset.SeriesDescription = "contours"
    dataset.ReferencedFrameOfReferenceSequence = [
        item(
            FrameOfReferenceUID=header.FrameOfReferenceUID,
            RTReferencedStudySequence=[
                item(RTReferencedSeriesSequence=[item(SeriesInstanceUID=header.SeriesInstanceUID)])
            ],
        )
    ]
    dataset.save_as(path)
    return path


def write_export(folder: Path) -> Path:
    """Anna: PET/CT with a sharp kernel, a localizer and an uncorrected PET beside, contours, and a later CT. Bernd: MR, zipped."""
    folder.mkdir()
    volume = volume_of(SHAPE)
    soft = with_kernel("B30f")

    def scan(name: str, change, volume=volume, **more) -> Path:
        return write_series(folder / name, volume, change=change, **more)

    ct = scan("1", of_patient(ANNA, "1.2.840.1111.1", "2", "Thorax 3.0 B30f", soft))
    scan("2", of_patient(ANNA, "1.2.840.1111.1", "3", "Thorax 3.0 B70f", with_kernel("B70f")))
    scan("3", of_patient(ANNA, "1.2.840.1111.1", "1", "Topogram", soft), volume[:1])
    scan("4", of_patient(ANNA, "1.2.840.2222.1", "2", "Thorax 3.0 B30f", later))
    pet_of = of_patient(ANNA, "1.2.840.1111.1", "4", "PET AC")

    def pet_change(number: int, dataset: Dataset) -> None:
        usual(number, dataset)
        pet_of(number, dataset)

    pet = scan("5", pet_change, np.abs(volume), sop_class=PET, modality="PT")
    scan(
        "6",
        of_patient(ANNA, "1.2.840.1111.1", "5", "PET NAC", lambda each: setattr(each, "CorrectedImage", ["DECY"])),
        np.abs(volume),
        sop_class=PET,
        modality="PT",
    )
    tumour = [ball(4), ball(5), ball(6)]
    contours_on(folder, ct, {"Lung": [ball(3)], "GTV_CT": tumour}, "71")
    contours_on(folder, pet, {"GTV_PET": tumour}, "72")
    mr = scan("7", of_patient(BERND, "1.2.840.3333.1", "2", "T1 TSE tra"), sop_class=MR, modality="MR")
    with zipfile.ZipFile(folder / "Bernd.zip", "w") as archive:
        for file in sorted(mr.iterdir()):
            archive.write(file, f"../../evil/{file.name}")
            file.unlink()
    mr.rmdir()
    (folder / "README.txt").write_text("made by a PACS")
    (folder / "DICOMDIR").write_bytes(b"anything")
    (folder / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x08\x00\x05")
    return folder


def later(dataset: Dataset) -> None:
    dataset.StudyDate, dataset.ConvolutionKernel = "20240601", "B30f"
