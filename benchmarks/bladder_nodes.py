"""What more could be seen of a lymph node, and what it is worth: ``python benchmarks/bladder_nodes.py FOLDER``.

Beside the ten measures that the default model takes, on the patients and by the methods of ``bladder.py``: density relative to the
iliac vessels, density corrected for partial volumes, the parts of the core that are fat (a hilum) and necrosis, and the node's
cube of voxels. Measures are judged by boosted trees on the labels of all nodes of all training patients, for what they can
give at most, and parts of the core as further signs of the default scorer, too, from counts by side. Cubes go through an encoder that
learns from the cubes of the training patients without any label (principal components, or a convolutional network that fills in what
is hidden from it); its 32 features and the measures of a node are what the network learns from, by counts by side, and boosted trees
by the labels of the same seed's nodes.

Patients take 2.4 GB. Finished parts are kept in FOLDER, and a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.decomposition import PCA
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

import bladder

from bladder_lymph_nodes.lymph_nodes import (
    BLUR_MM,
    NEIGHBOUR,
    OWN,
    LymphNode,
    LymphNodes,
    cut_cubes,
    find_lymph_nodes,
    measures_of,
)
from bladder_lymph_nodes.network import FeaturesEncoder, Signs
from bladder_lymph_nodes.scorer import learn_monotone
from bladder_lymph_nodes.settings import count_options
from bladder_lymph_nodes.simulation import draw_patient
from preop.cohort import map_patients
from preop.folders import open_resumable_run
from preop.imaging import Image, crop
from preop.mil import Bag, BagNetwork, fit, make_head
from preop.repeatable import repeatable
from preop.statistics import auc

Floats = NDArray[np.floating[Any]]

CUBE = slice(12, 36)
"""The middle 24 mm of a cube."""
AROUND_MM = 6.0
FEATURES, EPOCHS, BATCH, RATE = 32, 3, 64, 4e-3
HIDDEN = 8
"""Side in voxels of the block that an encoder has to fill in."""
CORE_USUAL = 0.03
"""Part of the core that is fat, or necrosis, where a node is too small to tell."""
MEASURES = {
    "ten measures": (),
    "and density relative to the vessels": ("vessels",),
    "and density without partial volumes": ("corrected",),
    "and fat and necrosis of the core": ("core",),
    "and all of these": ("vessels", "corrected", "core"),
}


def main() -> None:
    """Simulate, learn, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for patients and results; 2.4 GB")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--test", type=int, default=bladder.TEST_PATIENTS, help="number of test patients")
    arguments = parser.parse_args()
    open_resumable_run(arguments.folder, {"test": arguments.test})
    seeds = [bladder.FIRST_TRAINING_SEED + number for number in range(arguments.seeds)]
    cohorts = [(bladder.TEST_SEED, arguments.test), *((seed, bladder.TRAINING_PATIENTS) for seed in seeds)]
    patients = [(seed, number) for seed, count in cohorts for number in range(count)]
    todo = [each for each in patients if not bladder.patient_file(arguments.folder, *each).is_file()]
    for _, failure in map_patients(partial(_simulate, folder=arguments.folder), todo, description="Simulating"):
        if failure is not None:
            raise failure
    print_tables(arguments.folder, seeds, arguments.test)


def print_tables(folder: Path, seeds: Sequence[int], tests: int) -> None:
    """Print the AUC of patients and of the nodes of pN+ patients, as mean and range over the seeds."""
    test = [bladder.load_patient(folder, bladder.TEST_SEED, number) for number in range(tests)]
    print(f"{tests} test patients; {bladder.TRAINING_PATIENTS} to train; {len(seeds)} seeds\n")
    print(f"{'labels of all nodes of all seeds, boosted':52}{'patient AUC':>12}{'node AUC':>12}")
    known = [each for seed in seeds for each in _cohort(folder, seed)]
    for words, more in MEASURES.items():
        found = _kept(folder / f"{len(seeds)}_{'_'.join(more)}.json", partial(_by_labels, known, test, more))
        print(f"{words:52}{found[0]:>12.3f}{found[1]:>12.3f}", flush=True)
    print(f"\n{'by seed':52}{'patient AUC':>28}{'node AUC':>28}")
    for name, learn in LEARNT.items():
        rows = [
            _kept(folder / f"{name}_{seed}.json", partial(_of_seed, learn, folder, seed, test=test)) for seed in seeds
        ]
        found = [bladder.in_words(list(column)) for column in zip(*rows, strict=True)]
        for number, words in enumerate(ROWS[name]):
            print(f"{words:52}{''.join(found[2 * number : 2 * number + 2])}", flush=True)


