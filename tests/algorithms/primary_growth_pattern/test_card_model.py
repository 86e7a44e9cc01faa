import json
import math
from pathlib import Path

import numpy as np
import pytest

from preop.errors import InvalidInputError, InvalidModelError
from preop.study import read_description
from primary_growth_pattern.card_model import ITEMS, CardModel, Weight, fit_card_model
from primary_growth_pattern.score_card import DEFINITIONS, Item, ScoreCard


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


def drawn(patients: int, seed: int = 0) -> tuple[list[ScoreCard], np.ndarray]:
    """Draw patients in whom few lymphocytes and high budding make desmoplastic growth rarer, and nothing else matters."""
    rng = np.random.default_rng(seed)
    flags = rng.random((patients, len(ITEMS))) < 0.4
    few, high = flags[:, ITEMS.index("lymphocytes")], flags[:, ITEMS.index("budding")]
    outcome = rng.random(patients) < 1 / (1 + np.exp(-(1.0 - 2.0 * few - 1.0 * high)))
    return [card(**dict(zip(ITEMS, row, strict=True))) for row in flags.tolist()], outcome


def test_items_without_a_direction_are_no_part_of_the_model() -> None:
    assert ITEMS == ("tumour_stroma_ratio", "budding", "lymphocytes", "crohn_like", "stroma_maturity", "margin")


def test_an_item_that_another_already_says_has_no_weight() -> None:
    flags = [True, False, True, False, False, True]
    cards = [card(budding=flag, lymphocytes=flag, crohn_like=number == 0) for number, flag in enumerate(flags)]
    model = fit_card_model(cards, [0, 1, 0, 1, 0, 1])
    assert [weight.item for weight in model.weights] == ["budding", "crohn_like"]


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
    gaps = [
        card(**{name: one.item(name).unfavourable for name in ITEMS if name != "lymphocytes"}) for one in cards[:30]
    ]
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
        ([{**first, "item": "grade"}, *others], "has the items grade"),
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
