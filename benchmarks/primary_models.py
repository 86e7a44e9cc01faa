"""What each way of reading the primary tumour is worth: ``python benchmarks/primary_models.py FOLDER``.

Slides of the simulated patients that the shipped model learned from are painted into FOLDER, scored and described by its networks
and its encoder, once; what is there is not made again. In the same folds, with several seeds for folds and networks, patients
who were held out are predicted from

- the card: its unfavourable items counted, with weights by Firth's correction as in the model before, and with weights that are
  drawn towards equal ones; and from the card as it is known to be, with the margin, which is not assessed;
- tiles in a flat bag, as in the shipped model;
- regions, squares of half a millimetre, whose encoder learns from the patients' labels alone;
- regions whose encoder first learned without labels, on other patients, and learns on from the labels;
- the same, but left as it was, so that labels teach the head alone, as in HIPT (Chen 2022, doi 10.1109/CVPR52688.2022.01567);
- card and tiles combined.

Without labels an encoder learns to find, of the halves of many regions, the two that belong together (InfoNCE, van den Oord 2018,
arXiv 1807.03748), where HIPT has a student that follows its teacher. The observer of the last row knows the items and their
weights: all that the growth pattern was drawn from shows on the slide, so that this is what an image allows. The last
column compares the mean log odds over the seeds with those of the default.
"""

from __future__ import annotations

import argparse
import csv
import functools
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

from preop.atomic import write_text
from preop.cohort import map_patients, read_cohort
from preop.errors import PreopError
from preop.folders import open_resumable_run
from preop.grandchallenge.algorithm import read_algorithm
from preop.mil import Bag, BagNetwork, Settings, cross_validate, make_head, stratified_folds
from preop.repeatable import repeatable
from preop.slides import FeatureStore, TileFeatures, in_regions, read_encoder
from preop.statistics import auc, compare_aucs, logistic_regression, oracle_auc
from primary_growth_pattern.card_model import SLIDE_ITEMS, fit_card_model
from primary_growth_pattern.examination import SLIDE
from primary_growth_pattern.readers import make_network, make_reader
from primary_growth_pattern.score_card import ScoreCard
from primary_growth_pattern.simulation import simulate
from primary_growth_pattern.simulation.card_truth import CardTruth
from primary_growth_pattern.simulation.cohort import unfavourable
from primary_growth_pattern.training import TRUTH_FILE, prepare
from primary_growth_pattern.training import Settings as StudySettings
from primary_growth_pattern.weakly_supervised import NetworkSettings, bag_of

ALGORITHM = Path(__file__).parents[1] / "algorithms" / "primary_growth_pattern"
SEED, UNLABELLED_SEED = 7, 1001
"""Of the patients: those that the shipped model learned from, and others."""
TILES = NetworkSettings()
REGIONS = NetworkSettings(instances="regions", side=4)
FOLDS = StudySettings().folds
COUNTED = "card: unfavourable items, counted"
BEFORE, CARD, TRUE_CARD = (
    "card: weights by Firth's correction",
    "card: weights drawn towards equal ones",
    "card as it is known to be",
)
FLAT = "tiles, a flat bag"
COMBINED_BEFORE, COMBINED = "previous default: both combined, weights by Firth's correction", "default: both combined"

Scores = NDArray[np.float64]
"""Log odds of patients who were held out."""

# Learning without labels: slides whose regions are told apart in a step, and how far alike they may be.
SLIDES_A_STEP, STEPS, LEARNING_RATE, TEMPERATURE = 8, 400, 1e-3, 0.1
MIN_TILES = 4
"""Of a region, for two halves of it to say anything."""


@dataclass(frozen=True, eq=False)
class Described:
    """A patient of a cohort.

    Attributes
    ----------
    name
        In the cohort.
    tiles
        Of the slide.
    card
        As the networks measure it.
    items
        Which of its items are unfavourable in truth, 1 or 0.
    chance
        True probability of desmoplastic growth.
    desmoplastic
        The growth pattern.
    """

    name: str
    tiles: TileFeatures
    card: ScoreCard
    items: Sequence[float]
    chance: float
    desmoplastic: bool


