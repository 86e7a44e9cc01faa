"""Volumes, extents and neighbours of stations."""

import dataclasses

import numpy as np
import pytest

from preop.anatomy import STATIONS, StationMap, measure_stations
from preop.imaging import Geometry, Image


def test_two_touching_boxes_are_measured_and_are_neighbours(simple_map: StationMap) -> None:
    voxels = np.zeros((12, 10, 8), dtype=np.uint8)
    voxels[1:6, 2:8, 1:5] = 1 + STATIONS.index("2R")
    voxels[6:10, 2:8, 1:5] = 1 + STATIONS.index("4R")
    voxels[11, 9, 7] = 1 + STATIONS.index("7")
    labels = Image(voxels, Geometry.axis_aligned(voxels.shape, (3.0, 2.0, 1.0)))
    upper, lower, far = measure_stations(dataclasses.replace(simple_map, labels=labels))
    assert (upper.station, upper.volume_ml, upper.extent_mm) == ("2R", pytest.approx(0.72), (4.0, 12.0, 15.0))
    assert upper.neighbours == ("4R",)  # 24 faces of 2 mm2
    assert lower.neighbours == ("2R",)
    assert far.neighbours == ()


def test_stations_of_a_real_person_have_the_neighbours_of_the_map(real_map: StationMap) -> None:
    neighbours = {measure.station: set(measure.neighbours) for measure in measure_stations(real_map)}
    assert set(neighbours) == set(STATIONS)
    assert {"2R", "4L", "10R"} <= neighbours["4R"]
    assert {"4L", "10L"} <= neighbours["5"]
    assert {"10R", "10L", "8R", "8L"} <= neighbours["7"]
    for first, touching in neighbours.items():
        assert all(first in neighbours[second] for second in touching)
