import numpy as np
import pandas as pd
import pytest

from preop.errors import InvalidInputError
from preop.statistics import decision_curve


def test_net_benefit_by_hand():
    # At 0.25 one false positive costs a third of a true one: model 2/5 - 1/5/3, all 2/5 - 3/5/3.
    curve = decision_curve([1, 1, 0, 0, 0], [0.9, 0.3, 0.3, 0.1, 0.0], [0.25])
    assert curve.model[0] == pytest.approx(2 / 5 - 1 / 15)
    assert curve.all[0] == pytest.approx(2 / 5 - 3 / 15)
    assert curve.none[0] == 0


def test_a_risk_at_the_threshold_is_acted_on():
    assert decision_curve([1, 0], [0.25, 0.1], [0.25]).model[0] == pytest.approx(1 / 2)


def test_it_agrees_with_the_authors_of_the_method():
    import dcurves

    random = np.random.default_rng(0)
    outcome, risk = random.integers(0, 2, 60), random.random(60)
    thresholds = np.arange(0.05, 0.95, 0.05)
    curve = decision_curve(outcome, risk, thresholds)
    table = dcurves.dca(
        data=pd.DataFrame({"outcome": outcome, "risk": risk}),
        outcome="outcome",
        modelnames=["risk"],
        thresholds=thresholds,
    )
    for name, values in {"risk": curve.model, "all": curve.all, "none": curve.none}.items():
        assert values == pytest.approx(table[table["model"] == name]["net_benefit"].to_numpy())


def test_a_threshold_of_certainty_is_refused():
    with pytest.raises(InvalidInputError, match="below 1"):
        decision_curve([0, 1], [0.1, 0.9], [1.0])
