"""Makes the bundled cases anew: narrow simulated slides with either growth pattern, one of them with a tissue mask.

    python -m primary_growth_pattern.test.make_cases

Inputs and the evaluation's reference come from the simulation; what the shipped model makes of them becomes the expected
output. Run it after training another default model, and look at the difference before committing it.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np

from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.grandchallenge.cases import INPUTS_FILE, item_of, read_case
from preop.grandchallenge.outputs import write_outputs
from preop.grandchallenge.values import to_json
from preop.imaging import write_tiff
from primary_growth_pattern.examination import MASK, SLIDE
from primary_growth_pattern.inference import load_model, predict
from primary_growth_pattern.simulation import SimulatedPatient, draw_patient, tissue_map

HERE = Path(__file__).parent
REFERENCE = HERE.parents[2] / "evaluation" / "ground_truth" / "primary_growth_pattern" / "reference.csv"
SEED = 2026
SHAPE_PX = (4096, 2304)
CASES = {
    "desmoplastic": (True, False),
    "not_desmoplastic": (False, False),
    "not_desmoplastic_mask": (False, True),
}
"""Whether the metastases grow desmoplastically, and whether a tissue mask is given."""


def make() -> None:
    """Write inputs, expected outputs and reference of all cases."""
    algorithm = read_algorithm(HERE.parent)
    model = load_model(HERE.parent / "model", algorithm)
    number = 0
    reference = []
    for name, (desmoplastic, masked) in CASES.items():
        patient, number = _next(number, desmoplastic=desmoplastic)
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        _write_input(algorithm, patient, name, folder / "input", masked=masked)
        case = read_case(algorithm, folder / "input")
        (folder / "expected").mkdir()
        write_outputs(predict(case, model), case, folder / "expected")
        reference.append((name, int(desmoplastic)))
    with REFERENCE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("case", "desmoplastic"))
        writer.writerows(sorted(reference))


def _next(number: int, *, desmoplastic: bool) -> tuple[SimulatedPatient, int]:
    """Find the next patient with a growth pattern, and the number to go on from."""
    while True:
        patient = draw_patient(SEED, number, shape_px=SHAPE_PX)
        number += 1
        if patient.desmoplastic is desmoplastic:
            return patient, number


def _write_input(algorithm: Algorithm, patient: SimulatedPatient, name: str, folder: Path, *, masked: bool) -> None:
    patient.write_slide(folder / algorithm.input(SLIDE).relative_path / f"{name}.tif")
    items = [item_of(algorithm, SLIDE, image_name=f"{name}.tif")]
    if masked:
        labels = tissue_map(patient.architecture)
        artefacts = patient.architecture.folds | patient.architecture.pen | patient.architecture.blur
        mask = labels.with_voxels(np.asarray((labels.voxels > 0) & ~artefacts, np.uint8))
        write_tiff(mask, folder / algorithm.input(MASK).relative_path / f"{name}.tif")
        items.append(item_of(algorithm, MASK, image_name=f"{name}.tif"))
    (folder / INPUTS_FILE).write_text(to_json(items), encoding="utf-8")


if __name__ == "__main__":
    make()
