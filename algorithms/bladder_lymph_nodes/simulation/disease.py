"""The lymph nodes of a simulated patient before anything is drawn: where they lie, which are positive, how they differ.

Everything about a node is drawn from densities that are stated here, so an observer who knows a node's variables can
compute the exact probability that it is positive: the oracle for any algorithm, which sees them only through a scan.

How often nodes are positive follows one series of 118 patients, 7 % of the nodes (here 6 %), and the study this
algorithm is made for, of about 250 patients with a mean of 44 segmented nodes. That benign nodes are mostly below 8 mm
in short axis, and that roundness, a lost fatty hilum, necrosis and infiltrated fat speak for metastasis, is common
knowledge; the densities themselves are assumed, such that no variable decides by itself: a limit of 10 mm has a
sensitivity of .28 and a specificity of .89 (in the clinic .40 and .92 over 35 studies). Nothing learned from them says
anything about real patients.

Over 3,000 patients an observer who knows all variables has a mean AUC of .96 between the nodes of a patient who has
both kinds, and of .94 for pN+; with every node judged by itself and all combined as independent, .94 for pN+.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Side = Literal["left", "right"]
Station = Literal["obturator", "external iliac", "internal iliac", "common iliac", "presacral"]

NODES = (44, 10)  # mean, standard deviation
NODES_RANGE = (15, 85)
# Share of the nodes, and how often one is positive beside the average: the obturator and external iliac nodes are the
# first that bladder cancer reaches (assumed figures).
STATIONS: dict[Station, tuple[float, float]] = {
    "obturator": (0.24, 1.4),
    "external iliac": (0.30, 1.1),
    "internal iliac": (0.20, 1.0),
    "common iliac": (0.18, 0.6),
    "presacral": (0.08, 0.5),
}
SIDE_OF_TUMOUR, OTHER_SIDE = 1.5, 0.45  # how often a node is positive beside the average of both sides

# Chance that a cancer has reached the nodes, and how large a part of them then, in an average place: few in most
# patients, many in some, which makes the count overdispersed.
SPREAD = 0.46
BURDENS = ((0.08, 0.35), (0.14, 0.40), (0.24, 0.25))  # part of the nodes, chance
LARGEST_PART = 0.9

# What is removed: the nodes of a template, each with the same chance whether it is positive or not. The templates are those
# of the guidelines (limited: obturator and external iliac; standard: with the internal iliac; extended: with the common
# iliac and presacral nodes), with their share of the patients; shares and chances are assumed.
Template = Literal["limited", "standard", "extended"]
TEMPLATES: dict[Template, tuple[float, tuple[Station, ...]]] = {
    "limited": (0.15, ("obturator", "external iliac")),
    "standard": (0.50, ("obturator", "external iliac", "internal iliac")),
    "extended": (0.35, ("obturator", "external iliac", "internal iliac", "common iliac", "presacral")),
}
ONE_SIDE = 0.05  # chance that only the side of the tumour is dissected
REMOVED = 0.85  # of the nodes in the template
MIDLINE: tuple[Station, ...] = ("presacral",)  # reported without a side

# The nodes that the pathologist counts and those on CT are not the same: a few metastases are missed in a removed node, some
# lie in removed nodes that nobody segmented, and so do some benign ones (assumed).
FOUND_AT_PATHOLOGY = 0.97
POSITIVE_ELSEWHERE = 0.05  # mean of a Poisson distribution
BENIGN_ELSEWHERE = 3.0  # likewise

SHORT_AXIS_RANGE_MM = (2.0, 25.0)


@dataclass(frozen=True)
class Kind:
    """One kind of node; all its variables are independent.

    Attributes
    ----------
    share
        Its share of the benign or of the positive nodes.
    ln_short_axis_mm, ln_excess_length, enhancement_hu, ln_heterogeneity_hu
        Mean and standard deviation of normal distributions. The length of a node is ``1 + excess`` times its short
        axis; the short axis is cut off at ``SHORT_AXIS_RANGE_MM``.
    hilum, necrosis, stranding
        Chance of a fatty hilum, of a necrosis, and of infiltrated fat around the node.
    """

    share: float
    ln_short_axis_mm: tuple[float, float]
    ln_excess_length: tuple[float, float]
    enhancement_hu: tuple[float, float]
    ln_heterogeneity_hu: tuple[float, float]
    hilum: float
    necrosis: float
    stranding: float


# Reactive nodes are large, bright and uneven as metastases are, but keep shape and hilum. Their part differs between
# patients (an infection, an operation on the bladder): a beta distribution.
REACTIVE_PART = (0.8, 8.0)
BENIGN = Kind(
    1,
    (math.log(4.6), 0.26),
    (math.log(0.55), 0.45),
    (50, 10),
    (math.log(5.0), 0.35),
    hilum=0.40,
    necrosis=0.01,
    stranding=0.10,
)
REACTIVE = Kind(
    1,
    (math.log(6.3), 0.22),
    (math.log(0.50), 0.45),
    (58, 12),
    (math.log(5.5), 0.35),
    hilum=0.40,
    necrosis=0.03,
    stranding=0.15,
)
POSITIVE = (
    Kind(
        0.9,
        (math.log(5.7), 0.30),
        (math.log(0.34), 0.48),
        (66, 12),
        (math.log(6.5), 0.35),
        hilum=0.10,
        necrosis=0.05,
        stranding=0.55,
    ),
    Kind(
        0.1,
        (math.log(7.0), 0.28),
        (math.log(0.32), 0.50),
        (66, 12),
        (math.log(6.5), 0.35),
        hilum=0.05,
        necrosis=1.0,
        stranding=0.60,
    ),
)
# The same for benign and positive nodes that have one, as part of the volume; and how much of the fat in a shell around
# a node is infiltrated.
HILAR_PART = (0.10, 0.30)
NECROTIC_PART = (0.10, 0.45)
STRANDING = (0.30, 0.70)


@dataclass(frozen=True, eq=False)
class Nodes:
    """The nodes of one patient; arrays (n,).

    Attributes
    ----------
    station, side
        Where they lie.
    positive
        Which are metastases.
    short_axis_mm
        Shortest diameter.
    elongation
        Longest diameter as a multiple of that.
    enhancement_hu
        What contrast in the portal venous phase adds to the density of their tissue.
    heterogeneity_hu
        Standard deviation of their texture.
    hilar_part, necrotic_part
        Parts of the volume that are fat and necrosis; 0 where there is none.
    stranding
        Part of the fat in a shell around it that is infiltrated; 0 where none is.
    reactive_part
        Which part of the patient's benign nodes is reactive, on average.
    """

    station: NDArray[np.str_]
    side: NDArray[np.str_]
    positive: NDArray[np.bool_]
    short_axis_mm: Floats
    elongation: Floats
    enhancement_hu: Floats
    heterogeneity_hu: Floats
    hilar_part: Floats
    necrotic_part: Floats
    stranding: Floats
    reactive_part: float

    def __len__(self) -> int:
        return len(self.positive)


@dataclass(frozen=True)
class Field:
    """A part of the template, as a report names it.

    Attributes
    ----------
    side
        left or right; None where both sides are reported as one.
    station
        Which nodes.
    removed, positive
        How many nodes the pathologist found in it, and how many of them with a metastasis.
    """

    side: Side | None
    station: Station
    removed: int
    positive: int


@dataclass(frozen=True)
class Dissection:
    """What the surgeon removes, decided before anything is known of the nodes.

    Attributes
    ----------
    template
        How far it extends.
    sides
        Of the patient.
    """

    template: Template
    sides: tuple[Side, ...]

    @property
    def fields(self) -> tuple[tuple[Side | None, Station], ...]:
        """Side and station of each field."""
        stations = TEMPLATES[self.template][1]
        sided = [(side, station) for station in stations if station not in MIDLINE for side in self.sides]
        return (*sided, *((None, station) for station in stations if station in MIDLINE))

    def holds(self, nodes: Nodes) -> NDArray[np.bool_]:
        """Tell which nodes lie in it (n,)."""
        inside = [_in_field(nodes, *field) & np.isin(nodes.side, self.sides) for field in self.fields]
        return np.asarray(np.any(inside, axis=0))


@dataclass(frozen=True, eq=False)
class Oracle:
    """What an observer knows who is told every variable of every node, the side of the tumour and the dissection.

    Attributes
    ----------
    node
        Probability that each node is positive (n,).
    patient
        Probability that the pathologist finds one positive node or more.
    patient_by_count
        The same if each node's probability is reckoned by itself, at the average part of positive nodes, and the
        nodes are combined as independent: what a model can know that sees one node at a time.

    Both are of the report: a metastasis that is not removed is not counted.
    """

    node: Floats
    patient: float
    patient_by_count: float


def draw_nodes(rng: np.random.Generator, tumour_side: Side) -> Nodes:
    """Draw the nodes of one patient."""
    count = int(np.clip(round(rng.normal(*NODES)), *NODES_RANGE))
    shares = [share for share, _ in STATIONS.values()]
    station = rng.choice(list(STATIONS), size=count, p=shares)
    side = rng.choice(["left", "right"], size=count)
    levels, chances = _burdens()
    part = rng.choice(levels, p=chances)
    positive = rng.random(count) < np.minimum(part * _proneness(station, side, tumour_side), LARGEST_PART)
    reactive_part = float(rng.beta(*REACTIVE_PART))
    return Nodes(station, side, positive, **_draw_variables(rng, positive, reactive_part), reactive_part=reactive_part)


def draw_dissection(rng: np.random.Generator, tumour_side: Side) -> Dissection:
    """Draw what is removed, blind to the state of any node."""
    template = rng.choice([*TEMPLATES], p=[share for share, _ in TEMPLATES.values()])
    return Dissection(template, (tumour_side,) if rng.random() < ONE_SIDE else ("left", "right"))


def oracle(nodes: Nodes, tumour_side: Side, dissection: Dissection) -> Oracle:
    """Compute the exact probabilities of one patient by Bayes' rule, with the densities of this module.

    Given the part of the nodes that the cancer has reached, nodes are independent; the part takes few values, so the
    sum over them is exact.
    """
    levels, chances = _burdens()
    proneness = _proneness(nodes.station, nodes.side, tumour_side)
    evidence = np.exp(log_likelihood_ratio(nodes))
    prior = np.minimum(levels[:, None] * proneness, LARGEST_PART)
    node_given_level = prior * evidence / (1 - prior + prior * evidence)
    log_weight = np.log(chances) + np.log(1 - prior + prior * evidence).sum(axis=1)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    average = (chances @ np.minimum(levels[:, None] * proneness, LARGEST_PART)) * evidence
    alone = average / (1 - chances @ prior + average)
    counted = FOUND_AT_PATHOLOGY * REMOVED * dissection.holds(nodes)
    return Oracle(
        node=weight @ node_given_level,
        patient=float(weight @ _found(node_given_level * counted)),
        patient_by_count=float(_found(alone * counted)),
    )


def log_likelihood_ratio(nodes: Nodes) -> Floats:
    """Log of how much likelier each node's variables are in a positive than in a benign one (n,)."""
    return _log_density(nodes, POSITIVE) - _log_density(nodes, _benign(nodes.reactive_part))