def _simulate(patient: tuple[int, int], *, folder: Path) -> None:
    made = draw_patient(*patient, around_nodes_mm=12.0)
    nodes = find_lymph_nodes(made.ct, made.lymph_nodes)
    path = bladder.patient_file(folder, *patient)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_name(f".{path.name}")
    np.savez(
        partial_file,
        label=np.array([node.number for node in nodes.nodes]),
        measures=measures_of(nodes.nodes, "spatial"),
        radiomics=np.empty((len(nodes.nodes), 0)),
        corrected=np.array([_corrected_hu(made.ct, nodes, node) for node in nodes.nodes]),
        core=np.array([(each.core.fatty, each.core.necrotic) if each.core else (np.nan,) * 2 for each in nodes.nodes]),
        vessels=_vessels_hu(made.ct),
        cubes=cut_cubes(made.ct, nodes)[:, :, CUBE, CUBE, CUBE],
    )
    partial_file.replace(path)


def _corrected_hu(ct: Image, nodes: LymphNodes, node: LymphNode) -> float:
    """Density of a node by least squares: each voxel is fat and node in parts, as the blurred outline says.

    The geometric transfer matrix of Rousset et al. 1998 (J Nucl Med 39:904) for two tissues.
    """
    margins = [math.ceil(AROUND_MM / spacing) for spacing in ct.spacing_mm]
    wide = tuple(
        slice(max(part.start - margin, 0), min(part.stop + margin, size))
        for part, margin, size in zip(node.box, margins, ct.shape, strict=True)
    )
    density, drawn = crop(ct, wide).voxels.astype(float), crop(nodes.labels, wide).voxels
    deviations = [0.3, *(BLUR_MM / spacing for spacing in ct.spacing_mm[1:])]
    part = ndimage.gaussian_filter((drawn == node.number).astype(float), deviations)
    others = ndimage.binary_dilation((drawn > 0) & (drawn != node.number))
    fat = -90.0 if math.isnan(node.fat_beyond_hu) else node.fat_beyond_hu
    chosen = (part > 0.02) & ~others
    share = part[chosen]
    return fat + float(share @ (density[chosen] - fat)) / max(float(share @ share), 1e-6)


def _vessels_hu(ct: Image) -> float:
    """Commonest density of what is as dense as vessels, even, and far from bone."""
    density = ct.voxels.astype(np.float32)
    even = ndimage.gaussian_gradient_magnitude(density, (0.5, 1.2, 1.2)) < 12
    bone = ndimage.binary_dilation(density > 280, iterations=3)
    smooth = ndimage.gaussian_filter(density, (0.5, 1.2, 1.2))
    found = smooth[even & ~bone & (smooth > 95) & (smooth < 260)]
    counts, edges = np.histogram(found, bins=np.arange(95, 262, 3))
    return float(edges[np.convolve(counts, [1, 2, 3, 2, 1], "same").argmax()] + 1.5)


def _kept(path: Path, compute: Callable[[], Sequence[float]]) -> list[float]:
    if not path.is_file():
        path.write_text(json.dumps([float(value) for value in compute()]))
    values: list[float] = json.loads(path.read_text())
    return values


def _cohort(folder: Path, seed: int) -> list[Any]:
    return [bladder.load_patient(folder, seed, number) for number in range(bladder.TRAINING_PATIENTS)]


def _of_seed(learn: Callable[..., Sequence[float]], folder: Path, seed: int, *, test: Sequence[Any]) -> Sequence[float]:
    torch.set_num_threads(1)
    return learn(_cohort(folder, seed), test, seed=seed)


def _judged(scores: bladder.Scores, test: Sequence[Any]) -> tuple[float, float]:
    """AUC of patients, and of the nodes of pN+ patients."""
    positive = [int(each["count"] > 0) for each in test]
    inside = [row for row, each in enumerate(test) if each["count"] > 0 and each["positive"].any()]
    truth = np.concatenate([test[row]["positive"] for row in inside]).astype(int)
    return auc(positive, scores["patients"]), auc(truth, np.concatenate([scores["nodes"][row] for row in inside]))


