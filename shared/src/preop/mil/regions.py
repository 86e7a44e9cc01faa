"""An encoder of instances that are groups themselves: regions of tiles, as in HIPT (Chen 2022, doi 10.1109/CVPR52688.2022.01567)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RegionEncoder(nn.Module):
    """From the features of the tiles of a region to features of the region.

    Tiles, each with its place in the region, look at each other in a transformer, and are then pooled by gated attention
    (Ilse 2018), so that it is known how much each counts. With a bag ``Bag(name, (tiles, present))``, whose instances are
    regions, it is the encoder of a :class:`preop.mil.BagNetwork`: tiles make regions, and regions make the slides of a
    patient.

    Parameters
    ----------
    features
        Of a tile.
    width
        Of what is given of a region; a multiple of 4, the number of attention heads.
    places
        Tiles that a region has room for.
    layers
        Of the transformer.
    dropout
        While learning.
    """

    def __init__(self, features: int, *, width: int, places: int, layers: int = 1, dropout: float = 0.1) -> None:
        super().__init__()
        self.project = nn.Linear(features, width)
        self.place = nn.Parameter(0.02 * torch.randn(places, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.value = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.score = nn.Linear(width, 1)

    def forward(self, tiles: Tensor, present: Tensor) -> Tensor:
        """Encode regions.

        Parameters
        ----------
        tiles
            Features (r, places, f).
        present
            Which places hold a tile (r, places), at least one in each region.

        Returns
        -------
        Features of the regions (r, width).
        """
        seen = self._seen(tiles, present)
        return (self._weights(seen, present)[..., None] * seen).sum(dim=1)

    def weights(self, tiles: Tensor, present: Tensor) -> Tensor:
        """Share of each tile in its region (r, places), of sum 1, and 0 where there is none.

        A region's contribution times these shares spreads over its tiles.
        """
        return self._weights(self._seen(tiles, present), present)

    def _seen(self, tiles: Tensor, present: Tensor) -> Tensor:
        placed = self.project(tiles) + self.place
        seen: Tensor = self.norm(self.transformer(placed, src_key_padding_mask=~present.bool()))
        return seen

    def _weights(self, seen: Tensor, present: Tensor) -> Tensor:
        scores = self.score(torch.tanh(self.value(seen)) * torch.sigmoid(self.gate(seen)))[..., 0]
        return torch.softmax(scores.masked_fill(~present.bool(), -torch.inf), dim=1)
