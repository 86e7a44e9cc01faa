"""Results as DICOM: segmentations, reports and pages that refer to their scan, and come back as they were."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from preop.cli.repository import find_algorithm
from preop.dicom.documents import write_document
from preop.dicom.index import read_index
from preop.dicom.reports import write_report
from preop.dicom.segmentations import write_segmentation
from preop.dicom.series import series_of
from preop.dicom.writing import headers_of
from preop.errors import InvalidInputError
from preop.imaging import Image, read_image, read_labels, read_mask
from tests.dicom.export import ANNA, of_patient, with_kernel
from tests.dicom.made import volume_of, write_series

highdicom = pytest.importorskip("highdicom")
LUNG = find_algorithm("lung_nodal_stage")
NAMES = {"4R": 9, "7": 13}
OBLIQUE = (0.8, 0.6, 0, -0.6, 0.8, 0)


def complete(dataset: Dataset) -> None:
    """What a CT has to have that no reader here needs."""
    with_kernel("B30f")(dataset)
    dataset.PatientSex, dataset.StudyTime, dataset.StudyID, dataset.Manufacturer = "F", "101500", "77", "made"
    dataset.PositionReferenceIndicator = ""


def scan_of(folder: Path, **more: object) -> tuple[Image, list[Dataset]]:
    change = of_patient(ANNA, "1.2.840.1111.1", "2", "Thorax", complete)
    write_series(folder, volume_of(), change=change, **more)  # type: ignore[arg-type]
    (series,) = series_of(read_index(folder))
    return read_image(folder), headers_of(series)


def labels_on(scan: Image) -> Image:
    voxels = np.zeros(scan.shape, np.uint8)
    voxels[2:6, 2:7, 3:9], voxels[4:7, 4:6, 5:8] = 9, 13
    return scan.with_voxels(voxels)


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), OBLIQUE, (1, 0, 0, 0, 0, -1)])
def test_a_segmentation_that_is_read_back_is_the_mask(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    scan, headers = scan_of(tmp_path / "ct", orientation=orientation)
    labels = labels_on(scan)
    written = write_segmentation(labels, NAMES, headers, LUNG, "stations", tmp_path / "out" / "seg.dcm")
    path = tmp_path / "out" / "seg.dcm"
    for name, value in NAMES.items():
        assert np.array_equal(read_mask(path, label=name, like=scan.geometry).voxels, labels.voxels == value)
    assert np.array_equal(read_labels(path, like=scan.geometry).voxels, (labels.voxels > 0) * 1 + (labels.voxels == 13))
    # By another reader, through the UIDs of the slices.
    theirs = highdicom.seg.segread(path)
    ordered = sorted(
        headers, key=lambda each: np.dot(each.ImagePositionPatient, np.cross(orientation[:3], orientation[3:]))
    )
    frames = theirs.get_pixels_by_source_instance(
        [each.SOPInstanceUID for each in ordered],
        combine_segments=True,
        ignore_spatial_locations=False,
        assert_missing_frames_are_empty=True,
    )
    assert np.array_equal(frames, (labels.voxels > 0) * 1 + (labels.voxels == 13))
    assert written.PatientID == ANNA[0]
    assert theirs.StudyInstanceUID == headers[0].StudyInstanceUID
    assert {each.SeriesInstanceUID for each in theirs.ReferencedSeriesSequence} == {headers[0].SeriesInstanceUID}


def test_the_same_result_has_the_same_uid_and_another_another(tmp_path: Path) -> None:
    scan, headers = scan_of(tmp_path / "ct")
    labels = labels_on(scan)
    one, two = (write_segmentation(labels, NAMES, headers, LUNG, "stations", tmp_path / f"{n}.dcm") for n in range(2))
    labels.voxels[2, 2, 3] = 0
    other = write_segmentation(labels, NAMES, headers, LUNG, "stations", tmp_path / "3.dcm")
    assert one.SOPInstanceUID == two.SOPInstanceUID != other.SOPInstanceUID
    assert one.SeriesInstanceUID == other.SeriesInstanceUID
    with pytest.raises(InvalidInputError, match="marks nothing"):
        write_segmentation(
            scan.with_voxels(np.zeros(scan.shape, np.uint8)), NAMES, headers, LUNG, "x", tmp_path / "4.dcm"
        )


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    scan, headers = scan_of(folder / "ct")
    labels = labels_on(scan)
    segmentation = write_segmentation(labels, NAMES, headers, LUNG, "stations", folder / "seg.dcm")
    point = scan.geometry.world_mm(np.array([[3, 4, 5]]))[0].tolist()
    values = {"n-stage": "N2b", "lymph-nodes": {"points": [{"name": "7", "point": point, "probability": 0.75}]}}
    write_report(values, [(segmentation, labels)], [headers], LUNG, folder / "sr.dcm")
    pdf = folder / "page.pdf"
    pdf.write_bytes(b"%PDF-1.4 made for a test%")
    write_document(pdf, headers, LUNG, "case page", folder / "pdf.dcm")
    return folder


def test_the_report_holds_stage_volumes_and_points(objects: Path) -> None:
    report = highdicom.sr.srread(objects / "sr.dcm")
    content = report.content
    (whole,) = content.get_image_measurement_groups()
    evaluation = whole.get_qualitative_evaluations()[0]
    assert (evaluation.name.meaning, evaluation.value.meaning) == ("N stage", "N2b")
    volumes = {
        group.finding_type.meaning: group.get_measurements()[0].value
        for group in content.get_volumetric_roi_measurement_groups()
    }
    voxel_mm3 = 3.0 * 1.0 * 0.8
    assert volumes == pytest.approx({"4R": (4 * 5 * 6 - 2 * 2 * 3) * voxel_mm3, "7": 3 * 2 * 3 * voxel_mm3})
    (point,) = content.get_planar_roi_measurement_groups()
    assert point.roi.value.tolist() == [pytest.approx([-10 + 5 * 0.8, 24, 39])]
    assert point.get_measurements()[0].value == pytest.approx(0.75)
    referred = {
        each.SeriesInstanceUID
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for each in study.ReferencedSeriesSequence
    }
    assert referred == {"1.2.840.1111.1.2", pydicom.dcmread(objects / "seg.dcm").SeriesInstanceUID}


def test_the_document_holds_the_page_and_refers_to_the_scan(objects: Path) -> None:
    document = pydicom.dcmread(objects / "pdf.dcm")
    length = document.EncapsulatedDocumentLength
    assert document.EncapsulatedDocument[:length] == (objects / "page.pdf").read_bytes()
    assert len(document.SourceInstanceSequence) == 8
    assert (document.PatientID, document.StudyInstanceUID) == (ANNA[0], "1.2.840.1111.1")


@pytest.mark.parametrize("name", ["seg", "sr", "pdf"])
def test_the_objects_are_valid_by_dciodvfy(objects: Path, name: str) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed; on Debian: apt install dicom3tools")
    done = subprocess.run(["dciodvfy", objects / f"{name}.dcm"], capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    # The UIDs of the made scan are short of nothing, its own missing attributes are no fault of the object.
    assert errors == []
