"""Lymph node metastasis of muscle-invasive bladder cancer on CT.

Each lymph node is looked at on its own: a cube of 48 mm around it, with the outlines of the node and its neighbours,
and its size, go through one network, the same for all nodes. The number of positive nodes then has a Poisson-binomial
distribution, by which the network was trained on nothing but the pathologist's count; the likelihood of pN+ is that of
at least one. So the prediction can be traced back to the nodes.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preop.errors import InvalidInputError, InvalidModelError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.models import ModelInfo, read_model_info
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm
from preop.grandchallenge.values import Point, multiple_points
from preop.imaging import Image, check_hu
from preop.mil import Ensemble, Prediction, read_ensemble
from preop.report.charts import count_chart, share_chart
from preop.segmentation import Network, load_network
from preop.toml import first_validation_error

from .instances import bag_of
from .lymph_nodes import CT, SEGMENTATION, SIZE_RULE_MM, LymphNode, LymphNodes, find_lymph_nodes
from .network import NetworkSettings, make_encoder

DESCRIPTION_FILE = "lymph-nodes.json"
SEGMENTATION_NETWORK = "node_segmentation"
MOST_COUNTED = 20
"""The last of the reported probabilities is that of this many positive nodes or more."""
VISIBLE = 0.005
"""Height of a bar that can be seen."""
DISCLAIMER = "Research only: this is not a medical device and must not guide the care of a patient."


class Range(BaseModel):
    """Smallest and largest value among the training patients."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: float
    high: float


class Description(BaseModel):
    """What a trained model needs beside its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: NetworkSettings
    measured: tuple[str, ...] = Field((), description="radiomics features, in the order the network takes them")
    threshold: float = Field(ge=0, le=1, description="likelihood from which a patient is called pN+")
    nodes: Range = Field(description="number of nodes of a patient")
    median_hu: Range = Field(
        description="median density of a patient's nodes: from the 5th to the 95th percentile of patients"
    )
    slice_mm: Range = Field(description="distance of slices")


@dataclass(frozen=True)
class Model:
    """A trained model, where it comes from, and the network that finds nodes where it has one."""

    info: ModelInfo
    description: Description
    ensemble: Ensemble
    segmentation: Network | None


def load_model(folder: Path, algorithm: Algorithm) -> Model:
    """Read and check a model folder."""
    info = read_model_info(folder, algorithm)
    try:
        description = Description.model_validate_json((folder / DESCRIPTION_FILE).read_bytes())
    except OSError:
        raise InvalidModelError(f"The model in {folder} is incomplete: {DESCRIPTION_FILE} is missing.") from None
    except ValidationError as error:
        raise InvalidModelError(
            f"The model in {folder} is damaged: {DESCRIPTION_FILE}, {first_validation_error(error)}."
        ) from None
    ensemble = read_ensemble(folder, lambda: make_encoder(description.network, len(description.measured)))
    network = folder / SEGMENTATION_NETWORK
    return Model(info, description, ensemble, load_network(network) if network.is_dir() else None)


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the likelihood of pN+, and trace it back to the nodes."""
    ct = case.image(CT)
    check_hu(ct, name=CT)
    segmentation = case.image(SEGMENTATION) if SEGMENTATION in case else _segment(ct, model)
    nodes = find_lymph_nodes(ct, segmentation)
    bag = bag_of(case.name, ct, nodes, model.description.network, model.description.measured)
    (prediction,) = model.ensemble.predict([bag], most=MOST_COUNTED)
    by_node = prediction.contributions.numpy()
    return {
        "lymph-node-metastasis-likelihood": prediction.probability,
        "positive-lymph-nodes": _explanation(prediction, nodes, ct, model),
        "positive-lymph-nodes-chart": _chart(prediction, nodes),
        "lymph-nodes": _points(nodes, by_node, model),
        "lymph-node-table": _table(nodes, by_node, model),
        "lymph-node-heat-map": _heat_map(nodes, by_node),
    }


def _segment(ct: Image, model: Model) -> Image:
    """Find the nodes with the network of the model folder."""
    if model.segmentation is None:
        raise InvalidModelError(
            f"No {SEGMENTATION} is given, and the model folder holds no network that could draw it "
            f"({SEGMENTATION_NETWORK}/): give the nodes, or a model with such a network."
        )
    found = model.segmentation.segment(ct)
    if not found.voxels.any():
        raise InvalidInputError(
            "The segmentation network found no lymph node on the CT, and without nodes nothing can be said: draw them."
        )
    return found


def _explanation(prediction: Prediction, nodes: LymphNodes, ct: Image, model: Model) -> dict[str, Any]:
    threshold = model.description.threshold
    suspicious = [node.number for node in nodes.nodes if node.suspicious_by_size]
    return {
        "likelihood": prediction.probability,
        "decision_threshold": threshold,
        "decision": "pN+" if prediction.probability >= threshold else "pN0",
        "nodes": len(nodes.nodes),
        "expected_positive_nodes": prediction.expected,
        "probability_of_count": _counts(prediction),
        "size_rule": {
            "rule": f"short axis over {SIZE_RULE_MM:g} mm",
            "decision": "pN+" if suspicious else "pN0",
            "nodes": suspicious,
        },
        "notes": list(nodes.notes),
        "warnings": _warnings(nodes, ct, model),
        "model": {
            "head": model.description.network.head,
            "trained_on": model.info.training_data.description,
            "simulated_patients": model.info.training_data.simulated,
            "created": model.info.created,
            "validation": model.info.validation["models"],
        },
        "disclaimer": DISCLAIMER,
    }


