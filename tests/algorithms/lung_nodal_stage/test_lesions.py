"""What a lesion is follows from where it lies; its measures are those of what was drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lung_nodal_stage.lesions import Kind, Lesion, Lesions
from preop.staging import Side
from tests.algorithms.lung_nodal_stage.chest import BLOOD_SUV, IN_LEFT_LUNG, IN_RIGHT_LUNG, LIVER_SUV, Chest

IN_VERTEBRA, IN_LIVER, IN_OESOPHAGUS, IN_THYROID = (0, 45, -60), (-60, -20, -105), (0, 19, -80), (-19, 0, 104)


def by_label(found: Lesions, label: int) -> Lesion:
    return next(lesion for lesion in found.all if lesion.drawn_as == label)


def found_alone(chest: Chest, *place: Any, **how: Any) -> Lesion:
    """What is found of one more lesion."""
    label = chest.add(*place, **how)
    return by_label(chest.found(), label)


@pytest.mark.parametrize(("where", "side"), [(IN_RIGHT_LUNG, Side.RIGHT), (IN_LEFT_LUNG, Side.LEFT)])
def test_the_primary_is_the_lesion_of_a_lung_outside_of_the_stations(chest: Chest, where, side: Side) -> None:
    primary = chest.add(where, radius_mm=10)
    chest.add("12R", radius_mm=8)
    chest.add("4R", radius_mm=7)
    found = chest.found()
    assert found.primary is not None
    assert found.primary.drawn_as == primary
    assert found.primary.number == 1
    assert found.primary.side is side
    assert found.primary.place == f"{side} upper lobe"


def test_of_two_lesions_of_the_lung_the_larger_is_the_primary_and_the_other_is_no_node(chest: Chest) -> None:
    small, large = chest.add(IN_RIGHT_LUNG, radius_mm=5, suv=12), chest.add(IN_LEFT_LUNG, radius_mm=12, suv=5)
    found = chest.found()
    assert by_label(found, large).kind is Kind.PRIMARY
    assert by_label(found, small).kind is Kind.NODULE


@pytest.mark.parametrize("station", ["1R", "2R", "3aL", "4R", "4L", "6", "7", "8L", "10R", "10L", "11R"])
def test_a_node_has_the_station_it_lies_in(chest: Chest, station: str) -> None:
    chest.add(IN_RIGHT_LUNG, radius_mm=12)
    node = found_alone(chest, station, radius_mm=3)
    assert node.kind is Kind.NODE
    assert str(node.station) == station
    assert sum(node.shares.values()) == pytest.approx(1)


def test_a_node_is_measured_as_it_was_drawn(chest: Chest) -> None:
    node = found_alone(chest, "4R", radius_mm=7, suv=6)
    assert node.short_axis_mm == pytest.approx(14, abs=1.5)
    assert node.volume_ml == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.08)
    assert node.suv_max == pytest.approx(6)
    assert node.suv_peak == pytest.approx(6, rel=0.01)  # a sphere of 1 ml fits inside
    assert node.blood_pool_ratio == pytest.approx(6 / BLOOD_SUV)
    assert node.liver_ratio == pytest.approx(6 / LIVER_SUV)


def test_the_peak_of_a_small_lesion_is_blurred_with_what_surrounds_it(chest: Chest) -> None:
    label = chest.add("4R", radius_mm=3, suv=10)
    node = by_label(chest.found(), label)
    share = (chest.lesions == label).sum() * 1.5**3 / 1000  # of 1 ml
    assert node.suv_peak == pytest.approx(10 * share + 0.5 * (1 - share), rel=0.15)


def test_a_lesion_is_no_part_of_the_blood_pool(chest: Chest) -> None:
    chest.add((24, 18, -70), radius_mm=7, suv=20)  # inside of the descending aorta
    assert chest.found().references.blood_pool == pytest.approx(BLOOD_SUV)


def test_without_aorta_and_liver_there_is_nothing_to_compare_with(chest: Chest) -> None:
    labels = chest.organs.labels
    chest.organs = type(chest.organs)(
        labels.with_voxels(np.where(chest.organs.mask("aorta", "liver"), 0, labels.voxels)), chest.organs.values
    )
    node = found_alone(chest, "4R")
    assert node.blood_pool_ratio is None
    assert node.liver_ratio is None


@pytest.mark.parametrize(
    ("where", "suv", "kind"),
    [
        (IN_VERTEBRA, 6, Kind.DISTANT),
        (IN_LIVER, 9, Kind.DISTANT),
        (IN_LIVER, 2.4, Kind.PHYSIOLOGICAL),
        (IN_OESOPHAGUS, 4, Kind.PHYSIOLOGICAL),
        (IN_THYROID, 4, Kind.PHYSIOLOGICAL),
        ((0, -5, 120), 4, Kind.PHYSIOLOGICAL),  # the larynx
        ((60, -80, 0), 5, Kind.DISTANT),  # before the ribs
    ],
)
def test_what_is_no_node_is_told_by_the_organ_it_lies_in(chest: Chest, where, suv: float, kind: Kind) -> None:
    chest.add(IN_RIGHT_LUNG, radius_mm=12)
    assert found_alone(chest, where, radius_mm=5, suv=suv).kind is kind


def test_an_enlarged_node_without_uptake_is_kept_from_a_given_segmentation(chest: Chest) -> None:
    node = found_alone(chest, "4R", radius_mm=7, suv=0.7)
    assert node.kind is Kind.NODE
    assert node.short_axis_mm > 12


def test_nodes_that_touch_each_other_in_a_mask_are_two(chest: Chest) -> None:
    x, y, z = chest.deepest("4R")
    chest.add((x, y, z - 5), radius_mm=5)
    chest.add((x, y, z + 5), radius_mm=5)
    found = chest.found(as_mask=True)
    assert len(found.of(Kind.NODE)) == 2
    assert "Lesions that touch each other were split at their waist, 1 time." in found.notes


def test_a_primary_with_a_waist_is_one_primary(chest: Chest) -> None:
    x, y, z = IN_RIGHT_LUNG
    chest.add((x, y, z - 9), radius_mm=10)
    chest.add((x, y, z + 9), radius_mm=10)
    found = chest.found(as_mask=True)
    assert [lesion.kind for lesion in found.all] == [Kind.PRIMARY]
    assert found.primary is not None
    assert found.primary.volume_ml == pytest.approx((chest.lesions > 0).sum() * 1.5**3 / 1000)


def test_a_primary_with_two_waists_is_one_primary(chest: Chest) -> None:
    x, y, z = IN_RIGHT_LUNG
    for height, radius_mm in ((-18, 11), (0, 10), (18, 10)):  # the last touches the middle one alone
        chest.add((x, y, z + height), radius_mm=radius_mm)
    assert [lesion.kind for lesion in chest.found(as_mask=True).all] == [Kind.PRIMARY]


def test_a_part_of_the_primary_in_the_wall_of_the_chest_belongs_to_it(chest: Chest) -> None:
    lung = chest.organs.labels.geometry.world_mm(np.argwhere(chest.organs.mask("lung_upper_lobe_right")))
    x, y, z = lung[lung[:, 1].argmin()].tolist()  # where it lies against the chest in front
    chest.add((x, y + 10, z), radius_mm=12)
    chest.add((x, y - 11, z), radius_mm=10)
    found = chest.found(as_mask=True)
    assert [lesion.kind for lesion in found.all] == [Kind.PRIMARY]
    assert any("split at their waist" in note for note in found.notes)


def test_a_node_that_touches_the_primary_is_a_node_and_says_so(chest: Chest) -> None:
    x, y, z = chest.deepest("4R")
    chest.add((x - 28, y, z), radius_mm=17)
    node = found_alone(chest, (x, y, z), radius_mm=11)
    assert node.kind is Kind.NODE
    assert node.touches_primary


def test_a_primary_that_grows_into_a_station_is_told(chest: Chest) -> None:
    x, y, z = chest.deepest("4R")
    chest.add((x - 30, y, z), radius_mm=24)
    found = chest.found()
    assert found.primary is not None
    assert any("The primary reaches into station 4R (" in note for note in found.notes)


def test_without_a_lesion_nothing_is_found(chest: Chest) -> None:
    found = chest.found()
    assert found.all == ()
    assert found.primary is None
    assert found.references.liver == pytest.approx(LIVER_SUV)


def test_numbers_go_from_the_primary_over_nodes_by_uptake_to_the_rest(chest: Chest) -> None:
    chest.add(IN_VERTEBRA, suv=30)
    chest.add("7", radius_mm=4, suv=4)
    chest.add("4R", suv=8)
    chest.add(IN_RIGHT_LUNG, radius_mm=12, suv=3)
    found = chest.found()
    assert [(lesion.kind, lesion.drawn_as) for lesion in found.all] == [
        (Kind.PRIMARY, 4),
        (Kind.NODE, 3),
        (Kind.NODE, 2),
        (Kind.DISTANT, 1),
    ]
    for lesion in found.all:
        assert set(chest.lesions[found.labels.voxels == lesion.number].tolist()) == {lesion.drawn_as}
