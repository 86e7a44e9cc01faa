"""What the models of this package must not be able to know."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from cohorts import frame_of, informative
from hypothesis import given, settings
from hypothesis import strategies as st

from preop.errors import InvalidInputError
from preop.statistics import auc
from preop.tabular import (
    Classifier,
    FeatureTable,
    PipelineSettings,
    RepeatedSplits,
    Selection,
    fit,
    leave_one_centre_out,
    nested_validation,
)
from preop.tabular.splits import inner_folds
from preop.tabular.validation import held_out

pytestmark = pytest.mark.slow


def mean_auc(table: FeatureTable, settings: PipelineSettings, splits: RepeatedSplits) -> float:
    found = nested_validation(table, settings, splits)
    return float(np.mean([auc(table.outcome[split.rows], split.probabilities) for split in found]))


@settings(max_examples=30)
@given(st.integers(8, 40), st.integers(1, 5), st.integers(0, 1000))
def test_no_split_shares_a_patient_and_both_sides_have_events(patients, max_rows, seed):
    random = np.random.default_rng(seed)
    has_event = np.arange(patients) % 2 == 0
    owner = np.repeat(np.arange(patients), random.integers(1, max_rows + 1, patients))
    random.shuffle(owner)
    names = np.array([f"p{number}" for number in owner])
    pairs = [
        *RepeatedSplits(5, 0.25, seed)(has_event[owner], names),
        *inner_folds(has_event[owner], names, seed=seed),
    ]
    for train, test in pairs:
        assert not set(names[train]) & set(names[test])
        assert sorted([*train, *test]) == list(range(owner.size))
        assert has_event[owner][test].any()
        assert not has_event[owner][test].all()


def test_a_model_that_remembers_patients_gains_nothing():
    # Every patient has a fingerprint that says nothing of the outcome, and four lesions that all carry it.
    random = np.random.default_rng(0)
    owner = np.repeat(np.arange(40), 4)
    fingerprints = random.normal(size=(40, 5))
    frame = pd.DataFrame(fingerprints[owner] + 0.01 * random.normal(size=(160, 5)), columns=list("abcde"))
    outcome = (np.arange(40) % 2 == 0)[owner]
    memory = PipelineSettings(classifiers=(Classifier.SVM,), max_features=(5,))
    splits = RepeatedSplits(12, 0.25)
    by_patient = FeatureTable.of(frame, outcome, patients=[str(name) for name in owner])
    by_row = FeatureTable.of(frame, outcome)
    assert mean_auc(by_row, memory, splits) > 0.95  # what it would look like if lesions were split
    assert abs(mean_auc(by_patient, memory, splits) - 0.5) < 0.15


def test_features_without_information_are_worth_nothing_however_many_there_are():
    # Chosen on all patients, the best of 500 noise features would give an AUC far above one half.
    random = np.random.default_rng(1)
    table = FeatureTable.of(pd.DataFrame(random.normal(size=(40, 500))), np.arange(40) < 16)
    assert abs(mean_auc(table, PipelineSettings(), RepeatedSplits(12, 0.25)) - 0.5) < 0.15


@pytest.mark.parametrize("selection", Selection)
def test_held_out_patients_change_nothing_that_is_learned(selection):
    """Preparation, harmonisation, stability, selection, classifier, calibration and threshold of one split."""
    centres = ["A", "B", "C"] * 20
    random = np.random.default_rng(0)
    table = informative(centres=centres, harmonised=["signal", "noise_0"])
    table = dataclasses.replace(
        table, perturbed=table.values[None] + 0.1 * random.normal(size=(2, *table.values.shape))
    )
    splits = RepeatedSplits(1)
    ((train, test),) = splits(table.outcome, table.patients)
    values, perturbed, outcome = table.values.copy(), table.perturbed.copy(), table.outcome.copy()
    values[test] = 1e3 * random.normal(size=values[test].shape)
    perturbed[:, test] = -values[test]
    outcome[test] = ~outcome[test]
    changed = dataclasses.replace(table, values=values, perturbed=perturbed, outcome=outcome)
    settings = PipelineSettings(selections=(selection,))
    first, second = (held_out(part, settings, [(train, test)])[0] for part in (table, changed))
    assert first.threshold == second.threshold
    assert first.features == second.features
    assert first.recipe == second.recipe
    assert first.probabilities != second.probabilities
    assert fit(table.rows(train), settings).to_files() == fit(changed.rows(train), settings).to_files()


def test_a_split_that_shares_a_patient_is_refused():
    table = informative(patients=20)
    rows = np.arange(20)
    with pytest.raises(InvalidInputError, match="both sides"):
        held_out(table, PipelineSettings(), [(rows[:15], rows[14:])])


def test_each_centre_is_predicted_by_the_others_only():
    table = informative(patients=90, centres=["A", "B", "C"] * 30, harmonised=["signal"])
    found = leave_one_centre_out(table, PipelineSettings())
    assert sorted(found) == ["A", "B", "C"]
    for centre, part in found.items():
        assert set(table.centres[part.rows]) == {centre}
        others = fit(table.rows(np.flatnonzero(table.centres != centre)), PipelineSettings())
        assert all(centre not in member.preparation.adjustments for member in others.members)
        expected = others.probabilities(frame_of(table.rows(np.array(part.rows))))
        assert part.probabilities == pytest.approx(expected)


def test_one_centre_cannot_be_left_out():
    with pytest.raises(InvalidInputError, match="at least two"):
        leave_one_centre_out(informative(), PipelineSettings())


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    table, settings, splits = informative(), PipelineSettings(), RepeatedSplits(4)
    whole = nested_validation(table, settings, splits, folder=tmp_path)
    (record,) = tmp_path.iterdir()
    lines = record.read_text().splitlines(keepends=True)
    marked = lines[0].replace('"threshold": ', '"threshold": 1')
    record.write_text(marked + lines[1] + lines[2][:40])  # killed while it wrote the third
    again = nested_validation(table, settings, splits, folder=tmp_path)
    assert again[0].threshold != whole[0].threshold  # taken from the record, not computed again
    assert again[1:] == whole[1:]
    nested_validation(table, PipelineSettings(seed=1), splits, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2  # other settings are another run
