"""The tissue network and the cell network: two small U-shaped networks on optical density at one micrometre a pixel.

Depth and width are what two cores can do for a slide in seconds; what each must see sets how coarse it gets: glands and
textures some 100 micrometres, a tumour bud and its surroundings 50.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from .definitions import CellKind, TissueLabel
from .findings import NetworksInfo
from .reading import SlideNetworks

_RARE = 0.01


class UNet(nn.Module):
    """Convolutions that get coarser by halves, and back up to an output.

    Parameters
    ----------
    channels
        Of each level; the first is at half the resolution of the input.
    outputs
        Channels of the output.
    output_level
        The level whose resolution it has.
    """

    def __init__(self, channels: Sequence[int], outputs: int, output_level: int) -> None:
        super().__init__()
        self.output_level = output_level
        before = (3, *channels)
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(before[level], width, stride=2), _convolution(width, width))
            for level, width in enumerate(channels)
        )
        self.across = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(channels[output_level:]))
        self.up = nn.ModuleList(_convolution(width, width) for width in channels[output_level:-1])
        self.head = nn.Conv2d(channels[output_level], outputs, 1)

    def forward(self, picture: Tensor) -> Tensor:
        """Outputs (n, outputs, h / stride, w / stride) of pictures (n, 3, h, w)."""
        levels = []
        for down in self.down:
            picture = down(picture)
            levels.append(picture)
        current = levels[-1]
        finer = reversed(levels[self.output_level : -1])
        for fine, across, up in zip(finer, reversed(self.across), reversed(self.up), strict=True):
            current = up(fine + functional.interpolate(across(current), scale_factor=2.0))
        return torch.as_tensor(self.head(current))


class TissueNetwork(nn.Module):
    """Logits of each :class:`TissueLabel`, in squares of 8 micrometres."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.body = UNet(channels, len(TissueLabel), output_level=1)

    def forward(self, density: Tensor) -> Tensor:
        """Logits (n, 11, h / 8, w / 8) of optical densities (n, 3, h, w)."""
        # Fibres and nuclei show at 2 micrometres.
        return torch.as_tensor(self.body(functional.avg_pool2d(density, 2)))


class CellNetwork(nn.Module):
    """Logits of there being the centre of each :class:`CellKind`, in squares of 4 micrometres."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.body = UNet(channels, len(CellKind), output_level=1)
        # Centres are rare: training begins from there (Lin et al., ICCV 2017, 4.1).
        self.body.head.bias = nn.Parameter(torch.full((len(CellKind),), math.log(_RARE / (1 - _RARE))))

    def forward(self, density: Tensor) -> Tensor:
        """Logits (n, 2, h / 4, w / 4) of optical densities (n, 3, h, w)."""
        return torch.as_tensor(self.body(density))


def _convolution(before: int, after: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()
    )


@dataclass(frozen=True, eq=False)
class Networks(SlideNetworks):
    """Both networks by torch, in evaluation mode, with what is known of them."""

    tissue: TissueNetwork
    cells: CellNetwork
    info: NetworksInfo

    def logits(self, densities: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See :class:`SlideNetworks`."""
        picture = torch.from_numpy(densities)
        with torch.inference_mode():
            return self.tissue(picture).numpy(), self.cells(picture).numpy()
