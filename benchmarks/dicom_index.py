#!/usr/bin/env python3
"""How long the index of a folder of mixed patients takes: ``benchmarks/dicom_index.py FOLDER --instances 20000``.

Makes the instances (small pixels, headers of real length, mixed patients, studies and series in one flat folder, and a part
of them in zip archives), reads their headers, then reads the folder again from what is remembered.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
import zipfile
from pathlib import Path

from preop.dicom.index import read_index

SLICES, SERIES, ARCHIVED = 50, 4, 0.1


def make(folder: Path, instances: int) -> None:
    """Write the instances; each header has some hundred elements, private ones and sequences among them, as scanners write."""
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    archives: dict[int, list[Path]] = {}
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = pydicom.uid.CTImageStorage
    header.Modality, header.Manufacturer = "CT", "SIEMENS"
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.ImageOrientationPatient, header.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.8, 0.8]
    header.SliceThickness, header.ConvolutionKernel = 3.0, "B30f"
    header.Rows = header.Columns = 64
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation, header.SamplesPerPixel = 15, 1, 1
    header.PhotometricInterpretation = "MONOCHROME2"
    block = header.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    for element in range(100):
        block.add_new(element, "LO", f"private value {element}")
    header.RequestAttributesSequence = [Dataset() for _ in range(5)]
    for item in header.RequestAttributesSequence:
        item.ScheduledProcedureStepDescription = "CT of chest and abdomen"
    header.PixelData = bytes(2 * 64 * 64)
    for number in range(instances):
        series, place = divmod(number, SLICES)
        patient = series // SERIES
        header.PatientID, header.PatientName = f"{patient:06d}", f"Name^{patient}"
        header.StudyInstanceUID, header.SeriesInstanceUID = f"1.2.3.{patient}", f"1.2.3.{patient}.{series}"
        header.ImagePositionPatient, header.InstanceNumber = [0, 0, 3.0 * place], place + 1
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
        path = folder / f"IM{(number * 7919) % instances:06d}"
        header.save_as(path, enforce_file_format=True)
        if series % round(1 / ARCHIVED) == 0:
            archives.setdefault(patient, []).append(path)
    for patient, paths in archives.items():
        with zipfile.ZipFile(folder / f"export_{patient}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in paths:
                archive.write(path, path.name)
                path.unlink()


def _processor_s() -> float:
    """Processor time of this process and of those that it waited for: what counts on a machine that others use too."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Make the folder where it is missing, and print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--instances", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    if not given.folder.exists():
        make(given.folder / "export", given.instances)
    remembered = given.folder / "index.sqlite"
    remembered.unlink(missing_ok=True)
    for name in ("first", "again"):
        begin, used = time.perf_counter(), _processor_s()
        index = read_index(given.folder / "export", remembered=remembered, processes=given.processes)
        print(
            f"{name}: {len(index.objects)} instances, {index.read} files read, in {time.perf_counter() - begin:.1f} s "
            f"by {given.processes} of {os.cpu_count()} cores; {_processor_s() - used:.1f} s of processor time"
        )


if __name__ == "__main__":
    main()
