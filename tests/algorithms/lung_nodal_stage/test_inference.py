"""The lung algorithm as the platform runs it: outputs agree with each other, bad cases end in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import pytest

from lung_nodal_stage.assessment import CT, PET
from lung_nodal_stage.inference import predict
from lung_nodal_stage.lesions import SEGMENTATION
from preop.anatomy import STATIONS
from preop.errors import InvalidInputError
from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import check_outputs
from preop.imaging import Geometry, Image, crop, reorient
from tests.algorithms.lung_nodal_stage.chest import ALGORITHM, FAT_HU, IN_LEFT_LUNG, IN_RIGHT_LUNG, VALUES, Chest, model

pytestmark = pytest.mark.slow

NAME = "n2"
LIVER = VALUES["liver"]


@pytest.fixture
def patient(chest: Chest) -> Chest:
    """Primary on the right, a malignant node in 4R and a benign one in 7."""
    chest.add(IN_RIGHT_LUNG, radius_mm=12, suv=9)
    chest.add("4R", radius_mm=6, suv=8)
    chest.add("7", radius_mm=4, suv=1.2)
    return chest


def predicted(case: Case, **changes: Any) -> dict[str, Any]:
    outputs = predict(case, model(**changes))
    check_outputs(outputs, ALGORITHM, case)
    return outputs


def test_all_outputs_tell_the_same(patient: Chest) -> None:
    outputs = predicted(patient.case())
    explanation, stations, points = (
        outputs[slug] for slug in ("n-stage-explanation", "lymph-node-stations", "lymph-nodes")
    )
    assert outputs["n-stage"] == explanation["stage"] == "N2a"
    assert sum(explanation["probabilities"].values()) == pytest.approx(1)
    assert max(explanation["probabilities"], key=explanation["probabilities"].get) == "N2a"
    assert explanation["side_of_primary"] == "right"
    assert explanation["primary"]["lesion"] == 1
    assert [row["station"] for row in stations] == ["4R", "7"]
    nodes = [node for row in stations for node in row["nodes"]]
    assert [point["probability"] for point in points["points"]] == [node["probability_malignant"] for node in nodes]
    for node, point in zip(nodes, points["points"], strict=True):
        place = patient.geometry.index_zyx(np.array([point["point"]]))[0].round().astype(int)
        assert outputs["lesions"].voxels[tuple(place)] == node["lesion"]
    alt.Chart.from_dict(outputs["n-stage-chart"], validate=True)


def test_the_station_map_holds_each_node_in_its_station(patient: Chest) -> None:
    outputs = predicted(patient.case())
    stations, lesions = outputs["lymph-node-station-map"].voxels, outputs["lesions"].voxels
    for row in outputs["lymph-node-stations"]:
        for node in row["nodes"]:
            inside = stations[lesions == node["lesion"]]
            assert STATIONS[np.bincount(inside[inside > 0]).argmax() - 1] == row["station"]


def test_without_a_segmentation_the_network_draws_the_lesions(patient: Chest) -> None:
    outputs = predicted(patient.case(given=False))
    assert outputs["n-stage"] == "N2a"
    assert outputs["n-stage-explanation"]["nodes"] == 1  # the one without uptake is not seen


def test_a_model_without_a_network_draws_lesions_by_their_uptake(patient: Chest) -> None:
    base = model()
    outputs = predicted(
        patient.case(given=False), lesions=None, description=base.description.model_copy(update={"lesions": "pet"})
    )
    assert outputs["n-stage"] == "N2a"


def test_side_and_edition_are_taken_as_given(patient: Chest) -> None:
    outputs = predicted(patient.case(primary_side="left", tnm_edition=8))
    explanation = outputs["n-stage-explanation"]
    assert outputs["n-stage"] == "N3"
    assert explanation["tnm_edition"] == 8
    assert explanation["side_is"] == "given"
    assert any(
        "was given as left; the lesion taken for it lies in the right upper lobe" in w for w in explanation["warnings"]
    )


def test_no_lesion_is_n0_with_what_was_seen(chest: Chest) -> None:
    outputs = predicted(chest.case(given=False))
    explanation = outputs["n-stage-explanation"]
    assert outputs["n-stage"] == "N0"
    assert explanation["reasoning"].startswith("N0: no hilar, mediastinal or supraclavicular uptake")
    assert explanation["reference_uptake"]["liver_suv"] == pytest.approx(2.2)
    assert not outputs["lesions"].voxels.any()
    assert outputs["lymph-nodes"]["points"] == []


def test_without_a_primary_and_its_side_the_stage_is_nx_and_says_what_to_give(chest: Chest) -> None:
    chest.add("4R")
    outputs = predicted(chest.case())
    assert outputs["n-stage"] == "NX"
    assert outputs["n-stage-explanation"]["at_least"] == "N2a"
    assert (
        "No primary was found and its side was not given: give primary_side."
        in outputs["n-stage-explanation"]["warnings"]
    )


def cut(chest: Chest, *, lowest: int = 0, leftmost: int = 129) -> Case:
    whole = chest.case()
    slices, rows, _ = chest.geometry.shape
    box = (slice(lowest, slices), slice(0, rows), slice(0, leftmost))
    images = {slug: crop(whole.image(slug), box) for slug in whole.image_paths}
    return replace(whole, _images=images)


def test_half_a_chest_is_staged_by_what_is_in_view(patient: Chest) -> None:
    upper = cut(patient, lowest=70)
    outputs = predicted(upper)
    assert outputs["n-stage"] == "N2a"
    explanation = outputs["n-stage-explanation"]
    assert explanation["assessable"] == "limited"
    assert any(
        "8R" in each and "not in view or could not be placed" in each for each in explanation["assessable_reasons"]
    )
    assert any("liver is not in view" in warning for warning in explanation["warnings"])


def test_of_one_lung_alone_no_stage_is_given_but_what_it_is_at_least(patient: Chest) -> None:
    right = cut(patient, leftmost=75)
    outputs = predicted(right)
    explanation = outputs["n-stage-explanation"]
    assert (outputs["n-stage"], explanation["at_least"], explanation["at_most"]) == ("NX", "N2a", "N3")
    assert explanation["assessable"] == "no"
    assert "no contralateral" not in explanation["reasoning"]
    assert (
        "There is no left lung: stations reach only as far as the other organs show."
        in (outputs["n-stage-explanation"]["notes"])
    )


def test_a_scan_stored_in_another_orientation_gives_the_same_stage(patient: Chest) -> None:
    whole = patient.case()
    turned = replace(whole, _images={slug: reorient(whole.image(slug), "RAS") for slug in whole.image_paths})
    one, other = predicted(whole), predicted(turned)
    assert one["n-stage"] == other["n-stage"]
    assert one["n-stage-explanation"]["reasoning"] == other["n-stage-explanation"]["reasoning"]


def test_a_mirrored_scan_is_doubted(patient: Chest) -> None:
    whole = patient.case()
    flipped = {
        slug: image.with_voxels(np.ascontiguousarray(image.voxels[:, :, ::-1]))
        for slug in whole.image_paths
        for image in [whole.image(slug)]
    }
    explanation = predicted(replace(whole, _images=flipped))["n-stage-explanation"]
    assert explanation["assessable"] != "yes"
    reasons = explanation["assessable_reasons"]
    assert any("The liver lies on the left: the scan is mirrored" in reason for reason in reasons)


def test_a_scan_on_its_head_gets_no_stage(patient: Chest) -> None:
    whole = patient.case()
    flipped = {
        slug: image.with_voxels(np.ascontiguousarray(image.voxels[::-1]))
        for slug in whole.image_paths
        for image in [whole.image(slug)]
    }
    outputs = predicted(replace(whole, _images=flipped))
    explanation = outputs["n-stage-explanation"]
    assert (outputs["n-stage"], explanation["assessable"]) == ("NX", "no")
    assert any("the scan stands on its head" in reason for reason in explanation["assessable_reasons"])


def test_a_rival_of_the_primary_in_the_other_lung_is_told(patient: Chest) -> None:
    patient.add(IN_LEFT_LUNG, radius_mm=11)
    warnings = predicted(patient.case())["n-stage-explanation"]["warnings"]
    assert any("Another lesion of the left upper lobe is of similar size" in warning for warning in warnings)


def test_networks_that_were_exchanged_are_told(patient: Chest) -> None:
    base = model()
    other = base.description.model_copy(update={"trained_with": {**base.description.trained_with, "organs": "another"}})
    warnings = predicted(patient.case(), description=other)["n-stage-explanation"]["warnings"]
    assert "The network of organs is not the one with which the probabilities of nodes were learned." in warnings
    assert predicted(patient.case())["n-stage-explanation"]["warnings"][-1] == (
        "The model was trained on simulated patients: its figures say nothing about real ones."
    )


def test_more_lesions_than_the_platform_draws_are_still_in_the_tables(patient: Chest) -> None:
    patient.lesions[:] = 0
    places = [(x, y, z) for x in range(-90, -36, 12) for y in range(-60, 55, 12) for z in (0, 30)]
    for place in places[:70]:
        patient.add(place, radius_mm=3)
    outputs = predicted(patient.case())
    assert outputs["lesions"].voxels.max() == 63
    assert (
        "70 lesions were found, of which the first 63 are drawn; all are in the tables."
        in (outputs["n-stage-explanation"]["notes"])
    )


def replaced(case: Case, slug: str, image: Image) -> Case:
    return replace(case, _images={**case._images, slug: image})


def moved(image: Image, by_mm: float) -> Image:
    geometry = image.geometry
    x, y, z = geometry.origin_mm
    return Image(image.voxels, Geometry(geometry.shape, geometry.spacing_mm, (x + by_mm, y, z), geometry.direction))


BAD_SCANS: dict[str, tuple[Callable[[Case], Case], str]] = {
    "PET in Bq/ml": (
        lambda case: replaced(case, PET, case.image(PET).with_voxels(case.image(PET).voxels * 5000)),
        "is not in SUV by body weight",
    ),
    "PET of another patient": (lambda case: replaced(case, PET, moved(case.image(PET), 500)), "PET and CT share 0%"),
    "no lung": (
        lambda case: replaced(
            case, CT, case.image(CT).with_voxels(np.where(case.image(CT).voxels != FAT_HU, LIVER, FAT_HU))
        ),
        "hold no lung",
    ),
    "half labels": (
        lambda case: replaced(
            case, SEGMENTATION, case.image(SEGMENTATION).with_voxels(case.image(SEGMENTATION).voxels / 2)
        ),
        "The lesion-segmentation holds values from 0 to 1.5; expected whole numbers",
    ),
}


@pytest.mark.parametrize("name", BAD_SCANS)
def test_a_scan_that_cannot_be_staged_is_refused_with_the_reason(patient: Chest, name: str) -> None:
    spoil, sentence = BAD_SCANS[name]
    with pytest.raises(InvalidInputError, match=sentence):
        predict(spoil(patient.case()), model())
