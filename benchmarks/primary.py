"""The score card of the primary tumour beside its truth, and the time it takes.

``python benchmarks/primary.py items FOLDER`` paints slides of a centre whose stain was not in training into FOLDER (those that
are there are not painted again), measures every item through the networks, and prints the agreement with the truth of each
slide. ``--note`` writes it down beside the networks, so that items that do not agree are not assessed. ``further`` does so on
slides whose tumours have what those of cohorts and trainings lack, parts without glands, wider lumens and a lymphoid reaction at
the front; ``--note`` writes down the items of which that is the truth.

``python benchmarks/primary.py appearance FOLDER`` measures stain and texture of the slides of a cohort in FOLDER (``preop
simulate``) and of eight of the other centre, which it paints.
``--note`` writes the ranges down beside the networks: on slides outside of them items are assessed by what was found on real
tissue alone (``benchmarks/histology.py``).

``python benchmarks/primary.py weights FOLDER`` compares what the items of the card are worth by their weights: counted, by maximum
likelihood with Firth's correction (the weights of the shipped model), and drawn towards equal ones as the training does now,
with an observer who knows the simulation beside them. Items are those that simulated tumours are made of, without the margin,
which is not assessed; five seeds of 120 patients to learn from, and 4,000 to test, of the same seed for all.

``python benchmarks/primary.py speed FOLDER`` times tissue mask, networks and card on a slide of 16,384 x 16,384 pixels of 0.25
micrometres.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy.stats import rankdata

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

from preop.slides import Slide, find_tissue, write_slide
from preop.statistics import auc, intraclass_correlation, logistic_regression
from preop.study import Range
from primary_growth_pattern.annotations import SLIDE_FILE
from primary_growth_pattern.appearance import MEASURES, appearance_of, ranges_of, unlike
from primary_growth_pattern.card_model import fit_card_model
from primary_growth_pattern.definitions import CellKind
from primary_growth_pattern.findings import Cells, ItemAgreement, TissueMap
from primary_growth_pattern.networks import Networks
from primary_growth_pattern.score_card import DEFINITIONS, Item, ScoreCard, score
from primary_growth_pattern.simulation import (
    OUTCOME,
    SLIDE_PX,
    SMALL_SLIDE_PX,
    SimulatedPatient,
    draw_patient,
    unfavourable,
)
from primary_growth_pattern.simulation.anatomy import MAP_UM, Cell
from primary_growth_pattern.simulation.card_truth import CardTruth
from primary_growth_pattern.simulation.disease import draw_biology
from primary_growth_pattern.simulation.looks import PIXEL_UM
from primary_growth_pattern.simulation.scan import strips
from primary_growth_pattern.tissue import load_torch_networks, measure, note_figures, readable

UNSEEN_CENTRE = "D"
SEED, FURTHER_SEED = 7300, 7310
FURTHER = ("gland_formation", "front_lymphocytes")
"""Items that vary enough only where tumours have further findings."""
APPEARANCE_SEED = 7400
UNSEEN_SLIDES = 8
SIDE_PX = 6144  # 3.1 mm: a field of the hot spot fits several times, and 40 slides are painted in minutes
WEIGHT_SEEDS = range(7500, 7505)
LEARNED_FROM, TEST_PATIENTS = 120, 4000
ITEM_OF = {
    "stroma_high": "tumour_stroma_ratio",
    "high_budding": "budding",
    "few_lymphocytes": "lymphocytes",
    "no_aggregates": "crohn_like",
    "immature_stroma": "stroma_maturity",
}
SCORED = tuple(ITEM_OF.values())
NETWORKS = Path(__file__).parents[1] / "algorithms" / "primary_growth_pattern" / "model" / "networks"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("items", "further", "appearance", "weights", "speed"))
    parser.add_argument("folder", type=Path, help="for the slides")
    parser.add_argument("--networks", type=Path, default=NETWORKS)
    parser.add_argument("--slides", type=int, default=40)
    parser.add_argument("--note", action="store_true", help="write the agreement down beside the networks")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    if arguments.what == "weights":
        compare_weights()
        return
    networks = load_torch_networks(arguments.networks)
    if arguments.what == "speed":
        time_one(arguments.folder, networks)
        return
    if arguments.what == "appearance":
        ranges = look(arguments.folder)
        if arguments.note:
            note_figures(arguments.networks, validated_appearance=ranges)
        return
    further = arguments.what == "further"
    agreement = compare(arguments.folder, arguments.slides, networks, further=further)
    if arguments.note:
        known = networks.info.agreement
        new = {name: figures for name, figures in agreement.items() if (name in FURTHER) is further}
        note_figures(
            arguments.networks,
            agreement={name: (known | new)[name] for name in DEFINITIONS if name in known | new},
            agreement_measured_on=f"{arguments.slides} simulated slides of centre {UNSEEN_CENTRE}, seed {SEED}; those of "
            f"{' and '.join(DEFINITIONS[name].title.lower() for name in FURTHER)} on as many with further findings, seed "
            f"{FURTHER_SEED} (benchmarks/primary.py)",
        )


def compare(folder: Path, count: int, networks: Networks, *, further: bool) -> dict[str, ItemAgreement]:
    """Measure every slide, print the agreement of each item, and give it."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in DEFINITIONS}
    for truth, card in cards(folder, count, networks, further=further):
        for name, value in truth.items():
            measured = card.item(name).value
            if measured is not None and not math.isnan(value):
                found[name].append((value, measured))
    print("\n| item | slides | ICC | Spearman | mean true | mean found | on the same side of the cut-off |")
    print("|---|---|---|---|---|---|---|")
    return {name: agreement_of(name, np.array(pairs)) for name, pairs in found.items()}


