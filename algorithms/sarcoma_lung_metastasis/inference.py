"""Risk of lung metastasis of a soft-tissue sarcoma.

The tumour is measured on each scan the patient has (shape, intensity and texture by the IBSI standard), clinical
information is added as far as it is known, and a penalised logistic regression on few selected features, one for each
accepted combination of inputs, turns them into a likelihood. What each feature adds is reported in log odds.
"""

from __future__ import annotations

from pathlib import Path

from preop.errors import InvalidModelError
from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm
from preop.study import supported

from .explanation import chart, explanation
from .features import measure
from .likeness import measures_of_case, scans_key
from .model import Model, interface_key, load_model

__all__ = ["load_model", "predict"]


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the likelihood of lung metastasis, and what it rests on."""
    key = interface_key(case.interface)
    if key not in model.by_interface:
        raise InvalidModelError(
            f"The model folder holds no model on {key}, because no training patient had these inputs: "
            "train one on patients who have them."
        )
    logistic = model.by_interface[key]
    row = measure(case)
    likelihood = supported(logistic.probability(row), model.info)
    likeness = model.training_patients[scans_key(key.split(" + "))].compare(measures_of_case(case), "patient")
    contributions = sorted(logistic.contributions(row), key=lambda each: -abs(each.log_odds))
    return {
        "lung-metastasis-likelihood": likelihood,
        "lung-metastasis-explanation": explanation(likelihood, contributions, row, likeness, key, model),
        "lung-metastasis-contributions": chart(likelihood, contributions, logistic.threshold),
    }


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
