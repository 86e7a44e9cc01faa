"""The lesions of a simulated patient before anything is drawn: which stations are involved, how nodes differ, what is known.

Everything about a node is drawn from densities that are stated here, so an observer who knows its variables can compute
the probability that it is malignant: the oracle for any algorithm that judges one node at a time and sees it only
through a scan. Which stations a lobe drains to follows common knowledge (upper lobes to 4 and 2 on the right, to 5 and 6
on the left, lower lobes to 7, 8 and 9; a part of N2 without N1: skip metastases); all figures are assumed. They are
chosen such that every category is frequent enough to be judged, not as frequent as in a clinic. Nothing learned from
them says anything about real patients.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from preop.staging import Edition, N, Side, Station, nodal_stage

Kind = Literal["primary", "node", "distant", "physiological"]
Lobe = Literal[
    "lung_upper_lobe_right",
    "lung_middle_lobe_right",
    "lung_lower_lobe_right",
    "lung_upper_lobe_left",
    "lung_lower_lobe_left",
]

LOBES: Mapping[Lobe, float] = {
    "lung_upper_lobe_right": 0.30,
    "lung_middle_lobe_right": 0.06,
    "lung_lower_lobe_right": 0.21,
    "lung_upper_lobe_left": 0.27,
    "lung_lower_lobe_left": 0.16,
}
CATEGORIES: Mapping[N, float] = {N.N0: 0.46, N.N1: 0.14, N.N2A: 0.14, N.N2B: 0.13, N.N3: 0.13}

# Stations that a spread of each kind reaches, by lobe: how often beside one another. R and L are put in by side.
N1_STATIONS: Mapping[str, float] = {"10": 0.38, "11": 0.36, "12": 0.2, "13": 0.06}
N2_STATIONS: Mapping[Lobe, Mapping[str, float]] = {
    "lung_upper_lobe_right": {"4R": 0.48, "2R": 0.22, "7": 0.14, "3aR": 0.1, "3pR": 0.06},
    "lung_middle_lobe_right": {"7": 0.4, "4R": 0.36, "2R": 0.12, "3aR": 0.12},
    "lung_lower_lobe_right": {"7": 0.46, "4R": 0.2, "8R": 0.16, "9R": 0.12, "2R": 0.06},
    "lung_upper_lobe_left": {"5": 0.36, "6": 0.22, "4L": 0.2, "7": 0.1, "2L": 0.07, "3aL": 0.05},
    "lung_lower_lobe_left": {"7": 0.42, "8L": 0.16, "9L": 0.13, "4L": 0.15, "5": 0.08, "6": 0.06},
}
CONTRALATERAL: Mapping[Side, Mapping[str, float]] = {
    Side.RIGHT: {"4L": 0.36, "10L": 0.26, "2L": 0.12, "5": 0.1, "6": 0.06, "11L": 0.1},
    Side.LEFT: {"4R": 0.44, "10R": 0.24, "2R": 0.18, "11R": 0.1, "3aR": 0.04},
}
BENIGN_STATIONS: Mapping[str, float] = {
    "4R": 0.17,
    "7": 0.16,
    "10R": 0.1,
    "10L": 0.1,
    "2R": 0.06,
    "4L": 0.07,
    "5": 0.07,
    "6": 0.05,
    "2L": 0.03,
    "11R": 0.05,
    "11L": 0.05,
    "8R": 0.01,
    "8L": 0.02,
    "3aR": 0.02,
    "3aL": 0.01,
    "1R": 0.015,
    "1L": 0.015,
}
SKIP = 0.3  # N2 without N1
WITH_N2 = 0.8  # N3 with N2
SUPRACLAVICULAR, ONLY_SUPRACLAVICULAR = 0.5, 0.45
SECOND_NODE = 0.25
BENIGN_NODES = 3.2  # mean of a Poisson distribution
MAX_BENIGN = 8
HILAR_REACTION = 0.07  # both hila, as in sarcoid-like reactions
HILAR_REACTION_STATIONS = ("10R", "10L", "11R", "11L")


@dataclass(frozen=True)
class Density:
    """What nodes of a kind are like: mean and standard deviation of logarithms, cut off at a range of the short axis.

    Attributes
    ----------
    share
        Share of the benign or malignant nodes.
    ln_short_axis_mm, ln_suv
        Mean and standard deviation of normal distributions.
    range_mm
        Smallest and largest short axis.
    """

    share: float
    ln_short_axis_mm: tuple[float, float]
    range_mm: tuple[float, float]
    ln_suv: tuple[float, float]

    def draw(self, rng: np.random.Generator, station: str) -> tuple[float, float]:
        """Draw short axis in mm and uptake of a node of a station."""
        size = NormalDist(*self.ln_short_axis_mm)
        low, high = (size.cdf(math.log(end)) for end in self._range_mm(station))
        short_axis_mm = math.exp(size.inv_cdf(rng.uniform(low, high)))
        return short_axis_mm, math.exp(rng.normal(*self.ln_suv))

    def likelihood(self, short_axis_mm: float, suv: float, station: str) -> float:
        """Density of these variables in a station."""
        low, high = self._range_mm(station)
        if not low <= short_axis_mm <= high:
            return 0.0
        size, uptake = NormalDist(*self.ln_short_axis_mm), NormalDist(*self.ln_suv)
        inside = size.cdf(math.log(high)) - size.cdf(math.log(low))
        return size.pdf(math.log(short_axis_mm)) / inside * uptake.pdf(math.log(suv))

    def _range_mm(self, station: str) -> tuple[float, float]:
        low, high = self.range_mm
        return low, min(high, LARGEST_MM.get(station, high))


# Reactive nodes are avid as small metastases are; granulomatous hila more so.
ORDINARY = Density(0.88, (math.log(6.0), 0.24), (4, 14), (math.log(1.5), 0.22))
REACTIVE = Density(0.12, (math.log(8.0), 0.25), (4, 16), (math.log(2.7), 0.2))
MALIGNANT = Density(1.0, (math.log(13.0), 0.34), (6, 25), (math.log(8.5), 0.42))
# In narrow places nodes stay smaller, benign or not.
LARGEST_MM = {
    "3aL": 16,
    "3pR": 12,
    "3pL": 12,
    "4L": 14,
    "5": 16,
    "8R": 16,
    "8L": 18,
    "9R": 14,
    "9L": 16,
    "2L": 16,
    "11R": 16,
    "11L": 16,
    "12R": 16,
    "12L": 14,
    "13R": 14,
    "13L": 14,
    "10R": 18,
}

PRIMARY_MM = (10.0, 60.0)
CENTRAL = 0.15
PRIMARY_LN_SUV = (math.log(9.0), 0.4)
DISTANT = 0.1
DISTANT_SITES = ("bone", "liver", "adrenal")
PHYSIOLOGICAL = {"thyroid": 0.06, "larynx": 0.1, "gastro-oesophageal": 0.14}

# How a reader stages without a biopsy: uptake that is seen, and stations confused with a neighbour's (assumed).
READER_ERROR = 0.4  # standard deviation of the logarithm of the uptake a reader sees
READER_SUV, READER_SIZE_MM = 2.6, 10.0
FAINT_SUV = 1.9
CONFUSED = 0.16
NEIGHBOURS = {
    "2R": "4R",
    "4R": "10R",
    "10R": "4R",
    "11R": "12R",
    "12R": "11R",
    "13R": "12R",
    "3aR": "4R",
    "3pR": "2R",
    "2L": "4L",
    "4L": "5",
    "5": "6",
    "6": "5",
    "10L": "11L",
    "11L": "10L",
    "12L": "11L",
    "13L": "12L",
    "3aL": "6",
    "3pL": "2L",
    "7": "10R",
    "8R": "7",
    "8L": "7",
    "9R": "8R",
    "9L": "8L",
    "1R": "2R",
    "1L": "2L",
}
SAMPLED_IPSILATERAL, SAMPLED_CONTRALATERAL = 0.85, 0.35


@dataclass(frozen=True)
class SimulatedLesion:
    """One lesion.

    Attributes
    ----------
    label
        Its value in the label map of lesions, from 1.
    kind
        What it is.
    station
        Station of a node ("4R"), None for other lesions.
    border_mm
        Distance of a node's centre from the station's border; not a number before it is placed, and for other lesions.
    short_axis_mm
        True shortest diameter.
    suv_max_true
        Uptake of its tissue, before the scanner blurs it.
    malignant
        Whether it is.
    malignancy_oracle
        Probability that it is, for an observer who knows its size, uptake, station and the lobe of the primary.
    site
        Lobe of a primary, organ of a distant or physiological lesion, station of a node.
    elongation
        Longest diameter as a multiple of the shortest.
    centre_mm
        Centre (x, y, z) in the scan's world; not numbers before it is placed.
    """

    label: int
    kind: Kind
    station: str | None
    border_mm: float
    short_axis_mm: float
    suv_max_true: float
    malignant: bool
    malignancy_oracle: float
    site: str
    elongation: float
    centre_mm: tuple[float, float, float] = (math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Disease:
    """A patient's cancer before any image.

    Attributes
    ----------
    primary_side, lobe
        Where the primary is.
    central
        Whether it lies near the hilum.
    lesions
        All lesions, the primary first.
    n_tnm9, n_tnm8
        Category by pathology.
    clinical_n
        Category (9th edition) as a reader of the PET/CT would say.
    sampled
        Stations that pathology has seen; all involved ones are among them.
    """

    primary_side: Side
    lobe: Lobe
    central: bool
    lesions: tuple[SimulatedLesion, ...]
    n_tnm9: N
    n_tnm8: N
    clinical_n: N
    sampled: tuple[str, ...]

    @property
    def involved(self) -> tuple[str, ...]:
        """Stations with a malignant node, each once, in the order of the map."""
        return involved_stations(self.lesions)


def draw_disease(rng: np.random.Generator) -> Disease:
    """Draw a patient's primary, nodes, other lesions, and what reader and pathologist report."""
    lobe: Lobe = _choose(rng, LOBES)
    side = Side.RIGHT if lobe.endswith("right") else Side.LEFT
    drawn = [_primary(rng, lobe)]
    stations = _involved(rng, _choose(rng, CATEGORIES), lobe, side)
    for station in stations:
        number = 2 if rng.random() < SECOND_NODE else 1
        drawn += [_node(rng, station, MALIGNANT, lobe) for _ in range(number)]
    drawn += _benign_nodes(rng, lobe)
    drawn += _other_lesions(rng)
    lesions = tuple(_labelled(lesion, label) for label, lesion in enumerate(drawn, 1))
    involved = [Station.parse(name) for name in involved_stations(lesions)]
    return Disease(
        primary_side=side,
        lobe=lobe,
        central=bool(rng.random() < CENTRAL),
        lesions=lesions,
        n_tnm9=nodal_stage(involved, side).category,
        n_tnm8=nodal_stage(involved, side, Edition.EIGHTH).category,
        clinical_n=_read(rng, lesions, side),
        sampled=_sampled(rng, [str(station) for station in involved], side),
    )


