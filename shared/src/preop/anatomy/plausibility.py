"""Whether labelled organs of a chest can be those of an adult: their volume, place, symmetry and density.

A network labels any scan, whether or not it knows such scans. Each check below is a function with its range and the source
of that range; what a failed check makes doubtful is given by name, so that whatever rests on it is not assessed rather than
wrong. The ranges are wide: they are for labels that no patient can have, not for disease.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from preop.anatomy.organs import LEFT_LOBES, LUNGS, RIGHT_LOBES, VERTEBRAE, Mask, Organs, Thorax
from preop.anatomy.stations import STATIONS
from preop.imaging import Image

LUNGS_L = (0.9, 11.0)
"""Both lungs, with their tissue. Residual volume of a small woman less one standard deviation to the total capacity of a man
of 2 m plus two (Quanjer et al., Eur Respir J 1993;6 suppl 16:5-40, table 5), and half to one litre of tissue and blood."""

RIGHT_SHARE = (0.3, 0.75)
"""Right lung's share of both: a little over half in health; beyond this range after the loss of a lung, or in wrong labels."""

MAX_ON_WRONG_SIDE = 0.1
"""Share of a lung beyond the midline of the other organs: the anterior junction crosses it by a few centimetres at most."""

MAX_OUTSIDE_BODY = 0.02
"""Share of the lungs outside of the body: partial volume at the chest wall is less."""

MAX_DENSE_LUNG = 0.4
"""Share of the lungs above -200 HU. Aerated lung lies between -950 and -500 HU (Gattinoni et al., Am J Respir Crit Care Med
2001;164:1701-11, has -100 HU as the border of no aeration); tumour and collapse of a lobe stay below this share."""

MAX_SOLID_IN_AIR = 0.1
"""Share of a solid organ below -200 HU: fat is not below -150 HU."""

TRACHEA_ML = (8.0, 120.0)
"""Trachea and main bronchi. Width 10 to 25 mm and depth 10 to 27 mm of adults' tracheae (Breatnach et al., AJR
1984;142:903-6), at a length of 10 to 13 cm, and as much again for the main bronchi."""

MIN_AIR_IN_TRACHEA = 0.4
"""Share of the trachea below -500 HU: its lumen holds air, while the label takes in the walls, and coarse voxels blur both."""

HEART_ML = (150.0, 1900.0)
"""Heart with its blood. Weight of 150 to 380 g in health (Molina and DiMaio, Am J Forensic Med Pathol 2012;33:362-7 and
2015;36:176-81) and the blood of four chambers; twice that where it is enlarged."""

AORTA_ML = (40.0, 900.0)
"""Thoracic aorta. Width 2 to 4 cm (Hager et al., J Thorac Cardiovasc Surg 2002;123:1060-6) at a length of 20 to 35 cm, less
where the scan ends, and more with an aneurysm."""

MIN_SPINE_IN_VIEW = 0.8
"""Share of the height of the lungs at which a vertebra is labelled: the spine runs behind all of them."""

SPINE_CM2 = (4.0, 40.0)
"""Cross-section of the labelled spine, the median of its slices. Thoracic vertebral bodies are 2.5 to 3.5 cm wide and 1.9 to
3.5 cm deep (Panjabi et al., Spine 1991;16:888-901); a label may hold the arches with their processes, or half of the body."""

MIN_LOBES_APART_MM = 10.0
"""Distance by which the centre of an upper lobe lies above that of the lower lobe of its side; some 40 to 80 mm in health."""

EDGE_MM = 4.5
"""What comes this near to an end of the scan may be cut there."""

RESTS_ON = {
    "lungs": STATIONS,
    "trachea": STATIONS,
    "lobes": tuple(name for name in STATIONS if name.startswith(("9", "11"))),
    "heart": ("5", "7", "8R", "8L", "9R", "9L"),
    "aorta": ("3aR", "3aL", "4L", "5", "6", "8L"),
    "spine": ("3pR", "3pL", "7", "8R", "8L", "9R", "9L"),
}
"""Stations of the IASLC map whose borders rest on an organ (``preop.anatomy.borders``)."""


@dataclass(frozen=True)
class Implausible:
    """A check that failed.

    Attributes
    ----------
    organ
        What is not believed: a key of ``RESTS_ON``.
    finding
        What was found and what is expected, in one sentence.
    """

    organ: str
    finding: str

    @property
    def stations(self) -> tuple[str, ...]:
        """Stations that cannot be assessed for it."""
        return RESTS_ON[self.organ]


@dataclass(frozen=True, eq=False)
class Chest:
    """What the checks look at.

    Attributes
    ----------
    thorax
        Labelled organs along the patient's axes.
    organs
        The same on the grid of the CT.
    hu, body
        The CT in HU, and the voxels of the body on it, both (z, y, x).
    """

    thorax: Thorax
    organs: Organs
    hu: NDArray[np.floating] | NDArray[np.integer]
    body: NDArray[np.bool_]

    def volume_ml(self, mask: Mask) -> float:
        """Volume of a mask of the thorax."""
        return float(mask.sum()) * self.thorax.labels.geometry.voxel_volume_mm3 / 1000

    def is_cut(self, mask: Mask) -> bool:
        """Whether a mask of the thorax reaches an end of the scan."""
        heights = self.thorax.z[self.thorax.slices_of(mask)]
        return bool(
            heights.size
            and (heights[0] <= self.thorax.ends_below + EDGE_MM or heights[-1] >= self.thorax.ends_above - EDGE_MM)
        )


