"""Lymph node metastasis of muscle-invasive bladder cancer on CT.

Each lymph node is assessed on its own: a cube of 48 mm around it, with the outlines of the node and its neighbours, and
its measurements go through one network, the same for all nodes. The number of positive nodes then has a
Poisson-binomial distribution, by which the network was trained on nothing but the pathologist's count; the likelihood
of pN+ is that of at least one. So the prediction can be traced back to the nodes.
"""

from __future__ import annotations

from pathlib import Path

from preop.errors import InvalidInputError, InvalidModelError
from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm
from preop.imaging import Image, check_hu

from .explanation import MAX_COUNTED, chart, explanation, heat_map, points, table
from .instances import bag_of
from .lymph_nodes import CT, SEGMENTATION, find_lymph_nodes
from .model import SEGMENTATION_NETWORK, Model, load_model

__all__ = ["load_model", "predict"]


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the likelihood of pN+, and trace it back to the nodes."""
    ct = case.image(CT)
    check_hu(ct, name=CT)
    segmentation = case.image(SEGMENTATION) if SEGMENTATION in case else _segment(ct, model)
    nodes = find_lymph_nodes(ct, segmentation)
    bag = bag_of(case.name, ct, nodes, model.description.network, model.description.measured)
    (prediction,) = model.ensemble.predict([bag], most=MAX_COUNTED)
    return {
        "lymph-node-metastasis-likelihood": prediction.probability,
        "positive-lymph-nodes": explanation(prediction, nodes, ct, model),
        "positive-lymph-nodes-chart": chart(prediction, nodes),
        "lymph-nodes": points(prediction, nodes, model),
        "lymph-node-table": table(prediction, nodes, model),
        "lymph-node-heat-map": heat_map(prediction, nodes),
    }


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
