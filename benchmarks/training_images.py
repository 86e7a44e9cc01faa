"""Which images the shipped models have learned from: ``python benchmarks/training_images.py FOLDER``.

The patients of a shipped model that has learned from simulated ones are drawn again, all of them, and ``training-images.json`` is
put into the model, which takes no training; a training with ``preop train`` writes it itself. If the table that is drawn is not
the one in ``model.json``, the simulation is another one than then: nothing is written, and the exit code is 1. Finished patients
are kept in FOLDER, and a run that was stopped goes on from there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from distribution import ALGORITHMS, TRAINING, Training

from preop.cohort import read_cohort, training_images_file
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.progress import progress_bar
from preop.study import make_importable, put_into_model, read_model_info, simulation_of


def main() -> None:
    """Draw and write, one study after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for patients; about 20 MB each")
    parser.add_argument("--study", choices=TRAINING, action="append", help="one or more; all by default")
    arguments = parser.parse_args()
    refused = []
    for name in arguments.study or TRAINING:
        algorithm = read_algorithm(ALGORITHMS / name)
        make_importable(algorithm.folder)
        try:
            patients = write_training_images(algorithm, TRAINING[name], arguments.folder / name)
        except InvalidInputError as error:
            refused.append(f"{name}: {error}")
            continue
        print(f"{name}: the images of {patients} patients", flush=True)
    sys.exit("\n".join(refused) or None)


def write_training_images(algorithm: Algorithm, drawn: Training, folder: Path) -> int:
    """Put the checksums of its training images into a shipped model, and give how many patients they are of.

    Raises
    ------
    InvalidInputError
        If the patients that are drawn now are not those of the training.
    """
    model = algorithm.folder / "model"
    trained = read_model_info(model, algorithm, None).training_data
    with progress_bar(f"Drawing {algorithm.name}", trained.patients) as advance:
        simulation_of(algorithm).simulate(
            trained.patients, drawn.seed, folder, lambda *_: advance(1), small=drawn.small
        )
    cohort = read_cohort(folder / "cohort.csv", algorithm)
    if cohort.sha256 != trained.cohort_sha256:
        raise InvalidInputError(
            f"The table of the {trained.patients} patients drawn from seed {drawn.seed} has the checksum {cohort.sha256[:12]}, and "
            f"that of the training {trained.cohort_sha256[:12]}: the simulation has changed since. Train the model anew."
        )
    put_into_model(model, algorithm, training_images_file(cohort, folder))
    return trained.patients


if __name__ == "__main__":
    main()
