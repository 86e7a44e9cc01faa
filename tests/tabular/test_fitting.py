"""The pipeline: what each step does, on tables made for it."""

import dataclasses
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cohorts import frame_of, informative

from preop.errors import InvalidInputError, InvalidModelError
from preop.tabular import Classifier, FeatureTable, PipelineSettings, Selection, TabularModel, fit
from preop.tabular.harmonisation import learn_combat
from preop.tabular.preparation import learn_preparation
from preop.tabular.selection import best_columns

FEW = PipelineSettings(max_features=(3,))


@pytest.mark.slow
@pytest.mark.parametrize("classifier", Classifier)
@pytest.mark.parametrize("selection", Selection)
def test_every_pipeline_finds_what_matters_and_survives_being_written(classifier, selection):
    table = informative(100)
    model = fit(table, PipelineSettings(classifiers=(classifier,), selections=(selection,), max_features=(1, 3)))
    assert "signal" in model.columns
    probabilities = model.probabilities(frame_of(table))
    assert probabilities[table.values[:, 0] > 1].min() > probabilities[table.values[:, 0] < -1].max()
    again = TabularModel.from_files(model.to_files())
    assert (again.probabilities(frame_of(table)) == probabilities).all()
    assert again.threshold == model.threshold


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files_in_another_process():
    code = (
        "import hashlib; from cohorts import informative; from preop.tabular import *;"
        "files = fit(informative(), PipelineSettings(classifiers=tuple(Classifier)[1:], max_features=(3,), ensemble=20,"
        " trials=6, search='optuna')).to_files();"
        "print(len(files), hashlib.sha256(b''.join(files.values())).hexdigest())"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parent,
            env={**os.environ, "PYTHONHASHSEED": str(number), "OMP_NUM_THREADS": str(number)},
        ).stdout
        for number in (1, 2)
    ]
    assert int(runs[0].split()[0]) > 1
    assert runs[0] == runs[1]


@pytest.mark.parametrize("selection", Selection)
def test_a_kept_column_is_in_every_model_whatever_it_is_worth_and_the_best_of_the_others_join_it(selection):
    table = informative()
    worthless = table.columns[-1]
    assert worthless not in fit(table, PipelineSettings(selections=(selection,), max_features=(1,))).columns
    kept = fit(table, PipelineSettings(selections=(selection,), max_features=(1,), kept=(worthless, "no such column")))
    assert kept.columns == (worthless, "signal")
    alone = fit(table.select([worthless]), PipelineSettings(max_features=(1, 3), kept=(worthless,)))
    assert alone.columns == (worthless,)


def test_an_ensemble_of_logistic_members_is_one_table_of_numbers():
    table = informative()
    model = fit(table, PipelineSettings(ensemble=4))
    assert len(model.members) == 4
    assert model.logistic.probabilities(frame_of(table)) == pytest.approx(model.probabilities(frame_of(table)))
    (only,) = model.to_files()
    assert only == "tabular.json"


def test_a_missing_column_or_value_is_the_training_median():
    table = informative()
    model = fit(table, FEW)
    known = frame_of(table)
    filled = known.assign(signal=np.median(table.values[:, 0]))
    assert model.probabilities(known.assign(signal=np.nan)) == pytest.approx(model.probabilities(filled))
    assert model.probabilities(known.drop(columns="signal")) == pytest.approx(model.probabilities(filled))


def test_the_one_standard_error_rule_never_takes_a_more_complex_candidate():
    table = informative(noise=30)
    free = fit(table, PipelineSettings()).members[0].recipe
    simple = fit(table, PipelineSettings(one_standard_error=True)).members[0].recipe
    assert simple < free


def test_calibration_never_turns_a_model_round():
    random = np.random.default_rng(3)
    for seed in range(5):
        table = FeatureTable.of(pd.DataFrame(random.normal(size=(30, 4))), np.arange(30) < 12)
        assert fit(table, PipelineSettings(seed=seed)).members[0].slope > 0


def test_columns_that_teach_nothing_are_left_out():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"good": random.normal(size=40)})
    frame["constant"] = 1.0
    frame["one in forty"] = [1.0] + [0.0] * 39
    frame["two thirds missing"] = np.where(np.arange(40) % 3 == 0, frame["good"], np.nan)
    frame["rounding"] = 0.1 + np.array([0.0, 1e-17] * 20)
    frame["some missing"] = np.where(np.arange(40) % 3 == 0, np.nan, frame["good"])
    table = FeatureTable.of(frame, np.arange(40) < 20)
    assert learn_preparation(table, minimum_icc=0.75).columns == ("good", "some missing")


def test_columns_that_change_when_measured_again_are_left_out():
    table = informative()
    random = np.random.default_rng(0)
    noise = np.where(np.array(table.columns) == "noise_1", 2.0, 0.05)
    again = dataclasses.replace(
        table, perturbed=table.values[None] + noise * random.normal(size=(3, *table.values.shape))
    )
    kept = learn_preparation(again, minimum_icc=0.75).columns
    assert set(table.columns) - set(kept) == {"noise_1"}


def test_of_two_copies_the_better_stays():
    table = informative()
    signal = table.values[:, 0]
    values = np.column_stack(
        [signal + 0.2 * np.random.default_rng(0).normal(size=signal.size), signal, table.values[:, 1]]
    )
    chosen = best_columns(Selection.UNIVARIABLE, values, table.outcome, most=3, maximum_correlation=0.9)
    assert sorted(chosen) in ([0, 2], [1, 2])


