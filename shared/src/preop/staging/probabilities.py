"""The probability of every nodal category, exactly, from uncertain stations or from uncertain nodes.

Station by station, the categories follow from four independent events: a contralateral or supraclavicular station
(N3 dominates), the number of ipsilateral mediastinal stations (none, one, several: a Poisson-binomial count), and an
ipsilateral hilar or intrapulmonary station. Node by node, a node lies in one station only, so that stations which share
a node are not independent; then the whole distribution over sets of stations is followed from node to node.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from preop.errors import InvalidInputError
from preop.staging.nodal import Edition, N, categories, category_of_station, nodal_stage
from preop.staging.stations import Side, Station

SHARE_TOLERANCE = 1e-6

NEVER_MENTIONED = 0.02
"""A node malignant in a station with less probability than this is not given as the reason of a category."""

State = frozenset[str]

_Explanation = tuple[float, tuple[Station | None, ...]]
"""Probability of a combination, and each node's station in it, None where the node is benign."""


@dataclass(frozen=True)
class NodeShares:
    """An uncertain node: its probability of malignancy, and how it is shared between stations.

    Attributes
    ----------
    probability
        That the node is malignant.
    shares
        Probability of each station to be the node's own, 1 in total or less (the rest is no regional station).
    """

    probability: float
    shares: Mapping[Station, float]

    def __post_init__(self) -> None:
        _check_probability(self.probability, "of malignancy of a node")
        for station, share in self.shares.items():
            _check_probability(share, f"share of a node in station {station}")
        if sum(self.shares.values()) > 1 + SHARE_TOLERANCE:
            raise InvalidInputError(
                f"The shares of a node in its stations sum to {sum(self.shares.values()):g}; expected at most 1."
            )


@dataclass(frozen=True)
class NodalProbabilities:
    """Probability of each category; NX holds what a missing side leaves open.

    Attributes
    ----------
    of
        Probability by category, every category of the edition and NX; they sum to 1.
    edition
        Edition of TNM.
    """

    of: Mapping[N, float]
    edition: Edition

    @property
    def most_likely(self) -> N:
        """Category of the highest probability; the less severe of equals (UICC, general rule 4)."""
        return max(self.of, key=lambda category: (self.of[category], -category.severity))

    def overstaged(self, called: N) -> float:
        """Probability that the true category is less severe than ``called``."""
        return sum(p for category, p in self.of.items() if category is not N.NX and category.severity < called.severity)

    def understaged(self, called: N) -> float:
        """Probability that the true category is more severe than ``called``."""
        return sum(p for category, p in self.of.items() if category is not N.NX and category.severity > called.severity)


def station_probabilities(nodes: Iterable[NodeShares]) -> dict[Station, float]:
    """Probability that each station is involved: ``1 - prod(1 - probability x share)`` over its nodes.

    Exact for each station on its own, with independent nodes that lie in one station each. Together the stations are
    not independent where they share a node; ``probabilities_of_nodes`` does not need that assumption.
    """
    spared: dict[Station, float] = defaultdict(lambda: 1.0)
    for node in nodes:
        for station, share in node.shares.items():
            spared[station] *= 1 - node.probability * share
    return {station: 1 - spared[station] for station in Station if station in spared}


def probabilities_of_stations(
    involved: Mapping[Station, float], primary: Side | None, edition: Edition = Edition.NINTH
) -> NodalProbabilities:
    """Probability of each category from independent probabilities that stations are involved.

    Parameters
    ----------
    involved
        Probability by station; a station that is not given is not involved.
    primary
        Side of the primary; where it is unknown, the probability of what holds on either side is given to its
        category, and the rest to NX.

    Raises
    ------
    InvalidInputError
        If a probability is not between 0 and 1.
    """
    for station, probability in involved.items():
        _check_probability(probability, f"of station {station}")
    if primary is None:
        return _of_unknown_side(involved, edition)
    group = {category: _only(involved, category, primary) for category in (N.N1, N.N2, N.N3)}
    no_n3, no_n1 = _none(group[N.N3].values()), _none(group[N.N1].values())
    none, one, several = _count_on_map(group[N.N2])
    return _tidy(
        {
            N.N0: no_n3 * none * no_n1,
            N.N1: no_n3 * none * (1 - no_n1),
            N.N2A: no_n3 * one,
            N.N2B: no_n3 * several,
            N.N3: 1 - no_n3,
        },
        edition,
    )


def probabilities_of_nodes(
    nodes: Iterable[NodeShares], primary: Side | None, edition: Edition = Edition.NINTH
) -> NodalProbabilities:
    """Probability of each category from independent nodes, each of which lies in exactly one of its stations.

    One node on the border of 4R and 7 can make one N2 station, never two: its stations are not independent, and this
    follows the distribution over sets of involved stations from node to node. At most 2 ** 11 sets matter.
    """
    distribution: dict[State, float] = {frozenset(): 1.0}
    for node in nodes:
        following: dict[State, float] = defaultdict(float)
        elsewhere = max(1 - node.probability * sum(node.shares.values()), 0.0)
        for state, weight in distribution.items():
            following[state] += weight * elsewhere
            for station, share in node.shares.items():
                following[_with(state, _meaning(station, primary))] += weight * node.probability * share
        distribution = following
    of: dict[N, float] = defaultdict(float)
    for state, weight in distribution.items():
        of[_category(state)] += weight
    return _tidy(of, edition)