def involved_stations(lesions: tuple[SimulatedLesion, ...]) -> tuple[str, ...]:
    """Stations with a malignant node, each once, in the order of the map."""
    found = {lesion.station for lesion in lesions if lesion.malignant and lesion.station}
    return tuple(str(station) for station in Station if str(station) in found)


def oracle(short_axis_mm: float, suv: float, station: str, lobe: Lobe) -> float:
    """Probability that a node is malignant, by Bayes' rule, from its own variables and the lobe of the primary."""
    ordinary, reactive, malignant = (
        kind.likelihood(short_axis_mm, suv, station) for kind in (ORDINARY, REACTIVE, MALIGNANT)
    )
    for_it = expected_metastases(lobe).get(station, 0.0) * malignant
    against = BENIGN_NODES * BENIGN_STATIONS.get(station, 0.0) * (ORDINARY.share * ordinary + REACTIVE.share * reactive)
    against += HILAR_REACTION * reactive * (station in HILAR_REACTION_STATIONS)
    return for_it / (for_it + against)


@cache
def expected_metastases(lobe: Lobe) -> Mapping[str, float]:
    """Expected number of malignant nodes in each station."""
    side = Side.RIGHT if lobe.endswith("right") else Side.LEFT
    n1 = {f"{number}{_letter(side)}": share for number, share in N1_STATIONS.items()}
    n2, n3 = N2_STATIONS[lobe], CONTRALATERAL[side]
    with_n1 = CATEGORIES[N.N1] + (1 - SKIP) * (CATEGORIES[N.N2A] + CATEGORIES[N.N2B] + CATEGORIES[N.N3])
    counts: dict[str, float] = {}

    def add(weights: Mapping[str, float], number: int, chance: float) -> None:
        for name, inclusion in _inclusion(weights, number).items():
            counts[name] = counts.get(name, 0.0) + chance * inclusion * (1 + SECOND_NODE)

    for number in (1, 2):
        add(n1, number, with_n1 / 2)
    add(n2, 1, CATEGORIES[N.N2A])
    for number in (2, 3):
        add(n2, number, (CATEGORIES[N.N2B] + CATEGORIES[N.N3] * WITH_N2) / 2)
    alone = CATEGORIES[N.N3] * SUPRACLAVICULAR
    contralateral = CATEGORIES[N.N3] - alone * ONLY_SUPRACLAVICULAR
    for number in (1, 2):
        add(n3, number, contralateral / 2)
    add({f"1{_letter(side)}": 0.75, f"1{_letter(side.other)}": 0.25}, 1, alone)
    return counts


