"""Node-RADS as far as it is measured: category by size and points, and what could not be assessed."""

from __future__ import annotations

import math
from typing import Any

import pytest

from bladder_lymph_nodes.lymph_nodes import Core, LymphNode
from bladder_lymph_nodes.node_rads import NodeRads, node_rads


def node(**measured: Any) -> LymphNode:
    usual: dict[str, Any] = {
        "number": 1,
        "box": (slice(0, 1),) * 3,
        "centre_mm": (0.0, 0.0, 0.0),
        "short_axis_mm": 6.0,
        "long_axis_mm": 9.0,
        "volume_ml": 0.2,
        "outlined_ml": 0.2,
        "side": "left",
        "median_hu": 80.0,
        "p90_hu": 95.0,
        "p10_hu": 40.0,
        "fat_around_hu": -100.0,
        "fat_beyond_hu": -105.0,
        "axes_mm": (6.0, 7.0, 12.0),
        "core": Core(0.3, 0.0),
        "cut_by_edge": False,
    }
    return LymphNode(**usual | measured)


@pytest.mark.parametrize(
    ("measured", "category"),
    [
        ({}, 1),
        ({"short_axis_mm": 12.0}, 2),
        ({"fat_around_hu": -80.0}, 2),
        ({"axes_mm": (6.0, 6.5, 7.0)}, 1),  # a ball, but with a fatty hilum
        ({"axes_mm": (6.0, 6.5, 7.0), "core": Core(0.0, 0.0)}, 2),
        ({"core": Core(0.0, 0.2)}, 3),
        ({"core": Core(0.0, 0.6)}, 4),
        ({"core": Core(0.0, 0.6), "short_axis_mm": 12.0, "fat_around_hu": -60.0}, 5),
    ],
)
def test_the_category_rises_with_size_and_with_points_for_texture_border_and_shape(
    measured: dict[str, Any], category: int
) -> None:
    assert node_rads(node(**measured)) == NodeRads(category, ())


def test_what_cannot_be_measured_gets_no_points_and_is_named() -> None:
    small = node(core=None, fat_beyond_hu=math.nan, axes_mm=(6.0, 6.5, 7.0))
    assert node_rads(small) == NodeRads(1, ("texture", "border", "shape"))


def test_a_long_node_is_no_ball_whatever_lies_inside() -> None:
    assert node_rads(node(core=None)).not_assessed == ("texture",)


def test_bulky_nodes_are_left_to_the_reader() -> None:
    assert node_rads(node(short_axis_mm=35.0)).category is None
