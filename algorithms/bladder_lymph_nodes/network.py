"""From a lymph node to its features: a residual network on the cube around it, the same for all nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from preop.mil import BagNetwork, make_head
from preop.mil.encoders import residual_network

from .lymph_nodes import CUBE_VOXELS, MEASURED, NEIGHBOUR, OWN
from .settings import NetworkSettings, count_options

# Middle and spread of what is measured of pelvic nodes (lymph_nodes.measures_of), lengths and volumes as logarithms: 5 mm and
# 0.15 ml, times or divided by 1.6 and 3; the density of the fat beyond is that of the fat around less it. They only bring the
# numbers near 1; what matters of them is learned.
_CENTRE = (1.6, -1.9, 1.5, 90.0, 40.0, -80.0, 1.6, 1.8, 2.1, 5.0)
_SPREAD = (0.5, 1.1, 0.4, 25.0, 30.0, 25.0, 0.4, 0.35, 0.35, 11.0)


class CubeEncoder(nn.Module):
    """MONAI's 3D ResNet-10 on density in and around the node, node and neighbours; then measures beside its features.

    The density inside has a channel of its own: a node of 4 mm is a hundredth of its cube, and would be averaged away.
    """

    def __init__(self, channels: tuple[int, int, int, int], cube_mm: int, stride: int, measured: int) -> None:
        super().__init__()
        self.cube_mm = cube_mm
        self.features = channels[-1] + measured
        self.body = residual_network(4, channels, stride=stride, pooled=cube_mm == CUBE_VOXELS)

    def forward(self, cubes: Tensor, measures: Tensor) -> Tensor:
        """Features (n, f) of cubes (n, 2, 48, 48, 48) as they are cut, or their middle, and of measures (n, m)."""
        margin = (cubes.shape[-1] - self.cube_mm) // 2
        middle = slice(margin, margin + self.cube_mm)
        density, place = cubes[:, :, middle, middle, middle].unbind(1)
        density, own, neighbour = density / 127.5 - 1, (place == OWN).float(), (place == NEIGHBOUR).float()
        channels = torch.stack([density * own, density * (1 - own), own, neighbour], dim=1)
        body = self.body(channels.to(memory_format=torch.channels_last_3d))
        return torch.cat([body, scaled(measures)], dim=1)


class MeasuresEncoder(nn.Module):
    """A layer on what is measured of a node: for cohorts too small to learn from voxels."""

    def __init__(self, measured: int, features: int = 32) -> None:
        super().__init__()
        self.features = features
        self.layer = nn.Sequential(nn.Linear(measured, features), nn.ReLU())

    def forward(self, measures: Tensor) -> Tensor:
        """Features (n, f) of measures (n, m)."""
        return torch.as_tensor(self.layer(scaled(measures)))


class Signs(nn.Module):
    """Signs of metastasis from what is measured of a node, each of which rises with the suspicion; it has no weights.

    Size, roundness, density at its 90th and 10th percentile and infiltrated fat: each as it is, and how far it lies above
    the usual node, so that a weighted sum can rise more steeply there. Measured in space, the shortest axis, roundness and
    how much denser the fat is around the node than beyond are signs as well. A dense 10th percentile means a node without a
    fatty hilum; necrosis lowers it too, so that it cannot raise the probability here.
    """

    def __init__(self, measured: int) -> None:
        super().__init__()
        self.features = 12 if measured == MEASURED["axial"] else 18

    def forward(self, measures: Tensor) -> Tensor:
        """Signs (n, f) of measures (n, m)."""
        short_axis, volume, elongation, density, dark, fat, *in_space = scaled(measures).unbind(1)
        rising = [short_axis, volume, -elongation, density, dark, fat]
        if in_space:
            least, middle, greatest, infiltration = in_space
            rising += [least, (least + middle) / 2 - greatest, infiltration]
        signs = torch.stack(rising, dim=1)
        return torch.cat([signs, signs.clamp(min=0)], dim=1)


class RadiomicsEncoder(nn.Module):
    """A layer on radiomics features, standardised by what was seen in training."""

    def __init__(self, measured: int, features: int = 32) -> None:
        super().__init__()
        self.features = features
        self.standardised = nn.BatchNorm1d(measured, affine=False)
        self.layer = nn.Sequential(nn.Linear(measured, features), nn.ReLU())

    def forward(self, measured: Tensor) -> Tensor:
        """Features (n, f) of radiomics features (n, m); what is not defined on a node counts as the mean."""
        mean = torch.as_tensor(self.standardised.running_mean)
        known = torch.where(measured.isnan(), mean, measured)
        return torch.as_tensor(self.layer(self.standardised(known).clamp(-5, 5)))


class FeaturesEncoder(nn.Module):
    """A layer on the features that another encoder made of a node, standardised as those of training, and on measures."""

    def __init__(self, given: int, measured: int, features: int = 32) -> None:
        super().__init__()
        self.features = features
        self.standardised = nn.BatchNorm1d(given, affine=False)
        self.layer = nn.Sequential(nn.Linear(given + measured, features), nn.ReLU())

    def forward(self, given: Tensor, measures: Tensor) -> Tensor:
        """Features (n, f) of those of the other encoder (n, g) and of measures (n, m)."""
        known = self.standardised(given).clamp(-5, 5)
        return torch.as_tensor(self.layer(torch.cat([known, scaled(measures)], dim=1)))


Encoder = CubeEncoder | MeasuresEncoder | Signs | RadiomicsEncoder | FeaturesEncoder


def make_network(settings: NetworkSettings, given: int = 0) -> BagNetwork:
    """Make a network with new weights.

    Parameters
    ----------
    given
        Number of radiomics features, or of an encoder's, where they are the instances.
    """
    encoder = make_encoder(settings, given)
    options = count_options(settings) if settings.counts else {}
    return BagNetwork(encoder, make_head(settings.head, encoder.features, **options))


def make_encoder(settings: NetworkSettings, given: int = 0) -> Encoder:
    """Make the encoder with new weights."""
    measured = MEASURED[settings.measures]
    if settings.instances == "signs":
        return Signs(measured)
    if settings.instances == "measures":
        return MeasuresEncoder(measured)
    if settings.instances == "radiomics":
        return RadiomicsEncoder(given)
    if settings.instances == "features":
        return FeaturesEncoder(given, measured)
    return CubeEncoder(settings.channels, settings.cube_mm, settings.stride, measured)


def mirrored(instances: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
    """Mirror the cubes of a batch along a random choice of axes: which way a node lies says nothing about it."""
    cubes, measures = instances
    axes = [axis for axis in (2, 3, 4) if torch.rand((), generator=generator) < 0.5]
    return torch.flip(cubes, axes), measures


def scaled(measures: Tensor) -> Tensor:
    """Measures of nodes (n, m) brought near 1, as a network takes them."""
    number = measures.shape[1]
    sizes, others = measures[:, :2], measures[:, 2:6]
    known = [sizes.clamp(min=1e-3).log(), others]
    if number > MEASURED["axial"]:
        axes, beyond = measures[:, 6:9], measures[:, 9:]
        known += [axes.clamp(min=1e-3).log(), measures[:, 5:6] - beyond]
    middle, spread = (measures.new_tensor(values[:number]) for values in (_CENTRE, _SPREAD))
    scaled = (torch.cat(known, dim=1) - middle) / spread
    return scaled.nan_to_num(0.0).clamp(-4, 4)  # what cannot be measured is taken as usual
