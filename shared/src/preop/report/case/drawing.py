"""From scans, outlines and places to drawings: a raster in millimetres with paths and letters over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Geometry, Image, reorient, resample_like
from preop.report.case.content import FlatPicture, Layer, Place, ProjectionPicture, Shape, SlicePicture, Stack
from preop.report.case.outlines import UNITS_PER_PIXEL, label_place, outline
from preop.report.case.planes import (
    Grey,
    Letters,
    as_displayed,
    bar_in_words,
    bar_mm,
    letters_of,
    plane_of,
    slice_through,
    to_grey,
)
from preop.report.case.rasters import FINE, Detail, data_uri

Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge in mm."""

UM_PER_MM = 1000
FONT_UNITS = 3.9
"""Size of names, in hundredths of the longer side of a drawing."""
LETTER_UNITS = 0.66 * FONT_UNITS


@dataclass(frozen=True)
class Outline:
    """A path over a raster; coordinates as the drawing's ``scale`` and ``shift`` say."""

    layer: str
    value: int
    path: str
    colour: str
    highlighted: bool = False
    shown: bool = True


@dataclass(frozen=True)
class Name:
    """A word for an outline.

    Attributes
    ----------
    x, y
        Where its baseline begins, in mm from the upper left corner; before it is :func:`placed`, the middle of what it names.
    beside
        Half the width and height of what it is to stand beside; None where it may stand inside.
    """

    layer: str
    value: int
    text: str
    x: float
    y: float
    colour: str
    beside: tuple[float, float] | None = None


@dataclass(frozen=True)
class Drawing:
    """A picture to be put into a page.

    Attributes
    ----------
    raster
        Data URI; it fills the drawing.
    width, height
        In mm.
    scale, shift
        Bring the numbers of outlines to mm from the upper left corner: first scaled, then shifted; x, y.
    """

    raster: str
    width: float
    height: float
    outlines: Sequence[Outline] = ()
    names: Sequence[Name] = ()
    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)
    letters: Letters | None = None

    @property
    def unit(self) -> float:
        """A hundredth of the longer side: by it letters are sized."""
        return max(self.width, self.height) / 100

    @property
    def font(self) -> float:
        """Size of names in mm."""
        return FONT_UNITS * self.unit

    @property
    def bar(self) -> float:
        """Length of the scale bar in mm."""
        return bar_mm(self.width)

    @property
    def bar_in_words(self) -> str:
        """What stands beside the scale bar."""
        return bar_in_words(self.bar)