def agreement_of(name: str, pairs: NDArray[np.float64]) -> ItemAgreement:
    """Compare true and measured values (n, 2) of an item, and print a line of the table."""
    true, measured = pairs.T
    agreement = ItemAgreement(
        icc=round(float(intraclass_correlation(pairs.T[:, :, None])[0]), 4),
        spearman=round(float(np.corrcoef(rankdata(true), rankdata(measured))[0, 1]), 4),
        slides=len(pairs),
    )
    definition = DEFINITIONS[name]
    cut_off = definition.cut_off
    sides = "" if cut_off is None else f"{np.mean((true >= cut_off) == (measured >= cut_off)):.0%}"
    print(
        f"| {definition.title} | {len(pairs)} | {agreement.icc:.3f} | {agreement.spearman:.3f} | {true.mean():.3g} | "
        f"{measured.mean():.3g} | {sides} |"
    )
    return agreement


def cards(
    folder: Path, count: int, networks: Networks, *, further: bool
) -> Iterator[tuple[dict[str, float], ScoreCard]]:
    """True items and the measured card of each slide."""
    seed = FURTHER_SEED if further else SEED
    for number in range(count):
        patient = draw_patient(seed, number, shape_px=(SIDE_PX, SIDE_PX), centre=UNSEEN_CENTRE, further=further)
        path = folder / f"{seed}_{number:03d}.tif"
        if not path.exists():
            partial = path.with_suffix(".partial.tif")
            patient.write_slide(partial)
            partial.replace(path)
        with Slide(path) as slide:
            card = score(*measure(slide, readable(find_tissue(slide)), networks))
        truth = items_of(patient)
        print(
            number, *(f"{name} {value:.3g}/{_text(card.item(name).value)}" for name, value in truth.items()), flush=True
        )
        yield truth, card


def look(folder: Path) -> dict[str, Range]:
    """Measure what the slides of a cohort look like, print the range of each measure, and how many lie outside the others'."""
    found = []
    for path in track([*sorted(folder.rglob(SLIDE_FILE)), *unseen(folder)], "Slides"):
        with Slide(path) as slide:
            found.append(appearance_of(slide, readable(find_tissue(slide))))
    ranges = ranges_of(found)
    print("\n".join(f"{MEASURES[name]}: {expected}" for name, expected in ranges.items()))
    apart = sum(
        unlike(each, ranges_of([*found[:number], *found[number + 1 :]])) is not None
        for number, each in enumerate(found)
    )
    print(f"{apart} of {len(found)} slides lie outside the ranges of all others")
    return ranges


def unseen(folder: Path) -> Iterator[Path]:
    """Paint small slides of the centre that was not in training."""
    for number in range(UNSEEN_SLIDES):
        path = folder / f"{APPEARANCE_SEED}_{number:03d}.tif"
        if not path.exists():
            partial = path.with_suffix(".partial.tif")
            draw_patient(APPEARANCE_SEED, number, shape_px=(SMALL_SLIDE_PX,) * 2, centre=UNSEEN_CENTRE).write_slide(
                partial
            )
            partial.replace(path)
        yield path


def items_of(patient: SimulatedPatient) -> dict[str, float]:
    """Truth of each item; what the simulation does not state is measured on the true tissue map, lumens and lymphocytes."""
    truth, architecture = patient.truth, patient.architecture
    points = architecture.cells_um[architecture.kinds == Cell.LYMPHOCYTE].astype(np.float32)
    lymphocytes = Cells(points, np.full(len(points), CellKind.LYMPHOCYTE, np.uint8), np.ones(len(points), np.float32))
    true_card = score(TissueMap(architecture.labels, MAP_UM, clear=architecture.lumens), lymphocytes)
    on_the_map = {name: true_card.item(name).value for name in (*FURTHER, "margin")}
    return {
        "tumour_stroma_ratio": truth.tumour_stroma_ratio,
        "budding": truth.buds,
        "lymphocytes": truth.til_per_mm2,
        "crohn_like": truth.aggregates,
        "stroma_maturity": truth.immature_share + truth.intermediate_share,
        "mucinous_share": truth.mucinous_share,
        "necrosis": truth.necrosis_share,
        **{name: math.nan if value is None else value for name, value in on_the_map.items()},
    }


