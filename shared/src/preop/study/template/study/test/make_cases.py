"""Makes the bundled cases anew: one patient with a benign and one with a malignant lesion.

    python -m new_study.test.make_cases

Inputs and the evaluation's reference come from the simulation; what the model of this folder makes of them becomes the
expected output. Run it after training another default model, and look at the difference before committing it.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from preop.grandchallenge.algorithm import read_algorithm
from preop.simulation import Table, write_table
from preop.study import inference_of, make_importable, write_case

FOLDER = Path(__file__).parents[1]
GROUND_TRUTH = FOLDER.parents[1] / "evaluation" / "ground_truth" / FOLDER.name
SEED = 2026
CASES = {"benign": False, "malignant": True}


def make() -> None:
    """Write inputs, expected outputs and reference of all cases."""
    make_importable(FOLDER)
    from new_study.simulation import draw_patient

    algorithm = read_algorithm(FOLDER)
    inference = inference_of(algorithm)
    model = inference.load_model(FOLDER / "model", algorithm)
    for name, malignant in CASES.items():
        patients = (draw_patient(SEED, number) for number in itertools.count())
        patient = next(each for each in patients if each.lesion.malignant is malignant)
        inputs = {"ct-image": patient.ct, "lesion-segmentation": patient.segmentation}
        write_case(algorithm, FOLDER / "test" / name, inputs, lambda case: inference.predict(case, model))
    rows = [{"case": name, "malignant": int(malignant)} for name, malignant in CASES.items()]
    write_table(GROUND_TRUTH / "reference.csv", Table(("case", "malignant"), rows))


if __name__ == "__main__":
    make()
