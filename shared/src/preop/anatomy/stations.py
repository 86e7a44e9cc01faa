"""A map of the lymph node stations of one chest, from its labelled organs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from preop.anatomy import borders
from preop.anatomy.landmarks import Landmarks, find_landmarks
from preop.anatomy.organs import Mask, Organs, Thorax, in_patient_axes
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
    return [
        *_superior(thorax, landmarks, space),
        *_inferior(thorax, landmarks, space),
        *_of_the_lungs(thorax, landmarks, space),
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
    """Stations 7 to 10, below the carina and at the hila."""
    below = space & ~borders.above_carina(thorax, landmarks)
    floor = borders.above_subcarinal_floor(thorax, landmarks)
    right = borders.right_of_spine_midline(thorax, landmarks)
    hilar = space & borders.beside_main_bronchus(thorax, landmarks)
    above_diaphragm = borders.above_diaphragm(thorax, landmarks)
    oesophageal = below & ~floor & above_diaphragm & borders.along_oesophagus(thorax)
    found = [
        ("7", below & floor & borders.between_main_bronchi(thorax, landmarks)),
        ("8R", oesophageal & right),
        ("8L", oesophageal & ~right),
    ]
    for side, letter, roof, vein, own_side in (
        ("right", "R", borders.above_azygos_bottom(thorax, landmarks), landmarks.inferior_vein_right, right),
        ("left", "L", borders.above_left_artery_top(thorax, landmarks), landmarks.inferior_vein_left, ~right),
    ):
        hilum = landmarks.hilum_right if side == "right" else landmarks.hilum_left
        under = borders.below_inferior_vein(thorax, vein)
        medial = borders.lateral_to_inner_wall(thorax, landmarks, side)
        within = medial & ~borders.lateral_to_hilum(thorax, hilum, side)
        ligament = borders.in_pulmonary_ligament(thorax, f"lung_lower_lobe_{side}")
        found.append((f"10{letter}", hilar & ~roof & within & ~under))
        found.append((f"9{letter}", below & own_side & above_diaphragm & under & ligament))
    return found


def _of_the_lungs(thorax: Thorax, landmarks: Landmarks, space: Mask) -> list[tuple[str, Mask]]:
    """Stations 11 to 14, between the lobes and inside the lungs."""
    found = []
    for side, letter, hilum, pairs in (
        ("right", "R", landmarks.hilum_right, (("upper", "lower"), ("middle", "lower"))),
        ("left", "L", landmarks.hilum_left, (("upper", "lower"),)),
    ):
        lobes = [f"lung_{part}_lobe_{side}" for part in dict.fromkeys(part for pair in pairs for part in pair)]
        tissue = thorax.mask(*lobes) | (space & borders.lateral_to_hilum(thorax, hilum, side))
        for first, second in pairs:
            meeting = borders.between_lobes(thorax, f"lung_{first}_lobe_{side}", f"lung_{second}_lobe_{side}", hilum)
            found.append((f"11{letter}", tissue & meeting))
        found += [
            (f"{number}{letter}", tissue & borders.within_reach_of_hilum(thorax, hilum, number))
            for number in borders.REACH_FROM_HILUM_MM
        ]
    return found
