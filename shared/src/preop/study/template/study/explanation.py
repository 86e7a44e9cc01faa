"""How a prediction is put into words and charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from preop.grandchallenge.outputs import Output
from preop.report.charts import Contribution as ChartRow
from preop.report.charts import contributions_chart
from preop.study import DISCLAIMER, model_entry, simulation_warnings
from preop.tabular import Contribution

from .measurement import DENSITY, VOLUME
from .model import MODEL, Model

LABELS = {VOLUME: "volume", DENSITY: "mean density"}


def explanation(likelihood: float, contributions: Sequence[Contribution], model: Model) -> dict[str, Any]:
    """Give the decision, what each measurement contributes to it, warnings and provenance."""
    return {
        "likelihood": likelihood,
        "decision_threshold": model.logistic.threshold,
        "decision": "malignant" if likelihood >= model.logistic.threshold else "benign",
        "measurements": [
            {
                "measurement": part.name,
                "label": LABELS[part.name],
                "value": part.value,
                "value_in_words": _written(part),
                "contribution_log_odds": part.log_odds,
            }
            for part in contributions
        ],
        "warnings": _warnings(contributions, model),
        "model": model_entry(model.info, model.info.validation.models[MODEL].model_dump()),
        "disclaimer": DISCLAIMER,
    }


def chart(likelihood: float, contributions: Sequence[Contribution]) -> Output:
    """Draw what each measurement contributes to the log odds."""
    return contributions_chart(
        [ChartRow(LABELS[part.name], _written(part), part.log_odds) for part in contributions],
        title=f"Likelihood of malignancy {likelihood:.0%}",
    )


def _written(part: Contribution) -> str:
    return f"{math.exp(part.value):.1f} ml" if part.name == VOLUME else f"{part.value:.0f} HU"


def _warnings(contributions: Sequence[Contribution], model: Model) -> list[str]:
    """Say what a reader should know before trusting the number."""
    return [
        *(
            f"The {LABELS[part.name]} ({_written(part)}) is outside the range of the training patients."
            for part in contributions
            if part.outside_training_range
        ),
        *(
            f"In cross-validation this model was not shown to do better than {baseline} alone."
            for baseline in model.info.validation.not_better_than(MODEL)
        ),
        *simulation_warnings(model.info),
    ]