class DisplayedStack:
    """A stack turned to the usual view; its slices are drawn when asked for."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._grid = stack.series[0].image.geometry
        self.plane = plane_of(self._grid)
        self._labels = [np.asarray(as_displayed(layer.labels, self.plane).voxels) for layer in stack.layers]

    @cached_property
    def greys(self) -> tuple[Grey, ...]:
        """Grey values of each series (slices, rows, columns)."""
        return tuple(
            to_grey(as_displayed(self._on_grid(series.image), self.plane).voxels, series.window)
            for series in self.stack.series
        )

    @cached_property
    def geometry(self) -> Geometry:
        """Of the displayed slices."""
        return as_displayed(self.stack.series[0].image, self.plane).geometry

    @property
    def slices(self) -> int:
        """How many there are."""
        return self.geometry.shape[0]

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width of a slice."""
        _, rows, columns = self.geometry.shape
        _, row_mm, column_mm = self.geometry.spacing_mm
        return rows * row_mm, columns * column_mm

    @property
    def scale(self) -> tuple[float, float]:
        """From units of outlines to mm, x and y."""
        _, row_mm, column_mm = self.geometry.spacing_mm
        return column_mm / UNITS_PER_PIXEL, row_mm / UNITS_PER_PIXEL

    @cached_property
    def letters(self) -> Letters:
        """At the edges of each slice."""
        return letters_of(self.geometry)

    def slice_of(self, place: Place) -> int:
        """Number of the slice of a place, from 0."""
        return slice_through(self.geometry, place.position_mm)[0]

    def position_of(self, number: int) -> str:
        """Say where a slice lies: along the patient's axis across it."""
        x, y, z = self.geometry.world_mm(np.array([[number, *((side - 1) / 2 for side in self.geometry.shape[1:])]]))[0]
        name, value = {"axial": ("z", z), "coronal": ("y", y), "sagittal": ("x", x)}[self.plane]
        return f"{name} {value:.0f} mm".replace("-", "\N{MINUS SIGN}")

    def drawn(
        self, number: int, layers: Sequence[str] | None = None, place: Place | None = None
    ) -> tuple[list[Outline], list[Name]]:
        """Outlines and names of a slice; of all layers, or of some."""
        outlines, names = [], []
        for layer, labels in zip(self.stack.layers, self._labels, strict=True):
            if layers is None or layer.name in layers:
                more, words = _drawn(layer, labels[number], self.scale, place)
                outlines += more
                names += words
        return outlines, names

    def picture(self, wanted: SlicePicture, detail: Detail = FINE) -> Drawing:
        """Draw one slice, or a part of it around a place."""
        number, row, column = slice_through(self.geometry, wanted.place.position_mm)
        shown = wanted.layers
        if shown is None:
            shown = [layer.name for layer in self.stack.layers if layer.shown]
        outlines, names = self.drawn(number, shown, wanted.place)
        _, row_mm, column_mm = self.geometry.spacing_mm
        pixels = self.greys[wanted.series][number]
        rows, columns = (slice(0, side) for side in pixels.shape)
        if wanted.field_mm is not None:
            rows = _around(row, wanted.field_mm / row_mm, pixels.shape[0])
            columns = _around(column, wanted.field_mm / column_mm, pixels.shape[1])
        pixels = pixels[rows, columns]
        height, width = pixels.shape[0] * row_mm, pixels.shape[1] * column_mm
        left, top = columns.start * column_mm, rows.start * row_mm
        moved = [
            replace(name, x=name.x - left, y=name.y - top)
            for name in names
            if 0 <= name.x - left <= width and 0 <= name.y - top <= height
        ]
        raster = data_uri(pixels, (height, width), detail)
        words = placed(moved, width, height)
        return Drawing(raster, width, height, outlines, words, self.scale, (-left, -top), self.letters)

    def _on_grid(self, image: Image) -> Image:
        if self._grid.difference(image.geometry) is None:
            return image
        return resample_like(image, self._grid, interpolation="linear", outside=float(image.voxels.min()))


def projection(wanted: ProjectionPicture, detail: Detail = FINE) -> Drawing:
    """Draw the largest values along lines from front to back, or from left to right."""
    from scipy import ndimage

    code = {"front": "LIP", "side": "PIL"}[wanted.view]
    scan = reorient(wanted.scan, code)
    pixels = to_grey(scan.voxels.max(axis=0), wanted.window)
    _, row_mm, column_mm = scan.spacing_mm
    height, width = pixels.shape[0] * row_mm, pixels.shape[1] * column_mm
    scale = column_mm / UNITS_PER_PIXEL, row_mm / UNITS_PER_PIXEL
    outlines: list[Outline] = []
    names: list[Name] = []
    for layer in wanted.layers:
        labels = reorient(layer.labels, code).voxels
        for value, box in enumerate(ndimage.find_objects(labels.astype(np.int32)), start=1):
            if box is None:
                continue
            seen = np.zeros(labels.shape[1:], dtype=np.int32)
            seen[box[1:]][(labels[box] == value).any(axis=0)] = value
            more, words = _drawn(layer, seen, scale)
            outlines += more
            names += words
    raster = data_uri(pixels, (height, width), detail)
    words = placed(names, width, height)
    return Drawing(raster, width, height, outlines, words, scale, letters=letters_of(scan.geometry))


def flat(wanted: FlatPicture, detail: Detail = FINE) -> Drawing:
    """Draw a picture of a slide with its shapes."""
    height, width = (side * wanted.um_per_pixel / UM_PER_MM for side in wanted.pixels.shape[:2])
    outlines, names = [], []
    for shape in wanted.shapes:
        corners = [(x - wanted.corner_um[1], y - wanted.corner_um[0]) for y, x in shape.points_um]
        outlines.append(Outline("shapes", shape.value, _closed(corners), shape.colour, shown=shape.shown))
        if shape.label:
            low, high = (np.array(edge(corners, axis=0)) / UM_PER_MM for edge in (np.min, np.max))
            (x, y), (half_width, half_height) = ((low + high) / 2).tolist(), ((high - low) / 2).tolist()
            names.append(Name("shapes", shape.value, shape.label, x, y, shape.colour, (half_width, half_height)))
    raster = data_uri(wanted.pixels, (height, width), detail)
    return Drawing(raster, width, height, outlines, placed(names, width, height), (1 / UM_PER_MM,) * 2)


