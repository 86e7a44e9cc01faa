"""What could not be assessed is never negative, and nothing is surer than the validation supports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lung_nodal_stage.assessment import PET, Information, predict_from_organs
from lung_nodal_stage.explanation import reasoning
from lung_nodal_stage.inference import load_model, predict
from lung_nodal_stage.view import Unseen, View
from preop.grandchallenge.cases import Case, read_case
from preop.imaging import Image, crop, read_image
from preop.staging import Edition, N, NodalProbabilities, Side, Station
from tests.algorithms.lung_nodal_stage.chest import ALGORITHM, CT, FOLDER, IN_RIGHT_LUNG, Chest, by_uptake, model

BEFORE = {N.N1: 0.13, N.N2: 0.22, N.N3: 0.13}


def staged(chest: Chest, *not_assessed: str, **view: Any) -> Any:
    reasons = {Station.parse(name): "not in view" for name in not_assessed}
    return predict_from_organs(
        chest.image(chest.suv),
        chest.organs,
        chest.image(chest.lesions),
        Information(Side.RIGHT),
        by_uptake,
        View(reasons, **view),
        Unseen(0.135, BEFORE, 1 / 102),
    )


def test_a_station_that_was_not_assessed_is_left_open(chest: Chest) -> None:
    whole, part = staged(chest), staged(chest, "4L", "10L")
    assert part.stage.category is N.N0
    assert (part.stage.at_least, part.stage.at_most) == (N.N0, N.N3)
    assert part.probabilities.of[N.N3] > whole.probabilities.of[N.N3]
    assert "contralateral" not in reasoning(part)
    assert "Not assessed: stations 4L, 10L." in reasoning(part)


def test_missed_nodes_are_part_of_the_probability_of_n0(chest: Chest) -> None:
    seen = Unseen(0.135, BEFORE).nodes(Side.RIGHT, {})
    assert np.prod([1 - node.probability for node in seen]) == pytest.approx(np.exp(-0.135))
    assert staged(chest).probabilities.of[N.N0] < np.exp(-0.135)


def test_a_station_without_assessment_is_involved_as_often_as_before_the_scan() -> None:
    nodes = Unseen(0.0, BEFORE).nodes(Side.RIGHT, {Station.parse("7"): "not in view"})
    assert [set(node.shares) for node in nodes] == [{Station.SUBCARINAL}]
    # N2 for a primary on the right: 2R, 3aR, 3pR, 4R, 7, 8R and 9R.
    assert nodes[0].probability == pytest.approx(0.22 / 7, rel=0.02)


def test_no_probability_is_surer_than_the_validation() -> None:
    certain = NodalProbabilities({N.N0: 1.0, N.N1: 0.0, N.N2A: 0.0, N.N2B: 0.0, N.N3: 0.0, N.NX: 0.0}, Edition.NINTH)
    supported = Unseen(0.0, {}, 1 / 102).supported(certain).of
    assert sum(supported.values()) == pytest.approx(1)
    assert min(p for category, p in supported.items() if category is not N.NX) == pytest.approx(1 / 102)
    assert supported[N.N0] == pytest.approx(1 - 4 / 102)


def test_where_nothing_can_be_said_the_stage_is_nx_with_the_reason(chest: Chest) -> None:
    chest.add("4R")
    found = staged(chest, prevents=("The lungs cannot be right.",))
    assert (found.stage.category, found.stage.at_least, found.stage.at_most) == (N.NX, N.N2A, N.N3)
    assert found.probabilities.of[N.N0] == 0
    assert reasoning(found).startswith("NX: the lymph nodes could not be assessed. The lungs cannot be right.")
    assert "no contralateral" not in reasoning(found)


def test_stations_beyond_the_pet_are_not_assessed(chest: Chest) -> None:
    chest.add(IN_RIGHT_LUNG, radius_mm=12)
    case = chest.case()
    pet = case.image(PET)
    low = crop(pet, (slice(0, 105), *(slice(0, size) for size in pet.shape[1:])))
    explanation = predict(replace(case, _images={**case._images, PET: low}), model())["n-stage-explanation"]
    assert explanation["not_assessed"]["2R"] == "beyond the PET"
    assert explanation["assessable"] in ("limited", "no")
    assert "supraclavicular" not in explanation["reasoning"].split(".")[0]


def test_a_focus_between_the_lungs_that_no_station_holds_is_not_called_n0(chest: Chest) -> None:
    chest.add(IN_RIGHT_LUNG, radius_mm=12)
    chest.add((20, -40, -112), radius_mm=3)  # below the heart
    found = chest.staged()
    assert found.stage.category is N.NX
    assert any("assigned neither to a station nor to an organ" in each for each in found.view.prevents)


# --- real scans ---------------------------------------------------------------------------------------------------------

WHOLE_THORAX = ("lidc_idri_0001", "cmb_crc_msb_01068", "midrc_ricord_1a_001012", "lung_pet_ct_dx_a0001_soft_kernelB")


@pytest.fixture(scope="module")
def shipped() -> Any:
    return load_model(FOLDER / "model", ALGORITHM)


def in_the_mediastinum(lungs: Image) -> np.ndarray[Any, Any]:
    """World position of a place between the lungs, two fifths of their height below the apices."""
    slices = np.flatnonzero((lungs.voxels == 2).any(axis=(1, 2)))
    heights = lungs.geometry.world_mm(np.stack([slices, 0 * slices, 0 * slices], axis=1))[:, 2]
    level = slices[np.argmin(abs(heights - (heights.max() - 0.4 * np.ptp(heights))))]
    tissue = lungs.voxels[level] == 1
    points = np.argwhere(lungs.voxels[level] == 2)
    middle = points.mean(axis=0)
    places = np.argwhere(tissue)
    y, x = places[np.linalg.norm(places - middle, axis=1).argmin()]
    return lungs.geometry.world_mm(np.array([[level, y, x]]))[0]


def real_case(path: Path) -> Case:
    """A real CT with a PET that was made up: 1.05 in the body, and a hot ball of 18 mm between the lungs."""
    ct, lungs = read_image(path), read_image(path.with_name(path.name.replace(".nii", "_bodylung.nii")))
    suv = np.where(lungs.voxels > 0, 1.05, 0.0).astype(np.float32)
    centre = in_the_mediastinum(lungs)
    z, y, x = np.indices(ct.shape, sparse=True)
    offsets = [
        (grid - place) * spacing
        for grid, place, spacing in zip((z, y, x), ct.geometry.index_zyx(centre[None])[0], ct.spacing_mm, strict=True)
    ]
    suv[sum(offset**2 for offset in offsets) <= 81] = 8
    images = {CT: ct, PET: ct.with_voxels(suv)}
    return Case(ALGORITHM, "case", {slug: Path(slug) for slug in images}, {}, images)


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE_THORAX)
def test_a_hot_node_in_a_real_chest_is_found_or_the_chest_is_not_assessed(data: Path, shipped: Any, name: str) -> None:
    path = data / "real" / "ct" / f"{name}.nii.gz"
    if not path.is_file():
        pytest.skip(f"the real chest CT is not at {path}")
    explanation = predict(real_case(path), shipped)["n-stage-explanation"]
    if explanation["assessable"] == "yes":
        assert explanation["stage"] not in ("N0", "N1")
    assert explanation["at_most"] not in ("N0", "N1")
    assert explanation["probabilities"]["N0"] < 0.9


@pytest.mark.slow
def test_the_fault_of_a_nodule_that_was_called_n3(data: Path, shipped: Any) -> None:
    folder = data / "faults" / "lung_nodule"
    if not folder.is_dir():
        pytest.skip(f"the case with a lung nodule is not at {folder}")
    outputs = predict(read_case(ALGORITHM, folder), shipped)
    explanation = outputs["n-stage-explanation"]
    assert outputs["n-stage"] == "N0"
    assert [row["if_malignant"] for row in explanation["lung_nodules"]] == ["M1a, or a second primary"]
    assert explanation["probabilities"]["N3"] < 0.05
    assert explanation["probabilities"]["N0"] < 1
