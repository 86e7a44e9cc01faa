"""What a study says and shows of a case, as types: the library draws and lays it out, the same for every study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError
from preop.imaging import Image
from preop.report.charts import Spec
from preop.report.sections import Column, Section

PointMm = tuple[float, float, float]
"""A place in the patient, (x, y, z) in mm."""


@dataclass(frozen=True)
class Window:
    """Which values become black and white.

    Attributes
    ----------
    low, high
        In the unit of the scan.
    inverted
        Black for high values, as PET is read.
    """

    name: str
    low: float
    high: float
    inverted: bool = False


def _hounsfield(name: str, level: float, width: float) -> Window:
    words = f"{name} window (L {level:g}, W {width:g} HU)".replace("-", "\N{MINUS SIGN}")
    return Window(words, level - width / 2, level + width / 2)


SOFT_TISSUE = _hounsfield("soft tissue", 40, 400)
LUNG = _hounsfield("lung", -600, 1500)
LIVER = _hounsfield("liver", 100, 200)
BONE = _hounsfield("bone", 400, 1800)


def suv_window(high: float = 7.0) -> Window:
    """Window of FDG-PET in SUV, black for high uptake."""
    return Window(f"SUV 0 to {high:g}", 0.0, high, inverted=True)


def mr_window(image: Image) -> Window:
    """Window of an MR scan, whose numbers have no unit: from its 1st to its 99th percentile."""
    low, high = np.percentile(image.voxels, (1, 99)).tolist()
    return Window("1st to 99th percentile", low, max(high, low + 1e-6))


@dataclass(frozen=True)
class Layer:
    """Outlines over the slices.

    Attributes
    ----------
    name
        As a reader switches it on and off.
    labels
        Whole numbers from 0 on the grid of the scan.
    names
        What is written beside the outline of each number; left out, nothing is.
    colours
        Of single numbers, as ``#rrggbb``; the others have ``colour``.
    shown
        Whether it is there at first.
    inside
        Whether names stand inside of what is outlined, as in a map, and not beside it.
    """

    name: str
    labels: Image
    names: Mapping[int, str] = field(default_factory=dict)
    colour: str = "#ffb000"
    colours: Mapping[int, str] = field(default_factory=dict)
    shown: bool = True
    inside: bool = False

    def colour_of(self, value: int) -> str:
        """Colour of the outline of a number."""
        return self.colours.get(value, self.colour)


@dataclass(frozen=True)
class Series:
    """A scan in a window; on any grid, it is brought to that of the first series of its stack."""

    name: str
    image: Image
    window: Window


@dataclass(frozen=True)
class Stack:
    """All slices of one or more scans of one frame, to scroll through.

    Attributes
    ----------
    name
        By which pictures and rows refer to it; letters, digits and hyphens.
    """

    name: str
    title: str
    series: Sequence[Series]
    layers: Sequence[Layer] = ()

    def __post_init__(self) -> None:
        grid = self.series[0].image.geometry
        for layer in self.layers:
            if difference := grid.difference(layer.labels.geometry):
                raise InvalidInputError(
                    f"The outlines {layer.name} do not lie on the grid of {self.title} ({difference})."
                )


@dataclass(frozen=True)
class Place:
    """Where in a stack something is.

    Attributes
    ----------
    stack
        Its name.
    layer, value
        The outline that stands for it, where there is one.
    """

    stack: str
    position_mm: PointMm
    layer: str | None = None
    value: int = 0


@dataclass(frozen=True)
class SlicePicture:
    """One slice that decides, through a place.

    Attributes
    ----------
    series
        Which of the stack's, from 0.
    field_mm
        Side of the square that is shown around the place; left out, the whole slice.
    """

    place: Place
    caption: str
    series: int = 0
    field_mm: float | None = None
    layers: Sequence[str] | None = None


@dataclass(frozen=True)
class ProjectionPicture:
    """The largest value along each line of sight (MIP), with the outlines of what lies behind it.

    Attributes
    ----------
    view
        From the ``front`` or from the ``side``, that is, the left.
    """

    scan: Image
    window: Window
    caption: str
    view: Literal["front", "side"] = "front"
    layers: Sequence[Layer] = ()


@dataclass(frozen=True)
class Shape:
    """An outline on a flat picture.

    Attributes
    ----------
    points_um
        Corners, (y, x) in micrometres from the upper left corner of the slide.
    value
        By which a row of a table refers to it.
    shown
        Whether it is there before that row is chosen.
    """

    points_um: Sequence[tuple[float, float]]
    label: str = ""
    colour: str = "#ffb000"
    value: int = 0
    shown: bool = True


@dataclass(frozen=True)
class FlatPicture:
    """A picture of a slide.

    Attributes
    ----------
    pixels
        RGB (height, width, 3), uint8.
    corner_um
        Upper left corner of the first pixel, (y, x).
    legend
        What colours mean: name and ``#rrggbb``.
    wide
        Whether it takes the room of two.
    """

    pixels: NDArray[np.uint8]
    um_per_pixel: float
    caption: str
    shapes: Sequence[Shape] = ()
    corner_um: tuple[float, float] = (0.0, 0.0)
    legend: Sequence[tuple[str, str]] = ()
    wide: bool = False


Picture = SlicePicture | ProjectionPicture | FlatPicture


@dataclass(frozen=True)
class Instance:
    """A node, lesion, station or tile: a row of a table.

    Attributes
    ----------
    place
        Where a click leads to: in a stack, or the number of a shape on a flat picture.
    minor
        Whether it plays no part in the result.
    """

    cells: Sequence[str]
    place: Place | int | None = None
    minor: bool = False


@dataclass(frozen=True)
class Instances:
    """What a result is made of, sorted by weight.

    Attributes
    ----------
    printed
        Rows on paper, so that a page stays within two sheets; all of them are on the screen.
    """

    heading: str
    columns: Sequence[Column]
    rows: Sequence[Instance]
    note: str = ""
    printed: int = 14


@dataclass(frozen=True)
class Headline:
    """What the algorithm says, in the language of a report.

    Attributes
    ----------
    sentence
        The one to remember.
    uncertainty
        How sure it is, in numbers.
    not_assessed
        What was not looked at or could not be measured, in sentences.
    """

    sentence: str
    uncertainty: str
    not_assessed: Sequence[str] = ()


@dataclass(frozen=True)
class CasePage:
    """The page of a case.

    Attributes
    ----------
    explanation
        The output that holds ``assessable``, its reasons, ``warnings``, ``notes``, ``model`` and ``disclaimer``.
    pictures
        The first is the one that stands for the case on other pages.
    reasoning
        To be copied into a report.
    legend
        What the colours of outlines mean: name and ``#rrggbb``.
    """

    headline: Headline
    explanation: Mapping[str, object]
    pictures: Sequence[Picture]
    reasoning: str
    stacks: Sequence[Stack] = ()
    instances: Sequence[Instances] = ()
    charts: Sequence[Spec] = ()
    sections: Sequence[Section] = ()
    legend: Sequence[tuple[str, str]] = ()
