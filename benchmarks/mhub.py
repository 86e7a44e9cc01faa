"""A bundled case through a workflow of MHub: ``python benchmarks/mhub.py [ALGORITHM] [--case CASE]``.

Builds the image of ``docs/mhub`` as docs/hosts.md shows, by docker or podman. MHub's own base image is stood in for by a small
one with the same runner (mhubio) and no more; ``--base`` names another. The case becomes DICOM series, as a patient's folder
of input; what the workflow leaves is compared with the bundled outputs. Exit code 1 on any difference.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from preop.cli import repository
from preop.dicom.index import read_index
from preop.dicom.segmentations import write_segmentation
from preop.dicom.series import series_of
from preop.dicom.writing import headers_of
from preop.engines.building import BASE_IMAGE_VARIABLE, BUILD_OPTIONS_VARIABLE
from preop.engines.choosing import find_engine
from preop.engines.comparison import compare_outputs, read_tolerance
from preop.engines.containers import ContainerEngine
from preop.engines.submissions import find_test_cases
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import read_case
from preop.report.case.writing import PAGE_FILE
from tests.dicom.made import write_series

ROOT = Path(__file__).parents[1]
STAND_IN = """
ARG BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE_IMAGE}
ENV PATH=/opt/mhub/bin:$PATH PYTHONPATH=/app
RUN --mount=type=secret,id=pip --mount=type=secret,id=certificates \\
    export PIP_CONFIG_FILE=/run/secrets/pip \\
    && if [ -f /run/secrets/certificates ]; then export PIP_CERT=/run/secrets/certificates; fi \\
    && python3 -m venv /opt/mhub && pip3 install --quiet --no-cache-dir mhubio==0.0.2
RUN mkdir -p /app/data/input_data /app/data/output_data /app/models
WORKDIR /app
"""
IMAGE, BASE = "preop-mhub:tried", "preop-mhub-base:tried"
PATIENT = "patient"
_HEADER = {
    "PatientID": "1",
    "PatientName": "Made^Up",
    "PatientBirthDate": "19500101",
    "PatientSex": "F",
    "StudyInstanceUID": "1.2.840.1111.1",
    "SeriesInstanceUID": "1.2.840.1111.1.2",
    "FrameOfReferenceUID": "1.2.840.1111.1.99",
    "StudyDate": "20260101",
    "StudyTime": "101500",
    "StudyID": "1",
    "SeriesNumber": 2,
    "SeriesDescription": "CT portal venous",
    "ConvolutionKernel": "B30f",
    "Manufacturer": "made",
    "ReferringPhysicianName": "",
    "AccessionNumber": "",
    "PositionReferenceIndicator": "",
}


def main() -> None:
    """Build, run, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "algorithm", nargs="?", default="sarcoma_lung_metastasis", help="one that takes a CT and a mask on it"
    )
    parser.add_argument("--case", help="one of its bundled cases; the first by default")
    parser.add_argument("--base", help="MHub's base image, where it can be pulled")
    asked = parser.parse_args()
    engine = find_engine()
    if not isinstance(engine, ContainerEngine):
        sys.exit("No container engine works here.")
    algorithm = repository.find_algorithm(asked.algorithm)
    case = next(each for each in find_test_cases(algorithm.folder) if asked.case in (None, each.name))
    with tempfile.TemporaryDirectory() as folder:
        data, context = Path(folder) / "data", Path(folder) / "context"
        write_patient(algorithm, case.input, data / "input_data" / PATIENT / "dicom")
        (data / "output_data").mkdir()
        build(engine, context, asked.base)
        start = time.monotonic()
        run = [
            *engine.command,
            "run",
            "--rm",
            "--network=none",
            *engine.run_options,
            f"--volume={data}:/app/data",
            IMAGE,
        ]
        own = f"--config:modules.PreopRunner.algorithm={algorithm.name}"
        configuration = "/app/models/preop_sarcoma_lung_metastasis/config/default.yml"
        subprocess.run([*run, "--print", "--config", configuration, own], check=True)
        took, found = time.monotonic() - start, data / "output_data" / PATIENT
        (found / "outputs" / PAGE_FILE).unlink()  # for a person to read, and not among the outputs of the platform
        problems = compare_outputs(case.expected, found / "outputs", read_tolerance(algorithm.folder / "test"))
        print(f"{algorithm.name}, {case.name}: {took:.0f} s; {'; '.join(problems) or 'outputs as expected'}; as DICOM:")
        print(*sorted(path.name for path in (found / "dicom").iterdir()), sep="\n")
    sys.exit(bool(problems))


def write_patient(algorithm: Algorithm, source: Path, folder: Path) -> None:
    """Write the CT and the mask of a case as the DICOM series of a patient."""
    case = read_case(algorithm, source)
    scan = next(slug for slug in case.image_paths if algorithm.input(slug).segmentation_of is None)
    mask = next(slug for slug in case.image_paths if algorithm.input(slug).segmentation_of == scan)
    image = case.image(scan)
    voxels = np.round(image.voxels).astype(np.int16)
    folder.mkdir(parents=True)
    (z, y, x), (left, back, down) = image.spacing_mm, image.geometry.origin_mm
    write_series(folder / "ct", voxels, spacing_mm=(z, y, x), origin_mm=(left, back, down), change=_of_patient)
    (series,) = series_of(read_index(folder / "ct"))
    labels = case.image(mask)
    names = {f"tumour {value}": int(value) for value in np.unique(labels.voxels) if value}
    write_segmentation(labels, names, headers_of(series), algorithm, "tumour", folder / "seg.dcm")


def _of_patient(number: int, dataset: Any) -> None:
    """Say what a CT has to have so that results can refer to it."""
    for tag, value in _HEADER.items():
        setattr(dataset, tag, value)
    uid = f"{_HEADER['SeriesInstanceUID']}.{number + 1}"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid


def build(engine: ContainerEngine, context: Path, base: str | None) -> None:
    """Fill the folder that docs/hosts.md describes, and build MHub's image of it."""
    shutil.copytree(ROOT / "docs/mhub", context)
    for lock in ("inference", "hospital"):
        shutil.copy(ROOT / f"requirements/{lock}.txt", context)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(context)]
    subprocess.run([*wheel, str(ROOT)], check=True)
    options = shlex.split(os.environ.get(BUILD_OPTIONS_VARIABLE, ""))
    if base is None:
        (context / "stand-in").write_text(STAND_IN)
        below = os.environ.get(BASE_IMAGE_VARIABLE)
        own = [f"--build-arg=BASE_IMAGE={below}"] if below else []
        make = [*engine.command, "build", f"--file={context}/stand-in", f"--tag={BASE}", *own, *options, str(context)]
        subprocess.run(make, check=True)
    file = context / "dockerfiles/Dockerfile"
    make = [*engine.command, "build", f"--file={file}", f"--tag={IMAGE}", f"--build-arg=BASE_IMAGE={base or BASE}"]
    subprocess.run([*make, *options, str(context)], check=True)


if __name__ == "__main__":
    main()
