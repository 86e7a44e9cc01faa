"""Simulated patients of this study: the slide of a primary tumour, every item of its score card, and the growth pattern.

What a tumour is like is drawn here; ``architecture.py`` lays it out, ``card_truth.py`` measures what came of it, and
``painting.py`` stains and scans it. The growth pattern depends on the items of the card and on nothing else, so that the
best that any reader can reach is known. Nothing learned from these patients says anything about real ones.
"""

from __future__ import annotations

import csv
import functools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

import preop
from preop.cohort import map_patients, write_source
from preop.errors import InvalidInputError
from preop.folders import open_resumable_run
from preop.imaging import Geometry, Image, write_tiff
from preop.simulation import LogisticOutcome
from preop.slides import write_slide
from preop.slides.tiling import UM_PER_MM
from preop.statistics import oracle_auc
from preop.study import DataSource

from .annotations import POINT_COLUMNS, POINTS_FILE, SLIDE_FILE, TISSUE_FILE
from .architecture import MAP_UM, Architecture, Biology, Cell, draw_architecture
from .card_truth import CardTruth, measure
from .definitions import Margin, Maturity
from .painting import MAP_PX, PIXEL_UM, Stain, strips

Progress = Callable[[int, int], None]

SLIDE = "primary-tumour-slide"
TRUTH_FILE = "truth.json"
SLIDE_PX = 8192
SMALL_SLIDE_PX = 4096

SOURCE = DataSource(
    description="Simulated slides of colorectal cancer in H&E, with every item of the score card known",
    source="preop simulate primary_growth_pattern",
    citation="none",
    licence="Apache-2.0",
    simulated=True,
)
COLUMNS = ("patient", SLIDE, "centre", "desmoplastic")

# Where a centre is not told, a slide comes from the first three; the fourth is for testing on a stain that was never seen.
CENTRES = {
    "A": Stain(ink="blue"),
    "B": Stain(haematoxylin=1.2, eosin=0.82, turn=(0.10, -0.04), white=(236, 237, 241), ink="green"),
    "C": Stain(haematoxylin=0.85, eosin=1.15, turn=(-0.06, 0.08), white=(247, 246, 243), gamma=1.05, ink="black"),
    "D": Stain(haematoxylin=1.05, eosin=0.70, turn=(0.16, 0.06), white=(240, 234, 240), gamma=0.95, ink="green"),
}
SEEN_CENTRES = ("A", "B", "C")
_SLIDE_TO_SLIDE = 0.06  # standard deviation of the strength of a dye within a centre

# Each unfavourable feature is commoner in patients without desmoplastic metastases (docs/slides.md, "Simulated slides").
OUTCOME = LogisticOutcome(
    intercept=2.0,
    coefficients={
        "stroma_high": -0.8,
        "high_budding": -0.9,
        "few_lymphocytes": -1.1,
        "no_aggregates": -0.9,
        "immature_stroma": -0.9,
        "infiltrating": -0.6,
    },
)
STROMA_HIGH, HIGH_BUDDING, FEW_LYMPHOCYTES_PER_MM2 = 0.5, 10, 17.0


@dataclass(frozen=True)
class PatientFacts:
    """A patient before anything is drawn.

    Attributes
    ----------
    centre
        Where the slide is stained and scanned.
    stain
        Of this slide.
    biology
        What the tumour is meant to be like.
    artefacts
        Whether the slide has a fold, ink and a part out of focus.
    """

    centre: str
    stain: Stain
    biology: Biology
    artefacts: bool


@dataclass(frozen=True, eq=False)
class SimulatedPatient:
    """A patient whose slide can be painted.

    Attributes
    ----------
    probability, desmoplastic
        Of desmoplastic metastases, given the items of the card; and what was drawn by it.
    """

    facts: PatientFacts
    architecture: Architecture
    truth: CardTruth
    probability: float
    desmoplastic: bool
    seed: int

    def write_slide(self, path: Path) -> None:
        """Paint the slide as the platform stores it."""
        height, width = (side * MAP_PX for side in self.architecture.labels.shape)
        write_slide(strips(self.architecture, self.facts.stain, self.seed), (height, width), PIXEL_UM, path)


