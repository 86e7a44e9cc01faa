"""What a landmark's rule takes and what it does not: a case on each side of every bound, in a thorax of a few boxes.

The bounds themselves are listed in docs/stations.md and in preop/anatomy/landmarks.py.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from preop.anatomy import Organs, StationMap, Thorax, in_patient_axes, landmarks, stations_of_points
from preop.anatomy.measures import measure_stations
from preop.anatomy.stations import STATIONS
from preop.imaging import Geometry, Image
from tests.anatomy.conftest import Box, thorax_of_boxes

CARINA = (0.0, 0.0, 0.0)


def trachea_with(*pieces: Box) -> Thorax:
    """A trachea of 17 x 17 mm down to -40, and other pieces of the airway's label."""
    return thorax_of_boxes({"trachea": [(-9, 7.5, -9, 7.5, -40, 50), *pieces]})


def carina_of(thorax: Thorax) -> tuple[float, float, float]:
    return landmarks.find_carina(thorax, thorax.mask("trachea"), [])


@pytest.mark.parametrize(("columns", "height"), [(4, 31.5), (3, -39)], ids=["36 mm2 is a bronchus", "27 mm2 is not"])
def test_the_carina_is_where_two_pieces_of_at_least_30_mm2_are_apart(columns: int, height: float) -> None:
    x1 = -18 + 1.5 * (columns - 1)
    thorax = trachea_with((-18, x1, 0, 4.5, 21, 31.5))
    assert carina_of(thorax)[2] == pytest.approx(height, abs=0.8)


@pytest.mark.parametrize(("slices", "height"), [(3, 31.5), (2, -39)])
def test_the_bronchi_are_apart_3_mm_further_down_as_well(slices: int, height: float) -> None:
    thorax = trachea_with((-18, -12, 0, 6, 31.5 - 1.5 * (slices - 1), 31.5))
    assert carina_of(thorax)[2] == pytest.approx(height, abs=0.8)


def aorta(*, rows: int = 10, ascending_from: float = -60) -> Thorax:
    """An arch from 0 to 30, an ascending aorta below it, and a descending one of 10.5 mm times some rows."""
    back = 30 + 1.5 * (rows - 1)
    ascending: Box = (-9, 9, 0, 12, ascending_from, 0)
    return thorax_of_boxes({"aorta": [(-9, 9, 0, 45, 0, 30), ascending, (0, 9, 30, back, -60, 0)]})


@pytest.mark.parametrize(
    ("rows", "bottom"), [(10, 0.0), (7, 0.0), (6, -math.inf)], ids=["157 mm2", "110 mm2", "95 mm2"]
)
def test_the_descending_aorta_has_at_least_100_mm2(rows: int, bottom: float) -> None:
    assert landmarks.find_arch(aorta(rows=rows), 0.0, [])[1] == bottom


@pytest.mark.parametrize(("ascending_from", "bottom"), [(-12.0, 0.0), (-10.5, -math.inf)])
def test_ascending_and_descending_aorta_are_apart_10_mm_further_down_as_well(
    ascending_from: float, bottom: float
) -> None:
    assert landmarks.find_arch(aorta(ascending_from=ascending_from), -60.0, [])[1] == bottom


def airway() -> landmarks.Airway:
    """Trachea of 16 mm in the midline."""
    middle, left, right, front, back = (
        landmarks.Profile(np.zeros(1), np.array([at])) for at in (0.0, 8.0, -8.0, -9.0, 9.0)
    )
    return landmarks.Airway(middle, left, right, front, back, middle, middle, top=60.0)


NOTHING = thorax_of_boxes({})


def test_without_an_arch_its_surrogates_lie_15_and_40_mm_above_the_carina() -> None:
    assert landmarks.find_arch(NOTHING, 2.0, []) == (42.0, 17.0)


def test_without_an_arch_its_plane_and_the_ligament_lie_15_mm_left_of_the_trachea() -> None:
    assert landmarks.find_arch_plane(NOTHING, 15.0, 40.0, airway()) == (8.0 + 15, -9.0, 1.0, 0.0)
    assert landmarks.find_ligament_x(NOTHING, 15.0, airway(), []) == 8.0 + 15
    assert landmarks.find_ligament_x(NOTHING, math.inf, airway(), []) == 8.0 + 15


def test_without_an_ascending_aorta_it_is_taken_to_lie_25_mm_before_the_trachea() -> None:
    assert landmarks.find_ascending_y(NOTHING, 15.0, airway()) == -9.0 - 25


def test_without_vessels_the_prevascular_space_begins_15_mm_before_the_trachea() -> None:
    _, front = landmarks.find_front_of(NOTHING, ("superior_vena_cava",), airway(), "superior vena cava", [])
    assert front.value == pytest.approx([-9.0 - 15])


