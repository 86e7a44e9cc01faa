"""What a slide shows: a map of its tissues, and the cells that are counted, found by two small networks.

Both networks read the slide at one micrometre a pixel, tile by tile in the order in which the file holds them, as optical
density. They learn under stains of many kinds (``stain.py``), so that a centre's own need not have been among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from preop.imaging import Geometry, Image
from preop.slides import Slide
from preop.slides.tiling import UM_PER_MM

from .definitions import CellKind

if TYPE_CHECKING:
    from .networks import Networks

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class TissueMap:
    """Which tissue lies where.

    Attributes
    ----------
    labels
        :class:`~.definitions.TissueLabel` of each pixel (y, x), uint8; 0 also where the slide was not looked at.
    um_per_pixel
        Side of a pixel.
    origin_um
        Upper left corner of the first pixel on the slide, y and x.
    """

    labels: NDArray[np.uint8]
    um_per_pixel: float
    origin_um: tuple[float, float] = (0.0, 0.0)

    def to_image(self) -> Image:
        """Give the map as a flat image in millimetres, whose origin is the upper left corner as in ``preop.slides``."""
        y, x = (value / UM_PER_MM for value in self.origin_um)
        return Image(
            self.labels, Geometry.axis_aligned(self.labels.shape, (self.um_per_pixel / UM_PER_MM,) * 2, (x, y))
        )

    def at(self, points_um: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """Labels at points, y and x (n, 2); background outside the map."""
        index = np.floor((points_um - np.array(self.origin_um)) / self.um_per_pixel).astype(np.intp)
        inside = ((index >= 0) & (index < self.labels.shape)).all(axis=1)
        found = np.zeros(len(index), np.uint8)
        found[inside] = self.labels[tuple(index[inside].T)]
        return found


@dataclass(frozen=True, eq=False)
class Cells:
    """Cells that were found.

    Attributes
    ----------
    points_um
        Centre of each cell, or group of cells, on the slide, y and x (n, 2), float32.
    kinds
        :class:`~.definitions.CellKind` of each (n,), uint8.
    probability
        Of each (n,), float32, at least the threshold of its kind.
    """

    points_um: NDArray[np.float32]
    kinds: NDArray[np.uint8]
    probability: NDArray[np.float32]

    def of(self, kind: CellKind) -> NDArray[np.float32]:
        """Points of one kind (m, 2)."""
        return np.asarray(self.points_um[self.kinds == kind])


@dataclass(frozen=True, eq=False)
class Region:
    """An annotated part of a slide, for training.

    Attributes
    ----------
    pixels
        RGB (h, w, 3) at one micrometre a pixel.
    labels
        :class:`~.definitions.TissueLabel` (h / 8, w / 8) of squares of 8 micrometres, or ``NOT_ANNOTATED``.
    points_um
        Cells in the region, y and x from its corner (n, 2), of all kinds or of none (``cells_annotated``).
    kinds
        :class:`~.definitions.CellKind` of each (n,).
    patient
        Regions of a patient are never on both sides of a split.
    cells_annotated
        Whether every cell of each kind in the region is among the points.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    points_um: NDArray[np.float32]
    kinds: NDArray[np.uint8]
    patient: str
    cells_annotated: bool = True


def measure(slide: Slide, mask: Image, networks: Networks, progress: Progress | None = None) -> tuple[TissueMap, Cells]:
    """Map the tissues of a slide and find its cells.

    Parameters
    ----------
    mask
        Flat mask of what is looked at, at any resolution: ``readable(find_tissue(slide))``, or a reader's. Everything
        else is background on the map, and has no cells.
    progress
        Called with the number of tiles done and their total.

    Raises
    ------
    InvalidInputError
        If the mask is empty, or the slide is coarser than the networks read.
    """
    raise NotImplementedError


def readable(tissue: Image) -> Image:
    """Mask of what the networks may look at: tissue and what lies in and beside it, but neither pen, folds nor blur.

    Parameters
    ----------
    tissue
        Labels of :func:`preop.slides.find_tissue`, to which fat is mostly background.
    """
    raise NotImplementedError


def load_networks(folder: Path) -> Networks:
    """Read the networks from their folder.

    Raises
    ------
    InvalidModelError
        If the folder is missing, incomplete or damaged, or the weights do not fit.
    """
    raise NotImplementedError


def fit_networks(regions: Sequence[Region], settings: Any, progress: Progress | None = None) -> Networks:
    """Train both networks on annotated regions, and choose thresholds on those of patients left out."""
    raise NotImplementedError
