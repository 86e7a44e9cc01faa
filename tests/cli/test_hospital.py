"""Between a hospital and a study: ``preop case``, ``preop import`` and ``preop run`` from DICOM to DICOM."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from preop.cli.commands import app
from preop.cli.repository import find_algorithm
from preop.errors import InvalidInputError, InvalidOutputError
from preop.grandchallenge.cases import read_case
from preop.imaging import read_image, write_image
from preop.study import lay_out_case
from tests.dicom.export import ball, write_export
from tests.dicom.made import volume_of, write_series, write_structures

NODES = "lymph-node-segmentation"
SARCOMA = find_algorithm("sarcoma_lung_metastasis")


def preop(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def scan(tmp_path: Path) -> tuple[Path, Path]:
    contours = {"Lung": [ball(2)], "GTV": [ball(3), ball(4)]}
    return write_series(tmp_path / "ct", volume_of()), write_structures(tmp_path / "rs.dcm", contours)


def test_a_case_of_dicom_contours_and_clinical_values(scan: tuple[Path, Path], tmp_path: Path) -> None:
    label = ("--ct-tumour-segmentation-label", "GTV*")
    given = ("--ct-image", scan[0], f"--ct-tumour-segmentation={scan[1]}", "--age-years", 61, "--sex", "male", *label)
    preop("case", "sarcoma_lung_metastasis", *given, "--output", tmp_path / "case")
    case = read_case(SARCOMA, tmp_path / "case")
    assert np.array_equal(case.image("ct-image").voxels, volume_of())
    assert np.flatnonzero(case.mask("ct-tumour-segmentation").voxels.any(axis=(1, 2))).tolist() == [3, 4]
    assert case.value("clinical-information") == {"age_years": 61, "sex": "male"}
    assert {item["socket"]["slug"] for item in json.loads((tmp_path / "case" / "inputs.json").read_text())} == {
        "ct-image",
        "ct-tumour-segmentation",
        "clinical-information",
    }
    with pytest.raises(InvalidOutputError, match="is not empty"):
        preop("case", "sarcoma_lung_metastasis", *given, "--output", tmp_path / "case")


def test_a_label_of_a_label_map_is_one_structure_of_many(tmp_path: Path) -> None:
    ct = write_series(tmp_path / "ct", volume_of((44, 10, 12)))
    voxels = np.zeros((44, 10, 12), np.uint8)
    voxels[3, 3, 3], voxels[5, 5, 5] = 1, 2
    write_image(read_image(ct).with_voxels(voxels), tmp_path / "nodes.nii.gz")
    bladder, images = find_algorithm("bladder_lymph_nodes"), {"ct-image": ct, NODES: tmp_path / "nodes.nii.gz"}
    lay_out_case(bladder, tmp_path / "all", images)
    lay_out_case(bladder, tmp_path / "one", images, labels={NODES: "2"})
    every, one = (read_case(bladder, tmp_path / each).image(NODES).voxels for each in ("all", "one"))
    assert np.array_equal(every, voxels)
    assert np.argwhere(one).tolist() == [[5, 5, 5]]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--ct-image", __file__), "in an unknown format"),
        (("--ct-tumour-segmentation", __file__), "also needs ct-image"),
        (("--ct-image", "nowhere", "--ct-tumour-segmentation", "x"), "nowhere"),
        (("--ct-tumour-segmentation-label", "GTV"), "names a region of a file that is not given"),
    ],
)
def test_what_is_no_case_is_told_and_nothing_is_left(tmp_path: Path, given: tuple[str, ...], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        preop("case", "sarcoma_lung_metastasis", "--output", tmp_path / "case", *given)
    assert not (tmp_path / "case").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ("run", "sarcoma_lung_metastasis", "--dicom-in", "x"),
            "--dicom-in and --dicom-out go together",
        ),
        (("import", "x", "--study", "sarcoma_lung_metastasis"), "An import needs"),
        (("import", "--dicomweb", "http://x", "--study", "sarcoma_lung_metastasis", "--output", "y"), "Whose series"),
        (("store", "nowhere", "--dicomweb", "http://x"), "holds no DICOM objects"),
    ],
)
def test_half_a_command_is_told(
    command: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInputError, match=words):
        preop(*command)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((), r"holds 2 patients \(4711-0815, 4711-0816\); name one by --patient"),
        (("--patient", "4711-0816"), "no combination of inputs"),
        (("--patient", "1"), "no DICOM series of the patient 1"),
    ],
)
def test_a_folder_without_one_complete_patient_is_refused(tmp_path: Path, more: tuple[str, ...], words: str) -> None:
    export = write_export(tmp_path / "export")
    with pytest.raises(InvalidInputError, match=words):
        preop("run", "sarcoma_lung_metastasis", "--dicom-in", export, "--dicom-out", tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_real_patient_goes_from_series_to_results(data: Path, tmp_path: Path) -> None:
    source, out = data / "dicom" / "STS_002", tmp_path / "out"
    preop("run", "sarcoma_lung_metastasis", "--dicom-in", source, "--dicom-out", out, "--output", tmp_path / "files")
    assert (tmp_path / "files" / "case.html").is_file()
    report = pydicom.dcmread(out / "findings.dcm")
    likelihood = json.loads((tmp_path / "files" / "lung-metastasis-likelihood.json").read_text())
    numbers = [float(each.MeasuredValueSequence[0].NumericValue) for each in _numbers(report)]
    assert numbers == [pytest.approx(likelihood, rel=1e-6)]
    scans = {
        pydicom.dcmread(next((source / each / "image").iterdir())).SeriesInstanceUID for each in ("CT", "PET", "MR_T1")
    }
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert {each.SeriesInstanceUID for each in evidence} == scans
    assert report.PatientID == "STS_002"


def _numbers(item: pydicom.Dataset) -> list[pydicom.Dataset]:
    inner = [number for each in item.get("ContentSequence", []) for number in _numbers(each)]
    return [item, *inner] if item.get("ValueType") == "NUM" else inner