@pytest.mark.parametrize(
    ("sideways", "low", "found"),
    [(0.0, -60, -12.0), (1.5, -60, -12.0), (3.0, -60, 12.0), (0.75, -59.25, -11.25), (2.25, -59.25, 12.75)],
    ids=["middle", "1.5 mm beside", "3 mm beside", "0.75 mm beside", "2.25 mm beside"],
)
def test_the_vein_crosses_within_a_voxel_of_the_midline(sideways: float, low: float, found: float) -> None:
    vein: list[Box] = [(sideways, 30, 0, 6, -12, -9), (-30, 30, 0, 6, 12, 15)]
    thorax = thorax_of_boxes({"brachiocephalic_vein_left": vein}, low)
    assert landmarks.find_vein_crossing(thorax, airway(), 40.0, []) == found


@pytest.mark.parametrize(("height", "found"), [(-4.5, -4.5), (-6.0, 10.0), (15.0, 15.0), (16.5, 10.0)])
def test_the_left_artery_is_believed_from_5_mm_below_the_carina_to_the_arch(height: float, found: float) -> None:
    thorax = thorax_of_boxes({"heart": [(6, 30, 0, 12, -60, height)]})
    assert landmarks.find_left_artery_top(thorax, CARINA, 15.0, []) == found


@pytest.mark.parametrize(("wide", "found"), [(4.5, 12.0), (3.0, 0.0)], ids=["36 mm2", "27 mm2"])
def test_a_leak_of_the_heart_along_the_aorta_is_not_the_artery(wide: float, found: float) -> None:
    leak: Box = (6, 6 + wide, 0, 4.5, 0, 12)
    thorax = thorax_of_boxes({"heart": [(6, 30, 0, 12, -60, 0), leak]})
    assert landmarks.find_left_artery_top(thorax, CARINA, 15.0, []) == found


@pytest.mark.parametrize(("depth", "top"), [(-6.0, -30.0), (-9.0, math.nan)])
def test_an_inferior_vein_lies_behind_the_front_of_the_carina_7_mm_before_its_middle(depth: float, top: float) -> None:
    thorax = thorax_of_boxes({"pulmonary_vein": [(-30, -12, depth, depth, -45, -30)]})
    assert landmarks.find_inferior_vein(thorax, CARINA, "right", []) == pytest.approx(
        (top, -60.0 if math.isnan(top) else -45.0), nan_ok=True
    )


@pytest.mark.parametrize(("gap", "top"), [(3.0, -12.0), (4.5, -30.0)])
def test_parts_of_the_vein_belong_together_up_to_4_mm(gap: float, top: float) -> None:
    upper: Box = (-30, -12, 0, 6, -30 + gap, -12)
    thorax = thorax_of_boxes({"pulmonary_vein": [(-30, -12, 0, 6, -60, -30), upper]})
    assert landmarks.find_inferior_vein(thorax, CARINA, "right", [])[0] == top


@pytest.mark.parametrize(("below", "found"), [(24.0, 45.0), (26.0, 26.0), (64.0, 64.0), (66.0, 45.0)])
def test_the_right_vein_stands_for_the_bronchus_intermedius_from_25_to_65_mm(below: float, found: float) -> None:
    assert landmarks.find_bronchus_intermedius_bottom(0.0, (-below, -70.0), []) == -found


@pytest.mark.parametrize(("below", "found"), [(13.5, 25.0), (16.5, 16.5), (39.0, 39.0), (42.0, 25.0)])
def test_the_left_main_bronchus_is_believed_from_15_to_40_mm(below: float, found: float) -> None:
    thorax = thorax_of_boxes({"trachea": [(3, 12, 0, 9, -below, -1.5)]})
    mask = thorax.mask("trachea")
    assert landmarks.find_left_lower_lobe_bronchus_top(thorax, mask, CARINA, []) == -found


@pytest.mark.parametrize(
    ("side", "outermost", "found"),
    [("right", 16.5, 15.75), ("right", 13.5, 30.0), ("left", 24.0, 23.25), ("left", 21.0, 45.0)],
)
def test_a_main_bronchus_that_was_cut_short_says_nothing_of_the_lobar_origins(
    side: str, outermost: float, found: float
) -> None:
    sign = -1 if side == "right" else 1
    first, last = sorted((sign * (outermost - 1.5), sign * outermost))
    thorax = thorax_of_boxes({"trachea": [(first, last, 0, 9, -15, -12)]})
    hilum = landmarks.find_hilum(thorax, thorax.mask("trachea"), CARINA, -40.0, side)
    assert hilum.upper[0] == pytest.approx(sign * found)


def test_the_lobar_origins_are_the_outermost_3_mm_of_the_bronchus() -> None:
    thorax = thorax_of_boxes({"trachea": [(-36, 0, 0, 9, -15, -12)]})
    hilum = landmarks.find_hilum(thorax, thorax.mask("trachea"), CARINA, -40.0, "right")
    assert hilum.upper == pytest.approx((-34.5, 4.5, -13.5))