def compare_weights() -> None:
    """Learn weights of items by each way, and print the AUC of patients of whom nothing was learned."""
    test, outcomes, chances = draw_cards(WEIGHT_SEEDS[-1] + 1, TEST_PATIENTS)
    areas: dict[str, list[float]] = {"counted": [], "Firth": [], "drawn towards equal ones": []}
    counts = [-len(card.unfavourable) for card in test]
    flags = np.array([[card.finding(item) for item in SCORED] for card in test], dtype=float)
    for seed in WEIGHT_SEEDS:
        cards, outcome, _ = draw_cards(seed, LEARNED_FROM)
        values = np.array([[card.finding(item) for item in SCORED] for card in cards], dtype=float)
        firth = logistic_regression(outcome, values, SCORED, firth=True)
        weights = np.log([variable.odds_ratio.value for variable in firth.variables])
        model = fit_card_model(cards, outcome)
        areas["counted"].append(auc(outcomes, counts))
        areas["Firth"].append(auc(outcomes, flags @ weights))
        areas["drawn towards equal ones"].append(auc(outcomes, [model.predict(card) for card in test]))
    print(f"{LEARNED_FROM} patients to learn from, {TEST_PATIENTS} to test, {len(WEIGHT_SEEDS)} seeds\n")
    print("| weights | AUC, mean (smallest to largest) |\n|---|---|")
    for name, found in areas.items():
        print(f"| {name} | {np.mean(found):.4f} ({min(found):.4f} to {max(found):.4f}) |")
    print(f"| observer who knows the simulation | {auc(outcomes, chances):.4f} |")


def draw_cards(seed: int, patients: int) -> tuple[list[ScoreCard], NDArray[np.int64], NDArray[np.float64]]:
    """Draw cards as the simulation draws tumours, with the growth pattern of each and its true probability."""
    rng = np.random.default_rng(seed)
    cards, chances = [], []
    for _ in range(patients):
        biology = draw_biology(rng)
        flags = unfavourable(
            CardTruth(
                tumour_stroma_ratio=biology.stroma_share,
                buds=biology.buds,
                hot_spot_y_um=0.0,
                hot_spot_x_um=0.0,
                til_per_mm2=biology.til_per_mm2,
                intraepithelial_til_per_mm2=0.0,
                aggregates=biology.aggregates,
                large_aggregates=0,
                maturity=biology.maturity,
                immature_share=0.0,
                intermediate_share=0.0,
                mucinous_share=biology.mucus_share,
                necrosis_share=biology.necrosis_share,
                margin=biology.margin,
            )
        )
        chances.append(OUTCOME.probability(flags))
        cards.append(
            ScoreCard(items=tuple(_item(ITEM_OF[name], bool(flag)) for name, flag in flags.items() if name in ITEM_OF))
        )
    known = np.array(chances)
    return cards, (rng.random(patients) < known).astype(np.int64), known


def _item(name: str, unfavourable: bool) -> Item:  # noqa: FBT001
    definition = DEFINITIONS[name]
    return Item(
        name=name,
        title=definition.title,
        value=0.0,
        unit=definition.unit,
        category=None,
        cut_off=definition.cut_off,
        rule=definition.rule,
        source=definition.source,
        unfavourable=unfavourable,
        not_assessed=None,
        measures={},
        regions=(),
    )


def time_one(folder: Path, networks: Networks) -> None:
    """Time each step on a slide of 4.1 x 4.1 mm, and print a table."""
    path = folder / "16384.tif"
    if not path.exists():
        write_fine_slide(path)
    seconds, processor = [time.perf_counter()], [time.process_time()]

    def lap() -> None:
        seconds.append(time.perf_counter())
        processor.append(time.process_time())

    with Slide(path) as slide:
        mask = readable(find_tissue(slide))
        lap()
        found = measure(slide, mask, networks)
        lap()
    score(*found)
    lap()
    print("| step | seconds | processor seconds |\n|---|---|---|")
    for name, wall, cpu in zip(
        ("tissue mask", "networks", "score card"), np.diff(seconds), np.diff(processor), strict=True
    ):
        print(f"| {name} | {wall:.1f} | {cpu:.1f} |")
    print(f"\nPeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def write_fine_slide(path: Path) -> None:
    """Paint a slide, each pixel of 0.5 micrometres as four."""
    patient = draw_patient(SEED, 0, centre=UNSEEN_CENTRE)
    painted = strips(patient.architecture, patient.facts.stain, SEED)
    fine = (strip.repeat(2, axis=0).repeat(2, axis=1) for strip in painted)
    write_slide(fine, (2 * SLIDE_PX, 2 * SLIDE_PX), PIXEL_UM / 2, path)


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


if __name__ == "__main__":
    main()
