"""The weakly supervised model: features of tiles, as an encoder gives them, and a head that learns from the patient's label.

No item of the score card is known here. The tiles of a patient are a flat bag, or are first put together in squares
(Chen 2022, doi 10.1109/CVPR52688.2022.01567); in both cases each tile has its contribution to the likelihood.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from preop.imaging import Image
from preop.mil import Bag, BagNetwork, Ensemble, Prediction, RegionEncoder, make_head
from preop.slides import Encoder, Slide, TileFeatures, encode_tiles, flat, in_regions
from preop.slides.features import MIN_TISSUE


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


class _Reduced(nn.Sequential):
    """From the features of a tile to fewer, on one scale."""

    def __init__(self, features: int, settings: NetworkSettings) -> None:
        super().__init__(
            nn.LayerNorm(features),
            nn.Dropout(settings.dropout),
            nn.Linear(features, settings.width),
            nn.GELU(),
            nn.Dropout(settings.dropout),
        )


def make_reader(settings: NetworkSettings, features: int) -> nn.Module:
    """Make what comes between the features of tiles and the head, with new weights."""
    if settings.instances == "tiles":
        return _Reduced(features, settings)
    return RegionEncoder(features, width=settings.width, places=settings.side**2, dropout=settings.dropout)


def make_network(settings: NetworkSettings, features: int) -> BagNetwork:
    """Make the network with new weights; ``features`` are those of a tile."""
    return BagNetwork(make_reader(settings, features), make_head(settings.head, settings.width, **settings.options))


def describe(slide: Slide, mask: Image, encoder: Encoder, *, threads: int = 2) -> TileFeatures:
    """Describe the tiles of a slide that a mask covers for a half or more.

    Raises
    ------
    InvalidInputError
        If there is no such tile, or the slide is too coarse for the encoder.
    """
    info = encoder.info
    tiling = slide.tiling(size_px=info.tile_px, um_per_pixel=info.um_per_pixel, within=mask, min_share=MIN_TISSUE)
    return TileFeatures(slide.path.name, tiling, encode_tiles(slide, tiling, encoder, threads=threads))


def bag_of(name: str, slides: Sequence[TileFeatures], settings: NetworkSettings, **known: Any) -> Bag:
    """Make the bag of a patient of all slides; ``known`` are the fields of a :class:`preop.mil.Bag`."""
    return Bag(name, _instances(slides, settings), **known)


def tile_contributions(
    prediction: Prediction, ensemble: Ensemble, slides: Sequence[TileFeatures], settings: NetworkSettings
) -> NDArray[np.float32]:
    """Say what each tile adds to the prediction (n,), in the order of :func:`preop.slides.flat`.

    A region's contribution is spread over its tiles by their mean shares in the members of the ensemble.
    """
    if settings.instances == "tiles":
        return np.asarray(prediction.contributions.numpy(), np.float32)
    regions = in_regions(slides, settings.side)
    tiles, present = torch.from_numpy(regions.values).float(), torch.from_numpy(regions.present)
    with torch.inference_mode():
        shares = torch.stack([_shares(member, tiles, present) for member in ensemble.members]).mean(dim=0)
    spread = (prediction.contributions[:, None] * shares).numpy()
    return np.asarray(spread[regions.region, regions.place], np.float32)


def _instances(slides: Sequence[TileFeatures], settings: NetworkSettings) -> tuple[Tensor, ...]:
    if settings.instances == "tiles":
        return (torch.from_numpy(flat(slides)[0]),)
    regions = in_regions(slides, settings.side)
    return torch.from_numpy(regions.values), torch.from_numpy(regions.present)


def _shares(member: BagNetwork, tiles: Tensor, present: Tensor) -> Tensor:
    if not isinstance(member.encoder, RegionEncoder):
        raise TypeError("Only an encoder of regions has shares of tiles.")
    return member.encoder.weights(tiles, present)
