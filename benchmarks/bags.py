"""Bags of instances, compared with what is published and measured: ``python benchmarks/bags.py --data ../shared/data``.

Three parts, each also alone (``--only sets``, ``losses`` or ``speed``): accuracy on the classic sets MUSK1, ELEPHANT and
FOX; what a label is worth, on simulated bags in the shape of a lymph node study; time of attention beside torchmil
(``pip install torchmil``; it is no part of the locks that images are built from).
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from scipy.io import loadmat
from torch import Tensor, nn

from preop.mil import Bag, BagNetwork, Settings, make_head, train
from preop.mil.ensembles import Ensemble
from preop.statistics import auc

SETS = {"MUSK1": "musk1", "ELEPHANT": "elephant", "FOX": "fox"}
PUBLISHED = {  # Ilse 2018, table 1: attention, gated attention
    "MUSK1": (0.892, 0.900),
    "ELEPHANT": (0.868, 0.857),
    "FOX": (0.615, 0.603),
}
TOLERANCE = {"MUSK1": 0.03, "ELEPHANT": 0.03, "FOX": 0.05}
ATTENTION = ("attention", "gated_attention")
FOLDS, REPEATS = 10, 5

# The same for all sets and heads: enough steps that the training bags are learned. The last epoch counts.
FOR_SETS = Settings(epochs=40, learning_rate=1e-3, weight_decay=0.05, instances_per_batch=64)


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder that holds mil/")
    parser.add_argument("--only", choices=["sets", "losses", "speed"], help="measure one part")
    arguments = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"
    )
    parts = {
        "sets": lambda: print_sets(arguments.data),
        "losses": print_losses,
        "speed": lambda: print_speed(arguments.data),
    }
    for name in [arguments.only] if arguments.only else parts:
        start = time.perf_counter()
        parts[name]()
        print(f"\n{name}: {time.perf_counter() - start:.0f} s", flush=True)


class Embedding(nn.Sequential):
    """The embedding of Ilse 2018 for these sets: three layers, to 64 features."""

    def __init__(self, features: int) -> None:
        layers: list[nn.Module] = []
        for width, following in ((features, 256), (256, 128), (128, 64)):
            layers += [nn.Linear(width, following), nn.ReLU(), nn.Dropout()]
        super().__init__(*layers)


def print_sets(data: Path) -> None:
    """Mean accuracy of ten folds, five times over, each bag classified at one half by the network of the last epoch."""
    print("\n| set | head | accuracy (standard error of 5 repeats) | Ilse 2018 | within |\n|---|---|---|---|---|")
    for name in SETS:
        runs = [(data, name, head, repeat) for head in ATTENTION for repeat in range(REPEATS)]
        found = _in_processes(_accuracy, runs)
        for head, published in zip(ATTENTION, PUBLISHED[name], strict=True):
            values = np.array([value for run, value in zip(runs, found, strict=True) if run[2] == head])
            close = "yes" if abs(values.mean() - published) <= TOLERANCE[name] else "NO"
            print(
                f"| {name} | {head} | {values.mean():.3f} ({values.std(ddof=1) / math.sqrt(REPEATS):.3f}) | "
                f"{published:.3f} | {TOLERANCE[name]}: {close} |",
                flush=True,
            )


def _accuracy(data: Path, name: str, head: str, repeat: int) -> float:
    """Mean over the folds of one repeat; folds are drawn at random, as published."""
    torch.set_num_threads(1)
    bags = read_set(data, name)
    order = np.random.default_rng([repeat, len(bags)]).permutation(len(bags))
    shares = []
    for fold in range(FOLDS):
        test = set(order[fold::FOLDS].tolist())
        training = [bag for row, bag in enumerate(bags) if row not in test]
        held_out = [bags[row] for row in sorted(test)]
        network = train(lambda: _attention_network(bags, head), training, FOR_SETS, seed=repeat * FOLDS + fold)
        predictions = Ensemble((network,)).predict(held_out)
        right = [(one.probability > 0.5) == bag.positive for one, bag in zip(predictions, held_out, strict=True)]
        shares.append(sum(right) / len(right))
    return float(np.mean(shares))


def read_set(data: Path, name: str) -> list[Bag]:
    """Read one of the classic sets: a bag is positive or not."""
    folder = data / "mil" / SETS[name]
    tables = {}
    for file in sorted(folder.glob("*.mat")):
        tables |= {key.lower(): value for key, value in loadmat(file).items() if not key.startswith("__")}
    instances = torch.from_numpy(np.asarray(tables["x"], dtype=np.float32))
    owner = np.asarray(tables["bag2"]).ravel()
    positive = np.asarray(tables["bagi"]).ravel() > 0
    return [
        Bag(str(number), (instances[owner == number + 1],), float(truth), math.inf if truth else 0.0)
        for number, truth in enumerate(positive)
    ]


def _attention_network(bags: Sequence[Bag], head: str) -> BagNetwork:
    return BagNetwork(Embedding(bags[0].instances[0].shape[1]), make_head(head, 64))


@dataclass(frozen=True)
class Loss:
    """A row of the table of losses."""

    name: str
    head: str


LOSSES = (
    Loss("node labels (oracle)", "instance_labels"),
    Loss("exact count", "count"),
    Loss("squared error of the sum", "squared_error"),
    Loss("binary noisy-or", "noisy_or"),
    Loss("gated attention", "gated_attention"),
    Loss("max", "max"),
)
SEEDS = 5
TRAINING, TEST, NODES, FEATURES = 250, 500, 44, 16
SHARE_POSITIVE = 0.3
MORE_POSITIVE_NODES = 3.4  # mean beyond the first: 4.4 positive nodes a positive patient
SHIFT = 1.9  # standard deviations between the means of positive and negative nodes
FOR_LOSSES = Settings(epochs=30, learning_rate=2e-3, weight_decay=0.01, instances_per_batch=16 * NODES)


def print_losses() -> None:
    """Patient and node AUC of networks that differ in nothing but head and loss, on simulated bags."""
    print("\n| loss | patient AUC (standard error of 5 seeds) | node AUC in pN+ patients |\n|---|---|---|")
    runs = [(loss.head, seed) for loss in LOSSES for seed in range(SEEDS)]
    found = _in_processes(_aucs, runs)
    for loss in LOSSES:
        values = np.array([value for run, value in zip(runs, found, strict=True) if run[0] == loss.head])
        error = values[:, 0].std(ddof=1) / math.sqrt(SEEDS)
        print(f"| {loss.name} | {values[:, 0].mean():.3f} ({error:.3f}) | {values[:, 1].mean():.3f} |", flush=True)
    oracle = np.array([_oracle(seed) for seed in range(SEEDS)])
    print(f"| observer who knows how nodes were drawn | {oracle[:, 0].mean():.3f} | {oracle[:, 1].mean():.3f} |")


def simulate(patients: int, generator: torch.Generator) -> list[Bag]:
    """Patients whose positive nodes differ in the mean of four of sixteen features."""
    found = []
    for number in range(patients):
        nodes = max(1, int(torch.poisson(torch.tensor(float(NODES)), generator)))
        truth = torch.zeros(nodes)
        if torch.rand(1, generator=generator) < SHARE_POSITIVE:
            positive = 1 + int(torch.poisson(torch.tensor(MORE_POSITIVE_NODES), generator))
            truth[:positive] = 1.0
        features = torch.randn(nodes, FEATURES, generator=generator)
        features[:, :4] += SHIFT / 2 * truth[:, None]
        count = float(truth.sum())
        found.append(Bag(str(number), (features,), count, count, truth))
    return found


def _cohorts(seed: int) -> tuple[list[Bag], list[Bag]]:
    generator = torch.Generator().manual_seed(seed)
    return simulate(TRAINING, generator), simulate(TEST, generator)


def _aucs(head: str, seed: int) -> tuple[float, float]:
    torch.set_num_threads(1)
    training, test = _cohorts(seed)

    def network() -> BagNetwork:
        return BagNetwork(nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU()), make_head(head, 32))

    predictions = Ensemble((train(network, training, FOR_LOSSES, seed=seed),)).predict(test)
    return _patient_and_node_auc(
        test, [one.probability for one in predictions], [one.contributions for one in predictions]
    )


def _oracle(seed: int) -> tuple[float, float]:
    """Log odds of each node by its distribution, and of each patient by the mean count of positive patients."""
    _, test = _cohorts(seed)
    nodes = [SHIFT / 2 * bag.instances[0][:, :4].sum(dim=1) - 4 * (SHIFT / 2) ** 2 / 2 for bag in test]
    patients = [float(torch.log1p(logits.exp() * 0.1).sum()) for logits in nodes]
    return _patient_and_node_auc(test, patients, nodes)


def _patient_and_node_auc(
    bags: Sequence[Bag], patients: Sequence[float], nodes: Sequence[Tensor]
) -> tuple[float, float]:
    positive = [row for row, bag in enumerate(bags) if bag.positive]
    labels = torch.cat([bags[row].instance_labels for row in positive])  # type: ignore[misc]
    scores = torch.cat([nodes[row] for row in positive])
    return auc([bag.positive for bag in bags], patients), auc((labels > 0).tolist(), scores.tolist())


def print_speed(data: Path) -> None:
    """Attention on MUSK1, one bag a step as published, on one thread, beside torchmil; the best of three runs."""
    from torchmil.models import ABMIL

    torch.set_num_threads(1)
    bags = read_set(data, "MUSK1")
    one_by_one = with_epochs(FOR_SETS, 5, instances_per_batch=1)
    in_batches = with_epochs(FOR_SETS, 5, instances_per_batch=64)
    ours = train(lambda: _attention_network(bags, "attention"), bags, with_epochs(FOR_SETS, 1))
    theirs = ABMIL((166,), att_dim=64, feat_ext=Embedding(166))

    def train_ours(settings: Settings) -> Callable[[], object]:
        return lambda: train(lambda: _attention_network(bags, "attention"), bags, settings)

    def train_theirs() -> None:
        theirs.train()
        optimizer = torch.optim.AdamW(theirs.parameters(), lr=5e-4, weight_decay=0.05)
        for _ in range(5):
            for bag in bags:
                target = torch.tensor([float(bag.low)])
                _, losses = theirs.compute_loss(target, bag.instances[0][None])
                optimizer.zero_grad()
                sum(losses.values()).backward()
                optimizer.step()

    @torch.no_grad()
    def predict_theirs() -> None:
        theirs.eval()
        for bag in bags:
            theirs.predict(bag.instances[0][None])

    print("\n| attention on the 92 bags of MUSK1 | ours (processor) | torchmil (processor) |\n|---|---|---|")
    rows: list[tuple[str, Callable[[], object], Callable[[], object] | None]] = [
        ("5 epochs of training, a bag a step", train_ours(one_by_one), train_theirs),
        ("5 epochs of training, 64 instances a step", train_ours(in_batches), None),
        ("prediction of all bags, with contributions", lambda: Ensemble((ours,)).predict(bags), predict_theirs),
    ]
    for name, our_work, their_work in rows:
        print(f"| {name} | {_best(our_work)} | {_best(their_work) if their_work else ''} |", flush=True)


def with_epochs(settings: Settings, epochs: int, **more: int) -> Settings:
    """Give the settings with other numbers."""
    return settings.model_copy(update={"epochs": epochs, **more})


def _best(work: Callable[[], object]) -> str:
    """Least time, and least processor time, of the runs after the first."""
    times = []
    for _ in range(4):
        start, processor_start = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - start, time.process_time() - processor_start))
    elapsed, processor = (1000 * min(each) for each in zip(*times[1:], strict=True))
    return f"{elapsed:.0f} ms ({processor:.0f} ms)"


def _in_processes(function: Callable[..., object], runs: Sequence[tuple[object, ...]]) -> list[object]:
    """Call with each run's arguments, a process a core; results in order."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(function, *zip(*runs, strict=True)))


if __name__ == "__main__":
    main()
