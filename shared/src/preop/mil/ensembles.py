"""Networks of the inner folds together: calibrated, averaged, written down."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from safetensors.torch import save as to_safetensors
from torch import nn

from preop.errors import InvalidInputError, InvalidModelError
from preop.mil.bags import Bag, Batch
from preop.mil.heads import CountHead, Reading, make_head
from preop.mil.network import INSTANCES_PER_CHUNK, BagNetwork
from preop.mil.predictions import (
    DESCRIPTION_FILE,
    WEIGHTS_FILE,
    EnsembleDescription,
    Prediction,
    mean_of,
    read_ensemble_description,
)
from preop.mil.search import minimise
from preop.repeatable import one_thread
from preop.weights import part_of, put_into, read_weights

TEMPERATURES = (math.exp(-3), math.exp(3))
"""Range in which the temperature is looked for."""


@dataclass(frozen=True, eq=False)
class Ensemble:
    """Members whose probabilities are averaged.

    Attributes
    ----------
    members
        Networks with the same head.
    temperature
        By which log odds are divided: those of the bag, of count heads those of the instances; of clustered ones, what all
        instances together say of how many are positive.
    """

    members: tuple[BagNetwork, ...]
    temperature: float = 1.0

    def predict(
        self, bags: Sequence[Bag], *, most: int = 10, instances_per_chunk: int = INSTANCES_PER_CHUNK
    ) -> list[Prediction]:
        """Predict bags, in their order; their labels are not looked at.

        Parameters
        ----------
        most
            Of count heads: ``counts`` ends with this many or more.
        instances_per_chunk
            Most instances in the encoder at a time, which bounds the memory.
        """
        with one_thread():
            by_member = [self._predictions(member, bags, most, instances_per_chunk) for member in self.members]
        return [mean_of(predictions) for predictions in zip(*by_member, strict=True)]

    def read(self, name: str, instances: Sequence[NDArray[Any]], *, most: int = 10) -> Prediction:
        """Predict one bag from its arrays, of which the encoder may replace what is NaN."""
        bag = Bag(name, tuple(torch.from_numpy(each) for each in instances), may_lack=True)
        return self.predict([bag], most=most)[0]

    @torch.no_grad()
    def _predictions(self, member: BagNetwork, bags: Sequence[Bag], most: int, chunk: int) -> list[Prediction]:
        found: dict[int, Prediction] = {}
        for numbers, _, reading in member.readings(bags, chunk):
            calibrated = member.head.at_temperature(reading, self.temperature)
            predictions = _unbatched(member, calibrated, [bags[number] for number in numbers], most)
            found |= dict(zip(numbers, predictions, strict=True))
        return [found[number] for number in range(len(bags))]

    def to_files(self) -> dict[str, bytes]:
        """Content of the files of a model folder, by name: a description of the head, and the weights."""
        head = self.members[0].head
        description = EnsembleDescription(
            head=head.name,
            features=head.features,
            options=head.options,
            members=len(self.members),
            temperature=self.temperature,
        )
        weights = {
            f"{number}.{name}": tensor.detach().cpu().contiguous()
            for number, member in enumerate(self.members)
            for name, tensor in member.state_dict().items()
        }
        text = json.dumps(description.model_dump(mode="json"), indent=2) + "\n"
        return {DESCRIPTION_FILE: text.encode(), WEIGHTS_FILE: to_safetensors(weights)}


def read_ensemble(folder: Path, make_encoder: Callable[[], nn.Module] = nn.Identity) -> Ensemble:
    """Read an ensemble whose files :meth:`Ensemble.to_files` gave; nothing in them is run as code.

    Parameters
    ----------
    folder
        A model folder, whose checksums have been compared already.
    make_encoder
        Gives an encoder of the architecture that was trained.

    Raises
    ------
    InvalidModelError
        If a file is missing or damaged, or the weights belong to another architecture.
    """
    description = _checked_description(folder / DESCRIPTION_FILE)
    weights = read_weights(folder / WEIGHTS_FILE)
    members = []
    for number in range(description.members):
        # Weights are about to be replaced; the caller's random numbers stay as they were.
        with torch.random.fork_rng():
            head = make_head(description.head, description.features, **description.options)
            member = BagNetwork(make_encoder(), head)
        expected = f"the network, its encoder and the head {description.head}"
        put_into(member, part_of(weights, number), folder / WEIGHTS_FILE, expected)
        members.append(member.eval())
    return Ensemble(tuple(members), description.temperature)


def fit_temperature(parts: Sequence[tuple[BagNetwork, Sequence[Bag]]], instances_per_chunk: int) -> float:
    """Temperature by which the labels of bags are most likely, under networks that did not learn from them."""
    read: list[tuple[BagNetwork, Batch, Reading]] = [
        (network, batch, reading)
        for network, bags in parts
        for _, batch, reading in network.readings(bags, instances_per_chunk)
    ]

    def deviance(log_temperature: float) -> float:
        temperature = math.exp(log_temperature)
        total = 0.0
        for network, batch, reading in read:
            each = network.head.deviance_at(temperature, reading, batch.low, batch.high)
            total += float(each.sum())
        return total

    with torch.no_grad():
        return math.exp(minimise(deviance, *map(math.log, TEMPERATURES)))


def _checked_description(path: Path) -> EnsembleDescription:
    description = read_ensemble_description(path)
    try:
        make_head(description.head, 1, **description.options)
    except InvalidInputError as error:
        raise InvalidModelError(f"The description {path} is not right: {error}") from None
    return description


def _unbatched(member: BagNetwork, reading: Reading, bags: Sequence[Bag], most: int) -> list[Prediction]:
    """One prediction a bag."""
    probabilities = torch.sigmoid(reading.logit).tolist()
    head = member.head
    counts = expected = None
    if isinstance(head, CountHead) and reading.logits is not None:
        cells = head.distribution(reading.logits, reading.mask, most=most, temperature=reading.temperature)
        counts = cells.exp().cpu()
        expected = head.expected(reading).tolist()
    return [
        Prediction(
            bag.name,
            probabilities[row],
            reading.contributions[row, : bag.size].cpu().numpy(),
            None if counts is None else counts[row].numpy(),
            None if expected is None else expected[row],
        )
        for row, bag in enumerate(bags)
    ]