def implausible(thorax: Thorax, organs: Organs, ct: Image, body: NDArray[np.bool_]) -> tuple[Implausible, ...]:
    """Run all checks.

    Parameters
    ----------
    thorax, organs
        Labelled organs along the patient's axes, and on the grid of the CT.
    ct
        In HU (z, y, x).
    body
        Voxels of the body (``preop.segmentation.body``) on the CT.
    """
    chest = Chest(thorax, organs, ct.voxels, body)
    found = (check(chest) for check in CHECKS)
    return tuple(each for failures in found for each in failures)


def lungs_have_a_volume_of_adults(chest: Chest) -> Sequence[Implausible]:
    """``LUNGS_L``; the lower end holds only where neither end of the lungs is cut."""
    litres = chest.volume_ml(chest.thorax.lungs) / 1000
    low, high = LUNGS_L
    if litres > high or (litres < low and not chest.is_cut(chest.thorax.lungs)):
        return [
            _failed("lungs", f"the lungs as labelled hold {litres:.1f} l; expected {low:g} to {high:g} l in adults")
        ]
    return []


def lungs_lie_inside_the_body(chest: Chest) -> Sequence[Implausible]:
    """``MAX_OUTSIDE_BODY``."""
    lungs = chest.organs.mask(*LUNGS)
    share = _share(lungs & ~chest.body, lungs)
    if share > MAX_OUTSIDE_BODY:
        return [_failed("lungs", f"{share:.0%} of what is labelled lung lies outside of the body")]
    return []


def lungs_hold_air(chest: Chest) -> Sequence[Implausible]:
    """``MAX_DENSE_LUNG``."""
    inside = chest.hu[chest.organs.mask(*LUNGS)]
    share = float(np.mean(inside > -200)) if inside.size else 0.0
    if share > MAX_DENSE_LUNG:
        return [
            _failed(
                "lungs", f"{share:.0%} of what is labelled lung holds no air; expected at most {MAX_DENSE_LUNG:.0%}"
            )
        ]
    return []


def both_lungs_are_of_similar_size(chest: Chest) -> Sequence[Implausible]:
    """``RIGHT_SHARE``."""
    right, left = chest.thorax.mask(*RIGHT_LOBES).sum(), chest.thorax.mask(*LEFT_LOBES).sum()
    if not right or not left:
        return []  # One lung alone may be all that is in view, or all that the patient has.
    share = float(right / (right + left))
    if not RIGHT_SHARE[0] <= share <= RIGHT_SHARE[1]:
        return [
            _failed(
                "lungs",
                f"the right lung as labelled has {share:.0%} of the volume of both; expected "
                f"{RIGHT_SHARE[0]:.0%} to {RIGHT_SHARE[1]:.0%}",
            )
        ]
    return []


def each_lung_lies_on_its_side(chest: Chest) -> Sequence[Implausible]:
    """``MAX_ON_WRONG_SIDE``; the midline is that of trachea and spine, else the middle between the centres of the lungs."""
    thorax = chest.thorax
    right, left = thorax.mask(*RIGHT_LOBES), thorax.mask(*LEFT_LOBES)
    if not right.any() or not left.any():
        return []
    midline = _midline(thorax, right, left)
    wrong = float((right[:, :, thorax.x > midline].sum() + left[:, :, thorax.x < midline].sum()) / (right | left).sum())
    if wrong > MAX_ON_WRONG_SIDE:
        return [_failed("lungs", f"{wrong:.0%} of the lungs as labelled lies on the wrong side of the midline")]
    return []


def upper_lobes_lie_above_lower_lobes(chest: Chest) -> Sequence[Implausible]:
    """``MIN_LOBES_APART_MM``."""
    failed = []
    for side in ("right", "left"):
        upper, lower = (chest.thorax.mask(f"lung_{part}_lobe_{side}") for part in ("upper", "lower"))
        if not upper.any() or not lower.any():
            continue
        apart = _height(chest.thorax, upper) - _height(chest.thorax, lower)
        if apart < MIN_LOBES_APART_MM:
            failed.append(
                _failed("lobes", f"the {side} upper lobe as labelled does not lie above the {side} lower lobe")
            )
    return failed


