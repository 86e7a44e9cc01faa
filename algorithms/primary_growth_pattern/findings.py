"""What passes between slide, networks and score card: tissue maps, cells, annotated regions, and what networks are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from preop.imaging import Geometry, Image
from preop.slides.tiling import UM_PER_MM
from preop.study import DataSource, Range

from .definitions import CellKind

INPUT_UM = 1.0
"""Of the pixels that the networks read."""

MAP_UM = 8.0
"""Of the pixels of a tissue map."""

NOT_ANNOTATED = 255
MIN_AGREEMENT = 0.9
"""Intraclass correlation of readers on the tumour-stroma ratio is .89 to .94."""


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
    clear
        Which pixels are mostly as clear as glass (y, x), as the lumens of glands are; None where that is not known.
    """

    labels: NDArray[np.uint8]
    um_per_pixel: float
    origin_um: tuple[float, float] = (0.0, 0.0)
    clear: NDArray[np.bool_] | None = None

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
    """An annotated part of a slide, for training: squares of tissue, and in them every cell that is counted.

    Attributes
    ----------
    pixels
        RGB (h, w, 3) at one micrometre a pixel; h and w are multiples of 32.
    labels
        :class:`~.definitions.TissueLabel` of squares of 8 micrometres (h / 8, w / 8), or ``NOT_ANNOTATED``.
    points_um
        Every cell that is counted in the annotated squares, y and x from the region's corner (n, 2).
    kinds
        :class:`~.definitions.CellKind` of each (n,).
    patient
        Regions of a patient are never on both sides of a split.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    points_um: NDArray[np.float32]
    kinds: NDArray[np.uint8]
    patient: str


class _Checked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NetworkSettings(_Checked):
    """Settings of a training run of the networks."""

    seed: int = Field(0, ge=0, description="of weights, patches, stains and the split")
    tissue_channels: tuple[int, ...] = Field((24, 40, 64, 80), min_length=2, max_length=4)
    cell_channels: tuple[int, ...] = Field((16, 32, 48, 48), min_length=2, max_length=5)
    tissue_steps: int = Field(1200, ge=1)
    cell_steps: int = Field(1800, ge=1)
    tissue_patch_px: int = Field(256, gt=0, multiple_of=32)
    cell_patch_px: int = Field(256, gt=0, multiple_of=32)
    batch: int = Field(8, ge=1, description="patches of a step")
    learning_rate: float = Field(3e-3, gt=0, description="highest of one cycle of AdamW")
    held_out: float = Field(0.2, gt=0, lt=1, description="share of patients on whom thresholds are chosen")


class Thresholds(_Checked):
    """Probability from which a cell counts."""

    lymphocyte: float = Field(gt=0, lt=1)
    bud: float = Field(gt=0, lt=1)

    def of(self, kind: CellKind) -> float:
        """Threshold of a kind."""
        return {CellKind.LYMPHOCYTE: self.lymphocyte, CellKind.BUD: self.bud}[kind]


class ItemAgreement(_Checked):
    """How well an item, measured through the networks, agrees with its truth."""

    icc: float = Field(description="ICC(2,1), absolute agreement")
    spearman: float
    slides: int = Field(gt=0)

    @property
    def reliable(self) -> bool:
        """Whether values agree, not their order alone: a card sets them against cut-offs."""
        return self.icc >= MIN_AGREEMENT


class RealTissueFigure(_Checked):
    """How well the networks find something on real tissue, of which nothing was learned."""

    measure: str = Field(description="Dice by area, or F1 within so many micrometres")
    value: float = Field(ge=0, le=1)
    expected: float = Field(gt=0, le=1, description="from which items may rest on it")
    measured_on: str = Field(description="which images, in words")


class NetworksInfo(_Checked):
    """What the networks are: content of ``networks.json``, in which nothing may be missing."""

    format: Literal[1]
    settings: NetworkSettings
    thresholds: Thresholds
    training_data: DataSource
    regions: int = Field(gt=0, description="that were learned from and held out")
    patients: int = Field(gt=0)
    dice: dict[str, float] = Field(description="of each tissue in the regions held out, under random stains")
    agreement: dict[str, ItemAgreement] = Field(
        description="of items with their truth, on slides of a centre that was not in training; empty before it is measured"
    )
    agreement_measured_on: str = Field(description="which slides, in words")
    validated_appearance: dict[str, Range] = Field(
        description="range of each measure of slides of the kind on which the agreement was measured; empty where unknown"
    )
    real_tissue: dict[str, RealTissueFigure] = Field(
        description="by what is found; what is missing was never compared with real tissue"
    )
    software: dict[str, str]
    sha256: dict[str, str] = Field(description="of the files of weights; empty before they are written")

    @property
    def unreliable(self) -> dict[str, str]:
        """Items of the score card that the networks do not measure reliably, and why."""
        return {
            name: f"the networks do not measure it reliably: ICC {found.icc:.2f} (Spearman {found.spearman:.2f}) on "
            f"{found.slides} slides with known truth; {MIN_AGREEMENT:g} is asked for"
            for name, found in self.agreement.items()
            if not found.reliable
        }
