"""Simulated patients of this study: who they are, their slides, and the cohort that they make.

What a tumour is like is drawn in ``disease.py``; ``anatomy.py`` lays out its tissues and cells, ``card_truth.py`` measures
what came of it, and ``scan.py`` stains and scans it. The growth pattern depends on the items of the score card and on
nothing else, so that the best that any reader can reach is known. Nothing learned from these patients says anything about
real ones.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from preop.imaging import Geometry, Image, write_tiff
from preop.simulation import (
    LogisticOutcome,
    Place,
    Table,
    random_generator,
    simulate_patients,
    write_cohort,
    write_table,
)
from preop.slides import write_slide
from preop.slides.tiling import UM_PER_MM
from preop.statistics import oracle_auc
from preop.study import DataSource, Progress
from primary_growth_pattern.annotations import POINT_COLUMNS, POINTS_FILE, SLIDE_FILE, TISSUE_FILE

from .anatomy import MAP_UM, USUAL, Architecture, Cell, draw_architecture
from .card_truth import CardTruth, measure
from .disease import Biology, draw_biology, with_further_findings
from .looks import PIXEL_UM
from .scan import MAP_PX, Stain, strips

SLIDE = "primary-tumour-slide"
PATIENT_FILE, TRUTH_FILE = "truth.json", "card_truth.csv"
PURPOSES = ("tumour", "architecture", "growth pattern", "annotated regions", "further findings")
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

# Where no centre is named, a slide comes from the first three; the fourth is for testing on a stain that was never seen.
CENTRES = {
    "A": Stain(ink="blue"),
    "B": Stain(haematoxylin=1.2, eosin=0.82, turn=(0.10, -0.04), white=(236, 237, 241), ink="green"),
    "C": Stain(haematoxylin=0.85, eosin=1.15, turn=(-0.06, 0.08), white=(247, 246, 243), gamma=1.05, ink="black"),
    "D": Stain(haematoxylin=1.05, eosin=0.70, turn=(0.16, 0.06), white=(240, 234, 240), gamma=0.95, ink="green"),
}
SEEN_CENTRES = ("A", "B", "C")
_LUMEN_SHARES = (USUAL.lumen_share, 0.4)  # of tumours with further findings
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
    rng = generator(seed, number, "tumour")
    place = str(rng.choice(SEEN_CENTRES)) if centre is None else centre
    stain = CENTRES[place]
    factors = 1 + _SLIDE_TO_SLIDE * rng.standard_normal(2)
    varied = replace(stain, haematoxylin=stain.haematoxylin * factors[0], eosin=stain.eosin * factors[1])
    return PatientFacts(place, varied, draw_biology(rng), bool(rng.random() < 0.7))


def draw_patient(
    seed: int,
    number: int = 0,
    *,
    shape_px: tuple[int, int] = (SLIDE_PX, SLIDE_PX),
    centre: str | None = None,
    further: bool = False,
) -> SimulatedPatient:
    """Simulate one patient.

    Parameters
    ----------
    shape_px
        Height and width of the slide, in pixels of 0.5 micrometres; multiples of 8.
    centre
        One of ``CENTRES``; drawn from the first three if not given.
    further
        Whether the tumour may have what those of cohorts and trainings lack (:func:`.disease.with_further_findings`), and wider
        lumens.
    """
    facts = draw_facts(seed, number, centre=centre)
    build = USUAL
    if further:
        drawn_by = generator(seed, number, "further findings")
        facts = replace(facts, biology=with_further_findings(drawn_by, facts.biology))
        build = replace(USUAL, lumen_share=float(drawn_by.uniform(*_LUMEN_SHARES)))
    height, width = (side // MAP_PX for side in shape_px)
    rng = generator(seed, number, "architecture")
    architecture = draw_architecture(rng, facts.biology, (height, width), artefacts=facts.artefacts, build=build)
    truth = measure(architecture, facts.biology)
    probability = OUTCOME.probability(unfavourable(truth))
    drawn = generator(seed, number, "growth pattern").random() < probability
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

    ``small`` gives small slides for tests and examples; everything else, errors too, is as in
    :func:`preop.simulation.simulate_patients`.
    """
    places = simulate_patients(
        "primary_growth_pattern",
        patients=patients,
        seed=seed,
        output=output,
        write_patient=functools.partial(_write_patient, seed=seed, small=small),
        progress=progress,
        small=small,
    )
    truths = [{"patient": each.name, **json.loads((each.folder / PATIENT_FILE).read_text())} for each in places]
    write_cohort(
        output,
        Table(COLUMNS, (_row(each, truth) for each, truth in zip(places, truths, strict=True))),
        truth={TRUTH_FILE: Table(tuple(truths[0]), truths)},
        readme=_readme(truths, seed),
        source=SOURCE,
    )


