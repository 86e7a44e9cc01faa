"""Into and out of a server by DICOMweb: Orthanc stands for the PACS of a hospital."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from preop.cli.repository import find_algorithm
from preop.dicom.index import read_index
from preop.dicom.segmentations import write_segmentation
from preop.dicom.series import series_of
from preop.dicom.web import download, store
from preop.dicom.writing import headers_of
from preop.errors import InvalidInputError
from preop.imaging import read_image, read_mask
from tests.dicom.export import ANNA, BERND, SHAPE, write_export
from tests.dicom.made import volume_of

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
    if program is None or not PLUGIN.exists():
        pytest.skip("Orthanc is not installed; on Debian: apt install orthanc orthanc-dicomweb")
    folder = tmp_path_factory.mktemp("orthanc")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (folder / "orthanc.json").write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "storage"),
                "IndexDirectory": str(folder / "storage"),
                "HttpPort": port,
                "DicomServerEnabled": False,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "Plugins": [str(PLUGIN)],
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            }
        )
    )
    with (folder / "log").open("w") as log:
        server = subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log)
    try:
        for _ in range(150):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/system", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        else:
            pytest.fail((folder / "log").read_text()[-2000:])
        yield f"http://127.0.0.1:{port}/dicom-web"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def filled(pacs: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    export = write_export(tmp_path_factory.mktemp("pacs") / "export")
    for each in series_of(read_index(export)):
        with each.files() as files:
            store(pacs, files)
    return pacs


def test_series_of_wanted_patients_and_modalities_come_once(filled: str, tmp_path: Path) -> None:
    folder = tmp_path / "dicom"
    assert download(filled, folder, patients=[BERND[0]], modalities={"MR"}) == 1
    (mr,) = series_of(read_index(folder))
    with mr.files() as files:
        assert np.array_equal(read_image(files[0].parent).voxels, volume_of(SHAPE))
    assert (
        download(filled, folder, patients=[ANNA[0], BERND[0]], modalities={"MR", "PT"}, dates="20240301-20240331") == 2
    )
    assert download(filled, folder, patients=["*"], modalities={"MR", "PT"}) == 0
    assert {each.text("Modality") for each in series_of(read_index(folder))} == {"MR", "PT"}
    with pytest.raises(InvalidInputError, match="has no series"):
        download(filled, folder, patients=["nobody"], modalities={"MR"})


def test_a_stored_segmentation_comes_back_as_the_mask(filled: str, tmp_path: Path) -> None:
    download(filled, tmp_path / "in", patients=[BERND[0]], modalities={"MR"})
    (mr,) = series_of(read_index(tmp_path / "in"))
    with mr.files() as files:
        scan = read_image(files[0].parent)
    labels = np.zeros(scan.shape, np.uint8)
    labels[3:6, 2:5, 4:9] = 1
    algorithm = find_algorithm("sarcoma_lung_metastasis")
    write_segmentation(
        scan.with_voxels(labels), {"tumour": 1}, headers_of(mr), algorithm, "tumour", tmp_path / "seg.dcm"
    )
    store(filled, [tmp_path / "seg.dcm"])
    download(filled, tmp_path / "back", patients=[BERND[0]], modalities={"SEG"})
    (back,) = (tmp_path / "back").rglob("*.dcm")
    assert np.array_equal(read_mask(back, like=scan.geometry).voxels, labels > 0)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("pacs/dicom-web", "no address of a DICOMweb service"),
        ("http://127.0.0.1:9/dicom-web", "cannot be reached"),
    ],
)
def test_a_server_that_is_not_there_is_told_in_a_sentence(tmp_path: Path, url: str, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        download(url, tmp_path, patients=["1"], modalities={"CT"})


def test_a_service_that_is_not_there_is_told_by_its_status(pacs: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="HTTP status 404"):
        download(pacs.replace("dicom-web", "nothing"), tmp_path, patients=["1"], modalities={"CT"})
