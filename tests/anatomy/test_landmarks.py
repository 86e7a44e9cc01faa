"""Landmarks are where the shapes put them, and where they were found by eye on a real person."""

import math

import numpy as np
import pytest

from preop.anatomy import TOTAL_CLASSES, Landmarks, Organs, StationMap, map_stations
from preop.imaging import Image
from tests.anatomy import conftest as known

VOXEL = known.SPACING


def without(labels: Image, *names: str) -> Image:
    voxels = labels.voxels.copy()
    voxels[np.isin(voxels, [TOTAL_CLASSES[name] for name in names])] = 0
    return labels.with_voxels(voxels)


@pytest.fixture(scope="module")
def landmarks(simple_map: StationMap) -> Landmarks:
    return simple_map.landmarks


def test_the_carina_is_where_the_airway_splits(landmarks: Landmarks) -> None:
    assert landmarks.carina == pytest.approx((0, 0, 0), abs=VOXEL)


@pytest.mark.parametrize(
    ("name", "height"),
    [
        ("arch_top", known.ARCH_TOP),
        ("arch_bottom", known.ARCH_BOTTOM),
        ("left_artery_top", known.LEFT_ARTERY_TOP),
        ("vein_crossing", known.VEIN_CROSSING),
        ("azygos_bottom", 10.0),
        ("bronchus_intermedius_bottom", known.RIGHT_VEIN[1]),
        ("left_lower_lobe_bronchus_top", known.LEFT_BRONCHUS_END),
        ("inferior_vein_right", known.RIGHT_VEIN[0]),
        ("inferior_vein_left", known.LEFT_VEIN[0]),
        ("apex_right", known.RIGHT_APEX),
        ("apex_left", known.LEFT_APEX),
        ("manubrium_top", known.MANUBRIUM_TOP),
        ("cricoid", known.TRACHEA_TOP),
        ("hiatus", known.OESOPHAGUS_END + 15),
    ],
)
def test_a_level_is_where_the_shapes_put_it(landmarks: Landmarks, name: str, height: float) -> None:
    assert getattr(landmarks, name) == pytest.approx(height, abs=VOXEL)


def test_the_trachea_is_outlined_in_every_slice(landmarks: Landmarks) -> None:
    z = np.arange(15.0, 105, 10)
    airway = landmarks.airway
    assert airway.midline.at(z) == pytest.approx(np.zeros_like(z), abs=VOXEL / 2)
    assert airway.left.at(z) == pytest.approx(np.full_like(z, 8), abs=VOXEL)
    assert airway.back.at(z) == pytest.approx(np.full_like(z, 8), abs=VOXEL)


def test_the_inner_walls_follow_the_main_bronchi(landmarks: Landmarks) -> None:
    z = np.array([-20.0, -10.0, -3.0])
    assert landmarks.airway.medial_right.at(z) == pytest.approx(-8 + 0.6 * z + 5, abs=VOXEL)
    assert landmarks.airway.medial_left.at(z) == pytest.approx(8 - 1.2 * z - 5, abs=VOXEL)


def test_the_ligament_is_below_the_middle_of_the_arch(landmarks: Landmarks) -> None:
    assert landmarks.ligament_x == pytest.approx(20, abs=3)
    assert landmarks.ascending_y == pytest.approx(-40, abs=VOXEL)


def test_lobar_origins_are_at_the_ends_of_the_main_bronchi(landmarks: Landmarks) -> None:
    right, left = landmarks.hilum_right, landmarks.hilum_left
    assert right.upper == pytest.approx((-27, 0, -24), abs=3)
    assert right.lower[2] == landmarks.bronchus_intermedius_bottom
    assert left.upper == pytest.approx((44, 0, -26), abs=3)


def test_nothing_is_noted_where_everything_was_found(landmarks: Landmarks) -> None:
    assert landmarks.notes == ()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "words", "name", "height"),
    [
        (["aorta"], "aortic arch was not found", "arch_top", 40.0),
        (["brachiocephalic_vein_left"], "vein does not cross", "vein_crossing", known.ARCH_TOP),
        (["heart"], "left pulmonary artery was not found", "left_artery_top", 10.0),
        (["pulmonary_vein"], "inferior pulmonary vein was not found", "inferior_vein_right", -60.0),
        (["pulmonary_vein"], "bronchus intermedius is taken", "bronchus_intermedius_bottom", -45.0),
        (["sternum"], "manubrium was not found", "manubrium_top", known.RIGHT_APEX - 15),
        (["superior_vena_cava", "brachiocephalic_vein_right"], "superior vena cava was not found", "arch_top", 40.0),
        (["common_carotid_artery_left"], "carotid artery was not found", "arch_top", 40.0),
        (["vertebrae_T5"], "no spine", "arch_top", 40.0),
        (["esophagus"], "no oesophagus", "arch_top", 40.0),
        (["trachea"], "no trachea", "arch_top", 40.0),
    ],
)
def test_a_missing_landmark_falls_back_and_says_so(
    simple: Image, missing: list[str], words: str, name: str, height: float
) -> None:
    stations = map_stations(Organs(without(simple, *missing)))
    assert any(words in note for note in stations.notes)
    assert getattr(stations.landmarks, name) == pytest.approx(height, abs=2 * VOXEL)


def test_an_airway_that_does_not_split_ends_at_its_carina(simple: Image) -> None:
    voxels = simple.voxels.copy()
    z = simple.geometry.origin_mm[2] + VOXEL * np.arange(voxels.shape[0])
    voxels[(voxels == TOTAL_CLASSES["trachea"]) & (z < 1)[:, None, None]] = 0
    found = map_stations(Organs(simple.with_voxels(voxels)))
    assert found.landmarks.carina[2] == pytest.approx(1.5)
    assert any("does not split" in note for note in found.notes)


def test_a_stray_branch_behind_the_carina_is_not_the_inferior_vein(simple: Image, landmarks: Landmarks) -> None:
    voxels = simple.voxels.copy()
    z, y, x = np.rint(simple.geometry.index_zyx(np.array([(-25.0, 12.0, -20.0)]))[0]).astype(int)
    voxels[z : z + 2, y : y + 3, x : x + 3] = TOTAL_CLASSES["pulmonary_vein"]
    found = map_stations(Organs(simple.with_voxels(voxels))).landmarks
    assert found.bronchus_intermedius_bottom == landmarks.bronchus_intermedius_bottom


def height_of_slice(index: float) -> float:
    """World height of a slice of the real thorax: 1.5 mm apart from -61 mm."""
    return -61 + 1.5 * index


def test_landmarks_of_a_real_person_are_where_they_were_found_by_eye(real_map: StationMap) -> None:
    found = real_map.landmarks
    assert found.notes == ()
    assert found.carina[2] == height_of_slice(355)
    assert found.arch_top == height_of_slice(382)
    assert height_of_slice(374) < found.vein_crossing < height_of_slice(408)
    assert found.arch_bottom > found.left_artery_top > found.carina[2]


def test_levels_of_a_real_person_are_in_anatomical_order(real_map: StationMap) -> None:
    found = real_map.landmarks
    descending = [
        *(found.cricoid, found.apex_right, found.manubrium_top, found.arch_top, found.arch_bottom),
        *(found.left_artery_top, found.carina[2], found.left_lower_lobe_bronchus_top),
        *(found.bronchus_intermedius_bottom, found.inferior_vein_right, found.hiatus),
    ]
    assert descending == sorted(descending, reverse=True)
    assert all(math.isfinite(level) for level in descending)
    assert found.ligament_x > found.airway.left.at(np.array([found.arch_bottom]))[0]
