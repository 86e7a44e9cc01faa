"""The growth pattern from the primary's slide, end to end, by the shipped model.

``python benchmarks/growth_pattern.py time FOLDER`` runs the algorithm as the platform does on a slide of 16,384 x 16,384 pixels
of 0.25 micrometres, in a process of its own, and says what it took.

``python benchmarks/growth_pattern.py cohort FOLDER`` predicts simulated patients whom nothing has learned from, of a centre
whose stain was in no training, and prints the AUC of each model beside that of an observer who knows the simulation.

Slides and results are kept in FOLDER, and a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "algorithms"))

from primary import write_fine_slide

from preop.cohort import map_patients
from preop.grandchallenge.algorithm import read_algorithm
from preop.grandchallenge.cases import INPUTS_FILE, Case, item_of
from preop.grandchallenge.roots import Roots
from preop.grandchallenge.runtime import parse_usage
from preop.grandchallenge.values import to_json
from preop.statistics import auc_delong, oracle_auc
from primary_growth_pattern.examination import SLIDE
from primary_growth_pattern.inference import predict
from primary_growth_pattern.model import CARD, COMBINED, TILES, load_model
from primary_growth_pattern.simulation import SMALL_SLIDE_PX, draw_patient

ALGORITHM = Path(__file__).parents[1] / "algorithms" / "primary_growth_pattern"
UNSEEN_CENTRE = "D"
SEED = 9100


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("time", "cohort"))
    parser.add_argument("folder", type=Path, help="for slides and results")
    parser.add_argument("--model", type=Path, default=ALGORITHM / "model")
    parser.add_argument("--patients", type=int, default=60)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    if arguments.command == "time":
        time_one(arguments.folder, arguments.model)
    else:
        predict_cohort(arguments.folder, arguments.model, arguments.patients)


def time_one(folder: Path, model: Path) -> None:
    """Run one large case in a process of its own."""
    algorithm = read_algorithm(ALGORITHM)
    input_folder = folder / "input"
    slide = input_folder / algorithm.input(SLIDE).relative_path / "large.tif"
    if not slide.exists():
        slide.parent.mkdir(parents=True, exist_ok=True)
        write_fine_slide(slide)
    (input_folder / INPUTS_FILE).write_text(to_json([item_of(algorithm, SLIDE, image_name="large.tif")]))
    with tempfile.TemporaryDirectory() as output:
        roots = Roots(input_folder, Path(output), model)
        environment = os.environ | roots.environment() | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-m", "primary_growth_pattern.inference"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    usage = parse_usage(done.stdout)
    if usage is None:
        raise SystemExit("The algorithm did not say what it took.")
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"16,384 x 16,384 pixels: {usage.seconds:.1f} s by the clock, {spent.ru_utime + spent.ru_stime:.1f} s of the processor "
        f"(with the start of Python), {usage.peak_memory_mb / 1000:.2f} GB"
    )


def predict_cohort(folder: Path, model: Path, patients: int) -> None:
    """Predict simulated patients, and print the AUC of each model."""
    run = functools.partial(predict_one, folder=folder, model=model)
    for _, error in map_patients(run, range(patients), description="Predicting"):
        if error is not None:
            raise error
    rows = [json.loads(result_file(folder, number).read_text()) for number in range(patients)]
    labels = np.array([row["desmoplastic"] for row in rows])
    chances = np.array([row["oracle_probability"] for row in rows])
    print(
        f"{patients} patients of centre {UNSEEN_CENTRE}, {labels.sum()} desmoplastic\n\n| model | patients | AUC |\n|---|---|---|"
    )
    for name in (CARD, TILES, COMBINED):
        scores = np.array([row[name] for row in rows], float)
        said = np.isfinite(scores)  # of a patient of whom no item is assessed, the card says nothing
        area = auc_delong(labels[said], scores[said])
        print(f"| {name} | {said.sum()} | {area.value:.2f} [{area.lower:.2f}, {area.upper:.2f}] |")
    observer = auc_delong(labels, chances)
    print(
        f"| observer, of these patients | {patients} | {observer.value:.2f} [{observer.lower:.2f}, {observer.upper:.2f}] |"
    )
    print(f"| observer, expected | | {oracle_auc(chances):.2f} |")


def predict_one(number: int, *, folder: Path, model: Path) -> None:
    """Paint a patient's slide, and keep what each way says of it."""
    import torch

    kept = result_file(folder, number)
    if kept.exists():
        return
    torch.set_num_threads(1)  # the patients share the cores already
    patient = draw_patient(SEED, number, shape_px=(SMALL_SLIDE_PX, SMALL_SLIDE_PX), centre=UNSEEN_CENTRE)
    algorithm = read_algorithm(ALGORITHM)
    with tempfile.TemporaryDirectory() as slides:
        path = Path(slides) / "slide.tif"
        patient.write_slide(path)
        outputs = predict(Case(algorithm, str(number), {SLIDE: path}, {}), load_model(model, algorithm))
    models = outputs["growth-pattern-explanation"]["models"]
    row = {name: each["likelihood"] for name, each in models.items()}
    row |= {"desmoplastic": int(patient.desmoplastic), "oracle_probability": patient.probability}
    partial = kept.with_suffix(".partial")
    partial.write_text(json.dumps(row))
    partial.replace(kept)


def result_file(folder: Path, number: int) -> Path:
    """Where the result of a patient is kept."""
    return folder / f"{SEED}_{number:03d}.json"


if __name__ == "__main__":
    main()