def most_likely_explanation(
    nodes: Sequence[NodeShares], category: N, primary: Side | None, edition: Edition = Edition.NINTH
) -> tuple[Station | None, ...] | None:
    """Find which nodes are malignant, and in which of their stations, where the category is known to be this one.

    Of all combinations that make the category, the most probable one, followed from node to node as in
    :func:`probabilities_of_nodes`. Nodes below ``NEVER_MENTIONED`` are not considered.

    Returns
    -------
    For each node its station, None where it is benign; None for the whole where no combination makes the category.
    """
    best: dict[frozenset[Station], _Explanation] = {frozenset(): (1.0, ())}
    for node in nodes:
        following: dict[frozenset[Station], _Explanation] = {}
        for involved, (weight, before) in best.items():
            for station, probability in _alternatives(node):
                state = involved if station is None else involved | {station}
                if weight * probability > following.get(state, (0.0, ()))[0]:
                    following[state] = (weight * probability, (*before, station))
        best = following
    fitting = [
        explanation
        for involved, explanation in best.items()
        if nodal_stage(involved, primary, edition).category is category
    ]
    return max(fitting, key=lambda explanation: explanation[0])[1] if fitting else None


def _alternatives(node: NodeShares) -> list[tuple[Station | None, float]]:
    """What a node may be, with its probability: benign (or in no regional station), or malignant in a station."""
    malignant = [(station, node.probability * share) for station, share in node.shares.items()]
    mentioned = [(station, probability) for station, probability in malignant if probability >= NEVER_MENTIONED]
    return [(None, 1 - sum(probability for _, probability in mentioned)), *mentioned]


def _of_unknown_side(involved: Mapping[Station, float], edition: Edition) -> NodalProbabilities:
    """A side is decided by its own stations only: both sides are N3, one side is NX, none leaves the midline."""
    no_cervical = _none(p for station, p in involved.items() if station.number == 1)
    sided = {station: p for station, p in involved.items() if station.number != 1}
    no_right, no_left, no_midline = (
        _none(p for station, p in sided.items() if station.side is side)
        for side in (Side.RIGHT, Side.LEFT, Side.MIDLINE)
    )
    one_side = no_right * (1 - no_left) + no_left * (1 - no_right)
    midline = _count_on_map({station: p for station, p in sided.items() if station.side is Side.MIDLINE})
    neither = no_cervical * no_right * no_left
    return _tidy(
        {
            N.N0: neither * no_midline,
            N.N2A: neither * midline[1],
            N.N2B: neither * midline[2],
            N.N3: 1 - no_cervical * (1 - (1 - no_right) * (1 - no_left)),
            N.NX: no_cervical * one_side,
        },
        edition,
    )


def _only(involved: Mapping[Station, float], category: N, primary: Side) -> dict[Station, float]:
    return {s: p for s, p in involved.items() if category_of_station(s, primary) is category}


def _none(probabilities: Iterable[float]) -> float:
    """Probability that none of independent events happens."""
    return math.prod(1 - p for p in probabilities)


def _count_on_map(involved: Mapping[Station, float]) -> tuple[float, float, float]:
    """Probability that none, one, and two or more stations of the map are involved."""
    parts: dict[str, list[float]] = defaultdict(list)
    for station, probability in involved.items():
        parts[station.on_map].append(probability)
    none, one, several = 1.0, 0.0, 0.0
    for probabilities in parts.values():
        free = _none(probabilities)
        none, one, several = none * free, one * free + none * (1 - free), several + one * (1 - free)
    return none, one, several


def _meaning(station: Station, primary: Side | None) -> str:
    """What a set must remember of a station: N1, N3, the N2 station itself, or its side where that of the primary lacks."""
    if primary is None:
        if station.number == 1:
            return N.N3
        return station.on_map if station.side is Side.MIDLINE else station.side
    category = category_of_station(station, primary)
    return station.on_map if category is N.N2 else category


def _with(state: State, meaning: str) -> State:
    """Add to a set; nothing adds to N3, and stations of both sides are N3 for either lung."""
    after = state | {meaning}
    if N.N3 in after or {Side.RIGHT, Side.LEFT} <= after:
        return frozenset({N.N3})
    return after


def _category(state: State) -> N:
    if N.N3 in state:
        return N.N3
    if Side.RIGHT in state or Side.LEFT in state:
        return N.NX
    mediastinal = len(state - {N.N1})
    if mediastinal:
        return N.N2A if mediastinal == 1 else N.N2B
    return N.N1 if N.N1 in state else N.N0


def _tidy(of: Mapping[N, float], edition: Edition) -> NodalProbabilities:
    """Name every category of the edition; the 8th does not split N2."""
    complete = {category: of.get(category, 0.0) for category in (*categories(edition), N.NX)}
    if edition is Edition.EIGHTH:
        complete[N.N2] = of.get(N.N2A, 0.0) + of.get(N.N2B, 0.0)
    return NodalProbabilities(complete, edition)


def _check_probability(value: float, what: str) -> None:
    if not 0 <= value <= 1:
        raise InvalidInputError(f"The probability {what} is {value:g}; expected a number from 0 to 1.")
