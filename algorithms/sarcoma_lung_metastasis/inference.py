"""Risk of lung metastasis of a soft-tissue sarcoma.

The tumour is measured on each scan the patient has (shape, intensity and texture by the IBSI standard), clinical
information is added as far as it is known, and a penalised logistic regression on few selected features, one for each
combination of inputs that training patients had, turns them into a likelihood. A scan that no model knows is left out, and
the output says so. What each feature adds is reported in log odds.
"""

from __future__ import annotations

from pathlib import Path

from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm
from preop.study import supported

from .explanation import chart, explanation
from .features import measure
from .likeness import measures_of_case, scans_key
from .model import Model, interface_key, load_model, scans_of

__all__ = ["load_model", "predict"]


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the likelihood of lung metastasis, and what it rests on."""
    given = interface_key(case.interface)
    key = model.best_for(given)
    logistic = model.by_interface[key]
    scans = scans_of(key)
    row = measure(case, scans=scans)
    likelihood = supported(logistic.probability(row), model.info)
    likeness = model.training_patients[scans_key(key.split(" + "))].compare(measures_of_case(case, scans), "patient")
    contributions = sorted(logistic.contributions(row), key=lambda each: -abs(each.log_odds))
    return {
        "lung-metastasis-likelihood": likelihood,
        "lung-metastasis-explanation": explanation(likelihood, contributions, row, likeness, given, key, model),
        "lung-metastasis-contributions": chart(likelihood, contributions, logistic.threshold),
    }


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
