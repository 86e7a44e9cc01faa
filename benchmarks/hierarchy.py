"""Tiles in one flat bag, or put together in regions first: ``python benchmarks/hierarchy.py FOLDER``.

Slides of the simulated patients that the shipped model learned from are painted into FOLDER and described by its encoder, once;
what is there is not made again. On the same features and in the same folds, with several seeds for folds and networks, patients
who were held out are then predicted from

- tiles in a flat bag, as in the shipped model;
- regions, squares of half a millimetre, whose encoder learns from the patients' labels alone;
- regions whose encoder first learned without labels, on other patients, and learns on from the labels;
- the same, but left as it was, so that labels teach the head alone, as in HIPT (Chen 2022, doi 10.1109/CVPR52688.2022.01567).

Without labels an encoder learns to find, of the halves of many regions, the two that belong together (InfoNCE, van den Oord 2018,
arXiv 1807.03748), where HIPT has a student that follows its teacher. The last column compares the mean log odds over the seeds
with those of the flat bag.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

from preop.atomic import write_text
from preop.cohort import Patient, map_patients, read_cohort
from preop.errors import PreopError
from preop.grandchallenge.algorithm import read_algorithm
from preop.mil import Bag, BagNetwork, Settings, cross_validate, make_head
from preop.repeatable import repeatable
from preop.slides import Encoder, FeatureStore, TileFeatures, in_regions, read_encoder
from preop.statistics import auc, compare_aucs
from primary_growth_pattern.examination import SLIDE
from primary_growth_pattern.readers import make_network, make_reader
from primary_growth_pattern.simulation import simulate
from primary_growth_pattern.training import Settings as StudySettings
from primary_growth_pattern.training import growth_pattern
from primary_growth_pattern.weakly_supervised import NetworkSettings, bag_of

ALGORITHM = Path(__file__).parents[1] / "algorithms" / "primary_growth_pattern"
SEED, UNLABELLED_SEED = 7, 1001
"""Of the patients: those that the shipped model learned from, and others."""
TILES = NetworkSettings()
REGIONS = NetworkSettings(instances="regions", side=4)
FOLDS = StudySettings().folds
FLAT = "tiles, a flat bag"

Scores = NDArray[np.float64]
"""Log odds of patients who were held out."""

# Learning without labels: slides whose regions are told apart in a step, and how far alike they may be.
SLIDES_A_STEP, STEPS, LEARNING_RATE, TEMPERATURE = 8, 400, 1e-3, 0.1
MIN_TILES = 4
"""Of a region, for two halves of it to say anything."""


@dataclass(frozen=True, eq=False)
class Described:
    """A patient of a cohort, the tiles of the slide, and the growth pattern."""

    row: Patient
    tiles: TileFeatures
    desmoplastic: bool


def main() -> None:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for slides, features and results; about 15 MB a patient")
    parser.add_argument("--patients", type=int, default=120, help="to learn from and be judged by, in folds")
    parser.add_argument("--unlabelled", type=int, default=40, help="other patients, for learning without labels")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    patients = described(arguments.patients, SEED, arguments.folder)
    others = described(arguments.unlabelled, UNLABELLED_SEED, arguments.folder)
    by_seed = [
        dict(read_by_seed(patients, others, seed, arguments.folder / "results")) for seed in range(arguments.seeds)
    ]
    found = {name: [of_seed[name] for of_seed in by_seed] for name in by_seed[0]}
    print_table(found, [patient.desmoplastic for patient in patients])


def print_table(found: Mapping[str, Sequence[Scores]], outcome: Sequence[bool]) -> None:
    """Print the AUC of each way by seed, and the difference of the mean over the seeds from the flat bag."""
    print(f"\n{len(outcome)} patients, {sum(outcome)} desmoplastic, {len(found[FLAT])} seeds\n")
    print(
        "| way | AUC, mean (smallest to largest) | all seeds together | difference from the flat bag |\n|---|---|---|---|"
    )
    flat = np.mean(found[FLAT], axis=0)
    for name, scores in found.items():
        by_seed = [auc(outcome, each) for each in scores]
        together = np.mean(scores, axis=0)
        apart = ""
        if name != FLAT:
            change = compare_aucs(outcome, together, flat).difference
            apart = f"{change.value:+.3f} [{change.lower:+.2f}, {change.upper:+.2f}]"
        spread = f"{np.mean(by_seed):.3f} ({min(by_seed):.3f} to {max(by_seed):.3f})"
        print(f"| {name} | {spread} | {auc(outcome, together):.3f} | {apart} |")


def described(patients: int, seed: int, folder: Path) -> list[Described]:
    """Paint small slides of simulated patients, and describe their tiles."""
    cohort = folder / f"seed_{seed}"
    simulate(patients, seed, cohort, small=True)
    rows = read_cohort(cohort / "cohort.csv", read_algorithm(ALGORITHM)).patients
    tiles = _each(functools.partial(_tiles, folder=folder / f"features_{seed}"), rows, "Describing")
    return [Described(row, each, growth_pattern(row)) for row, each in zip(rows, tiles, strict=True)]


def _each(work: Callable[[Patient], Any], rows: Sequence[Patient], description: str) -> list[Any]:
    """Do work on each patient, in processes of their own."""
    found = {}
    for patient, result in map_patients(work, rows, description=description):
        if isinstance(result, PreopError):
            raise result
        found[patient.name] = result
    return [found[row.name] for row in rows]


def _tiles(patient: Patient, *, folder: Path) -> TileFeatures:
    torch.set_num_threads(1)  # the patients share the cores already
    return FeatureStore(folder, _encoder()).features(patient.case.image_paths[SLIDE], threads=0)


@functools.cache
def _encoder() -> Encoder:
    return read_encoder(ALGORITHM / "model" / "encoder", device="cpu")


def read_by_seed(
    patients: Sequence[Described], others: Sequence[Described], seed: int, kept: Path
) -> Iterator[tuple[str, Scores]]:
    """Read bags of tiles and of regions by networks of the other folds; what was read is kept in a folder."""
    features = patients[0].tiles.values.shape[1]
    usual = StudySettings().training.model_copy(update={"seed": seed})
    # As many patients a step as of tiles.
    of_regions = usual.model_copy(update={"instances_per_batch": usual.instances_per_batch // REGIONS.side**2})
    of_tiles, from_labels = (functools.partial(make_network, reader, features) for reader in (TILES, REGIONS))
    on_top = functools.partial(make_network, TILES, REGIONS.width)

    @functools.cache
    def pretrained() -> nn.Module:
        return learn_without_labels(others, features, seed)

    def read_before() -> list[Bag]:
        return [_read_by(pretrained(), bag) for bag in bags_of(patients, REGIONS)]

    ways: dict[str, Callable[[], Scores]] = {
        FLAT: lambda: held_out(of_tiles, bags_of(patients, TILES), usual),
        "regions, from labels alone": lambda: held_out(from_labels, bags_of(patients, REGIONS), of_regions),
        "regions, first without labels": lambda: held_out(
            lambda: _beginning_with(pretrained(), features), bags_of(patients, REGIONS), of_regions
        ),
        "regions, without labels and left so": lambda: held_out(on_top, read_before(), of_regions),
    }
    for name, read in ways.items():
        file = kept / f"{name.replace(',', '').replace(' ', '_')}_{seed}.json"
        if not file.is_file():
            kept.mkdir(exist_ok=True)
            write_text(file, json.dumps(read().tolist()))
        yield name, np.array(json.loads(file.read_text(encoding="utf-8")))


def held_out(make: Callable[[], BagNetwork], bags: Sequence[Bag], settings: Settings) -> Scores:
    """Log odds of patients by networks of the other folds."""
    predictions = cross_validate(make, bags, settings, folds=FOLDS)
    chances = np.array([each.prediction.probability for each in predictions])
    return np.log(chances / (1 - chances))


def bags_of(patients: Sequence[Described], settings: NetworkSettings) -> list[Bag]:
    """Make the bags of patients."""
    return [
        bag_of(
            patient.row.name,
            [patient.tiles],
            settings,
            low=float(patient.desmoplastic),
            high=math.inf if patient.desmoplastic else 0.0,
        )
        for patient in patients
    ]


def learn_without_labels(patients: Sequence[Described], features: int, seed: int) -> nn.Module:
    """Teach an encoder of regions which halves of regions belong together, among those of a few slides at a time."""
    slides = [
        tuple(torch.from_numpy(part[enough]) for part in (regions.values.astype(np.float32), regions.present))
        for regions in (in_regions([patient.tiles], REGIONS.side) for patient in patients)
        if (enough := regions.present.sum(axis=1) >= MIN_TILES).any()
    ]
    with repeatable(seed):
        encoder = make_reader(REGIONS, features).train()
        optimizer = torch.optim.AdamW(encoder.parameters(), lr=LEARNING_RATE)
        for _ in range(STEPS):
            chosen = torch.randperm(len(slides))[:SLIDES_A_STEP].tolist()
            values, present = (torch.cat([slides[number][part] for number in chosen]) for part in (0, 1))
            first, second = (functional.normalize(encoder(values, half), dim=1) for half in _halves(present))
            alike = first @ second.T / TEMPERATURE
            own = torch.arange(len(alike))
            loss = functional.cross_entropy(alike, own) + functional.cross_entropy(alike.T, own)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return encoder.eval()


def _halves(present: Tensor) -> tuple[Tensor, Tensor]:
    """Part the tiles of each region (r, places) in two halves at random."""
    order = torch.rand(present.shape).masked_fill(~present, 2).argsort(dim=1).argsort(dim=1)
    first = order < present.sum(dim=1, keepdim=True) // 2
    return first, present & ~first


def _beginning_with(encoder: nn.Module, features: int) -> BagNetwork:
    """Make a network whose encoder has learned already, with a new head."""
    reader = make_reader(REGIONS, features)
    reader.load_state_dict(encoder.state_dict())
    return BagNetwork(reader, make_head(REGIONS.head, REGIONS.width))


@torch.no_grad()
def _read_by(encoder: nn.Module, bag: Bag) -> Bag:
    """Make a bag of what an encoder says of each region."""
    tiles, present = bag.instances
    return Bag(bag.name, (encoder(tiles.float(), present),), low=bag.low, high=bag.high)


if __name__ == "__main__":
    main()