def draw_facts(seed: int, number: int, *, centre: str | None = None) -> PatientFacts:
    """Draw a patient's tumour and slide; a centre outside the usual ones can be named."""
    rng = np.random.default_rng([seed, number, 0])
    place = str(rng.choice(SEEN_CENTRES)) if centre is None else centre
    stain = CENTRES[place]
    factors = 1 + _SLIDE_TO_SLIDE * rng.standard_normal(2)
    varied = replace(stain, haematoxylin=stain.haematoxylin * factors[0], eosin=stain.eosin * factors[1])
    return PatientFacts(place, varied, draw_biology(rng), bool(rng.random() < 0.7))


def draw_biology(rng: np.random.Generator) -> Biology:
    """Draw a tumour: aggressive ones tend to have each unfavourable feature, but none has them for sure."""
    aggressive = rng.standard_normal()

    def latent() -> float:
        return float(0.5 * aggressive + np.sqrt(0.75) * rng.standard_normal())

    maturities: tuple[Maturity, ...] = ("mature", "intermediate", "immature")
    margins: tuple[Margin, ...] = ("pushing", "infiltrating")
    aggregates = int(min(rng.poisson(np.exp(0.75 - 0.6 * latent())), 8))
    large = aggregates > 1 and rng.random() < 0.2
    return Biology(
        stroma_share=float(np.clip(0.5 + 0.15 * latent(), 0.2, 0.8)),
        maturity=maturities[int(np.searchsorted((-0.1, 0.65), latent()))],
        margin=margins[int(latent() > 0)],
        buds=int(min(rng.poisson(np.exp(1.9 + 0.7 * latent())), 35)),
        til_per_mm2=float(np.clip(np.exp(np.log(18) - 0.8 * latent()), 2, 150)),
        aggregates=aggregates,
        largest_aggregate_mm=float(rng.uniform(1.0, 1.3) if large else rng.uniform(0.25, 0.6)),
        mucus_share=float(rng.uniform(0.05, 0.65)) if rng.random() < 0.35 else 0.0,
        necrosis_share=float(rng.uniform(0.0, 0.12)),
    )


