"""What a reader should know before trusting a stage: what was not in view, what is doubtful, and what the model is."""

from __future__ import annotations

from preop.staging import N
from preop.study import simulation_warnings

from .assessment import Assessment
from .explanation import MAX_DRAWN, station_table
from .lesions import Kind
from .malignancy import LABELS, MALIGNANT_FROM, features_of
from .model import Model, digests

RIVAL = 0.5
"""Share of the volume of the primary from which a lesion of the other lung may be the primary instead."""


def notes_on(assessment: Assessment) -> list[str]:
    """Say what was not in view, what took its place, and how lesions were separated."""
    notes = [*assessment.stations.notes, *assessment.lesions.notes]
    notes += _on_stations(assessment)
    if (count := len(assessment.lesions.all)) > MAX_DRAWN:
        notes.append(f"{count} lesions were found, of which the first {MAX_DRAWN} are drawn; all are in the tables.")
    return notes


def _on_stations(assessment: Assessment) -> list[str]:
    """Say where the most likely explanation and the probability of a single station point to different answers."""
    by_station = {row["station"]: row for row in station_table(assessment)}
    doubtful = [
        name
        for name, row in by_station.items()
        if row["in_most_likely_explanation"] != (row["marginal_probability"] >= MALIGNANT_FROM)
    ]
    if not doubtful or assessment.stage.category is N.NX:
        return []
    return [
        f"The most likely explanation of {assessment.stage.category} as a whole and the probability of each station by itself "
        f"differ in {', '.join(doubtful)}: in_most_likely_explanation says what the stage rests on, marginal_probability how "
        "likely a station is involved whatever the stage."
    ]


def warnings_on(assessment: Assessment, model: Model, slice_mm: float) -> list[str]:
    """Say what a reader should know before trusting the stage."""
    return [*_about_primary(assessment), *_about_nodes(assessment, model), *_about_model(model, slice_mm)]


def _about_primary(assessment: Assessment) -> list[str]:
    primary, side = assessment.lesions.primary, assessment.side
    if side is None:
        return ["No primary was found and its side was not given: give primary_side."]
    warnings = []
    if primary is not None and primary.side not in (None, side):
        warnings.append(
            f"The side of the primary was given as {side}; the lesion taken for it lies in the {primary.place}."
        )
    if primary is not None and assessment.side_from == "found":
        rivals = [
            lesion
            for lesion in assessment.lesions.of(Kind.NODULE)
            if lesion.side not in (None, primary.side) and lesion.volume_ml >= RIVAL * primary.volume_ml
        ]
        warnings += [
            f"Another lesion of the {rival.place} is of similar size: if that is the primary, the sides change; give "
            "primary_side."
            for rival in rivals[:1]
        ]
    return warnings


def _about_nodes(assessment: Assessment, model: Model) -> list[str]:
    warnings = []
    outside = {
        LABELS[part.name]
        for node in assessment.nodes
        for part in model.malignancy.contributions(features_of(node))
        if part.outside_training_range
    }
    if outside:
        names = ", ".join(name for name in LABELS.values() if name in outside)
        warnings.append(f"A node lies beyond all nodes of the training in {names}.")
    if assessment.lesions.references.blood_pool is None or assessment.lesions.references.liver is None:
        missing = "aorta" if assessment.lesions.references.blood_pool is None else "liver"
        warnings.append(f"The {missing} is not in view: uptake over it is not known, and the training median was used.")
    by_rule = assessment.rule("blood_pool")
    if by_rule is not None and by_rule.category is not assessment.stage.category:
        warnings.append(
            f"By the clinical rule (uptake above the mediastinal blood pool) the stage would be {by_rule.category}."
        )
    return warnings


def _about_model(model: Model, slice_mm: float) -> list[str]:
    warnings = []
    if slice_mm > model.description.slice_mm:
        warnings.append(
            f"Slices are {slice_mm:g} mm apart, more than in any training patient ({model.description.slice_mm:g} mm)."
        )
    now = digests(model.organs, model.lesions)
    warnings += [
        f"The network of {name} is not the one with which the probabilities of nodes were learned."
        for name, value in now.items()
        if model.description.trained_with.get(name) != value
    ]
    warnings += [f"In cross-validation {sentence}" for sentence in model.info.validation.cautions]
    if model.lesions is not None and model.description.detection is None:
        warnings.append(
            "How many malignant nodes the lesion network misses was not measured: the share of patients who were staged too "
            "low in cross-validation stands for it."
        )
    return warnings + simulation_warnings(model.info)