def draw_pathology(rng: np.random.Generator, nodes: Nodes, dissection: Dissection) -> tuple[Field, ...]:
    """Draw what the pathologist found in each field of the dissection."""
    removed = dissection.holds(nodes) & (rng.random(len(nodes)) < REMOVED)
    positive = removed & nodes.positive & (rng.random(len(nodes)) < FOUND_AT_PATHOLOGY)
    places = dissection.fields
    also_positive, also_benign = (
        np.bincount(rng.integers(len(places), size=rng.poisson(mean)), minlength=len(places))
        for mean in (POSITIVE_ELSEWHERE, BENIGN_ELSEWHERE)
    )
    return tuple(
        Field(
            side,
            station,
            removed=int((removed & here).sum() + also_positive[i] + also_benign[i]),
            positive=int((positive & here).sum() + also_positive[i]),
        )
        for i, (side, station) in enumerate(places)
        for here in [_in_field(nodes, side, station)]
    )


def _in_field(nodes: Nodes, side: Side | None, station: Station) -> NDArray[np.bool_]:
    """Tell which nodes lie in a field (n,)."""
    return np.asarray((nodes.station == station) & ((nodes.side == side) | (side is None)))


def _burdens() -> tuple[Floats, Floats]:
    """Parts of the nodes that may be positive, none among them, and their chances."""
    levels = [0.0, *(part for part, _ in BURDENS)]
    chances = [1 - SPREAD, *(SPREAD * chance for _, chance in BURDENS)]
    return np.array(levels), np.array(chances)


