"""What a prediction rests on, for a reader: nodes in tables, points and maps, charts, warnings, and the model's figures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from preop.grandchallenge.outputs import Output
from preop.grandchallenge.values import Point, multiple_points
from preop.imaging import Image
from preop.mil import Prediction
from preop.report.charts import count_chart, share_chart
from preop.study import DISCLAIMER, Range, model_entry, simulation_warnings

from .lymph_nodes import SIZE_RULE_MM, LymphNode, LymphNodes
from .model import Model

MAX_COUNTED = 20
"""The last of the reported probabilities is that of this many positive nodes or more."""
MIN_VISIBLE = 0.005
"""Height of a bar that can be seen."""


def explanation(prediction: Prediction, nodes: LymphNodes, ct: Image, model: Model) -> dict[str, Any]:
    """Decision, number of positive nodes, the size rule of clinicians, warnings, and where the model comes from."""
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
        "warnings": [
            *_unlike_the_training(nodes, ct, model),
            *_shown_in_validation(model),
            *simulation_warnings(model.info),
        ],
        "model": model_entry(
            model.info,
            {name: figures.model_dump() for name, figures in model.info.validation.models.items()},
            head=model.description.network.head,
        ),
        "disclaimer": DISCLAIMER,
    }


def chart(prediction: Prediction, nodes: LymphNodes) -> Output:
    """Draw the probability of each number; where the head does not count, of none and of at least one."""
    title = f"Likelihood of pN+ {prediction.probability:.0%}"
    counts = _counts(prediction)
    if counts is None:
        shares = {"pN0": 1 - prediction.probability, "pN+": prediction.probability}
        return share_chart(shares, axis="probability", title=title)
    # Bars end where nothing more could be seen.
    shown = 1 + max(place for place, value in enumerate(counts.values()) if value >= MIN_VISIBLE)
    return count_chart(
        dict(itertools.islice(counts.items(), max(shown, 3))),
        title=title,
        subtitle=f"number of positive nodes; {prediction.expected:.1f} of {len(nodes.nodes)} expected",
    )


def points(prediction: Prediction, nodes: LymphNodes, model: Model) -> Output:
    """Give a point inside each node, with its probability where the head gives one."""
    counts = model.description.network.counts
    return multiple_points(
        (
            Point(node.centre_mm, f"node {node.number}", value if counts else None)
            for node, value in _by_contribution(prediction, nodes)
        ),
        name="lymph nodes",
    )


def table(prediction: Prediction, nodes: LymphNodes, model: Model) -> list[dict[str, Any]]:
    """Give what was measured and predicted of each node, the most probable first."""
    meaning = "probability" if model.description.network.counts else "contribution"
    return [
        {
            "node": node.number,
            meaning: value,
            "short_axis_mm": round(node.short_axis_mm, 1),
            "long_axis_mm": round(node.long_axis_mm, 1),
            "volume_ml": round(node.volume_ml, 3),
            "side": node.side,
            "p90_hu": round(node.p90_hu),
            "suspicious_by_size": node.suspicious_by_size,
            "cut_by_edge": node.cut_by_edge,
            "position_mm": [round(coordinate, 1) for coordinate in node.centre_mm],
        }
        for node, value in _by_contribution(prediction, nodes)
    ]


def heat_map(prediction: Prediction, nodes: LymphNodes) -> Image:
    """Give each voxel of a node the node's contribution."""
    values = np.zeros(nodes.nodes[-1].number + 1, dtype=np.float32)
    values[[node.number for node in nodes.nodes]] = prediction.contributions.numpy()
    return nodes.labels.with_voxels(values[nodes.labels.voxels])


def _counts(prediction: Prediction) -> dict[str, float] | None:
    """Probability by number of positive nodes, as text; None from a head that does not count."""
    if prediction.counts is None:
        return None
    names = [*map(str, range(MAX_COUNTED)), f"{MAX_COUNTED} or more"]
    return dict(zip(names, prediction.counts.tolist(), strict=True))


def _by_contribution(prediction: Prediction, nodes: LymphNodes) -> list[tuple[LymphNode, float]]:
    """Nodes with their contribution, the largest first."""
    pairs = zip(nodes.nodes, prediction.contributions.tolist(), strict=True)
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0].number))


def _unlike_the_training(nodes: LymphNodes, ct: Image, model: Model) -> Iterator[str]:
    """Warn of what no, or hardly any, training patient had."""
    learned = model.description
    density = float(np.median([node.p90_hu for node in nodes.nodes]))
    slices_mm = max(ct.spacing_mm)
    if density < learned.median_hu.low:
        yield (
            f"The nodes have a median density of {density:.0f} HU, lower than in 95 % of the training patients "
            f"({_usual(learned.median_hu)}): the CT may be unenhanced or of an early phase, on which the model was not "
            "trained."
        )
    elif density > learned.median_hu.high:
        yield (
            f"The nodes have a median density of {density:.0f} HU, higher than in 95 % of the training patients "
            f"({_usual(learned.median_hu)}): check that lymph nodes are segmented, and that the CT is in HU."
        )
    if len(nodes.nodes) not in learned.nodes:
        yield (
            f"{_counted(len(nodes.nodes))} segmented; training patients had {learned.nodes}. The likelihood of pN+ holds "
            "only if every lymph node is segmented, and nothing else."
        )
    if slices_mm > learned.slice_mm.high:
        yield f"Slices are {slices_mm:g} mm apart, more than in any training patient ({learned.slice_mm} mm)."


def _shown_in_validation(model: Model) -> Iterator[str]:
    """Say where the model did no better than what needs no model: the size rule, and the share of pN+ patients."""
    validation, data = model.info.validation, model.info.training_data
    for name, figures in validation.models.items():
        if not figures.baseline:
            for baseline in validation.not_better_than(name):
                yield f"In cross-validation, the likelihood was not shown to perform better than the {baseline} alone."
    share = (data.events or 0) / data.patients
    brier, of_share = model.details.brier_score, share * (1 - share)
    if brier > of_share:
        yield (
            f"In cross-validation, the Brier score of the likelihood ({brier:.2f}) was worse than that of giving every "
            f"patient the proportion of pN+ patients ({of_share:.2f}): it can rank patients, but is not a probability."
        )


def _usual(known: Range) -> str:
    return f"5th to 95th percentile: {known} HU"


def _counted(nodes: int) -> str:
    return "1 lymph node is" if nodes == 1 else f"{nodes} lymph nodes are"
