"""What a model folder of this study holds, and how it is loaded and checked.

``model.json`` states where the model comes from and how well it does; ``growth-pattern.json`` holds what the weakly
supervised model and its decisions need beside weights, ``score-card.json`` the logistic model of the score card;
``networks`` and ``encoder`` read the slide, and ``bags`` is the ensemble over the features of its tiles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, FiniteFloat, model_validator

from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.options import Options
from preop.likeness import Reference, read_references
from preop.mil import PortableEnsemble, load_ensemble
from preop.slides import PortableEncoder, load_encoder
from preop.study import MODEL_FILE, Figure, ModelInfo, Stored, read_description, read_model_info

from .appearance import MEASURES
from .card_model import CardModel
from .likeness import SLIDE_ITSELF
from .reading import SlideNetworks
from .score_card import DEFINITIONS
from .tissue import INFO_FILE, load_networks
from .weakly_supervised import NetworkSettings

if TYPE_CHECKING:
    from torch import nn

    from preop.mil import Ensemble
    from preop.slides import Encoder

DESCRIPTION_FILE, CARD_FILE = "growth-pattern.json", "score-card.json"
ENCODER_FOLDER, NETWORKS_FOLDER = "encoder", "networks"

CARD, TILES, COMBINED = "score card", "tiles", "combined"
"""Names of the models; the last is the one whose likelihood is given."""

PACKAGES = ("preop", "torch", "timm", "numpy", "tifffile", "imagecodecs")
"""Those that take part in a training."""


class Description(Stored):
    """Content of ``growth-pattern.json``.

    Attributes
    ----------
    network
        What reads the features of tiles.
    thresholds
        By model, the likelihood from which a patient is called desmoplastic.
    min_tiles, max_tiles
        Of the slides that were trained on.
    """

    network: NetworkSettings
    thresholds: dict[str, FiniteFloat]
    min_tiles: int = Field(gt=0)
    max_tiles: int = Field(gt=0)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.thresholds.keys() != {CARD, TILES, COMBINED}:
            raise ValueError(
                f"thresholds names {_listed(self.thresholds)}; expected {_listed((CARD, TILES, COMBINED))}"
            )
        return self


class DecisionFigures(Stored):
    """How good the decisions of a model are; None where no patient determines a figure."""

    sensitivity: Figure | None
    specificity: Figure | None
    accuracy: Figure | None


class AgreementFigures(Stored):
    """How far two models agree: Spearman's correlation of their likelihoods, and the share of equal decisions."""

    models: list[str] = Field(min_length=2, max_length=2)
    rank_correlation: FiniteFloat | None
    same_decision: Figure


class ReaderFigures(Stored):
    """An item of the score card as it was measured, compared with how readers scored it."""

    patients: int = Field(gt=0)
    intraclass_correlation: FiniteFloat | None
    rank_correlation: FiniteFloat | None
    mean_difference: FiniteFloat


class CentreFigures(Stored):
    """AUC by model of the patients of a centre that was left out; none where all have the same outcome."""

    patients: int = Field(gt=0)
    events: int = Field(ge=0)
    auc: dict[str, Figure]


class Details(Stored):
    """What only the validation of this study holds.

    Attributes
    ----------
    decisions, brier_scores
        By model; a baseline gives no likelihood and has no Brier score.
    agreement
        Of the score card with the tiles.
    readers
        By item of the score card, where readers scored it.
    centres
        By centre that was left out, where there are two or more.
    oracle_auc
        Of an observer who knows how the patients were simulated; None for real ones.
    """

    decisions: dict[str, DecisionFigures]
    brier_scores: dict[str, FiniteFloat]
    agreement: list[AgreementFigures]
    readers: dict[str, ReaderFigures]
    centres: dict[str, CentreFigures]
    oracle_auc: FiniteFloat | None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if [pair.models for pair in self.agreement] != [[CARD, TILES]]:
            raise ValueError(f"agreement compares other models; expected {CARD} with {TILES}")
        for name, centre in self.centres.items():
            one_outcome = centre.events in (0, centre.patients)
            if centre.auc.keys() != (set() if one_outcome else self.decisions.keys()):
                raise ValueError(f"centres.{name} has the AUC of {_listed(centre.auc)}; expected all models")
        return self


@dataclass(frozen=True)
class Model:
    """A trained model, and where it comes from."""

    info: ModelInfo
    description: Description
    networks: SlideNetworks
    encoder: Encoder | PortableEncoder
    card: CardModel
    ensemble: Ensemble | PortableEnsemble
    training_patients: Reference


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
    if unstated := NetworkSettings.model_fields.keys() - description.network.model_fields_set:
        raise _damaged(folder, DESCRIPTION_FILE, f"network.{min(unstated)}: Field required")
    card = read_description(folder, CARD_FILE, CardModel)
    networks = load_networks(folder / NETWORKS_FOLDER)
    agreement, appearance = networks.info.agreement, networks.info.validated_appearance
    file = f"{NETWORKS_FOLDER}/{INFO_FILE}"
    if agreement.keys() - DEFINITIONS.keys():  # what it lacks is not assessed (limits.py)
        raise _damaged(folder, file, f"agreement names {_listed(agreement)}; expected some of {_listed(DEFINITIONS)}")
    if appearance and appearance.keys() != MEASURES.keys():
        problem = f"validated_appearance names {_listed(appearance)}; expected {_listed(MEASURES)}"
        raise _damaged(folder, file, problem)
    encoder = load_encoder(folder / ENCODER_FOLDER, trust_model=Options.from_environment().trust_model)
    ensemble = load_ensemble(folder, lambda: reader_of(description.network, encoder.info.features))
    reference = read_references(folder, [SLIDE_ITSELF])[SLIDE_ITSELF]
    return Model(info, description, networks, encoder, card, ensemble, reference)


def reader_of(settings: NetworkSettings, features: int) -> nn.Module:
    """Make what reads the features of tiles, with new weights; needs torch."""
    from .readers import make_reader

    return make_reader(settings, features)


def _check_complete(folder: Path, info: ModelInfo) -> None:
    """Refuse files of which no checksum is known, and figures that contradict each other."""
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if unknown := files - {MODEL_FILE, *info.files}:
        raise _damaged(folder, MODEL_FILE, f"files lacks the checksum of {min(unknown)}")
    if problem := _contradiction(info):
        raise _damaged(folder, MODEL_FILE, problem)


def _contradiction(info: ModelInfo) -> str | None:
    """Say where the figures of this study do not belong to the models of the validation."""
    validation, details = info.validation, info.validation.details_as(Details)
    predicting = {name for name, figures in validation.models.items() if not figures.baseline}
    if predicting != {CARD, TILES, COMBINED}:
        return f"models names {_listed(predicting)}; expected {_listed((CARD, TILES, COMBINED))}"
    if details.decisions.keys() != validation.models.keys():
        return f"decisions names {_listed(details.decisions)}; expected {_listed(validation.models)}"
    if details.brier_scores.keys() != predicting:
        return f"brier_scores names {_listed(details.brier_scores)}; expected {_listed(predicting)}"
    compared = {(each.model, each.baseline) for each in validation.comparisons}
    if missing := [name for name in (CARD, TILES) if (COMBINED, name) not in compared]:
        return f"comparisons lacks {COMBINED} beside {missing[0]}"
    counted = sum(centre.patients for centre in details.centres.values())
    if details.centres and counted != validation.patients:
        return f"centres holds {counted} patients; expected {validation.patients}"
    return None


def _damaged(folder: Path, file: str, problem: str) -> InvalidModelError:
    return InvalidModelError(f"The model in {folder} is damaged: {file}, {problem}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
