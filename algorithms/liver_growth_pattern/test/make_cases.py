"""Makes the bundled cases anew: simulated patients who are desmoplastic or not, with labels or as a mask.

    python -m liver_growth_pattern.test.make_cases

Each is the surroundings of a patient's metastases, so that the repository stays small. Inputs and the evaluation's
reference come from the simulation; what the shipped model makes of them becomes the expected output. Run it after
training another default model, and look at the difference before committing it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from liver_growth_pattern.inference import predict
from liver_growth_pattern.lesions import CT, SEGMENTATION
from liver_growth_pattern.model import load_model
from liver_growth_pattern.simulation import draw_facts, draw_patient
from preop.grandchallenge.algorithm import read_algorithm
from preop.simulation import Table, write_table
from preop.study import write_case

HERE = Path(__file__).parent
REFERENCE = HERE.parents[2] / "evaluation" / "ground_truth" / "liver_growth_pattern" / "reference.csv"
SEED = 2026
LARGEST_MM = 13.0
CASES = {
    "desmoplastic": (False, 2, True),
    "non_desmoplastic": (True, 3, True),
    "desmoplastic_mask": (False, 1, False),
    "non_desmoplastic_mask": (True, 1, False),
}
"""Whether the patient is non-desmoplastic, with how many metastases, and whether they have labels of their own."""


def make() -> None:
    """Write inputs, expected outputs and reference of all cases."""
    algorithm = read_algorithm(HERE.parent)
    model = load_model(HERE.parent / "model", algorithm)
    reference = []
    number = 0
    for name, (non_desmoplastic, metastases, labelled) in CASES.items():
        number = _next(number, non_desmoplastic=non_desmoplastic, metastases=metastases)
        patient = draw_patient(SEED, number, only_around=True)
        mask = patient.reader.with_voxels((patient.reader.voxels > 0).astype(np.uint8))
        inputs = {CT: patient.ct, SEGMENTATION: patient.reader if labelled else mask}
        write_case(algorithm, HERE / name, inputs, lambda case: predict(case, model))
        reference.append((name, int(non_desmoplastic)))
        number += 1
    rows = [{"case": name, "non_desmoplastic": truth} for name, truth in sorted(reference)]
    write_table(REFERENCE, Table(("case", "non_desmoplastic"), rows))


def _next(number: int, *, non_desmoplastic: bool, metastases: int) -> int:
    """Find the next patient with so many metastases, none of them large, and thick slices, which make small files."""
    while True:
        facts = draw_facts(SEED, number)
        fits = facts.non_desmoplastic == non_desmoplastic and len(facts.metastases) == metastases
        small = facts.metastases.radius_mm.max() < LARGEST_MM and facts.centre.ct.spacing_mm[0] >= 4
        if fits and small:
            return number
        number += 1


if __name__ == "__main__":
    make()
