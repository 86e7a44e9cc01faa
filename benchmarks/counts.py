"""Time of the count likelihood, forward and backward: ``python benchmarks/counts.py``."""

import os
import statistics
import time
from collections.abc import Callable

import torch

from preop.counts import log_likelihood, log_probabilities

REPETITIONS = 50


def milliseconds(work: Callable[[], torch.Tensor]) -> float:
    """Median time of computing and differentiating ``work``."""
    times = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        work().backward()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def main() -> None:
    """Print one line a size of the problem."""
    generator = torch.Generator().manual_seed(0)
    nodes = (torch.randn(16, 44, generator=generator) - 3).requires_grad_()
    tiles = (torch.randn(1, 10_000, generator=generator) - 7).requires_grad_()
    counts = torch.arange(16.0) % 6
    rows = {
        "16 bags of 44, all counts": lambda: log_probabilities(nodes).select(1, 3).sum(),
        "16 bags of 44, exact counts": lambda: log_likelihood(nodes, counts, counts).sum(),
        "16 bags of 44, with thinning and leak": lambda: log_likelihood(
            nodes, counts, counts, found=0.97, leak=0.05
        ).sum(),
        "1 bag of 10,000, counts up to 16": lambda: log_probabilities(tiles, most=16).select(1, 3).sum(),
    }
    print(f"forward and backward, {os.cpu_count()} cores, torch {torch.__version__}")
    for name, work in rows.items():
        print(f"{name:40} {milliseconds(work):6.2f} ms")


if __name__ == "__main__":
    main()
