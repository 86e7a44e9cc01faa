"""What lies in lung tissue alone is a nodule and no node; what could be both counts as both."""

from __future__ import annotations

import pytest

from lung_nodal_stage.explanation import reasoning
from lung_nodal_stage.lesions import Kind
from lung_nodal_stage.nodules import meaning
from preop.staging import N, Side
from tests.algorithms.lung_nodal_stage.chest import IN_LEFT_LUNG, IN_RIGHT_LUNG, Chest

RIGHT_UPPER, RIGHT_LOWER, LEFT_UPPER = "lung_upper_lobe_right", "lung_lower_lobe_right", "lung_upper_lobe_left"


@pytest.mark.parametrize(
    ("side", "lobe", "primary_side", "primary_lobe", "words"),
    [
        (Side.RIGHT, RIGHT_UPPER, Side.RIGHT, RIGHT_UPPER, "T3"),
        (Side.RIGHT, RIGHT_LOWER, Side.RIGHT, RIGHT_UPPER, "T4"),
        (Side.LEFT, LEFT_UPPER, Side.RIGHT, RIGHT_UPPER, "M1a, or a second primary"),
        (Side.RIGHT, RIGHT_LOWER, Side.RIGHT, None, "T3 in the lobe of the primary, T4 in another"),
        (Side.RIGHT, RIGHT_LOWER, None, None, "T3, T4 or M1a by the lobe of the primary, or a second primary"),
    ],
)
def test_a_separate_nodule_is_t3_t4_or_m1a_by_lobe_and_side(side, lobe, primary_side, primary_lobe, words: str) -> None:
    assert meaning(side, lobe, primary_side, primary_lobe) == words


@pytest.mark.parametrize(("primary", "words"), [(IN_RIGHT_LUNG, "M1a, or a second primary"), (IN_LEFT_LUNG, "T4")])
def test_a_nodule_in_the_outer_shell_around_a_hilum_makes_no_n(chest: Chest, primary, words: str) -> None:
    chest.add(primary, radius_mm=12)
    label = chest.add("14L", radius_mm=3.5, suv=6)
    found = chest.staged()
    nodule = next(lesion for lesion in found.lesions.all if lesion.drawn_as == label)
    assert nodule.kind is Kind.NODULE
    assert found.stage.category is N.N0
    assert found.nodes == ()
    assert f"({words})" in reasoning(found)


def test_what_may_be_a_node_or_a_nodule_counts_as_both(chest: Chest) -> None:
    chest.add(IN_RIGHT_LUNG, radius_mm=12)
    chest.add("13L", radius_mm=3.5, suv=6)
    found = chest.staged(malignancy=lambda _: 0.9)
    (node,) = found.nodes
    assert 0.2 < node.nodule_share < 0.8
    assert found.probabilities.of[N.N3] == pytest.approx(0.9 * (1 - node.nodule_share))
    assert "Lymph node or lung nodule: 13L" in reasoning(found)


def test_a_node_at_the_main_bronchus_is_no_nodule(chest: Chest) -> None:
    chest.add(IN_LEFT_LUNG, radius_mm=12)
    chest.add("10L", radius_mm=3, suv=6)
    found = chest.staged()
    assert [node.nodule_share for node in found.nodes] == [0.0]
    assert found.stage.category is N.N1
