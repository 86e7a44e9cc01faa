"""A page of a small case by hand: outlines at their voxels, links that lead somewhere, text of others escaped, bounded."""

import base64
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from preop.errors import InvalidInputError, InvalidOutputError
from preop.grandchallenge.algorithm import Algorithm
from preop.imaging import Geometry, Image
from preop.report.case import page as case_page
from preop.report.case.content import (
    SOFT_TISSUE,
    CasePage,
    FlatPicture,
    Headline,
    Instance,
    Instances,
    Layer,
    Place,
    ProjectionPicture,
    Series,
    Shape,
    SlicePicture,
    Stack,
    Window,
)
from preop.report.case.drawing import DisplayedStack, Name, flat, placed, projection, square
from preop.report.case.page import Provenance, write_case_page
from preop.report.case.rasters import fitting
from preop.report.sections import Column
from tests.report.reading import Page as ReadPage

GRID = Geometry.axis_aligned((6, 20, 30), (5.0, 2.0, 2.0))
EVIL = "<script>alert(1)</script>"
EXPLANATION = {
    "assessable": "limited",
    "assessable_reasons": [f"Reason {EVIL}"],
    "warnings": ["Second.", "Third.", "Fourth."],
    "notes": ["A note."],
    "model": {"trained_on": f"Patients {EVIL}", "created": "2026-01-01", "simulated_patients": True},
}


def labels() -> Image:
    """One node of 2 x 3 pixels on the second slice from the feet."""
    voxels = np.zeros(GRID.shape, np.uint8)
    voxels[1, 10:12, 4:7] = 7
    return Image(voxels, GRID)


NODE = Place("ct", (10.0, 20.0, 5.0), "nodes", 7)


def content(ct: Image | None = None) -> CasePage:
    ct = ct or Image(np.random.default_rng(0).normal(0, 200, GRID.shape).astype(np.float32), GRID)
    stack = Stack("ct", "CT", [Series("CT", ct, SOFT_TISSUE)], [Layer("nodes", labels(), {7: f"7 {EVIL}"})])
    flat_picture = FlatPicture(
        np.zeros((20, 30, 3), np.uint8), 10.0, "Slide.", [Shape(square((50, 60), 20), "1", value=1)]
    )
    return CasePage(
        headline=Headline(f"Node likely {EVIL}.", "Probability 70 %.", ["Not assessed: the rest."]),
        explanation=EXPLANATION,
        pictures=[SlicePicture(NODE, f"Node 7 {EVIL}."), flat_picture],
        reasoning=f"For the report {EVIL}.",
        stacks=[stack],
        instances=[Instances("Nodes", [Column("Node", "name")], [Instance(["Node 7"], NODE), Instance(["Tile 1"], 1)])],
    )


@pytest.fixture
def written(toy: Algorithm, tmp_path: Path) -> Callable[..., str]:
    def write(page: CasePage | None = None, name: str = f"Jane {EVIL}") -> str:
        path = tmp_path / "case.html"
        write_case_page(page or content(), toy, Provenance(name, "f" * 64), path)
        return path.read_text(encoding="utf-8")

    return write


def data_of(text: str) -> Any:
    (found,) = re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def test_the_answer_comes_first_and_everything_else_in_its_order(written: Callable[..., str]) -> None:
    text = ReadPage(written()).text
    parts = ["Node likely", "Probability 70 %.", "Assessable with reservations.", "Not assessed: the rest."]
    parts += ["Trained on simulated patients.", "Reason", "Second.", "Third.", "1 more warning", "Fourth.", "Node 7"]
    parts += ["All slices", "For the report", "A note.", "2026-01-01", "f" * 64, "not a medical device"]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_three_warnings_are_in_sight_and_the_others_folded(written: Callable[..., str]) -> None:
    in_sight, folded, *_ = written().split("<details>")
    assert "Third." in in_sight
    assert "Fourth." in folded.split("</details>")[0]


def test_text_of_others_never_becomes_markup(written: Callable[..., str]) -> None:
    text = written()
    assert EVIL not in text
    assert ReadPage(text).tags.count("script") == 2  # the data of the slices, and the page's own
    assert data_of(text)["slices"][4]["t"][0][2] == f"7 {EVIL}"


def test_nothing_but_the_own_style_and_script_may_run(written: Callable[..., str]) -> None:
    text = written()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src &#39;none&#39;; img-src data:; style-src &#39;sha256-")
    assert "unsafe" not in policy
    assert ' style="' not in text
    assert not re.findall(r'\son\w+="', text)
    addresses = ReadPage(text).addresses
    assert {each[:5] for each in addresses if not each.startswith("#")} == {"data:"}


def test_links_lead_to_parts_of_the_page(written: Callable[..., str]) -> None:
    read = ReadPage(written())
    inside = [each[1:] for each in read.addresses if each.startswith("#")]
    assert inside
    assert set(inside) <= set(read.anchors)


def test_a_row_and_a_picture_lead_to_the_slice_counted_from_the_head(written: Callable[..., str]) -> None:
    text = written()
    target = 'slice="4" data-layer="nodes" data-value="7"'
    assert f'<tr class="" data-go="slices-ct" data-{target}>' in text
    assert f'<a href="#slices-ct" data-{target}>' in text
    data = data_of(text)
    assert [len(each["o"]) for each in data["slices"]] == [0, 0, 0, 0, 1, 0]
    assert len(data["series"][0]["images"]) == 6