def _proneness(station: NDArray[np.str_], side: NDArray[np.str_], tumour_side: Side) -> Floats:
    """How much likelier than the average place each node's is to be reached (n,)."""
    by_station = np.array([STATIONS[name][1] for name in station.tolist()])
    return by_station * np.where(side == tumour_side, SIDE_OF_TUMOUR, OTHER_SIDE)


def _found(counted: Floats) -> Floats:
    """Chance that one positive node or more is counted, of independent nodes with these chances (..., n)."""
    return np.asarray(1 - math.exp(-POSITIVE_ELSEWHERE) * np.prod(1 - counted, axis=-1))


def _benign(reactive_part: float) -> tuple[Kind, Kind]:
    return replace(BENIGN, share=1 - reactive_part), replace(REACTIVE, share=reactive_part)


def _draw_variables(rng: np.random.Generator, positive: NDArray[np.bool_], reactive_part: float) -> dict[str, Any]:
    """Draw what the nodes look like (n,), given which are positive."""
    n = len(positive)
    pairs = _benign(reactive_part), POSITIVE
    kinds = (*pairs[0], *pairs[1])
    benign, metastatic = (rng.choice(2, size=n, p=[kind.share for kind in pair]) for pair in pairs)
    chosen = [kinds[i] for i in np.where(positive, 2 + metastatic, benign).tolist()]

    def normal(name: str) -> Floats:
        mean, deviation = np.array([getattr(kind, name) for kind in chosen]).T
        return np.asarray(rng.normal(mean, deviation))

    low, high = np.log(SHORT_AXIS_RANGE_MM)
    ln_short_axis = normal("ln_short_axis_mm")
    while (outside := (ln_short_axis < low) | (ln_short_axis > high)).any():
        ln_short_axis = np.where(outside, normal("ln_short_axis_mm"), ln_short_axis)
    hilum = rng.random(n) < np.array([kind.hilum for kind in chosen])
    necrosis = rng.random(n) < np.array([kind.necrosis for kind in chosen])
    stranding = rng.random(n) < np.array([kind.stranding for kind in chosen])
    return {
        "short_axis_mm": np.exp(ln_short_axis),
        "elongation": 1 + np.exp(normal("ln_excess_length")),
        "enhancement_hu": normal("enhancement_hu"),
        "heterogeneity_hu": np.exp(normal("ln_heterogeneity_hu")),
        "hilar_part": np.where(hilum, rng.uniform(*HILAR_PART, n), 0.0),
        "necrotic_part": np.where(necrosis, rng.uniform(*NECROTIC_PART, n), 0.0),
        "stranding": np.where(stranding, rng.uniform(*STRANDING, n), 0.0),
    }


