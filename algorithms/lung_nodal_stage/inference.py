"""Nodal stage of lung cancer on FDG-PET/CT.

Organs are labelled on the CT, and from them the lymph node stations are mapped by the borders of the IASLC. A network on
CT and PET, or the reader, draws the lesions; where each lies says whether it is the primary, a node of a station, or
neither. A small logistic regression on size and uptake gives the probability that a node is malignant. From these and
the shares of each node in its stations follows the probability of every N, exactly; the most likely one is told with the
stations that explain it best.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preop.anatomy import STATIONS, TOTAL_CLASSES
from preop.anatomy.organs import LUNGS
from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.models import ModelInfo, read_model_info
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm
from preop.grandchallenge.values import Point, multiple_points
from preop.imaging import Image, axial_axis, check_hu, check_suv, to_common_frame
from preop.report.charts import share_chart
from preop.segmentation import (
    FractionOfMaximum,
    Network,
    OrganNetworks,
    Organs,
    load_network,
    load_organ_networks,
    remove_small_components,
    segment_pet,
)
from preop.staging import N, NodalStage
from preop.tabular import LogisticModel
from preop.toml import first_validation_error

from .assessment import (
    CT,
    PET,
    Assessment,
    Information,
    lesion_row,
    predict_from_organs,
    reasoning,
    station_table,
)
from .lesions import DISTANT_ORGANS, SEGMENTATION, TAKES_UP_IN_HEALTH, Kind, Lesion
from .malignancy import LABELS, features_of

DESCRIPTION_FILE = "malignancy.json"
ORGANS_FOLDER, LESIONS_FOLDER = "organs", "lesions"

ORGANS = tuple(dict.fromkeys((*TOTAL_CLASSES, *TAKES_UP_IN_HEALTH, *DISTANT_ORGANS)))
"""What is labelled on the CT: what borders rest on, what takes up FDG in health, and where metastases lie."""

MOST_DRAWN = 63
"""The platform takes 64 labels of a segmentation, the background among them."""

UNCOVERED = 0.02
"""Share of the lungs beyond the PET from which a reader is told."""

RIVAL = 0.5
"""Share of the volume of the primary from which a lesion of the other lung may be it as well."""

DISCLAIMER = "Research only: this is not a medical device and must not guide the care of a patient."


class PetThreshold(BaseModel):
    """Lesions by their uptake, without a network: ``preop.segmentation.FractionOfMaximum``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fraction: float = Field(0.41, gt=0, le=1, description="of the maximum of each lesion")
    seed_suv: float = Field(2.5, gt=0, description="what the maximum of a lesion has to reach")
    floor_suv: float = Field(2.0, gt=0, description="no voxel below this belongs to a lesion")


class Description(BaseModel):
    """What a trained model says of itself, beside its networks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lesions: Literal["network", "pet"] = Field(description="what draws lesions that are not given")
    pet: PetThreshold = PetThreshold()
    trained_with: dict[str, str] = Field(description="SHA-256 of the files of each network at the training")
    slice_mm: float = Field(description="largest distance of slices in training")
    malignancy: dict[str, Any] = Field(description="the logistic regression: preop.tabular.LogisticModel")


@dataclass(frozen=True)
class Model:
    """A trained model, where it comes from, and its networks."""

    info: ModelInfo
    description: Description
    malignancy: LogisticModel
    organs: OrganNetworks
    lesions: Network | None

    def probability(self, node: Lesion) -> float:
        """Probability that a node is malignant."""
        return self.malignancy.probability(features_of(node))


def load_model(folder: Path, algorithm: Algorithm) -> Model:
    """Read and check a model folder; networks may be exchanged for others of the same layout, and that is told."""
    info = read_model_info(folder, algorithm)
    try:
        description = Description.model_validate_json((folder / DESCRIPTION_FILE).read_bytes())
        malignancy = LogisticModel.from_dict(description.malignancy)
    except OSError:
        raise InvalidModelError(f"The model in {folder} is incomplete: {DESCRIPTION_FILE} is missing.") from None
    except ValidationError as error:
        raise InvalidModelError(
            f"The model in {folder} is damaged: {DESCRIPTION_FILE}, {first_validation_error(error)}."
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidModelError(f"The model in {folder} is damaged: {DESCRIPTION_FILE}, malignancy.") from error
    networks = folder / ORGANS_FOLDER, folder / LESIONS_FOLDER
    return Model(
        info,
        description,
        malignancy,
        load_organ_networks(networks[0], ORGANS),
        load_network(networks[1]) if description.lesions == "network" else None,
    )


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the N stage, and trace it back to the nodes."""
    ct, pet = case.image(CT), case.image(PET)
    check_hu(ct, name=CT)
    check_suv(pet, name=PET, brain=False)
    suv, _ = to_common_frame(pet, ct)
    organs = remove_small_components(model.organs.segment(ct))
    segmentation = case.image(SEGMENTATION) if SEGMENTATION in case else draw_lesions(ct, suv, organs, model)
    assessment = predict_from_organs(suv, organs, segmentation, Information.of(case), model.probability)
    return outputs_of(assessment, case, organs, model)