def circle(centre_um: tuple[float, float], radius_um: float, corners: int = 72) -> list[tuple[float, float]]:
    """Corners (y, x) of a polygon that stands for a circle, as a :class:`Shape` takes them."""
    angles = np.arange(corners) * (2 * np.pi / corners)
    points = np.array(centre_um) + radius_um * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return [(y, x) for y, x in points.tolist()]


def square(corner_um: tuple[float, float], side_um: float) -> list[tuple[float, float]]:
    """Corners (y, x) of a square from its upper left one."""
    y, x = corner_um
    return [(y, x), (y, x + side_um), (y + side_um, x + side_um), (y + side_um, x)]


def _drawn(
    layer: Layer, labels: NDArray[Any], scale: tuple[float, float], place: Place | None = None
) -> tuple[list[Outline], list[Name]]:
    from scipy import ndimage

    outlines, names = [], []
    for value, box in enumerate(ndimage.find_objects(labels.astype(np.int32)), start=1):
        if box is None:
            continue
        mask, corner = labels[box] == value, (box[0].start, box[1].start)
        highlighted = place is not None and (place.layer, place.value) == (layer.name, value)
        outlines.append(Outline(layer.name, value, outline(mask, corner), layer.colour_of(value), highlighted))
        if text := layer.names.get(value):
            x, y, beside = *label_place(mask, corner), None
            if not layer.inside:
                height, width = mask.shape
                x, y = (2 * corner[1] + width), (2 * corner[0] + height)
                beside = width * scale[0], height * scale[1]
            names.append(Name(layer.name, value, text, x * scale[0], y * scale[1], layer.colour_of(value), beside))
    return outlines, names


def placed(names: Sequence[Name], width: float, height: float) -> list[Name]:
    """Move names beside their places so that none lies over another: the first ones first; what finds no room is left out.

    Parameters
    ----------
    names
        At the places they belong to.
    width, height
        Of the drawing in mm.
    """
    unit = max(width, height) / 100
    taken = _frame(width, height, unit)
    found = []
    for name in names:
        long, high = LETTER_UNITS * unit * len(name.text), FONT_UNITS * unit
        for x, y in _spots(name, long, high, unit):
            box = (x, y - high, x + long, y)
            inside = box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                found.append(replace(name, x=x, y=y))
                break
    return found


def _frame(width: float, height: float, unit: float) -> list[Box]:
    """Where the letters at the edges and the scale bar are."""
    side, middle_x, middle_y = 6 * unit, width / 2, height / 2
    letters: list[Box] = [
        (middle_x - side / 2, 0, middle_x + side / 2, side),
        (middle_x - side / 2, height - side, middle_x + side / 2, height),
        (0, middle_y - side, side, middle_y + unit),
        (width - side, middle_y - side, width, middle_y + unit),
    ]
    return [*letters, (width - bar_mm(width) - 4 * unit, height - 9 * unit, width, height)]


def _spots(name: Name, long: float, high: float, gap: float) -> list[tuple[float, float]]:
    """Where the baseline of a name may begin, the best place first."""
    if name.beside is None:
        return [(name.x - long / 2, name.y + shift * high + high / 2) for shift in (0, -1, 1, -2, 2)]
    half_width, half_height = name.beside
    right, left, centred = name.x + half_width + gap, name.x - half_width - gap - long, name.x - long / 2
    above, below, level = name.y - half_height - gap, name.y + half_height + gap + high, name.y + high / 3
    sides = [(right, level), (right, above), (left, level), (centred, above), (centred, below), (right, below)]
    others = [(left, above), (left, below), (right, above - high), (right, below + high), (left, above - high)]
    return [*sides, *others, (centred, level)]  # what fills the picture has its name inside


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _around(centre: float, pixels: float, size: int) -> slice:
    """Pixels around a place, as many as there are inside of the picture, moved inwards where they would leave it."""
    side = min(max(round(pixels), 1), size)
    start = min(max(round(centre - (side - 1) / 2), 0), size - side)
    return slice(start, start + side)


def _closed(corners: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "z"


__all__ = ["DisplayedStack", "Drawing", "Name", "Outline", "Shape", "circle", "flat", "projection", "square"]
