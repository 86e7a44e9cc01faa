"""Risk of lung metastasis of a soft-tissue sarcoma.

The tumour is measured on each scan the patient has (shape, intensity and texture by the IBSI standard), clinical
information is added as far as it is known, and a penalised logistic regression on few selected features, one for each
combination of inputs that training patients had, turns them into a likelihood. A scan that no model knows is left out, and
the output says so. Where a scan comes without the tumour, a network of the model folder outlines it, if there is one; that
is an output for a person to approve, and limits what is said. What each feature adds is reported in log odds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from preop.errors import InvalidInputError, InvalidModelError
from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm
from preop.imaging import Image
from preop.study import supported

from .explanation import chart, explanation
from .features import SCANS, Scan, check_unit, measure
from .likeness import measures_of_case, scans_key
from .model import SEGMENTATION_NETWORKS, Model, interface_key, load_model, scans_of

__all__ = ["load_model", "predict"]


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the likelihood of lung metastasis, and what it rests on."""
    proposals = {scan: _outlined(scan, case, model) for scan in SCANS if _lacks_its_tumour(scan, case)}
    for scan, outline in proposals.items():
        case = case.with_image(scan.segmentation, outline)
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
        "lung-metastasis-explanation": explanation(
            likelihood, contributions, row, likeness, given, key, model, proposed=[*proposals]
        ),
        "lung-metastasis-contributions": chart(likelihood, contributions, logistic.threshold),
        **{scan.proposal: outline for scan, outline in proposals.items()},
    }


def _lacks_its_tumour(scan: Scan, case: Case) -> bool:
    return scan.image in case and scan.segmentation not in case


def _outlined(scan: Scan, case: Case, model: Model) -> Image:
    """Outline the tumour on a scan by the network of the model folder: 1 inside, 0 elsewhere."""
    network = model.outliners.get(scan.image)
    if network is None:
        raise InvalidModelError(
            f"{scan.image} was given without {scan.segmentation}, and the model folder holds no network that could outline the "
            f"tumour ({SEGMENTATION_NETWORKS}/{scan.image}/): give the segmentation, leave the scan out, or take a model with "
            "such a network."
        )
    image = case.image(scan.image)
    check_unit(scan, image)
    found = network.segment(image).voxels != 0
    if not found.any():
        raise InvalidInputError(f"The network found no tumour on {scan.image}: outline it by hand.")
    return image.with_voxels(found.astype(np.uint8))


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
