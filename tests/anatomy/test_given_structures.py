"""Ranges that structures are held to, and the sentences that name what is outside of them."""

from __future__ import annotations

import math

from preop.anatomy import PlausibleRange, not_plausible

VOLUME = PlausibleRange("a volume", "ml", 0.0, 200.0, "reckoned")
CONTRAST = PlausibleRange("a contrast", "HU", 25.0, math.inf, "reckoned")


def test_a_value_at_the_end_of_a_range_is_plausible_and_one_beyond_it_is_told_with_the_range() -> None:
    assert VOLUME.problem(200.0) is None
    assert VOLUME.problem(1503.2) == "a volume of 1503 ml (plausible: 0 to 200 ml)"
    assert CONTRAST.problem(3.21) == "a contrast of 3.2 HU (plausible: 25 HU or more)"


def test_what_is_not_known_is_not_implausible() -> None:
    assert CONTRAST.problem(math.nan) is None


def test_only_structures_with_a_problem_are_named() -> None:
    sentences = not_plausible("lymph node", {1: [], 7: ["a volume of 300 ml", "a contrast of 3 HU"]})
    assert sentences == [
        "Not plausible as a lymph node, and not assessed: number 7, with a volume of 300 ml and a contrast of 3 HU."
    ]
