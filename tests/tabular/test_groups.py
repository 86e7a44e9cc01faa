"""Patients of one group never stand on both sides of a split, so that copies of noise stay noise."""

import numpy as np
import pandas as pd
import pytest

from preop.errors import InvalidInputError
from preop.statistics import auc
from preop.tabular import (
    Classifier,
    FeatureTable,
    PipelineSettings,
    RepeatedSplits,
    leave_one_centre_out,
    nested_validation,
)
from preop.tabular.splits import inner_folds

MEMORY = PipelineSettings(classifiers=(Classifier.SVM,), max_features=(5,))
PERSONS = 100


def noise_with_copies(*, grouped: bool) -> FeatureTable:
    """A hundred patients of noise, each twice under another name, with an outcome drawn by lot."""
    random = np.random.default_rng(4)
    values, outcome = random.normal(size=(PERSONS, 6)), np.arange(PERSONS) % 2
    twice = pd.DataFrame(np.vstack([values, values]), columns=list("abcdef"))
    names = [f"p{n}" for n in range(2 * PERSONS)]
    groups = [f"person {n % PERSONS}" for n in range(2 * PERSONS)] if grouped else None
    return FeatureTable.of(twice, np.tile(outcome, 2), patients=names, groups=groups, centres=["A", "B"] * PERSONS)


def held_out_auc(table: FeatureTable) -> float:
    found = nested_validation(table, MEMORY, RepeatedSplits(4, 0.25))
    rows = np.concatenate([each.rows for each in found])
    said = np.concatenate([each.probabilities for each in found])
    return float(auc(table.outcome[rows].astype(int), said))


def test_groups_take_the_leak_out_of_copies() -> None:
    assert held_out_auc(noise_with_copies(grouped=False)) > 0.75
    assert held_out_auc(noise_with_copies(grouped=True)) < 0.62


def test_every_split_keeps_groups_whole_and_their_rows_follow_selections() -> None:
    table = noise_with_copies(grouped=True).rows(np.arange(5, 2 * PERSONS)).select(["a", "b"])
    pairs = [*RepeatedSplits(20, 0.2)(table.outcome, table.groups), *inner_folds(table.outcome, table.groups, seed=1)]
    assert not any(set(table.groups[train]) & set(table.groups[test]) for train, test in pairs)
    assert table.patients[0] == "p5"
    assert table.groups[0] == table.groups[PERSONS] == "person 5"


def test_who_was_at_two_centres_does_not_train_for_either() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(60, 2)), columns=["a", "b"])
    groups = ["same" if n in {0, 1} else str(n) for n in range(60)]
    table = FeatureTable.of(frame, random.integers(0, 2, 60), groups=groups, centres=["A", "B"] * 30)
    found = leave_one_centre_out(table, MEMORY)
    assert {name: each.training_rows for name, each in found.items()} == {"A": 29, "B": 29}


def test_numbers_that_cannot_be_computed_with_are_refused() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [1.0, 1e200]})
    with pytest.raises(InvalidInputError, match=r"The feature b is larger than 1e\+100"):
        FeatureTable.of(frame, [0, 1])
    again = frame.assign(b=[1.0, np.inf])
    with pytest.raises(InvalidInputError, match="The feature b is infinite in a row when measured again"):
        FeatureTable.of(frame.assign(b=1.0), [0, 1], perturbed=[again])
    with pytest.raises(InvalidInputError, match="1 groups for 2 rows"):
        FeatureTable.of(frame.assign(b=1.0), [0, 1], groups=["x"])
