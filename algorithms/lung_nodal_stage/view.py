"""What of a chest could be assessed: which stations, and why not the others; and what may be there without being seen.

What could not be assessed never counts as negative. Three things are unknown of a scan: stations that are not in view, not
placed, beyond the PET, or rest on organs that cannot be right; malignant nodes that the lesion network misses; and how rare
an event the validation of the model can tell from none. All three are part of the probability of every N.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.anatomy import STATIONS, StationMap
from preop.anatomy import Organs as LabelledOrgans
from preop.anatomy.organs import LUNGS
from preop.anatomy.plausibility import implausible
from preop.imaging import Image
from preop.segmentation import Organs
from preop.segmentation.body import find_body
from preop.staging import N, NodalProbabilities, NodeShares, Side, Station, category_of_station

BEYOND_PET = 0.1
"""Share of a station outside of the PET from which it was not assessed."""

UNCOVERED = 0.02
"""Share of the lungs outside of the PET from which it is mentioned."""

MEDIASTINAL = tuple(name for name in STATIONS if 2 <= Station.parse(name).number <= 9)
MOST = 0.5
"""Share of all stations, or of the mediastinal ones (2 to 9), without an assessment, from above which no stage follows."""

PREVENTING = ("lungs", "trachea")
"""Organs without which no station is where the map says."""

NOT_PLACED = "not in view or could not be placed"


@dataclass(frozen=True)
class View:
    """What could be assessed.

    Attributes
    ----------
    not_assessed
        Reason by station.
    prevents
        Reasons why no stage can be given, in sentences.
    limits
        Reasons why a stage holds with reservations, in sentences.
    """

    not_assessed: Mapping[Station, str] = field(default_factory=dict)
    prevents: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unseen:
    """What may be there without being seen, for the probability of every N.

    Attributes
    ----------
    missed_per_patient
        Expected number of malignant nodes that are not drawn; 0 where a reader draws the lesions.
    categories
        Share of N1, N2 and N3 among all patients before the scan, from the validation of the model.
    least
        Probability nearer to 0 than which none is given.
    """

    missed_per_patient: float = 0.0
    categories: Mapping[N, float] = field(default_factory=dict)
    least: float = 0.0

    def nodes(self, side: Side | None, not_assessed: Mapping[Station, str]) -> list[NodeShares]:
        """Give one possible node for each station in which something may be unseen.

        In a station that was not assessed, as often as before the scan; in the others, as often as nodes are missed. Both
        are spread over the stations of a category evenly: where they lie is not known.
        """
        before = self._before(side)
        total = sum(before.values())
        nodes = []
        for station, expected in before.items():
            rate = expected if station in not_assessed else self.missed_per_patient * expected / total
            if rate > 0:
                nodes.append(NodeShares(-math.expm1(-rate), {station: 1.0}))
        return nodes

    def supported(self, probabilities: NodalProbabilities) -> NodalProbabilities:
        """Keep every probability as far from 0 and 1 as the validation supports; they still sum to 1.

        NX without a probability stays so: it is no stage of the patient.
        """
        possible = [category for category, p in probabilities.of.items() if category is not N.NX or p > 0]
        shrunk = 1 - self.least * len(possible)
        return NodalProbabilities(
            {c: self.least + shrunk * p if c in possible else p for c, p in probabilities.of.items()},
            probabilities.edition,
        )

    def _before(self, side: Side | None) -> dict[Station, float]:
        """Expected number of involved stations before the scan, by station; of both sides where that is not known."""
        sides = (Side.RIGHT, Side.LEFT) if side is None else (side,)
        before = dict.fromkeys(map(Station.parse, STATIONS), 0.0)
        for each in sides:
            meanings = {station: category_of_station(station, each) for station in before}
            for station, category in meanings.items():
                stations = sum(other is category for other in meanings.values())
                before[station] += self.categories.get(category, 0.0) / stations / len(sides)
        return {station: expected for station, expected in before.items() if expected > 0}


def view_of(stations: StationMap, organs: Organs, ct: Image, pet: Image) -> View:
    """Find what of a chest could be assessed.

    Parameters
    ----------
    stations, organs
        The map, and the labelled organs on the grid of the CT.
    ct, pet
        In HU and SUV, each on its own grid.
    """
    failed = implausible(stations.thorax, LabelledOrgans(organs.labels, organs.values), ct, find_body(ct).mask)
    reasons: dict[str, str] = {}
    for name in STATIONS:
        places = np.argwhere(stations.mask(name))
        if not len(places):
            reasons[name] = NOT_PLACED
        elif _share_beyond(pet, stations.labels.geometry.world_mm(places)) > BEYOND_PET:
            reasons[name] = "beyond the PET"
    unplaced = list(reasons)
    for each in failed:
        for name in each.stations:
            reasons.setdefault(name, f"the {each.organ} cannot be right")
    mirrored, on_its_head = _orientation_of(organs)
    prevents = [f"{each.finding} No station can be placed by them." for each in failed if each.organ in PREVENTING]
    for group, words in ((STATIONS, "stations"), (MEDIASTINAL, "mediastinal stations")):
        missing = sum(name in reasons for name in group)
        if missing > MOST * len(group) and not prevents:
            prevents.append(f"{missing} of {len(group)} {words} could not be assessed.")
    limits = [
        f"{each.finding} Stations {', '.join(each.stations)} were not assessed."
        for each in failed
        if each.organ not in PREVENTING
    ]
    for reason in dict.fromkeys(reasons[name] for name in unplaced):
        alike = [name for name in unplaced if reasons[name] == reason]
        limits.append(
            f"Station{'s' if len(alike) > 1 else ''} {', '.join(alike)} {'are' if len(alike) > 1 else 'is'} {reason}."
        )
    prevents += on_its_head
    limits += mirrored
    beyond = share_of_lungs_beyond(pet, ct, organs)
    if beyond > UNCOVERED:
        limits.append(f"{beyond:.0%} of the lungs lie beyond the PET.")
    return View({Station.parse(name): reason for name, reason in reasons.items()}, tuple(prevents), tuple(limits))


def limited_by(reasons: Sequence[str], view: View) -> View:
    """Put further reasons for reservations before those of a view."""
    return replace(view, limits=(*reasons, *view.limits))


def share_of_lungs_beyond(pet: Image, ct: Image, organs: Organs) -> float:
    """Share of the lungs that the PET does not reach."""
    places = np.argwhere(organs.mask(*LUNGS)[::4, ::4, ::4]) * 4
    return _share_beyond(pet, ct.geometry.world_mm(places)) if len(places) else 0.0


def _orientation_of(organs: Organs) -> tuple[list[str], list[str]]:
    """Doubt a header by which the liver lies where it does not: on the left, and above the lungs."""
    liver, lungs = (_centre_mm(organs, names) for names in (("liver",), LUNGS))
    if liver is None or lungs is None:
        return [], []
    mirrored, on_its_head = [], []
    if liver[0] > lungs[0]:
        mirrored.append(
            "The liver lies on the left: the scan is mirrored, or the organs are (situs inversus); if it is mirrored, "
            "right and left are exchanged in all that is said here."
        )
    if liver[2] > lungs[2]:
        on_its_head.append(
            "The liver lies above the lungs: the scan stands on its head; correct the orientation in its header."
        )
    return mirrored, on_its_head


def _centre_mm(organs: Organs, names: Sequence[str]) -> NDArray[np.float64] | None:
    places = np.argwhere(organs.mask(*names)[::4, ::4, ::4]) * 4
    return organs.labels.geometry.world_mm(places).mean(axis=0) if len(places) else None


def _share_beyond(pet: Image, points_mm: NDArray[np.floating[Any]]) -> float:
    index = pet.geometry.index_zyx(points_mm)
    inside = ((index >= -0.5) & (index <= np.array(pet.shape) - 0.5)).all(axis=1)
    return 1 - float(inside.mean())
