"""The same patient, however the scans are stored, gets the same answer: voxel type, file format, order of axes, more air around.

Another type of voxels changes nothing: likelihoods agree to ``STORED``. Another order of axes, the geometry in the single
precision of NIfTI, and a larger field of view move the grid that a scan is resampled to by rounding, and with it the side of
a tie that a voxel falls on: likelihoods agree to ``TURNED``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.grandchallenge.cases import Case, read_case
from preop.grandchallenge.values import JSON
from preop.imaging import Geometry, Image, reorient
from tests.algorithms.scans import case_of
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

STORED, TURNED = 1e-6, 0.02
"""Tolerance of a likelihood."""

PATIENTS = {
    "sarcoma_lung_metastasis": ("ct_t1_clinical", "lung-metastasis-likelihood"),
    "bladder_lymph_nodes": ("positive", "lymph-node-metastasis-likelihood"),
    "liver_growth_pattern": ("desmoplastic_mask", "non-desmoplastic-likelihood"),
}
AIR = {"ct-image": -1000}
"""What lies around a patient on a scan; 0 on every other."""

Change = Callable[[str, Image], Image]


def as_type(kind: str) -> Change:
    """Store scans in another type of voxels; segmentations are whole numbers in each of them."""

    def change(_: str, image: Image) -> Image:
        return image.with_voxels(np.rint(image.voxels).astype(kind))

    return change


def turned(_: str, image: Image) -> Image:
    return reorient(image, "SRA")


def with_air(slug: str, image: Image) -> Image:
    """Lay four voxels of air around the scan, on all sides."""
    around: NDArray[np.generic] = np.pad(image.voxels, 4, constant_values=AIR.get(slug, 0))
    first = image.geometry.world_mm(np.array([[-4.0, -4.0, -4.0]]))[0]
    geometry = Geometry(
        shape=around.shape,
        spacing_mm=image.spacing_mm,
        origin_mm=tuple(first.tolist()),
        direction=image.geometry.direction,
    )
    return Image(around, geometry)


CHANGES: dict[str, tuple[Change, str, float]] = {
    "int16": (as_type("int16"), ".mha", STORED),
    "int32": (as_type("int32"), ".mha", STORED),
    "float32": (as_type("float32"), ".mha", STORED),
    "NIfTI": (as_type("int16"), ".nii.gz", TURNED),
    "another order of axes": (turned, ".mha", TURNED),
    "more air around": (with_air, ".mha", TURNED),
}


@cache
def study(name: str) -> tuple[Algorithm, Callable[[Case], float]]:
    """An algorithm, and what gives the likelihood of a case by its shipped model."""
    algorithm = read_algorithm(ROOT / "algorithms" / name)
    inference = import_module(f"{name}.inference")
    model = inference.load_model(algorithm.folder / "model", algorithm)
    return algorithm, lambda case: float(inference.predict(case, model)[PATIENTS[name][1]])


@cache
def inputs_of(name: str) -> Mapping[str, Image | JSON]:
    """Inputs of the patient, scans with whole numbers."""
    algorithm = study(name)[0]
    case = read_case(algorithm, algorithm.folder / "test" / PATIENTS[name][0] / "input")
    return {
        slug: as_type("int16")(slug, case.image(slug)) if slug in case.image_paths else case.value(slug)
        for slug in case.interface
    }


def likelihood(name: str, root: Path, change: Change, ending: str = ".mha") -> float:
    algorithm, predict = study(name)
    changed = {
        slug: change(slug, content) if isinstance(content, Image) else content
        for slug, content in inputs_of(name).items()
    }
    return predict(case_of(algorithm, root, changed, ending=ending))


@cache
def reference(name: str, root: Path) -> float:
    return likelihood(name, root, as_type("int16"))


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("same_patient")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", PATIENTS)
def test_the_same_patient_stored_otherwise_gets_the_same_likelihood(
    name: str, change: str, root: Path, tmp_path: Path
) -> None:
    apply, ending, tolerance = CHANGES[change]
    (root / name).mkdir(exist_ok=True)
    expected = reference(name, root / name)
    assert likelihood(name, tmp_path, apply, ending) == pytest.approx(expected, abs=tolerance)


def test_a_t1_of_the_largest_values_that_16_bits_hold_is_measured_like_one_of_the_smallest(tmp_path: Path) -> None:
    # A hundred times a value of 16 bits does not fit into 16 bits: it wrapped round, and no feature was right.
    name, slug = "sarcoma_lung_metastasis", "t1-mri"
    measured = {}
    for factor in (1, 8):
        folder = tmp_path / str(factor)
        folder.mkdir()

        def brighter(which: str, image: Image, factor: int = factor) -> Image:
            return image.with_voxels(image.voxels * np.int16(factor)) if which == slug else image

        measured[factor] = likelihood(name, folder, brighter)
    assert measured[1] == pytest.approx(measured[8], abs=STORED)
