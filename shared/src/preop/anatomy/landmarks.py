"""Landmarks of the chest from labelled organs: the levels, planes and points that the station borders rest on.

Organs' labels hold no carina, azygos vein, ligamentum arteriosum, pulmonary artery or lobar bronchi. Each function here
finds one landmark or its surrogate; ``docs/stations.md`` lists them. A landmark that cannot be found falls back as
stated there, and a plain sentence says so in ``Landmarks.notes``.

All positions are in mm along the patient's axes: x to the left, y to the back, z to the head. A level that lies above
or below the scan is plus or minus infinity, so that comparing with it is right everywhere in the scan.

Over 600 lines, because it is one list: each landmark is a function of its own, and many start from the one before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preop.anatomy.organs import GRID_SPACING_MM, LEFT_LOBES, RIGHT_LOBES, VERTEBRAE, Coordinates, Mask, Thorax

# Round figures of the anatomy of adults, for what labels do not show. Lengths of the bronchi: right main about 25 mm,
# left main about 50 mm (Standring, Gray's Anatomy, "Trachea and bronchi"); as heights they were checked on one person.
AZYGOS_ABOVE_CARINA_MM = 10.0
ARCH_TOP_ABOVE_CARINA_MM = 40.0
ARCH_BOTTOM_ABOVE_CARINA_MM = 15.0
LEFT_ARTERY_ABOVE_CARINA_MM = 10.0
BRONCHUS_INTERMEDIUS_BELOW_CARINA_MM = 45.0
LEFT_LOWER_LOBE_BRONCHUS_BELOW_CARINA_MM = 25.0
INFERIOR_VEINS_BELOW_CARINA_MM = 60.0
HILUM_FROM_CARINA_MM = {"right": 30.0, "left": 45.0}
HIATUS_ABOVE_STOMACH_MM = 15.0
LIGAMENT_FROM_TRACHEA_MM = 15.0
PREVASCULAR_BEFORE_TRACHEA_MM = 15.0
ASCENDING_AORTA_BEFORE_TRACHEA_MM = 25.0
MANUBRIUM_BELOW_APEX_MM = 15.0

SMALLEST_BRONCHUS_MM2 = 30.0
"""Cross-section below which a piece of a label is taken for stray voxels or a lobar branch."""

SHORTEST_LEFT_BRONCHUS_MM = 15.0
"""A label of the left main bronchus that ends higher than this below the carina was cut short."""

LONGEST_LEFT_BRONCHUS_MM = 40.0
"""A label that reaches lower than this below the carina followed a lobar bronchus."""

SHORTEST_INTERMEDIUS_MM = 25.0
LONGEST_INTERMEDIUS_MM = 65.0
"""Bounds, below the carina, within which the top of the right inferior vein stands for the bronchus' lower border."""

VEIN_GAP_MM = 4.0

EDGE_MM = 4.0
"""An organ that comes this near to the end of the scan is taken to be cut by it."""

VEIN_CROSSING_WIDTH_MM = 3.0

BRONCHI_APART_MM = 3.0
"""How far below the carina the bronchi must be apart as well: labels of the larynx may be in pieces, too."""

SMALLEST_AORTA_MM2 = 100.0
"""Cross-section of the aorta below which a piece is no part of its course."""

AORTA_APART_MM = 10.0
"""How far below the arch ascending and descending aorta must be apart: the arch's top may be in pieces, too."""

DISC_MM = 9.0
"""Height over which the front of the spine is bridged."""

AIRWAY_HALF_DEPTH_MM = 7.0
"""From the middle of the carina to its front wall: half of a main bronchus."""


@dataclass(frozen=True)
class Profile:
    """A position that changes from slice to slice; beyond its ends it keeps the last value.

    Attributes
    ----------
    z
        Heights in mm, ascending: (n,).
    value
        Positions in mm: (n,).
    """

    z: Coordinates
    value: Coordinates

    def at(self, z: Coordinates) -> Coordinates:
        """Positions at heights."""
        return np.interp(z, self.z, self.value)