def _counts(prediction: Prediction) -> dict[str, float] | None:
    """Probability by number of positive nodes, as text; None from a head that does not count."""
    if prediction.counts is None:
        return None
    names = [*map(str, range(MOST_COUNTED)), f"{MOST_COUNTED} or more"]
    return dict(zip(names, prediction.counts.tolist(), strict=True))


def _chart(prediction: Prediction, nodes: LymphNodes) -> Output:
    """Draw the probability of each number; where the head does not count, of none and of at least one."""
    title = f"Likelihood of pN+ {prediction.probability:.0%}"
    counts = _counts(prediction)
    if counts is None:
        shares = {"pN0": 1 - prediction.probability, "pN+": prediction.probability}
        return share_chart(shares, axis="probability", title=title)
    # Bars end where nothing more could be seen.
    shown = 1 + max(place for place, value in enumerate(counts.values()) if value >= VISIBLE)
    return count_chart(
        dict(itertools.islice(counts.items(), max(shown, 3))),
        title=title,
        subtitle=f"number of positive nodes; {prediction.expected:.1f} of {len(nodes.nodes)} expected",
    )


def _points(nodes: LymphNodes, by_node: NDArray[np.float32], model: Model) -> Output:
    counts = model.description.network.counts
    return multiple_points(
        (
            Point(node.centre_mm, f"node {node.number}", float(value) if counts else None)
            for node, value in _most_telling_first(nodes.nodes, by_node)
        ),
        name="lymph nodes",
    )


def _table(nodes: LymphNodes, by_node: NDArray[np.float32], model: Model) -> list[dict[str, Any]]:
    meaning = "probability" if model.description.network.counts else "contribution"
    return [
        {
            "node": node.number,
            meaning: float(value),
            "short_axis_mm": round(node.short_axis_mm, 1),
            "long_axis_mm": round(node.long_axis_mm, 1),
            "volume_ml": round(node.volume_ml, 3),
            "side": node.side,
            "p90_hu": round(node.p90_hu),
            "suspicious_by_size": node.suspicious_by_size,
            "cut_by_edge": node.cut_by_edge,
            "position_mm": [round(coordinate, 1) for coordinate in node.centre_mm],
        }
        for node, value in _most_telling_first(nodes.nodes, by_node)
    ]


def _heat_map(nodes: LymphNodes, by_node: NDArray[np.float32]) -> Image:
    values = np.zeros(nodes.nodes[-1].number + 1, dtype=np.float32)
    values[[node.number for node in nodes.nodes]] = by_node
    return nodes.labels.with_voxels(values[nodes.labels.voxels])


def _most_telling_first(nodes: Sequence[LymphNode], by_node: NDArray[np.float32]) -> list[tuple[LymphNode, np.float32]]:
    return sorted(zip(nodes, by_node, strict=True), key=lambda pair: (-pair[1], pair[0].number))


def _warnings(nodes: LymphNodes, ct: Image, model: Model) -> list[str]:
    """Tell in words what a reader should know before trusting the numbers."""
    learned = model.description
    density = float(np.median([node.p90_hu for node in nodes.nodes]))
    slices_mm = max(ct.spacing_mm)
    warnings = []
    if density < learned.median_hu.low:
        warnings.append(
            f"The nodes have a median density of {density:.0f} HU, less than in 95 % of the training patients "
            f"({_written(learned.median_hu)} HU): this looks like a CT without contrast, or of an early phase, on which the "
            "model was not trained."
        )
    elif density > learned.median_hu.high:
        warnings.append(
            f"The nodes have a median density of {density:.0f} HU, more than in 95 % of the training patients "
            f"({_written(learned.median_hu)} HU): is it lymph nodes that are drawn, and is this CT in HU?"
        )
    if not learned.nodes.low <= len(nodes.nodes) <= learned.nodes.high:
        warnings.append(
            f"{len(nodes.nodes)} nodes are drawn; training patients had {_written(learned.nodes)}, and the likelihood of "
            "pN+ depends on all nodes being drawn and nothing else."
        )
    if slices_mm > learned.slice_mm.high:
        warnings.append(
            f"Slices are {slices_mm:g} mm apart, more than in any training patient ({_written(learned.slice_mm)} mm)."
        )
    warnings += _shown_in_validation(model.info)
    if model.info.training_data.simulated:
        warnings.append("The model was trained on simulated patients: its figures say nothing about real ones.")
    return warnings


def _shown_in_validation(info: ModelInfo) -> list[str]:
    """Say where the model did no better than what needs no model: the size rule, and the share of pN+ patients."""
    warnings = [
        f"In cross-validation the likelihood was not shown to do better than the {each['baseline']} alone."
        for each in info.validation["comparisons"]
        if not each["adds"]
    ]
    share = (info.training_data.events or 0) / info.training_data.patients
    brier, of_share = info.validation["brier_score"], share * (1 - share)
    if brier > of_share:
        warnings.append(
            f"In cross-validation the likelihood was further from the truth than the share of pN+ patients alone (Brier "
            f"score {brier:.2f} against {of_share:.2f}): it can rank patients, and is no probability."
        )
    return warnings


def _written(known: Range) -> str:
    return f"{known.low:g} to {known.high:g}"


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