def test_an_outline_lies_around_its_voxels_in_millimetres() -> None:
    outlines, names = DisplayedStack(content().stacks[0]).drawn(4)
    scale = DisplayedStack(content().stacks[0]).scale
    numbers = list(map(float, re.findall(r"-?\d+", outlines[0].path)))
    assert scale == (1.0, 1.0)  # half of a pixel of 2 mm
    x, y = numbers[0] * scale[0], numbers[1] * scale[1]
    assert (x, y) == (9.0, 20.0)  # middle of the upper side of pixel (10, 4)
    assert names[0].x == pytest.approx(11.0)
    assert names[0].y == pytest.approx(22.0)


def test_the_same_case_gives_the_same_bytes(written: Callable[..., str]) -> None:
    assert written() == written()


def test_a_raster_shows_the_slice_of_the_place() -> None:
    voxels = np.full(GRID.shape, -1000, np.float32)
    voxels[1] = 1000
    drawing = DisplayedStack(content(Image(voxels, GRID)).stacks[0]).picture(SlicePicture(NODE, "", field_mm=20.0))
    pixels = np.asarray(Pillow.open(io.BytesIO(base64.b64decode(drawing.raster.partition(",")[2]))))
    assert pixels.min() > 250
    assert (drawing.width, drawing.height) == (20.0, 20.0)
    # The middle of the place's pixel, 11 and 21 mm from the corner of the slice, lies near the middle of the picture.
    assert abs(drawing.shift[0] + 11.0 - 10.0) <= 2
    assert abs(drawing.shift[1] + 21.0 - 10.0) <= 2


def test_a_projection_shows_the_largest_value_with_the_head_above() -> None:
    voxels = np.zeros(GRID.shape, np.float32)
    voxels[5, 3, 2] = 10  # near the head, on the right
    mask = Image((voxels > 0).astype(np.uint8), GRID)
    wanted = ProjectionPicture(
        Image(voxels, GRID), Window("SUV", 0, 10, inverted=True), "MIP.", layers=[Layer("foci", mask)]
    )
    drawing = projection(wanted)
    assert (drawing.width, drawing.height) == (60.0, 30.0)
    assert drawing.letters is not None
    assert (drawing.letters.left, drawing.letters.top) == ("R", "H")
    x, y = map(int, re.findall(r"\d+", drawing.outlines[0].path)[:2])
    assert (x * drawing.scale[0], y * drawing.scale[1]) == (5.0, 0.0)


def test_a_shape_on_a_slide_lies_at_its_micrometres() -> None:
    picture = FlatPicture(
        np.zeros((20, 30, 3), np.uint8), 10.0, "", [Shape(square((50, 60), 20))], corner_um=(40.0, 40.0)
    )
    drawing = flat(picture)
    assert drawing.outlines[0].path == "M20.0 10.0L40.0 10.0L40.0 30.0L20.0 30.0z"
    assert (drawing.width, drawing.height) == pytest.approx((0.3, 0.2))


def test_no_name_lies_over_another() -> None:
    names = [Name("nodes", number, "node 12", 50.0, 50.0, "#fff") for number in range(3)]
    found = placed(names, 100.0, 100.0)
    assert len({each.y for each in found}) == 3


def test_slices_are_stored_coarser_until_they_fit(monkeypatch: pytest.MonkeyPatch, written: Callable[..., str]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, 400, 400)).astype(np.uint8)
    detail, every = fitting([(noise, (400.0, 400.0))], 1_500_000)
    assert every == 1
    assert detail.side_px < 400
    rest = len(written(replace(content(), stacks=[], pictures=content().pictures[1:], instances=[])))
    monkeypatch.setattr(case_page, "MAX_BYTES", rest + 160_000)
    grid = Geometry.axis_aligned((200, 64, 64), (1.0, 2.0, 2.0))
    ct = Image(np.random.default_rng(0).normal(0, 200, grid.shape).astype(np.float32), grid)
    page = replace(
        content(),
        pictures=content().pictures[1:],
        instances=[],
        stacks=[Stack("ct", "CT", [Series("CT", ct, SOFT_TISSUE)])],
    )
    text = written(page)
    assert len(text) <= rest + 160_000
    data = data_of(text)
    assert data["every"] > 1
    assert f"One slice of {data['every']} is kept" in text


def test_outlines_on_another_grid_are_refused() -> None:
    ct = Image(np.zeros((6, 20, 31), np.float32), Geometry.axis_aligned((6, 20, 31), (5.0, 2.0, 2.0)))
    with pytest.raises(InvalidInputError, match="outlines nodes do not lie on the grid of CT"):
        Stack("ct", "CT", [Series("CT", ct, SOFT_TISSUE)], [Layer("nodes", labels())])


def rows_of(count: int) -> Sequence[Instance]:
    return [Instance([f"Node {number}"], NODE) for number in range(count)]


def test_a_long_table_is_cut_on_paper_and_whole_on_the_screen(written: Callable[..., str]) -> None:
    text = written(replace(content(), instances=[Instances("Nodes", [Column("Node", "name")], rows_of(20))]))
    assert text.count('<tr class=" onscreen"') == 6
    assert "6 more rows are on the screen." in text


def test_a_table_that_was_made_to_fill_the_page_is_cut(
    written: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = replace(content(), instances=[Instances("Nodes", [Column("Node", "name")], rows_of(1500))])
    text = written(page)
    assert text.count("<tr class") == 1000
    assert "500 rows of less weight are in the outputs alone." in text
    monkeypatch.setattr(case_page, "MAX_BYTES", 1000)
    with pytest.raises(InvalidOutputError, match="expected at most 0 MB"):
        written(content())
