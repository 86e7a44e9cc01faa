"""Every border of every station has one side and another: a point on each, a voxel or two away from it.

The first part is a thorax of simple shapes (conftest.py), in which each border's place follows by hand from the table in
docs/stations.md; the second measures the borders of a real person.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from preop.anatomy import Organs, StationMap, borders, map_stations
from preop.imaging import Image
from tests.anatomy.conftest import station_at, thorax_of_boxes

Point = tuple[float, float, float]

# Border: a point on one side and its station, a point on the other side and its station ("" for none).
PAIRS: dict[str, tuple[Point, str, Point, str]] = {
    # Station 1: under the cricoid at 111, over clavicles and manubrium (75), beside the midline, in the fossa.
    "1, upper: cricoid": ((-20, -10, 109.5), "1R", (-20, -10, 112.5), ""),
    "1, lower: manubrium": ((-10, -70.5, 76.5), "1R", (-10, -70.5, 73.5), ""),
    "1R, 1L: midline of the trachea": ((-1.5, -12, 108), "1R", (1.5, -12, 108), "1L"),
    "1R, outer: 75 mm where no first rib is seen": ((-73.5, -75, 92), "1R", (-76.5, -75, 92), ""),
    "1L, outer: 75 mm where no first rib is seen": ((73.5, -75, 92), "1L", (76.5, -75, 92), ""),
    "1, front: front of the clavicles": ((-30, -78, 92), "1R", (-30, -81, 92), ""),
    "1R, back: 15 mm behind the front of the spine at 33": ((-30, 46.5, 108), "1R", (-30, 49.5, 108), ""),
    "1L, back: 15 mm behind the front of the spine at 33": ((30, 46.5, 108), "1L", (30, 49.5, 108), ""),
    "1, back beside the lungs: front of the pleurae": ((-30, -70.5, 94.5), "1R", (-30, -67.5, 94.5), ""),
    "1R, 2R: apex of the lung": ((-14, 0, 100.5), "1R", (-14, 0, 97.5), "2R"),
    # Stations 2 and 4: the vein at 55.5, the arch from 15 to 40, the trachea's left border at 8.
    "2R, 4R: vein crossing": ((-14, 0, 57), "2R", (-14, 0, 54), "4R"),
    "2L, 4L: top of the arch": ((13.5, 0, 42), "2L", (13.5, 0, 39), "4L"),
    "2R, 2L: left border of the trachea": ((7.5, -13.5, 70), "2R", (10.5, -13.5, 70), "2L"),
    "4R, 4L: left border of the trachea": ((7.5, -13.5, 30), "4R", (10.5, -13.5, 30), "4L"),
    "4R, 10R: azygos, 10 mm above the carina": ((-14, 0, 10.5), "4R", (-14, 0, 7.5), "10R"),
    "4L, 10L: top of the left artery at 9": ((12, -5, 10.5), "4L", (12, -5, 7.5), "10L"),
    # Station 3: before a line from (-18, -31) to (12, -26), behind the trachea's back at 8.
    "2R, 3aR: front of the great vessels": ((-3, -27, 76.5), "2R", (-3, -30, 76.5), "3aR"),
    "2L, 3aL: front of the left carotid, level beyond it": ((18, -24, 76.5), "2L", (18, -28.5, 76.5), "3aL"),
    "3aR, 3aL: midline of the trachea": ((-1.5, -60, 60), "3aR", (1.5, -60, 60), "3aL"),
    "3aR, lower: carina": ((-15, -60, 1.5), "3aR", (-15, -60, -1.5), ""),
    "3pR, 4R: back of the trachea": ((-12, 10.5, 50), "3pR", (-12, 7.5, 50), "4R"),
    "3pR, 3pL: midline of the trachea": ((-1.5, 28.5, 50), "3pR", (1.5, 28.5, 50), "3pL"),
    "3pR, outer: 8 mm beside the trachea": ((-15, 12, 50), "3pR", (-18, 12, 50), ""),
    "3pL, outer: 8 mm beside the trachea": ((15, 12, 50), "3pL", (18, 12, 50), ""),
    "3pL, 7: carina": ((3, 12, 1.5), "3pL", (3, 12, -1.5), "7"),
    # Stations 5 and 6: the arch's front end is a circle of 10 mm around (-4, -40).
    "6, 3aL: top of the arch": ((12, -55, 39), "6", (12, -55, 42), "3aL"),
    "6, 5: underside of the arch": ((27, -30, 16.5), "6", (27, -30, 13.5), "5"),
    "6, 3aR: midline of the trachea": ((1.5, -55, 30), "6", (-1.5, -55, 30), "3aR"),
    "6, depth: 15 mm from the aorta": ((3, -63, 30), "6", (3, -66, 30), "3aL"),
    "4L, 5: ligamentum arteriosum": ((18, -5, 12), "4L", (21, -5, 12), "5"),
    "5, front: middle of the ascending aorta": ((27, -39, 12), "5", (27, -42, 12), "3aL"),
    # Station 7: floors at -51 (right) and -27 (left); the oesophagus ends behind at 24.
    "7, front: 7 mm before the carina": ((0, -6, -15), "7", (0, -9, -15), ""),
    "7, back: back of the oesophagus": ((-9, 22.5, -15), "7", (-9, 25.5, -15), ""),
    "7, 10R: inner wall of the right bronchus": ((-10.5, 9, -15), "7", (-13.5, 9, -15), "10R"),
    "7, 10L: inner wall of the left bronchus": ((19.5, 9, -15), "7", (22.5, 9, -15), "10L"),
    "7, 8R: lower border of the bronchus intermedius": ((-8, 8, -49.5), "7", (-8, 8, -52.5), "8R"),
    "7, 8L: left lower lobe bronchus": ((3, 10, -25.5), "7", (3, 10, -28.5), "8L"),
    # Station 8: within 10 mm of the oesophagus (6 mm to either side, from 14 on), down to the hiatus at -96.
    "8R, 8L: midline of the spine": ((-1.5, 10, -80), "8R", (1.5, 10, -80), "8L"),
    "8R, depth: 10 mm beside the oesophagus": ((-15, 18, -80), "8R", (-18, 18, -80), ""),
    "8L, depth: 10 mm before the oesophagus": ((7.5, 6, -80), "8L", (7.5, 3, -80), ""),
    "8, lower: diaphragm": ((10, 20, -94.5), "8L", (10, 20, -97.5), ""),
    # Station 9: 12 mm from the lower lobes (36 on both sides), 25 mm from the oesophagus, under the veins.
    "9R, depth: 12 mm from the lower lobe": ((-25.5, 18, -80), "9R", (-22.5, 18, -80), ""),
    "9L, depth: 12 mm from the lower lobe": ((25.5, 3, -80), "9L", (22.5, 3, -80), ""),
    "9R, outer: 25 mm from the oesophagus": ((-30, 28.5, -94.5), "9R", (-33, 28.5, -94.5), ""),
    "9R, back: 5 mm behind the oesophagus": ((-25.5, 28.5, -80), "9R", (-25.5, 31.5, -80), "14R"),
    "9R, 10R: lower margin of the inferior vein": ((-24, 13.5, -61.5), "9R", (-24, 13.5, -58.5), "10R"),
    "9L, 10L: lower margin of the inferior vein": ((25.5, 0, -55.5), "9L", (25.5, 0, -52.5), "10L"),
    "9, lower: diaphragm": ((-24, 18, -94.5), "9R", (-24, 18, -97.5), ""),
    # Station 10: 15 mm from the airway, 10 mm from veins, 8 mm from arteries.
    "10R, depth: 15 mm before the airway": ((-9, -21, 5), "10R", (-9, -24, 5), ""),
    "10R, depth: 10 mm from the inferior vein": ((-12, -6, -58.5), "10R", (-12, -9, -58.5), ""),
    "10L, depth: 8 mm from the heart's part within 25 mm before the carina": (
        *((20, -31.5, -10), "10L"),
        *((20, -34.5, -10), ""),
    ),
    "10R, 10L: midline above the carina": ((-1.5, -12, 5), "10R", (1.5, -12, 5), "10L"),
    "10R, 12R: lobar origins at -25": ((-24, 9, -24), "10R", (-27, 9, -24), "12R"),
    # Stations 11 to 14: from the lines of lobar origins at (-25, 0) and (43, 0).
    "11R, depth: 6 mm from the upper lobe": ((-40.5, 15, -13.5), "11R", (-40.5, 15, -16.5), "13R"),
    "11R, reach: 25 mm from the lobar origins": ((-49.5, 3, -30), "11R", (-52.5, 3, -30), "13R"),
    "12R, 13R: 20 mm": ((-40.5, -10.5, -30), "12R", (-43.5, -10.5, -30), "13R"),
    "13R, 14R: 35 mm": ((-57, -10.5, -30), "13R", (-60, -10.5, -30), "14R"),
    "14R, outer: 50 mm": ((-72, -10.5, -30), "14R", (-75, -10.5, -30), ""),
    "12L, 13L: 20 mm": ((58.5, -10.5, -20), "12L", (61.5, -10.5, -20), "13L"),
    "13L, 14L: 35 mm": ((75, -10.5, -20), "13L", (78, -10.5, -20), "14L"),
    "14L, outer: 50 mm": ((90, -10.5, -20), "14L", (93, -10.5, -20), ""),
}


@pytest.mark.parametrize("border", PAIRS)
def test_a_border_parts_the_points_on_its_two_sides(simple_map: StationMap, border: str) -> None:
    inside, station, outside, other = PAIRS[border]
    assert (station_at(inside, simple_map), station_at(outside, simple_map)) == (station, other)


def sides(mask: NDArray[np.bool_], positions: NDArray[np.float64]) -> tuple[float, float]:
    """First and last position that a border allows."""
    allowed = positions[np.broadcast_to(np.squeeze(mask), positions.shape)]
    return float(allowed[0]), float(allowed[-1])


def test_station_1_ends_at_the_first_ribs_where_they_are_seen(simple_map: StationMap) -> None:
    ribs = thorax_of_boxes({"rib_right_1": [(-45, -30, 0, 3, 0, 3)], "rib_left_1": [(30, 51, 0, 3, 0, 3)]})
    mask = borders.in_supraclavicular_fossa(ribs, simple_map.landmarks)
    assert sides(mask.any(axis=(0, 1)), ribs.x) == (-45, 51)


def test_station_1_is_above_the_bone_in_each_column(simple_map: StationMap) -> None:
    ribs = thorax_of_boxes({"rib_right_1": [(-45, -30, 0, 3, 84, 90)]}, low=-50, high=100)
    mask = borders.above_thoracic_inlet(ribs, simple_map.landmarks)
    row = int(np.argmin(np.abs(ribs.y - 1.5)))
    lowest = {x: ribs.z[mask[:, row, int(np.argmin(np.abs(ribs.x - x)))]][0] for x in (-40, 0)}
    assert lowest[-40] == pytest.approx(90, abs=1.5)
    assert lowest[0] == pytest.approx(75, abs=1.5)


@pytest.mark.parametrize(
    ("sternum", "right", "left"),
    [([(-15, 12, -60, -54, 0, 30)], -25, 22), ([], -40, 40)],
    ids=["10 mm beside the sternum", "40 mm beside the midline without one"],
)
def test_station_3a_reaches_10_mm_beside_the_sternum(
    simple_map: StationMap, sternum: list[tuple[float, ...]], right: float, left: float
) -> None:
    thorax = thorax_of_boxes({"sternum": sternum})
    found = sides(borders.behind_sternum(thorax, simple_map.landmarks), thorax.x)
    assert found == pytest.approx((right, left), abs=1.5)


def test_station_3p_reaches_8_mm_beside_an_oesophagus_that_stands_out(simple_map: StationMap) -> None:
    thorax = thorax_of_boxes({"esophagus": [(-6, 21, 15, 24, -60, 60)]})
    found = sides(borders.beside_retrotracheal_midline(thorax, simple_map.landmarks)[60], thorax.x)
    assert found == pytest.approx((-8.25 - 8, 21 + 8), abs=1.5)


def test_what_lies_behind_the_front_of_the_spine_is_no_station(simple_map: StationMap) -> None:
    thorax = simple_map.thorax
    assert sides(borders.before_spine(thorax, simple_map.landmarks)[60], thorax.y)[1] == 33
    in_chest = (thorax.z < 90)[:, None, None]
    behind = (thorax.y > 34)[None, :, None] & ~thorax.lungs
    assert not (simple_map.labels.voxels[behind & in_chest & (thorax.y < 60)[None, :, None]] > 0).any()


def test_the_ligament_ends_20_mm_before_the_oesophagus() -> None:
    lobe = {"lung_lower_lobe_left": [(12, 30, -60, 60, -60, 60)], "esophagus": [(-6, 0, 0, 9, -60, 60)]}
    thorax = thorax_of_boxes(lobe)
    ligament = borders.in_pulmonary_ligament(thorax, "lung_lower_lobe_left")
    column = ligament[40, :, int(np.argmin(np.abs(thorax.x - 6)))]  # 6 mm from both
    assert sides(column, thorax.y) == pytest.approx((-20, 9 + 5), abs=1.5)


def test_arteries_stand_for_the_hilum_only_above_the_left_lower_lobe_bronchus(simple_map: StationMap) -> None:
    """The heart's label reaches down to -60, the bronchus lies at -27."""
    thorax = thorax_of_boxes({"heart": [(-20, 20, -15, 0, -60, 0)]})
    beside = borders.beside_main_bronchus(thorax, simple_map.landmarks)
    row, column = (int(np.argmin(np.abs(axis - at))) for axis, at in ((thorax.y, 4.5), (thorax.x, 0)))
    assert thorax.z[beside[:, row, column]][0] == pytest.approx(-27 - np.sqrt(8**2 - 4.5**2), abs=1.5)


