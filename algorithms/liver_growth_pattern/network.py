"""From the unrolled interface of a metastasis to the distribution of growth patterns: a small 3D network, the same for all.

The pattern may change along the interface, and its shares are shares of it. So the network looks at patches that are evenly
spread, and takes the mean of what it sees over them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from preop.mil import Bag, BagNetwork, Head, Reading
from preop.portable import to_portable
from preop.staging import PURE, REPORTS
from preop.weights import part_of, put_into, read_weights

from .lesions import DEPTHS_MM, PATCH_VOXELS, WINDOW_HU
from .likelihood import Known, log_likelihood
from .reports import OUTPUTS, UNKNOWN
from .settings import NetworkSettings

PATCH, KERNEL = (len(DEPTHS_MM), PATCH_VOXELS, PATCH_VOXELS), (5, 3, 3)
CONTRAST_HU = 20.0
"""What counts as 1 to the network: about what a capsule or a border changes."""
CONCENTRATION = 2.0
"""Sum of the Dirichlet's parameters before anything is learned: shares of a metastasis are far from the mean ones."""
SHIFT_STEPS = 3.0
"""By how many of 256 steps densities are shifted in training, in the mean: the liver's own is known no better."""


class InterfaceEncoder(nn.Module):
    """Three layers on each patch, then the mean over the patches of a metastasis.

    The first two look at pieces of the interface, 5 mm from inside out and 6 mm along, wherever they lie; the third at the
    whole way from inside out. Batch normalisation, as in ``preop.mil.encoders``: it keeps what density means.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        first, second, self.features = settings.channels
        depths, places = (size - 2 * (kernel - 1) for size, kernel in zip(PATCH[:2], KERNEL[:2], strict=True))
        self.body = nn.Sequential(
            *_layer(2, first, KERNEL),
            *_layer(first, second, KERNEL),
            *_layer(second, self.features, (depths, places, places)),
        )
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, patches: Tensor) -> Tensor:
        """Features (n, f) of metastases with patches (n, points, 2, 18, 5, 5) as they are unrolled."""
        density, liver = patches.flatten(0, 1).float().unbind(1)
        seen = torch.stack([(density / 127.5 - 1) * (WINDOW_HU / CONTRAST_HU), liver / 255], dim=1)
        of_patches = self.body(seen).view(*patches.shape[:2], self.features)
        return torch.as_tensor(self.dropout(of_patches.mean(dim=1)))


def _layer(inputs: int, outputs: int, kernel: tuple[int, int, int]) -> tuple[nn.Module, ...]:
    # Its own bias is that of the normalisation.
    return nn.Conv3d(inputs, outputs, kernel, bias=False), nn.BatchNorm3d(outputs), nn.ReLU()


class GrowthPatternHead(Head):
    """Four outputs a metastasis (see ``likelihood.py``); a bag is positive if its patient is non-desmoplastic.

    The labels of instances are numbers of reports, or ``UNKNOWN``; where nothing more is known of a patient, the label of
    the bag is: 0 metastases that are not purely desmoplastic, or at least 1. Contributions: probability of each
    metastasis not to be purely desmoplastic.
    """

    name = "growth_pattern"

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.outputs = nn.Linear(features, OUTPUTS)

    def forward(self, features: Tensor, mask: Tensor) -> Reading:
        """See ``Head``; ``extra`` holds the outputs (b, n, 4)."""
        outputs = self.outputs(features)
        other = torch.sigmoid(-outputs[..., 0]) * mask
        all_pure = torch.log1p(-other.clamp(max=1 - 1e-6)).sum(dim=1).clamp(max=-1e-6)
        return Reading(
            torch.log(-torch.expm1(all_pure)) - all_pure,
            other,
            mask,
            logits=-outputs[..., 0],
            extra={"outputs": outputs},
        )

    def loss(self, reading: Reading, low: Tensor, high: Tensor, labels: Tensor | None = None) -> Tensor:
        """Negative log-likelihood of all that is known of each patient (b,)."""
        mask = reading.mask
        if labels is None:
            labels = torch.full(mask.shape, float(UNKNOWN), device=mask.device)
        states = torch.where(low >= 1, 1, torch.where(high == 0, 0, UNKNOWN))
        rows = torch.arange(len(mask), device=mask.device)[:, None].expand_as(mask)
        known = Known(labels[mask].long(), rows[mask], states)
        return -log_likelihood(reading.extra["outputs"][mask], known)

    def output_layers(self) -> Sequence[nn.Linear]:
        """See ``Head``."""
        return [self.outputs]

    def check(self, bags: Sequence[Bag]) -> None:
        """Nothing is refused: what is open about a patient is left open."""

    def start_from(self, bags: Sequence[Bag]) -> None:
        """Begin with the prediction that needs no scan: how often reports are pure, and the mean shares of the others."""
        reports = [
            report
            for bag in bags
            if bag.instance_labels is not None
            for report in bag.instance_labels.tolist()
            if report >= 0
        ]
        pure = (sum(report == PURE for report in reports) + 1) / (len(reports) + 4)
        others = REPORTS[[report for report in reports if report != PURE]]
        shares = (others.sum(axis=0) + 1 / 3) / (len(others) + 1)
        start = [math.log(pure / (1 - pure)), *(math.log(CONCENTRATION * share) for share in shares.tolist())]
        with torch.no_grad():
            self.outputs.bias.copy_(torch.tensor(start))


def make_network(settings: NetworkSettings) -> BagNetwork:
    """Make a network with new weights."""
    encoder = InterfaceEncoder(settings)
    return BagNetwork(encoder, GrowthPatternHead(encoder.features))


def turned(instances: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
    """Turn the patches of a batch about the way out of the metastasis, and shift their density by some HU."""
    (patches,) = instances

    def drawn(most: int) -> int:
        return int(torch.randint(most, (), generator=generator))

    changed = torch.rot90(patches, drawn(4), (-2, -1))
    changed = changed.flip(-1) if drawn(2) else changed
    shift = torch.randn(len(patches), generator=generator).mul(SHIFT_STEPS).round()[:, None, None, None, None]
    density = (changed[:, :, 0].float() + shift).clamp(0, 255).to(torch.uint8)
    return (torch.stack([density, changed[:, :, 1]], dim=2),)


def outputs_of(network: BagNetwork, bags: Sequence[Bag], instances_per_chunk: int = 64) -> list[Any]:
    """Outputs (n, 4) of the metastases of each bag, as arrays, in the order of the bags."""
    found: dict[int, Any] = {}
    for numbers, batch, reading in network.readings(bags, instances_per_chunk):
        outputs = reading.extra["outputs"].cpu().numpy()
        for row, number in enumerate(numbers):
            found[number] = outputs[row, : int(batch.sizes[row])]
    return [found[number] for number in range(len(bags))]


def to_weights(networks: Sequence[BagNetwork]) -> bytes:
    """Content of the file with the weights of all networks; :func:`read_networks` reads it, and nothing in it is code."""
    return to_safetensors(
        {
            f"{number}.{name}": tensor.detach().cpu().contiguous()
            for number, network in enumerate(networks)
            for name, tensor in network.state_dict().items()
        }
    )


def read_networks(path: Path, settings: NetworkSettings, count: int, expected: str) -> list[BagNetwork]:
    """Read so many networks from the file of their weights; ``expected`` says what they should be the weights of.

    Raises
    ------
    InvalidModelError
        If the file is missing or damaged, or the weights do not fit.
    """
    weights = read_weights(path)
    networks = []
    for number in range(count):
        # Weights are about to be replaced; the caller's random numbers stay as they were.
        with torch.random.fork_rng():
            network = make_network(settings)
        put_into(network, part_of(weights, number), path, expected)
        networks.append(network.eval())
    return networks


class _Together(nn.Module):
    """Outputs of all networks."""

    def __init__(self, networks: Sequence[BagNetwork]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, patches: Tensor) -> Tensor:
        """Outputs (networks, n, 4) of metastases with patches (n, points, 2, 18, 5, 5) as they are unrolled."""
        return torch.stack([network.head.outputs(network.encoder(patches)) for network in self.networks])


def portable_networks(networks: Sequence[BagNetwork], facts: Mapping[str, str]) -> bytes:
    """Give the portable form of all networks together, with what is written down with it."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.randint(0, 256, (3, 5, 2, *PATCH), generator=generator, dtype=torch.uint8)
    return to_portable(
        _Together(networks).eval(), {"patches": patches}, ["outputs"], free={"patches": (0, 1)}, facts=facts
    )
