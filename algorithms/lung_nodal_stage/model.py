"""What a model folder of this study holds, and how it is loaded and checked.

``model.json`` states where the model comes from and how well it does; ``malignancy.json`` holds the logistic regression
of malignancy and what the training has seen; ``organs`` and ``lesions`` hold the networks, which may be replaced by
others of the same layout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from preop.anatomy import TOTAL_CLASSES
from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import Algorithm
from preop.likeness import REFERENCE_FILE, Reference, read_references
from preop.segmentation import Network, OrganNetworks, load_network, load_organ_networks
from preop.staging import N
from preop.study import MODEL_FILE, Figure, ModelInfo, Stored, read_description, read_model_info, supported
from preop.tabular import LogisticModel

from .lesions import DISTANT_ORGANS, TAKES_UP_IN_HEALTH, Lesion
from .likeness import SCAN
from .malignancy import LABELS, features_of
from .view import Unseen

DESCRIPTION_FILE = "malignancy.json"
ORGANS_FOLDER, LESIONS_FOLDER = "organs", "lesions"

PACKAGES = ("preop", "torch", "nnunetv2", "TotalSegmentator", "numpy", "scipy", "SimpleITK")
"""Those that take part in a training."""

ORGANS = tuple(dict.fromkeys((*TOTAL_CLASSES, *TAKES_UP_IN_HEALTH, *DISTANT_ORGANS)))
"""What is labelled on the CT: what borders rest on, what takes up FDG in health, and where metastases lie."""

ALGORITHM_ITSELF = "the algorithm"
"""Rater of this name in the agreement with pathology."""

_CUTS = {"N0 | N1-3", "N0-1 | N2-3"}
_QUANTILES = 21  # 0, 5, ..., 100 %


class PetThreshold(BaseModel):
    """Lesions by their uptake, without a network: ``preop.segmentation.FractionOfMaximum``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    fraction: float = Field(0.41, gt=0, le=1, description="of the maximum of each lesion")
    seed_suv: float = Field(2.5, gt=0, description="what the maximum of a lesion has to reach")
    floor_suv: float = Field(2.0, gt=0, description="no voxel below this belongs to a lesion")


class Detection(Stored):
    """How many malignant nodes the lesion network missed in a validation of its own.

    Attributes
    ----------
    patients, malignant, missed
        Patients, their malignant nodes, and those of them that the network did not draw.
    source
        How this was measured.
    """

    patients: int = Field(gt=0)
    malignant: int = Field(ge=0)
    missed: int = Field(ge=0)
    source: str

    @property
    def missed_per_patient(self) -> float:
        """Expected number in one patient."""
        return self.missed / self.patients