def _involved(rng: np.random.Generator, category: N, lobe: Lobe, side: Side) -> list[str]:
    """Draw the stations of a spread of a category."""
    stations: list[str] = []
    letter = _letter(side)
    if category is N.N0:
        return stations
    if category is N.N1 or rng.random() >= SKIP:
        stations += [f"{number}{letter}" for number in _choose_several(rng, N1_STATIONS, int(rng.integers(1, 3)))]
    if category is N.N2A:
        stations += _choose_several(rng, N2_STATIONS[lobe], 1)
    if category is N.N2B or (category is N.N3 and rng.random() < WITH_N2):
        stations += _choose_several(rng, N2_STATIONS[lobe], int(rng.integers(2, 4)))
    if category is N.N3:
        supraclavicular = rng.random() < SUPRACLAVICULAR
        if supraclavicular:
            stations.append(f"1{letter if rng.random() < 0.75 else _letter(side.other)}")
        if not (supraclavicular and rng.random() < ONLY_SUPRACLAVICULAR):
            stations += _choose_several(rng, CONTRALATERAL[side], int(rng.integers(1, 3)))
    return list(dict.fromkeys(stations))


def _primary(rng: np.random.Generator, lobe: Lobe) -> SimulatedLesion:
    low, high = PRIMARY_MM
    diameter = low * (high / low) ** rng.beta(2, 2)
    return _lesion(
        "primary", diameter, math.exp(rng.normal(*PRIMARY_LN_SUV)), site=lobe, elongation=rng.uniform(1, 1.4)
    )


