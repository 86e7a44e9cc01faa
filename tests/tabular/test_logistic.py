"""The penalised logistic model: what it learns, how it explains, and that it never sees the test patients."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from preop.errors import InvalidInputError
from preop.tabular import FeatureTable, LogisticModel, PipelineSettings, RepeatedSplits, fit
from preop.tabular.logistic import Term


def cohort(patients: int = 120, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(patients, 3)), columns=["signal", "noise", "other"])
    outcome = rng.random(patients) < 1 / (1 + np.exp(-2 * table["signal"]))
    return table, outcome.to_numpy()


def fit_logistic(table: pd.DataFrame, outcome: np.ndarray, *, seed: int) -> LogisticModel:
    """Fit on all usable columns, without recalibration."""
    settings = PipelineSettings(seed=seed, max_features=(table.shape[1],), maximum_correlation=1.0, calibrate=False)
    model = fit(FeatureTable.of(table, outcome), settings).logistic
    assert model is not None
    return model


def test_it_finds_the_feature_that_matters() -> None:
    model = fit_logistic(*cohort(), seed=0)
    coefficients = {term.name: term.coefficient for term in model.terms}
    assert coefficients["signal"] > 1
    assert abs(coefficients["noise"]) < coefficients["signal"] / 3


def test_contributions_add_up_to_the_log_odds() -> None:
    table, outcome = cohort()
    model = fit_logistic(table, outcome, seed=0)
    row = table.iloc[0].to_dict()
    log_odds = model.intercept + sum(part.log_odds for part in model.contributions(row))
    assert model.probability(row) == pytest.approx(1 / (1 + math.exp(-log_odds)))
    assert model.probabilities(table)[0] == model.probability(row)


def test_it_agrees_with_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    table, outcome = cohort()
    model = fit_logistic(table, outcome, seed=0)
    scaled = StandardScaler().fit_transform(table)
    # Another solver than ours, taken to its end.
    reference = LogisticRegression(C=model.penalty, max_iter=10_000, tol=1e-9).fit(scaled, outcome)
    assert model.probabilities(table) == pytest.approx(reference.predict_proba(scaled)[:, 1], abs=1e-5)


HAND_MADE = LogisticModel(
    terms=(Term("size", 0.5, 20.0, 30.0, 10.0, tuple(float(value) for value in range(0, 101, 5))),),
    intercept=-1.0,
    threshold=0.3,
    penalty=1.0,
    out_of_fold_quantiles=tuple(np.linspace(0.1, 0.5, 21)),
)


@pytest.mark.parametrize(
    ("value", "log_odds", "percentile", "outside"),
    [
        (30.0, 0.0, 30.0, False),
        (50.0, 1.0, 50.0, False),
        (52.5, 1.125, 52.5, False),
        (200.0, 8.5, 100.0, True),
        (-1, -1.55, 0, True),
    ],
)
def test_a_contribution_by_hand(value: float, log_odds: float, percentile: float, *, outside: bool) -> None:
    (part,) = HAND_MADE.contributions({"size": value})
    assert part.log_odds == pytest.approx(log_odds)
    assert part.training_percentile == pytest.approx(percentile)
    assert part.outside_training_range is outside
    assert not part.missing


@pytest.mark.parametrize("row", [{}, {"size": math.nan}])
def test_a_missing_value_counts_as_the_training_median(row: dict[str, float]) -> None:
    (part,) = HAND_MADE.contributions(row)
    assert part.missing
    assert part.value == 20.0
    assert part.log_odds == pytest.approx(-0.5)


def test_a_model_is_the_same_after_json() -> None:
    assert LogisticModel.from_dict(json.loads(json.dumps(HAND_MADE.to_dict()))) == HAND_MADE


def test_the_same_seed_gives_the_same_model() -> None:
    table, outcome = cohort()
    assert fit_logistic(table, outcome, seed=3) == fit_logistic(table, outcome, seed=3)


def test_a_column_that_teaches_nothing_is_left_out() -> None:
    table, outcome = cohort()
    table["constant"], table["absent"] = 1.0, math.nan
    assert [term.name for term in fit_logistic(table, outcome, seed=0).terms] == ["signal", "noise", "other"]


def test_missing_values_are_imputed() -> None:
    table, outcome = cohort()
    table.loc[table.index[::7], "noise"] = math.nan
    model = fit_logistic(table, outcome, seed=0)
    assert model.terms[1].median == pytest.approx(table["noise"].median())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda table, outcome: (table, np.zeros_like(outcome)), "0 patients with the outcome"),
        (lambda table, outcome: (table * 0, outcome), "None of 3 features can be used"),
    ],
)
def test_a_cohort_that_teaches_nothing_is_refused(change, sentence: str) -> None:
    with pytest.raises(InvalidInputError, match=sentence):
        fit_logistic(*change(*cohort()), seed=0)


def test_splits_are_stratified_and_the_same_for_a_seed() -> None:
    outcome = np.arange(50) < 15
    splits = [list(RepeatedSplits(repeats=4, seed=1)(outcome)) for _ in range(2)]
    for (train, test), (again, _) in zip(*splits, strict=True):
        assert np.array_equal(train, again)
        assert len(test) == 10
        assert outcome[test].sum() == 3
        assert not set(train) & set(test)
