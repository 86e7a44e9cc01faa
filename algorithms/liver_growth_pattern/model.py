"""What a model folder of this study holds, and how it is read and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from preop.errors import InvalidModelError
from preop.folders import sha256
from preop.grandchallenge.algorithm import Algorithm
from preop.likeness import Reference, read_references
from preop.portable import PortableNetwork, has_torch, missing_portable, read_portable, runs_portable
from preop.segmentation import Network, OrganNetworks, load_network, load_organ_networks
from preop.staging import Pattern, WithinPatientCorrelation
from preop.study import Figure, ModelInfo, Range, Stored, read_description, read_model_info

from .combination import LEARNERS, Learner, Stack
from .fitted import COMBINATION, LEARNERS_OF, MODELS, Fitted
from .likeness import SCAN
from .regression import Regression
from .settings import NetworkSettings

if TYPE_CHECKING:
    from preop.mil import BagNetwork

DESCRIPTION_FILE, WEIGHTS_FILE, PORTABLE_FILE = "growth-patterns.json", "network.safetensors", "network.onnx"
MADE_FROM = "weights_sha256"
"""What the portable form says of the weights that it was made from."""
DETECTION_NETWORK, ORGAN_NETWORKS = "lesion_detection", "organs"
LIVER = "liver"
"""Class of a detection network that also draws the liver around the metastases."""


class Description(BaseModel):
    """What a trained model needs beside the weights of its networks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: NetworkSettings
    networks: int = Field(ge=1, description="number of networks, whose outputs are averaged")
    regression: Regression
    stacks: Mapping[str, Stack] = Field(description="of both learners combined, and of each alone")
    within_patient_correlations: Mapping[str, WithinPatientCorrelation] = Field(
        description="of metastases of a patient, by the same models"
    )
    mean_shares: tuple[float, float, float] = Field(description="of the reported metastases in training")
    typical: Mapping[Learner, tuple[float, float, float, float]] = Field(description="mean outputs of each learner")
    threshold: float = Field(ge=0, le=1, description="likelihood from which a patient is called non-desmoplastic")
    lesions: Range = Field(description="number of metastases of a patient")
    long_axis_mm: Range = Field(description="of metastases")
    liver_hu: Range = Field(description="density of the liver around metastases")
    slice_mm: Range = Field(description="distance of slices")

    @field_validator("stacks", "within_patient_correlations")
    @classmethod
    def _holds_each_model(cls, known: Mapping[str, Any]) -> Mapping[str, Any]:
        _check_names(known, MODELS)
        return known

    @field_validator("typical")
    @classmethod
    def _holds_each_learner(cls, known: Mapping[Learner, Any]) -> Mapping[Learner, Any]:
        _check_names(known, LEARNERS)
        return known

    @model_validator(mode="after")
    def _stacks_weigh_their_learners(self) -> Self:
        for name, stack in self.stacks.items():
            for weights in (stack.pure_weights, stack.share_weights):
                _check_names(weights, LEARNERS_OF[name])
        return self


def _check_names(known: Mapping[Any, Any], expected: Sequence[str]) -> None:
    if set(known) != set(expected):
        raise ValueError(f"names {', '.join(known) or 'none'}; expected {', '.join(expected)}")


class OfOneModel(Stored):
    """What a model reached beside the AUC of patients; null where the cohort does not determine it.

    Attributes
    ----------
    brier_score
        Of the likelihood of patients.
    lesion_auc_pure
        Purely desmoplastic metastases against mixed ones.
    error_of_shares
        Mean absolute error over the three patterns.
    log_score
        Mean log-probability of what was reported.
    predominant_accuracy, predominant_kappa
        Agreement on the predominant pattern.
    """

    brier_score: float | None
    lesion_auc_pure: Figure | None
    error_of_shares: Figure | None
    log_score: float | None
    predominant_accuracy: Figure | None
    predominant_kappa: Figure | None


class OfModels(Stored):
    """Of both learners combined, and of each alone."""

    combination: OfOneModel
    radiomics: OfOneModel
    network: OfOneModel


