"""A map of the lymph node stations of one chest, from its labelled organs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preop.anatomy import borders
from preop.anatomy.landmarks import Landmarks, find_landmarks
from preop.anatomy.organs import LEFT_LOBES, RIGHT_LOBES, Mask, Organs, Thorax, in_patient_axes
from preop.imaging import Geometry, Image, resample_like

STATIONS = (
    *("1R", "1L", "2R", "2L", "3aR", "3aL", "3pR", "3pL", "4R", "4L", "5", "6", "7", "8R", "8L", "9R", "9L"),
    *("10R", "10L", "11R", "11L", "12R", "12L", "13R", "13L", "14R", "14L"),
)
"""Names of the stations; the label of a station is its place here, from 1."""


@dataclass(frozen=True, eq=False)
class StationMap:
    """Every voxel's station.

    Attributes
    ----------
    labels
        Label map along the patient's axes: 0 outside of all stations, else the place in ``STATIONS`` from 1.
    thorax
        The organs on the same grid.
    landmarks
        What the borders rest on.
    notes
        What was not found, what stands for it, and which stations could not be placed, in plain sentences.
    """

    labels: Image
    thorax: Thorax
    landmarks: Landmarks
    notes: tuple[str, ...]

    def mask(self, station: str) -> Mask:
        """Voxels of one station on the map's own grid."""
        return np.asarray(self.labels.voxels == 1 + STATIONS.index(station))

    def on(self, grid: Geometry) -> Image:
        """The map on the voxels of a scan."""
        return resample_like(self.labels, grid, interpolation="nearest", outside=0)


def map_stations(organs: Organs) -> StationMap:
    """Divide mediastinum, hila, central lungs and supraclavicular fossae into the stations of the IASLC map.

    No voxel has two stations, and none lies in a labelled organ other than a lung.

    Raises
    ------
    InvalidInputError
        If there is no lung.
    """
    thorax = in_patient_axes(organs)
    landmarks = find_landmarks(thorax)
    labels = np.zeros(thorax.labels.shape, dtype=np.uint8)
    for name, mask in _regions(thorax, landmarks):
        labels[mask & (labels == 0)] = 1 + STATIONS.index(name)
    missing = [name for number, name in enumerate(STATIONS, 1) if not (labels == number).any()]
    notes = landmarks.notes + ((f"Not placed: {', '.join(missing)}.",) if missing else ())
    return StationMap(thorax.labels.with_voxels(labels), thorax, landmarks, notes)


def _regions(thorax: Thorax, landmarks: Landmarks) -> list[tuple[str, Mask]]:
    """Stations in the order in which they claim a voxel."""
    between_lungs = borders.mediastinum(thorax) & borders.before_spine(thorax, landmarks)
    space = thorax.free & between_lungs
    hilar = borders.beside_main_bronchus(thorax, landmarks)
    return [
        *_superior(thorax, landmarks, space),
        *_inferior(thorax, landmarks, space),
        *_of_one_side(thorax, landmarks, space, hilar, "right"),
        *_of_one_side(thorax, landmarks, space, hilar, "left"),
        *_low_cervical(thorax, landmarks, thorax.free & ~between_lungs),
    ]


def _low_cervical(thorax: Thorax, landmarks: Landmarks, space: Mask) -> list[tuple[str, Mask]]:
    """Station 1, which lies outside of the pleural space."""
    station = (
        space
        & borders.below_cricoid(thorax, landmarks)
        & borders.above_thoracic_inlet(thorax, landmarks)
        & borders.in_supraclavicular_fossa(thorax, landmarks)
    )
    right = borders.right_of_tracheal_midline(thorax, landmarks)
    return [("1R", station & right), ("1L", station & ~right)]


