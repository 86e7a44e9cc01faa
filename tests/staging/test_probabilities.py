"""Probabilities of categories are those of all subsets of stations, and of all fates of all nodes."""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest

from preop.errors import InvalidInputError
from preop.staging import (
    Edition,
    N,
    NodeShares,
    Side,
    Station,
    most_likely_explanation,
    nodal_stage,
    probabilities_of_nodes,
    probabilities_of_stations,
    station_probabilities,
)

PRIMARIES = [*Side, None]


def by_subsets(involved: dict[Station, float], primary: Side | None, edition: Edition) -> dict[N, float]:
    """Sum over all sets of involved stations."""
    total: dict[N, float] = defaultdict(float)
    for fate in product([False, True], repeat=len(involved)):
        weight = np.prod([p if hit else 1 - p for hit, p in zip(fate, involved.values(), strict=True)])
        hits = [station for hit, station in zip(fate, involved, strict=True) if hit]
        total[nodal_stage(hits, primary, edition).category] += float(weight)
    return total


def by_fates(nodes: list[NodeShares], primary: Side | None, edition: Edition) -> dict[N, float]:
    """Sum over every node's fate: benign or elsewhere, or malignant in one of its stations."""
    total: dict[N, float] = defaultdict(float)
    choices = []
    for node in nodes:
        hits = [(station, node.probability * share) for station, share in node.shares.items()]
        choices.append([(None, 1 - sum(p for _, p in hits)), *hits])
    for fate in product(*choices):
        weight = float(np.prod([p for _, p in fate]))
        total[nodal_stage([s for s, _ in fate if s is not None], primary, edition).category] += weight
    return total


@pytest.mark.parametrize("edition", Edition)
@pytest.mark.parametrize("primary", PRIMARIES)
@pytest.mark.parametrize("seed", range(4))
def test_station_probabilities_give_what_all_subsets_sum_to(seed: int, primary: Side | None, edition: Edition) -> None:
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(Station), size=9, replace=False)
    involved = {list(Station)[index]: float(rng.uniform(0, 0.5)) for index in chosen}
    ours = probabilities_of_stations(involved, primary, edition).of
    expected = by_subsets(involved, primary, edition)
    assert sum(ours.values()) == pytest.approx(1)
    for category, probability in ours.items():
        assert probability == pytest.approx(expected[category], abs=1e-12)


@pytest.mark.parametrize("edition", Edition)
@pytest.mark.parametrize("primary", PRIMARIES)
@pytest.mark.parametrize("seed", range(3))
def test_shared_nodes_give_what_all_fates_sum_to(seed: int, primary: Side | None, edition: Edition) -> None:
    rng = np.random.default_rng(seed)
    nodes = []
    for _ in range(6):
        pair = [list(Station)[index] for index in rng.choice(len(Station), size=2, replace=False)]
        shares = rng.dirichlet([1, 1, 0.3])[:2]
        nodes.append(NodeShares(float(rng.uniform()), dict(zip(pair, shares.tolist(), strict=True))))
    ours = probabilities_of_nodes(nodes, primary, edition).of
    expected = by_fates(nodes, primary, edition)
    for category, probability in ours.items():
        assert probability == pytest.approx(expected[category], abs=1e-12)


@pytest.mark.parametrize("primary", PRIMARIES)
def test_a_whole_node_in_each_station_is_the_same_as_independent_stations(primary: Side | None) -> None:
    rng = np.random.default_rng(0)
    involved = {station: float(rng.uniform(0, 0.3)) for station in Station}
    nodes = [NodeShares(p, {station: 1.0}) for station, p in involved.items()]
    ours = probabilities_of_nodes(nodes, primary).of
    for category, probability in probabilities_of_stations(involved, primary).of.items():
        assert probability == pytest.approx(ours[category], abs=1e-12)


def test_one_node_on_a_border_makes_one_n2_station_never_two() -> None:
    node = NodeShares(0.8, {Station("4R"): 0.5, Station("7"): 0.5})
    exact = probabilities_of_nodes([node], Side.RIGHT).of
    assert exact[N.N2A] == pytest.approx(0.8)
    assert exact[N.N2B] == 0
    independent = probabilities_of_stations(station_probabilities([node]), Side.RIGHT).of
    assert independent[N.N2B] == pytest.approx(0.16)  # what the assumption of independence costs