def test_the_hilum_is_parted_by_the_midline_of_the_spine_below_station_7(simple_map: StationMap) -> None:
    thorax, landmarks = simple_map.thorax, simple_map.landmarks
    below = int(np.argmin(np.abs(thorax.z + 60)))
    right, left = (borders.lateral_to_inner_wall(thorax, landmarks, side)[below] for side in ("right", "left"))
    assert sides(right, thorax.x)[1] == pytest.approx(-1.5, abs=0.1)
    assert sides(left, thorax.x)[0] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("station", ["12L", "14R"])
def test_stations_in_a_lung_reach_10_mm_inward_of_the_lobar_origins(simple: Image, station: str) -> None:
    """A lung that reaches to the middle, as far as the trachea and the vessels leave it room, in front of the heart."""
    voxels = simple.voxels.copy()
    left = station.endswith("L")
    x, y = (simple.geometry.origin_mm[axis] + 1.5 * np.arange(voxels.shape[2 - axis]) for axis in (0, 1))
    z = simple.geometry.origin_mm[2] + 1.5 * np.arange(voxels.shape[0])
    inner = ((x > 0) == left) & (np.abs(x) > 3)
    tongue = ((z < -5) & (z > -60))[:, None, None] & ((y < 12) & (y > -12))[None, :, None] & inner[None, None, :]
    voxels[tongue & (voxels == 0)] = 10 if left else 13
    found = map_stations(Organs(simple.with_voxels(voxels)))
    hilum = found.landmarks.hilum_left if left else found.landmarks.hilum_right
    inside = found.thorax.lungs & np.isin(found.labels.voxels, np.flatnonzero(in_the_lung(station)) + 1)
    columns = found.thorax.x[np.nonzero(inside)[2]]
    inward = (hilum.upper[0] - columns) * (1 if left else -1)
    assert 8 <= inward.max() <= 10


