"""Networks of one training, side by side: those of all folds are trained into their checkpoints before they are asked for.

A network computes on one thread, so that the same bytes come out on every machine; several at a time use the other cores.
Each draws from a seed of its own, so that nothing depends on the order in which they end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from preop.mil.bags import Bag
from preop.mil.network import BagNetwork
from preop.mil.training import Augmentation, Settings, train

Each = Callable[..., Iterable[tuple[Any, Any]]]
"""Calls a function for each of many in processes of their own, as :func:`preop.cohort.map_patients` does."""

WORTH_PROCESSES_S = 20.0
"""Of work that is left; a process takes some seconds to import torch."""
LARGEST_COPY_BYTES = 256 * 2**20
"""Of the bags, which every process has in memory; larger ones are left where they are, and networks follow one another."""


@dataclass(frozen=True)
class Member:
    """A network to be trained: rows of the bags that it learns from, of those that stop it, its seed, and its checkpoint if any."""

    learning: tuple[int, ...]
    held_out: tuple[int, ...]
    seed: int
    checkpoint: Path | None


def train_ahead(
    make_network: Callable[[], BagNetwork],
    bags: Sequence[Bag],
    settings: Settings,
    members: Sequence[Member],
    *,
    each: Each | None,
    augment: Augmentation | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> bool:
    """Train networks into their checkpoints, from which :func:`preop.mil.train` then takes them at once.

    The first one that was not begun is trained here. If the others would take as long as is worth it, they are trained in processes.

    Parameters
    ----------
    make_network, augment
        Functions of a module, or partials of such, so that another process can find them.
    each
        Calls a function for each of many in processes; without it, nothing is trained ahead.
    advance
        Called with the number of epochs that are done with.

    Returns
    -------
    Whether all are trained, and ``advance`` knows of them. They are not on a GPU, without a checkpoint, and where it is not worth it.

    Raises
    ------
    InvalidInputError
        As :func:`preop.mil.train`.
    """
    held = sum(part.numel() * part.element_size() for bag in bags for part in bag.instances)
    new = [member for member in members if member.checkpoint and not member.checkpoint.is_file()]
    if each is None or len(new) < 2 or held > LARGEST_COPY_BYTES or torch.cuda.is_available():
        return False
    one = partial(_train_member, make_network=make_network, bags=bags, settings=settings, augment=augment)
    start = time.perf_counter()
    one(new[0])
    others = [member for member in members if member is not new[0]]
    if (time.perf_counter() - start) * len(others) < WORTH_PROCESSES_S:
        return False
    advance(settings.epochs)
    for _, failed in each(one, others, description=None):
        if failed is not None:
            raise failed
        advance(settings.epochs)
    return True


def _train_member(
    member: Member,
    *,
    make_network: Callable[[], BagNetwork],
    bags: Sequence[Bag],
    settings: Settings,
    augment: Augmentation | None,
) -> None:
    train(
        make_network,
        [bags[row] for row in member.learning],
        settings,
        held_out=[bags[row] for row in member.held_out],
        seed=member.seed,
        checkpoint=member.checkpoint,
        augment=augment,
    )
