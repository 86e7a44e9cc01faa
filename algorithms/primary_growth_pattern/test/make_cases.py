"""Makes the bundled cases anew: narrow simulated slides that show what the shipped model gets right, and what it does not.

    python -m primary_growth_pattern.test.make_cases

Patients are drawn one after another until one is judged as the case is to show, clearly: they are chosen, and no sample.
Inputs and the evaluation's reference come from the simulation; what the shipped model makes of them becomes the expected
output. Run it after training another default model, and look at the difference before committing it.
"""

from __future__ import annotations

import shutil
from itertools import count
from pathlib import Path

import numpy as np

from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.grandchallenge.cases import INPUTS_FILE, item_of, read_case
from preop.grandchallenge.outputs import Output, write_outputs
from preop.grandchallenge.values import to_json
from preop.imaging import write_tiff
from preop.simulation import Table, write_table
from preop.study import Illustration, describe_case
from primary_growth_pattern.examination import MASK, SLIDE
from primary_growth_pattern.inference import load_model, predict
from primary_growth_pattern.model import COMBINED, Model
from primary_growth_pattern.simulation import SimulatedPatient, draw_patient, tissue_map

HERE = Path(__file__).parent
REFERENCE = HERE.parents[2] / "evaluation" / "ground_truth" / "primary_growth_pattern" / "reference.csv"
SEED = 2026
SHAPE_PX = (4096, 2304)
CASES = {
    "desmoplastic": (
        Illustration(
            positive=True,
            right=True,
            shows="Right: desmoplastic growth is called so. The score card shows which items speak for it, the heat map which "
            "tiles.",
        ),
        False,
    ),
    "not_desmoplastic": (
        Illustration(
            positive=False,
            right=True,
            shows="Right: growth that is not desmoplastic is called so. The score card shows which items speak against it, the "
            "heat map which tiles.",
        ),
        False,
    ),
    "not_desmoplastic_mask": (
        Illustration(
            positive=False,
            right=False,
            shows="Wrong: growth that is not desmoplastic is called desmoplastic. A tissue mask is given.",
        ),
        True,
    ),
}
"""What each case shows, and whether a tissue mask is given."""


def make() -> None:
    """Write inputs, expected outputs and reference of all cases."""
    algorithm = read_algorithm(HERE.parent)
    model = load_model(HERE.parent / "model", algorithm)
    start = 0
    for name, (wanted, masked) in CASES.items():
        for number in count(start):
            start = number + 1
            patient = draw_patient(SEED, number, shape_px=SHAPE_PX)
            if patient.desmoplastic is wanted.positive and wanted.fits(
                _write(algorithm, model, patient, HERE / name, masked=masked, shows=wanted.shows),
                model.description.thresholds[COMBINED],
            ):
                break
    rows = [{"case": name, "desmoplastic": int(wanted.positive)} for name, (wanted, _) in sorted(CASES.items())]
    write_table(REFERENCE, Table(("case", "desmoplastic"), rows))


def _write(
    algorithm: Algorithm, model: Model, patient: SimulatedPatient, folder: Path, *, masked: bool, shows: str
) -> Output:
    """Write a case in place of an earlier one, and give its likelihood."""
    shutil.rmtree(folder, ignore_errors=True)
    _write_input(algorithm, patient, folder.name, folder / "input", masked=masked)
    case = read_case(algorithm, folder / "input")
    outputs = predict(case, model)
    (folder / "expected").mkdir()
    write_outputs(outputs, case, folder / "expected")
    describe_case(folder, shows)
    return outputs["desmoplastic-growth-likelihood"]


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
