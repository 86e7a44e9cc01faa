"""Encoders of instances that are small volumes: MONAI's residual networks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

# MONAI imports all that it offers. These two it imports only for parts that are not used here, and they take longer to
# import than torch itself; MONAI does without what is not installed.
_NOT_NEEDED = ("torchvision", "matplotlib")


def residual_network(inputs: int, channels: tuple[int, int, int, int], *, stride: int, pooled: bool) -> nn.Module:
    """Make a 3D ResNet-10 that gives ``channels[-1]`` features of a volume, with new weights.

    Batch normalisation: normalising each volume by itself would take away its density, which means something on CT.

    Parameters
    ----------
    inputs
        Channels of a volume (inputs, z, y, x).
    channels
        Of the four stages; each but the first halves the volume.
    stride
        Of the first layer, in voxels: most of the time goes where volumes are still large.
    pooled
        Whether volumes are halved once more after that layer.
    """
    with _missing(_NOT_NEEDED):
        from monai.networks.nets.resnet import ResNet
    network: nn.Module = ResNet(
        "basic",
        [1, 1, 1, 1],
        list(channels),
        spatial_dims=3,
        n_input_channels=inputs,
        conv1_t_size=3,
        conv1_t_stride=stride,
        no_max_pool=not pooled,
        feed_forward=False,
        norm="batch",
    )
    # On a processor this layout takes half to two thirds of the time.
    laid_out: nn.Module = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return laid_out


@contextmanager
def _missing(names: tuple[str, ...]) -> Iterator[None]:
    """Let imports of packages that are not loaded yet fail for a while."""
    blocked = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in blocked:
            del sys.modules[name]
