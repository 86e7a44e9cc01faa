"""From cubes on the surface of a metastasis to the distribution of growth patterns: a residual network, the same for all.

The pattern may change along the interface, and its shares are shares of it. So the network looks at evenly spread places,
and takes the mean over them; beside it the largest value of each feature, for one place of another pattern is enough to
make a metastasis impure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from preop.mil import Bag, BagNetwork, Head, Reading
from preop.mil.encoders import residual_network

from .lesions import LIVER, OTHER
from .likelihood import OUTPUTS, UNKNOWN, Known, log_likelihood

_START = (-1.0, 0.5, 0.3, -0.5)  # outputs of a network that has seen nothing: 27 % pure, else any mixture


class NetworkSettings(BaseModel):
    """Of the encoder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: tuple[int, int, int, int] = Field((12, 24, 32, 48), description="of the four stages")
    dropout: float = Field(0.2, ge=0, lt=1, description="of the features of a metastasis")


class InterfaceEncoder(nn.Module):
    """MONAI's 3D ResNet-10 on each cube, then mean and maximum over the cubes of a metastasis."""

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.features = 2 * settings.channels[-1]
        self.body = residual_network(4, settings.channels, stride=2, pooled=False)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, cubes: Tensor) -> Tensor:
        """Features (n, f) of metastases with cubes (n, points, 3, 20, 20, 20) as they are cut."""
        lesions, points = cubes.shape[:2]
        density, distance, tissue = cubes.flatten(0, 1).unbind(1)
        channels = torch.stack([density / 127.5 - 1, distance / 127.5 - 1, tissue == LIVER, tissue >= OTHER], dim=1)
        of_cubes = self.body(channels.to(memory_format=torch.channels_last_3d)).view(lesions, points, -1)
        return torch.as_tensor(self.dropout(torch.cat([of_cubes.mean(dim=1), of_cubes.amax(dim=1)], dim=1)))


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

    def start_from(self, bags: Sequence[Bag]) -> None:  # noqa: ARG002
        """Begin with the usual shares of patterns."""
        with torch.no_grad():
            self.outputs.bias.copy_(torch.tensor(_START))
            self.outputs.weight.mul_(0.1)


def make_network(settings: NetworkSettings) -> BagNetwork:
    """Make a network with new weights."""
    encoder = InterfaceEncoder(settings)
    return BagNetwork(encoder, GrowthPatternHead(encoder.features))


def turned(instances: tuple[Tensor, ...], generator: torch.Generator) -> tuple[Tensor, ...]:
    """Turn the cubes of a batch about the way out of the metastasis, and shift their density by some HU."""
    (cubes,) = instances

    def drawn(most: int) -> int:
        return int(torch.randint(most, (), generator=generator))

    changed = torch.rot90(cubes, drawn(4), (-2, -1))
    changed = changed.flip(-1) if drawn(2) else changed
    shift = torch.randn(len(cubes), generator=generator).mul(4).round()[:, None, None, None, None]
    density = (changed[:, :, 0].float() + shift).clamp(0, 255).to(torch.uint8)
    return (torch.cat([density[:, :, None], changed[:, :, 1:]], dim=2),)


def outputs_of(network: BagNetwork, bags: Sequence[Bag], instances_per_chunk: int = 64) -> list[Any]:
    """Outputs (n, 4) of the metastases of each bag, as arrays, in the order of the bags."""
    found: dict[int, Any] = {}
    for numbers, batch, reading in network.readings(bags, instances_per_chunk):
        outputs = reading.extra["outputs"].cpu().numpy()
        for row, number in enumerate(numbers):
            found[number] = outputs[row, : int(batch.sizes[row])]
    return [found[number] for number in range(len(bags))]