def main() -> None:
    """Compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for slides, features and results; about 15 MB a patient")
    parser.add_argument("--patients", type=int, default=120, help="to learn from and be judged by, in folds")
    parser.add_argument("--unlabelled", type=int, default=40, help="other patients, for learning without labels")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    # What was learned from other patients must not be taken for what is asked; further seeds may be.
    asked = {"patients": arguments.patients, "unlabelled": arguments.unlabelled}
    open_resumable_run(arguments.folder, {**asked, "settings": StudySettings().model_dump_json()})
    patients = described(arguments.patients, SEED, arguments.folder)
    others = described(arguments.unlabelled, UNLABELLED_SEED, arguments.folder)
    read = functools.partial(read_by_seed, patients=patients, others=others, kept=arguments.folder / "results")
    found: dict[int, dict[str, Scores]] = {}
    for seed, result in map_patients(read, range(arguments.seeds), description="Learning"):
        if isinstance(result, PreopError):
            raise result
        found[seed] = result
    by_seed = [found[seed] for seed in sorted(found)]
    print_table({name: [of_seed[name] for of_seed in by_seed] for name in by_seed[0]}, patients)


def print_table(found: Mapping[str, Sequence[Scores]], patients: Sequence[Described]) -> None:
    """Print the AUC of each way by seed, and the difference of the mean over the seeds from the default."""
    outcome = [each.desmoplastic for each in patients]
    print(f"\n{len(outcome)} patients, {sum(outcome)} desmoplastic, {len(found[COMBINED])} seeds\n")
    print(
        "| way | AUC, mean (smallest to largest) | all seeds together | difference from the default |\n|---|---|---|---|"
    )
    counted = [-len(each.card.unfavourable) for each in patients]
    print(f"| {COUNTED} | {auc(outcome, counted):.3f} | | |")
    default = np.mean(found[COMBINED], axis=0)
    for name, scores in found.items():
        by_seed = [auc(outcome, each) for each in scores]
        together = np.mean(scores, axis=0)
        apart = ""
        if name != COMBINED:
            change = compare_aucs(outcome, together, default).difference
            apart = f"{change.value:+.3f} [{change.lower:+.2f}, {change.upper:+.2f}]"
        spread = f"{np.mean(by_seed):.3f} ({min(by_seed):.3f} to {max(by_seed):.3f})"
        print(f"| {name} | {spread} | {auc(outcome, together):.3f} | {apart} |")
    chances = [each.chance for each in patients]
    print(
        f"| observer who knows the simulation | {auc(outcome, chances):.3f}; {oracle_auc(chances):.3f} expected | | |"
    )


def described(patients: int, seed: int, folder: Path) -> list[Described]:
    """Paint small slides of simulated patients, score them, and describe their tiles."""
    place = folder / f"seed_{seed}"
    simulate(patients, seed, place, small=True)
    cohort = read_cohort(place / "cohort.csv", read_algorithm(ALGORITHM))
    prepared, folders = prepare(cohort, ALGORITHM / "model", TILES, folder / f"prepared_{seed}")
    with (place / TRUTH_FILE).open(newline="", encoding="utf-8") as file:
        truths = {row["patient"]: row for row in csv.DictReader(file)}
    encoder = read_encoder(ALGORITHM / "model" / "encoder", device="cpu")
    found = []
    for each in prepared:
        truth, case = truths[each.patient.name], each.patient.case
        tiles = FeatureStore(folders[each.patient.name], encoder).features(case.image_paths[SLIDE], threads=0)
        items = [*unfavourable(_card_of(truth)).values()]
        chance = float(truth["oracle_probability"])
        found.append(Described(each.patient.name, tiles, each.card, items, chance, each.desmoplastic))
    return found


def _card_of(row: Mapping[str, str]) -> CardTruth:
    """Items of a row of the true cards; what is empty is no number."""
    return TypeAdapter(CardTruth).validate_python({name: value or "nan" for name, value in row.items()})


def read_by_seed(
    seed: int, *, patients: Sequence[Described], others: Sequence[Described], kept: Path
) -> dict[str, Scores]:
    """Read cards and bags by models of the other folds; what networks say is kept in a folder."""
    torch.set_num_threads(1)
    networks = dict(read_by_networks(patients, others, seed, kept))
    folds = stratified_folds(bags_of(patients, TILES), FOLDS, seed + 1).values()  # those of the networks
    known, items = (
        np.array([[each.card.finding(item) for item in SLIDE_ITEMS] for each in patients], dtype=np.float64),
        np.array([each.items for each in patients]),
    )
    cards = {
        BEFORE: _by_firth(known, patients, folds),
        CARD: _by_cards(patients, folds),
        TRUE_CARD: _by_firth(items, patients, folds),
    }
    return {
        **cards,
        **networks,
        COMBINED_BEFORE: (cards[BEFORE] + networks[FLAT]) / 2,
        COMBINED: (cards[CARD] + networks[FLAT]) / 2,
    }


def _by_cards(patients: Sequence[Described], folds: Iterable[Sequence[int]]) -> Scores:
    """Log odds by cards whose weights were learned on the other folds as in training."""
    scores = np.empty(len(patients))
    for held_out in folds:
        others = [each for row, each in enumerate(patients) if row not in set(held_out)]
        model = fit_card_model([each.card for each in others], [each.desmoplastic for each in others])
        chances = np.array([model.predict(patients[row].card) for row in held_out])
        scores[held_out] = np.log(chances / (1 - chances))
    return scores


def _by_firth(items: NDArray[np.float64], patients: Sequence[Described], folds: Iterable[Sequence[int]]) -> Scores:
    """Log odds by items (n, k) whose weights were learned on the other folds by Firth's correction.

    An item that was not assessed is set to the share of unfavourable ones among those that are learned from.
    """
    scores = np.empty(len(patients))
    for held_out in folds:
        others = np.setdiff1d(np.arange(len(patients)), held_out)
        seen = ~np.isnan(items[others])
        shares = np.where(seen, items[others], 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
        filled = np.where(np.isnan(items), shares, items)
        varying = (shares > 0) & (shares < 1)
        names = [str(column) for column in np.flatnonzero(varying)]
        outcome = [patients[row].desmoplastic for row in others]
        model = logistic_regression(outcome, filled[others][:, varying], names, firth=True)
        weights = np.log([variable.odds_ratio.value for variable in model.variables])
        scores[held_out] = model.intercept + filled[held_out][:, varying] @ weights
    return scores


def read_by_networks(
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
            kept.mkdir(parents=True, exist_ok=True)
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
            patient.name,
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