def _row(at: Place, truth: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: truth[name] for name in ("centre", "desmoplastic")}
    return {"patient": at.name, SLIDE: f"{at.relative}/{SLIDE_FILE}", **known}


def _write_patient(at: Place, *, seed: int, small: bool) -> None:
    """Write the slide of a patient if it is not there yet, and its truth last."""
    if (at.folder / PATIENT_FILE).exists():
        return
    side = SMALL_SLIDE_PX if small else SLIDE_PX
    patient = draw_patient(seed, at.number, shape_px=(side, side))
    patient.write_slide(at.folder / SLIDE_FILE)
    write_tiff(tissue_map(patient.architecture), at.folder / TISSUE_FILE)
    write_table(at.folder / POINTS_FILE, Table(POINT_COLUMNS, _points(patient.architecture)))
    known = {name: _rounded(value) for name, value in asdict(patient.truth).items()}
    outcome = {"desmoplastic": int(patient.desmoplastic), "oracle_probability": round(patient.probability, 6)}
    # Last, for it says that the others are complete.
    truth = {"centre": patient.facts.centre} | known | outcome
    (at.folder / PATIENT_FILE).write_text(json.dumps(truth, indent=2) + "\n")


def tissue_map(architecture: Architecture) -> Image:
    """Give the true tissue map, in millimetres."""
    labels = architecture.labels
    return Image(labels, Geometry.axis_aligned(labels.shape, (MAP_UM / UM_PER_MM,) * 2))


def _points(architecture: Architecture) -> Iterator[dict[str, Any]]:
    """Lymphocytes and tumour buds."""
    for y, x in architecture.cells_um[architecture.kinds == Cell.LYMPHOCYTE].round(1).tolist():
        yield {"kind": "lymphocyte", "y_um": y, "x_um": x, "cells": 1}
    for (y, x), size in zip(architecture.buds_um.round(1).tolist(), architecture.bud_sizes.tolist(), strict=True):
        yield {"kind": "bud", "y_um": y, "x_um": x, "cells": size}


def _rounded(value: Any) -> Any:
    return None if value != value else round(value, 6) if isinstance(value, float) else value  # noqa: PLR0124


def generator(seed: int, number: int, purpose: str) -> np.random.Generator:
    """Give each patient and purpose a stream of its own."""
    return random_generator(seed, number, purpose, PURPOSES)


def _readme(truths: Sequence[Mapping[str, Any]], seed: int) -> str:
    chances = np.array([row["oracle_probability"] for row in truths])
    events = sum(row["desmoplastic"] for row in truths)
    items = ", ".join(field.name for field in fields(CardTruth))
    return (
        f"# {len(truths)} simulated patients\n\n"
        f"Made by `preop simulate primary_growth_pattern --patients {len(truths)} --seed {seed}`. These patients do not exist.\n\n"
        f"{events} have desmoplastic metastases. An observer who knows every item of the score card can expect an area under "
        f"the ROC curve of {oracle_auc(chances):.3f}.\n\n"
        f"- `cohort.csv`: what a study would have. `card_truth.csv`: each item ({items}) and the true probability.\n"
        f"- `images/<patient>/{SLIDE_FILE}`: the slide. `{TISSUE_FILE}`: the tissue map, 4 micrometres a pixel. "
        f"`{POINTS_FILE}`: lymphocytes and tumour buds, in micrometres from the upper left corner.\n"
    )
