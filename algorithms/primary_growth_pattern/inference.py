"""Growth pattern of colorectal liver metastases from the slide of the primary tumour.

Two models, side by side. The score card: a tissue network maps the slide and a cell network finds lymphocytes and tumour
buds; what pathologists score is measured on them, and a logistic model reads which items are unfavourable. The weakly
supervised model: an encoder describes the tiles of the tissue, and attention over them was trained on nothing but the
patients' growth pattern. Their log odds are averaged; where no item of the card can be assessed, the tiles stand alone. Items, regions and tiles show what each likelihood rests on.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.runtime import run_algorithm
from preop.study import supported

from .examination import MASK, MASK_PIXEL_MM, examine, open_slide
from .explanation import card_chart, explain, heat_map, most_influential, tile_sheet
from .model import CARD, COMBINED, TILES, Model, load_model
from .pathology_report import with_report
from .score_card import ScoreCard
from .weakly_supervised import instances_of, tile_contributions

__all__ = ["combine", "load_model", "predict"]

_SMALLEST_PROBABILITY = 1e-6


def predict(case: Case, model: Model) -> dict[str, Output]:
    """Give the likelihood of desmoplastic growth by both models and combined, and what it rests on."""
    mask = case.flat_mask(MASK, pixel_mm=MASK_PIXEL_MM) if MASK in case else None
    network = model.description.network
    with open_slide(case) as slide:
        seen = examine(slide, model.networks, model.encoder, mask=mask)
        seen = replace(seen, card=with_report(seen.card, case))
        by_card = likelihood_of_card(seen.card, model)
        prediction = model.ensemble.read(case.name, instances_of([seen.tiles], network))
        by_tile = tile_contributions(prediction, model.ensemble, [seen.tiles], network)
        by_tiles = supported(prediction.probability, model.info)
        likelihoods = {
            CARD: by_card,
            TILES: by_tiles,
            COMBINED: by_tiles if by_card is None else supported(combine(by_card, by_tiles), model.info),
        }
        influential = most_influential(by_tile)
        likeness = model.training_patients.compare(seen.likeness, "slide")
        return {
            "desmoplastic-growth-likelihood": likelihoods[COMBINED],
            "growth-pattern-explanation": explain(likelihoods, seen, likeness, by_tile, influential, model),
            "score-card": seen.card.to_json(),
            "score-card-chart": card_chart(seen, model.card, by_card),
            "tissue-map": seen.tissue.to_image(),
            "growth-pattern-heat-map": heat_map(seen.tiles, by_tile, slide),
            "most-influential-tiles": tile_sheet(slide, seen.tiles, by_tile, influential),
        }


def likelihood_of_card(card: ScoreCard, model: Model) -> float | None:
    """Likelihood by the score card; None where none of the items that have a weight was assessed."""
    return supported(model.card.predict(card), model.info) if model.card.says(card) else None


def combine(first: float, second: float) -> float:
    """Combine two likelihoods: the mean of their log odds."""
    limit = _SMALLEST_PROBABILITY
    log_odds = [math.log(p / (1 - p)) for p in (min(max(p, limit), 1 - limit) for p in (first, second))]
    return 1 / (1 + math.exp(-sum(log_odds) / 2))


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
