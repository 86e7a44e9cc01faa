"""The network that finds metastases where CT alone is given: ``python -m liver_growth_pattern.detection --model MODEL``.

A small plain U-Net of nnU-Net, fitted by a short loop to whole scans of simulated patients. Each voxel of a metastasis is
learned as the pattern that predominates in its report, and what else is liver as liver. The network stands in nnU-Net's own
layout, so that one of real patients takes its place without a change. A run that was stopped goes on when started again, and
ends with the same weights.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from preop.folders import open_resumable_run
from preop.grandchallenge.algorithm import read_algorithm
from preop.imaging import reorient, resample, resample_like
from preop.progress import progress_bars
from preop.repeatable import repeatable
from preop.segmentation import TrainingSettings, write_network
from preop.segmentation.training import CONFIGURATION, dataset_of, plans_of
from preop.staging import Pattern
from preop.study import write_portable_forms

from .model import DETECTION_NETWORK, LIVER
from .simulation import SimulatedPatient, draw_patient
from .simulation.cohort import SOURCE

Progress = Callable[[int, int], None]
Volume = Mapping[str, NDArray[Any]]

SEED, PATIENTS = 40_000, 160
SETTINGS = TrainingSettings(
    labels=(*map(str, Pattern), LIVER),
    spacing_mm=(3.0, 2.0, 2.0),
    patch=(24, 64, 64),
    features=(16, 32, 64, 64),  # in multiples of 16, in which processors convolve several times as fast
    convolutions=1,
)
LOW_HU, HIGH_HU, MEAN_HU, DEVIATION_HU = -150.0, 250.0, 90.0, 50.0
"""What the network sees of a scan: from fat to enhanced vessels, scaled to the contrast of a metastasis."""
STEPS, LEARNING_RATE = 3000, 3e-3
"""Number of tiles, one a step; the rate rises to this and falls again."""
WARMING_UP = 0.12  # share of the steps
AROUND_METASTASIS = 0.5  # share of the tiles
ASIDE = 4  # the middle of such a tile lies up to this part of its size from the metastasis
FAR_MM = 1000.0  # from the liver: wherever nothing is said of it
SAVED_EVERY = 50
_SOFTWARE = ("preop", "torch", "nnunetv2", "numpy")


def train_detection(model: Path, work: Path, progress: Progress | None = None) -> None:
    """Fit the network, and write it into a model folder with where it comes from.

    Parameters
    ----------
    model
        Folder that gets ``lesion_detection``.
    work
        Folder of what is needed to go on after a stop; it may be removed in the end.
    progress
        Called with the number of steps done and all of them; below 0 with the patients still to be simulated.
    """
    open_resumable_run(
        work,
        {"seed": SEED, "patients": PATIENTS, "steps": STEPS, "rate": LEARNING_RATE, "settings": repr(SETTINGS)},
    )
    cases = prepare_cases(work, progress)
    weights = fit([dict(np.load(case)) for case in cases], work / "state.pt", progress)
    folder = model / DETECTION_NETWORK
    write_network(folder, _plans(), dataset_of(SETTINGS, PATIENTS), weights)
    (folder / "provenance.json").write_text(json.dumps(_provenance(), indent=2) + "\n", encoding="utf-8")


def prepare_cases(folder: Path, progress: Progress | None = None) -> list[Path]:
    """Simulate what the network learns from, and keep it in files; files that are there stay as they are."""
    files = [folder / f"{number}.npz" for number in range(PATIENTS)]
    for number, path in enumerate(files):
        if not path.is_file():
            partial = path.with_name(f".{path.name}")
            case = training_case(draw_patient(SEED, number))
            np.savez(partial, scan=case["scan"], numbers=case["numbers"], labels=case["labels"])
            partial.replace(path)
        if progress is not None:
            progress(number + 1 - len(files), STEPS)
    return files


def training_case(patient: SimulatedPatient) -> dict[str, NDArray[Any]]:
    """What is learned of a patient, turned as nnU-Net's reader turns it, on the network's grid (z, y, x).

    Returns
    -------
    ``scan`` in HU (float16), ``numbers`` of the metastases as a reader draws them (uint8), and ``labels`` to be learned (uint8).
    """
    ct = resample(reorient(patient.ct, "RAS"), SETTINGS.spacing_mm, interpolation="linear")
    numbers = resample_like(patient.reader, ct.geometry, interpolation="nearest", outside=0).voxels
    liver_mm = resample_like(patient.liver_mm, ct.geometry, interpolation="linear", outside=FAR_MM).voxels
    patterns = [0, *(label_of(report.predominant) for report in patient.facts.reports)]
    labels = np.where(numbers > 0, np.array(patterns)[numbers], np.where(liver_mm < 0, label_of(LIVER), 0))
    return {"scan": ct.voxels.astype(np.float16), "numbers": numbers, "labels": labels.astype(np.uint8)}


def label_of(name: str) -> int:
    """Label of a pattern, or of the liver."""
    return 1 + SETTINGS.labels.index(name)


def fit(volumes: Sequence[Volume], state: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Fit the network to tiles of the training cases; give its weights.

    Parameters
    ----------
    volumes
        Of :func:`training_case`.
    state
        File that holds a fit that was stopped.
    """
    with repeatable(SEED):
        network = _network()
        optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, LEARNING_RATE, total_steps=STEPS, pct_start=WARMING_UP
        )
        kept = {"network": network, "optimiser": optimiser, "schedule": schedule}
        first = 0
        if state.is_file():
            content = torch.load(state, weights_only=True)
            first = content["step"]
            for name, each in kept.items():
                each.load_state_dict(content[name])
        for step in range(first, STEPS):
            scan, labels = tile(np.random.default_rng([SEED, step]), volumes)
            optimiser.zero_grad()
            torch.autograd.backward(loss(network(torch.from_numpy(scan)[None, None]), torch.from_numpy(labels)[None]))
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            if (step + 1) % SAVED_EVERY == 0 or step + 1 == STEPS:
                partial = state.with_suffix(".partial")
                torch.save({"step": step + 1, **{name: each.state_dict() for name, each in kept.items()}}, partial)
                partial.replace(state)
            if progress is not None:
                progress(step + 1, STEPS)
    return dict(network.state_dict())


