"""Node-RADS of a node, as far as it can be measured: an approximation to what a radiologist reads, for comparison.

After Elsholtz et al. 2021, Eur Radiol 31:6116 (doi 10.1007/s00330-020-07572-4): the category rises with the size and with the
points for texture, border and shape. A radiologist judges these by eye; here each has a limit that was set by hand, stated
below. What cannot be measured gets no points and is named, so that the category is a lower bound then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .lymph_nodes import LymphNode

ENLARGED_MM, BULK_MM = 10.0, 30.0
"""Short axis from which a pelvic node is enlarged, and bulky."""
FOCAL_NECROSIS, GROSS_NECROSIS = 0.1, 0.5
"""Parts of the core from which a necrosis counts as focal, and as gross."""
FATTY_HILUM = 0.1
"""Part of the core from which fat is a hilum."""
INFILTRATED_HU = 15.0
"""So much denser than the fat beyond, the fat around shows an ill-defined border."""
SPHERICAL = 1.5
"""Longest as a multiple of the shortest axis, below which a node is a ball."""
HIGHEST = 5


@dataclass(frozen=True)
class NodeRads:
    """Category of a node, 1 to 5.

    Attributes
    ----------
    category
        None for bulky nodes, whose category is left to the reader.
    not_assessed
        Of texture, border and shape, what could not be measured: the category is at least what is given.
    """

    category: int | None
    not_assessed: tuple[str, ...]


def node_rads(node: LymphNode) -> NodeRads:
    """Give the category of a node."""
    points = {"texture": _texture(node), "border": _border(node), "shape": _shape(node)}
    not_assessed = tuple(name for name, value in points.items() if value is None)
    if node.short_axis_mm >= BULK_MM:
        return NodeRads(None, not_assessed)
    size = 2 if node.short_axis_mm >= ENLARGED_MM else 1
    return NodeRads(min(size + sum(value or 0 for value in points.values()), HIGHEST), not_assessed)


def _texture(node: LymphNode) -> int | None:
    """3 for gross, 2 for focal necrosis; unevenness (1) is not told from noise."""
    if node.core is None:
        return None
    return 3 if node.core.necrotic >= GROSS_NECROSIS else 2 if node.core.necrotic >= FOCAL_NECROSIS else 0


def _border(node: LymphNode) -> int | None:
    """1 for an ill-defined border."""
    infiltration_hu = node.fat_around_hu - node.fat_beyond_hu
    return None if math.isnan(infiltration_hu) else int(infiltration_hu > INFILTRATED_HU)


def _shape(node: LymphNode) -> int | None:
    """1 for a ball without a fatty hilum."""
    least, _, greatest = node.axes_mm
    if greatest >= SPHERICAL * least:
        return 0
    return None if node.core is None else int(node.core.fatty < FATTY_HILUM)