@dataclass(frozen=True)
class Airway:
    """Outlines of trachea and main bronchi, slice by slice."""

    midline: Profile
    left: Profile
    right: Profile
    front: Profile
    back: Profile
    medial_right: Profile
    medial_left: Profile
    top: float


@dataclass(frozen=True)
class Hilum:
    """Where a main bronchus becomes lobar bronchi: the line from its first lobar origin to its last.

    Attributes
    ----------
    upper, lower
        Ends of the line, (x, y, z) in mm.
    """

    upper: tuple[float, float, float]
    lower: tuple[float, float, float]


@dataclass(frozen=True)
class Landmarks:
    """All landmarks of one chest.

    Attributes
    ----------
    airway
        Midline and borders of the trachea, and the inner walls of both main bronchi.
    carina
        Point between the main bronchi in the first slice below the split, (x, y, z).
    spine_midline, spine_front
        Middle and front of the vertebral bodies.
    vein_crossing
        Height of the caudal margin of the left brachiocephalic vein at the midline of the trachea.
    arch_top, arch_bottom
        Heights of the superior and inferior border of the aortic arch.
    arch_plane
        Vertical plane along the arch, (x, y, normal x, normal y); the normal points to the front and left.
    ligament_x
        Sagittal plane of the ligamentum arteriosum.
    ascending_y
        Frontal plane through the middle of the ascending aorta below the arch.
    azygos_bottom
        Height of the lower border of the azygos arch.
    left_artery_top
        Height of the upper rim of the left main pulmonary artery.
    bronchus_intermedius_bottom, left_lower_lobe_bronchus_top
        Heights of the lower ends of the subcarinal station on the right and on the left.
    inferior_vein_right, inferior_vein_left
        Heights of the lower margins of the inferior pulmonary veins.
    hilum_right, hilum_left
        Lobar origins.
    apex_right, apex_left
        Heights of the tops of the lungs.
    manubrium_top
        Height of the upper border of the manubrium.
    prevascular_right, prevascular_left
        Front of the superior vena cava with the right brachiocephalic vein, and of the left common carotid artery:
        pairs of profiles (x of its middle, y of its front).
    hiatus
        Height at which the oesophagus passes the diaphragm.
    cricoid
        Height of the lower margin of the cricoid.
    notes
        What was not found and what stands for it, in plain sentences.
    """

    airway: Airway
    carina: tuple[float, float, float]
    spine_midline: Profile
    spine_front: Profile
    vein_crossing: float
    arch_top: float
    arch_bottom: float
    arch_plane: tuple[float, float, float, float]
    ligament_x: float
    ascending_y: float
    azygos_bottom: float
    left_artery_top: float
    bronchus_intermedius_bottom: float
    left_lower_lobe_bronchus_top: float
    inferior_vein_right: float
    inferior_vein_left: float
    hilum_right: Hilum
    hilum_left: Hilum
    apex_right: float
    apex_left: float
    manubrium_top: float
    prevascular_right: tuple[Profile, Profile]
    prevascular_left: tuple[Profile, Profile]
    hiatus: float
    cricoid: float
    notes: tuple[str, ...]