def _log_density(nodes: Nodes, kinds: tuple[Kind, ...]) -> Floats:
    """Log density of the nodes' variables, up to a term that is the same for all kinds (n,)."""
    values = {
        "ln_short_axis_mm": np.log(nodes.short_axis_mm),
        "ln_excess_length": np.log(nodes.elongation - 1),
        "enhancement_hu": nodes.enhancement_hu,
        "ln_heterogeneity_hu": np.log(nodes.heterogeneity_hu),
    }
    low, high = np.log(SHORT_AXIS_RANGE_MM)
    terms = []
    for kind in kinds:
        size = NormalDist(*kind.ln_short_axis_mm)
        term = np.full(len(nodes), math.log(kind.share / (size.cdf(high) - size.cdf(low))))
        for name, value in values.items():
            mean, deviation = getattr(kind, name)
            term += -0.5 * ((value - mean) / deviation) ** 2 - math.log(deviation)
        parts = (nodes.hilar_part, kind.hilum), (nodes.necrotic_part, kind.necrosis), (nodes.stranding, kind.stranding)
        for part, chance in parts:
            with np.errstate(divide="ignore"):  # a kind that always has a necrosis
                term += np.log(np.where(part > 0, chance, 1 - chance))
        terms.append(term)
    return np.asarray(np.logaddexp.reduce(terms, axis=0))