def tile(rng: np.random.Generator, volumes: Sequence[Volume]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Cut a tile out of a random patient, around one of the metastases or anywhere, and vary its densities."""
    volume = volumes[int(rng.integers(len(volumes)))]
    numbers, shape, patch = volume["numbers"], np.array(volume["numbers"].shape), np.array(SETTINGS.patch)
    centre = rng.integers(shape)
    if rng.random() < AROUND_METASTASIS:  # small ones as often as large ones
        voxels = np.argwhere(numbers == rng.choice(np.unique(numbers)[1:]))
        centre = voxels[rng.integers(len(voxels))] + rng.integers(-patch // ASIDE, patch // ASIDE + 1)
    start = np.clip(centre - patch // 2, 0, np.maximum(shape - patch, 0))
    box = tuple(slice(int(a), int(a + b)) for a, b in zip(start, patch, strict=True))
    missing = [(0, int(max(b - a, 0))) for a, b in zip(shape, patch, strict=True)]
    varied = volume["scan"][box].astype(np.float32) * np.float32(np.exp(rng.normal(0, 0.05)))
    varied += np.float32(rng.normal(0, 0.1) * DEVIATION_HU)
    scan = (np.clip(varied, LOW_HU, HIGH_HU) - np.float32(MEAN_HU)) / np.float32(DEVIATION_HU)
    return np.pad(scan, missing), np.pad(volume["labels"][box], missing).astype(np.int64)


def loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the classes, plus one minus the Dice coefficient of all metastases together, whatever their pattern.

    In the cross-entropy a class weighs as the square root of its voxels, or metastases would wait for all that is none.

    Parameters
    ----------
    scores
        (1, classes, z, y, x).
    labels
        (1, z, y, x).
    """
    inside = (labels > 0) & (labels != label_of(LIVER))
    size = torch.bincount(labels.flatten(), minlength=scores.shape[1]).float()
    weights = torch.where(size > 0, size.clamp(min=1) ** -0.5, 0.0)
    shares = torch.softmax(scores, dim=1)
    probability = 1 - shares[:, 0] - shares[:, label_of(LIVER)]
    dice = (2 * probability[inside].sum() + 1) / (probability.sum() + inside.sum() + 1)
    return functional.cross_entropy(scores, labels, weight=weights) + 1 - dice


def _plans() -> dict[str, Any]:
    seen = {"mean": MEAN_HU, "median": MEAN_HU, "std": DEVIATION_HU, "min": LOW_HU, "max": HIGH_HU}
    return plans_of(SETTINGS, {"0": {**seen, "percentile_00_5": LOW_HU, "percentile_99_5": HIGH_HU}})


def _network() -> Any:
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    architecture = _plans()["configurations"][CONFIGURATION]["architecture"]
    return get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        len(SETTINGS.channels),
        1 + len(SETTINGS.labels),
        deep_supervision=False,
    )


def _provenance() -> dict[str, Any]:
    return {
        "training_data": {**SOURCE.model_dump(), "patients": PATIENTS, "seed": SEED},
        "classes": list(SETTINGS.labels),
        "steps": STEPS,
        "software": {"python": platform.python_version(), **{name: version(name) for name in _SOFTWARE}},
        "made_by": "python -m liver_growth_pattern.detection",
    }


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="trained model that gets the network")
    parser.add_argument("--work", type=Path, help="folder to go on from after a stop; by default beside the model")
    arguments = parser.parse_args()
    work = arguments.work or arguments.model.with_name(f".{arguments.model.name}-detection")
    with progress_bars() as bars:
        bar = bars.add_task(DETECTION_NETWORK, total=None)

        def report(done: int, steps: int) -> None:
            if done <= 0:
                bars.update(bar, description=f"{-done} patients to simulate")
            else:
                bars.update(bar, description="Fitting the network", completed=done, total=steps)

        train_detection(arguments.model, work, report)
    for told in write_portable_forms(arguments.model, read_algorithm(Path(__file__).parent)):
        print(told)


if __name__ == "__main__":
    main()
