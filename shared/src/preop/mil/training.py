"""Training of one bag network: seeded, stopped early on bags it does not learn from, resumable at every epoch.

Every epoch draws its randomness (order of bags, augmentation, dropout) from the seed and its own number. So a run that
was interrupted goes on from the last finished epoch as if nothing had happened, to the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from preop.atomic import replacing
from preop.errors import InvalidInputError
from preop.mil.bags import Bag, batches, check_alike, collate
from preop.mil.network import INSTANCES_PER_CHUNK, BagNetwork
from preop.repeatable import repeatable

Augmentation = Callable[[tuple[Tensor, ...], torch.Generator], tuple[Tensor, ...]]
"""Changes the instances of a batch, each tensor (total, ...), drawing from the generator."""

Weights = dict[str, Tensor]


class Settings(BaseModel):
    """What a training run can be told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(0, ge=0, description="of folds, weights, batches, dropout and augmentation")
    epochs: int = Field(100, ge=1, description="most passes through the bags")
    patience: int = Field(20, ge=1, description="epochs without a better held-out likelihood before training stops")
    learning_rate: float = Field(1e-3, gt=0, description="of AdamW")
    weight_decay: float = Field(1e-2, ge=0, description="of AdamW")
    instances_per_batch: int = Field(
        512, ge=1, description="most instances of a training step; it holds at least one bag, so 1 is a bag a step"
    )
    instances_per_chunk: int = Field(
        INSTANCES_PER_CHUNK, ge=1, description="most instances in the encoder at a time where nothing is learned"
    )
    folds: int = Field(5, ge=2, description="inner folds: members of the ensemble, each stopped early on its own fold")
    mixed_precision: bool = Field(True, description="bfloat16 in the encoder, on a GPU that computes in it")


def train(
    make_network: Callable[[], BagNetwork],
    bags: Sequence[Bag],
    settings: Settings,
    *,
    held_out: Sequence[Bag] = (),
    seed: int | None = None,
    checkpoint: Path | None = None,
    augment: Augmentation | None = None,
    advance: Callable[[int], None] = lambda _: None,
    device: torch.device | None = None,
) -> BagNetwork:
    """Train a network on bags.

    Parameters
    ----------
    make_network
        Called once, with the random numbers of the seed.
    held_out
        Bags that decide after which epoch the network was best; without them it is the last.
    seed
        Left out, that of the settings.
    checkpoint
        File that holds the run after each epoch, and that it is resumed from; the caller sees to it that it belongs to
        these bags and settings.
    advance
        Called with the number of epochs that are done with.
    device
        Left out, the first GPU, or the processor.

    Returns
    -------
    The network in evaluation mode, on the device.

    Raises
    ------
    InvalidInputError
        If there is no bag, the head cannot learn from one of them, they differ in kind, or the loss is not finite.
    """
    if not bags:
        raise InvalidInputError("There are 0 bags to learn from; expected at least one.")
    check_alike([*bags, *held_out])
    seed = settings.seed if seed is None else seed
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with repeatable(seed):
        network = make_network()
        network.head.check([*bags, *held_out])
        network.head.start_from(bags)
        network.to(device)
        run = _Run(network, settings)
        if checkpoint and checkpoint.is_file():
            run.restore(checkpoint)
            advance(run.epoch)
        while not run.finished:
            _learn(run, bags, settings, seed=seed, augment=augment)
            run.judge(mean_deviance(network, held_out, settings.instances_per_chunk) if held_out else None)
            if checkpoint:
                run.save(checkpoint)
            advance(1)
        advance(settings.epochs - run.epoch)
        network.load_state_dict(run.best_weights)
    return network.eval()


@torch.no_grad()
def mean_deviance(network: BagNetwork, bags: Sequence[Bag], instances_per_chunk: int = INSTANCES_PER_CHUNK) -> float:
    """Mean negative log-likelihood of the bags' labels."""
    total = 0.0
    for _, batch, reading in network.readings(bags, instances_per_chunk):
        total += float(network.head.deviance(reading, batch.low, batch.high).sum())
    if not math.isfinite(total):
        raise InvalidInputError(
            f"The likelihood of {len(bags)} held-out bags is not finite: look for outliers in them, or lower the learning rate."
        )
    return total / len(bags)


class _Run:
    """A network on its way: what has to be written down to go on later."""

    def __init__(self, network: BagNetwork, settings: Settings) -> None:
        self.network, self.settings = network, settings
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        self.epoch = 0
        self.best_epoch = 0
        self.best_deviance = math.inf
        self.best_weights = _copy(network.state_dict())

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the last ones brought nothing."""
        return self.epoch >= self.settings.epochs or self.epoch - self.best_epoch >= self.settings.patience

    def judge(self, deviance: float | None) -> None:
        """Close an epoch, and keep its weights if they are the best so far; without a judgement the last are."""
        self.epoch += 1
        if deviance is None or deviance < self.best_deviance:
            self.best_deviance = math.inf if deviance is None else deviance
            self.best_epoch = self.epoch
            self.best_weights = _copy(self.network.state_dict())

    def save(self, path: Path) -> None:
        """Write the run, complete or not at all."""
        content = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_deviance": self.best_deviance,
            "best_weights": self.best_weights,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            torch.save(content, partial)

    def restore(self, path: Path) -> None:
        """Take up a run where it was written; nothing but numbers is read, no code is run."""
        device = next(self.network.parameters()).device
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        self.network.load_state_dict(content["network"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.epoch, self.best_epoch = content["epoch"], content["best_epoch"]
        self.best_deviance, self.best_weights = content["best_deviance"], content["best_weights"]


def _learn(run: _Run, bags: Sequence[Bag], settings: Settings, *, seed: int, augment: Augmentation | None) -> None:
    """Pass once through the bags."""
    network, head = run.network.train(), run.network.head
    device = next(network.parameters()).device
    torch.manual_seed(_mixed(seed, run.epoch))
    generator = torch.Generator().manual_seed(_mixed(seed, run.epoch))
    faster = (
        settings.mixed_precision and device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    for numbers in batches([bag.size for bag in bags], settings.instances_per_batch, generator):
        batch = collate([bags[number] for number in numbers]).to(device)
        if augment:
            batch = batch._replace(instances=augment(batch.instances, generator))
        with torch.autocast(device.type, torch.bfloat16, enabled=faster):
            reading = network(batch)
        loss = head.loss(reading, batch.low, batch.high, batch.labels).mean()
        if not torch.isfinite(loss):
            names = ", ".join(bags[number].name for number in numbers[:5])
            raise InvalidInputError(
                f"Training ends in epoch {run.epoch + 1}, for the loss is {loss.item():g} (bags {names}"
                f"{', ...' if len(numbers) > 5 else ''}): look for outliers in them, or lower the learning rate of "
                f"{settings.learning_rate:g}."
            )
        run.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        run.optimizer.step()


def _mixed(seed: int, epoch: int) -> int:
    """One seed for each epoch of each run, the same on every machine (multiplier of Knuth, TAOCP 3.3.4)."""
    return (seed * 6364136223846793005 + epoch + 1) % 2**63


def _copy(weights: Weights) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in weights.items()}
