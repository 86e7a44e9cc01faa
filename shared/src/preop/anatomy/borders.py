"""The borders of the lymph node stations, each as one function.

Every function gives True on one side of one border, for the voxels (z, y, x) of a thorax (shapes of 1 broadcast). Each
cites its line of the tables:

- Rusch: Rusch et al., J Thorac Oncol 2009;4:568-77, table 2 (the IASLC map).
- Lynch: Lynch et al., Pract Radiat Oncol 2013;3:54-66 (CT atlas of the same map).
- El-Sherief: El-Sherief et al., Radiographics 2014;34:1680-91 (CT atlas and its ambiguities).
"""

from __future__ import annotations

import math

import numpy as np

from preop.anatomy.landmarks import Hilum, Landmarks
from preop.anatomy.organs import MEDIASTINAL, Coordinates, Mask, Thorax
from preop.imaging import bounding_box

PARA_AORTIC_DEPTH_MM = 15.0
RETROTRACHEAL_MARGIN_MM = 8.0
PARAESOPHAGEAL_DEPTH_MM = 10.0
LIGAMENT_DEPTH_MM = 12.0
LIGAMENT_FROM_OESOPHAGUS_MM = 25.0
LIGAMENT_BEFORE_OESOPHAGUS_MM = 20.0
BRONCHIAL_DEPTH_MM = 15.0
VENOUS_DEPTH_MM = 10.0
ARTERIAL_DEPTH_MM = 8.0
ARTERY_FROM_CARINA_MM = 25.0
INTERLOBAR_DEPTH_MM = 6.0
INTERLOBAR_REACH_MM = 25.0
LUNG_INWARD_MM = 10.0
SUPRACLAVICULAR_REACH_MM = 75.0
SUPRACLAVICULAR_BACK_MM = 15.0
HALF_STERNUM_MM = 30.0
BESIDE_STERNUM_MM = 10.0
SUBCARINAL_FRONT_MM = 7.0
REACH_FROM_HILUM_MM = {12: 20.0, 13: 35.0, 14: 50.0}


def above(thorax: Thorax, level: float) -> Mask:
    """At or above a height."""
    return thorax.column(thorax.z >= level)


def mediastinum(thorax: Thorax) -> Mask:
    """Between the lungs: the convex hull of lungs and mediastinal organs in each slice that shows a lung, less the lungs.

    In front of the apices the hull's edge is the line between the foremost points of the pleurae, which parts
    station 2 from station 1 (Lynch, figure 2).
    """
    from scipy import ndimage

    organs = thorax.mask(*MEDIASTINAL) | thorax.lungs
    inside = np.zeros(organs.shape, dtype=bool)
    for index in thorax.slices_of(thorax.lungs):
        inside[index] = _convex_hull(organs[index])
    # Slivers between a lung and the line across its front are no room for a node.
    return np.asarray(ndimage.binary_opening(inside & ~thorax.lungs, structure=np.ones((1, 3, 3)), iterations=2))


