"""Makes the bundled cases anew: simulated patients with and without a positive node, drawn with labels or as a mask.

    python -m bladder_lymph_nodes.test.make_cases

Each is a part of a pelvis around some of its nodes, so that the repository stays small. Inputs and the evaluation's
reference come from the simulation; what the shipped model makes of them becomes the expected output. Run it after
training another default model, and look at the difference before committing it.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np

from bladder_lymph_nodes.inference import load_model, predict
from bladder_lymph_nodes.lymph_nodes import CT, SEGMENTATION
from bladder_lymph_nodes.simulation import CENTRES, SimulatedPatient, draw_facts, draw_patient
from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.grandchallenge.cases import INPUTS_FILE, item_of, read_case
from preop.grandchallenge.outputs import write_outputs
from preop.grandchallenge.values import to_json
from preop.imaging import Image, bounding_box, crop, write_image

HERE = Path(__file__).parent
REFERENCE = HERE.parents[2] / "evaluation" / "ground_truth" / "bladder_lymph_nodes" / "reference.csv"
SEED = 2026
NODES = 12
CASES = {
    "positive": (True, True),
    "negative": (False, True),
    "positive_mask": (True, False),
    "negative_mask": (False, False),
}
"""Whether a node is positive, and whether nodes have labels of their own."""


def make() -> None:
    """Write inputs, expected outputs and reference of all cases."""
    algorithm = read_algorithm(HERE.parent)
    model = load_model(HERE.parent / "model", algorithm)
    number = 0
    reference = []
    for name, (positive, labelled) in CASES.items():
        number = _next(number, positive=positive)
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        _write_input(
            algorithm, draw_patient(SEED, number, around_nodes_mm=27.0), name, folder / "input", labelled=labelled
        )
        case = read_case(algorithm, folder / "input")
        (folder / "expected").mkdir()
        write_outputs(predict(case, model), case, folder / "expected")
        reference.append((name, int(positive)))
        number += 1
    with REFERENCE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("case", "lymph_node_metastasis"))
        writer.writerows(sorted(reference))


def _next(number: int, *, positive: bool) -> int:
    """Find the next patient who has many positive nodes, or none, and thick slices, which make small files."""
    thickest = max(CENTRES, key=lambda centre: centre.ct.spacing_mm[0]).name
    while True:
        facts = draw_facts(SEED, number)
        fits = facts.nodes.positive.sum() >= NODES if positive else facts.positive_nodes == 0
        if fits and facts.centre.name == thickest:
            return number
        number += 1


def _write_input(algorithm: Algorithm, patient: SimulatedPatient, name: str, folder: Path, *, labelled: bool) -> None:
    ct, nodes = _part(patient)
    drawn = nodes if labelled else nodes.with_voxels((nodes.voxels > 0).astype(np.uint8))
    items = []
    for slug, image in ((CT, ct), (SEGMENTATION, drawn)):
        write_image(image, folder / algorithm.input(slug).relative_path / f"{name}.mha")
        items.append(item_of(algorithm, slug, image_name=f"{name}.mha"))
    (folder / INPUTS_FILE).write_text(to_json(items), encoding="utf-8")


def _part(patient: SimulatedPatient) -> tuple[Image, Image]:
    """Cut out some neighbouring nodes of one side, positive ones among them if there are any."""
    first = max(patient.nodes, key=lambda node: (node.positive, node.oracle_probability))
    near = sorted(
        (node for node in patient.nodes if node.side == first.side),
        key=lambda node: np.hypot(np.hypot(node.x_mm - first.x_mm, node.y_mm - first.y_mm), node.z_mm - first.z_mm),
    )[:NODES]
    wanted = np.isin(patient.lymph_nodes.voxels, [node.label for node in near])
    margin = tuple(round(6.0 / spacing) for spacing in patient.ct.spacing_mm)
    box = bounding_box(wanted, margin_voxels=margin)
    return crop(patient.ct, box), crop(patient.lymph_nodes, box)


if __name__ == "__main__":
    make()
