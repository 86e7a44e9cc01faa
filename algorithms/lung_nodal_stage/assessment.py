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
    most_likely_explanation,
    nodal_stage,
    probabilities_of_nodes,
)

from .lesions import Kind, Lesion, Lesions, find_lesions
from .malignancy import above

CT, PET, INFORMATION = "chest-ct", "fdg-pet", "staging-information"


@dataclass(frozen=True)
class Information:
    """What is given beside the scans.

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
        ruled = [(node.station, above(node, reference)) for node in self.nodes]
        if any(positive is None for _, positive in ruled):
            return None
        stations = [station for station, positive in ruled if positive and station is not None]
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