def _node(rng: np.random.Generator, station: str, density: Density, lobe: Lobe) -> SimulatedLesion:
    short_axis_mm, suv = density.draw(rng, station)
    return SimulatedLesion(
        label=0,
        kind="node",
        station=station,
        border_mm=math.nan,
        short_axis_mm=short_axis_mm,
        suv_max_true=suv,
        malignant=density is MALIGNANT,
        malignancy_oracle=oracle(short_axis_mm, suv, station, lobe),
        site=station,
        elongation=float(1 + 0.45 * math.exp(rng.normal(0, 0.45))),
    )


def _benign_nodes(rng: np.random.Generator, lobe: Lobe) -> list[SimulatedLesion]:
    count = min(int(rng.poisson(BENIGN_NODES)), MAX_BENIGN)
    nodes = [
        _node(rng, _choose(rng, BENIGN_STATIONS), REACTIVE if rng.random() < REACTIVE.share else ORDINARY, lobe)
        for _ in range(count)
    ]
    if rng.random() < HILAR_REACTION:
        nodes += [_node(rng, station, REACTIVE, lobe) for station in HILAR_REACTION_STATIONS]
    return nodes


def _other_lesions(rng: np.random.Generator) -> list[SimulatedLesion]:
    """Draw distant metastases and foci of physiological uptake."""
    lesions = []
    if rng.random() < DISTANT:
        for _ in range(int(rng.integers(1, 3))):
            site = DISTANT_SITES[int(rng.integers(len(DISTANT_SITES)))]
            lesions.append(_lesion("distant", rng.uniform(10, 22), rng.uniform(5, 11), site=site))
    for site, chance in PHYSIOLOGICAL.items():
        if rng.random() < chance:
            lesions.append(_lesion("physiological", rng.uniform(8, 14), rng.uniform(3, 6), site=site, malignant=False))
    return lesions


