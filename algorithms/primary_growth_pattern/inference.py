"""Growth pattern of colorectal liver metastases from the slide of the primary tumour.

Two ways, side by side. The score card: a tissue network maps the slide and a cell network finds lymphocytes and tumour
buds; what pathologists score is measured on them, and a logistic model reads which items are unfavourable. The agnostic
way: an encoder describes the tiles of the tissue, and attention over them was trained on nothing but the patients' growth
pattern. Their log odds are averaged. Items, regions and tiles tell on what each likelihood rests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preop.errors import InvalidModelError
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.models import ModelInfo, read_model_info
from preop.grandchallenge.outputs import Output, Thumbnail
from preop.grandchallenge.runtime import run_algorithm
from preop.grandchallenge.values import read_json
from preop.imaging import Image
from preop.mil import Ensemble, read_ensemble
from preop.report.charts import Contribution, contributions_chart
from preop.slides import Encoder, Slide, TileFeatures, in_micrometres, read_encoder
from preop.toml import first_validation_error

from .agnostic import NetworkSettings, bag_of, make_reader, tile_contributions
from .card_model import CardModel
from .examination import MASK, MASK_PIXEL_MM, SLIDE, Examined, examine
from .networks import Networks
from .score_card import Item
from .tissue import load_networks

DESCRIPTION_FILE, CARD_FILE = "growth-pattern.json", "score-card.json"
ENCODER_FOLDER, NETWORKS_FOLDER = "encoder", "networks"
CARD, TILES, TOGETHER = "score card", "tiles", "both together"
"""Names of the ways."""

TELLING_TILES = 10
MAX_ARTEFACT_FRACTION = 0.25
"""Share of the tissue under ink, folded or blurred from which a reader is told."""

TILES_PER_CHUNK = 1024
"""Tiles that are reduced at a time, which bounds the memory."""

_ACROSS = 5
_FRAME_PX = 8
_SPEAKS_FOR, _SPEAKS_AGAINST = (230, 120, 20), (40, 100, 190)
_HEAT_MAP_PIXELS = 8  # a side of a tile: as fine as the tissue is told
_SMALLEST_PROBABILITY = 1e-6
DISCLAIMER = "Research only: this is not a medical device and must not guide the care of a patient."


class Description(BaseModel):
    """What a trained model needs beside its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: NetworkSettings
    thresholds: dict[str, float] = Field(description="likelihood from which each way calls a patient desmoplastic")
    fewest_tiles: int = Field(description="of a slide that was trained on")
    most_tiles: int


@dataclass(frozen=True)
class Model:
    """A trained model, and where it comes from."""

    info: ModelInfo
    description: Description
    networks: Networks
    encoder: Encoder
    card: CardModel
    ensemble: Ensemble


