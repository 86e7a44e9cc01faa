"""Makes the bundled cases anew: simulated patients who are desmoplastic or not, with labels or as a mask.

    python -m liver_growth_pattern.test.make_cases

Each is the surroundings of a patient's metastases, so that the repository stays small. Inputs and the evaluation's
reference come from the simulation; what the shipped model makes of them becomes the expected output. Run it after
training another default model, and look at the difference before committing it.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np

from liver_growth_pattern.inference import predict
from liver_growth_pattern.lesions import CT, SEGMENTATION
from liver_growth_pattern.model import load_model
from liver_growth_pattern.simulation import SimulatedPatient, draw_facts, draw_patient
from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.grandchallenge.cases import INPUTS_FILE, item_of, read_case
from preop.grandchallenge.outputs import write_outputs
from preop.grandchallenge.values import to_json
from preop.imaging import write_image

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
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        _write_input(algorithm, draw_patient(SEED, number, only_around=True), name, folder / "input", labelled=labelled)
        case = read_case(algorithm, folder / "input")
        (folder / "expected").mkdir()
        write_outputs(predict(case, model), case, folder / "expected")
        reference.append((name, int(non_desmoplastic)))
        number += 1
    REFERENCE.parent.mkdir(parents=True, exist_ok=True)
    with REFERENCE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("case", "non_desmoplastic"))
        writer.writerows(sorted(reference))


def _next(number: int, *, non_desmoplastic: bool, metastases: int) -> int:
    """Find the next patient with so many metastases, none of them large, and thick slices, which make small files."""
    while True:
        facts = draw_facts(SEED, number)
        fits = facts.non_desmoplastic == non_desmoplastic and len(facts.metastases) == metastases
        small = facts.metastases.radius_mm.max() < LARGEST_MM and facts.centre.ct.spacing_mm[0] >= 4
        if fits and small:
            return number
        number += 1


def _write_input(algorithm: Algorithm, patient: SimulatedPatient, name: str, folder: Path, *, labelled: bool) -> None:
    drawn = patient.reader if labelled else patient.reader.with_voxels((patient.reader.voxels > 0).astype(np.uint8))
    items = []
    for slug, image in ((CT, patient.ct), (SEGMENTATION, drawn)):
        write_image(image, folder / algorithm.input(slug).relative_path / f"{name}.mha")
        items.append(item_of(algorithm, slug, image_name=f"{name}.mha"))
    (folder / INPUTS_FILE).write_text(to_json(items), encoding="utf-8")


if __name__ == "__main__":
    make()