def find_landmarks(thorax: Thorax) -> Landmarks:
    """Find all landmarks, each by its own function below."""
    notes: list[str] = []
    trachea = _without_specks(thorax.mask("trachea"))
    carina = find_carina(thorax, trachea, notes)
    airway = find_airway(thorax, trachea, carina)
    spine_midline, spine_front = find_spine(thorax, carina, notes)
    arch_top, arch_bottom = find_arch(thorax, carina[2], notes)
    right_vein = find_inferior_vein(thorax, carina, "right", notes)
    left_vein = find_inferior_vein(thorax, carina, "left", notes)
    intermedius = find_bronchus_intermedius_bottom(carina[2], right_vein, notes)
    left_lower_lobe = find_left_lower_lobe_bronchus_top(thorax, trachea, carina, notes)
    apex_right, apex_left = find_apices(thorax, notes)
    return Landmarks(
        airway=airway,
        carina=carina,
        spine_midline=spine_midline,
        spine_front=spine_front,
        vein_crossing=find_vein_crossing(thorax, airway, arch_top, notes),
        arch_top=arch_top,
        arch_bottom=arch_bottom,
        arch_plane=find_arch_plane(thorax, arch_bottom, arch_top, airway),
        ligament_x=find_ligament_x(thorax, arch_bottom, airway, notes),
        ascending_y=find_ascending_y(thorax, arch_bottom, airway),
        azygos_bottom=carina[2] + AZYGOS_ABOVE_CARINA_MM,
        left_artery_top=find_left_artery_top(thorax, carina, arch_bottom, notes),
        bronchus_intermedius_bottom=intermedius,
        left_lower_lobe_bronchus_top=left_lower_lobe,
        inferior_vein_right=right_vein[1],
        inferior_vein_left=left_vein[1],
        hilum_right=find_hilum(thorax, trachea, carina, intermedius, "right"),
        hilum_left=find_hilum(thorax, trachea, carina, left_lower_lobe, "left"),
        apex_right=apex_right,
        apex_left=apex_left,
        manubrium_top=find_manubrium_top(thorax, apex_right, apex_left, notes),
        prevascular_right=find_front_of(
            thorax, ("superior_vena_cava", "brachiocephalic_vein_right"), airway, "superior vena cava", notes
        ),
        prevascular_left=find_front_of(
            thorax, ("common_carotid_artery_left",), airway, "left common carotid artery", notes
        ),
        hiatus=find_hiatus(thorax, notes),
        cricoid=min(airway.top, thorax.ends_above),
        notes=tuple(notes),
    )


def find_carina(thorax: Thorax, trachea: Mask, notes: list[str]) -> tuple[float, float, float]:
    """Find where the airway splits in two, going down: between the inner walls in the first slice with two bronchi."""
    slices = thorax.slices_of(trachea)
    if not slices.size:
        return _carina_without_trachea(thorax, notes)
    split = _split(thorax, trachea, SMALLEST_BRONCHUS_MM2, BRONCHI_APART_MM)
    if split is not None:
        pieces = _pieces(thorax, trachea[split], SMALLEST_BRONCHUS_MM2)
        right, left = pieces[0], pieces[-1]
        inner = float(thorax.x[right[1]].max() + thorax.x[left[1]].min()) / 2
        depth = float(thorax.y[np.concatenate([right[0], left[0]])].mean())
        if thorax.z[split] < thorax.ends_above - EDGE_MM:
            return inner, depth, float(thorax.z[split])
        notes.append("The carina lies above the scan: the stations above it cannot be placed.")
        return inner, depth, math.inf
    x, y = thorax.x[trachea.any(axis=(0, 1))].mean(), thorax.y[np.nonzero(trachea[slices[0]])[0]].mean()
    if thorax.z[slices[0]] <= thorax.ends_below + EDGE_MM:
        notes.append("The carina lies below the scan: the stations below it cannot be placed.")
        return float(x), float(y), -math.inf
    notes.append("The airway does not split in two: the lower end of the trachea is taken for the carina.")
    return float(x), float(y), float(thorax.z[slices[0]])


def _carina_without_trachea(thorax: Thorax, notes: list[str]) -> tuple[float, float, float]:
    centre = [float(thorax.x.mean()), float(thorax.y.mean())]
    arch = _arch_slices(thorax)
    if arch.size and thorax.z[arch[-1]] < thorax.ends_above - EDGE_MM:
        notes.append(
            f"There is no trachea: the carina is taken to lie {ARCH_TOP_ABOVE_CARINA_MM:g} mm below the aortic arch's top."
        )
        return centre[0], centre[1], float(thorax.z[arch[-1]] - ARCH_TOP_ABOVE_CARINA_MM)
    notes.append("There is no trachea: the carina is taken to lie above the scan, and no station above it is placed.")
    return centre[0], centre[1], math.inf


