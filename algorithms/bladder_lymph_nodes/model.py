"""What a model folder of this study holds, and how it is loaded: complete and consistent, or refused with one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, FiniteFloat, model_validator

from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import Algorithm
from preop.likeness import REFERENCE_FILE, Reference, read_references
from preop.mil import PortableEnsemble, load_ensemble
from preop.mil.predictions import DESCRIPTION_FILE as ENSEMBLE_FILE
from preop.mil.predictions import WEIGHTS_FILE, EnsembleDescription, read_ensemble_description
from preop.segmentation import Network, load_network
from preop.study import (
    MODEL_FILE,
    Figure,
    ModelInfo,
    Range,
    Stored,
    read_description,
    read_model_info,
)

from .likeness import SCAN
from .settings import NetworkSettings, count_options

if TYPE_CHECKING:
    from preop.mil import Ensemble

    from .network import Encoder

DESCRIPTION_FILE, ENCODER_FILE = "lymph-nodes.json", "node-encoder.json"
SEGMENTATION_NETWORK = "node_segmentation"

Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Number = Annotated[int, Field(ge=0)]


class GivenEncoder(Stored):
    """What made the features that are given of each node, where the network takes such: content of ``node-encoder.json``."""

    name: str = Field(description="as the files of features say; empty where they do not")
    features: Annotated[int, Field(gt=0)] = Field(description="of a node")


class Description(Stored):
    """What a trained model needs beside its weights."""

    network: NetworkSettings
    measured: tuple[str, ...] = Field(description="radiomics features, in the order the network takes them")
    threshold: Share = Field(description="likelihood from which a patient is called pN+")
    nodes: Range = Field(description="number of nodes of a patient")
    median_hu: Range = Field(
        description="median density of a patient's nodes: from the 5th to the 95th percentile of patients"
    )
    slice_mm: Range = Field(description="distance between slices")


class Decisions(Stored):
    """Of the patients at the threshold; null where nobody has, or nobody lacks, the outcome."""

    sensitivity: Figure | None
    specificity: Figure | None


class Ranking(Stored):
    """How nodes are ranked inside pN+ patients."""

    auc: Figure
    auc_of_patients: Figure
    first_is_positive: Figure
    to_look_at: Number


class Instances(Stored):
    """The nodes: how many there are, and how they are ranked where it is known which are positive."""

    name: str
    all: Number
    patients_with_truth: Number
    with_truth: Number
    positive: Number
    ranking: dict[str, Ranking]


class Count(Stored):
    """How well the number of positive nodes is predicted."""

    patients: Number
    expected: FiniteFloat
    reported: FiniteFloat
    coverage_of_90_percent_interval: Figure
    promised_coverage: Share
    ranked_probability_score: FiniteFloat
    ranked_probability_score_of_cohort: FiniteFloat
    difference: Figure


class Centre(Stored):
    """A centre whose patients were predicted by a model trained on all others."""

    patients: Number
    events: Number
    auc: Figure | None


class Oracle(Stored):
    """AUC of an observer who knows the variables that simulated patients are made from."""

    patient_auc: Share | None
    instance_auc: Share | None


class Details(Stored):
    """What only this study's validation holds."""

    patients_left_out: Number
    decisions: dict[str, Decisions]
    brier_score: Share
    instances: Instances
    count: Count | None
    centres: dict[str, Centre]
    oracle: Oracle | None

    @model_validator(mode="after")
    def _ranks_where_it_can(self) -> Self:
        can_be_ranked = self.instances.positive < self.instances.with_truth
        if self.instances.ranking.keys() != (self.decisions.keys() if can_be_ranked else set()):
            raise ValueError("instances.ranking and decisions do not name the same models")
        return self


@dataclass(frozen=True)
class Model:
    """A trained model, where it comes from, whose features it takes if any, and the network that segments nodes if it has one."""

    info: ModelInfo
    details: Details
    description: Description
    encoder: GivenEncoder | None
    ensemble: Ensemble | PortableEnsemble
    training_patients: Reference
    segmentation: Network | None


def load_model(folder: Path, algorithm: Algorithm) -> Model:
    """Read and check a model folder.

    Raises
    ------
    InvalidModelError
        If anything is missing, of another type, or contradicts the rest.
    """
    info = read_model_info(folder, algorithm, Details)
    details = info.validation.details_as(Details)
    if problem := _contradiction(info, details):
        raise InvalidModelError(f"The model in {folder} is damaged: {MODEL_FILE}, {problem}.")
    description = read_description(folder, DESCRIPTION_FILE, Description)
    if missing := sorted(NetworkSettings.model_fields.keys() - description.network.model_fields_set):
        raise InvalidModelError(
            f"The model in {folder} is damaged: {DESCRIPTION_FILE}, network.{missing[0]}: Field required."
        )
    encoder = read_given_encoder(folder, description)
    if encoder is not None and ENCODER_FILE not in info.files:
        raise InvalidModelError(
            f"The model in {folder} is damaged: {MODEL_FILE}, files.{ENCODER_FILE}: Field required."
        )
    ensemble = load_ensemble(folder, lambda: encoder_of(description, encoder))
    if not _is_the_described_head(read_ensemble_description(folder / ENSEMBLE_FILE), description.network):
        raise InvalidModelError(
            f"The model in {folder} is damaged: {ENSEMBLE_FILE} and {DESCRIPTION_FILE} describe different heads."
        )
    reference = read_references(folder, [SCAN])[SCAN]
    network = folder / SEGMENTATION_NETWORK
    segmentation = load_network(network) if network.is_dir() else None
    return Model(info, details, description, encoder, ensemble, reference, segmentation)


def read_given_encoder(folder: Path, description: Description) -> GivenEncoder | None:
    """Read what made the features that are given of each node; None where the network takes none."""
    if description.network.instances != "features":
        return None
    return read_description(folder, ENCODER_FILE, GivenEncoder)


def encoder_of(description: Description, given: GivenEncoder | None) -> Encoder:
    """Make the encoder that a description describes, with new weights; needs torch."""
    from .network import make_encoder

    return make_encoder(description.network, len(description.measured) if given is None else given.features)


def _contradiction(info: ModelInfo, details: Details) -> str | None:
    """Say what contradicts itself although each entry could be right."""
    if unlisted := [
        file for file in (DESCRIPTION_FILE, ENSEMBLE_FILE, WEIGHTS_FILE, REFERENCE_FILE) if file not in info.files
    ]:
        return f"files.{unlisted[0]}: Field required"
    if not info.validation.comparisons:
        return "validation.comparisons: the model is compared with no baseline"
    if details.decisions.keys() != info.validation.models.keys():
        return "validation.details.decisions does not name the models of validation.models"
    return None


def _is_the_described_head(ensemble: EnsembleDescription, network: NetworkSettings) -> bool:
    return ensemble.head == network.head and (not network.counts or dict(ensemble.options) == count_options(network))
