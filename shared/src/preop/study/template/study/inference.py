"""Likelihood that a lesion on CT is malignant.

Volume and mean density of the segmented lesion go into a penalised logistic regression. Replace the method here; wording
and charts are in ``explanation``, and what a model folder holds is in ``model``.
"""

from __future__ import annotations

from pathlib import Path

from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm

from .explanation import chart, explanation
from .measurement import CT, SEGMENTATION, measure
from .model import Model, load_model


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the likelihood of malignancy, and what it rests on."""
    row = measure(case.image(CT), case.mask(SEGMENTATION))
    likelihood = model.logistic.probability(row)
    contributions = model.logistic.contributions(row)
    return {
        "malignancy-likelihood": likelihood,
        "malignancy-explanation": explanation(likelihood, contributions, model),
        "malignancy-contributions": chart(likelihood, contributions),
    }


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
