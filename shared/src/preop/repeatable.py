"""The same bytes whatever the number of cores: sums are added in an order that depends on threads, so here there is one.

A sum over the instances of a bag, over a batch in training, or in a product of matrices is cut into one part a thread;
the last bits of a float differ with the cut. In a training they grow, and in a scan they round one voxel in a million to
the next number. Networks and matrices of this project that are summed so are small: a second thread would bring them little.
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
def one_algebra_thread() -> Iterator[None]:
    """Let the algebra below numpy compute with one thread in this block."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


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
