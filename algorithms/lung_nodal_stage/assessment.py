"""From scans, organs and lesions to the N stage: which stations are involved, how sure that is, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from preop.anatomy import Organs as LabelledOrgans
from preop.anatomy import StationMap, map_stations
from preop.grandchallenge.cases import Case
from preop.imaging import Image
from preop.segmentation import Organs
from preop.staging import (
    Edition,
    NodalProbabilities,
    NodalStage,
    NodeFinding,
    NodeShares,
    Side,
    Station,
    dictate,
    most_likely_explanation,
    nodal_stage,
    probabilities_of_nodes,
)

from .lesions import Kind, Lesion, Lesions, find_lesions
from .malignancy import CALLED_AT, above

CT, PET, INFORMATION = "chest-ct", "fdg-pet", "staging-information"

SEEN_MM = 5.0
"""Benign nodes from this short axis are spoken of where no node is involved."""


@dataclass(frozen=True)
class Information:
    """What is told beside the scans.

    Attributes
    ----------
    side
        Side of the primary, None where it is to be found.
    edition
        Edition of TNM.
    """

    side: Side | None = None
    edition: Edition = Edition.NINTH

    @classmethod
    def of(cls, case: Case) -> Information:
        """Read it from a case, where it is given."""
        given: Mapping[str, Any] = case.value(INFORMATION) if INFORMATION in case else {}
        side = given.get("primary_side")
        return cls(Side(side) if side else None, Edition(int(given.get("tnm_edition", Edition.NINTH))))


@dataclass(frozen=True, eq=False)
class Assessment:
    """The stage of a patient with all that led to it.

    Attributes
    ----------
    lesions, stations
        What was found, and the map it was found on.
    nodes, malignancy
        The nodes, and the probability of each to be malignant.
    side, side_from
        Side of the primary, and whether it was "given" or "found"; None where unknown.
    probabilities
        Of every category.
    stage
        The most likely category, with the stations that explain it best.
    findings
        The nodes that were taken for malignant in that explanation.
    """

    lesions: Lesions
    stations: StationMap
    nodes: tuple[Lesion, ...]
    malignancy: tuple[float, ...]
    side: Side | None
    side_from: Literal["given", "found"] | None
    probabilities: NodalProbabilities
    stage: NodalStage
    findings: tuple[NodeFinding, ...]

    def rule(self, reference: str) -> NodalStage | None:
        """Stage by the clinical rule: nodes above ``blood_pool`` or ``liver``; None where that is not in view."""
        called = [(node.station, above(node, reference)) for node in self.nodes]
        if any(positive is None for _, positive in called):
            return None
        stations = [station for station, positive in called if positive and station is not None]
        return nodal_stage(stations, self.side, self.stage.edition)


def predict_from_organs(
    suv: Image,
    organs: Organs,
    segmentation: Image,
    information: Information,
    malignancy: Callable[[Lesion], float],
) -> Assessment:
    """Stage a patient whose organs and lesions are known.

    Parameters
    ----------
    suv
        PET in SUV by body weight on the grid of the CT (z, y, x).
    organs, segmentation
        Labelled organs and lesions on the same grid.
    malignancy
        Gives the probability that a node is malignant.

    Raises
    ------
    InvalidInputError
        If there is no lung, or the segmentation holds numbers that are no labels.
    """
    return predict_from_stations(suv, organs, stations_of(organs), segmentation, information, malignancy)


def stations_of(organs: Organs) -> StationMap:
    """Map the stations from organs as a network labels them."""
    return map_stations(LabelledOrgans(organs.labels, organs.values))


def predict_from_stations(
    suv: Image,
    organs: Organs,
    stations: StationMap,
    segmentation: Image,
    information: Information,
    malignancy: Callable[[Lesion], float],
) -> Assessment:
    """Stage a patient whose stations are mapped already; the rest as in :func:`predict_from_organs`."""
    lesions = find_lesions(suv, organs, stations, segmentation)
    nodes = lesions.of(Kind.NODE)
    found = lesions.primary.side if lesions.primary is not None else None
    side = information.side or found
    uncertain = [NodeShares(malignancy(node), node.shares) for node in nodes]
    probabilities, explanation = stage_nodes(uncertain, side, information.edition)
    return Assessment(
        lesions=lesions,
        stations=stations,
        nodes=nodes,
        malignancy=tuple(node.probability for node in uncertain),
        side=side,
        side_from="given" if information.side else "found" if found else None,
        probabilities=probabilities,
        stage=nodal_stage([station for station in explanation if station], side, information.edition),
        findings=tuple(
            NodeFinding(station, node.short_axis_mm, node.suv_max)
            for node, station in zip(nodes, explanation, strict=True)
            if station is not None
        ),
    )


def stage_nodes(
    nodes: Sequence[NodeShares], side: Side | None, edition: Edition
) -> tuple[NodalProbabilities, tuple[Station | None, ...]]:
    """Give the probability of every category, and for each node its station where it is malignant in the likeliest.

    Many doubtful nodes can make a category likely that no combination of mentionable ones does; then the next category
    is explained.
    """
    probabilities = probabilities_of_nodes(nodes, side, edition)
    ranked = sorted(probabilities.of, key=lambda category: (-probabilities.of[category], category.severity))
    for category in ranked:
        explanation = most_likely_explanation(nodes, category, side, edition)
        if explanation is not None:
            return probabilities, explanation
    return probabilities, (None,) * len(nodes)


def reasoning(assessment: Assessment) -> str:
    """Say the stage and what it rests on in one paragraph, as it would be dictated."""
    sentences = [dictate(assessment.stage, assessment.findings)]
    primary = assessment.lesions.primary
    if primary is not None:
        sentences.append(f"Primary in the {primary.place}, {_measures(primary)}.")
    elif assessment.side is not None:
        sentences.append(f"No primary seen; its side was given as {assessment.side}.")
    else:
        sentences.append("No primary seen.")
    called = {finding.station for finding in assessment.findings}
    others = [
        (node, probability)
        for node, probability in zip(assessment.nodes, assessment.malignancy, strict=True)
        if node.station not in called and (node.short_axis_mm >= SEEN_MM or probability >= CALLED_AT)
    ]
    if others:
        words = [f"{node.station} {_measures(node)}" for node, _ in sorted(others, key=lambda pair: -pair[1])]
        sentences.append(f"Not taken for malignant: {'; '.join(words)}.")
    if distant := assessment.lesions.of(Kind.DISTANT):
        words = [f"{lesion.place} {_measures(lesion)}" for lesion in distant]
        sentences.append(f"Outside of the nodal stations: {'; '.join(words)}.")
    return " ".join(sentences)


def station_table(assessment: Assessment) -> list[dict[str, Any]]:
    """List the stations that hold a node, the most likely involved first, each with its nodes."""
    spared: dict[Station, float] = {}
    for node, probability in zip(assessment.nodes, assessment.malignancy, strict=True):
        for station, share in node.shares.items():
            spared[station] = spared.get(station, 1.0) * (1 - probability * share)
    called = {finding.station for finding in assessment.findings}
    rows = [
        {
            "station": str(station),
            "side": str(station.side),
            "probability_involved": 1 - free,
            "involved": station in called,
            "nodes": [
                node_row(node, probability)
                for node, probability in zip(assessment.nodes, assessment.malignancy, strict=True)
                if node.station is station
            ],
        }
        for station, free in spared.items()
    ]
    return sorted(rows, key=lambda row: -row["probability_involved"])


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
    }


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


def _measures(lesion: Lesion) -> str:
    return f"{lesion.short_axis_mm:.0f} mm, SUVmax {lesion.suv_max:.1f}"
