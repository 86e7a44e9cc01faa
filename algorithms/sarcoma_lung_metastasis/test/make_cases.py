"""Makes the bundled cases anew: one simulated patient for each combination of inputs, who shows what its model does.

    python -m sarcoma_lung_metastasis.test.make_cases

Patients are drawn one after another until one is judged as the case is to show: they are chosen, and no sample. Inputs and
the evaluation's reference come from the simulation; what the shipped model makes of them becomes the expected output. Run
it after training another default model, and look at the difference before committing it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.values import JSON
from preop.imaging import Image
from preop.simulation import Table, write_table
from preop.study import Illustration, write_case
from sarcoma_lung_metastasis.features import CLINICAL, CT, PET, T1
from sarcoma_lung_metastasis.inference import load_model, predict
from sarcoma_lung_metastasis.model import interface_key
from sarcoma_lung_metastasis.simulation import simulate_patient

HERE = Path(__file__).parent
REFERENCE = HERE.parents[2] / "evaluation" / "ground_truth" / "sarcoma_lung_metastasis" / "reference.csv"
SEED = 2026
MARGIN = 0.03
"""Of the likelihood beside the threshold: those of these models lie close together."""
NAMES = {CT.image: "ct", T1.image: "t1", PET.image: "pet", CLINICAL: "clinical"}
POSITIVE = Illustration(
    positive=True,
    right=True,
    shows="Right: a patient in whom lung metastases appear is called high risk. The contributions show what raises it.",
)
NEGATIVE = Illustration(
    positive=False,
    right=True,
    shows="Right: a patient in whom none appear is called low risk. The contributions show what lowers it.",
)
MISSED = Illustration(
    positive=True,
    right=False,
    shows="Wrong: lung metastases appear in a patient who is called low risk; from this scan alone the model hardly knows more "
    "than the size of the tumour.",
)
WRONG = {"ct": MISSED}
"""Cases that show a mistake; the others are right, in turn with and without lung metastases."""


def make() -> None:
    """Write inputs, expected outputs and reference of all cases."""
    algorithm = read_algorithm(HERE.parent)
    model = load_model(HERE.parent / "model", algorithm)
    start, rows = 0, []
    for place, interface in enumerate(algorithm.interfaces):
        name = "_".join(NAMES[slug] for slug in interface if slug in NAMES)
        wanted = WRONG.get(name, NEGATIVE if place % 2 else POSITIVE)
        threshold = model.by_interface[interface_key(interface)].threshold
        for number, inputs in _patients(start, wanted):
            start = number + 1
            given = {slug: inputs[slug] for slug in interface}
            outputs = write_case(algorithm, HERE / name, given, lambda case: predict(case, model), wanted.shows)
            if wanted.fits(outputs["lung-metastasis-likelihood"], threshold, MARGIN):
                break
        rows.append({"case": name, "lung_metastasis": int(wanted.positive)})
    write_table(REFERENCE, Table(("case", "lung_metastasis"), sorted(rows, key=lambda row: str(row["case"]))))


def _patients(number: int, wanted: Illustration) -> Iterator[tuple[int, Mapping[str, Image | JSON]]]:
    """Go through the patients who have everything, with or without the outcome: number, and inputs by slug."""
    while True:
        patient = simulate_patient(SEED, number, small=True)
        if patient.ct and patient.t1 and patient.pet and len(patient.clinical) > 3:
            inputs: dict[str, Image | JSON] = {
                CT.image: patient.ct.image,
                CT.segmentation: patient.ct.tumour,
                T1.image: patient.t1.image,
                T1.segmentation: patient.t1.tumour,
                PET.image: patient.pet.image,
                PET.segmentation: patient.pet.tumour,
                CLINICAL: dict(patient.clinical),
            }
            if patient.lung_metastasis == wanted.positive:
                yield number, inputs
        number += 1


if __name__ == "__main__":
    make()