def find_airway(thorax: Thorax, trachea: Mask, carina: tuple[float, float, float]) -> Airway:
    """Outline the trachea above the carina, and the facing walls of the main bronchi below it."""
    # Just above the carina the trachea widens into the right main bronchus, and its middle is no longer a midline.
    above = trachea & thorax.column(thorax.z > carina[2] + AZYGOS_ABOVE_CARINA_MM)
    x, y = thorax.extent_x(above), thorax.extent_y(above)
    inner = _inner_walls(thorax, trachea, carina)
    heights = thorax.slices_of(above)
    if not heights.size:
        midline, depth = (Profile(np.zeros(1), np.array([position])) for position in carina[:2])
        return Airway(midline, midline, midline, depth, depth, *inner, top=math.inf)
    z = thorax.z[heights]
    half = (thorax.x[1] - thorax.x[0]) / 2
    top = float(z[-1]) if z[-1] < thorax.ends_above - EDGE_MM else math.inf
    return Airway(
        midline=Profile(z, (x[0] + x[1])[heights] / 2),
        left=Profile(z, x[1][heights] + half),
        right=Profile(z, x[0][heights] - half),
        front=Profile(z, y[0][heights] - half),
        back=Profile(z, y[1][heights] + half),
        medial_right=inner[0],
        medial_left=inner[1],
        top=top,
    )


def _inner_walls(thorax: Thorax, trachea: Mask, carina: tuple[float, float, float]) -> tuple[Profile, Profile]:
    """Inner walls of the right and left main bronchus below the carina; each keeps its last place further down."""
    walls: dict[str, list[tuple[float, float]]] = {"right": [], "left": []}
    for index in np.flatnonzero(trachea.any(axis=(1, 2)) & (thorax.z <= carina[2])):
        pieces = [thorax.x[columns] for _, columns in _pieces(thorax, trachea[index], SMALLEST_BRONCHUS_MM2)]
        right = [x.max() for x in pieces if x.mean() < carina[0]]
        left = [x.min() for x in pieces if x.mean() >= carina[0]]
        walls["right"] += [(thorax.z[index], max(right))] if right else []
        walls["left"] += [(thorax.z[index], min(left))] if left else []
    return _profile(walls["right"], carina), _profile(walls["left"], carina)


def _profile(points: list[tuple[float, float]], carina: tuple[float, float, float]) -> Profile:
    """Profile through (z, x), or along the carina where there is no point."""
    z, x = zip(*points, strict=True) if points else ((0.0,), (carina[0],))
    return Profile(np.array(z), np.array(x))


def find_spine(thorax: Thorax, carina: tuple[float, float, float], notes: list[str]) -> tuple[Profile, Profile]:
    """Outline middle and front of the vertebral bodies."""
    from scipy.ndimage import minimum_filter1d

    spine = thorax.mask(*VERTEBRAE)
    heights = thorax.slices_of(spine)
    if not heights.size:
        notes.append(
            "There is no spine: the midline is the carina's, and the space behind the airway has no back wall."
        )
        flat = np.zeros(1)
        return Profile(flat, np.array([carina[0]])), Profile(flat, np.array([thorax.y[-1]]))
    z = thorax.z[heights]
    left, right = thorax.extent_x(spine)
    middle = ((left + right) / 2)[heights]
    near = np.abs(thorax.x[None, None, :] - thorax.column(np.interp(thorax.z, z, middle))) < 10
    front = thorax.extent_y(spine & near)[0][heights]
    seen = np.isfinite(front)
    # Between two bodies the label recedes: the front of the spine is that of the foremost body nearby.
    foremost = minimum_filter1d(front[seen], 1 + 2 * round(DISC_MM / GRID_SPACING_MM))
    return Profile(z, middle), Profile(z[seen], foremost)