def in_the_lung(station: str) -> NDArray[np.bool_]:
    from preop.anatomy import STATIONS

    return np.array([name[:2] in ("11", "12", "13", "14") and name[-1] == station[-1] for name in STATIONS])


# ---------------------------------------------------------------------------------------------------------------------
# A real person. Each figure is the one of docs/stations.md: no voxel of the station beyond it, and some just within.

Measure = Callable[[StationMap, NDArray[np.bool_]], NDArray[np.float64]]


def from_organs(*names: str) -> Measure:
    """Distance in mm of each voxel of a station from organs."""

    def measure(stations: StationMap, station: NDArray[np.bool_]) -> NDArray[np.float64]:
        box = ndimage.find_objects(station.astype(np.uint8))[0]
        wide = tuple(slice(max(part.start - 25, 0), part.stop + 25) for part in box)
        organ = stations.thorax.mask(*names)[wide]
        away = ndimage.distance_transform_edt(~organ, sampling=stations.labels.spacing_mm)
        return np.asarray(away[station[wide]])

    return measure


def from_hilum(side: str) -> Measure:
    """Distance in mm of each voxel of a station from the vertical line of the lobar origins."""

    def measure(stations: StationMap, station: NDArray[np.bool_]) -> NDArray[np.float64]:
        hilum = stations.landmarks.hilum_right if side == "R" else stations.landmarks.hilum_left
        points = points_of(stations, station)
        nearest = np.array(hilum.upper) * np.ones_like(points)
        nearest[:, 2] = np.clip(points[:, 2], hilum.lower[2], hilum.upper[2])
        return np.asarray(np.linalg.norm(points - nearest, axis=1))

    return measure


