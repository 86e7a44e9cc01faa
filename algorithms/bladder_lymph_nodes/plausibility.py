"""Whether what was segmented can be a lymph node: by size, density, and contrast to what surrounds it.

The measures of a node hold whatever was outlined, and so does a likelihood. A structure that fails a check takes no part in
the likelihood; it is named with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from preop.anatomy import PlausibleRange

from .lymph_nodes import LymphNode

VOLUME = PlausibleRange(
    "a volume",
    "ml",
    0.0,
    200.0,
    "normal pelvic nodes have a short axis of up to 10 mm (Vinnicombe 1995, Radiology 194:349); a ball of 7 cm, beyond any "
    "bulky node of bladder cancer that is treated by surgery, has 180 ml",
)
DENSITY = PlausibleRange(
    "a median density",
    "HU",
    -130.0,
    250.0,
    "from a node that is mostly fat (fat is -120 to -70 HU) to one in the arterial phase; air lies below, cortical bone above",
)
CONTRAST = PlausibleRange(
    "a contrast to the fat around it",
    "HU",
    25.0,
    math.inf,
    "a node lies in fat, which is 100 to 200 HU less dense; thick slices leave 40 HU of that in nodes of 2 mm (simulated). "
    "Within fat, or within an organ, noise makes 5 to 20 HU",
)
FAT_AROUND = PlausibleRange(
    "surroundings",
    "HU at their 25th percentile",
    -150.0,
    20.0,
    "pelvic fat, blurred by thick slices or infiltrated; an organ or muscle all around has 40 HU or more, air -900",
)


def size_of_a_node(node: LymphNode) -> str | None:
    """Check that it is not an organ or a mass of another kind, nor a piece that was split off one at a waist."""
    return VOLUME.problem(node.outlined_ml)


def density_of_a_node(node: LymphNode) -> str | None:
    """Check that it is soft tissue, be it fatty or enhanced."""
    return DENSITY.problem(node.median_hu)


def surroundings_of_a_node(node: LymphNode) -> str | None:
    """Check that there is fat around it: it is no part of an organ, and does not lie in lung or bowel gas."""
    return FAT_AROUND.problem(node.fat_around_hu)


def contrast_of_a_node(node: LymphNode) -> str | None:
    """Check that it stands out from its surroundings: it is no piece of fat."""
    return CONTRAST.problem(node.median_hu - node.fat_around_hu)


CHECKS = (size_of_a_node, density_of_a_node, surroundings_of_a_node, contrast_of_a_node)


def problems_of(nodes: Sequence[LymphNode]) -> dict[int, list[str]]:
    """Say of each node, by its number, which checks it fails."""
    return {node.number: [found for check in CHECKS if (found := check(node)) is not None] for node in nodes}