@pytest.mark.parametrize(("end", "top"), [(3.0, math.inf), (5.0, 30.0)])
def test_an_organ_within_4_mm_of_the_end_of_the_scan_is_cut_by_it(end: float, top: float) -> None:
    organs: dict[str, list[Box]] = {
        "lung_upper_lobe_left": [(12, 30, 0, 30, -30, 30)],
        "lung_upper_lobe_right": [(-30, -12, 0, 30, -30, 30)],
        "sternum": [(-6, 6, -30, -24, -30, 30)],
        "aorta": [(-9, 9, 0, 45, 0, 30), (-9, 9, 0, 12, -60, 0), (0, 9, 30, 45, -60, 0)],
        "esophagus": [(-6, 6, 46.5, 54, -30, 30)],
    }
    thorax = dataclasses.replace(thorax_of_boxes(organs), ends_above=30 + end, ends_below=-30 - end)
    cut = math.isinf(top)
    assert landmarks.find_apices(thorax, []) == (top, top)
    assert landmarks.find_manubrium_top(thorax, 60.0, 60.0, []) == (45.0 if cut else 30.0)
    assert landmarks.find_arch(thorax, -20.0, [])[0] == top
    assert landmarks.find_hiatus(thorax, []) == (-math.inf if cut else -15.0)


def test_the_front_of_the_spine_is_that_of_the_foremost_body_within_9_mm() -> None:
    thorax = thorax_of_boxes({"vertebrae_T5": [(-15, 15, 36, 54, -60, 60), (-15, 15, 30, 54, 0, 0)]})
    front = landmarks.find_spine(thorax, CARINA, [])[1]
    assert front.at(np.array([-10.5, -9.0, 0.0, 9.0, 10.5])).tolist() == [36, 30, 30, 30, 36]


def test_only_the_front_of_the_bodies_counts_not_that_of_the_ribs_beside_them() -> None:
    thorax = thorax_of_boxes({"vertebrae_T5": [(-30, 30, 45, 54, -60, 60), (-30, -15, 30, 45, -60, 60)]})
    assert set(landmarks.find_spine(thorax, CARINA, [])[1].value.tolist()) == {45}


def test_the_neck_is_kept_120_mm_above_the_lungs_on_a_grid_of_1_5_mm() -> None:
    labels = np.zeros((130, 20, 20), dtype=np.uint8)
    labels[:20, 5:15, 5:15] = 10
    thorax = in_patient_axes(Organs(Image(labels, Geometry.axis_aligned(labels.shape, (3.0, 3.0, 3.0)))))
    assert thorax.labels.spacing_mm == (1.5, 1.5, 1.5)
    assert thorax.z[-1] == pytest.approx(19 * 3 + 120, abs=1.5)


def stations_in(simple_map: StationMap, **planes: slice) -> StationMap:
    """A map of voxels of 1 mm, in which each named station is a slab of the given columns."""
    voxels = np.zeros((60, 60, 90), dtype=np.uint8)
    for name, columns in planes.items():
        voxels[:, :, columns] = 1 + STATIONS.index(name.lstrip("_"))
    labels = Image(voxels, Geometry.axis_aligned(voxels.shape, (1.0, 1.0, 1.0)))
    return dataclasses.replace(simple_map, labels=labels)


@pytest.mark.parametrize(("away", "station"), [(5.0, "4R"), (6.0, None)])
def test_a_point_counts_for_a_station_within_5_mm(simple_map: StationMap, away: float, station: str | None) -> None:
    found = stations_of_points(np.array([(20 - away, 30.0, 30.0)]), stations_in(simple_map, _4R=slice(20, 40)))
    assert found.station == station


@pytest.mark.parametrize(("gap", "border"), [(24, 24.5), (26, math.inf)])
def test_a_border_is_looked_for_within_25_mm(simple_map: StationMap, gap: int, border: float) -> None:
    slabs = stations_in(simple_map, _4R=slice(20, 31), _2R=slice(31 + gap, 80))
    assert stations_of_points(np.array([(30.0, 30.0, 30.0)]), slabs).border_mm == border


@pytest.mark.parametrize(("faces", "neighbours"), [(19, ()), (20, ("4R",)), (21, ("4R",))])
def test_stations_that_share_20_mm2_are_neighbours(
    simple_map: StationMap, faces: int, neighbours: tuple[str, ...]
) -> None:
    voxels = np.zeros((3, 1, 30), dtype=np.uint8)
    voxels[0, 0] = 1 + STATIONS.index("2R")
    voxels[1, 0, :faces] = 1 + STATIONS.index("4R")
    labels = Image(voxels, Geometry.axis_aligned(voxels.shape, (1.0, 1.0, 1.0)))
    assert measure_stations(dataclasses.replace(simple_map, labels=labels))[0].neighbours == neighbours