def find_arch(thorax: Thorax, carina_z: float, notes: list[str]) -> tuple[float, float]:
    """Find the superior and inferior border of the aortic arch.

    The arch is where a slice holds the aorta as one piece above the slices in which ascending and descending aorta are
    two.
    """
    arch = _arch_slices(thorax)
    if arch.size:
        cut_above = thorax.z[arch[-1]] >= thorax.ends_above - EDGE_MM
        cut_below = thorax.z[arch[0]] <= thorax.ends_below + EDGE_MM
        if cut_above or cut_below:
            notes.append(f"The aortic arch is cut by the {'upper' if cut_above else 'lower'} end of the scan.")
        top, bottom = float(thorax.z[arch[-1]]), float(thorax.z[arch[0]])
        return math.inf if cut_above else top, -math.inf if cut_below else bottom
    if math.isfinite(carina_z):
        notes.append(
            "The aortic arch was not found: it is taken to reach from "
            f"{ARCH_BOTTOM_ABOVE_CARINA_MM:g} to {ARCH_TOP_ABOVE_CARINA_MM:g} mm above the carina."
        )
    return carina_z + ARCH_TOP_ABOVE_CARINA_MM, carina_z + ARCH_BOTTOM_ABOVE_CARINA_MM


def _arch_slices(thorax: Thorax) -> NDArray[np.intp]:
    """Slices of the arch, ascending: those above the slices in which ascending and descending aorta are apart.

    Where no slice has both, they are all slices of an aorta that is cut by the lower end of the scan and not by the
    upper, as an arch is that stands at the scan's lower end.
    """
    aorta = _without_specks(thorax.mask("aorta"))
    heights = thorax.slices_of(aorta)
    split = _split(thorax, aorta, SMALLEST_AORTA_MM2, AORTA_APART_MM)
    if split is not None:
        return np.asarray(heights[heights > split])
    stands_on_end = (
        heights.size
        and thorax.z[heights[0]] <= thorax.ends_below + EDGE_MM
        and thorax.z[heights[-1]] < thorax.ends_above - EDGE_MM
    )
    return heights if stands_on_end else heights[:0]


def find_arch_plane(thorax: Thorax, bottom: float, top: float, airway: Airway) -> tuple[float, float, float, float]:
    """Lay a vertical plane along the arch, through its middle; without one, a plane beside the trachea's left border."""
    slices = (thorax.z >= bottom) & (thorax.z <= top)
    _, y, x = np.nonzero(thorax.mask("aorta")[slices])
    if x.size < 3:
        height = np.array([bottom if math.isfinite(bottom) else 0.0])
        return float(airway.left.at(height)[0] + LIGAMENT_FROM_TRACHEA_MM), float(airway.front.at(height)[0]), 1.0, 0.0
    points = np.stack([thorax.x[x], thorax.y[y]])
    centre = points.mean(axis=1)
    normal = np.linalg.eigh(np.cov(points))[1][:, 0]
    normal = normal if normal[0] - normal[1] > 0 else -normal
    return float(centre[0]), float(centre[1]), float(normal[0]), float(normal[1])


def find_ligament_x(thorax: Thorax, arch_bottom: float, airway: Airway, notes: list[str]) -> float:
    """Find the sagittal plane of the ligamentum arteriosum.

    It springs from the arch's underside; the surrogate is the middle of the part of the arch's lowest slice that has
    no aorta below it, the roof of the aortopulmonary window.
    """
    aorta = thorax.mask("aorta")
    if not math.isfinite(arch_bottom):
        return float(airway.left.value[0] + LIGAMENT_FROM_TRACHEA_MM)
    index = int(np.argmin(np.abs(thorax.z - arch_bottom)))
    roof = aorta[index] & ~aorta[index - 1]
    if index > 0 and roof.any():
        return float(thorax.x[np.nonzero(roof)[1]].mean())
    notes.append(
        f"The ligamentum arteriosum is taken to lie {LIGAMENT_FROM_TRACHEA_MM:g} mm to the left of the trachea."
    )
    return float(airway.left.at(np.array([arch_bottom]))[0] + LIGAMENT_FROM_TRACHEA_MM)


