"""How a stage is explained: the paragraph reads as it would be dictated, and the tables agree with the nodes."""

from __future__ import annotations

import pytest

from lung_nodal_stage.explanation import reasoning, station_table
from preop.staging import N
from tests.algorithms.lung_nodal_stage.chest import IN_RIGHT_LUNG, Chest


def test_the_reasoning_is_what_a_radiologist_would_dictate(chest: Chest) -> None:
    chest.add(IN_RIGHT_LUNG, radius_mm=12, suv=9)
    chest.add("4R", radius_mm=6.5, suv=8.1)
    chest.add("10R", radius_mm=4, suv=4.2)
    assert reasoning(chest.staged()) == (
        "N2a: one ipsilateral mediastinal station (4R, 13 mm, SUVmax 8.1); hilar 10R; no contralateral or supraclavicular "
        "uptake. Primary in the right upper lobe, 24 mm, SUVmax 9.0."
    )


def test_without_a_lesion_the_stage_is_n0_with_what_was_seen(chest: Chest) -> None:
    found = chest.staged()
    assert found.stage.category is N.N0
    assert reasoning(found) == "N0: no hilar, mediastinal or supraclavicular uptake. No primary seen."


def test_a_benign_node_is_named_as_such(chest: Chest) -> None:
    chest.add(IN_RIGHT_LUNG, radius_mm=12)
    chest.add("7", radius_mm=6, suv=1.9)
    found = chest.staged()
    assert found.stage.category is N.N0
    assert "Not taken for malignant: 7 14 mm, SUVmax 1.9." in reasoning(found)


def test_a_station_is_as_likely_involved_as_its_nodes_make_it(chest: Chest) -> None:
    chest.add(IN_RIGHT_LUNG, radius_mm=12)
    x, y, z = chest.deepest("4R")
    chest.add((x, y, z + 7), radius_mm=3)
    chest.add((x, y, z - 7), radius_mm=3)
    (row,) = station_table(chest.staged(malignancy=lambda _: 0.5))
    assert row["station"] == "4R"
    assert row["marginal_probability"] == pytest.approx(0.75)
    assert [node["probability_malignant"] for node in row["nodes"]] == [0.5, 0.5]
