"""The networks over the features of tiles or regions."""

from __future__ import annotations

from torch import nn

from preop.mil import BagNetwork, RegionEncoder, make_head

from .weakly_supervised import NetworkSettings


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
