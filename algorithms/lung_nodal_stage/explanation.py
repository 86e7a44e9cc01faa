"""How a stage is explained: the reasoning in one paragraph, tables of stations, nodes and lesions, and the chart."""

from __future__ import annotations

from typing import Any

import numpy as np

from preop.grandchallenge.outputs import Output
from preop.grandchallenge.values import Point, multiple_points
from preop.imaging import Image
from preop.likeness import Likeness
from preop.report.charts import share_chart
from preop.staging import N, NodalStage, Station, dictate
from preop.study import DISCLAIMER, Assessability, model_entry

from .assessment import Assessment
from .lesions import Kind, Lesion
from .malignancy import MALIGNANT_FROM, above
from .model import Model, digests
from .nodules import meaning

SEEN_MM = 5.0
"""Benign nodes are mentioned from this short axis on."""

MENTIONED = 0.02
"""Probability of being a nodule from which a node is said to be one or the other."""

MAX_DRAWN = 63
"""As many labels as the socket of the drawn lesions names."""


def explain(
    assessment: Assessment, model: Model, likeness: Likeness, notes: list[str], warnings: list[str]
) -> dict[str, Any]:
    """Put together why it is this stage, how sure that is, and by which model."""
    stage, lesions, probabilities = assessment.stage, assessment.lesions, assessment.probabilities
    primary = lesions.primary
    return {
        "stage": str(stage.category),
        **Assessability(assessment.view.prevents, assessment.view.limits).to_json(),
        "not_assessed": {str(station): reason for station, reason in assessment.view.not_assessed.items()},
        "tnm_edition": int(stage.edition),
        "reasoning": reasoning(assessment),
        "rule_applied": stage.reason,
        "probabilities": {str(category): p for category, p in probabilities.of.items()},
        "probability_of_less": probabilities.overstaged(stage.category),
        "probability_of_more": probabilities.understaged(stage.category),
        "at_least": str(stage.at_least),
        "at_most": str(stage.at_most),
        "side_of_primary": None if assessment.side is None else str(assessment.side),
        "side_is": assessment.side_from,
        "primary": None if primary is None else lesion_row(primary),
        "lung_nodules": [nodule_row(lesion, assessment) for lesion in lesions.of(Kind.NODULE)],
        "other_lesions": [
            lesion_row(lesion) for kind in (Kind.DISTANT, Kind.PHYSIOLOGICAL) for lesion in lesions.of(kind)
        ],
        "nodes": len(assessment.nodes),
        "clinical_rule": {
            "above_mediastinum": _by_rule(assessment.rule("blood_pool")),
            "above_liver": _by_rule(assessment.rule("liver")),
        },
        "reference_uptake": {"blood_pool_suv": lesions.references.blood_pool, "liver_suv": lesions.references.liver},
        "likeness_to_training": likeness.to_json(),
        "notes": notes,
        "warnings": warnings,
        "model": _model_entry(model),
        "disclaimer": DISCLAIMER,
    }


def reasoning(assessment: Assessment) -> str:
    """Say the stage and what it rests on in one paragraph, as it would be dictated."""
    view = assessment.view
    sentences = [dictate(assessment.stage, assessment.findings, view.not_assessed)]
    if assessment.stage.category is N.NX and not assessment.stage.involved:
        sentences += view.prevents
    primary = assessment.lesions.primary
    if primary is not None:
        sentences.append(f"Primary in the {primary.place}, {_measures(primary)}.")
    elif assessment.side is not None:
        sentences.append(f"No primary seen; its side was given as {assessment.side}.")
    else:
        sentences.append("No primary seen.")
    involved = {finding.station for finding in assessment.findings}
    others = [
        (node, probability)
        for node, probability in zip(assessment.nodes, assessment.malignancy, strict=True)
        if node.station not in involved and (node.short_axis_mm >= SEEN_MM or probability >= MALIGNANT_FROM)
    ]
    if others:
        words = [f"{node.station} {_measures(node)}" for node, _ in sorted(others, key=lambda pair: -pair[1])]
        unsaid = assessment.stage.category is N.NX and not assessment.stage.involved
        sentences.append(f"{'Seen' if unsaid else 'Not taken for malignant'}: {'; '.join(words)}.")
    if nodules := assessment.lesions.of(Kind.NODULE):
        words = [f"{lesion.place}, {_measures(lesion)} ({nodule_meaning(lesion, assessment)})" for lesion in nodules]
        sentences.append(f"Lung nodule{'s' if len(nodules) > 1 else ''}, if malignant: {'; '.join(words)}.")
    if either := [node for node in assessment.nodes if node.nodule_share > MENTIONED]:
        words = [
            f"{node.station} {_measures(node)} ({node.nodule_share:.0%} a nodule: {nodule_meaning(node, assessment)})"
            for node in either
        ]
        sentences.append(f"Lymph node or lung nodule: {'; '.join(words)}.")
    if distant := assessment.lesions.of(Kind.DISTANT):
        words = [f"{lesion.place} {_measures(lesion)}" for lesion in distant]
        sentences.append(f"Outside of the nodal stations: {'; '.join(words)}.")
    if view.not_assessed:
        sentences.append(f"Not assessed: stations {', '.join(map(str, view.not_assessed))}.")
    return " ".join(sentences)