def _lesion(
    kind: Kind, short_axis_mm: float, suv: float, *, site: str, elongation: float = 1.15, malignant: bool = True
) -> SimulatedLesion:
    return SimulatedLesion(
        0, kind, None, math.nan, float(short_axis_mm), float(suv), malignant, float(malignant), site, float(elongation)
    )


def _labelled(lesion: SimulatedLesion, label: int) -> SimulatedLesion:
    return replace(lesion, label=label)


def _read(rng: np.random.Generator, lesions: tuple[SimulatedLesion, ...], side: Side) -> N:
    """Stage as a reader does who sees blurred uptake above the mediastinum, and size."""
    positive_stations = []
    for lesion in lesions:
        if lesion.station is None:
            continue
        recovered = 1 - math.exp(-lesion.short_axis_mm / 8)  # a rough stand-in for the scanner's blur
        seen = lesion.suv_max_true * recovered * math.exp(rng.normal(0, READER_ERROR))
        positive = seen > READER_SUV or (seen > FAINT_SUV and lesion.short_axis_mm > READER_SIZE_MM)
        station = NEIGHBOURS[lesion.station] if rng.random() < CONFUSED else lesion.station
        if positive:
            positive_stations.append(Station.parse(station))
    return nodal_stage(positive_stations, side).category


def _sampled(rng: np.random.Generator, involved: list[str], side: Side) -> tuple[str, ...]:
    """Draw which stations pathology has seen: the usual ones of the side, some of the other, and all involved."""
    own, other = _letter(side), _letter(side.other)
    usual = [f"2{own}", f"4{own}", "7", f"8{own}", f"10{own}", f"11{own}", *(["5", "6"] if side is Side.LEFT else [])]
    sampled = {name for name in usual if rng.random() < SAMPLED_IPSILATERAL}
    sampled |= {name for name in (f"4{other}", f"10{other}") if rng.random() < SAMPLED_CONTRALATERAL}
    sampled |= set(involved)
    return tuple(str(station) for station in Station if str(station) in sampled)


def _letter(side: Side) -> str:
    return "R" if side is Side.RIGHT else "L"


def _choose(rng: np.random.Generator, shares: Mapping[Any, float]) -> Any:
    names, weights = list(shares), np.array(list(shares.values()))
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def _choose_several(rng: np.random.Generator, shares: Mapping[str, float], number: int) -> list[str]:
    """Draw different names one after the other, each by its share among those that are left."""
    left, chosen = dict(shares), []
    for _ in range(min(number, len(left))):
        chosen.append(_choose(rng, left))
        del left[chosen[-1]]
    return chosen


def _inclusion(shares: Mapping[str, float], number: int) -> dict[str, float]:
    """Chance of each name to be among those that ``_choose_several`` draws."""
    total = sum(shares.values())
    chances = {name: share / total for name, share in shares.items()}
    if number <= 1:
        return chances
    result = dict.fromkeys(shares, 0.0)
    for first, chance in chances.items():
        result[first] += chance
        rest = {name: share for name, share in shares.items() if name != first}
        for name, inclusion in _inclusion(rest, number - 1).items():
            result[name] += chance * inclusion
    return result