def test_certain_stations_give_a_certain_stage() -> None:
    involved = {Station("4R"): 1.0, Station("7"): 1.0, Station("10R"): 0.0, Station("1L"): 0.0}
    result = probabilities_of_stations(involved, Side.RIGHT)
    assert result.of[N.N2B] == 1
    assert result.most_likely is N.N2B
    assert probabilities_of_stations({}, None).of[N.N0] == 1


def test_a_station_probability_is_that_of_any_of_its_nodes() -> None:
    nodes = [NodeShares(0.5, {Station("4R"): 1.0}), NodeShares(0.4, {Station("4R"): 0.5, Station("7"): 0.25})]
    assert station_probabilities(nodes) == pytest.approx({Station("4R"): 1 - 0.5 * 0.8, Station("7"): 0.1})


def test_over_and_understaging_are_the_weight_on_either_side() -> None:
    result = probabilities_of_stations({Station("4R"): 0.6, Station("4L"): 0.2, Station("10R"): 0.5}, Side.RIGHT)
    assert result.most_likely is N.N2A  # 0.48 of N2a, 0.2 of N3, 0.16 each of N1 and N0
    assert result.overstaged(N.N2A) == pytest.approx(0.32)
    assert result.understaged(N.N2A) == pytest.approx(0.2)


def test_of_equally_likely_categories_the_less_severe_is_called() -> None:
    assert probabilities_of_stations({Station("10R"): 0.5}, Side.RIGHT).most_likely is N.N0


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan")])
def test_what_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(InvalidInputError, match="from 0 to 1"):
        probabilities_of_stations({Station("7"): probability}, Side.RIGHT)
    with pytest.raises(InvalidInputError, match="from 0 to 1"):
        NodeShares(probability, {})


def test_shares_above_the_whole_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="at most 1"):
        NodeShares(0.5, {Station("7"): 0.7, Station("4R"): 0.7})


def most_likely_fate(
    nodes: list[NodeShares], category: N, primary: Side | None, edition: Edition
) -> tuple[float, tuple[Station | None, ...]] | None:
    """Try every fate of every node."""
    choices = []
    for node in nodes:
        hits = [(station, node.probability * share) for station, share in node.shares.items()]
        choices.append([(None, 1 - sum(p for _, p in hits)), *hits])
    fitting = [
        (float(np.prod([p for _, p in fate])), tuple(station for station, _ in fate))
        for fate in product(*choices)
        if nodal_stage([s for s, _ in fate if s is not None], primary, edition).category is category
    ]
    return max(fitting, key=lambda pair: pair[0], default=None)


@pytest.mark.parametrize("edition", Edition)
@pytest.mark.parametrize("primary", PRIMARIES)
@pytest.mark.parametrize("seed", range(3))
def test_an_explanation_is_the_most_likely_of_all_fates(seed: int, primary: Side | None, edition: Edition) -> None:
    rng = np.random.default_rng(seed)
    nodes = []
    for _ in range(5):
        first, second = rng.choice(len(Station), size=2, replace=False)
        share = float(rng.uniform(0.55, 0.8))
        shares = {list(Station)[first]: share, list(Station)[second]: 1 - share}
        nodes.append(NodeShares(float(rng.uniform(0.2, 0.9)), shares))
    for category in N:
        best = most_likely_fate(nodes, category, primary, edition)
        assert most_likely_explanation(nodes, category, primary, edition) == (best[1] if best else None)


def test_many_doubtful_nodes_are_explained_by_one_of_them() -> None:
    nodes = [NodeShares(0.3, {Station.parse(name): 1.0}) for name in ("4L", "10L", "2L", "5")]
    assert probabilities_of_nodes(nodes, Side.RIGHT).most_likely is N.N3
    explanation = most_likely_explanation(nodes, N.N3, Side.RIGHT)
    assert explanation is not None
    assert sum(station is not None for station in explanation) == 1


def test_a_node_that_is_almost_surely_benign_is_never_the_reason() -> None:
    nodes = [NodeShares(0.01, {Station.parse("4R"): 1.0})]
    assert most_likely_explanation(nodes, N.N2A, Side.RIGHT) is None
    assert most_likely_explanation(nodes, N.N0, Side.RIGHT) == (None,)