def outputs_of(assessment: Assessment, case: Case, organs: Organs, model: Model) -> dict[str, Output]:
    """Tell the stage and what it rests on in the forms that the platform shows."""
    ct, pet = case.image(CT), case.image(PET)
    notes = _notes(assessment, ct, pet, organs)
    warnings = _warnings(assessment, model, organs, ct.spacing_mm[axial_axis(ct.geometry)])
    return {
        "n-stage": str(assessment.stage.category),
        "n-stage-explanation": _explanation(assessment, model, notes, warnings),
        "n-stage-chart": _chart(assessment),
        "lymph-node-stations": station_table(assessment),
        "lymph-nodes": _points(assessment),
        "lesions": _drawn(assessment),
        "lymph-node-station-map": assessment.stations.on(ct.geometry),
    }


def draw_lesions(ct: Image, suv: Image, organs: Organs, model: Model) -> Image:
    """Draw the lesions by the network of the model, or by their uptake where the model says so."""
    if model.lesions is not None:
        return draw_by_network(ct, suv, model.lesions)
    return draw_by_uptake(suv, organs, model.description.pet)


def draw_by_network(ct: Image, suv: Image, network: Network) -> Image:
    """Draw lesions on CT and PET, 1 in all of them."""
    return network.segment([ct, suv], mirroring=False)


def draw_by_uptake(suv: Image, organs: Organs, rule: PetThreshold) -> Image:
    """Draw lesions by thresholds of uptake, one number each."""
    threshold = FractionOfMaximum(rule.fraction, rule.seed_suv, rule.floor_suv)
    return segment_pet(suv, threshold, organs=organs, physiological=TAKES_UP_IN_HEALTH)