def draw_patient(
    seed: int, number: int = 0, *, shape_px: tuple[int, int] = (SLIDE_PX, SLIDE_PX), centre: str | None = None
) -> SimulatedPatient:
    """Simulate one patient.

    Parameters
    ----------
    shape_px
        Height and width of the slide, in pixels of 0.5 micrometres; multiples of 8.
    centre
        One of ``CENTRES``; drawn from the first three if not given.
    """
    facts = draw_facts(seed, number, centre=centre)
    height, width = (side // MAP_PX for side in shape_px)
    rng = np.random.default_rng([seed, number, 1])
    architecture = draw_architecture(rng, facts.biology, (height, width), artefacts=facts.artefacts)
    truth = measure(architecture, facts.biology)
    probability = OUTCOME.probability(unfavourable(truth))
    drawn = np.random.default_rng([seed, number, 2]).random() < probability
    return SimulatedPatient(facts, architecture, truth, probability, bool(drawn), seed * 100_003 + number)


def unfavourable(truth: CardTruth) -> Mapping[str, float]:
    """Say which items are unfavourable, 1 or 0."""
    return {
        "stroma_high": float(truth.tumour_stroma_ratio > STROMA_HIGH),
        "high_budding": float(truth.buds >= HIGH_BUDDING),
        "few_lymphocytes": float(truth.til_per_mm2 < FEW_LYMPHOCYTES_PER_MM2),
        "no_aggregates": float(truth.aggregates == 0),
        "immature_stroma": float(truth.maturity != "mature"),
        "infiltrating": float(truth.margin == "infiltrating"),
    }


def simulate(patients: int, seed: int, output: Path, progress: Progress | None = None, *, small: bool = False) -> None:
    """Write a simulated cohort: ``cohort.csv``, its slides, the truth of each, and a README.

    An interrupted run can be repeated: slides that are complete are not made again.

    Parameters
    ----------
    patients
        How many, 2 or more.
    seed
        The same seed gives the same files.
    output
        A new or empty folder, or one that the same call began.
    progress
        Called with the number of patients done and their total.
    small
        Small slides for tests and examples.

    Raises
    ------
    InvalidInputError
        If there are fewer than 2 patients, or the seed is negative.
    InvalidOutputError
        If the folder holds anything else, or cannot be written.
    """
    if patients < 2 or seed < 0:
        raise InvalidInputError(
            f"{patients} patients with seed {seed} were asked for; expected 2 patients or more and a seed of 0 or more."
        )
    settings: dict[str, str | int | float | bool] = {
        "algorithm": "primary_growth_pattern",
        "patients": patients,
        "seed": seed,
        "small": small,
    }
    open_resumable_run(output, settings | {"preop": preop.__version__})
    names = [f"simulated_{number + 1:0{len(str(patients))}d}" for number in range(patients)]
    folders = [(number, output / "images" / name) for number, name in enumerate(names)]
    write = functools.partial(_write_patient, seed=seed, small=small)
    for done, (_, error) in enumerate(map_patients(write, folders, description=None), start=1):
        if error is not None:
            raise error
        if progress is not None:
            progress(done, patients)
    truths = [
        {"patient": name, **json.loads((folder / TRUTH_FILE).read_text())}
        for name, (_, folder) in zip(names, folders, strict=True)
    ]
    rows = [
        {"patient": row["patient"], SLIDE: f"images/{row['patient']}/{SLIDE_FILE}"}
        | {"centre": row["centre"], "desmoplastic": row["desmoplastic"]}
        for row in truths
    ]
    _write_readme(output / "README.md", truths, seed)
    _write_csv(output / "card_truth.csv", tuple(truths[0]), truths)
    _write_csv(output / "cohort.csv", COLUMNS, rows)
    write_source(SOURCE, output / "cohort.csv")


def _write_patient(place: tuple[int, Path], *, seed: int, small: bool) -> None:
    number, folder = place
    if (folder / TRUTH_FILE).exists():
        return
    side = SMALL_SLIDE_PX if small else SLIDE_PX
    patient = draw_patient(seed, number, shape_px=(side, side))
    patient.write_slide(folder / SLIDE_FILE)
    write_tiff(tissue_map(patient.architecture), folder / TISSUE_FILE)
    _write_csv(folder / POINTS_FILE, POINT_COLUMNS, _points(patient.architecture))
    known = {name: _rounded(value) for name, value in asdict(patient.truth).items()}
    outcome = {"desmoplastic": int(patient.desmoplastic), "oracle_probability": round(patient.probability, 6)}
    # Last, for it says that the others are complete.
    (folder / TRUTH_FILE).write_text(json.dumps({"centre": patient.facts.centre} | known | outcome, indent=2) + "\n")


def tissue_map(architecture: Architecture) -> Image:
    """Give the true tissue map, in millimetres."""
    labels = architecture.labels
    return Image(labels, Geometry.axis_aligned(labels.shape, (MAP_UM / UM_PER_MM,) * 2))


def _points(architecture: Architecture) -> Iterable[dict[str, Any]]:
    """Lymphocytes and tumour buds."""
    for y, x in architecture.cells_um[architecture.kinds == Cell.LYMPHOCYTE].round(1).tolist():
        yield {"kind": "lymphocyte", "y_um": y, "x_um": x, "cells": 1}
    for (y, x), size in zip(architecture.buds_um.round(1).tolist(), architecture.bud_sizes.tolist(), strict=True):
        yield {"kind": "bud", "y_um": y, "x_um": x, "cells": size}


def _rounded(value: Any) -> Any:
    return None if value != value else round(value, 6) if isinstance(value, float) else value  # noqa: PLR0124


def _write_csv(path: Path, columns: tuple[str, ...], rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    partial.replace(path)


def _write_readme(path: Path, truths: list[dict[str, Any]], seed: int) -> None:
    chances = np.array([row["oracle_probability"] for row in truths])
    events = sum(row["desmoplastic"] for row in truths)
    items = ", ".join(field.name for field in fields(CardTruth))
    path.write_text(
        f"# {len(truths)} simulated patients\n\n"
        f"Made by `preop simulate primary_growth_pattern --patients {len(truths)} --seed {seed}`. No person stands behind them.\n\n"
        f"{events} have desmoplastic metastases. An observer who knows every item of the score card can expect an area under "
        f"the ROC curve of {oracle_auc(chances):.3f}.\n\n"
        f"- `cohort.csv`: what a study would have. `card_truth.csv`: each item ({items}) and the true probability.\n"
        f"- `images/<patient>/{SLIDE_FILE}`: the slide. `{TISSUE_FILE}`: the tissue map, 4 micrometres a pixel. "
        f"`{POINTS_FILE}`: lymphocytes and tumour buds, in micrometres from the upper left corner.\n",
        encoding="utf-8",
    )