def before_spine(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """In front of the vertebral bodies: paravertebral nodes belong to no station (El-Sherief)."""
    return np.less_equal(thorax.y[None, :, None], thorax.column(landmarks.spine_front.at(thorax.z)))


def below_cricoid(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 1, upper border: lower margin of the cricoid cartilage (Rusch); the top of the trachea's label."""
    return thorax.column(thorax.z <= landmarks.cricoid)


def above_thoracic_inlet(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 1, lower border: clavicles and, in the midline, upper border of the manubrium (Rusch).

    Above the manubrium, and in each column above the first rib and the clavicle (the sturdier landmark on CT).
    """
    bones = thorax.mask("rib_left_1", "rib_right_1", "clavicula_left", "clavicula_right")
    highest = np.where(bones.any(axis=0), thorax.z[bones.shape[0] - 1 - bones[::-1].argmax(axis=0)], -math.inf)
    return thorax.column(thorax.z) > np.maximum(highest, landmarks.manubrium_top)


def in_supraclavicular_fossa(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 1, sides: before the foremost points of the pleurae (Lynch, figure 2); the table leaves the others open.

    They are: medial to the outer edge of the first ribs, behind the front of the clavicles, and no further back than
    15 mm behind the front of the vertebral bodies.
    """
    first_rib = thorax.mask("rib_left_1", "rib_right_1").any(axis=(0, 1))
    midline = landmarks.airway.midline.value.mean()
    right, left = midline - SUPRACLAVICULAR_REACH_MM, midline + SUPRACLAVICULAR_REACH_MM
    if first_rib.any():
        right = max(right, min(thorax.x[first_rib].min(), midline))
        left = min(left, max(thorax.x[first_rib].max(), midline))
    back = landmarks.spine_front.at(thorax.z) + SUPRACLAVICULAR_BACK_MM
    y = thorax.y[None, :, None]
    before_pleurae = y < thorax.column(np.minimum(back, _front_of_pleurae(thorax)))
    beside = (thorax.x >= right) & (thorax.x <= left)
    return np.asarray(beside & (y >= _front_of_clavicles(thorax)[None, None, :]) & before_pleurae)


def right_of_tracheal_midline(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 1: 1R and 1L are limited by the midline of the trachea (Rusch). Also parts 3aR, 3pR and 10R from left."""
    x = np.where(thorax.z > landmarks.azygos_bottom, landmarks.airway.midline.at(thorax.z), landmarks.carina[0])
    return thorax.x[None, None, :] < thorax.column(x)


def right_of_left_tracheal_border(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Stations 2 and 4: the oncologic midline is the left lateral border of the trachea (Rusch)."""
    return thorax.x[None, None, :] < thorax.column(landmarks.airway.left.at(thorax.z))


def above_vein_crossing(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 2R, lower, and 4R, upper border: caudal margin of the innominate vein at the trachea (Rusch)."""
    return above(thorax, landmarks.vein_crossing)


def above_azygos_bottom(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 4R, lower, and 10R, upper border: lower border of the azygos vein (Rusch)."""
    return above(thorax, landmarks.azygos_bottom)


def above_arch_top(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 2L, lower, 4L, upper, and 6, upper border: superior border of the aortic arch (Rusch)."""
    return thorax.column(thorax.z > landmarks.arch_top)


def above_arch_bottom(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 5, upper, and 6, lower border: lower border of the aortic arch (Rusch)."""
    return above(thorax, landmarks.arch_bottom)


def above_left_artery_top(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Stations 4L and 5, lower, and 10L, upper border: upper rim of the left main pulmonary artery (Rusch)."""
    return thorax.column(thorax.z > landmarks.left_artery_top)


def above_carina(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Stations 3a and 3p, lower, and 7, upper border: carina (Rusch)."""
    return thorax.column(thorax.z > landmarks.carina[2])


def behind_sternum(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 3a, anterior border: posterior aspect of the sternum (Rusch): no further out than 10 mm beside it."""
    sternum = thorax.mask("sternum").any(axis=(0, 1))
    midline = landmarks.airway.midline.value.mean()
    right, left = midline - HALF_STERNUM_MM, midline + HALF_STERNUM_MM
    if sternum.any():
        right, left = thorax.x[sternum].min(), thorax.x[sternum].max()
    return np.asarray((thorax.x >= right - BESIDE_STERNUM_MM) & (thorax.x <= left + BESIDE_STERNUM_MM))


def before_great_vessels(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 3a, posterior border: front of the superior vena cava, on the left the left carotid artery (Rusch).

    A line in each slice from the front of the one to the front of the other, level beyond them.
    """
    (right_x, right_y), (left_x, left_y) = landmarks.prevascular_right, landmarks.prevascular_left
    x0, y0, x1, y1 = (profile.at(thorax.z)[:, None] for profile in (right_x, right_y, left_x, left_y))
    along = np.clip((thorax.x[None, :] - x0) / np.maximum(x1 - x0, 1.0), 0, 1)
    return np.asarray(thorax.y[None, :, None] < (y0 + along * (y1 - y0))[:, None, :])


def behind_trachea(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 3p: behind the trachea (Rusch), from the line along its posterior wall (Lynch, figure 1)."""
    return thorax.y[None, :, None] > thorax.column(landmarks.airway.back.at(thorax.z))


def beside_retrotracheal_midline(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 3p, sides, which the table leaves open: no further out than 8 mm beyond trachea and oesophagus."""
    margin = RETROTRACHEAL_MARGIN_MM
    right, left = landmarks.airway.right.at(thorax.z), landmarks.airway.left.at(thorax.z)
    rightmost, leftmost = thorax.extent_x(thorax.mask("esophagus"))
    right, left = np.fmin(right, rightmost), np.fmax(left, leftmost)
    x = thorax.x[None, None, :]
    return (x > thorax.column(right - margin)) & (x < thorax.column(left + margin))


def outside_arch(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 6: anterior and lateral to the ascending aorta and the arch (Rusch): beyond the plane along the arch."""
    x, y, normal_x, normal_y = landmarks.arch_plane
    return (thorax.x[None, None, :] - x) * normal_x + (thorax.y[None, :, None] - y) * normal_y > 0


def beside_aorta(thorax: Thorax) -> Mask:
    """Station 6, depth, which the table leaves open: within 15 mm of the aorta; what lies further ahead is 3a."""
    return near(thorax, thorax.mask("aorta"), PARA_AORTIC_DEPTH_MM)


def lateral_to_ligament(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 5, lateral, and 4L, medial to the ligamentum arteriosum (Rusch)."""
    return thorax.x[None, None, :] > landmarks.ligament_x


def behind_ascending_aorta(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 5: the aortopulmonary window lies between ascending and descending aorta (El-Sherief)."""
    return thorax.y[None, :, None] >= landmarks.ascending_y


def between_main_bronchi(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 7, sides: between the facing walls of the main bronchi, not before them nor behind the oesophagus.

    The table says "subcarinal"; the walls are those of the CT atlas (Lynch).
    """
    right, left = landmarks.airway.medial_right.at(thorax.z), landmarks.airway.medial_left.at(thorax.z)
    x = thorax.x[None, None, :]
    behind_front = thorax.y[None, :, None] >= landmarks.carina[1] - SUBCARINAL_FRONT_MM
    before_back = thorax.y[None, :, None] <= thorax.column(_oesophagus(thorax)[1])
    return (x > thorax.column(right)) & (x < thorax.column(left)) & behind_front & before_back


def right_of_spine_midline(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Stations 8 and 9: right or left of the midline (Rusch); also the sides of the lower border of 7."""
    return thorax.x[None, None, :] < thorax.column(landmarks.spine_midline.at(thorax.z))


def above_subcarinal_floor(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 7, lower, and 8, upper border: lower border of the bronchus intermedius, left lower lobe bronchus (Rusch)."""
    right = right_of_spine_midline(thorax, landmarks)
    floor = np.where(right, landmarks.bronchus_intermedius_bottom, landmarks.left_lower_lobe_bronchus_top)
    return thorax.column(thorax.z) >= floor


def along_oesophagus(thorax: Thorax) -> Mask:
    """Station 8: adjacent to the wall of the oesophagus (Rusch): within 10 mm of it."""
    return near(thorax, thorax.mask("esophagus"), PARAESOPHAGEAL_DEPTH_MM)


def above_diaphragm(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Stations 8 and 9, lower border: diaphragm (Rusch), at the oesophageal hiatus."""
    return above(thorax, landmarks.hiatus)


def below_inferior_vein(thorax: Thorax, level: float) -> Mask:
    """Station 9, upper border: inferior pulmonary vein (Rusch)."""
    return thorax.column(thorax.z < level)


def in_pulmonary_ligament(thorax: Thorax, lower_lobe: str) -> Mask:
    """Station 9: within the pulmonary ligament (Rusch), the fold between lower lobe and oesophagus.

    Beside the lower lobe (12 mm), not further than 25 mm from the oesophagus, nor more than 20 mm before or 5 mm
    behind it.
    """
    front, back = _oesophagus(thorax)
    y = thorax.y[None, :, None]
    level = (y >= thorax.column(front - LIGAMENT_BEFORE_OESOPHAGUS_MM)) & (y <= thorax.column(back + 5))
    medial = level & near(thorax, thorax.mask("esophagus"), LIGAMENT_FROM_OESOPHAGUS_MM)
    return medial & near(thorax, thorax.mask(lower_lobe), LIGAMENT_DEPTH_MM, within=medial)


def beside_main_bronchus(thorax: Thorax, landmarks: Landmarks) -> Mask:
    """Station 10: immediately adjacent to main bronchus and hilar vessels (Rusch).

    The vessels are the proximal pulmonary veins and the main pulmonary artery; adjacent is within 15 mm of bronchi,
    10 mm of veins and 8 mm of arteries. The heart's label holds the arteries: its part above the left lower lobe
    bronchus and within 25 mm before or behind the carina stands for them.
    """
    airway = thorax.mask("trachea") & ~above(thorax, landmarks.azygos_bottom)
    level = np.abs(thorax.y - landmarks.carina[1]) <= ARTERY_FROM_CARINA_MM
    above_chambers = above(thorax, landmarks.left_lower_lobe_bronchus_top)
    arteries = thorax.mask("heart") & level[None, :, None] & above_chambers
    return (
        near(thorax, airway, BRONCHIAL_DEPTH_MM)
        | near(thorax, thorax.mask("pulmonary_vein"), VENOUS_DEPTH_MM)
        | near(thorax, arteries, ARTERIAL_DEPTH_MM)
    )


def beside_lobar_origins(from_hilum: Coordinates) -> Mask:
    """Station 10, where the label of the airway ends early: the line of lobar origins stands for the main bronchus."""
    return from_hilum <= BRONCHIAL_DEPTH_MM


def lateral_to_inner_wall(thorax: Thorax, landmarks: Landmarks, side: str) -> Mask:
    """Station 10, medial border, which the table leaves open.

    The midline of the trachea above the carina, the inner walls of the main bronchi beside station 7, and the midline
    of the spine below it.
    """
    x = thorax.x[None, None, :]
    over, beside_7 = above_carina(thorax, landmarks), above_subcarinal_floor(thorax, landmarks)
    airway = landmarks.airway
    right_wall, left_wall = (wall.at(thorax.z) for wall in (airway.medial_right, airway.medial_left))
    above_right = right_of_tracheal_midline(thorax, landmarks)
    below_right = right_of_spine_midline(thorax, landmarks)
    if side == "right":
        return np.where(over, above_right, np.where(beside_7, x < thorax.column(right_wall), below_right))
    return np.where(over, ~above_right, np.where(beside_7, x > thorax.column(left_wall), ~below_right))


def between_lobes(thorax: Thorax, upper: str, lower: str, from_hilum: Coordinates) -> Mask:
    """Station 11: between the origins of the lobar bronchi (Rusch): where two lobes meet, near the lobar origins.

    Within 6 mm of both lobes and 25 mm of the line of lobar origins.
    """
    reach = from_hilum <= INTERLOBAR_REACH_MM
    surroundings = from_hilum <= INTERLOBAR_REACH_MM + INTERLOBAR_DEPTH_MM
    both = [near(thorax, thorax.mask(lobe) & surroundings, INTERLOBAR_DEPTH_MM) for lobe in (upper, lower)]
    return reach & both[0] & both[1]


def within_reach_of_hilum(from_hilum: Coordinates, number: int) -> Mask:
    """Stations 12, 13 and 14: adjacent to lobar, segmental and subsegmental bronchi (Rusch).

    Labels show no such bronchi: shells of 20, 35 and 50 mm around the line of lobar origins stand for them.
    """
    return from_hilum <= REACH_FROM_HILUM_MM[number]


def lateral_to_hilum(thorax: Thorax, hilum: Hilum, side: str, *, inward_mm: float = 0.0) -> Mask:
    """Station 10, lateral border, the interlobar region (Rusch): beyond it, unlabelled tissue is the lung's own.

    Lung belongs to 11 to 14 from ``LUNG_INWARD_MM`` further in: beside the main bronchus, not behind it, where the lung
    reaches to the oesophagus.
    """
    x = thorax.x[None, None, :]
    return x < hilum.upper[0] + inward_mm if side == "right" else x > hilum.upper[0] - inward_mm


def distance_from_hilum(thorax: Thorax, hilum: Hilum) -> Coordinates:
    """Distance in mm of every voxel from the (vertical) line of lobar origins."""
    x, y, high = hilum.upper
    if not math.isfinite(high):
        return np.full((1, 1, 1), math.inf)
    beyond = np.maximum(thorax.z - high, 0) + np.maximum(hilum.lower[2] - thorax.z, 0)
    flat = (thorax.x[None, None, :] - x) ** 2 + (thorax.y[None, :, None] - y) ** 2
    return np.asarray(np.sqrt(flat + thorax.column(beyond) ** 2))


def near(thorax: Thorax, mask: Mask, distance_mm: float, *, within: Mask | None = None) -> Mask:
    """Within a distance of a mask, computed in its neighbourhood only, and where ``within`` is given only there."""
    from scipy import ndimage

    spacing = thorax.labels.spacing_mm
    margin = tuple(math.ceil(distance_mm / size) for size in spacing)
    result = np.zeros(mask.shape, dtype=bool)
    if within is not None:
        mask = _inside_box(mask, within, margin)
    if mask.any():
        box = bounding_box(mask, margin_voxels=margin)
        result[box] = ndimage.distance_transform_edt(~mask[box], sampling=spacing) <= distance_mm
    return result if within is None else result & within


def _inside_box(mask: Mask, region: Mask, margin: tuple[int, ...]) -> Mask:
    """The part of a mask in the box around a region."""
    part = np.zeros_like(mask)
    if region.any():
        box = bounding_box(region, margin_voxels=margin)
        part[box] = mask[box]
    return part


def _front_of_clavicles(thorax: Thorax) -> Coordinates:
    """Front of the clavicles at each x, a line between their heads, level beyond their ends: (x,)."""
    bones = np.any(thorax.mask("clavicula_left", "clavicula_right"), axis=0)
    seen = np.any(bones, axis=0)
    if not seen.any():
        return np.full(thorax.x.size, -math.inf)
    return np.asarray(np.interp(thorax.x, thorax.x[seen], thorax.y[np.argmax(bones, axis=0)][seen]))


def _front_of_pleurae(thorax: Thorax) -> Coordinates:
    """Foremost point of the lungs in each slice, infinity above them: (z,)."""
    return np.nan_to_num(thorax.extent_y(thorax.lungs)[0], nan=math.inf)


def _oesophagus(thorax: Thorax) -> tuple[Coordinates, Coordinates]:
    """Front and back of the oesophagus in each slice, level beyond its ends; infinite without one: (z,)."""
    front, back = thorax.extent_y(thorax.mask("esophagus"))
    seen = np.isfinite(front)
    if not seen.any():
        return np.full(thorax.z.size, -math.inf), np.full(thorax.z.size, math.inf)
    z = thorax.z[seen]
    return np.interp(thorax.z, z, front[seen]), np.interp(thorax.z, z, back[seen])


def _convex_hull(section: Mask) -> Mask:
    """Convex hull of an axial section."""
    from scipy.spatial import ConvexHull, QhullError

    rows = np.flatnonzero(section.any(axis=1))
    first, last = section[rows].argmax(axis=1), section.shape[1] - 1 - section[rows, ::-1].argmax(axis=1)
    points = np.concatenate([np.stack([rows, first], axis=1), np.stack([rows, last], axis=1)])
    try:
        edges = ConvexHull(points).equations
    except QhullError:  # A line of voxels has no inside.
        return section
    y, x = np.ogrid[: section.shape[0], : section.shape[1]]
    inside = np.ones(section.shape, dtype=bool)
    for along_y, along_x, offset in edges:
        inside &= along_y * y + along_x * x + offset <= 1e-9
    return inside
