"""Labels that no adult can have are named, with what rests on them; those of a chest that is right pass."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from preop.anatomy import STATIONS, TOTAL_CLASSES, Organs, in_patient_axes
from preop.anatomy.organs import LEFT_LOBES, LUNGS, RIGHT_LOBES
from preop.anatomy.plausibility import RESTS_ON, Implausible, implausible
from preop.imaging import Image

Labels = NDArray[np.uint8]


def checked(labels: Image, *, organs_hu: float = 40, body: NDArray[np.bool_] | None = None) -> tuple[Implausible, ...]:
    """Check labels on a CT on which lungs and trachea hold air."""
    organs = Organs(labels)
    hu = np.full(labels.shape, organs_hu)
    hu[organs.mask(*LUNGS, "trachea")] = -850
    inside = np.ones(labels.shape, dtype=bool) if body is None else body
    return implausible(in_patient_axes(organs), organs, labels.with_voxels(hu), inside)


def swapped(labels: Labels) -> Labels:
    """Right and left lung exchanged."""
    changed = labels.copy()
    for right, left in zip(RIGHT_LOBES, (*LEFT_LOBES, LEFT_LOBES[1]), strict=True):
        changed[labels == TOTAL_CLASSES[right]] = TOTAL_CLASSES[left]
    for left, right in zip(LEFT_LOBES, (RIGHT_LOBES[0], RIGHT_LOBES[2]), strict=True):
        changed[labels == TOTAL_CLASSES[left]] = TOTAL_CLASSES[right]
    return changed


def without(*names: str) -> Callable[[Labels], Labels]:
    return lambda labels: np.where(np.isin(labels, [TOTAL_CLASSES[name] for name in names]), 0, labels).astype(np.uint8)


def exchanged(one: str, other: str) -> Callable[[Labels], Labels]:
    def change(labels: Labels) -> Labels:
        first, second = TOTAL_CLASSES[one], TOTAL_CLASSES[other]
        return np.where(labels == first, second, np.where(labels == second, first, labels)).astype(np.uint8)

    return change


def trachea_at_the_side(labels: Labels) -> Labels:
    trachea = labels == TOTAL_CLASSES["trachea"]
    return np.where(np.roll(trachea, 55, axis=2), TOTAL_CLASSES["trachea"], np.where(trachea, 0, labels)).astype(
        np.uint8
    )


def half_a_spine(labels: Labels) -> Labels:
    changed = labels.copy()
    changed[: labels.shape[0] // 2][changed[: labels.shape[0] // 2] == TOTAL_CLASSES["vertebrae_T5"]] = 0
    return changed


def test_a_chest_that_is_right_passes_every_check(simple: Image) -> None:
    assert checked(simple) == ()


@pytest.mark.parametrize(
    ("spoil", "organ", "words"),
    [
        (swapped, "lungs", "lies on the wrong side of the midline"),
        (
            without(*RIGHT_LOBES[:2]),
            "lungs",
            "right lung as labelled has 20% of the volume of both",
        ),
        (
            exchanged("lung_upper_lobe_left", "lung_lower_lobe_left"),
            "lobes",
            "left upper lobe as labelled does not lie above",
        ),
        (without("trachea"), "trachea", "No trachea was found"),
        (trachea_at_the_side, "trachea", "does not lie between the lungs"),
        (without("heart"), "heart", "The heart as labelled holds 0 ml; expected 150 to 1900 ml"),
        (without("aorta"), "aorta", "The aorta as labelled holds 0 ml"),
        (half_a_spine, "spine", "of the height of the lungs; expected at least 80%"),
    ],
)
def test_what_no_adult_can_have_is_named_with_what_rests_on_it(
    simple: Image, spoil: Callable[[Labels], Labels], organ: str, words: str
) -> None:
    failed = [each for each in checked(simple.with_voxels(spoil(simple.voxels))) if each.organ == organ]
    assert failed
    assert re.search(words, failed[0].finding)
    assert set(failed[0].stations) == set(RESTS_ON[organ]) <= set(STATIONS)


def test_lung_outside_of_the_body_is_not_believed(simple: Image) -> None:
    body = np.ones(simple.shape, dtype=bool)
    body[:, :, :20] = False
    (failed,) = checked(simple, body=body)
    assert failed.organ == "lungs"
    assert "lies outside of the body" in failed.finding


def test_a_solid_organ_in_air_is_not_believed(simple: Image) -> None:
    assert {each.organ for each in checked(simple, organs_hu=-900)} == {"heart", "aorta", "spine"}


def test_a_lung_without_air_is_not_believed(simple: Image) -> None:
    organs = Organs(simple)
    hu = np.full(simple.shape, 40)
    hu[organs.mask("trachea")] = -850
    failed = implausible(in_patient_axes(organs), organs, simple.with_voxels(hu), np.ones(simple.shape, dtype=bool))
    assert [each.finding for each in failed] == ["100% of what is labelled lung holds no air; expected at most 40%."]


def test_the_organs_of_a_real_thorax_pass_every_check_of_shape(real: Image) -> None:
    assert checked(real) == ()
