"""What a prediction rests on, for a reader: nodes in tables, points and maps, charts, warnings, and the model's figures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preop.anatomy import not_plausible
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.values import Point, multiple_points
from preop.imaging import Image
from preop.likeness import Likeness
from preop.mil import Prediction
from preop.report.charts import count_chart, share_chart
from preop.study import DISCLAIMER, Assessability, Assessable, Range, model_entry, simulation_warnings

from .lymph_nodes import SIZE_RULE_MM, LymphNode, LymphNodes
from .model import Model
from .node_rads import node_rads

MAX_COUNTED = 20
"""The last of the reported probabilities is that of this many positive nodes or more."""
FOUND_BY_NETWORK = (
    "The lymph nodes were found and outlined by a network, and nobody has approved that: look whether all are there, and "
    "nothing else."
)
FOUND_ON_ANOTHER_KIND_OF_SCAN = (
    "The lymph nodes were outlined by a network that was never tried on such a scan: give a segmentation of the nodes."
)
NOTHING_ASSESSED = "Not assessable: the proportion of pN+ among training patients"
MIN_VISIBLE = 0.005
"""Height of a bar that can be seen."""


@dataclass(frozen=True)
class Assessed:
    """What is said of a patient.

    Attributes
    ----------
    likelihood
        Of pN+, as near to 0 and 1 as the validation supports; that of any patient where nothing could be assessed.
    prediction
        Of the nodes that are plausible; None where none is.
    """

    likelihood: float
    prediction: Prediction | None = None

    @property
    def expected(self) -> float | None:
        """Expected number of positive nodes; None where it is not known."""
        return None if self.prediction is None else self.prediction.expected

    @property
    def counts(self) -> dict[str, float] | None:
        """Probability by number of positive nodes, as text; None from a head that does not count.

        That of none agrees with the likelihood, where that was kept from 0 or 1.
        """
        if self.prediction is None or self.prediction.counts is None:
            return None
        none, *others = self.prediction.counts.tolist()
        if self.likelihood != self.prediction.probability:
            total = sum(others)
            others = [value * self.likelihood / total if total else self.likelihood / len(others) for value in others]
            none = 1 - self.likelihood
        names = [*map(str, range(MAX_COUNTED)), f"{MAX_COUNTED} or more"]
        return dict(zip(names, [none, *others], strict=True))

    @property
    def contributions(self) -> list[float]:
        """Of each node that is plausible, in the order of the nodes."""
        return [] if self.prediction is None else self.prediction.contributions.tolist()


def explanation(
    assessed: Assessed,
    nodes: LymphNodes,
    problems: Mapping[int, Sequence[str]],
    likeness: Likeness,
    ct: Image,
    model: Model,
    *,
    by_network: bool,
    trusted: bool,
    not_read: Sequence[str] = (),
) -> dict[str, Any]:
    """Decision, number of positive nodes, the size rule of clinicians, warnings, and where the model comes from.

    Parameters
    ----------
    nodes
        Those that are plausible.
    problems
        Of each node by number, why it is not plausible.
    likeness
        How like the training patients the patient is.
    by_network
        Whether a network segmented the nodes.
    trusted
        Whether it did so on such a scan as it has learned from, or somebody else did.
    not_read
        Inputs that were given and that the model does not take.
    """
    threshold = model.description.threshold
    suspicious = [node.number for node in nodes.nodes if node.suspicious_by_size]
    assessability = assess(nodes, problems, likeness, ct, model, by_network=by_network, trusted=trusted)
    decided = assessability.verdict is not Assessable.NO
    return {
        **assessability.to_json(),
        "likelihood": assessed.likelihood,
        "decision_threshold": threshold,
        "decision": _decision(assessed.likelihood >= threshold) if decided else "none",
        "nodes": len(nodes.nodes),
        "nodes_not_plausible": [number for number, failed in problems.items() if failed],
        "expected_positive_nodes": assessed.expected,
        "probability_of_count": assessed.counts,
        "size_rule": {
            "rule": f"short axis over {SIZE_RULE_MM:g} mm",
            "decision": _decision(bool(suspicious)) if decided else "none",
            "nodes": suspicious,
        },
        "likeness_to_training": likeness.to_json(),
        "notes": list(nodes.notes),
        "warnings": [
            *(f"{slug} was given and has no effect: the model was trained without it." for slug in not_read),
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


def assess(
    nodes: LymphNodes,
    problems: Mapping[int, Sequence[str]],
    likeness: Likeness,
    ct: Image,
    model: Model,
    *,
    by_network: bool,
    trusted: bool,
) -> Assessability:
    """Say whether the patient can be assessed by these nodes."""
    named = not_plausible("lymph node", problems)
    if not trusted:
        return Assessability(prevents=[FOUND_ON_ANOTHER_KIND_OF_SCAN, *likeness.limits, *named])
    if not nodes.nodes:
        return Assessability(prevents=["None of what is segmented is plausible as a lymph node.", *named])
    cut = [str(node.number) for node in nodes.nodes if node.cut_by_edge]
    edge = [f"Cut off by the edge of the scan: node{'s' if len(cut) > 1 else ''} {', '.join(cut)}."] if cut else []
    found = [FOUND_BY_NETWORK] if by_network else []
    return Assessability(limits=[*named, *likeness.limits, *_unlike_the_training(nodes, ct, model), *found, *edge])


def _decision(positive: bool) -> str:  # noqa: FBT001
    return "pN+" if positive else "pN0"


def chart(assessed: Assessed, nodes: LymphNodes) -> Output:
    """Draw the probability of each number; where the head does not count, of none and of at least one."""
    if assessed.prediction is None:
        return share_chart(
            {"pN0": 1 - assessed.likelihood, "pN+": assessed.likelihood}, axis="probability", title=NOTHING_ASSESSED
        )
    title = f"Likelihood of pN+ {assessed.likelihood:.0%}"
    counts = assessed.counts
    if counts is None:
        shares = {"pN0": 1 - assessed.likelihood, "pN+": assessed.likelihood}
        return share_chart(shares, axis="probability", title=title)
    # Bars end where nothing more could be seen.
    shown = 1 + max(place for place, value in enumerate(counts.values()) if value >= MIN_VISIBLE)
    return count_chart(
        dict(itertools.islice(counts.items(), max(shown, 3))),
        title=title,
        subtitle=f"number of positive nodes; {assessed.expected:.1f} of {len(nodes.nodes)} expected",
    )


def points(assessed: Assessed, nodes: LymphNodes, model: Model) -> Output:
    """Give a point inside each node, with its probability where the head gives one."""
    counts = model.description.network.counts
    return multiple_points(
        (
            Point(node.centre_mm, f"node {node.number}", value if counts else None)
            for node, value in _by_contribution(assessed, nodes)
        ),
        name="lymph nodes",
    )


def table(
    assessed: Assessed, nodes: LymphNodes, found: LymphNodes, problems: Mapping[int, Sequence[str]], model: Model
) -> list[dict[str, Any]]:
    """Give what was measured and predicted of each node, the most probable first; then those that were not assessed.

    Parameters
    ----------
    nodes, found
        Those that were assessed, and all.
    problems
        Of each node by number, why it is not plausible.
    """
    meaning = "probability" if model.description.network.counts else "contribution"
    left_out = [(node, None) for node in found.without(node.number for node in nodes.nodes).nodes]
    return [
        {
            "node": node.number,
            meaning: value,
            "plausible": not problems[node.number],
            "short_axis_mm": round(node.short_axis_mm, 1),
            "long_axis_mm": round(node.long_axis_mm, 1),
            "volume_ml": round(node.volume_ml, 3),
            "side": node.side,
            "p90_hu": round(node.p90_hu),
            "suspicious_by_size": node.suspicious_by_size,
            "node_rads": rads.category,
            "node_rads_not_assessed": list(rads.not_assessed),
            "cut_by_edge": node.cut_by_edge,
            "position_mm": [round(coordinate, 1) for coordinate in node.centre_mm],
        }
        for node, value in [*_by_contribution(assessed, nodes), *left_out]
        for rads in [node_rads(node)]
    ]


def heat_map(assessed: Assessed, nodes: LymphNodes) -> Image:
    """Give each voxel of a plausible node the node's contribution."""
    values = np.zeros(int(nodes.labels.voxels.max()) + 1, dtype=np.float32)
    values[[node.number for node in nodes.nodes]] = assessed.contributions
    return nodes.labels.with_voxels(values[nodes.labels.voxels])


def _by_contribution(assessed: Assessed, nodes: LymphNodes) -> list[tuple[LymphNode, float]]:
    """Nodes with their contribution, the largest first."""
    pairs = zip(nodes.nodes, assessed.contributions, strict=True)
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0].number))


def _unlike_the_training(nodes: LymphNodes, ct: Image, model: Model) -> Iterator[str]:
    """Warn of what no, or hardly any, training patient had."""
    learned = model.description
    if not nodes.nodes:
        return
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
