"""The probability of malignancy: learned from nodes, from sampled stations, or from the category alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lung_nodal_stage.malignancy import LABELS, OCCULT, Example, Truth, fit, log_likelihood
from preop.errors import InvalidInputError
from preop.staging import N, Side, Station, nodal_stage
from preop.statistics import auc
from preop.tabular import LogisticModel

STATIONS = [Station.parse(name) for name in ("10R", "4R", "7", "4L")]
SLOPE = 2.5


def patients(count: int, level: str, seed: int = 0) -> tuple[list[Example], np.ndarray, np.ndarray]:
    """Patients whose nodes are malignant by their uptake alone; with the uptake and truth of all nodes."""
    rng = np.random.default_rng(seed)
    examples, uptakes, truths = [], [], []
    for _ in range(count):
        stations = [STATIONS[place] for place in rng.choice(4, rng.integers(1, 4), replace=False)]
        uptake = rng.normal(0, 1, len(stations))
        malignant = rng.random(len(stations)) < 1 / (1 + np.exp(1 - SLOPE * uptake))
        involved = [station for station, bad in zip(stations, malignant, strict=True) if bad]
        truth = {
            "nodes": Truth(tuple(malignant.tolist())),
            "stations": Truth((None,) * len(stations), {station: station in involved for station in stations}),
            "category": Truth((None,) * len(stations), {}, nodal_stage(involved, Side.RIGHT).category, Side.RIGHT),
        }[level]
        rows = tuple({name: (float(u) if name == "log_suv_max" else rng.normal()) for name in LABELS} for u in uptake)
        examples.append(Example(rows, tuple({station: 1.0} for station in stations), truth))
        uptakes += uptake.tolist()
        truths += malignant.tolist()
    return examples, np.array(uptakes), np.array(truths)


def fitted(examples: list[Example]) -> LogisticModel:
    return fit(examples, penalty=1.0, folds=[range(fold, len(examples), 3) for fold in range(3)])


@pytest.mark.slow
@pytest.mark.parametrize(("level", "count"), [("nodes", 80), ("stations", 80), ("category", 120)])
def test_every_level_of_truth_teaches_which_feature_tells(level: str, count: int) -> None:
    examples, _, _ = patients(count, level)
    model = fitted(examples)
    coefficients = {term.name: term.coefficient / term.standard_deviation for term in model.terms}
    assert max(coefficients, key=lambda name: abs(coefficients[name])) == "log_suv_max"
    assert coefficients["log_suv_max"] == pytest.approx(SLOPE, rel=0.5)
    new, uptakes, truths = patients(100, "nodes", seed=1)
    predicted = [model.probability(row) for example in new for row in example.rows]
    assert auc(truths.astype(int), predicted) > 0.95 * auc(truths.astype(int), uptakes)


def test_probabilities_mean_what_they_say() -> None:
    model = fitted(patients(150, "nodes")[0])
    new, _, truths = patients(200, "nodes", seed=2)
    predicted = np.array([model.probability(row) for example in new for row in example.rows])
    assert predicted.mean() == pytest.approx(truths.mean(), abs=0.05)
    sure = predicted > 0.8
    assert truths[sure].mean() == pytest.approx(predicted[sure].mean(), abs=0.1)


def example(truth: Truth, *shares: dict[str, float]) -> Example:
    parsed = tuple({Station.parse(name): share for name, share in each.items()} for each in shares)
    return Example(tuple(dict.fromkeys(LABELS, 0.0) for _ in shares), parsed, truth)


def test_nodes_that_are_known_count_alone() -> None:
    known = example(Truth((True, None), {STATIONS[1]: True}, N.N2A, Side.RIGHT), {"4R": 1}, {"7": 1})
    assert log_likelihood([0.8, 0.5], known) == pytest.approx(math.log(0.8))


def test_a_station_is_involved_where_any_of_its_nodes_is() -> None:
    two = example(
        Truth((None, None), {Station.parse("4R"): True, Station.parse("7"): False}), {"4R": 1}, {"4R": 0.5, "7": 0.5}
    )
    involved = (1 - OCCULT) * (1 - 0.4 * 0.7) + OCCULT / 2
    spared = (1 - OCCULT) * (1 - 0.3) + OCCULT / 2
    assert log_likelihood([0.6, 0.6], two) == pytest.approx(math.log(involved) + math.log(spared))


def test_a_category_is_as_likely_as_its_stations_make_it() -> None:
    n2a = example(Truth((None, None), {}, N.N2A, Side.RIGHT), {"4R": 1}, {"10R": 1})
    assert log_likelihood([0.6, 0.3], n2a) == pytest.approx(math.log((1 - OCCULT) * 0.6 + OCCULT / 6))


def test_a_metastasis_that_nothing_shows_is_unlikely_and_not_impossible() -> None:
    unseen = example(Truth((), {}, N.N3, Side.RIGHT))
    assert log_likelihood([], unseen) == pytest.approx(math.log(OCCULT / 6))


def test_a_feature_that_nobody_has_says_nothing() -> None:
    examples, _, _ = patients(60, "nodes")
    without = [
        Example(tuple({**row, "log_liver_ratio": math.nan} for row in each.rows), each.shares, each.truth)
        for each in examples
    ]
    model = fitted(without)
    assert next(term.coefficient for term in model.terms if term.name == "log_liver_ratio") == pytest.approx(
        0, abs=1e-3
    )


def test_without_any_node_there_is_nothing_to_learn() -> None:
    with pytest.raises(InvalidInputError, match="No lymph node was found in any of 2 patients"):
        fit([example(Truth(())), example(Truth(()))], penalty=1.0, folds=[[0], [1]])
