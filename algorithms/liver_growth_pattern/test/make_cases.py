"""Makes the bundled cases anew: simulated patients who show what the shipped model gets right, and what it does not.

    python -m liver_growth_pattern.test.make_cases

Patients like those of the training are drawn one after another until one is judged as the case is to show, clearly: they are
chosen, and no sample.
Each is the surroundings of a patient's metastases, so that the repository stays small. Inputs and the evaluation's
reference come from the simulation; what the shipped model makes of them becomes the expected output. Run it after
training another default model, and look at the difference before committing it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from liver_growth_pattern.inference import predict
from liver_growth_pattern.lesions import CT, SEGMENTATION
from liver_growth_pattern.model import load_model
from liver_growth_pattern.simulation import draw_facts, draw_patient
from preop.grandchallenge.algorithm import read_algorithm
from preop.simulation import Table, write_table
from preop.study import Illustration, is_like_the_training, write_case

HERE = Path(__file__).parent
REFERENCE = HERE.parents[2] / "evaluation" / "ground_truth" / "liver_growth_pattern" / "reference.csv"
SEED = 2026
LARGEST_MM = 13.0
CASES: dict[str, tuple[Illustration, int, Literal["labels", "mask", "nothing"]]] = {
    "desmoplastic": (
        Illustration(
            positive=False,
            right=True,
            shows="Right: two metastases, each with a capsule all around, are called desmoplastic. The chart shows the expected "
            "shares of the interface of each.",
        ),
        2,
        "labels",
    ),
    "non_desmoplastic": (
        Illustration(
            positive=True,
            right=True,
            shows="Right: of three metastases not all are purely desmoplastic, and one that is not makes the patient "
            "non-desmoplastic.",
        ),
        3,
        "labels",
    ),
    "desmoplastic_mask": (
        Illustration(
            positive=False,
            right=False,
            shows="Wrong: one metastasis with a capsule all around is called non-desmoplastic. It is small, and the slices are "
            "thick.",
        ),
        1,
        "mask",
    ),
    "non_desmoplastic_mask": (
        Illustration(
            positive=True,
            right=True,
            shows="Right: one metastasis without a capsule all around is called non-desmoplastic; it is given as a mask "
            "without a number.",
        ),
        1,
        "mask",
    ),
    "non_desmoplastic_ct_alone": (
        Illustration(
            positive=True,
            right=True,
            shows="Right: the CT alone is given. The network of the model finds both metastases, of which one or both are not "
            "purely desmoplastic. Nobody has approved what it outlines, so the assessment is limited.",
        ),
        2,
        "nothing",
    ),
}
"""What each case shows, with how many metastases, and what is given of them."""


def make() -> None:
    """Write inputs, expected outputs and reference of all cases."""
    algorithm = read_algorithm(HERE.parent)
    model = load_model(HERE.parent / "model", algorithm)
    start = 0
    for name, (wanted, metastases, given) in CASES.items():
        for number in _numbers(start, wanted, metastases):
            start = number + 1
            patient = draw_patient(SEED, number, only_around=True)
            mask = patient.reader.with_voxels((patient.reader.voxels > 0).astype(np.uint8))
            outlines = {"labels": patient.reader, "mask": mask}
            inputs = {CT: patient.ct, **({SEGMENTATION: outlines[given]} if given in outlines else {})}
            outputs: dict[str, Any] = write_case(
                algorithm, HERE / name, inputs, lambda case: predict(case, model), wanted.shows
            )
            fits = wanted.fits(outputs["non-desmoplastic-likelihood"], model.description.threshold)
            all_found = outputs["growth-patterns"]["metastases_judged"] == metastases
            if fits and all_found and is_like_the_training(outputs):
                break
    rows = [{"case": name, "non_desmoplastic": int(wanted.positive)} for name, (wanted, *_) in sorted(CASES.items())]
    write_table(REFERENCE, Table(("case", "non_desmoplastic"), rows))


def _numbers(number: int, wanted: Illustration, metastases: int) -> Iterator[int]:
    """Go through the patients with so many metastases, none of them large, and thick slices, which make small files."""
    while True:
        facts = draw_facts(SEED, number)
        fits = facts.non_desmoplastic == wanted.positive and len(facts.metastases) == metastases
        small = facts.metastases.radius_mm.max() < LARGEST_MM and facts.centre.ct.spacing_mm[0] >= 4
        if fits and small:
            yield number
        number += 1


if __name__ == "__main__":
    make()
