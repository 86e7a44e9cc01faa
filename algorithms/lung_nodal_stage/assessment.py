"""From scans, organs and lesions to the N stage: which stations are involved, how sure that is, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from preop.anatomy import Organs as LabelledOrgans
from preop.anatomy import StationMap, map_stations
from preop.grandchallenge.cases import Case
from preop.imaging import Image
from preop.segmentation import Organs
from preop.staging import (
    Edition,
    N,
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

from .lesions import SOFT_TISSUE, Kind, Lesion, Lesions, find_lesions
from .malignancy import MALIGNANT_FROM, above
from .view import Unseen, View

CT, PET, INFORMATION = "chest-ct", "fdg-pet", "staging-information"


MIN_PRIMARY_ML = 0.1
"""About a ball of 6 mm: the width of a point in the image of a clinical PET scanner."""


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
    view
        What could be assessed; ``prevents`` holds every reason for NX, ``limits`` those for reservations.
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
    view: View = field(default_factory=View)

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
    view: View | None = None,
    unseen: Unseen | None = None,
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
    view, unseen
        What could be assessed, and what may be there unseen; by default the map is taken as it is, and what was drawn for
        all there is.

    Raises
    ------
    InvalidInputError
        If there is no lung, or the segmentation holds numbers that are no labels.
    """
    return predict_from_stations(suv, organs, stations_of(organs), segmentation, information, malignancy, view, unseen)


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
    view: View | None = None,
    unseen: Unseen | None = None,
) -> Assessment:
    """Stage a patient whose stations are mapped already; the rest as in :func:`predict_from_organs`."""
    view, unseen = view or View(), unseen or Unseen()
    lesions = find_lesions(suv, organs, stations, segmentation)
    nodes = lesions.of(Kind.NODE)
    found = lesions.primary.side if lesions.primary is not None else None
    side = information.side or found
    uncertain = [NodeShares(malignancy(node), node.shares) for node in nodes]
    probabilities, explanation = stage_nodes(
        uncertain, side, information.edition, unseen.nodes(side, view.not_assessed)
    )
    probabilities = unseen.supported(probabilities)
    findings = tuple(
        NodeFinding(station, node.short_axis_mm, node.suv_max)
        for node, station in zip(nodes, explanation, strict=True)
        if station is not None
    )
    stage = _bounded(nodal_stage([finding.station for finding in findings], side, information.edition), view)
    view = _with_lesions(view, stage, lesions, stations, malignancy)
    if view.prevents and stage.category is not N.NX:
        stage = _not_assessed(stage, view)
        probabilities = NodalProbabilities(
            {category: float(category is N.NX) for category in probabilities.of}, information.edition
        )
        findings = ()
    return Assessment(
        lesions=lesions,
        stations=stations,
        nodes=nodes,
        malignancy=tuple(node.probability for node in uncertain),
        side=side,
        side_from="given" if information.side else "found" if found else None,
        probabilities=probabilities,
        stage=stage,
        findings=findings,
        view=view,
    )


def _bounded(stage: NodalStage, view: View) -> NodalStage:
    """Let a stage reach as high as the stations that were not assessed could take it."""
    highest = nodal_stage([*stage.involved, *view.not_assessed], stage.primary, stage.edition)
    at_most = max(stage.at_most, highest.at_most, key=lambda category: category.severity)
    return replace(stage, at_most=at_most)


def _with_lesions(
    view: View, stage: NodalStage, lesions: Lesions, stations: StationMap, malignancy: Callable[[Lesion], float]
) -> View:
    """Add to a view what the lesions leave open: the side of the primary, and foci that no station holds."""
    prevents, limits = list(view.prevents), list(view.limits)
    if stage.category is N.NX:
        prevents.append("The side of the primary is unknown, and the stage depends on it.")
    elif stage.primary is None:
        limits.append("The side of the primary is unknown.")
    if lesions.primary is not None and lesions.primary.volume_ml < MIN_PRIMARY_ML:
        limits.append(
            f"What is taken for the primary has {lesions.primary.volume_ml:.2g} ml, less than PET can resolve: check the "
            "segmentation of the lesions."
        )
    adrift = [
        lesion
        for lesion in lesions.of(Kind.DISTANT)
        if lesion.place == SOFT_TISSUE and _is_among_lungs(lesion, stations) and malignancy(lesion) >= MALIGNANT_FROM
    ]
    if adrift and stage.category is not N.N3:
        numbers = ", ".join(str(lesion.number) for lesion in adrift)
        prevents.append(
            f"Lesion{'s' if len(adrift) > 1 else ''} {numbers} in the chest could be assigned neither to a station nor to an "
            "organ, and may be a malignant lymph node."
        )
    return replace(view, prevents=tuple(prevents), limits=tuple(limits))


def _is_among_lungs(lesion: Lesion, stations: StationMap) -> bool:
    """Whether a lesion lies in the box around the lungs, and above their base as far as the neck is kept."""
    thorax = stations.thorax
    low, high = (np.array([each(axis) for axis in (thorax.x, thorax.y, thorax.z)]) for each in (np.min, np.max))
    return bool(((low <= lesion.centre_mm) & (lesion.centre_mm <= high)).all())


def _not_assessed(stage: NodalStage, view: View) -> NodalStage:
    """Give NX, between what was found in stations that were assessed and what may be."""
    assessed = [station for station in stage.involved if station not in view.not_assessed]
    return NodalStage(
        N.NX,
        stage.edition,
        stage.primary,
        (),
        nodal_stage(assessed, stage.primary, stage.edition).at_least,
        N.N3,
        "The lymph nodes could not be assessed.",
    )


def stage_nodes(
    nodes: Sequence[NodeShares], side: Side | None, edition: Edition, unseen: Sequence[NodeShares] = ()
) -> tuple[NodalProbabilities, tuple[Station | None, ...]]:
    """Give the probability of every category, and for each node its station where it is malignant in the likeliest.

    Many doubtful nodes can make a category likely that no combination of mentionable ones does; then the next category
    is explained. Nodes that may be there unseen add to the probabilities, and explain nothing.
    """
    probabilities = probabilities_of_nodes([*nodes, *unseen], side, edition)
    ranked = sorted(probabilities.of, key=lambda category: (-probabilities.of[category], category.severity))
    for category in ranked:
        explanation = most_likely_explanation(nodes, category, side, edition)
        if explanation is not None:
            return probabilities, explanation
    return probabilities, (None,) * len(nodes)
