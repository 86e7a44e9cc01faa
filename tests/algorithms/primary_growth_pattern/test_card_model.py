import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from preop.errors import InvalidInputError, InvalidModelError
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import Case
from preop.study import read_description
from primary_growth_pattern import page
from primary_growth_pattern.card_model import ITEMS, SLIDE_ITEMS, CardModel, Weight, fit_card_model
from primary_growth_pattern.pathology_report import REPORT, with_report
from primary_growth_pattern.score_card import DEFINITIONS, Item, ScoreCard
from tests.conftest import ROOT

ALGORITHM = read_algorithm(ROOT / "algorithms" / "primary_growth_pattern")


def card(**unfavourable: bool | None) -> ScoreCard:
    """Make a card of which all items that are not named are favourable."""
    items = []
    for name, definition in DEFINITIONS.items():
        flag = unfavourable.get(name, False)
        items.append(
            Item(
                name=name,
                title=definition.title,
                value=None if flag is None else 1.0,
                unit=definition.unit,
                category=None,
                cut_off=definition.cut_off,
                rule=definition.rule,
                source=definition.source,
                unfavourable=flag,
                not_assessed="not on the slide" if flag is None else None,
                measures={},
                regions=(),
            )
        )
    return ScoreCard(items=tuple(items))


def test_the_page_names_what_the_report_says_as_a_category() -> None:
    told = with_report(card(), Case(ALGORITHM, "p", {}, {REPORT: {"pn_stage": "pN2"}}))
    said = {"assessable": "yes", "decision": "none", "likelihood": 0.5, "decision_threshold": 0.5}
    words = page._reasoning(said, told.to_json()["items"])
    assert "; lymph nodes (pN2). Not assessed: depth of invasion, side" in words


def drawn(patients: int, seed: int = 0) -> tuple[list[ScoreCard], np.ndarray]:
    """Draw patients in whom few lymphocytes and high budding make desmoplastic growth rarer, and nothing else matters."""
    rng = np.random.default_rng(seed)
    flags = rng.random((patients, len(SLIDE_ITEMS))) < 0.4
    few, high = flags[:, SLIDE_ITEMS.index("lymphocytes")], flags[:, SLIDE_ITEMS.index("budding")]
    outcome = rng.random(patients) < 1 / (1 + np.exp(-(1.0 - 2.0 * few - 1.0 * high)))
    return [card(**dict(zip(SLIDE_ITEMS, row, strict=True))) for row in flags.tolist()], outcome


def test_items_without_a_direction_are_no_part_of_the_model() -> None:
    assert SLIDE_ITEMS == ("tumour_stroma_ratio", "budding", "lymphocytes", "crohn_like", "stroma_maturity", "margin")


def test_two_items_that_say_the_same_share_their_weight() -> None:
    cards, outcome = drawn(300)
    twice = [card(budding=one.finding("budding"), margin=one.finding("budding")) for one in cards]
    weights = {weight.item: weight.log_odds for weight in fit_card_model(twice, outcome).weights}
    assert weights.keys() == {"budding", "margin"}
    assert weights["budding"] == pytest.approx(weights["margin"])


def test_weights_that_are_equal_in_truth_become_equal_where_patients_are_few() -> None:
    rng = np.random.default_rng(3)
    flags = rng.random((80, len(SLIDE_ITEMS))) < 0.4
    outcome = rng.random(80) < 1 / (1 + np.exp(-(2.0 - 0.9 * flags.sum(axis=1))))
    model = fit_card_model([card(**dict(zip(SLIDE_ITEMS, row, strict=True))) for row in flags.tolist()], outcome)
    weights = [weight.log_odds for weight in model.weights]
    assert max(weights) - min(weights) < 0.1
    assert np.mean(weights) == pytest.approx(-0.9, abs=0.5)


def test_a_count_that_separates_the_patients_has_finite_weights() -> None:
    cards = [card(budding=bad, lymphocytes=bad, margin=bad) for bad in [True] * 10 + [False] * 10]
    model = fit_card_model(cards, [False] * 10 + [True] * 10)
    assert all(-10 < weight.log_odds < -1 for weight in model.weights)
    assert model.predict(cards[0]) < 0.1
    assert model.predict(cards[-1]) > 0.9