def points_of(stations: StationMap, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """World coordinates (x, y, z) of the voxels of a mask: (n, 3)."""
    return np.asarray(stations.labels.geometry.world_mm(np.argwhere(mask)))


def before_carina(stations: StationMap, station: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(stations.landmarks.carina[1] - points_of(stations, station)[:, 1])


def behind_spine_front(stations: StationMap, station: NDArray[np.bool_]) -> NDArray[np.float64]:
    points = points_of(stations, station)
    return np.asarray(points[:, 1] - stations.landmarks.spine_front.at(points[:, 2]))


def beyond_trachea_and_oesophagus(stations: StationMap, station: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How far each voxel lies to the side of both in its slice."""
    points, airway = points_of(stations, station), stations.landmarks.airway
    right, left = stations.thorax.extent_x(stations.thorax.mask("esophagus"))
    rows = np.nonzero(station)[0]
    right, left = np.fmin(airway.right.at(points[:, 2]), right[rows]), np.fmax(airway.left.at(points[:, 2]), left[rows])
    return np.asarray(np.maximum(right - points[:, 0], points[:, 0] - left))


def beside_sternum(stations: StationMap, station: NDArray[np.bool_]) -> NDArray[np.float64]:
    bone = stations.thorax.x[stations.thorax.mask("sternum").any(axis=(0, 1))]
    x = points_of(stations, station)[:, 0]
    return np.asarray(np.maximum(bone.min() - x, x - bone.max()))


def before_oesophagus(stations: StationMap, station: NDArray[np.bool_]) -> NDArray[np.float64]:
    front = stations.thorax.extent_y(stations.thorax.mask("esophagus"))[0]
    return np.asarray(front[np.nonzero(station)[0]] - points_of(stations, station)[:, 1])


REAL: dict[str, tuple[tuple[str, ...], Measure, float]] = {
    "3p, outer": (("3pR", "3pL"), beyond_trachea_and_oesophagus, 8),
    "1, back": (("1R", "1L"), behind_spine_front, 15),
    "3a, outer": (("3aR", "3aL"), beside_sternum, 10),
    "6, depth": (("6",), from_organs("aorta"), 15),
    "7, front": (("7",), before_carina, 7),
    "8, depth": (("8R", "8L"), from_organs("esophagus"), 10),
    "9, outer": (("9R", "9L"), from_organs("esophagus"), 25),
    "9R, depth": (("9R",), from_organs("lung_lower_lobe_right"), 12),
    "9L, depth": (("9L",), from_organs("lung_lower_lobe_left"), 12),
    "9, front": (("9R", "9L"), before_oesophagus, 20),
    "11R, depth": (("11R",), from_organs("lung_lower_lobe_right"), 6),
    "11L, depth": (("11L",), from_organs("lung_lower_lobe_left"), 6),
    "11R, reach": (("11R",), from_hilum("R"), 25),
    "11L, reach": (("11L",), from_hilum("L"), 25),
    "12R, shell": (("12R",), from_hilum("R"), 20),
    "12L, shell": (("12L",), from_hilum("L"), 20),
    "13R, shell": (("13R",), from_hilum("R"), 35),
    "13L, shell": (("13L",), from_hilum("L"), 35),
    "14R, shell": (("14R",), from_hilum("R"), 50),
    "14L, shell": (("14L",), from_hilum("L"), 50),
}


@pytest.mark.parametrize("border", REAL)
def test_a_border_of_a_real_person_lies_at_its_figure(real_map: StationMap, border: str) -> None:
    names, measure, figure = REAL[border]
    found = max(np.nanmax(measure(real_map, real_map.mask(name))) for name in names)
    assert figure - 1.6 <= found <= figure + 1e-6


@pytest.mark.parametrize(
    ("upper", "lower", "level"),
    [
        ("2R", "4R", "vein_crossing"),
        ("2L", "4L", "arch_top"),
        ("4R", "10R", "azygos_bottom"),
        ("5", "10L", "left_artery_top"),
        ("4L", "10L", "left_artery_top"),
        ("6", "5", "arch_bottom"),
        ("7", "8R", "bronchus_intermedius_bottom"),
        ("10L", "9L", "inferior_vein_left"),
        ("3pR", "7", "carina"),
    ],
)
def test_where_a_station_of_a_real_person_stands_on_another_is_their_level(
    real_map: StationMap, upper: str, lower: str, level: str
) -> None:
    contacts = real_map.mask(upper)[1:] & real_map.mask(lower)[:-1]
    heights = np.unique(real_map.thorax.z[1:][contacts.any(axis=(1, 2))])
    found = getattr(real_map.landmarks, level)
    height = found[2] if level == "carina" else found
    assert heights.tolist()  # They touch, and nowhere but there.
    assert ((heights >= height) & (heights <= height + 1.5)).all()
