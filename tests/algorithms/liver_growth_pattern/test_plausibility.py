"""What cannot be a metastasis is named, takes no part in the likelihood, and leaves no decision where nothing else is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from liver_growth_pattern.inference import load_model, predict
from liver_growth_pattern.lesions import CT, SEGMENTATION
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import read_case
from preop.imaging import Image, read_image
from tests.algorithms.scans import case_of
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

FOLDER = ROOT / "algorithms" / "liver_growth_pattern"
ALGORITHM = read_algorithm(FOLDER)
MODEL = load_model(FOLDER / "model", ALGORITHM)
LIVER = 5
"""Of TotalSegmentator's labels."""


@pytest.fixture(scope="module")
def abdomen(data: Path) -> Image:
    return read_image(data / "anatomy" / "abdomen_ct_3mm.nii.gz")


@pytest.fixture(scope="module")
def liver(data: Path) -> NDArray[np.bool_]:
    labels = read_image(data / "anatomy" / "abdomen_ct_3mm_totalsegmentator_labels.nii.gz")
    return np.asarray(labels.voxels == LIVER)


def outputs_of(root: Path, ct: Image, labels: NDArray[Any]) -> dict[str, Any]:
    drawn = ct.with_voxels(labels.astype(np.uint8))
    return dict(predict(case_of(ALGORITHM, root, {CT: ct, SEGMENTATION: drawn}), MODEL))


def spheres_in(organ: NDArray[np.bool_], ct: Image, number: int, radius_mm: float) -> NDArray[np.uint8]:
    """Balls, one label each, deep in an organ."""
    deep = np.argwhere(ndimage.distance_transform_edt(organ, sampling=ct.spacing_mm) > radius_mm + 6)
    grid = np.moveaxis(np.indices(ct.shape), 0, -1) * np.array(ct.spacing_mm)
    labels = np.zeros(ct.shape, dtype=np.uint8)
    centres: list[NDArray[Any]] = []
    for place in deep[np.random.default_rng(1).permutation(len(deep))] * np.array(ct.spacing_mm):
        if len(centres) < number and all(np.linalg.norm(place - other) > 2 * radius_mm + 6 for other in centres):
            centres.append(place)
            labels[np.linalg.norm(grid - place, axis=-1) <= radius_mm] = len(centres)
    assert len(centres) == number
    return labels


def test_spheres_in_a_normal_liver_are_no_metastases_and_nothing_is_decided(
    abdomen: Image, liver: NDArray[np.bool_], tmp_path: Path
) -> None:
    outputs = outputs_of(tmp_path, abdomen, spheres_in(liver, abdomen, 5, 9.0))
    patterns = outputs["growth-patterns"]
    assert patterns["metastases_not_plausible"] == [1, 2, 3, 4, 5]
    assert (patterns["assessable"], patterns["decision"]) == ("no", "none")
    assert any("a density beside the liver's of" in reason for reason in patterns["assessable_reasons"])
    # Nothing is known but how many of the training patients are non-desmoplastic.
    assert outputs["non-desmoplastic-likelihood"] == pytest.approx(160 / 200)
    assert set(np.unique(outputs["growth-pattern-map"].voxels)) == {0, 4}


def test_a_sphere_in_a_real_liver_with_metastases_elsewhere_is_no_metastasis(data: Path, tmp_path: Path) -> None:
    ct = read_image(data / "liver" / "crlm_ct_1004.nii.gz")
    smooth = ndimage.gaussian_filter(ct.voxels.astype(np.float32), (0.5, 3, 3))
    # The largest piece of homogeneous tissue of the liver's density on the patient's right.
    tissue = (smooth > 85) & (smooth < 140)
    parts, _ = ndimage.label(ndimage.binary_erosion(tissue, iterations=2))
    organ = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    patterns = outputs_of(tmp_path, ct, spheres_in(organ, ct, 1, 8.0))["growth-patterns"]
    assert (patterns["assessable"], patterns["decision"]) == ("no", "none")


def test_a_piece_of_liver_drawn_beside_a_metastasis_is_left_out_and_named(tmp_path: Path) -> None:
    bundled = read_case(ALGORITHM, FOLDER / "test" / "desmoplastic_mask" / "input")
    ct, segmentation = bundled.image(CT), bundled.image(SEGMENTATION)
    labels = segmentation.voxels.astype(np.uint8)
    labels[labels > 0] = 1
    apart = ndimage.distance_transform_edt(labels == 0, sampling=ct.spacing_mm) > 8
    smooth = ndimage.gaussian_filter(ct.voxels.astype(np.float32), (1, 3, 3))
    inner = np.zeros(ct.shape, dtype=bool)
    inner[2:-2, 6:-6, 6:-6] = True
    z, y, x = np.argwhere(apart & inner & (np.abs(smooth - np.median(ct.voxels[apart])) < 3))[0]
    labels[z - 1 : z + 2, y - 4 : y + 5, x - 4 : x + 5] = 2
    patterns = outputs_of(tmp_path, ct, labels)["growth-patterns"]
    assert patterns["metastases_not_plausible"] == [2]
    assert patterns["assessable"] == "limited"
    assert patterns["metastases_judged"] == 1


def test_a_bundled_case_is_assessed() -> None:
    outputs = predict(read_case(ALGORITHM, FOLDER / "test" / "desmoplastic" / "input"), MODEL)
    patterns = outputs["growth-patterns"]
    assert patterns["assessable"] in {"yes", "limited"}
    assert patterns["metastases_not_plausible"] == []
    assert patterns["decision"] in {"desmoplastic", "non-desmoplastic"}