def find_ascending_y(thorax: Thorax, arch_bottom: float, airway: Airway) -> float:
    """Find the depth of the ascending aorta just below the arch; without one, 25 mm before the trachea."""
    below = np.flatnonzero(thorax.z < arch_bottom)
    if below.size and math.isfinite(arch_bottom):
        pieces = _pieces(thorax, thorax.mask("aorta")[below[-1]], SMALLEST_AORTA_MM2)
        if len(pieces) > 1:
            return float(min(thorax.y[rows].mean() for rows, _ in pieces))
    return float(airway.front.value[0] - ASCENDING_AORTA_BEFORE_TRACHEA_MM)


def find_vein_crossing(thorax: Thorax, airway: Airway, arch_top: float, notes: list[str]) -> float:
    """Find the lowest left brachiocephalic vein in front of the middle of the trachea."""
    vein = thorax.mask("brachiocephalic_vein_left")
    middle = np.abs(thorax.x[None, :] - airway.midline.at(thorax.z)[:, None]) <= VEIN_CROSSING_WIDTH_MM / 2
    crossing = (vein & middle[:, None, :]).any(axis=(1, 2))
    if crossing.any():
        return float(thorax.z[np.flatnonzero(crossing)[0]])
    if math.isfinite(arch_top):
        notes.append("The left brachiocephalic vein does not cross the trachea: 2R ends at the top of the aortic arch.")
    return arch_top


def find_left_artery_top(
    thorax: Thorax, carina: tuple[float, float, float], arch_bottom: float, notes: list[str]
) -> float:
    """Find the upper rim of the left main pulmonary artery.

    TotalSegmentator's heart holds the trunk and the main pulmonary arteries: the rim is the top of the heart, if that
    lies left of the carina and between the underside of the arch and 5 mm below the carina; else a round figure.
    """
    heart = thorax.mask("heart") & (thorax.x > carina[0])
    # The heart's label may leak a few voxels along the aorta: a rim is wider than that.
    area = heart.sum(axis=(1, 2)) * thorax.labels.geometry.voxel_volume_mm3 / thorax.labels.spacing_mm[0]
    tops = np.flatnonzero(area >= SMALLEST_BRONCHUS_MM2)
    if tops.size and carina[2] - 5 <= thorax.z[tops[-1]] <= arch_bottom:
        return float(thorax.z[tops[-1]])
    rim = min(carina[2] + LEFT_ARTERY_ABOVE_CARINA_MM, arch_bottom)
    if math.isfinite(rim):
        notes.append(
            "The left pulmonary artery was not found in the heart's label: its upper rim is taken to lie "
            f"{rim - carina[2]:.0f} mm above the carina."
        )
    return rim


def find_inferior_vein(
    thorax: Thorax, carina: tuple[float, float, float], side: str, notes: list[str]
) -> tuple[float, float]:
    """Find top and bottom of an inferior pulmonary vein: the parts of the veins behind the front wall of the carina.

    Of several runs of slices the longest counts: a branch of the superior vein may pass behind, too. The top is not a
    number where the vein was not found.
    """
    from scipy import ndimage

    right = side == "right"
    veins = thorax.mask("pulmonary_vein") & ((thorax.x < carina[0]) if right else (thorax.x >= carina[0]))
    heights = []
    for index in np.flatnonzero(veins.any(axis=(1, 2)) & (thorax.z < carina[2])):
        pieces, count = ndimage.label(veins[index])
        centres = ndimage.center_of_mass(veins[index], pieces, range(1, count + 1))
        if any(thorax.y[round(row)] > carina[1] - AIRWAY_HALF_DEPTH_MM for row, _ in centres):
            heights.append(float(thorax.z[index]))
    if heights:
        runs = np.split(heights, np.flatnonzero(np.diff(heights) > VEIN_GAP_MM) + 1)
        longest = max(runs, key=len)
        return float(longest[-1]), float(longest[0])
    level = carina[2] - INFERIOR_VEINS_BELOW_CARINA_MM
    if math.isfinite(level):
        notes.append(
            f"The {side} inferior pulmonary vein was not found: its lower margin is taken to lie "
            f"{INFERIOR_VEINS_BELOW_CARINA_MM:g} mm below the carina."
        )
    return math.nan, level