def _by_labels(known: Sequence[Any], test: Sequence[Any], more: Sequence[str] = ()) -> tuple[float, float]:
    """Boosted trees on the labels of all nodes; of a patient, the chance of one positive node or more."""

    def rows(each: Any) -> Floats:
        density = each["measures"][:, 3]
        columns: dict[str, Callable[[], Floats]] = {
            "vessels": lambda: np.column_stack([density / each["vessels"], np.full(len(density), each["vessels"])]),
            "corrected": lambda: np.clip(each["corrected"], -100, 250)[:, None],
            "core": lambda: each["core"],
            "features": lambda: each["features"],
        }
        return np.column_stack([each["measures"], *(columns[name]() for name in more)])

    return _judged(bladder.boosted(known, test, rows), test)


def _by_labels_of_seed(known: Sequence[Any], test: Sequence[Any], *, seed: int) -> tuple[float, float]:  # noqa: ARG001
    return _by_labels(known, test)


class _SignsOfCore(nn.Module):
    """The default model's signs, a necrosis, and the lack of a fatty hilum."""

    def __init__(self) -> None:
        super().__init__()
        self.signs = Signs(10)
        self.features = self.signs.features + 4

    def forward(self, measures: Tensor) -> Tensor:
        """Signs (n, f) of ten measures, and of the parts of the core that are fat and necrosis (n, 12)."""
        fatty, necrotic = measures[:, 10:].nan_to_num(CORE_USUAL).unbind(1)
        more = torch.stack([(necrotic / 0.1).clamp(0, 4), (1 - fatty / 0.05).clamp(-3, 1)], dim=1)
        return torch.cat([self.signs(measures[:, :10]), more, more.clamp(min=0)], dim=1)


def _by_scorer(known: Sequence[Any], test: Sequence[Any], *, seed: int, core: bool) -> tuple[float, float]:
    """Learn the default model's scorer from counts by side."""
    network, settings, _ = bladder.OWN["monotone"]

    def make() -> BagNetwork:
        encoder = _SignsOfCore() if core else Signs(10)
        return BagNetwork(encoder, make_head("count", encoder.features, **count_options(network)))

    def bag(number: int, each: Any, by: str | None) -> Bag:
        columns = [each["measures"], each["core"]] if core else [each["measures"]]
        instances = (torch.from_numpy(np.column_stack(columns).astype(np.float32)),)
        made: Bag = replace(bladder.bag_of(str(number), each, by), instances=instances)
        return made

    return _learned(make, bag, known, test, settings.model_copy(update={"seed": seed}), learn_monotone)


def _with_cubes(
    known: Sequence[Any],
    test: Sequence[Any],
    *,
    seed: int,
    encode: Callable[[Sequence[Any], int], Callable[[Any], Floats]],
) -> tuple[float, ...]:
    """Learn from measures and what an encoder makes of cubes, which has seen those of the training patients."""
    encoder = encode([each["cubes"] for each in known], seed)
    known, test = ([{**each, "features": encoder(each["cubes"])} for each in part] for part in (known, test))
    network, settings, _ = bladder.OWN["network"]

    def make() -> BagNetwork:
        layer = FeaturesEncoder(FEATURES, 10)
        return BagNetwork(layer, make_head("count", layer.features, **count_options(network)))

    def bag(number: int, each: Any, by: str | None) -> Bag:
        instances = torch.from_numpy(each["features"]), torch.from_numpy(each["measures"])
        made: Bag = replace(bladder.bag_of(str(number), each, by), instances=instances)
        return made

    by_counts = _learned(make, bag, known, test, settings.model_copy(update={"seed": seed}), None)
    return *_by_labels(known, test, ("features",)), *by_counts


def _learned(
    make: Callable[[], BagNetwork],
    bag: Callable[[int, Any, str | None], Bag],
    known: Sequence[Any],
    test: Sequence[Any],
    settings: Any,
    learn: Any,
) -> tuple[float, float]:
    ensemble = fit(make, [bag(number, each, "side") for number, each in enumerate(known)], settings, learn=learn)
    return _judged(
        bladder.predictions_of(ensemble, [bag(number, each, None) for number, each in enumerate(test)]), test
    )


# --- encoders that learn without labels -------------------------------------------------------------------------------


