"""How a likelihood is explained: each model's decision, what items and tiles contribute, pictures, and warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.grandchallenge.outputs import Output, Thumbnail
from preop.imaging import Image
from preop.likeness import Likeness
from preop.report.charts import Contribution, contributions_chart
from preop.slides import Slide, TileFeatures, in_micrometres
from preop.study import DISCLAIMER, Assessability, Assessable, model_entry, simulation_warnings

from .card_model import SLIDE_ITEMS, CardModel
from .definitions import UM2_PER_MM2
from .examination import Examined
from .model import CARD, COMBINED, TILES, Model
from .pathology_report import KNOWN
from .score_card import HOT_SPOT_MM2, Item

SHOWN_TILES = 10
MAX_ARTEFACT_FRACTION = 0.25
"""Share of the tissue under ink, folded or out of focus above which an assessment is limited."""
MAX_BACKGROUND_FRACTION = 1 / 3
"""Share of a given mask on background: 0.27 in one that is drawn round the tissue generously (the bundled case)."""

NO_DECISION = "none"
MIN_TISSUE_MM2 = HOT_SPOT_MM2
"""Less than the one field in which buds are counted is too little of a tumour to say anything of it."""

_ACROSS = 5
_FRAME_PX = 8
_FOR, _AGAINST = (230, 120, 20), (40, 100, 190)  # orange and blue
_HEAT_MAP_PIXELS = 8  # along the side of a tile: as fine as the tissue map


def most_influential(by_tile: NDArray[np.float32]) -> NDArray[np.intp]:
    """Find the tiles that shift the likelihood most, up or down, the most influential first."""
    return np.argsort(-np.abs(by_tile), kind="stable")[:SHOWN_TILES]


def explain(
    likelihoods: Mapping[str, float | None],
    seen: Examined,
    likeness: Likeness,
    by_tile: NDArray[np.float32],
    influential: NDArray[np.intp],
    model: Model,
) -> dict[str, Any]:
    """Put together what each model decides, and what its likelihood rests on.

    Parameters
    ----------
    likelihoods
        By model; None of a score card without an item that was assessed.
    likeness
        How like those of the training patients the slide is.
    """
    thresholds = model.description.thresholds
    assessability = assess(seen, likeness, model, card_says=likelihoods[CARD] is not None)
    decisions = {name: _decision(value, thresholds[name], assessability) for name, value in likelihoods.items()}
    both = NO_DECISION not in (decisions[CARD], decisions[TILES])
    corners = seen.tiles.tiling.corners_um
    return {
        **assessability.to_json(),
        "likelihood": likelihoods[COMBINED],
        "decision_threshold": thresholds[COMBINED],
        "decision": decisions[COMBINED],
        "models": {
            name: {"likelihood": value, "decision_threshold": thresholds[name], "decision": decisions[name]}
            for name, value in likelihoods.items()
        },
        "models_agree": decisions[CARD] == decisions[TILES] if both else None,
        "unfavourable_items": [seen.card.item(name).title for name in seen.card.unfavourable],
        "items_not_assessed": {item.title: item.not_assessed for item in seen.card.items if not item.assessed},
        "score_card": {
            "intercept_log_odds": model.card.intercept,
            "contributions": [part.model_dump() for part in model.card.contributions(seen.card)],
        },
        "tiles": {
            "number": len(seen.tiles.tiling),
            "side_um": seen.tiles.tiling.size_um,
            "most_influential": [
                {
                    "y_um": round(float(corners[number, 0]), 1),
                    "x_um": round(float(corners[number, 1]), 1),
                    "contribution_log_odds": float(by_tile[number]),
                }
                for number in influential
            ],
        },
        "likeness_to_training": likeness.to_json(),
        "warnings": _warnings(decisions, seen, model),
        "model": model_entry(
            model.info,
            {name: figures.model_dump() for name, figures in model.info.validation.models.items()},
            head=model.description.network.head,
            encoder=model.encoder.info.name,
            # Stated only where it holds: the user trusted the maker of this model.
            **({"runs_code_of_its_maker": True} if model.encoder.info.kind == "torchscript" else {}),
        ),
        "disclaimer": DISCLAIMER,
    }


def assess(seen: Examined, likeness: Likeness, model: Model, *, card_says: bool) -> Assessability:
    """Say whether there was enough to assess: tissue, and items of the score card."""
    learned, number = model.description, len(seen.tiles.tiling)
    tissue_mm2 = number * seen.tiles.tiling.size_um**2 / UM2_PER_MM2
    if tissue_mm2 < MIN_TISSUE_MM2:
        too_little = f"There is too little tissue: {tissue_mm2:.2g} mm2; expected {MIN_TISSUE_MM2:.2g} mm2 or more."
        return Assessability(prevents=[too_little])
    limits = likeness.limits
    missing = [item.title.lower() for item in seen.card.of_the_slide if not item.assessed]
    if len(missing) == len(seen.card.of_the_slide):
        reasons = list(dict.fromkeys(item.not_assessed for item in seen.card.of_the_slide if item.not_assessed))
        return Assessability(prevents=[f"No item of the score card could be assessed: {'; '.join(reasons)}."])
    if not card_says:
        limits.append(
            "No item of the score card that has a weight could be assessed: the score card gives no likelihood, and the "
            "combined one is that of the tiles alone."
        )
    if missing:
        limits.append(f"Items of the score card that were not assessed, and have no weight: {', '.join(missing)}.")
    if seen.artefact_fraction > MAX_ARTEFACT_FRACTION:
        limits.append(
            f"{seen.artefact_fraction:.0%} of the tissue is under ink, folded or out of focus, and was not examined."
        )
    if seen.background_fraction > MAX_BACKGROUND_FRACTION:
        limits.append(
            f"{seen.background_fraction:.0%} of the given mask lies on what looks like background: check that it marks the "
            "tissue of this slide."
        )
    if number < learned.min_tiles:
        limits.append(f"There is less tissue than on any slide of the training: {number} tiles of {learned.min_tiles}.")
    return Assessability(limits=limits)


def _decision(likelihood: float | None, threshold: float, assessability: Assessability) -> str:
    if likelihood is None or assessability.verdict is Assessable.NO:
        return NO_DECISION
    return "desmoplastic" if likelihood >= threshold else "not desmoplastic"


def card_chart(seen: Examined, card: CardModel, likelihood: float | None) -> Output:
    """Draw what each item of the card adds; items that speak for neither pattern are left out, and others without a weight add 0."""
    log_odds = {part.item: part.log_odds for part in card.contributions(seen.card)}
    directed = sum(item.unfavourable is not None for item in seen.card.items)
    said = "no item assessed" if likelihood is None else f"likelihood of desmoplastic growth {likelihood:.0%}"
    return contributions_chart(
        [
            Contribution(item.title, _written(item), log_odds.get(item.name, 0.0))
            for item in seen.card.items
            if item.name in log_odds or item.name in SLIDE_ITEMS
        ],
        title=f"Score card: {said}",
        subtitle=f"{len(seen.card.unfavourable)} of {directed} items unfavourable",
    )


def heat_map(tiles: TileFeatures, by_tile: NDArray[np.float32], slide: Slide) -> Image:
    """Draw what each tile adds to the log odds."""
    return in_micrometres(tiles.tiling, by_tile, slide.size_um, pixels=_HEAT_MAP_PIXELS)


def tile_sheet(
    slide: Slide, tiles: TileFeatures, by_tile: NDArray[np.float32], influential: NDArray[np.intp]
) -> Thumbnail:
    """Arrange tiles in rows from the upper left; orange frames favour desmoplastic growth, blue ones count against it."""
    chosen = tiles.tiling.only(influential)
    pictures = {
        int(number): tile.pixels for number, tile in zip(np.sort(influential), slide.tiles(chosen), strict=True)
    }
    side = chosen.size_px + 4 * _FRAME_PX
    sheet = np.full((-(-len(influential) // _ACROSS) * side, _ACROSS * side, 3), 255, np.uint8)
    for place, number in enumerate(influential.tolist()):
        top, left = place // _ACROSS * side + _FRAME_PX, place % _ACROSS * side + _FRAME_PX
        framed = np.empty((chosen.size_px + 2 * _FRAME_PX,) * 2 + (3,), np.uint8)
        framed[:] = _FOR if by_tile[number] > 0 else _AGAINST
        framed[_FRAME_PX:-_FRAME_PX, _FRAME_PX:-_FRAME_PX] = pictures[number]
        sheet[top : top + len(framed), left : left + len(framed)] = framed
    return Thumbnail(sheet)


def _written(item: Item) -> str:
    if item.value is None:
        return "not assessed"
    if item.name in KNOWN:
        return str(item.category)
    share = item.unit.startswith("share")
    value = f"{item.value:.0%}" if share else f"{item.value:.3g} {item.unit}"
    return value if item.category is None else f"{value}, {item.category}"


def _warnings(decisions: Mapping[str, str], seen: Examined, model: Model) -> list[str]:
    """Say what a reader should know before trusting the numbers."""
    learned, number = model.description, len(seen.tiles.tiling)
    warnings = []
    if NO_DECISION not in (decisions[CARD], decisions[TILES]) and decisions[CARD] != decisions[TILES]:
        warnings.append(
            f"The two models disagree: {decisions[CARD]} by the score card, {decisions[TILES]} by the tiles."
        )
    if number > learned.max_tiles:
        warnings.append(
            f"The slide has {number} tiles of tissue, more than any slide of the training: {learned.max_tiles} or fewer."
        )
    weighted = {weight.item for weight in model.card.weights}
    if idle := [
        KNOWN[item.name].title.lower()
        for item in seen.card.items
        if item.name in KNOWN and item.assessed and item.name not in weighted
    ]:
        warnings.append(f"Of the pathology report, the model gives no weight to: {', '.join(idle)}.")
    if not_better := model.info.validation.not_better_than(COMBINED):
        warnings.append(
            f"In cross-validation the combined model was not shown to do better than {' or '.join(not_better)} alone."
        )
    return warnings + simulation_warnings(model.info)