def find_bronchus_intermedius_bottom(carina_z: float, right_vein: tuple[float, float], notes: list[str]) -> float:
    """Find the lower border of the bronchus intermedius: the top of the right inferior pulmonary vein lies behind it."""
    length = carina_z - right_vein[0]
    if math.isinf(length) or SHORTEST_INTERMEDIUS_MM <= length <= LONGEST_INTERMEDIUS_MM:
        return right_vein[0]
    if math.isfinite(carina_z):
        notes.append(
            "The lower border of the bronchus intermedius is taken to lie "
            f"{BRONCHUS_INTERMEDIUS_BELOW_CARINA_MM:g} mm below the carina."
        )
    return carina_z - BRONCHUS_INTERMEDIUS_BELOW_CARINA_MM


def find_left_lower_lobe_bronchus_top(
    thorax: Thorax, trachea: Mask, carina: tuple[float, float, float], notes: list[str]
) -> float:
    """Find the upper border of the left lower lobe bronchus: the lower end of the left main bronchus's label."""
    left = trachea & (thorax.x > carina[0]) & thorax.column(thorax.z < carina[2])
    heights = thorax.slices_of(left)
    if heights.size:
        length = carina[2] - thorax.z[heights[0]]
        cut = thorax.z[heights[0]] <= thorax.ends_below + EDGE_MM
        if SHORTEST_LEFT_BRONCHUS_MM <= length <= LONGEST_LEFT_BRONCHUS_MM and not cut:
            return float(thorax.z[heights[0]])
    if math.isfinite(carina[2]):
        notes.append(
            "The upper border of the left lower lobe bronchus is taken to lie "
            f"{LEFT_LOWER_LOBE_BRONCHUS_BELOW_CARINA_MM:g} mm below the carina."
        )
    return carina[2] - LEFT_LOWER_LOBE_BRONCHUS_BELOW_CARINA_MM


def find_hilum(thorax: Thorax, trachea: Mask, carina: tuple[float, float, float], bottom: float, side: str) -> Hilum:
    """Find the lobar origins: the outermost point of the main bronchus's label, and the level at which it ends."""
    sign = -1.0 if side == "right" else 1.0
    z, y, x = np.nonzero(trachea & thorax.column(thorax.z <= carina[2] + 3))
    outward = sign * (thorax.x[x] - carina[0])
    if x.size and outward.max() >= HILUM_FROM_CARINA_MM[side] / 2:
        outermost = outward >= outward.max() - 3
        upper = (
            float(thorax.x[x[outermost]].mean()),
            float(thorax.y[y[outermost]].mean()),
            float(thorax.z[z[outermost]].mean()),
        )
    else:
        upper = (carina[0] + sign * HILUM_FROM_CARINA_MM[side], carina[1], (carina[2] + bottom) / 2)
    return Hilum(upper, (upper[0], upper[1], min(bottom, upper[2])))