def test_mrmr_prefers_something_new_to_a_near_copy():
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, 400))
    outcome = first + 0.6 * second + 0.5 * random.normal(size=400) > 0
    values = np.column_stack([first, first + 0.3 * random.normal(size=400), second])
    order = {
        kind: best_columns(kind, values, outcome, most=2, maximum_correlation=1.0).tolist()
        for kind in (Selection.UNIVARIABLE, Selection.MRMR)
    }
    assert order[Selection.UNIVARIABLE] == [0, 1]
    assert order[Selection.MRMR] == [0, 2]


def scanned(shift: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    values = random.normal(size=(90, 4))
    centres = np.repeat(["A", "B", ""], [40, 40, 10])
    values[centres == "B"] = values[centres == "B"] * scale + shift
    return values, centres


def test_harmonisation_takes_shift_and_spread_of_a_centre_away():
    values, centres = scanned(shift=5, scale=3)
    learned = learn_combat(values, centres)
    assert sorted(learned) == ["A", "B"]
    adjusted = {name: values[centres == name] * part.scale + part.offset for name, part in learned.items()}
    assert adjusted["A"].mean(axis=0) == pytest.approx(adjusted["B"].mean(axis=0), abs=0.4)  # of 5
    assert adjusted["A"].std(axis=0) == pytest.approx(adjusted["B"].std(axis=0), rel=0.2)  # of 3 times


def test_harmonisation_gives_what_neuroharmonize_gives():
    from neuroHarmonize import harmonizationLearn

    values, centres = scanned(shift=2, scale=1.5)
    known = centres != ""
    learned = learn_combat(values, centres)
    _, expected = harmonizationLearn(values[known], pd.DataFrame({"SITE": centres[known]}))
    for name, part in learned.items():
        rows = centres[known] == name
        assert values[known][rows] * part.scale + part.offset == pytest.approx(expected[rows])


def test_one_centre_or_few_patients_are_not_harmonised():
    values, centres = scanned(shift=2, scale=1.5)
    assert learn_combat(values[centres != "B"], centres[centres != "B"]) == {}
    few = np.flatnonzero((centres == "A") | (np.arange(90) == 50))
    assert learn_combat(values[few], centres[few]) == {}


def test_a_harmonised_model_forgives_the_scanner_of_a_known_centre_and_leaves_others_as_they_are():
    random = np.random.default_rng(0)
    centres = np.array(["A", "B"] * 60)
    truth = random.normal(size=120)
    outcome = random.random(120) < 1 / (1 + np.exp(-3 * truth))
    measured = pd.DataFrame({"texture": truth + 20 * (centres == "B"), "age": random.normal(60, 9, 120)})
    table = FeatureTable.of(measured, outcome, centres=centres.tolist(), harmonised=["texture"])
    model = fit(table, PipelineSettings(max_features=(2,)))
    new = pd.DataFrame({"texture": [1.0, 21.0, 1.0], "age": [60.0] * 3})
    at_a, at_b, elsewhere = model.probabilities(new, ["A", "B", "C"])
    assert at_a == pytest.approx(at_b, abs=0.1)
    assert elsewhere == model.probabilities(new)[0]
    assert model.members[0].preparation.adjustments["B"].scale[list(model.columns).index("age")] == 1
    assert model.logistic is None
    again = TabularModel.from_files(model.to_files())
    assert (again.probabilities(new, ["A", "B", "C"]) == [at_a, at_b, elsewhere]).all()


@pytest.mark.slow
def test_a_classifier_of_another_kind_is_not_trusted():
    import skops.io
    from sklearn.neighbors import KDTree

    files = fit(informative(), PipelineSettings(classifiers=(Classifier.FOREST,), max_features=(2,))).to_files()
    files["classifier-0.skops"] = skops.io.dumps({"tree": KDTree(np.zeros((3, 2))), "call": np.add.reduce})
    with pytest.raises(InvalidModelError, match="not trusted"):
        TabularModel.from_files(files)


@pytest.mark.parametrize("spoil", ["missing", "cut", "other"])
def test_a_damaged_model_is_refused(spoil):
    files = fit(informative(), PipelineSettings(classifiers=(Classifier.SVM,), max_features=(2,))).to_files()
    if spoil == "missing":
        del files["classifier-0.skops"]
    elif spoil == "cut":
        files["classifier-0.skops"] = files["classifier-0.skops"][:100]
    else:
        files["tabular.json"] = b"[]"
    with pytest.raises(InvalidModelError, match="damaged"):
        TabularModel.from_files(files)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (pd.DataFrame({"a": ["x", "y"]}), "a holds 'x'"),
        (pd.DataFrame({"a": [1.0, np.inf]}), "a is infinite"),
        (pd.DataFrame([[1.0, 2.0]] * 2, columns=["a", "a"]), "two columns a"),
        (pd.DataFrame({"a": [1.0]}), "2 outcome for 1 rows"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(table, sentence):
    with pytest.raises(InvalidInputError, match=sentence):
        FeatureTable.of(table, [0, 1])


def test_archives_of_classifiers_carry_no_date():
    import io

    files = fit(informative(), PipelineSettings(classifiers=(Classifier.SVM,), max_features=(2,))).to_files()
    archive = zipfile.ZipFile(io.BytesIO(files["classifier-0.skops"]))
    assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
