"""The weakly supervised model: features of tiles, as an encoder gives them, and a head that learns from the patient's label.

No item of the score card is known here. The tiles of a patient are a flat bag, or are first put together in squares
(Chen 2022, doi 10.1109/CVPR52688.2022.01567); in both cases each tile has its contribution to the likelihood.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from preop.imaging import Image
from preop.mil import Prediction
from preop.slides import Encoder, PortableEncoder, Slide, TileFeatures, encode_tiles, flat, in_regions
from preop.slides.features import MIN_TISSUE

if TYPE_CHECKING:
    from preop.mil import Bag, Ensemble, PortableEnsemble


class NetworkSettings(BaseModel):
    """What reads the features of tiles."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    head: str = Field("gated_attention", description="of preop.mil")
    options: dict[str, float] = Field(default_factory=dict, description="of the head")
    instances: Literal["tiles", "regions"] = Field(
        "tiles", description="what the head weighs: tiles, or squares of them"
    )
    side: int = Field(8, ge=2, description="tiles along the side of a region")
    width: int = Field(64, gt=0, multiple_of=4, description="numbers that a tile or region is reduced to")
    dropout: float = Field(0.25, ge=0, lt=1, description="share of the numbers that is left out at random in learning")


def describe(slide: Slide, mask: Image, encoder: Encoder | PortableEncoder, *, threads: int = 2) -> TileFeatures:
    """Describe the tiles of a slide that a mask covers for a half or more.

    Raises
    ------
    InvalidInputError
        If there is no such tile, or the slide is too coarse for the encoder.
    """
    info = encoder.info
    tiling = slide.tiling(size_px=info.tile_px, um_per_pixel=info.um_per_pixel, within=mask, min_share=MIN_TISSUE)
    return TileFeatures(slide.path.name, tiling, encode_tiles(slide, tiling, encoder, threads=threads))


def instances_of(slides: Sequence[TileFeatures], settings: NetworkSettings) -> tuple[NDArray[Any], ...]:
    """Give what the network takes of all slides of a patient, with tiles or regions as the first axis."""
    if settings.instances == "tiles":
        return (flat(slides)[0],)
    regions = in_regions(slides, settings.side)
    return regions.values, regions.present


def bag_of(name: str, slides: Sequence[TileFeatures], settings: NetworkSettings, **known: Any) -> Bag:
    """Make the bag of a patient, to learn from; ``known`` are the fields of a :class:`preop.mil.Bag`."""
    import torch

    from preop.mil import Bag

    return Bag(name, tuple(torch.from_numpy(each) for each in instances_of(slides, settings)), **known)


def tile_contributions(
    prediction: Prediction,
    ensemble: Ensemble | PortableEnsemble,
    slides: Sequence[TileFeatures],
    settings: NetworkSettings,
) -> NDArray[np.float32]:
    """Say what each tile adds to the prediction (n,), in the order of :func:`preop.slides.flat`.

    A region's contribution is spread over its tiles by their mean shares in the members of the ensemble.
    """
    if settings.instances == "tiles":
        return np.asarray(prediction.contributions, np.float32)
    from .regions import shares_of_tiles

    regions = in_regions(slides, settings.side)
    spread = prediction.contributions[:, None] * shares_of_tiles(ensemble, regions)
    return np.asarray(spread[regions.region, regions.place], np.float32)
