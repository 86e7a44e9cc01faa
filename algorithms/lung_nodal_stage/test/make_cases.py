"""Makes the bundled cases anew: simulated patients of three stages, with and without given lesions and side.

    python -m lung_nodal_stage.test.make_cases

Their scans are coarse, so that the repository stays small. Inputs and the evaluation's reference come from the simulation;
what the shipped model makes of them becomes the expected output. Run it after training another default model, and look at
the difference before committing it.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from lung_nodal_stage.assessment import CT, INFORMATION, PET
from lung_nodal_stage.inference import load_model, predict
from lung_nodal_stage.lesions import SEGMENTATION
from lung_nodal_stage.simulation import Facts, SimulatedPatient, draw_facts, draw_small_patient
from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.grandchallenge.cases import INPUTS_FILE, item_of, read_case
from preop.grandchallenge.outputs import write_outputs
from preop.grandchallenge.values import to_json
from preop.imaging import write_image
from preop.staging import N

HERE = Path(__file__).parent
REFERENCE = HERE.parents[2] / "evaluation" / "ground_truth" / "lung_nodal_stage" / "reference.csv"
SEED = 2026
CASES = {"n0": (N.N0, False), "n2": (N.N2A, False), "n3_given": (N.N3, True)}
"""Stage by pathology, and whether lesions and side are given."""


def make() -> None:
    """Write inputs, expected outputs and reference of all cases."""
    algorithm = read_algorithm(HERE.parent)
    model = load_model(HERE.parent / "model", algorithm)
    number = 0
    reference = []
    for name, (stage, given) in CASES.items():
        number = _next(number, stage)
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        _write_input(algorithm, draw_small_patient(SEED, number), name, folder / "input", given=given)
        case = read_case(algorithm, folder / "input")
        (folder / "expected").mkdir()
        write_outputs(predict(case, model), case, folder / "expected")
        reference.append((name, str(stage)))
        number += 1
    with REFERENCE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("case", "n_stage"))
        writer.writerows(sorted(reference))


def _next(number: int, stage: N) -> int:
    """Find the next patient of a stage who has benign nodes too, and none that is hard to tell."""
    while not _is_clear(draw_facts(SEED, number), stage):
        number += 1
    return number


def _is_clear(facts: Facts, stage: N) -> bool:
    nodes = [lesion for lesion in facts.lesions if lesion.kind == "node"]
    sure = all(abs(node.malignancy_oracle - node.malignant) < 0.1 for node in nodes)
    large = all(node.short_axis_mm > 9 for node in nodes if node.malignant)
    return (
        facts.n_tnm9 is stage
        and facts.clinical_n is stage
        and sure
        and large
        and not all(node.malignant for node in nodes)
    )


def _write_input(algorithm: Algorithm, patient: SimulatedPatient, name: str, folder: Path, *, given: bool) -> None:
    images = {CT: patient.ct, PET: patient.pet.with_voxels(np.round(patient.pet.voxels, 2).astype(np.float32))}
    values: dict[str, Any] = {}
    if given:
        images[SEGMENTATION] = patient.lesions
        values[INFORMATION] = {"primary_side": str(patient.facts.primary_side), "tnm_edition": 9}
    items = []
    for slug, image in images.items():
        write_image(image, folder / algorithm.input(slug).relative_path / f"{name}.mha")
        items.append(item_of(algorithm, slug, image_name=f"{name}.mha"))
    for slug, value in values.items():
        (folder / algorithm.input(slug).relative_path).write_text(to_json(value), encoding="utf-8")
        items.append(item_of(algorithm, slug, value=value))
    (folder / INPUTS_FILE).write_text(to_json(items), encoding="utf-8")


if __name__ == "__main__":
    make()
