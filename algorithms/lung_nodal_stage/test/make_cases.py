"""Makes the bundled cases anew: simulated patients who show what the shipped model gets right, and what it does not.

    python -m lung_nodal_stage.test.make_cases

Patients are drawn one after another until one is staged as the case is to show: they are chosen, and no sample.
The scans of one are like those of the training; those of the others are coarser, so that the repository stays small, and
the explanation says that they are unlike. Inputs and the evaluation's reference come from the simulation;
what the shipped model makes of them becomes the expected output. Run it after training another default model, and look at
the difference before committing it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lung_nodal_stage.assessment import CT, INFORMATION, PET
from lung_nodal_stage.inference import load_model, predict
from lung_nodal_stage.lesions import SEGMENTATION
from lung_nodal_stage.simulation import Facts, SimulatedPatient, draw_facts, draw_patient, draw_small_patient
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.values import JSON
from preop.imaging import Image
from preop.simulation import Table, write_table
from preop.staging import N
from preop.study import is_like_the_training, write_case

HERE = Path(__file__).parent
REFERENCE = HERE.parents[2] / "evaluation" / "ground_truth" / "lung_nodal_stage" / "reference.csv"
SEED = 2026
SURE = 0.5
"""Probability of its stage that a case which is staged rightly has at least."""
THICK_MM = 4.0
"""Between slices, from which scans that are as fine as those of the training make files that are small enough."""


@dataclass(frozen=True)
class Wanted:
    """What a case is to show.

    Attributes
    ----------
    stage, right
        By pathology, and whether the model gives it.
    given
        Whether lesions and side are given.
    finds_nodes
        Whether there are nodes among the lesions.
    fine
        Whether the scans are as fine as those of the training, and the patient like them.
    shows
        The sentence for a reader.
    """

    stage: N
    right: bool
    given: bool
    finds_nodes: bool
    shows: str
    fine: bool = False

    def fits(self, outputs: Mapping[str, Any]) -> bool:
        """Whether the model does what the case is to show."""
        if self.fine and not is_like_the_training(outputs):
            return False
        if (outputs["n-stage-explanation"]["nodes"] > 0) != self.finds_nodes:
            return False
        right = outputs["n-stage"] == str(self.stage)
        sure = outputs["n-stage-explanation"]["probabilities"].get(str(self.stage), 0.0) >= SURE
        return right and sure if self.right else not right


CASES = {
    "n0": Wanted(
        N.N0,
        right=True,
        given=False,
        finds_nodes=False,
        shows="Right: N0. The primary is found, and no node. N0 is not certain all the same: some malignant nodes have no uptake.",
        fine=True,
    ),
    "n2": Wanted(
        N.N2A,
        right=True,
        given=False,
        finds_nodes=True,
        shows="Right: N2a, one mediastinal station. The explanation names it, and how probable less and more are. "
        "The scans are coarser than those of the training: limited.",
    ),
    "n3_given": Wanted(
        N.N3,
        right=True,
        given=True,
        finds_nodes=True,
        shows="Right: N3, with the lesions drawn by a reader and the side of the primary given. "
        "The scans are coarser than those of the training: limited.",
    ),
    "n1_missed": Wanted(
        N.N1,
        right=False,
        given=False,
        finds_nodes=False,
        shows="Wrong: pathology found N1; readers of the scans said N0, and the model finds no node either. What it leaves to N1 "
        "is the chance of a node that was missed. The scans are coarser than those of the training: limited.",
    ),
}


def make() -> None:
    """Write inputs, expected outputs and reference of all cases."""
    algorithm = read_algorithm(HERE.parent)
    model = load_model(HERE.parent / "model", algorithm)
    start = 0
    for name, wanted in CASES.items():
        for number in _numbers(start, wanted):
            start = number + 1
            patient = draw_patient(SEED, number) if wanted.fine else draw_small_patient(SEED, number)
            inputs = _inputs(patient, given=wanted.given)
            if wanted.fits(write_case(algorithm, HERE / name, inputs, lambda case: predict(case, model), wanted.shows)):
                break
    rows = [{"case": name, "n_stage": str(wanted.stage)} for name, wanted in sorted(CASES.items())]
    write_table(REFERENCE, Table(("case", "n_stage"), rows))


def _numbers(number: int, wanted: Wanted) -> Iterator[int]:
    """Go through the patients of a stage; those who are to be staged rightly have benign nodes too, and are easy to tell."""
    while True:
        facts = draw_facts(SEED, number)
        small_enough = not wanted.fine or facts.centre.ct.spacing_mm[0] >= THICK_MM
        if small_enough and (_is_clear(facts, wanted.stage) if wanted.right else _is_occult(facts, wanted.stage)):
            yield number
        number += 1


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


def _is_occult(facts: Facts, stage: N) -> bool:
    """Whether pathology finds what readers of the scans do not."""
    return facts.n_tnm9 is stage and facts.clinical_n is N.N0


def _inputs(patient: SimulatedPatient, *, given: bool) -> dict[str, Image | JSON]:
    pet = patient.pet.with_voxels(np.round(patient.pet.voxels, 2).astype(np.float32))
    inputs: dict[str, Image | JSON] = {CT: patient.ct, PET: pet}
    if given:
        inputs[SEGMENTATION] = patient.lesions
        inputs[INFORMATION] = {"primary_side": str(patient.facts.primary_side), "tnm_edition": 9}
    return inputs


if __name__ == "__main__":
    make()