class Subgroup(Stored):
    """The combination on some of the metastases, of which so many are purely desmoplastic."""

    lesions: int = Field(ge=0)
    pure: int = Field(ge=0)
    lesion_auc_pure: Figure | None
    error_of_shares: Figure | None


class SecondSegmentation(Stored):
    """What changes if another person or network draws the same metastases."""

    lesions: int = Field(gt=0)
    difference_of_desmoplastic_share: Figure
    intraclass_correlation: float | None
    error_of_shares: Figure | None
    lesion_auc_pure: Figure | None


class Oracle(Stored):
    """What an observer can reach who knows how the patients were simulated."""

    patient_auc: float | None
    lesion_auc_pure: float | None
    error_of_shares: float | None


class Details(Stored):
    """What only this study's validation holds.

    Attributes
    ----------
    cohort_mean_error
        Error of shares if each metastasis is given the mean of the training patients.
    subgroups
        By size, by centre and by who segmented, as far as the cohort has several of them.
    second_segmentation
        Null where no patient was segmented twice.
    oracle
        Null for real patients.
    """

    lesions: int = Field(ge=0)
    reported_lesions: int = Field(ge=0)
    models: OfModels
    cohort_mean_error: Figure | None
    subgroups: dict[str, dict[str, Subgroup]]
    second_segmentation: SecondSegmentation | None
    oracle: Oracle | None


@dataclass(frozen=True)
class Model:
    """A trained model, where it comes from, and networks that find metastases and liver where it has them."""

    info: ModelInfo
    details: Details
    description: Description
    fitted: Fitted
    training_patients: Reference
    detection: Network | None
    organs: OrganNetworks | None

    @property
    def stack(self) -> Stack:
        """How the outputs of both learners are added."""
        return self.description.stacks[COMBINATION]

    @property
    def within_patient_correlation(self) -> WithinPatientCorrelation:
        """How far metastases of a patient resemble each other."""
        return self.description.within_patient_correlations[COMBINATION]


def load_model(folder: Path, algorithm: Algorithm) -> Model:
    """Read and check a model folder.

    Raises
    ------
    InvalidModelError
        If a file or an entry is missing, of another type, or does not fit the others.
    """
    info = read_model_info(folder, algorithm, Details)
    description = read_description(folder, DESCRIPTION_FILE, Description)
    fitted = Fitted(
        regression=description.regression,
        networks=_read_networks(folder, description),
        stacks=description.stacks,
        within_patient_correlations=description.within_patient_correlations,
        typical={name: np.array(values) for name, values in description.typical.items()},
    )
    detection, organs = folder / DETECTION_NETWORK, folder / ORGAN_NETWORKS
    return Model(
        info=info,
        details=info.validation.details_as(Details),
        description=description,
        fitted=fitted,
        training_patients=read_references(folder, [SCAN])[SCAN],
        detection=_read_detection(detection) if detection.is_dir() else None,
        organs=load_organ_networks(organs, ["liver"]) if organs.is_dir() else None,
    )


def _read_networks(folder: Path, description: Description) -> Sequence[BagNetwork] | PortableNetwork:
    """Read the networks in the form that runs here."""
    weights, portable = folder / WEIGHTS_FILE, folder / PORTABLE_FILE
    if portable.is_file() and runs_portable():
        network = read_portable(portable)
        if weights.is_file() and sha256(weights) != network.facts.get(MADE_FROM):
            raise InvalidModelError(
                f"{portable} was not made from {weights.name} beside it: write it anew by preop register --portable."
            )
        return network
    if not has_torch():
        raise missing_portable(portable)
    from .network import read_networks

    expected = f"the network that {DESCRIPTION_FILE} describes"
    return read_networks(weights, description.network, description.networks, expected)


def _read_detection(folder: Path) -> Network:
    network = load_network(folder)
    missing = [str(pattern) for pattern in Pattern if not isinstance(network.labels.get(pattern), int)]
    if missing:
        raise InvalidModelError(
            f"The detection network in {folder} has no class {missing[0]}; expected one for each predominant pattern, and "
            f"found {', '.join(network.labels)}."
        )
    return network
