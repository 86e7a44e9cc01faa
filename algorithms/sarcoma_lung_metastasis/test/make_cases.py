"""Makes the bundled cases anew: a simulated patient for each combination of inputs that the shipped model knows, and more.

Half of them have the outcome; the last has every input, those too that the shipped model was trained without.

    python -m sarcoma_lung_metastasis.test.make_cases

Patients are taken as they are drawn; each case says whether the model is right. Inputs and the evaluation's reference come
from the simulation; what the shipped model makes of them becomes the expected output. Run it after training another default
model, and look at the difference before committing it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.values import JSON
from preop.imaging import Image
from preop.simulation import Table, write_table
from preop.study import describe_case, write_case
from sarcoma_lung_metastasis.features import CLINICAL, CONTRAST_T1, CT, PET, SCANS, T1, T2_FS
from sarcoma_lung_metastasis.inference import load_model, predict
from sarcoma_lung_metastasis.model import interface_key
from sarcoma_lung_metastasis.simulation import simulate_patient

HERE = Path(__file__).parent
REFERENCE = HERE.parents[2] / "evaluation" / "ground_truth" / "sarcoma_lung_metastasis" / "reference.csv"
SEED = 2026
NAMES = {
    CT.image: "ct",
    T1.image: "t1",
    T2_FS.image: "t2fs",
    CONTRAST_T1.image: "contrast",
    PET.image: "pet",
    CLINICAL: "clinical",
}
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


SHOWS_OTHER_SCANS = "The model was trained without two of the scans: it judges by the others, and says so at the top of the explanation."


def make() -> None:
    """Write inputs, expected outputs and reference of all cases."""
    algorithm = read_algorithm(HERE.parent)
    model = load_model(HERE.parent / "model", algorithm)
    rows, shows = [], {}
    known = [interface for interface in algorithm.outlined_interfaces if interface_key(interface) in model.by_interface]
    interfaces = [*known, algorithm.interfaces[-1]]  # the last has every input
    for interface, (inputs, outcome) in zip(interfaces, _patients(interfaces), strict=True):
        name = "_".join(NAMES[slug] for slug in interface if slug in NAMES)
        outputs = write_case(algorithm, HERE / name, inputs, lambda case: predict(case, model))
        likelihood = outputs["lung-metastasis-likelihood"]
        threshold = model.by_interface[model.best_for(interface_key(interface))].threshold
        called = isinstance(likelihood, float) and likelihood >= threshold
        shows[name] = SHOWS[outcome, called] if interface in known else SHOWS_OTHER_SCANS
        rows.append({"case": name, "lung_metastasis": int(outcome)})
    _describe(shows)
    write_table(REFERENCE, Table(("case", "lung_metastasis"), sorted(rows, key=lambda row: str(row["case"]))))


def _describe(shows: Mapping[str, str]) -> None:
    """Say what each case shows; of those that show the same, the one with the most inputs is the example."""
    examples = {sentence: name for name, sentence in sorted(shows.items(), key=lambda item: item[0].count("_"))}
    for name, sentence in shows.items():
        example = examples[sentence]
        describe_case(HERE / name, sentence, repeats=None if name == example else example)


def _patients(interfaces: Sequence[Sequence[str]]) -> Iterator[tuple[Mapping[str, Image | JSON], bool]]:
    """Give the inputs of a patient for each combination, in turn with and without the outcome, and the outcome.

    Each has CT, T1 and PET, whatever else the combination asks for.
    """
    number = 0
    for place, interface in enumerate(interfaces):
        wanted = place % 2 == 0
        while True:
            patient = simulate_patient(SEED, number, small=True)
            number += 1
            scans = dict(
                zip(SCANS, (patient.ct, patient.t1, patient.t2_fs, patient.contrast_t1, patient.pet), strict=True)
            )
            inputs: dict[str, Image | JSON] = {CLINICAL: dict(patient.clinical)}
            for scan, made in scans.items():
                if made:
                    inputs |= {scan.image: made.image, scan.segmentation: made.tumour}
            complete = {CT.image, T1.image, PET.image, *interface} <= inputs.keys() and len(patient.clinical) > 3
            if complete and bool(patient.lung_metastasis) == wanted:
                yield {slug: inputs[slug] for slug in interface}, wanted
                break


if __name__ == "__main__":
    make()
