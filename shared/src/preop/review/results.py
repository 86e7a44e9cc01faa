"""What an algorithm has said about the patients of a cohort: the folder that ``preop validate`` writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preop.errors import InvalidInputError
from preop.folders import folder_names
from preop.grandchallenge.algorithm import Algorithm, Kind, Socket


@dataclass(frozen=True)
class Point:
    """A finding with its place in the world (x, y, z) in mm (LPS)."""

    name: str
    probability: float | None
    position_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Layer:
    """A label map or a heat map on the grid of a scan.

    Attributes
    ----------
    of
        Slug of the scan.
    is_labels
        Whether it is a label map.
    of_kinds
        Whether its labels are kinds of what is drawn, and not a number for each.
    """

    slug: str
    of: str
    is_labels: bool
    of_kinds: bool
    path: Path


@dataclass(frozen=True)
class Answer:
    """What is said about one patient.

    Attributes
    ----------
    said
        The main output: a likelihood, or a stage.
    values
        Every output that is one value, by slug.
    """

    said: float | str
    values: dict[str, float | str | bool]
    layers: tuple[Layer, ...]
    points: tuple[Point, ...]


class Predictions:
    """The results of a run over a cohort.

    Parameters
    ----------
    folder
        Output of ``preop validate``, or a folder with one folder a patient that holds the algorithm's outputs.
    names
        Patients of the cohort.
    """

    def __init__(self, folder: Path, algorithm: Algorithm, names: Sequence[str]) -> None:
        self._root = folder / "predictions" if (folder / "predictions").is_dir() else folder
        self._algorithm = algorithm
        self._folders = folder_names(names)
        if not any(self._outputs(name) for name in names):
            raise InvalidInputError(
                f"{folder} holds no outputs of {algorithm.name} for a patient of this cohort; expected the folder that preop "
                "validate wrote."
            )

    @property
    def main(self) -> Socket:
        """The output that a reader gives an answer to as well."""
        return main_output(self._algorithm)

    def of(self, name: str) -> Answer | None:
        """Give what was said about a patient; None where the algorithm failed, or did not run."""
        folder = self._outputs(name)
        if folder is None:
            return None
        values: dict[str, float | str | bool] = {}
        layers: list[Layer] = []
        points: list[Point] = []
        for socket in self._algorithm.outputs:
            path = folder / socket.relative_path
            if socket.kind in {Kind.FLOAT, Kind.INTEGER, Kind.STRING, Kind.BOOL} and path.is_file():
                values[socket.slug] = json.loads(path.read_text(encoding="utf-8"))
            elif socket.kind is Kind.MULTIPLE_POINTS and path.is_file():
                points += _points(json.loads(path.read_text(encoding="utf-8")))
            elif socket.kind in {Kind.SEGMENTATION, Kind.HEAT_MAP} and socket.segmentation_of and path.is_dir():
                files = sorted(path.glob("*.mha"))
                if files:
                    is_labels = socket.kind is Kind.SEGMENTATION
                    of_kinds = not all(name.isdigit() for name in socket.overlay_segments)
                    layers.append(Layer(socket.slug, socket.segmentation_of, is_labels, of_kinds, files[0]))
        if self.main.slug not in values:
            return None
        said = values[self.main.slug]
        return Answer(said if isinstance(said, str) else float(said), values, tuple(layers), tuple(points))

    def _outputs(self, name: str) -> Path | None:
        folder = self._root / self._folders[name]
        return next((each for each in (folder / "output", folder) if (each / self.main.relative_path).is_file()), None)


def main_output(algorithm: Algorithm) -> Socket:
    """Give the output that states the answer: the first that is one number or one word."""
    return next(socket for socket in algorithm.outputs if socket.kind in {Kind.FLOAT, Kind.STRING})


def _points(content: dict[str, Any]) -> list[Point]:
    """Read the points of the platform's type, each with a name and at times a probability."""
    found = []
    for number, each in enumerate(content.get("points", []), 1):
        x, y, z = each["point"]
        found.append(Point(str(each.get("name") or number), each.get("probability"), (float(x), float(y), float(z))))
    return found
