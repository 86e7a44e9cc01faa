"""What cannot be a lymph node is named, takes no part in the likelihood, and leaves no decision where nothing else is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from bladder_lymph_nodes.inference import load_model, predict
from bladder_lymph_nodes.lymph_nodes import CT, SEGMENTATION, find_lymph_nodes
from bladder_lymph_nodes.plausibility import problems_of
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import read_case
from preop.imaging import Image, read_image
from tests.algorithms.scans import case_of
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

FOLDER = ROOT / "algorithms" / "bladder_lymph_nodes"
ALGORITHM = read_algorithm(FOLDER)
MODEL = load_model(FOLDER / "model", ALGORITHM)
LIVER = 5
"""Of TotalSegmentator's labels."""


def drawn(ct: Image, labels: NDArray[Any]) -> Image:
    return ct.with_voxels(labels.astype(np.uint8))


@pytest.fixture(scope="module")
def abdomen(data: Path) -> Image:
    return read_image(data / "anatomy" / "abdomen_ct_3mm.nii.gz")


@pytest.fixture(scope="module")
def liver(data: Path) -> NDArray[np.bool_]:
    return np.asarray(read_image(data / "anatomy" / "abdomen_ct_3mm_totalsegmentator_labels.nii.gz").voxels == LIVER)


def test_the_liver_drawn_as_a_node_is_not_plausible_and_nothing_is_decided(
    abdomen: Image, liver: NDArray[np.bool_], tmp_path: Path
) -> None:
    outputs = predict(case_of(ALGORITHM, tmp_path, {CT: abdomen, SEGMENTATION: drawn(abdomen, liver)}), MODEL)
    explanation = outputs["positive-lymph-nodes"]
    assert explanation["assessable"] == "no"
    assert explanation["decision"] == "none"
    assert any("ml (plausible: 0 to 200 ml)" in reason for reason in explanation["assessable_reasons"])
    # Nothing is known but how many of the training patients are pN+.
    learned = MODEL.info.training_data
    assert learned.events
    assert outputs["lymph-node-metastasis-likelihood"] == pytest.approx(learned.events / learned.patients)
    assert not any(row["plausible"] for row in outputs["lymph-node-table"])
    assert not outputs["lymph-node-heat-map"].voxels.any()


def test_spheres_in_fat_and_spheres_in_the_liver_are_no_nodes(
    abdomen: Image, liver: NDArray[np.bool_], tmp_path: Path
) -> None:
    fat = sitk.GetArrayFromImage(
        sitk.BinaryErode(
            sitk.GetImageFromArray(((abdomen.voxels > -130) & (abdomen.voxels < -70)).astype(np.uint8)), (2,) * 3
        )
    )
    inner = sitk.GetArrayFromImage(sitk.BinaryErode(sitk.GetImageFromArray(liver.astype(np.uint8)), (4,) * 3))
    labels = np.zeros(abdomen.shape, dtype=np.int32)
    number = 0
    for places, wanted in ((np.argwhere(fat), 25), (np.argwhere(inner), 5)):
        taken: list[NDArray[Any]] = []
        inside = places[((places > 0) & (places < np.array(abdomen.shape) - 1)).all(axis=1)]
        for place in inside[np.random.default_rng(0).permutation(len(inside))]:
            if len(taken) < wanted and all(np.abs(place - other).max() > 5 for other in taken):
                taken.append(place)
                number += 1
                # A ball of 5 mm: a voxel of 3 mm with its six neighbours.
                for step in ((0, 0, 0), *np.eye(3, dtype=int), *-np.eye(3, dtype=int)):
                    labels[tuple(place + step)] = number
    explanation = predict(case_of(ALGORITHM, tmp_path, {CT: abdomen, SEGMENTATION: drawn(abdomen, labels)}), MODEL)[
        "positive-lymph-nodes"
    ]
    assert number == 30
    assert explanation["assessable"] == "no"
    assert len(explanation["nodes_not_plausible"]) >= 28


def test_what_is_not_plausible_beside_real_nodes_changes_no_likelihood_and_is_named(tmp_path: Path) -> None:
    bundled = read_case(ALGORITHM, FOLDER / "test" / "positive" / "input")
    ct, segmentation = bundled.image(CT), bundled.image(SEGMENTATION)
    assert not any(problems_of(find_lymph_nodes(ct, segmentation).nodes).values())
    # A piece of fat, away from all nodes.
    apart = ndimage.distance_transform_edt(segmentation.voxels == 0, sampling=ct.spacing_mm) > 12
    fat = ndimage.binary_erosion((ct.voxels < -60) & apart, iterations=1)
    with_fat = segmentation.voxels.astype(np.int32)
    with_fat[ndimage.label(fat)[0] == 1 + np.argmax(np.bincount(ndimage.label(fat)[0].ravel())[1:])] = 99
    outputs = predict(case_of(ALGORITHM, tmp_path, {CT: ct, SEGMENTATION: drawn(ct, with_fat)}), MODEL)
    explanation = outputs["positive-lymph-nodes"]
    assert explanation["nodes_not_plausible"] == [99]
    assert explanation["assessable"] == "limited"
    assert any("number 99, with" in reason for reason in explanation["assessable_reasons"])
    alone = predict(bundled, MODEL)
    assert outputs["lymph-node-metastasis-likelihood"] == alone["lymph-node-metastasis-likelihood"]


def test_a_bundled_case_is_assessed() -> None:
    outputs = predict(read_case(ALGORITHM, FOLDER / "test" / "positive" / "input"), MODEL)
    explanation = outputs["positive-lymph-nodes"]
    assert explanation["assessable"] in {"yes", "limited"}
    assert explanation["decision"] in {"pN+", "pN0"}
    assert all(row["plausible"] for row in outputs["lymph-node-table"])
    counts = explanation["probability_of_count"]
    assert counts["0"] == pytest.approx(1 - outputs["lymph-node-metastasis-likelihood"])
    assert sum(counts.values()) == pytest.approx(1)
