"""A PDF inside of DICOM, as a PACS shows it (Encapsulated PDF Storage, DICOM PS3.3, A.45.1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from preop.dicom.writing import code, equipment, of_patient_and_study, uid_of, write_object
from preop.folders import sha256
from preop.grandchallenge.algorithm import Algorithm

SERIES_NUMBER = 9303


def write_document(pdf: Path, headers: Sequence[Any], algorithm: Algorithm, title: str, path: Path) -> Any:
    """Write a PDF as a document of an examination, with the scans it was made of.

    Parameters
    ----------
    headers
        Of all scans; the first says of which patient and examination.
    """
    import pydicom
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

    now = datetime.now().astimezone()
    content = pdf.read_bytes()
    document = Dataset()
    for tag, value in of_patient_and_study(headers[0]).items():
        setattr(document, tag, value)
    document.SOPClassUID = EncapsulatedPDFStorage
    document.SOPInstanceUID = uid_of("object", headers[0].SeriesInstanceUID, algorithm.name, title, sha256(pdf))
    document.SeriesInstanceUID = uid_of(
        "series", headers[0].SeriesInstanceUID, algorithm.name, algorithm.version, title
    )
    document.Modality, document.ConversionType = "DOC", "WSD"
    document.SeriesNumber, document.InstanceNumber = SERIES_NUMBER, 1
    document.SeriesDescription = document.DocumentTitle = title[:64]
    document.ContentDate, document.ContentTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    document.AcquisitionDateTime = ""
    document.InstanceCreationDate, document.InstanceCreationTime = document.ContentDate, document.ContentTime
    made_by = equipment(algorithm.name, algorithm.version)
    document.Manufacturer, document.ManufacturerModelName = made_by["manufacturer"], made_by["manufacturer_model_name"]
    document.SoftwareVersions, document.DeviceSerialNumber = made_by["software_versions"], algorithm.version
    document.BurnedInAnnotation = "YES"  # what the page shows of the patient
    document.ConceptNameCodeSequence = [code("case-page", "Case page of an algorithm")]
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocumentLength = len(content)
    document.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    document.SourceInstanceSequence = []
    for header in headers:
        source = Dataset()
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        document.SourceInstanceSequence.append(source)
    document.file_meta = FileMetaDataset()
    document.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    document.file_meta.MediaStorageSOPClassUID = document.SOPClassUID
    document.file_meta.MediaStorageSOPInstanceUID = document.SOPInstanceUID
    document.file_meta.ImplementationClassUID = pydicom.uid.PYDICOM_IMPLEMENTATION_UID
    write_object(document, path)
    return document
