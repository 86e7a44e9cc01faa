"""A whole study: what is compared with what, what is said of it, and what a reader is warned of."""

import json

import numpy as np
import pandas as pd
import pytest

from preop.errors import InvalidInputError
from preop.evidence import SplitsEvidence
from preop.tabular import (
    Classifier,
    FeatureTable,
    FollowUp,
    PermutationTest,
    PipelineSettings,
    Question,
    RepeatedSplits,
    external_validation,
    fit,
    fit_cox,
    train_and_validate,
)

# The study is made once: all tests of this file on one worker.
pytestmark = pytest.mark.slow
FEW = PipelineSettings(max_features=(3,))


def sarcomas(patients: int = 60, strength: float = 2.5) -> tuple[pd.DataFrame, np.ndarray]:
    """Texture decides, age helps a little, sphericity is the volume upside down."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"texture": random.normal(size=patients), "age": random.normal(60, 10, patients)})
    frame["volume"] = random.normal(5, 1, patients)
    frame["sphericity"] = -frame["volume"] + 0.05 * random.normal(size=patients)
    risk = strength * frame["texture"] + 0.03 * (frame["age"] - 60)
    return frame, (random.random(patients) < 1 / (1 + np.exp(-risk))).astype(bool)


QUESTION = Question(
    outcome="metastasis",
    groups={"CT": ["texture", "sphericity"], "clinical": ["age"], "volume": ["volume"]},
    models={"CT": ["CT"], "CT + clinical": ["CT", "clinical"], "clinical": ["clinical"], "volume": ["volume"]},
    baselines=["clinical", "volume"],
    volumes=["volume"],
)


@pytest.fixture(scope="module")
def study():
    frame, outcome = sarcomas()
    random = np.random.default_rng(1)
    frame.loc[:7, ["texture", "sphericity"]] = np.nan  # eight patients without a scan
    table = FeatureTable.of(
        frame,
        outcome,
        centres=["A", "B"] * 30,
        perturbed=[frame[["texture", "sphericity"]] + 0.01 * random.normal(size=(60, 2))],
        harmonised=["texture", "sphericity"],
    )
    days = np.where(outcome, 200.0, 900.0) + random.random(60) * 300
    return train_and_validate(
        table,
        QUESTION,
        settings=FEW,
        splits=RepeatedSplits(4),
        permutations=PermutationTest(39, splits=1),
        follow_up=FollowUp.of(days, outcome),
    )


def test_evidence_is_plain_json_that_gives_the_same_figures_when_read_back(study):
    again = SplitsEvidence.read(json.loads(study.evidence.model_dump_json()))
    assert again == study.evidence
    assert again.validation == study.evidence.validation
    assert set(study.models) == set(QUESTION.models)


def test_models_are_compared_with_baselines_on_the_same_patients_and_splits(study):
    runs = study.evidence.runs
    for item in study.evidence.comparisons:
        first, second = (runs[number] for number in item.runs)
        assert first.rows == second.rows
        assert [split.rows for split in first.splits] == [split.rows for split in second.splits]
    sizes = {name: len(runs[model.run].rows) for name, model in study.evidence.models.items()}
    assert sizes == {"CT": 52, "CT + clinical": 52, "clinical": 60, "volume": 60}
    assert all(item.patients == 52 for item in study.evidence.compared)


def test_a_model_that_is_better_is_called_better(study):
    answer, *models = study.evidence.verdict
    assert [sentence.partition(":")[0] for sentence in models] == ["CT", "CT + clinical"]
    assert answer == "CT and CT + clinical predict the outcome better than clinical or volume alone."
    assert study.evidence.auc("CT").value > study.evidence.auc("volume").value


def test_what_is_called_better_was_permuted_and_the_larger_p_value_is_stated(study):
    stated = {(each.model, each.baseline): each for each in study.evidence.validation.comparisons}
    for item in study.evidence.compared:
        assert item.permutations is not None
        assert (item.permutations.done, item.permutations.as_good) == (39, 0)
        assert stated[item.model, item.baseline].p_value == max(item.adjusted_p_value, 0.05)
    assert "39 permutations of what the model adds" in study.evidence.protocol


def test_where_nothing_is_claimed_nothing_is_permuted():
    frame, outcome = sarcomas(40, strength=0.0)
    found = train_and_validate(FeatureTable.of(frame, outcome), QUESTION, settings=FEW, splits=RepeatedSplits(3))
    assert [pair.permuted for pair in found.evidence.comparisons] == [None] * 4


def test_a_model_that_is_no_better_is_not_called_better():
    frame, outcome = sarcomas(40, strength=0.0)
    found = train_and_validate(FeatureTable.of(frame, outcome), QUESTION, settings=FEW, splits=RepeatedSplits(5))
    assert found.evidence.verdict[0].startswith(
        "No model was shown to predict the outcome better than clinical or volume alone"
    )
    assert not any(item.significantly_better for item in found.evidence.compared)


def test_reader_is_warned_of_few_events_and_of_volume_in_disguise(study):
    warnings = " ".join(study.evidence.warnings)
    assert "sphericity (-1.00 with volume)" in warnings
    assert "events for" in warnings or "cases without the event for" in warnings
    assert "separates" not in warnings


def test_reader_is_warned_of_a_column_that_separates_the_classes():
    frame, outcome = sarcomas(40)
    frame["texture"] = np.where(outcome, 1.0, 0.0) + 0.1 * frame["age"].rank() / 40
    found = train_and_validate(FeatureTable.of(frame, outcome), QUESTION, settings=FEW, splits=RepeatedSplits(3))
    assert "CT: texture alone separates" in " ".join(found.evidence.warnings)


def test_a_patient_is_counted_once_however_often_it_was_held_out(study):
    prediction = study.evidence.predictions("CT")
    assert prediction.cases <= 52
    assert prediction.counts.cases == prediction.cases


def test_use_of_features_is_counted_over_splits(study):
    use = {item.name: item for item in study.evidence.feature_use("CT")}
    assert use["texture"].share == 1
    assert use["texture"].log_odds > 0
    assert use["texture"].same_sign == 1


def test_time_to_event_is_ranked_and_grouped(study):
    assert study.evidence.concordance("CT").value > 0.6
    groups = study.evidence.risk_rows("CT")
    assert not set(groups["high risk"]) & set(groups["low risk"])
    labels = study.evidence.labels
    assert labels[groups["high risk"]].mean() > labels[groups["low risk"]].mean()


def test_cox_finds_what_shortens_the_time():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(80, 3)), columns=["hazard", "a", "b"])
    days = random.exponential(np.exp(-1.2 * frame["hazard"])) * 100 + 1
    observed = days < 300
    model = fit_cox(
        FeatureTable.of(frame, observed),
        FollowUp.of(np.minimum(days, 300), observed),
        PipelineSettings(max_features=(1,)),
    )
    assert model.preparation.columns == ("hazard",)
    assert model.coefficients[0] > 0.5


def test_each_centre_is_judged_by_the_other(study):
    assert set(study.evidence.models["CT"].centres) == {"A", "B"}


def test_other_patients_are_judged_with_an_interval(study):
    frame, outcome = sarcomas(50)
    predictions = external_validation(study.models, FeatureTable.of(frame, outcome))
    estimate = study.evidence.with_external("hospital", predictions).external_auc("hospital", "CT")
    assert 0.5 < estimate.lower < estimate.value < estimate.upper <= 1
    assert "CT" not in external_validation(study.models, FeatureTable.of(frame[["age"]], outcome))


def test_a_model_that_too_few_patients_can_have_is_left_out_and_named():
    frame, outcome = sarcomas(40)
    frame.loc[frame.index[5:], ["texture", "sphericity"]] = np.nan
    found = train_and_validate(FeatureTable.of(frame, outcome), QUESTION, settings=FEW, splits=RepeatedSplits(3))
    assert set(found.models) == {"clinical", "volume"}
    assert "CT: not trained" in found.evidence.warnings[0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"models": {"PET": ["PET"]}}, "The model PET names PET"),
        ({"baselines": ["SUVmax"]}, "The baseline SUVmax is no model"),
        ({"groups": {"CT": ["suv"], "clinical": ["age"], "volume": ["volume"]}}, "no column suv"),
    ],
)
def test_a_question_about_what_is_not_there_is_refused(change, sentence):
    frame, outcome = sarcomas(20)
    question = Question(**{**vars(QUESTION), **change})
    with pytest.raises(InvalidInputError, match=sentence):
        train_and_validate(FeatureTable.of(frame, outcome), question, settings=FEW, splits=RepeatedSplits(2))


def test_without_two_patients_of_each_kind_nothing_is_learned():
    frame, _ = sarcomas(20)
    with pytest.raises(InvalidInputError, match="1 patients with the outcome"):
        fit(FeatureTable.of(frame, [1] + [0] * 19), PipelineSettings(classifiers=(Classifier.LOGISTIC,)))
