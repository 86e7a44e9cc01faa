"""The page of a case as one HTML file: no network, no address, at most ``MAX_BYTES``, and the same bytes for the same case."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preop.atomic import write_text
from preop.errors import InvalidInputError, InvalidOutputError
from preop.grandchallenge.algorithm import Algorithm
from preop.report.case.content import (
    CasePage,
    FlatPicture,
    Instance,
    Instances,
    Picture,
    Place,
    ProjectionPicture,
    SlicePicture,
    Stack,
)
from preop.report.case.drawing import DisplayedStack, Drawing, flat, placed, projection
from preop.report.case.rasters import Detail, data_uri, fitting
from preop.report.charts import Spec, to_svg
from preop.report.html import asset, render
from preop.report.sections import Cell
from preop.study import DISCLAIMER, SIMULATED

MAX_BYTES = 15_000_000
"""Of a page: what mail servers and clinical viewers still take."""
MAX_ROWS = 1000
"""Of a table, the weightiest; a patient has fewer, and a file that was made to fill a page has more."""
VISIBLE_WARNINGS = 3
THUMBNAIL = Detail(160, 60)

_IN_WORDS = {
    "yes": "",
    "limited": "Assessable with reservations.",
    "no": "Not assessable: no decision.",
}


@dataclass(frozen=True)
class Provenance:
    """What is known of a page beside input and outputs.

    Attributes
    ----------
    case
        Name of the case.
    model_sha256
        Of the ``model.json`` that the outputs were made with, which holds the checksums of all its files; None where that is
        not known.
    """

    case: str
    model_sha256: str | None = None


@dataclass(frozen=True)
class _Target:
    """Where a click leads to: an element, a slice of it, and what is highlighted there."""

    go: str
    slice: int
    layer: str
    value: int


@dataclass(frozen=True)
class _Shown:
    """A picture with what stands below it, and where a click on it leads to."""

    drawing: Drawing
    caption: str
    go: _Target | None
    number: int
    kind: str = ""
    wide: bool = False
    legend: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class _Row:
    cells: Sequence[Cell]
    go: _Target | None
    minor: bool


def write_case_page(page: CasePage, algorithm: Algorithm, provenance: Provenance, path: Path) -> Drawing:
    """Write the page, and give the picture that stands for the case on other pages."""
    stacks = {stack.name: DisplayedStack(stack) for stack in page.stacks}
    text = _page_text(page, algorithm, provenance, stacks)
    write_text(path, text)
    return thumbnail(page, stacks)


def thumbnail(page: CasePage, stacks: Mapping[str, DisplayedStack]) -> Drawing:
    """Draw the first picture of a page, small and without words."""
    drawing = _drawing(page.pictures[0], stacks, THUMBNAIL)
    return Drawing(
        drawing.raster, drawing.width, drawing.height, drawing.outlines, (), drawing.scale, drawing.shift, None
    )


def _page_text(
    page: CasePage, algorithm: Algorithm, provenance: Provenance, stacks: Mapping[str, DisplayedStack]
) -> str:
    from markupsafe import Markup

    style, script = asset("page.css") + asset("case.css"), asset("case.js")
    warnings = _warnings(page.explanation)
    content = {
        "page": page,
        "algorithm": algorithm,
        "case": provenance.case,
        # Own files, in which nothing of a case stands.
        "style": Markup(style),  # noqa: S704
        "script": Markup(script),  # noqa: S704
        "policy": f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'",
        "simulated": _simulated(page.explanation),
        "assessable": _IN_WORDS.get(str(page.explanation.get("assessable")), ""),
        "warnings": warnings[:VISIBLE_WARNINGS],
        "more_warnings": warnings[VISIBLE_WARNINGS:],
        "notes": _sentences(page.explanation.get("notes")),
        "pictures": [_shown(number, picture, stacks) for number, picture in enumerate(page.pictures, start=1)],
        "tables": [(table, [_row(row, stacks) for row in table.rows[:MAX_ROWS]]) for table in page.instances],
        "charts": [_chart(chart) for chart in page.charts],
        "provenance": _provenance(page.explanation, algorithm, provenance),
        "disclaimer": DISCLAIMER,
    }
    without_slices = render("case.html", **content, stacks=[])
    left = MAX_BYTES - len(without_slices.encode())
    text = render("case.html", **content, stacks=_slices(page.stacks, stacks, left))
    if len(text.encode()) > MAX_BYTES:
        raise InvalidOutputError(
            f"The page would have {len(text) / 1e6:.0f} MB without its slices; expected at most {MAX_BYTES / 1e6:.0f} MB: look at "
            "the outputs themselves."
        )
    return text


def _slices(stacks: Sequence[Stack], displayed: Mapping[str, DisplayedStack], limit_bytes: int) -> list[dict[str, Any]]:
    """Give the slices of all stacks, as finely as they fit."""
    outlines = {stack.name: _outlines(displayed[stack.name]) for stack in stacks}
    of_outlines = sum(len(str(each)) for of_stack in outlines.values() for each in of_stack)
    # Markup around them, and the difference between what is written here and in JSON.
    limit_bytes -= int(1.25 * of_outlines) + 100_000
    series = [(greys, displayed[stack.name].size_mm) for stack in stacks for greys in displayed[stack.name].greys]
    detail, every = fitting(series, max(limit_bytes, 1))
    while True:
        found = [_stack(displayed[stack.name], outlines[stack.name], detail, every) for stack in stacks]
        size = sum(len(image) for stack in found for each in stack["data"]["series"] for image in each["images"])
        if size <= limit_bytes or every > max((each.slices for each in displayed.values()), default=1):
            return found
        every += 1


def _stack(stack: DisplayedStack, outlines: Sequence[Any], detail: Detail, every: int) -> dict[str, Any]:
    """Give a stack as the script of the page takes it."""
    kept = range(0, stack.slices, every)
    height, width = stack.size_mm
    return {
        "stack": stack.stack,
        "every": every,
        "plane": stack.plane,
        "first": stack.picture(_middle(stack)),
        "kind": "light" if stack.stack.series[0].window.inverted else "",
        "data": {
            "name": stack.stack.name,
            "width": width,
            "height": height,
            "scale": stack.scale,
            "every": every,
            "positions": [stack.position_of(number) for number in kept],
            "series": [
                {
                    "name": f"{series.name}, {series.window.name}",
                    "light": series.window.inverted,
                    "images": [data_uri(greys[number], stack.size_mm, detail) for number in kept],
                }
                for series, greys in zip(stack.stack.series, stack.greys, strict=True)
            ],
            "layers": [
                {"name": layer.name, "colour": layer.colour, "colours": dict(layer.colours)}
                for layer in stack.stack.layers
            ],
            "slices": [outlines[number] for number in kept],
        },
    }


def _middle(stack: DisplayedStack) -> SlicePicture:
    middle = np.array([[(side - 1) / 2 for side in stack.geometry.shape]])
    x, y, z = stack.geometry.world_mm(middle)[0].tolist()
    return SlicePicture(Place(stack.stack.name, (x, y, z)), "", layers=())


def _outlines(stack: DisplayedStack) -> list[dict[str, Any]]:
    """Outlines and names of every slice: layer by number, value, path; layer, value, text, place."""
    numbers = {layer.name: number for number, layer in enumerate(stack.stack.layers)}
    height, width = stack.size_mm
    found = []
    for at in range(stack.slices):
        outlines, names = stack.drawn(at)
        found.append(
            {
                "o": [[numbers[each.layer], each.value, each.path] for each in outlines],
                "t": [
                    [numbers[each.layer], each.value, each.text, round(each.x, 1), round(each.y, 1)]
                    for each in placed(names, width, height)
                ],
            }
        )
    return found


def _shown(number: int, picture: Picture, stacks: Mapping[str, DisplayedStack]) -> _Shown:
    drawing = _drawing(picture, stacks)
    if isinstance(picture, FlatPicture):
        return _Shown(drawing, picture.caption, None, number, "light", picture.wide, picture.legend)
    if isinstance(picture, ProjectionPicture):
        window, go = picture.window, None
    else:
        window, go = stacks[picture.place.stack].stack.series[picture.series].window, _go(picture.place, stacks)
    caption = f"{picture.caption} {window.name[0].upper()}{window.name[1:]}."
    return _Shown(drawing, caption, go, number, "light" if window.inverted else "")


def _drawing(picture: Picture, stacks: Mapping[str, DisplayedStack], detail: Detail | None = None) -> Drawing:
    options = {} if detail is None else {"detail": detail}
    if isinstance(picture, SlicePicture):
        return stacks[picture.place.stack].picture(picture, **options)
    if isinstance(picture, ProjectionPicture):
        return projection(picture, **options)
    return flat(picture, **options)


def _row(row: Instance, stacks: Mapping[str, DisplayedStack]) -> _Row:
    return _Row([Cell(text) for text in row.cells], _go(row.place, stacks), row.minor)


def _go(place: Place | int | None, stacks: Mapping[str, DisplayedStack]) -> _Target | None:
    if place is None:
        return None
    if isinstance(place, int):
        return _Target("pictures", 0, "shapes", place)
    return _Target(f"slices-{place.stack}", stacks[place.stack].slice_of(place), place.layer or "", place.value)


def _warnings(explanation: Mapping[str, Any]) -> list[str]:
    """List what a reader has to know, the weightiest first: why the case is not, or not fully, assessable, then the rest."""
    told = [*_sentences(explanation.get("assessable_reasons")), *_sentences(explanation.get("warnings"))]
    return [sentence for sentence in dict.fromkeys(told) if sentence != SIMULATED]


def _sentences(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, (list, tuple)) else []


def _simulated(explanation: Mapping[str, Any]) -> bool:
    model = explanation.get("model")
    return isinstance(model, Mapping) and model.get("simulated_patients") is True


def _provenance(explanation: Mapping[str, Any], algorithm: Algorithm, provenance: Provenance) -> list[tuple[str, str]]:
    entry = explanation.get("model")
    model: Mapping[str, Any] = entry if isinstance(entry, Mapping) else {}
    unknown = "not stated"
    return [
        ("Algorithm", f"{algorithm.title} ({algorithm.name}), version {algorithm.version}"),
        ("Model", f"of {model.get('created', unknown)}, SHA-256 of model.json: {provenance.model_sha256 or unknown}"),
        ("Trained on", str(model.get("trained_on", unknown))),
    ]


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _chart(chart: Spec) -> str:
    """Give a chart as an image: nothing in it can run, be followed, or meet a name of the page."""
    try:
        svg = to_svg(chart)
    except ValueError as error:
        reason = (str(error).splitlines() or [""])[:2][-1]
        raise InvalidInputError(
            f"A chart among the outputs cannot be drawn ({reason}); run it again on this case."
        ) from error
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


__all__ = ["MAX_BYTES", "Instances", "Provenance", "thumbnail", "write_case_page"]
