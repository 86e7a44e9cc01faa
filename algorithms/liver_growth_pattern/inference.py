"""The growth pattern of colorectal liver metastases on portal venous CT, pure and mixed.

The pattern shows where metastasis and liver meet. So each metastasis is described there in two ways: by radiomics of its
core and of rings below and above its surface, and by a network on patches of the unrolled interface. Stacked, they give
one distribution over what a pathologist may report of it in steps of 5 %, from which all answers follow: shares with
intervals, the predominant pattern, and whether it is purely desmoplastic. A patient is desmoplastic only if every
metastasis is, all along its interface; the probability of that takes into account that metastases resemble each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError, InvalidModelError
from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm
from preop.imaging import Image, check_hu, components
from preop.staging import Pattern
from preop.study import supported

from .combination import Learner, PatientPrediction, predict_patient
from .explanation import explanation, pattern_chart, pattern_map, pattern_points, result
from .fitted import Patient
from .lesions import CT, SEGMENTATION, Lesions, find_lesions
from .likeness import scan_measures
from .model import DETECTION_NETWORK, LIVER, Model, load_model
from .plausibility import problems_of

MORE_LIKELY = 0.5
"""Probability from which a voxel is of a metastasis, or of the liver."""


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the shares of each metastasis, and the likelihood that the patient is non-desmoplastic."""
    ct = case.image(CT)
    check_hu(ct, name=CT)
    detected = None if SEGMENTATION in case else _detect(ct, model)
    segmentation = case.image(SEGMENTATION) if detected is None else detected.metastases
    found = find_lesions(ct, segmentation, _liver(ct, segmentation, model, detected))
    problems = problems_of(found.seen)
    plausible = found.without(problems)
    likeness = model.training_patients.compare(scan_measures(ct, plausible))
    # What a network outlines on a scan unlike those that it learned from may be anything.
    trusted = detected is None or not plausible.seen or likeness.is_like
    lesions = plausible if trusted else found.without(each.lesion.number for each in found.seen)
    patient, outputs, prediction = _assess(case.name, lesions, model)
    return {
        "non-desmoplastic-likelihood": prediction.non_desmoplastic,
        "growth-patterns": result(
            prediction,
            lesions,
            problems,
            likeness,
            ct,
            model,
            detected=detected.patterns if detected else {},
            trusted=trusted,
        ),
        "growth-pattern-chart": pattern_chart(prediction, lesions),
        "liver-metastases": pattern_points(prediction, lesions),
        "growth-pattern-map": pattern_map(prediction, lesions),
        "growth-pattern-explanation": explanation(patient, outputs, lesions, model),
    }


def _assess(
    name: str, lesions: Lesions, model: Model
) -> tuple[Patient, Mapping[Learner, NDArray[np.float64]], PatientPrediction]:
    """Predict from what is plausible; without any, nothing is known beyond the proportion of non-desmoplastic patients."""
    if not lesions.seen:
        data = model.info.training_data
        share = supported((data.events or 0) / data.patients, model.info)
        return Patient(name, "", [], np.empty(0, np.uint8)), {}, PatientPrediction(share, ())
    patient = _patient(name, lesions)
    (outputs,) = model.fitted.outputs([patient])
    found = predict_patient(model.stack.combine(outputs), model.within_patient_correlation)
    return patient, outputs, PatientPrediction(supported(found.non_desmoplastic, model.info), found.lesions)


def _patient(name: str, lesions: Lesions) -> Patient:
    patches = np.stack([each.patches for each in lesions.seen])
    return Patient(name, "", [each.features for each in lesions.seen], patches, [-1] * len(lesions.seen))


class _Detected(NamedTuple):
    """What the detection network finds on a CT.

    Attributes
    ----------
    metastases
        Their numbers, 0 elsewhere.
    patterns
        What it sees in each, by number.
    liver
        Mask of the liver with its metastases; None where the network does not draw it.
    """

    metastases: Image
    patterns: dict[int, str]
    liver: Image | None


def _detect(ct: Image, model: Model) -> _Detected:
    """Find metastases with the network of the model folder.

    A voxel is of a metastasis where that is likelier than not, though no pattern alone may be; one outside of the liver is
    none, where the network draws the liver.
    """
    if model.detection is None:
        raise InvalidModelError(
            f"No {SEGMENTATION} is given, and the model folder holds no network that could draw it "
            f"({DETECTION_NETWORK}/): give a segmentation of the metastases, or a model with such a network."
        )
    patterns = [str(pattern) for pattern in Pattern]
    drawn = [*patterns, *({LIVER} & model.detection.labels.keys())]
    _, found = model.detection.segment_with_probabilities(ct, drawn)
    inside = _sum(found[pattern].voxels for pattern in patterns) >= MORE_LIKELY
    liver = None
    if LIVER in found:
        liver = ct.with_voxels(_largest(ct, _sum(each.voxels for each in found.values()) >= MORE_LIKELY))
        inside &= liver.voxels
    labels, count = components(ct.with_voxels(inside))
    if not count:
        raise InvalidInputError(
            "The detection network found no metastasis on the CT, so there is nothing to assess: give a segmentation of the "
            "metastases."
        )
    numbers = labels.voxels[inside]
    seen = [np.bincount(numbers, weights=found[pattern].voxels[inside], minlength=count + 1) for pattern in patterns]
    likeliest = {number: patterns[int(np.argmax([each[number] for each in seen]))] for number in range(1, count + 1)}
    return _Detected(labels, likeliest, liver)


def _sum(probabilities: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.asarray(reduce(np.add, probabilities))


def _largest(ct: Image, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Give the largest connected part of a mask; nothing of an empty one."""
    labels, count = components(ct.with_voxels(mask))
    sizes = np.bincount(labels.voxels[mask], minlength=count + 1)
    return np.asarray(mask & (labels.voxels == sizes.argmax()))


def _liver(ct: Image, segmentation: Image, model: Model, detected: _Detected | None) -> Image | None:
    """Mask of the liver with its metastases: by the organ network, where the model has one, or by that which found them."""
    if model.organs is None:
        return detected.liver if detected else None
    liver = model.organs.segment(ct).mask("liver")
    return ct.with_voxels(liver | (segmentation.voxels > 0))


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