def probability_chart(assessment: Assessment) -> Output:
    """Draw the probability of each category; NX only where something is left open."""
    shares = {str(category): p for category, p in assessment.probabilities.of.items() if category is not N.NX or p > 0}
    side = "side of the primary unknown" if assessment.side is None else f"primary {assessment.side}"
    return share_chart(
        shares,
        axis="probability",
        title=f"Nodal stage {assessment.stage.category}",
        subtitle=f"TNM {int(assessment.stage.edition)}; {side}",
    )


def station_table(assessment: Assessment) -> list[dict[str, Any]]:
    """List the stations that hold a node, the most likely involved first, each with its nodes.

    ``marginal_probability`` is that of the station by itself, whatever the stage; ``in_most_likely_explanation`` says whether
    it is one of those that together explain the stage best.
    """
    spared: dict[Station, float] = {}
    for node, probability in zip(assessment.nodes, assessment.malignancy, strict=True):
        for station, share in node.shares.items():
            spared[station] = spared.get(station, 1.0) * (1 - probability * share)
    involved = {finding.station for finding in assessment.findings}
    rows = [
        {
            "station": str(station),
            "side": str(station.side),
            "marginal_probability": 1 - free,
            "in_most_likely_explanation": station in involved,
            "nodes": [
                node_row(node, probability)
                for node, probability in zip(assessment.nodes, assessment.malignancy, strict=True)
                if node.station is station
            ],
        }
        for station, free in spared.items()
    ]
    return sorted(rows, key=lambda row: -row["marginal_probability"])


def node_row(node: Lesion, probability: float) -> dict[str, Any]:
    """Describe a node for a table."""
    return {
        "probability_malignant": probability,
        **lesion_row(node),
        "shares": {str(station): round(share, 3) for station, share in node.shares.items()},
        "border_mm": round(node.stations.border_mm, 1) if node.stations.border_mm < float("inf") else None,
        "above_mediastinum": above(node, "blood_pool"),
        "above_liver": above(node, "liver"),
        "touches_primary": node.touches_primary,
        "nodule_share": round(node.nodule_share, 3),
    }


def nodule_row(nodule: Lesion, assessment: Assessment) -> dict[str, Any]:
    """Describe a nodule of the lung for a table, with what it means if it is malignant."""
    return {**lesion_row(nodule), "if_malignant": nodule_meaning(nodule, assessment)}


def nodule_meaning(nodule: Lesion, assessment: Assessment) -> str:
    """Say what a nodule means if it is malignant; the lobe of the primary counts where the primary lies on its side."""
    primary = assessment.lesions.primary
    lobe = primary.lobe if primary is not None and primary.side is assessment.side else None
    return meaning(nodule.side, nodule.lobe, assessment.side, lobe)


def lesion_row(lesion: Lesion) -> dict[str, Any]:
    """Describe any lesion for a table."""
    return {
        "lesion": lesion.number,
        "kind": str(lesion.kind),
        "place": lesion.place,
        "short_axis_mm": round(lesion.short_axis_mm, 1),
        "long_axis_mm": round(lesion.long_axis_mm, 1),
        "volume_ml": round(lesion.volume_ml, 3),
        "suv_max": round(lesion.suv_max, 2),
        "suv_peak": round(lesion.suv_peak, 2),
        "blood_pool_ratio": None if lesion.blood_pool_ratio is None else round(lesion.blood_pool_ratio, 2),
        "liver_ratio": None if lesion.liver_ratio is None else round(lesion.liver_ratio, 2),
        "position_mm": [round(coordinate, 1) for coordinate in lesion.centre_mm],
    }


def node_points(assessment: Assessment) -> Output:
    """Mark each node, the most likely malignant first."""
    ranked = sorted(
        zip(assessment.nodes, assessment.malignancy, strict=True), key=lambda pair: (-pair[1], pair[0].number)
    )
    points = (Point(node.centre_mm, f"{node.station} (lesion {node.number})", p) for node, p in ranked)
    return multiple_points(points, name="lymph nodes")


def drawn_lesions(assessment: Assessment) -> Image:
    """Draw the lesions by their numbers, as many as the platform takes."""
    labels = assessment.lesions.labels
    return labels.with_voxels(np.where(labels.voxels <= MAX_DRAWN, labels.voxels, 0).astype(np.uint8))


def _by_rule(stage: NodalStage | None) -> dict[str, Any] | None:
    if stage is None:
        return None
    return {"stage": str(stage.category), "stations": [str(station) for station in stage.involved]}


def _model_entry(model: Model) -> dict[str, Any]:
    """Say by which model, with the networks before the figures."""
    *provenance, validation = model_entry(model.info, model.info.validation.details["agreement"]).items()
    return dict([*provenance, ("networks", digests(model.organs, model.lesions)), validation])


def _measures(lesion: Lesion) -> str:
    return f"{lesion.short_axis_mm:.0f} mm, SUVmax {lesion.suv_max:.1f}"
