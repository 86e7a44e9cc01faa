"""Nodes are given the stations they lie in, with their shares."""

import math

import numpy as np
import pytest

from preop.anatomy import NodeStations, StationMap, stations_of_node, stations_of_points
from preop.errors import InvalidInputError
from preop.imaging import Geometry, Image
from tests.anatomy import conftest as known


def ball(centre: tuple[float, float, float], radius_mm: float) -> Image:
    """Mask of a node on a grid of its own: 1 mm voxels around it."""
    half = math.ceil(radius_mm) + 1
    offset = np.arange(-half, half + 1)
    z, y, x = np.meshgrid(offset, offset, offset, indexing="ij")
    origin = tuple(float(value - half) for value in centre)
    return Image(x**2 + y**2 + z**2 <= radius_mm**2, Geometry.axis_aligned(z.shape, (1.0, 1.0, 1.0), origin))


def test_a_node_inside_a_station_is_wholly_in_it(simple_map: StationMap) -> None:
    found = stations_of_node(ball((-16, 0, 32), 4), simple_map)
    assert found.station == "4R"
    assert found.shares == {"4R": 1.0}
    assert found.border_mm > 3


@pytest.mark.parametrize("away", [2.0, 4.0, 6.0])
def test_the_distance_to_the_border_is_that_of_the_centre(simple_map: StationMap, away: float) -> None:
    point = np.array([(-15.0, 0.0, known.VEIN_CROSSING + away)])
    assert stations_of_points(point, simple_map).border_mm == pytest.approx(away, abs=known.SPACING)


def test_a_node_across_a_border_keeps_both_stations_with_shares(simple_map: StationMap) -> None:
    found = stations_of_node(ball((-16, 0, known.VEIN_CROSSING + 1), 5), simple_map)
    assert set(found.shares) == {"2R", "4R"}
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.station == "2R"
    assert found.shares["2R"] == pytest.approx(0.6, abs=0.15)
    assert found.border_mm < 3


def test_a_node_outlined_partly_into_the_trachea_is_still_paratracheal(simple_map: StationMap) -> None:
    found = stations_of_node(ball((-9, 0, 32), 5), simple_map)
    assert found.station == "4R"
    assert found.shares["4R"] > 0.8


def test_a_node_far_from_all_stations_has_none(simple_map: StationMap) -> None:
    for point in [(-90.0, -50.0, -110.0), (0.0, 64.0, 0.0), (500.0, 0.0, 0.0)]:
        found = stations_of_points(np.array([point]), simple_map)
        assert found.station is None
        assert found.shares == {}
        assert math.isnan(found.border_mm)


def test_a_tumour_that_only_touches_a_station_is_not_in_it(simple_map: StationMap) -> None:
    found = stations_of_node(ball((-78, -40, -30), 20), simple_map)
    assert found.station is None
    assert 0 < sum(found.shares.values()) < 0.5


def test_a_node_of_which_at_least_half_lies_in_no_station_has_none() -> None:
    assert [NodeStations({"7": share}, 1.0).station for share in (0.3, 0.5, 0.6)] == [None, None, "7"]


def test_an_empty_mask_is_refused(simple_map: StationMap) -> None:
    nothing = ball((0, 0, 0), 2)
    with pytest.raises(InvalidInputError, match="empty"):
        stations_of_node(nothing.with_voxels(np.zeros(nothing.shape, dtype=bool)), simple_map)


def test_nodes_of_a_real_person_are_found_at_known_places(real_map: StationMap) -> None:
    """Places seen on the labels: in front of and beside the trachea, under the carina, beside the arch."""
    carina, landmarks = np.array(real_map.landmarks.carina), real_map.landmarks
    for offset, station in [((0, 8, -12), "7"), ((-14, -8, 22), "4R"), ((-22, -6, -8), "10R")]:
        assert stations_of_points(carina + np.array(offset), real_map).station == station
    z = (landmarks.arch_top + landmarks.arch_bottom) / 2
    x, y, normal_x, normal_y = landmarks.arch_plane
    assert stations_of_points(np.array([x + 22 * normal_x, y + 22 * normal_y, z]), real_map).station == "6"
