"""An encoder shared by all instances, and a head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from preop.mil.bags import Bag, Batch, batches, collate, moved_to, pad
from preop.mil.heads import Head, Reading
from preop.repeatable import one_thread

INSTANCES_PER_CHUNK = 64


class BagNetwork(nn.Module):
    """From bags to readings.

    The encoder sees the real instances of a batch one after another; only their features are padded. The head computes
    in float32, also under mixed precision.

    Parameters
    ----------
    encoder
        Called with the tensors of ``Bag.instances``, each (total, ...); gives features (total, f). ``nn.Identity()``
        for bags of stored features.
    head
        For f features.
    """

    def __init__(self, encoder: nn.Module, head: Head) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, batch: Batch) -> Reading:
        """Read a batch in one pass."""
        return self._read(self._encode(batch.instances), batch)

    @torch.no_grad()
    def readings(
        self, bags: Sequence[Bag], instances_per_chunk: int = INSTANCES_PER_CHUNK
    ) -> Iterator[tuple[list[int], Batch, Reading]]:
        """Read any number of bags of any size, with no more than ``instances_per_chunk`` in the encoder at a time.

        The network is put into evaluation mode.

        Yields
        ------
        Numbers of some of the bags, their batch (on the network's device, without ``instances``), and its reading.
        """
        self.eval()
        device = next(self.parameters()).device
        for numbers in batches([bag.size for bag in bags], instances_per_chunk):
            batch = collate([bags[number] for number in numbers])
            total = int(batch.sizes.sum())
            with one_thread():
                chunks = [
                    self._encode(
                        tuple(moved_to(device, part[first : first + instances_per_chunk]) for part in batch.instances)
                    )
                    for first in range(0, max(total, 1), instances_per_chunk)
                ]
                reading = self._read(torch.cat(chunks), batch)
            yield numbers, batch._replace(instances=()).to(device), reading

    def _encode(self, instances: tuple[Tensor, ...]) -> Tensor:
        """Features (total, f); without instances the encoder is not called, for not every layer takes nothing."""
        if not len(instances[0]):
            return torch.zeros(0, self.head.features, device=instances[0].device)
        features: Tensor = self.encoder(*instances)
        return features

    def _read(self, features: Tensor, batch: Batch) -> Reading:
        with torch.autocast(features.device.type, enabled=False):
            reading: Reading = self.head(*pad(features.float(), batch.sizes))
            parts = None if batch.parts is None else batch.parts.to(features.device)
            return replace(reading, parts=parts)
