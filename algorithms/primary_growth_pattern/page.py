"""What a pathologist sees of a case: the score card as a form, where on the slide it rests, and the most influential tiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from preop.grandchallenge.cases import Case
from preop.grandchallenge.results import CaseOutputs
from preop.imaging import Image
from preop.report.case import (
    CasePage,
    FlatPicture,
    Headline,
    Instance,
    Instances,
    Shape,
    auc_in_words,
    circle,
    percent,
    square,
)
from preop.report.sections import Column
from preop.slides import Slide
from preop.slides.tiling import UM_PER_MM
from preop.study import Assessable

from .pathology_report import KNOWN

SLIDE = "primary-tumour-slide"
OVERVIEW_PX = 1400
CLOSE_UPS = 3
CLOSE_UP_SIDES, CLOSE_UP_PX = 2.0, 480
FAVOURS, AGAINST, BED, ITEM = "#e67814", "#2864be", "#111827", "#d6248a"
FIRST_ITEM = 100
"""Tiles are referred to by their rank, items of the card by numbers from here on."""
TISSUES = {
    "tumour": "#b0306a",
    "mature stroma": "#f4b6c2",
    "intermediate stroma": "#f0937e",
    "immature stroma": "#e4572e",
    "muscle": "#c9a27e",
    "mucus": "#7fb7d6",
    "necrosis": "#6b6b6b",
    "lymphoid": "#4b3fa3",
    "fat": "#f6e7a1",
    "mucosa": "#8cbf88",
}

Row = Mapping[str, Any]


def case_page(case: Case, outputs: CaseOutputs) -> CasePage:
    """Say how likely desmoplastic growth is, and show card, tissue and tiles."""
    said, items = outputs.value("growth-pattern-explanation"), outputs.value("score-card")["items"]
    tiles, side_um = said["tiles"]["most_influential"], said["tiles"]["side_um"]
    return CasePage(
        headline=_headline(said, items),
        explanation=said,
        pictures=_pictures(case, outputs, items, tiles, side_um),
        reasoning=_reasoning(said, items),
        instances=[_card(said, items), _tiles(tiles, side_um)],
        charts=[outputs.value("score-card-chart")],
        legend=[
            ("tile that favours desmoplastic growth", FAVOURS),
            ("tile that counts against it", AGAINST),
            ("tumour bed", BED),
            ("region of an item", ITEM),
        ],
    )


def _headline(said: Row, items: Sequence[Row]) -> Headline:
    likelihood = percent(said["likelihood"])
    sentence = {
        "desmoplastic": f"Desmoplastic growth of the liver metastases is likely: {likelihood}.",
        "not desmoplastic": f"Desmoplastic growth of the liver metastases is unlikely: {likelihood}.",
    }.get(said["decision"], f"No decision on the growth of the liver metastases; the likelihood is {likelihood}.")
    by_model = [
        f"{name} {'none' if each['likelihood'] is None else percent(each['likelihood'])}"
        for name, each in said["models"].items()
        if name != "combined"
    ]
    uncertain = (
        f"By model: {', '.join(by_model)}; desmoplastic is called from {percent(said['decision_threshold'])}. "
        f"{auc_in_words(said['model']['validation'])}"
    )
    missing = [item["title"].lower() for item in items if item["not_assessed"]]
    not_assessed = [f"Not assessed: {', '.join(missing)}."] if missing else []
    not_assessed.append("The liver metastases themselves were not looked at.")
    return Headline(sentence, uncertain, not_assessed)


def _pictures(
    case: Case, outputs: CaseOutputs, items: Sequence[Row], tiles: Sequence[Row], side_um: float
) -> list[FlatPicture]:
    """Show the slide with all shapes, the tissue map, and the most influential tiles close up."""
    tissue = _tissue_picture(outputs)
    try:
        with case.open(SLIDE, partial(Slide, um_per_pixel=case.um_per_pixel)) as slide:
            um_per_pixel = max(max(slide.size_um) / OVERVIEW_PX, slide.um_per_pixel)
            overview = FlatPicture(
                slide.overview(um_per_pixel),
                um_per_pixel,
                "The slide in H&E, with the tumour bed and the most influential tiles by their rank.",
                [*_item_shapes(items), *_tile_shapes(tiles, side_um)],
                wide=True,
            )
            close = [_close_up(slide, tiles, place, side_um) for place in range(min(CLOSE_UPS, len(tiles)))]
            return [overview, tissue, *close]
    except ImportError:
        return [tissue]  # what decodes slides is only where they are examined; the page does without


def _close_up(slide: Slide, tiles: Sequence[Row], place: int, side_um: float) -> FlatPicture:
    tile, field_um = tiles[place], CLOSE_UP_SIDES * side_um
    um_per_pixel = max(field_um / CLOSE_UP_PX, slide.um_per_pixel)
    corner = tile["y_um"] - (field_um - side_um) / 2, tile["x_um"] - (field_um - side_um) / 2
    pixels = round(field_um / um_per_pixel)
    return FlatPicture(
        slide.read_region(corner, (pixels, pixels), um_per_pixel),
        um_per_pixel,
        f"Tile {place + 1}: {_log_odds(tile['contribution_log_odds'])} log odds.",
        [Shape(square((tile["y_um"], tile["x_um"]), side_um), "", _colour(tile), place + 1)],
        corner_um=corner,
    )


def _tile_shapes(tiles: Sequence[Row], side_um: float) -> list[Shape]:
    return [
        Shape(square((tile["y_um"], tile["x_um"]), side_um), str(rank), _colour(tile), rank)
        for rank, tile in enumerate(tiles, start=1)
    ]


def _item_shapes(items: Sequence[Row]) -> Iterator[Shape]:
    """Outline what each item rests on: the bed and circles at once, the rest when its row is chosen."""
    for number, item in enumerate(items, start=FIRST_ITEM):
        for region in item["regions"]:
            bed = item["name"] == "tumour_stroma_ratio"
            if region["shape"] == "circle":
                points = circle((region["y_um"], region["x_um"]), region["radius_um"])
                yield Shape(points, item["title"].lower() if item["name"] == "budding" else "", ITEM, number)
            else:
                points = [(y, x) for y, x in region["points_um"]]
                yield Shape(points, "", BED if bed else ITEM, number, shown=bed)


def _tissue_picture(outputs: CaseOutputs) -> FlatPicture:
    tissue: Image = outputs.image("tissue-map")
    labels = outputs.algorithm.output("tissue-map").overlay_segments
    colours = np.full((max(labels.values()) + 1, 3), 255, np.uint8)
    for name, value in labels.items():
        colours[value] = [int(TISSUES.get(name, "#999999")[at : at + 2], 16) for at in (1, 3, 5)]
    present = [(name, TISSUES.get(name, "#999999")) for name, value in labels.items() if (tissue.voxels == value).any()]
    um_per_pixel = tissue.spacing_mm[0] * UM_PER_MM
    return FlatPicture(colours[tissue.voxels], um_per_pixel, "Tissue map by the network.", legend=present)


def _card(said: Row, items: Sequence[Row]) -> Instances:
    log_odds = {part["item"]: part["log_odds"] for part in said["score_card"]["contributions"]}
    columns = [
        Column("Item", "name"),
        Column("Value", "value"),
        Column("Finding"),
        Column("Unfavourable", "number"),
        Column("Log odds", "number"),
        Column("Cut-off and source", "long"),
    ]
    rows = [
        Instance(
            [
                item["title"],
                _value(item),
                "not assessed" if item["not_assessed"] else item["category"] or "",
                {True: "1", False: "0", None: "\N{EN DASH}"}[item["unfavourable"]],
                _log_odds(log_odds[item["name"]]) if item["name"] in log_odds else "\N{EN DASH}",
                item["not_assessed"] or f"{item['rule']} ({item['source']})",
            ],
            number if item["regions"] else None,
            minor=bool(item["not_assessed"]),
        )
        for number, item in enumerate(items, start=FIRST_ITEM)
    ]
    rows.sort(key=lambda row: row.minor)  # what was not assessed comes last; on paper the sentence at the head names it
    directed = [item for item in items if item["unfavourable"] is not None]
    points = sum(item["unfavourable"] for item in directed)
    note = (
        f"{points} of {len(directed)} points. A point counts against desmoplastic growth; what was not assessed has none and "
        "counts for nothing. A click on an item shows on the slide what it rests on."
    )
    return Instances("Score card", columns, rows, note, printed=max(1, sum(not row.minor for row in rows)))


def _tiles(tiles: Sequence[Row], side_um: float) -> Instances:
    columns = [Column("Tile", "name"), Column("Log odds", "number"), Column("From the top (mm)", "number")]
    columns.append(Column("From the left (mm)", "number"))
    rows = [
        Instance(
            [
                f"Tile {rank}",
                _log_odds(tile["contribution_log_odds"]),
                f"{tile['y_um'] / UM_PER_MM:.2f}",
                f"{tile['x_um'] / UM_PER_MM:.2f}",
            ],
            rank,
        )
        for rank, tile in enumerate(tiles, start=1)
    ]
    note = f"Squares of {side_um:g} \N{MICRO SIGN}m; log odds below 0 count against desmoplastic growth."
    return Instances("Most influential tiles", columns, rows, note, printed=3)


def _value(item: Row) -> str:
    if item["value"] is None or item["name"] in KNOWN:  # of the report: a category, no measurement
        return ""
    if item["unit"].startswith("share"):
        return f"{percent(item['value'])} {item['unit'].removeprefix('share ')}"
    return f"{item['value']:.3g} {item['unit'].replace('mm2', 'mm' + chr(0xB2))}"


def _reasoning(said: Row, items: Sequence[Row]) -> str:
    if said["assessable"] == Assessable.NO:
        return "The slide could not be assessed."
    assessed = [item for item in items if not item["not_assessed"]]
    words = [" ".join(filter(None, (item["title"].lower(), _value(item), _category(item)))) for item in assessed]
    missing = [item["title"].lower() for item in items if item["not_assessed"]]
    return (
        f"{said['decision'].capitalize()} by the algorithm: likelihood of desmoplastic growth {percent(said['likelihood'])} "
        f"(called from {percent(said['decision_threshold'])}). Score card: {'; '.join(words)}."
        + (f" Not assessed: {', '.join(missing)}." if missing else "")
    )


def _category(item: Row) -> str:
    return f"({item['category']})" if item["category"] else ""


def _log_odds(value: float) -> str:
    return f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")


def _colour(tile: Row) -> str:
    return FAVOURS if tile["contribution_log_odds"] > 0 else AGAINST
