"""The same bytes whatever the number of cores: torch adds in an order that depends on its threads, so here it has one.

A sum over the instances of a bag, or over a batch in training, is cut into one part a thread; the last bits of a float
differ with the cut, and in a training they grow. The networks of this project that do such sums are small: a second
thread would bring them little.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread in this block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Let a training repeat itself: one thread, random numbers of its own, and of cuDNN only what repeats itself too."""
    import torch

    with (
        one_thread(),
        torch.random.fork_rng(),
        torch.backends.cudnn.flags(deterministic=True, benchmark=False),
    ):
        torch.manual_seed(seed)
        yield
