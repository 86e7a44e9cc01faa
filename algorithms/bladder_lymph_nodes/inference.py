"""Lymph node metastasis of muscle-invasive bladder cancer on CT.

Each lymph node is assessed on its own, by one model that is the same for all nodes; the default one adds up signs that can only
raise the probability: size, roundness, density, a dense 10th percentile, infiltrated fat. The number of positive nodes follows from
all of them together, each judged in the light of the others, and by it the model was trained: on nothing but what the pathologist
counted. The likelihood of pN+ is that of at least one. So the prediction can be traced back to the nodes. What cannot be a
lymph node takes no part in it.
"""

from __future__ import annotations

from pathlib import Path

from preop.errors import InvalidInputError, InvalidModelError
from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm
from preop.imaging import Image, check_hu
from preop.stored_features import StoredFeatures
from preop.study import supported

from .explanation import MAX_COUNTED, Assessed, chart, explanation, heat_map, points, table
from .instances import instances_of
from .likeness import scan_measures
from .lymph_nodes import CT, FEATURES, SEGMENTATION, LymphNodes, check_features, find_lymph_nodes
from .model import SEGMENTATION_NETWORK, Model, load_model
from .plausibility import problems_of

__all__ = ["load_model", "predict"]


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the likelihood of pN+, and trace it back to the nodes."""
    ct = case.image(CT)
    check_hu(ct, name=CT)
    features = _features(case, model)
    by_network = SEGMENTATION not in case
    segmentation = _segment(ct, model) if by_network else case.image(SEGMENTATION)
    found = find_lymph_nodes(ct, segmentation)
    if features is not None:
        check_features(features, segmentation, found)
    problems = problems_of(found.nodes)
    plausible = found.without(number for number, failed in problems.items() if failed)
    likeness = model.training_patients.compare(scan_measures(ct, plausible))
    # What a network outlines on a scan unlike those that it learned from may be anything.
    trusted = not by_network or not plausible.nodes or likeness.is_like
    nodes = plausible if trusted else found.without(problems)
    assessed = _assess(case.name, ct, nodes, features, model)
    return {
        "lymph-node-metastasis-likelihood": assessed.likelihood,
        "positive-lymph-nodes": explanation(
            assessed,
            nodes,
            problems,
            likeness,
            ct,
            model,
            by_network=by_network,
            trusted=trusted,
            not_read=[FEATURES] if FEATURES in case and features is None else [],
        ),
        "positive-lymph-nodes-chart": chart(assessed, nodes),
        "lymph-nodes": points(assessed, nodes, model),
        "lymph-node-table": table(assessed, nodes, found, problems, model),
        "lymph-node-heat-map": heat_map(assessed, nodes),
    }


def _features(case: Case, model: Model) -> StoredFeatures | None:
    """Give the features of the nodes, where the model takes such: those of the encoder that it was trained on."""
    encoder = model.encoder
    if encoder is None:
        return None
    called = f"{encoder.features} features" + (f" of the encoder {encoder.name}" if encoder.name else "")
    if FEATURES not in case:
        raise InvalidInputError(
            f"The model takes {called} for each lymph node, and none were given: provide {FEATURES}."
        )
    features = case.features(FEATURES)
    found = features.values.shape[1]
    if found != encoder.features or (encoder.name and features.encoder and encoder.name != features.encoder):
        of = f" of the encoder {features.encoder}" if features.encoder else ""
        raise InvalidInputError(
            f"{FEATURES} holds {found} features{of} for each lymph node; the model takes {called}: use the same encoder."
        )
    return features


def _assess(name: str, ct: Image, nodes: LymphNodes, features: StoredFeatures | None, model: Model) -> Assessed:
    """Predict from the nodes that are plausible; without any, nothing is known beyond the proportion of pN+ patients."""
    if not nodes.nodes:
        data = model.info.training_data
        return Assessed(supported((data.events or 0) / data.patients, model.info))
    description = model.description
    instances = instances_of(ct, nodes, description.network, description.measured, features=features)
    prediction = model.ensemble.read(name, instances, most=MAX_COUNTED)
    return Assessed(supported(prediction.probability, model.info), prediction)


def _segment(ct: Image, model: Model) -> Image:
    """Segment the nodes with the network of the model folder."""
    if model.segmentation is None:
        raise InvalidModelError(
            f"No {SEGMENTATION} was given, and the model folder holds no network that could make one "
            f"({SEGMENTATION_NETWORK}/): provide the segmentation, or a model with such a network."
        )
    segmented = model.segmentation.segment(ct)
    if not segmented.voxels.any():
        raise InvalidInputError(
            "The segmentation network found no lymph nodes on the CT, and without nodes there is no prediction: "
            "segment them by hand."
        )
    return segmented


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
