"""From lesions to the stage: it follows from the nodes, and what is not known is left open."""

from __future__ import annotations

import pytest

from lung_nodal_stage.assessment import Information, predict_from_organs
from lung_nodal_stage.explanation import reasoning
from preop.staging import Edition, N, Side
from tests.algorithms.lung_nodal_stage.chest import IN_LEFT_LUNG, IN_RIGHT_LUNG, Chest, by_uptake


@pytest.mark.parametrize(
    ("stations", "right", "left"),
    [
        ([], N.N0, N.N0),
        (["10R"], N.N1, N.N3),
        (["4R"], N.N2A, N.N3),
        (["7"], N.N2A, N.N2A),
        (["4R", "7"], N.N2B, N.N3),
        (["5", "10L"], N.N3, N.N2A),
        (["1R"], N.N3, N.N3),
    ],
)
def test_the_stage_follows_from_stations_and_the_side_of_the_primary(chest: Chest, stations, right: N, left: N) -> None:
    for station in stations:
        chest.add(station, radius_mm=3)
    for side, expected in ((Side.RIGHT, right), (Side.LEFT, left)):
        found = chest.staged(side)
        assert found.stage.category is expected
        assert found.probabilities.most_likely is expected
        assert [str(station) for station in found.stage.involved] == sorted(stations, key=stations.index)


@pytest.mark.parametrize(("where", "expected"), [(IN_RIGHT_LUNG, N.N2A), (IN_LEFT_LUNG, N.N3)])
def test_the_side_is_that_of_the_primary_that_was_found(chest: Chest, where, expected: N) -> None:
    chest.add("4R")
    chest.add(where, radius_mm=10)
    found = chest.staged()
    assert found.side_from == "found"
    assert found.stage.category is expected


def test_a_given_side_goes_before_the_one_that_was_found(chest: Chest) -> None:
    chest.add("4R")
    chest.add(IN_RIGHT_LUNG, radius_mm=10)
    found = chest.staged(Side.LEFT)
    assert (found.side, found.side_from, found.stage.category) == (Side.LEFT, "given", N.N3)


def test_without_a_side_the_stage_is_nx_with_its_bounds_and_the_reason(chest: Chest) -> None:
    chest.add("4R")
    found = chest.staged()
    assert (found.stage.category, found.stage.at_least, found.stage.at_most) == (N.NX, N.N2A, N.N3)
    assert found.probabilities.of[N.NX] == pytest.approx(0.97)
    assert "the side of the primary is unknown, N2a or N3" in reasoning(found)


def test_the_stage_is_the_most_likely_one_even_where_no_node_is_likely(chest: Chest) -> None:
    chest.add(IN_RIGHT_LUNG, radius_mm=12)
    for station in ("4L", "10L", "2L"):
        chest.add(station, radius_mm=3)
    found = chest.staged(malignancy=lambda _: 0.4)
    assert found.stage.category is found.probabilities.most_likely is N.N3
    assert found.probabilities.of[N.N3] == pytest.approx(1 - 0.6**3)
    assert found.stage.involved


def test_the_clinical_rule_stands_beside_the_model(chest: Chest) -> None:
    chest.add(IN_RIGHT_LUNG, radius_mm=12)
    chest.add("10R", radius_mm=4, suv=2.3)
    chest.add("4R", radius_mm=4, suv=1.9)
    chest.add("7", radius_mm=4, suv=1.4)
    found = chest.staged(malignancy=by_uptake)
    assert found.stage.category is N.N0
    by_blood_pool, by_liver = found.rule("blood_pool"), found.rule("liver")
    assert by_blood_pool is not None
    assert by_blood_pool.category is N.N2A
    assert by_liver is not None
    assert by_liver.category is N.N1


def test_the_eighth_edition_does_not_split_n2(chest: Chest) -> None:
    chest.add("4R")
    chest.add("7", radius_mm=4)
    found = predict_from_organs(
        chest.image(chest.suv),
        chest.organs,
        chest.image(chest.lesions),
        Information(Side.RIGHT, Edition.EIGHTH),
        by_uptake,
    )
    assert found.stage.category is N.N2
    assert set(found.probabilities.of) == {N.N0, N.N1, N.N2, N.N3, N.NX}