def trachea_lies_between_the_lungs(chest: Chest) -> Sequence[Implausible]:
    """``TRACHEA_ML``, its centre between those of the lungs, and ``MIN_AIR_IN_TRACHEA``."""
    thorax = chest.thorax
    trachea = thorax.mask("trachea")
    if not trachea.any():
        return [_failed("trachea", "no trachea was found")]
    volume, (low, high) = chest.volume_ml(trachea), TRACHEA_ML
    if not low <= volume <= high:
        return [_failed("trachea", f"the trachea as labelled holds {volume:.0f} ml; expected {low:g} to {high:g} ml")]
    right, left = thorax.mask(*RIGHT_LOBES), thorax.mask(*LEFT_LOBES)
    if right.any() and left.any() and not _across(thorax, right) < _across(thorax, trachea) < _across(thorax, left):
        return [_failed("trachea", "the trachea as labelled does not lie between the lungs")]
    air = float(np.mean(chest.hu[chest.organs.mask("trachea")] < -500))
    if air < MIN_AIR_IN_TRACHEA:
        return [
            _failed(
                "trachea", f"{air:.0%} of the trachea as labelled holds air; expected at least {MIN_AIR_IN_TRACHEA:.0%}"
            )
        ]
    return []


def heart_has_a_volume_of_adults(chest: Chest) -> Sequence[Implausible]:
    """``HEART_ML``, where the scan reaches the base of the lungs; no part of it lies in air."""
    heart = chest.thorax.mask("heart")
    low, high = HEART_ML
    volume = chest.volume_ml(heart)
    complete = not chest.is_cut(chest.thorax.lungs) and not chest.is_cut(heart)
    if volume > high or (complete and volume < low):
        return [_failed("heart", f"the heart as labelled holds {volume:.0f} ml; expected {low:g} to {high:g} ml")]
    return _in_air(chest, "heart", "heart")


def aorta_has_a_volume_of_adults(chest: Chest) -> Sequence[Implausible]:
    """``AORTA_ML``, where the scan shows the whole lungs; no part of it lies in air."""
    low, high = AORTA_ML
    volume = chest.volume_ml(chest.thorax.mask("aorta"))
    if volume > high or (not chest.is_cut(chest.thorax.lungs) and volume < low):
        return [_failed("aorta", f"the aorta as labelled holds {volume:.0f} ml; expected {low:g} to {high:g} ml")]
    return _in_air(chest, "aorta", "aorta")


def spine_runs_behind_the_lungs(chest: Chest) -> Sequence[Implausible]:
    """``MIN_SPINE_IN_VIEW`` and ``SPINE_CM2``; where several vertebrae are labelled, in their order from the neck down."""
    thorax = chest.thorax
    spine = thorax.mask(*VERTEBRAE)
    heights = thorax.slices_of(thorax.lungs)
    areas = spine[heights[0] : heights[-1] + 1].sum(axis=(1, 2)) * float(np.prod(thorax.labels.spacing_mm[1:])) / 100
    in_view = float(np.mean(areas > 0))
    if in_view < MIN_SPINE_IN_VIEW:
        return [
            _failed(
                "spine",
                f"the spine as labelled runs along {in_view:.0%} of the height of the lungs; expected at least "
                f"{MIN_SPINE_IN_VIEW:.0%}",
            )
        ]
    area, (low, high) = float(np.median(areas[areas > 0])), SPINE_CM2
    if not low <= area <= high:
        return [
            _failed(
                "spine",
                f"the spine as labelled has a cross-section of {area:.0f} cm²; expected {low:g} to {high:g} cm²",
            )
        ]
    levels = [_height(thorax, mask) for name in VERTEBRAE if (mask := thorax.mask(name)).any()]
    if any(above <= below for above, below in pairwise(levels)):
        return [_failed("spine", "the vertebrae as labelled are not in their order")]
    return _in_air(chest, "spine", *VERTEBRAE)


CHECKS: tuple[Callable[[Chest], Sequence[Implausible]], ...] = (
    lungs_have_a_volume_of_adults,
    lungs_lie_inside_the_body,
    lungs_hold_air,
    both_lungs_are_of_similar_size,
    each_lung_lies_on_its_side,
    upper_lobes_lie_above_lower_lobes,
    trachea_lies_between_the_lungs,
    heart_has_a_volume_of_adults,
    aorta_has_a_volume_of_adults,
    spine_runs_behind_the_lungs,
)


def _failed(organ: str, finding: str) -> Implausible:
    return Implausible(organ, f"{finding[0].upper()}{finding[1:]}.")


def _in_air(chest: Chest, organ: str, *names: str) -> Sequence[Implausible]:
    """``MAX_SOLID_IN_AIR`` of an organ of these labels."""
    mask = chest.organs.mask(*names)
    share = float(np.mean(chest.hu[mask] < -200)) if mask.any() else 0.0
    if share > MAX_SOLID_IN_AIR:
        return [_failed(organ, f"{share:.0%} of the {organ} as labelled lies in air")]
    return []


def _share(part: Mask, whole: Mask) -> float:
    return float(part.sum() / max(whole.sum(), 1))


def _height(thorax: Thorax, mask: Mask) -> float:
    return float(np.average(thorax.z, weights=mask.sum(axis=(1, 2))))


def _across(thorax: Thorax, mask: Mask) -> float:
    return float(np.average(thorax.x, weights=mask.sum(axis=(0, 1))))


def _midline(thorax: Thorax, right: Mask, left: Mask) -> float:
    middle = thorax.mask("trachea", *VERTEBRAE)
    if middle.any():
        return _across(thorax, middle)
    return (_across(thorax, right) + _across(thorax, left)) / 2
