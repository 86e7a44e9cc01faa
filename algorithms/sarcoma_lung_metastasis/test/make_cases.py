"""Makes the bundled cases anew: one simulated patient for each combination of inputs, half of them with the outcome.

    python -m sarcoma_lung_metastasis.test.make_cases

Inputs and the evaluation's reference come from the simulation; what the shipped model makes of them becomes the
expected output. Run it after training another default model, and look at the difference before committing it.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.grandchallenge.cases import INPUTS_FILE, item_of, read_case
from preop.grandchallenge.outputs import write_outputs
from preop.grandchallenge.values import to_json
from preop.imaging import Image, write_image
from sarcoma_lung_metastasis.features import CLINICAL, CT, PET, T1
from sarcoma_lung_metastasis.inference import load_model, predict
from sarcoma_lung_metastasis.simulation import SimulatedPatient, simulate_patient

HERE = Path(__file__).parent
REFERENCE = HERE.parents[2] / "evaluation" / "ground_truth" / "sarcoma_lung_metastasis" / "reference.csv"
SEED = 2026
NAMES = {CT.image: "ct", T1.image: "t1", PET.image: "pet", CLINICAL: "clinical"}


def make() -> None:
    """Write inputs, expected outputs and reference of all cases."""
    algorithm = read_algorithm(HERE.parent)
    model = load_model(HERE.parent / "model", algorithm)
    reference = []
    for interface, (patient, outcome) in zip(algorithm.interfaces, _patients(), strict=False):
        name = "_".join(NAMES[slug] for slug in interface if slug in NAMES)
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        _write_input(algorithm, interface, patient, name, folder / "input")
        case = read_case(algorithm, folder / "input")
        (folder / "expected").mkdir()
        write_outputs(predict(case, model), case, folder / "expected")
        reference.append((name, outcome))
    with REFERENCE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("case", "lung_metastasis"))
        writer.writerows(sorted(reference))


def _patients() -> Iterator[tuple[SimulatedPatient, int]]:
    """Give patients who have everything, in turn with and without the outcome."""
    number, wanted = 0, 1
    while True:
        patient = simulate_patient(SEED, number, small=True)
        complete = patient.ct and patient.t1 and patient.pet and len(patient.clinical) > 3
        if complete and patient.lung_metastasis == wanted:
            yield patient, wanted
            wanted = 1 - wanted
        number += 1


def _write_input(
    algorithm: Algorithm, interface: tuple[str, ...], patient: SimulatedPatient, name: str, folder: Path
) -> None:
    assert patient.ct and patient.t1 and patient.pet  # noqa: S101, PT018 - _patients gives no others
    inputs: dict[str, Any] = {
        CT.image: patient.ct.image,
        CT.segmentation: patient.ct.tumour,
        T1.image: patient.t1.image,
        T1.segmentation: patient.t1.tumour,
        PET.image: patient.pet.image,
        PET.segmentation: patient.pet.tumour,
        CLINICAL: patient.clinical,
    }
    items = []
    for slug in interface:
        content = inputs[slug]
        path = folder / algorithm.input(slug).relative_path
        if isinstance(content, Image):
            write_image(content, path / f"{name}.mha")
            items.append(item_of(algorithm, slug, image_name=f"{name}.mha"))
        else:
            path.write_text(to_json(content), encoding="utf-8")
            items.append(item_of(algorithm, slug, value=content))
    (folder / INPUTS_FILE).write_text(to_json(items), encoding="utf-8")


if __name__ == "__main__":
    make()