class Description(Stored):
    """Content of ``malignancy.json``.

    Attributes
    ----------
    lesions
        What draws lesions that are not given.
    pet
        Thresholds of uptake.
    trained_with
        SHA-256 of the files of each network at the training.
    slice_mm
        Largest distance of slices in the training.
    detection
        What the lesion network misses; None where that was not measured.
    malignancy
        The logistic regression.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    lesions: Literal["network", "pet"]
    pet: PetThreshold
    trained_with: dict[str, str]
    slice_mm: float = Field(gt=0)
    detection: Detection | None = None
    malignancy: LogisticModel

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        networks = {"organs", "lesions"} if self.lesions == "network" else {"organs"}
        if self.trained_with.keys() != networks:
            raise ValueError(f"trained_with names {_listed(self.trained_with)}; expected {_listed(networks)}")
        names = [term.name for term in self.malignancy.terms]
        if names != list(LABELS):
            raise ValueError(f"malignancy has the terms {', '.join(names)}; expected {', '.join(LABELS)}")
        for quantiles in (self.malignancy.out_of_fold_quantiles, *(term.quantiles for term in self.malignancy.terms)):
            if len(quantiles) != _QUANTILES:
                raise ValueError(f"malignancy has {len(quantiles)} quantiles of a variable; expected {_QUANTILES}")
        return self


class CutFigures(Stored):
    """How well a rater separates the categories on either side of a cut."""

    sensitivity: Figure
    specificity: Figure


class StationFigures(CutFigures):
    """How well involved stations are found, among those that pathology has examined."""

    seen: int = Field(ge=0)


class AgreementFigures(Stored):
    """Agreement of a rater with pathology; the confusion counts patients by pathology, then by rater."""

    patients: int = Field(gt=0)
    accuracy: Figure
    quadratic_weighted_kappa: Figure
    over_staged: Figure
    under_staged: Figure
    cuts: dict[str, CutFigures]
    confusion: dict[str, dict[str, int]]

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.cuts.keys() != _CUTS:
            raise ValueError(f"cuts names {_listed(self.cuts)}; expected {_listed(_CUTS)}")
        if any(row.keys() != self.confusion.keys() for row in self.confusion.values()):
            raise ValueError("confusion is not square; expected a number for each pair of categories")
        counted = sum(sum(row.values()) for row in self.confusion.values())
        if counted != self.patients:
            raise ValueError(f"confusion counts {counted} patients; expected {self.patients}")
        return self


class NodeFigures(Stored):
    """Nodes whose truth is known, how many are malignant, and the AUC of their probabilities."""

    with_truth: int = Field(ge=0)
    malignant: int = Field(ge=0)
    auc: FiniteFloat | None


class Details(Stored):
    """What only the validation of this study holds: agreement by rater, and figures of stations and nodes."""

    agreement: dict[str, AgreementFigures]
    stations: dict[str, StationFigures]
    nodes: NodeFigures

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        seen = {name: figures.seen for name, figures in self.stations.items()}
        total, counted = seen.pop("all", 0), sum(seen.values())
        if total != counted:
            raise ValueError(f"stations holds {counted} examined ones; expected {total}, as under all")
        return self


@dataclass(frozen=True)
class Model:
    """A trained model, where it comes from, and its networks; no network of lesions where uptake alone draws them."""

    info: ModelInfo
    description: Description
    training_patients: Reference
    organs: OrganNetworks
    lesions: Network | None

    @property
    def malignancy(self) -> LogisticModel:
        """The logistic regression of malignancy."""
        return self.description.malignancy

    def probability(self, node: Lesion) -> float:
        """Probability that a node is malignant, no surer than the validation supports."""
        return supported(self.malignancy.probability(features_of(node)), self.info)

    def unseen(self, *, given: bool) -> Unseen:
        """Give what may be there unseen: malignant nodes that are missed, unless a reader has drawn the lesions.

        Where it was not measured how many nodes the network misses, it is the share of patients who are staged too low, at
        the upper end of its interval, and one node a patient where not even that is known.
        """
        agreement = self.info.validation.details_as(Details).agreement[ALGORITHM_ITSELF]
        detection = self.description.detection
        too_low = agreement.under_staged.upper
        missed = 1.0 if too_low is None else too_low
        if detection is not None:
            missed = detection.missed_per_patient
        counts = {name: sum(row.values()) for name, row in agreement.confusion.items()}
        shares = {
            category: sum(count for name, count in counts.items() if name.startswith(str(category)))
            / agreement.patients
            for category in (N.N1, N.N2, N.N3)
        }
        return Unseen(0.0 if given else missed, shares, supported(0.0, self.info))


def load_model(folder: Path, algorithm: Algorithm) -> Model:
    """Read and check a model folder.

    Raises
    ------
    InvalidModelError
        If anything is missing, of another type, or contradicts the rest.
    """
    info = read_model_info(folder, algorithm, Details)
    _check_complete(folder, info)
    description = read_description(folder, DESCRIPTION_FILE, Description)
    if unstated := PetThreshold.model_fields.keys() - description.pet.model_fields_set:
        raise _damaged(folder, DESCRIPTION_FILE, f"pet.{min(unstated)}: Field required")
    return Model(
        info,
        description,
        read_references(folder, [SCAN])[SCAN],
        load_organ_networks(folder / ORGANS_FOLDER, ORGANS),
        load_network(folder / LESIONS_FOLDER) if description.lesions == "network" else None,
    )


def digests(organs: OrganNetworks, lesions: Network | None) -> dict[str, str]:
    """Give one SHA-256 for all files of each network."""
    return {"organs": _digest(organs.checksums)} | ({} if lesions is None else {"lesions": _digest(lesions.checksums)})


def _digest(checksums: Mapping[str, str]) -> str:
    lines = "".join(f"{name} {value}\n" for name, value in sorted(checksums.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _check_complete(folder: Path, info: ModelInfo) -> None:
    """Refuse provenance in which something is missing that only this study knows of."""
    for file in (DESCRIPTION_FILE, REFERENCE_FILE):
        if file not in info.files:
            raise _damaged(folder, MODEL_FILE, f"files lacks the checksum of {file}")
    raters = info.validation.details_as(Details).agreement
    if raters.keys() != info.validation.models.keys():
        raise _damaged(
            folder, MODEL_FILE, f"agreement names {_listed(raters)}; expected {_listed(info.validation.models)}"
        )


def _damaged(folder: Path, file: str, problem: str) -> InvalidModelError:
    return InvalidModelError(f"The model in {folder} is damaged: {file}, {problem}.")


def _listed(names: Mapping[str, object] | set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