def test_cards_of_one_person_stand_in_one_fold() -> None:
    cards, outcome = drawn(60)
    persons = [str(number // 2) for number in range(60)]
    by_person = np.repeat(outcome[::2], 2)
    assert fit_card_model(cards, by_person, persons).patients == 60


def test_what_the_report_says_has_a_weight_where_it_tells_and_none_where_it_is_not_given() -> None:
    cards, outcome = drawn(400)
    case = Case(ALGORITHM, "p", {}, {})
    told = [
        with_report(one, replace(case, values={REPORT: {"pn_stage": "pN0" if good else "pN2", "side": "left"}}))
        for one, good in zip(cards, outcome, strict=True)
    ]
    model = fit_card_model([*told[:300], *cards[300:]], outcome)
    weights = {weight.item: weight.log_odds for weight in model.weights}
    assert weights["pn_stage"] < -2
    assert not {"side", "pt_stage", "mismatch_repair"} & weights.keys()
    assert model.predict(told[0]) != pytest.approx(model.predict(cards[0]))
    assert {part.item: part.unfavourable for part in model.contributions(cards[0])}["pn_stage"] is None
    nothing = with_report(cards[0], replace(case, values={REPORT: {}}))
    assert model.predict(nothing) == pytest.approx(model.predict(cards[0]))
    assert nothing.item("pn_stage").not_assessed == "not in the pathology report"
    assert with_report(cards[0], case) == cards[0]


def test_weights_are_those_that_patients_were_drawn_with() -> None:
    model = fit_card_model(*drawn(3000))
    weights = {weight.item: weight for weight in model.weights}
    assert weights["lymphocytes"].log_odds == pytest.approx(-2, abs=0.3)
    assert weights["budding"].log_odds == pytest.approx(-1, abs=0.3)
    assert weights["margin"].log_odds == pytest.approx(0, abs=0.3)
    for weight in model.weights:
        assert weight.lower is not None
        assert weight.upper is not None
        assert weight.lower < weight.log_odds < weight.upper


def test_predictions_have_the_mean_of_the_outcomes() -> None:
    cards, outcome = drawn(400)
    model = fit_card_model(cards, outcome)
    assert np.mean([model.predict(one) for one in cards]) == pytest.approx(outcome.mean(), abs=1e-3)
    assert (model.patients, model.events) == (400, outcome.sum())


def test_contributions_add_up_to_the_log_odds() -> None:
    model = fit_card_model(*drawn(200))
    patient = card(budding=True, margin=None)
    log_odds = model.intercept + sum(part.log_odds for part in model.contributions(patient))
    assert model.predict(patient) == pytest.approx(1 / (1 + math.exp(-log_odds)))


def test_an_item_that_was_not_assessed_moves_nothing() -> None:
    model = CardModel(
        format=1,
        intercept=0.5,
        weights=(Weight(item="budding", log_odds=-1.2, lower=-2, upper=-0.4, unfavourable_share=0.25),),
        unweighted=tuple(name for name in ITEMS if name != "budding"),
        patients=40,
        events=20,
    )
    assert model.predict(card(budding=None)) == pytest.approx(1 / (1 + math.exp(-0.5)))
    assert model.contributions(card(budding=True))[0].log_odds == pytest.approx(-0.9)
    assert model.contributions(card(budding=False))[0].log_odds == pytest.approx(0.3)


def test_it_learns_from_cards_with_gaps() -> None:
    cards, outcome = drawn(300)
    gaps = [card(**{name: one.finding(name) for name in SLIDE_ITEMS if name != "lymphocytes"}) for one in cards[:30]]
    gaps = [
        ScoreCard(items=tuple(card(lymphocytes=None).item(i.name) if i.name == "lymphocytes" else i for i in one.items))
        for one in gaps
    ]
    model = fit_card_model([*gaps, *cards[30:]], outcome)
    share = np.mean([bool(one.item("lymphocytes").unfavourable) for one in cards[30:]])
    weight = next(weight for weight in model.weights if weight.item == "lymphocytes")
    assert weight.unfavourable_share == pytest.approx(share)


def test_an_item_that_never_varies_has_no_weight() -> None:
    cards = [card(budding=number % 2 == 0, margin=None) for number in range(20)]
    model = fit_card_model(cards, [number % 3 == 0 for number in range(20)])
    assert [weight.item for weight in model.weights] == ["budding"]


def test_a_model_comes_back_from_its_file(tmp_path: Path) -> None:
    model = fit_card_model(*drawn(100))
    (tmp_path / "card.json").write_text(json.dumps(model.to_json()))
    assert read_description(tmp_path, "card.json", CardModel) == model


def test_a_model_that_weighs_an_unknown_item_or_forgets_one_is_refused(tmp_path: Path) -> None:
    content = fit_card_model(*drawn(100)).to_json()
    first, *others = content["weights"]
    for weights, names in (
        ([{**first, "item": "colour"}, *others], "has the items colour"),
        (others, "expected each of"),
    ):
        (tmp_path / "card.json").write_text(json.dumps({**content, "weights": weights}))
        with pytest.raises(InvalidModelError, match=names):
            read_description(tmp_path, "card.json", CardModel)


def test_cards_that_cannot_be_learned_from_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="2 score cards and 1 outcomes"):
        fit_card_model([card(), card()], [True])
    with pytest.raises(InvalidInputError, match="nothing to learn from"):
        fit_card_model([card(), card()], [True, False])


def test_without_an_item_that_was_assessed_in_any_patient_the_model_says_nothing() -> None:
    nothing = card(**dict.fromkeys(ITEMS))
    model = fit_card_model([nothing] * 4, [True, True, True, False])
    assert model.weights == ()
    assert not model.says(nothing)
    assert not model.says(card())
    assert model.predict(nothing) == pytest.approx(3.5 / 5)
