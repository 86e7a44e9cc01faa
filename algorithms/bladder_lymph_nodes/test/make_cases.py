"""Makes the bundled cases anew: simulated patients who show what the shipped model gets right, and what it does not.

    python -m bladder_lymph_nodes.test.make_cases

Patients are drawn one after another until one is judged as the case is to show, clearly: they are chosen, and no sample.
Those whose nodes have labels of their own are like those of the training, with all nodes of the pelvis; the others are a
part of a pelvis around some of its nodes, so that the repository stays small, and the explanation says that they are unlike. Inputs and the evaluation's
reference come from the simulation; what the shipped model makes of them becomes the expected output. Run it after
training another default model, and look at the difference before committing it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bladder_lymph_nodes.inference import load_model, predict
from bladder_lymph_nodes.lymph_nodes import CT, SEGMENTATION
from bladder_lymph_nodes.simulation import CENTRES, SimulatedPatient, draw_facts, draw_patient
from preop.grandchallenge.algorithm import read_algorithm
from preop.imaging import Image, bounding_box, crop
from preop.simulation import Table, write_table
from preop.study import Illustration, is_like_the_training, write_case

HERE = Path(__file__).parent
REFERENCE = HERE.parents[2] / "evaluation" / "ground_truth" / "bladder_lymph_nodes" / "reference.csv"
SEED = 2026
NODES = 12
CASES = {
    "positive": (
        Illustration(
            positive=True,
            right=True,
            shows="Right: a patient with many positive nodes is called pN+. The heat map shows which nodes the likelihood "
            "rests on.",
        ),
        True,
    ),
    "negative": (
        Illustration(
            positive=False,
            right=True,
            shows="Right: a patient without a positive node is called pN0. No node is probably positive, not "
            "even those that are enlarged; what is left of the likelihood is spread over all of them.",
        ),
        True,
    ),
    "positive_mask": (
        Illustration(
            positive=True,
            right=False,
            shows="Wrong: a patient with a positive node is called pN0. A part of a pelvis with few "
            "nodes, given as one mask, is unlike the training, and the explanation says so.",
        ),
        False,
    ),
    "negative_mask": (
        Illustration(
            positive=False,
            right=True,
            shows="Right: no positive node, called pN0. The nodes are given as one mask; the notes say how they were "
            "separated. A part of a pelvis is unlike the training: limited.",
        ),
        False,
    ),
}
"""What each case shows, and whether nodes have labels of their own."""


def make() -> None:
    """Write inputs, expected outputs and reference of all cases."""
    algorithm = read_algorithm(HERE.parent)
    model = load_model(HERE.parent / "model", algorithm)
    start = 0
    for name, (wanted, labelled) in CASES.items():
        for number in _numbers(start, wanted):
            start = number + 1
            patient = draw_patient(SEED, number, around_nodes_mm=27.0)
            inputs = {CT: patient.ct, SEGMENTATION: patient.lymph_nodes} if labelled else _part(patient)
            outputs = write_case(algorithm, HERE / name, inputs, lambda case: predict(case, model), wanted.shows)
            fits = wanted.fits(outputs["lymph-node-metastasis-likelihood"], model.description.threshold)
            if fits and (is_like_the_training(outputs) or not labelled):
                break
    rows = [
        {"case": name, "lymph_node_metastasis": int(wanted.positive)} for name, (wanted, _) in sorted(CASES.items())
    ]
    write_table(REFERENCE, Table(("case", "lymph_node_metastasis"), rows))


def _numbers(number: int, wanted: Illustration) -> Iterator[int]:
    """Go through the patients who have many positive nodes, few, or none, and thick slices, which make small files."""
    thickest = max(CENTRES, key=lambda centre: centre.ct.spacing_mm[0]).name
    low, high = ((NODES, 99) if wanted.right else (1, 3)) if wanted.positive else (0, 0)
    while True:
        facts = draw_facts(SEED, number)
        if low <= facts.nodes.positive.sum() <= high and facts.centre.name == thickest:
            yield number
        number += 1


def _part(patient: SimulatedPatient) -> dict[str, Image]:
    """Cut out some neighbouring nodes of one side, positive ones among them if there are any, as one mask."""
    first = max(patient.nodes, key=lambda node: (node.positive, node.oracle_probability))
    near = sorted(
        (node for node in patient.nodes if node.side == first.side),
        key=lambda node: np.hypot(np.hypot(node.x_mm - first.x_mm, node.y_mm - first.y_mm), node.z_mm - first.z_mm),
    )[:NODES]
    wanted = np.isin(patient.lymph_nodes.voxels, [node.label for node in near])
    margin = tuple(round(6.0 / spacing) for spacing in patient.ct.spacing_mm)
    box = bounding_box(wanted, margin_voxels=margin)
    nodes = crop(patient.lymph_nodes, box)
    return {CT: crop(patient.ct, box), SEGMENTATION: nodes.with_voxels((nodes.voxels > 0).astype(np.uint8))}


if __name__ == "__main__":
    make()
