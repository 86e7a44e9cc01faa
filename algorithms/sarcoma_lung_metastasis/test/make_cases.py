"""Makes the bundled cases anew: one simulated patient for each combination of inputs, half of them with the outcome.

    python -m sarcoma_lung_metastasis.test.make_cases

Patients are taken as they are drawn; each case says whether the model is right. Inputs and the evaluation's reference come
from the simulation; what the shipped model makes of them becomes the expected output. Run it after training another default
model, and look at the difference before committing it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.values import JSON
from preop.imaging import Image
from preop.simulation import Table, write_table
from preop.study import describe_case, write_case
from sarcoma_lung_metastasis.features import CLINICAL, CT, PET, T1
from sarcoma_lung_metastasis.inference import load_model, predict
from sarcoma_lung_metastasis.model import interface_key
from sarcoma_lung_metastasis.simulation import simulate_patient

HERE = Path(__file__).parent
REFERENCE = HERE.parents[2] / "evaluation" / "ground_truth" / "sarcoma_lung_metastasis" / "reference.csv"
SEED = 2026
NAMES = {CT.image: "ct", T1.image: "t1", PET.image: "pet", CLINICAL: "clinical"}
SHOWS = {
    (
        True,
        True,
    ): "Right: lung metastases appear in a patient who is called high risk. The contributions show what raises the "
    "risk.",
    (
        False,
        False,
    ): "Right: no lung metastases appear in a patient who is called low risk. The contributions show what lowers "
    "the risk.",
    (
        True,
        False,
    ): "Wrong: lung metastases appear in a patient who is called low risk. The contributions show what misled the "
    "model.",
    (
        False,
        True,
    ): "Wrong: no lung metastases appear in a patient who is called high risk. The contributions show what misled "
    "the model.",
}
"""What there is to see, by the outcome and whether the model says so."""


def make() -> None:
    """Write inputs, expected outputs and reference of all cases."""
    algorithm = read_algorithm(HERE.parent)
    model = load_model(HERE.parent / "model", algorithm)
    rows, shows = [], {}
    for interface, (inputs, outcome) in zip(algorithm.interfaces, _patients(), strict=False):
        name = "_".join(NAMES[slug] for slug in interface if slug in NAMES)
        given = {slug: inputs[slug] for slug in interface}
        outputs = write_case(algorithm, HERE / name, given, lambda case: predict(case, model))
        likelihood = outputs["lung-metastasis-likelihood"]
        threshold = model.by_interface[interface_key(interface)].threshold
        called = isinstance(likelihood, float) and likelihood >= threshold
        shows[name] = SHOWS[outcome, called]
        rows.append({"case": name, "lung_metastasis": int(outcome)})
    _describe(shows)
    write_table(REFERENCE, Table(("case", "lung_metastasis"), sorted(rows, key=lambda row: str(row["case"]))))


def _describe(shows: Mapping[str, str]) -> None:
    """Say what each case shows; of those that show the same, the one with the most inputs is the example."""
    examples = {sentence: name for name, sentence in sorted(shows.items(), key=lambda item: item[0].count("_"))}
    for name, sentence in shows.items():
        example = examples[sentence]
        describe_case(HERE / name, sentence, repeats=None if name == example else example)


def _patients() -> Iterator[tuple[Mapping[str, Image | JSON], bool]]:
    """Give the inputs of patients who have everything, in turn with and without the outcome, and the outcome."""
    number, wanted = 0, True
    while True:
        patient = simulate_patient(SEED, number, small=True)
        complete = patient.ct and patient.t1 and patient.pet and len(patient.clinical) > 3
        if complete and bool(patient.lung_metastasis) == wanted:
            assert patient.ct and patient.t1 and patient.pet  # noqa: S101, PT018 - it is complete
            inputs: dict[str, Image | JSON] = {
                CT.image: patient.ct.image,
                CT.segmentation: patient.ct.tumour,
                T1.image: patient.t1.image,
                T1.segmentation: patient.t1.tumour,
                PET.image: patient.pet.image,
                PET.segmentation: patient.pet.tumour,
                CLINICAL: dict(patient.clinical),
            }
            yield inputs, wanted
            wanted = not wanted
        number += 1


if __name__ == "__main__":
    make()