def _superior(thorax: Thorax, landmarks: Landmarks, space: Mask) -> list[tuple[str, Mask]]:
    """Stations 2 to 6, between the apex of the chest and the carina."""
    right = borders.right_of_tracheal_midline(thorax, landmarks)
    oncologic_right = borders.right_of_left_tracheal_border(thorax, landmarks)
    behind = borders.behind_trachea(thorax, landmarks)
    ahead = borders.before_great_vessels(thorax, landmarks)
    beside = space & ~behind
    paratracheal = beside & ~ahead
    arch_top, arch_bottom = borders.above_arch_top(thorax, landmarks), borders.above_arch_bottom(thorax, landmarks)
    outside = borders.outside_arch(thorax, landmarks)
    lateral = borders.lateral_to_ligament(thorax, landmarks)
    above_artery = borders.above_left_artery_top(thorax, landmarks)
    above_vein = borders.above_vein_crossing(thorax, landmarks)
    station_6 = beside & outside & ~right & ~arch_top & arch_bottom & borders.beside_aorta(thorax)
    window = beside & ~arch_bottom & above_artery & ~oncologic_right
    prevascular = space & ahead & borders.behind_sternum(thorax, landmarks) & borders.above_carina(thorax, landmarks)
    retrotracheal = (
        space
        & behind
        & borders.beside_retrotracheal_midline(thorax, landmarks)
        & borders.above_carina(thorax, landmarks)
    )
    return [
        ("6", station_6),
        ("5", window & lateral & borders.behind_ascending_aorta(thorax, landmarks)),
        ("3aR", prevascular & right),
        ("3aL", prevascular & ~right),
        ("3pR", retrotracheal & right),
        ("3pL", retrotracheal & ~right),
        ("2R", paratracheal & oncologic_right & above_vein),
        ("4R", paratracheal & oncologic_right & ~above_vein & borders.above_azygos_bottom(thorax, landmarks)),
        ("2L", paratracheal & ~oncologic_right & arch_top),
        ("4L", paratracheal & ~oncologic_right & ~arch_top & arch_bottom & ~outside),
        ("4L", window & ~lateral),
    ]


def _inferior(thorax: Thorax, landmarks: Landmarks, space: Mask) -> list[tuple[str, Mask]]:
    """Stations 7 and 8, between the carina and the diaphragm."""
    below = space & ~borders.above_carina(thorax, landmarks)
    floor = borders.above_subcarinal_floor(thorax, landmarks)
    right = borders.right_of_spine_midline(thorax, landmarks)
    oesophageal = below & ~floor & borders.above_diaphragm(thorax, landmarks) & borders.along_oesophagus(thorax)
    return [
        ("7", below & floor & borders.between_main_bronchi(thorax, landmarks)),
        ("8R", oesophageal & right),
        ("8L", oesophageal & ~right),
    ]


def _of_one_side(thorax: Thorax, landmarks: Landmarks, space: Mask, hilar: Mask, side: str) -> list[tuple[str, Mask]]:
    """Stations 9 to 14 of a side: pulmonary ligament, hilum and lung."""
    pairs: tuple[tuple[str, str], ...]
    if side == "right":
        letter, hilum, vein = "R", landmarks.hilum_right, landmarks.inferior_vein_right
        roof = borders.above_azygos_bottom(thorax, landmarks)
        own_side = borders.right_of_spine_midline(thorax, landmarks)
        pairs = ((RIGHT_LOBES[0], RIGHT_LOBES[2]), (RIGHT_LOBES[1], RIGHT_LOBES[2]))
    else:
        letter, hilum, vein = "L", landmarks.hilum_left, landmarks.inferior_vein_left
        roof = borders.above_left_artery_top(thorax, landmarks)
        own_side = ~borders.right_of_spine_midline(thorax, landmarks)
        pairs = (LEFT_LOBES,)
    from_hilum = borders.distance_from_hilum(thorax, hilum)
    under = borders.below_inferior_vein(thorax, vein)
    lateral = borders.lateral_to_hilum(thorax, hilum, side)
    adjacent = hilar | borders.beside_lobar_origins(from_hilum)
    inner = borders.lateral_to_inner_wall(thorax, landmarks, side)
    ligament = borders.in_pulmonary_ligament(thorax, pairs[0][1])
    lung = thorax.mask(*(lobe for pair in pairs for lobe in pair))
    inward = borders.lateral_to_hilum(thorax, hilum, side, inward_mm=borders.LUNG_INWARD_MM)
    tissue = (lung & inward) | (space & lateral)
    return [
        (f"10{letter}", space & adjacent & ~roof & inner & ~lateral & ~under),
        (f"9{letter}", space & own_side & borders.above_diaphragm(thorax, landmarks) & under & ligament),
        *(
            (f"11{letter}", tissue & borders.between_lobes(thorax, first, second, from_hilum))
            for first, second in pairs
        ),
        *(
            (f"{number}{letter}", tissue & borders.within_reach_of_hilum(from_hilum, number))
            for number in borders.REACH_FROM_HILUM_MM
        ),
    ]