def channels(cubes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Density inside and outside of the node, the node and its neighbours (n, 4, 24, 24, 24)."""
    density = cubes[:, 0].astype(np.float32) / 127.5 - 1
    own, neighbour = ((cubes[:, 1] == value).astype(np.float32) for value in (OWN, NEIGHBOUR))
    return np.stack([density * own, density * (1 - own) * (1 - neighbour), own, neighbour], axis=1)


def components(cubes: Sequence[NDArray[np.uint8]], seed: int) -> Callable[[NDArray[np.uint8]], Floats]:
    """Principal components of the cubes at 2 mm: the best linear encoder."""
    found = PCA(FEATURES, svd_solver="randomized", random_state=seed).fit(_at_2_mm(np.concatenate(cubes)))
    return lambda new: np.asarray(found.transform(_at_2_mm(new)), np.float32)


def _at_2_mm(cubes: NDArray[np.uint8]) -> NDArray[np.float32]:
    seen = channels(cubes)[:, :3]
    return np.asarray(seen.reshape(len(seen), 3, 12, 2, 12, 2, 12, 2).mean((3, 5, 7)).reshape(len(seen), -1))


class _FilledIn(nn.Module):
    """Gives 32 features of a cube (n, 4, 24, 24, 24), and from these its first three channels."""

    def __init__(self) -> None:
        super().__init__()
        halved = [
            layer
            for inputs, outputs in ((4, 16), (16, 32), (32, 48))
            for layer in (nn.Conv3d(inputs, outputs, 3, 2, 1), nn.BatchNorm3d(outputs), nn.GELU())
        ]
        self.encoder = nn.Sequential(*halved, nn.Flatten(), nn.Linear(48 * 27, FEATURES))
        self.begin = nn.Sequential(nn.Linear(FEATURES, 48 * 27), nn.Unflatten(1, (48, 3, 3, 3)))
        self.decoder = nn.Sequential(
            *(nn.Upsample(scale_factor=2), nn.Conv3d(48, 24, 3, 1, 1), nn.GELU()),
            *(nn.Upsample(scale_factor=2), nn.Conv3d(24, 12, 3, 1, 1), nn.GELU()),
            nn.Conv3d(12, 24, 1),
        )

    def forward(self, cubes: Tensor) -> Tensor:
        """Cubes (n, 3, 24, 24, 24) as they would be without what is hidden."""
        fine = self.decoder(self.begin(self.encoder(cubes))).view(-1, 3, 2, 2, 2, 12, 12, 12)
        return torch.as_tensor(fine.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(-1, 3, 24, 24, 24))


def filled_in(cubes: Sequence[NDArray[np.uint8]], seed: int) -> Callable[[NDArray[np.uint8]], Floats]:
    """Features of a network that learns to fill in a hidden block of mirrored cubes, most of all near the node."""
    known, rng = np.concatenate(cubes), np.random.default_rng(seed)
    batches = len(known) // BATCH
    with repeatable(seed):
        network = _FilledIn()
        optimiser = torch.optim.AdamW(network.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=EPOCHS * batches)
        for _ in range(EPOCHS):
            order = rng.permutation(len(known))
            for chosen in np.array_split(order[: batches * BATCH], batches):
                axes = [axis for axis in (2, 3, 4) if rng.random() < 0.5]
                whole = torch.from_numpy(channels(np.ascontiguousarray(np.flip(known[chosen], tuple(axes)))))
                z, y, x = rng.integers(4, 13, 3).tolist()
                seen = whole.clone()
                seen[:, :, z : z + HIDDEN, y : y + HIDDEN, x : x + HIDDEN] = 0
                weights = 4 * nn.functional.max_pool3d(whole[:, 2:3], 5, 1, 2) + 0.25
                optimiser.zero_grad()
                torch.autograd.backward((weights * (network(seen) - whole[:, :3]) ** 2).mean())
                optimiser.step()
                schedule.step()
        network.eval()

    def encode(new: NDArray[np.uint8]) -> Floats:
        both = [torch.from_numpy(channels(np.ascontiguousarray(np.flip(new, axes)))) for axes in ((), (4,))]
        with torch.no_grad():
            return np.asarray(torch.stack([network.encoder(each) for each in both]).mean(0).numpy())

    return encode


LEARNT: dict[str, Callable[..., Sequence[float]]] = {
    "scorer": partial(_by_scorer, core=False),
    "scorer_core": partial(_by_scorer, core=True),
    "labels": _by_labels_of_seed,
    "components": partial(_with_cubes, encode=components),
    "network": partial(_with_cubes, encode=filled_in),
}
ROWS = {
    "scorer": ["default scorer, counts by side"],
    "scorer_core": ["and fat and necrosis of the core"],
    "labels": ["ten measures, labels of the nodes, boosted"],
    "components": ["and components of the cube", "network, counts by side: measures and components"],
    "network": ["boosted: measures and a network's features", "network, counts by side: measures and features"],
}
"""What is learned of each seed, and what its results are called, two figures each."""


if __name__ == "__main__":
    main()