def find_apices(thorax: Thorax, notes: list[str]) -> tuple[float, float]:
    """Find the tops of the right and the left lung."""
    tops = []
    for side, lobes in (("right", RIGHT_LOBES), ("left", LEFT_LOBES)):
        heights = thorax.slices_of(thorax.mask(*lobes))
        if not heights.size:
            notes.append(f"There is no {side} lung: stations reach only as far as the other organs show.")
            tops.append(-math.inf)
            continue
        top = float(thorax.z[heights[-1]])
        cut = top >= thorax.ends_above - EDGE_MM
        if cut:
            notes.append(f"The apex of the {side} lung lies above the scan: station 1 is not in view there.")
        tops.append(math.inf if cut else top)
    return tops[0], tops[1]


def find_manubrium_top(thorax: Thorax, apex_right: float, apex_left: float, notes: list[str]) -> float:
    """Find the upper border of the manubrium; without one, 15 mm below the apex of the lungs."""
    heights = thorax.slices_of(thorax.mask("sternum"))
    apex = max(apex_right, apex_left)
    if heights.size and thorax.z[heights[-1]] < thorax.ends_above - EDGE_MM:
        return float(thorax.z[heights[-1]])
    if math.isfinite(apex):
        notes.append("The manubrium was not found: its upper border is taken to lie 15 mm below the apex of the lungs.")
    return apex - MANUBRIUM_BELOW_APEX_MM


def find_front_of(
    thorax: Thorax, names: tuple[str, ...], airway: Airway, title: str, notes: list[str]
) -> tuple[Profile, Profile]:
    """Outline a vessel: the x of its middle, and the y of its front; without it, 15 mm before the trachea."""
    vessel = thorax.mask(*names)
    heights = thorax.slices_of(vessel)
    if not heights.size:
        notes.append(f"The {title} was not found: the prevascular space is taken to begin 15 mm before the trachea.")
        return airway.midline, Profile(airway.front.z, airway.front.value - PREVASCULAR_BEFORE_TRACHEA_MM)
    z = thorax.z[heights]
    left, right = thorax.extent_x(vessel)
    return Profile(z, ((left + right) / 2)[heights]), Profile(z, thorax.extent_y(vessel)[0][heights])


def find_hiatus(thorax: Thorax, notes: list[str]) -> float:
    """Find where the oesophagus passes the diaphragm: above its lower end, which lies at the stomach."""
    heights = thorax.slices_of(thorax.mask("esophagus"))
    if not heights.size:
        notes.append("There is no oesophagus: station 8 cannot be placed, and 9 reaches down to the end of the lungs.")
        return float(thorax.z[0])
    if thorax.z[heights[0]] <= thorax.ends_below + EDGE_MM:
        return -math.inf
    return float(thorax.z[heights[0]] + HIATUS_ABOVE_STOMACH_MM)


def _without_specks(mask: Mask) -> Mask:
    """Drop connected parts of less than a tenth of the largest: a scan may cut bronchi or the arch into equals."""
    from scipy import ndimage

    pieces, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count < 2:
        return mask
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= sizes.max() / 10)[pieces])


def _split(thorax: Thorax, mask: Mask, smallest_mm2: float, apart_mm: float) -> int | None:
    """Highest slice in which a tube is in two, and stays so for a while further down; None where there is none."""
    slices = thorax.slices_of(mask)
    apart = [len(_pieces(thorax, mask[index], smallest_mm2)) > 1 for index in slices]
    lasting = round(apart_mm / GRID_SPACING_MM)
    for place in range(len(apart) - 1, -1, -1):
        if all(apart[max(place - lasting, 0) : place + 1]):
            return int(slices[place])
    return None


def _pieces(thorax: Thorax, section: Mask, smallest_mm2: float) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pieces of an axial section that are large enough, as (rows, columns), from right to left."""
    from scipy import ndimage

    pieces, count = ndimage.label(section, structure=np.ones((3, 3)))
    smallest = smallest_mm2 / (thorax.labels.spacing_mm[1] * thorax.labels.spacing_mm[2])
    found = [np.nonzero(pieces == number) for number in range(1, count + 1)]
    return sorted(
        ((rows, columns) for rows, columns in found if rows.size >= smallest), key=lambda piece: piece[1].mean()
    )