def digest(checksums: Mapping[str, str]) -> str:
    """Give one SHA-256 for all files of a network."""
    lines = "".join(f"{name} {value}\n" for name, value in sorted(checksums.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def digests(organs: OrganNetworks, lesions: Network | None) -> dict[str, str]:
    """Give the SHA-256 of each network."""
    return {"organs": digest(organs.checksums)} | ({} if lesions is None else {"lesions": digest(lesions.checksums)})


def _explanation(assessment: Assessment, model: Model, notes: list[str], warnings: list[str]) -> dict[str, Any]:
    stage, lesions = assessment.stage, assessment.lesions
    primary = lesions.primary
    return {
        "stage": str(stage.category),
        "tnm_edition": int(stage.edition),
        "reasoning": reasoning(assessment),
        "rule_applied": stage.reason,
        "probabilities": {str(category): p for category, p in assessment.probabilities.of.items()},
        "probability_of_less": assessment.probabilities.overstaged(stage.category),
        "probability_of_more": assessment.probabilities.understaged(stage.category),
        "at_least": str(stage.at_least),
        "at_most": str(stage.at_most),
        "side_of_primary": None if assessment.side is None else str(assessment.side),
        "side_is": assessment.side_from,
        "primary": None if primary is None else lesion_row(primary),
        "other_lesions": [
            lesion_row(lesion) for kind in (Kind.DISTANT, Kind.PHYSIOLOGICAL) for lesion in lesions.of(kind)
        ],
        "nodes": len(assessment.nodes),
        "clinical_rule": {
            "above_mediastinum": _by_rule(assessment.rule("blood_pool")),
            "above_liver": _by_rule(assessment.rule("liver")),
        },
        "reference_uptake": {"blood_pool_suv": lesions.references.blood_pool, "liver_suv": lesions.references.liver},
        "notes": notes,
        "warnings": warnings,
        "model": {
            "trained_on": model.info.training_data.description,
            "simulated_patients": model.info.training_data.simulated,
            "created": model.info.created,
            "networks": digests(model.organs, model.lesions),
            "validation": model.info.validation["agreement"],
        },
        "disclaimer": DISCLAIMER,
    }


def _by_rule(stage: NodalStage | None) -> dict[str, Any] | None:
    if stage is None:
        return None
    return {"stage": str(stage.category), "stations": [str(station) for station in stage.involved]}


def _chart(assessment: Assessment) -> Output:
    """Draw the probability of each category; NX only where something is left open."""
    shares = {str(category): p for category, p in assessment.probabilities.of.items() if category is not N.NX or p > 0}
    side = "side of the primary unknown" if assessment.side is None else f"primary {assessment.side}"
    return share_chart(
        shares,
        axis="probability",
        title=f"Nodal stage {assessment.stage.category}",
        subtitle=f"TNM {int(assessment.stage.edition)}; {side}",
    )


def _points(assessment: Assessment) -> Output:
    return multiple_points(
        (
            Point(node.centre_mm, f"{node.station} (lesion {node.number})", probability)
            for node, probability in sorted(
                zip(assessment.nodes, assessment.malignancy, strict=True), key=lambda pair: (-pair[1], pair[0].number)
            )
        ),
        name="lymph nodes",
    )


def _drawn(assessment: Assessment) -> Image:
    labels = assessment.lesions.labels
    return labels.with_voxels(np.where(labels.voxels <= MOST_DRAWN, labels.voxels, 0).astype(np.uint8))


def _notes(assessment: Assessment, ct: Image, pet: Image, organs: Organs) -> list[str]:
    """Tell what was not in view, what stood for it, and how lesions were told apart."""
    notes = [*assessment.stations.notes, *assessment.lesions.notes]
    beyond = _share_beyond(pet, ct, organs)
    if beyond > UNCOVERED:
        notes.append(f"{beyond:.0%} of the lungs lie beyond the PET: uptake there counts as 0.")
    if (count := len(assessment.lesions.all)) > MOST_DRAWN:
        notes.append(f"{count} lesions were found, of which the first {MOST_DRAWN} are drawn; all are in the tables.")
    return notes


def _share_beyond(pet: Image, ct: Image, organs: Organs) -> float:
    """Share of the lungs that the PET does not reach."""
    places = np.argwhere(organs.mask(*LUNGS)[::4, ::4, ::4]) * 4
    index = pet.geometry.index_zyx(ct.geometry.world_mm(places))
    inside = ((index >= -0.5) & (index <= np.array(pet.shape) - 0.5)).all(axis=1)
    return 1 - float(inside.mean()) if len(places) else 0.0


def _warnings(assessment: Assessment, model: Model, organs: Organs, slice_mm: float) -> list[str]:
    """Tell in words what a reader should know before trusting the stage."""
    return [
        *_about_orientation(organs),
        *_about_view(assessment),
        *_about_primary(assessment),
        *_about_nodes(assessment, model),
        *_about_model(model, slice_mm),
    ]


def _about_orientation(organs: Organs) -> list[str]:
    """Doubt a header by which the liver lies where it does not."""
    liver, lungs = (_centre_mm(organs, names) for names in (("liver",), LUNGS))
    if liver is None or lungs is None:
        return []
    warnings = []
    if liver[0] > lungs[0]:
        warnings.append(
            "The liver lies on the left: the scan is mirrored, or the organs are (situs inversus); if it is mirrored, "
            "right and left are exchanged in all that is said here."
        )
    if liver[2] > lungs[2]:
        warnings.append(
            "The liver lies above the lungs: the scan stands on its head, and nothing said here can be believed; correct "
            "the orientation in its header."
        )
    return warnings


def _centre_mm(organs: Organs, names: Sequence[str]) -> NDArray[np.float64] | None:
    places = np.argwhere(organs.mask(*names)[::4, ::4, ::4]) * 4
    return organs.labels.geometry.world_mm(places).mean(axis=0) if len(places) else None


def _about_view(assessment: Assessment) -> list[str]:
    missing = [name for name in STATIONS if not assessment.stations.mask(name).any()]
    if not missing:
        return []
    return [
        f"Stations {', '.join(missing)} are not in view or could not be placed: nodes in them count for nothing, and the true "
        "stage may be higher."
    ]


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
            for lesion in assessment.lesions.of(Kind.DISTANT)
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
    warnings += [f"In cross-validation {sentence}" for sentence in model.info.validation["cautions"]]
    if model.info.training_data.simulated:
        warnings.append("The model was trained on simulated patients: its figures say nothing about real ones.")
    return warnings


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