def load_model(folder: Path, algorithm: Algorithm) -> Model:
    """Read and check a model folder."""
    info = read_model_info(folder, algorithm)
    try:
        description = Description.model_validate_json((folder / DESCRIPTION_FILE).read_bytes())
    except OSError:
        raise InvalidModelError(f"The model in {folder} is incomplete: {DESCRIPTION_FILE} is missing.") from None
    except ValidationError as error:
        raise InvalidModelError(
            f"The model in {folder} is damaged: {DESCRIPTION_FILE}, {first_validation_error(error)}."
        ) from None
    encoder = read_encoder(folder / ENCODER_FOLDER)
    return Model(
        info,
        description,
        load_networks(folder / NETWORKS_FOLDER),
        encoder,
        CardModel.from_json(read_json(folder / CARD_FILE)),
        read_ensemble(folder, lambda: make_reader(description.network, encoder.info.features)),
    )


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the likelihood of desmoplastic growth by both ways and together, and what it rests on."""
    mask = case.flat_mask(MASK, pixel_mm=MASK_PIXEL_MM) if MASK in case else None
    with case.open(SLIDE, Slide) as slide:
        seen = examine(slide, model.networks, model.encoder, mask=mask)
        by_card = model.card.predict(seen.card)
        bag = bag_of(case.name, [seen.tiles], model.description.network)
        (said,) = model.ensemble.predict([bag], instances_per_chunk=TILES_PER_CHUNK)
        by_tile = tile_contributions(said, model.ensemble, [seen.tiles], model.description.network)
        likelihoods = {
            CARD: by_card,
            TILES: said.probability,
            TOGETHER: together(by_card, said.probability),
        }
        telling = most_telling(by_tile)
        return {
            "desmoplastic-growth-likelihood": likelihoods[TOGETHER],
            "growth-pattern-explanation": _explanation(likelihoods, seen, by_tile, telling, model),
            "score-card": seen.card.to_json(),
            "score-card-chart": _chart(seen, model.card, by_card),
            "tissue-map": seen.tissue.to_image(),
            "growth-pattern-heat-map": _heat_map(seen.tiles, by_tile, slide),
            "telling-tiles": _sheet(slide, seen.tiles, by_tile, telling),
        }


def together(first: float, second: float) -> float:
    """Put two likelihoods together: the mean of their log odds."""
    limit = _SMALLEST_PROBABILITY
    log_odds = [math.log(p / (1 - p)) for p in (min(max(p, limit), 1 - limit) for p in (first, second))]
    return 1 / (1 + math.exp(-sum(log_odds) / 2))


def most_telling(by_tile: NDArray[np.float32]) -> NDArray[np.intp]:
    """Find the tiles that say most, for or against, the most telling first."""
    return np.argsort(-np.abs(by_tile), kind="stable")[:TELLING_TILES]


def _explanation(
    likelihoods: dict[str, float],
    seen: Examined,
    by_tile: NDArray[np.float32],
    telling: NDArray[np.intp],
    model: Model,
) -> dict[str, Any]:
    thresholds = model.description.thresholds
    calls = {
        way: "desmoplastic" if value >= thresholds[way] else "not desmoplastic" for way, value in likelihoods.items()
    }
    corners = seen.tiles.tiling.corners_um
    return {
        "likelihood": likelihoods[TOGETHER],
        "decision_threshold": thresholds[TOGETHER],
        "decision": calls[TOGETHER],
        "ways": {
            way: {"likelihood": value, "decision_threshold": thresholds[way], "decision": calls[way]}
            for way, value in likelihoods.items()
        },
        "both_ways_agree": calls[CARD] == calls[TILES],
        "unfavourable_items": [seen.card.item(name).title for name in seen.card.unfavourable],
        "items_not_assessed": {item.title: item.not_assessed for item in seen.card.items if not item.assessed},
        "score_card": {
            "intercept_log_odds": model.card.intercept,
            "contributions": [part.model_dump() for part in model.card.contributions(seen.card)],
        },
        "tiles": {
            "number": len(seen.tiles.tiling),
            "side_um": seen.tiles.tiling.size_um,
            "most_telling": [
                {
                    "y_um": round(float(corners[number, 0]), 1),
                    "x_um": round(float(corners[number, 1]), 1),
                    "contribution_log_odds": float(by_tile[number]),
                }
                for number in telling
            ],
        },
        "warnings": _warnings(calls, seen, model),
        "model": {
            "head": model.description.network.head,
            "encoder": model.encoder.info.name,
            "trained_on": model.info.training_data.description,
            "simulated_patients": model.info.training_data.simulated,
            "created": model.info.created,
            "validation": model.info.validation["models"],
        },
        "disclaimer": DISCLAIMER,
    }


def _chart(seen: Examined, card: CardModel, likelihood: float) -> Output:
    """Draw what each item of the card adds; items without a weight add nothing."""
    log_odds = {part.item: part.log_odds for part in card.contributions(seen.card)}
    return contributions_chart(
        [Contribution(item.title, _written(item), log_odds.get(item.name, 0.0)) for item in seen.card.items],
        title=f"Score card: likelihood of desmoplastic growth {likelihood:.0%}",
        subtitle=f"{len(seen.card.unfavourable)} of {sum(item.unfavourable is not None for item in seen.card.items)} items unfavourable",
    )


def _written(item: Item) -> str:
    if item.value is None:
        return "not assessed"
    share = item.unit.startswith("share")
    value = f"{item.value:.0%}" if share else f"{item.value:.3g} {item.unit}"
    return value if item.category is None else f"{value}, {item.category}"


def _heat_map(tiles: TileFeatures, by_tile: NDArray[np.float32], slide: Slide) -> Image:
    return in_micrometres(tiles.tiling, by_tile, slide.size_um, pixels=_HEAT_MAP_PIXELS)


def _sheet(slide: Slide, tiles: TileFeatures, by_tile: NDArray[np.float32], telling: NDArray[np.intp]) -> Thumbnail:
    """Lay out the most telling tiles, in rows from the upper left; orange frames speak for desmoplastic growth."""
    chosen = tiles.tiling.only(telling)
    pictures = {int(number): tile.pixels for number, tile in zip(np.sort(telling), slide.tiles(chosen), strict=True)}
    side = chosen.size_px + 4 * _FRAME_PX
    sheet = np.full((-(-len(telling) // _ACROSS) * side, _ACROSS * side, 3), 255, np.uint8)
    for place, number in enumerate(telling.tolist()):
        top, left = place // _ACROSS * side + _FRAME_PX, place % _ACROSS * side + _FRAME_PX
        framed = np.empty((chosen.size_px + 2 * _FRAME_PX,) * 2 + (3,), np.uint8)
        framed[:] = _SPEAKS_FOR if by_tile[number] > 0 else _SPEAKS_AGAINST
        framed[_FRAME_PX:-_FRAME_PX, _FRAME_PX:-_FRAME_PX] = pictures[number]
        sheet[top : top + len(framed), left : left + len(framed)] = framed
    return Thumbnail(sheet)


def _warnings(calls: dict[str, str], seen: Examined, model: Model) -> list[str]:
    """Tell in words what a reader should know before trusting the numbers."""
    learned, number = model.description, len(seen.tiles.tiling)
    warnings = []
    if calls[CARD] != calls[TILES]:
        warnings.append(f"The two ways disagree: {calls[CARD]} by the score card, {calls[TILES]} by the tiles.")
    if missing := [item.title.lower() for item in seen.card.items if not item.assessed]:
        warnings.append(f"Not assessed, and of no weight in the likelihood: {', '.join(missing)}.")
    if seen.artefact_fraction > MAX_ARTEFACT_FRACTION:
        warnings.append(
            f"{seen.artefact_fraction:.0%} of the tissue is covered by ink, folded or out of focus, and was not looked at."
        )
    if not learned.fewest_tiles <= number <= learned.most_tiles:
        warnings.append(
            f"The slide has {number} tiles of tissue; slides that the model was trained on had {learned.fewest_tiles} to "
            f"{learned.most_tiles}."
        )
    not_better = [
        each["baseline"]
        for each in model.info.validation["comparisons"]
        if each["model"] == TOGETHER and not each["adds"]
    ]
    if not_better:
        warnings.append(
            f"In cross-validation both ways together were not shown to do better than {' or '.join(not_better)} alone."
        )
    if model.info.training_data.simulated:
        warnings.append("The model was trained on simulated patients: its figures say nothing about real ones.")
    return warnings


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
