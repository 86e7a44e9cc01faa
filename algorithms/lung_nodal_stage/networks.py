"""The small networks that are shipped: ``python -m lung_nodal_stage.networks --model MODEL [--labels FILE ...]``.

The organ network stands where TotalSegmentator's own weights would (task total at 3 mm), the lesion network in nnU-Net's
layout, so that real ones take their place without a change. Both are plain U-Nets of nnU-Net, fitted here by a short loop.
The lesion network learns from simulated patients; the organ network from them, and from CTs that are drawn anew and anew
from label maps of simulated and, with ``--labels``, of real people (``organ_cases.py``). A run that was stopped goes on
when started again, and on a CPU ends with the same weights.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from preop.anatomy import Organs, map_stations, stations_of_node
from preop.errors import InvalidModelError
from preop.folders import open_resumable_run
from preop.grandchallenge.algorithm import read_algorithm
from preop.imaging import Image, components, reorient, resample, resample_like
from preop.progress import progress_bars
from preop.repeatable import repeatable
from preop.segmentation import Organs as FoundOrgans
from preop.segmentation import (
    TrainingSettings,
    load_network,
    load_organ_networks,
    write_network,
    write_organ_network,
)
from preop.segmentation.model_folder import PLANS_FILE, heads_taken, heard_heads, read_model_folder
from preop.segmentation.training import CONFIGURATION, dataset_of, plans_of
from preop.study import MODEL_FILE, DataSource, register

from .organ_cases import DRAWN, ORGANS, SPINE, LabelMaps, draw_case, network_labels
from .simulation import SOURCE, SimulatedLesion, SimulatedPatient, draw_patient

Task = Literal["organs", "lesions"]
Progress = Callable[[int, int], None]

SEED, PATIENTS = 20_000, 56
FIRST_HELD_OUT = 1_000
"""Number of the first patient of the same seed that no network has seen."""

AVID_SUV = 2.0
"""Uptake from which a lesion is one for the network: what is fainter than blood nobody would outline on a PET."""

SIMULATED = 16
"""Simulated patients whose CT the organ network sees as it is, beside those that are drawn from label maps."""

WIDE = (64, 64, 96)
FAMILIAR = 0.65  # share of the tiles around a voxel of a random class
WARMING_UP = 0.12  # share of the steps
SAVED_EVERY = 50
CLEAR_MM = 3.0  # from a border
HELD_OUT = 20


@dataclass(frozen=True)
class Part:
    """A part of a fit: so many tiles of one size, one a step, with a learning rate that rises and falls.

    Attributes
    ----------
    patch
        Size of the tiles in voxels (z, y, x): small ones first, in which organs are large; then such as show both sides.
    steps
        Number of tiles.
    learning_rate
        The highest.
    """

    patch: tuple[int, int, int]
    steps: int
    learning_rate: float


@dataclass(frozen=True)
class Recipe:
    """What a network is, and how it is fitted.

    Attributes
    ----------
    settings
        Network in the terms of the library.
    intensities
        For each channel lowest and highest value, mean and standard deviation, in HU or SUV.
    parts
        Parts of the fit, in order.
    """

    settings: TrainingSettings
    intensities: tuple[tuple[float, float, float, float], ...]
    parts: tuple[Part, ...]

    @property
    def steps(self) -> int:
        """Number of tiles of all parts."""
        return sum(part.steps for part in self.parts)

    @property
    def plans(self) -> dict[str, Any]:
        """Plans as nnU-Net reads them."""
        return plans_of(
            self.settings,
            {
                str(channel): {
                    "mean": mean,
                    "median": mean,
                    "std": deviation,
                    "min": low,
                    "max": high,
                    "percentile_00_5": low,
                    "percentile_99_5": high,
                }
                for channel, (low, high, mean, deviation) in enumerate(self.intensities)
            },
        )


RECIPES: Mapping[Task, Recipe] = {
    "organs": Recipe(
        TrainingSettings(
            labels=ORGANS,
            spacing_mm=(3.0,) * 3,
            patch=WIDE,
            features=(16, 32, 64, 64, 64),
            convolutions=(1, 1, 1, 1, 3),  # deep ones see far, and cost next to nothing
        ),
        intensities=((-950.0, 400.0, 0.0, 200.0),),
        parts=(Part(WIDE, 750, 1.5e-3),),
    ),
    "lesions": Recipe(
        TrainingSettings(
            labels=("lesion",),
            channels=("CT", "PET"),
            spacing_mm=(4.0,) * 3,
            patch=(48, 48, 48),
            features=(16, 32, 64, 64),  # in multiples of 16, in which processors convolve several times as fast
            convolutions=1,
        ),
        intensities=((-300.0, 300.0, 0.0, 100.0), (0.0, 15.0, 1.5, 1.5)),
        parts=(Part((48, 48, 48), 1000, 3e-3),),
    ),
}


def train_networks(
    model: Path,
    work: Path,
    tasks: Sequence[Task] = ("organs", "lesions"),
    progress: Progress | None = None,
    maps: LabelMaps | None = None,
    start: Path | None = None,
) -> None:
    """Fit networks and write them into a model folder, with where they come from.

    Parameters
    ----------
    model
        Folder that gets ``organs`` and ``lesions``.
    work
        Folder of what is needed to go on after a stop; it may be removed in the end.
    progress
        Called with the number of steps done and all of them, for each network; preparing a case is a step too.
    maps
        Label maps of real people for the organ network; only simulated ones where not given.
    start
        Model folder of networks of the same classes whose weights to start from, as far as they fit.
    """
    maps = maps or LabelMaps()
    begun = {task: _start(start / task, RECIPES[task].settings.labels) for task in tasks} if start else {}
    open_resumable_run(
        work,
        {
            "seed": SEED,
            "patients": PATIENTS,
            "drawn": DRAWN,
            "label maps": " ".join(maps.checksums.values()),
            **{f"start of {task}": each.checksum for task, each in begun.items()},
            **{task: repr(recipe) for task, recipe in RECIPES.items()},
        },
    )
    for task in tasks:
        recipe = RECIPES[task]
        cases = prepare_cases(task, work, maps, progress)
        weights = fit(recipe, cases, work / f"{task}.pt", progress, begun[task].weights if start else {})
        folder = model / task
        if task == "organs":
            write_organ_network(folder, recipe.plans, weights, ORGANS)
        else:
            write_network(folder, recipe.plans, dataset_of(recipe.settings, PATIENTS), weights)
        (folder / "provenance.json").write_text(json.dumps(_provenance(task, maps, begun.get(task)), indent=2) + "\n")


def training_case(task: Task, patient: SimulatedPatient) -> tuple[list[Image], Image]:
    """Scans and labels of a patient on the network's grid, turned as nnU-Net's reader turns them."""
    recipe = RECIPES[task]
    ct = resample(reorient(patient.ct, "RAS"), recipe.settings.spacing_mm, interpolation="linear")
    if task == "organs":
        organs = resample_like(patient.organs.labels, ct.geometry, interpolation="nearest", outside=0)
        return [ct], network_labels(organs, patient.organs.indices)
    pet = resample_like(patient.pet, ct.geometry, interpolation="linear")
    lesions = resample_like(patient.lesions, ct.geometry, interpolation="nearest", outside=0)
    avid = [lesion.label for lesion in avid_lesions(patient)]
    return [ct, pet], ct.with_voxels(np.isin(lesions.voxels, avid).astype(np.uint8))


def avid_lesions(patient: SimulatedPatient) -> list[SimulatedLesion]:
    """What the lesion network is to find: primary, nodes and distant lesions that take up more than blood."""
    return [
        lesion for lesion in patient.facts.lesions if lesion.kind != "physiological" and lesion.suv_max_true >= AVID_SUV
    ]


@dataclass(frozen=True)
class _Start:
    """Weights that a fit starts from, with the checksum of their file and the record of their own training."""

    weights: Mapping[str, Any]
    checksum: str
    provenance: Mapping[str, Any]


def _start(network: Path, classes: Sequence[str]) -> _Start:
    """Read the weights of a network that was written here, with the outputs of these classes in their order."""
    folder = read_model_folder(next(network.rglob(PLANS_FILE)).parent)
    weights = folder.weights[0]
    heads = [0, *(int(folder.dataset["labels"][name]) for name in classes)]
    heard = heard_heads(weights)
    if heard is not None and set(heard) != set(heads):
        raise InvalidModelError(f"The network of {network} has not learned the classes of this one.")
    checksum = next(digest for name, digest in folder.checksums.items() if name.endswith(".pth"))
    record = json.loads((network / "provenance.json").read_text())
    return _Start(heads_taken(weights, heads), checksum, record)


def _started(network: torch.nn.Module, weights: Mapping[str, Any]) -> None:
    """Take over the weights that fit; a further convolution hands on what it is given, to begin with."""
    own = network.state_dict()
    for name, values in own.items():
        if name in weights and weights[name].shape == values.shape:
            values.copy_(weights[name])
        elif name.endswith("conv.weight") and values.shape[0] == values.shape[1]:
            torch.nn.init.dirac_(values)
    network.load_state_dict(own)


def fit(
    recipe: Recipe,
    cases: Sequence[Path],
    state: Path,
    progress: Progress | None = None,
    start: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Fit a network to tiles of prepared cases; give its weights.

    Parameters
    ----------
    cases
        Files of :func:`prepare_cases`.
    state
        File that holds a fit that was stopped.
    start
        Weights to start from where they fit; none to start at random.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with repeatable(SEED):
        network = _network(recipe).to(device)
        if start:
            _started(network, start)
        volumes = [dict(np.load(case)) for case in cases]
        done = 0
        for part in recipe.parts:
            before, done = done, done + part.steps
            optimiser = torch.optim.AdamW(network.parameters(), lr=part.learning_rate, weight_decay=1e-4)
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, part.learning_rate, total_steps=part.steps, pct_start=WARMING_UP
            )
            kept = {"network": network, "optimiser": optimiser, "schedule": schedule}
            for step in range(_taken_up(state, kept, before, done), done):
                data, labels = _tile(np.random.default_rng([SEED, step]), volumes, recipe, part.patch)
                optimiser.zero_grad()
                with torch.autocast(device.type, torch.bfloat16):  # twice as fast where the processor knows it
                    scores = network(data.to(device))
                torch.autograd.backward(_loss(scores.float(), labels.to(device)))
                torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimiser.step()
                schedule.step()
                if (step + 1) % SAVED_EVERY == 0 or step + 1 == done:
                    partial = state.with_suffix(".partial")
                    torch.save({"step": step + 1, **{name: each.state_dict() for name, each in kept.items()}}, partial)
                    partial.replace(state)
                if progress is not None:
                    progress(step + 1, recipe.steps)
    return {name: value.cpu() for name, value in network.state_dict().items()}


def _taken_up(state: Path, kept: Mapping[str, Any], first: int, last: int) -> int:
    """Load a fit that was stopped after the first step of a part; give the step to go on with."""
    if not state.is_file():
        return first
    content = torch.load(state, weights_only=True, map_location="cpu")
    if content["step"] <= first:
        return first
    kept["network"].load_state_dict(content["network"])
    if content["step"] <= last:
        kept["optimiser"].load_state_dict(content["optimiser"])
        kept["schedule"].load_state_dict(content["schedule"])
    return min(int(content["step"]), last)


def prepare_cases(
    task: Task, folder: Path, maps: LabelMaps | None = None, progress: Progress | None = None
) -> list[Path]:
    """Simulate and draw what a network learns from, and keep it in files; files that are there stay as they are."""
    simulated = SIMULATED if task == "organs" else PATIENTS
    drawn = DRAWN if task == "organs" else 0
    files = [folder / f"{task}_{number}.npz" for number in range(simulated + drawn)]
    for number, path in enumerate(files):
        if not path.is_file():
            if number < simulated:
                scans, labels = training_case(task, draw_patient(SEED, number))
            else:
                scans, labels = draw_case(SEED, number - simulated, maps or LabelMaps())
            partial = path.with_name(f".{path.name}")
            np.savez(partial, scans=np.stack([scan.voxels for scan in scans]).astype(np.float16), labels=labels.voxels)
            partial.replace(path)
        if progress is not None:
            progress(number + 1 - len(files), RECIPES[task].steps)
    return files


def validate_networks(model: Path, patients: int, progress: Progress | None = None) -> dict[str, Any]:
    """Try the networks of a model folder on simulated patients that they have not seen, and note what comes out.

    Returns
    -------
    Mean Dice coefficient of each organ; share of the nodes more than 3 mm from a border whose station is the same by
    predicted organs as by the true ones, and of all nodes; share of the malignant lesions that are found, benign avid
    ones too, and how many more are found in a patient.
    """
    organ_networks = load_organ_networks(model / "organs", ORGANS)
    lesion_network = load_network(model / "lesions")
    dice: dict[str, list[float]] = {name: [] for name in ORGANS}
    nodes: list[tuple[bool, float]] = []
    lesions: list[tuple[bool, bool]] = []
    false: list[int] = []
    for done in range(patients):
        patient = draw_patient(SEED, FIRST_HELD_OUT + done)
        found = organ_networks.segment(patient.ct)
        for name, value in _dice(found, patient).items():
            dice[name].append(value)
        nodes += _stations_kept(Organs(found.labels, found.values), patient)
        pet = resample_like(patient.pet, patient.ct.geometry, interpolation="linear")
        detected, more = _detected(lesion_network.segment([patient.ct, pet], mirroring=False), patient)
        lesions += detected
        false.append(more)
        if progress is not None:
            progress(done + 1, patients)
    same, border_mm = np.array(nodes).T
    hit, malignant = np.array(lesions).T
    return {
        "patients": patients,
        "dice": {name: round(float(np.nanmean(values)), 3) for name, values in dice.items()},
        "nodes": len(nodes),
        "station_same": round(float(same.mean()), 3),
        "station_same_over_3_mm_from_a_border": round(float(same[border_mm > CLEAR_MM].mean()), 3),
        "malignant_lesions_found": round(float(hit[malignant == 1].mean()), 3),
        "avid_lesions_found": round(float(hit.mean()), 3),
        "more_found_per_patient": round(float(np.mean(false)), 2),
    }


def _dice(found: FoundOrgans, patient: SimulatedPatient) -> dict[str, float]:
    """Dice coefficient of each organ on the CT's grid; of the whole spine for the class that stands for it."""
    truth = resample_like(patient.organs.labels, found.labels.geometry, interpolation="nearest", outside=0).voxels
    values = {}
    for name in ORGANS:
        names = (
            [other for other in patient.organs.indices if other.startswith("vertebrae")] if name == SPINE else [name]
        )
        true = np.isin(truth, [patient.organs.indices[each] for each in names])
        predicted = found.mask(name)
        total = int(true.sum() + predicted.sum())
        values[name] = 2 * float((true & predicted).sum()) / total if total else float("nan")
    return values


def _stations_kept(organs: Organs, patient: SimulatedPatient) -> list[tuple[bool, float]]:
    """For each node: whether these organs put it into its true station, and its distance from the border."""
    stations = map_stations(organs)
    kept = []
    for node in patient.facts.lesions:
        if node.station is not None:
            drawn = patient.lesions.with_voxels(patient.lesions.voxels == node.label)
            kept.append((stations_of_node(drawn, stations).station == node.station, node.border_mm))
    return kept


def _detected(found: Image, patient: SimulatedPatient) -> tuple[list[tuple[bool, bool]], int]:
    """For each avid lesion, whether it was touched and whether it is malignant; and how much was found elsewhere."""
    touched = np.unique(patient.lesions.voxels[found.voxels > 0])
    parts, count = components(found)
    right = np.unique(parts.voxels[patient.lesions.voxels > 0])
    return [(lesion.label in touched, lesion.malignant) for lesion in avid_lesions(patient)], count - int(
        (right > 0).sum()
    )


def _network(recipe: Recipe) -> Any:
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    architecture = recipe.plans["configurations"][CONFIGURATION]["architecture"]
    return get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        len(recipe.settings.channels),
        1 + len(recipe.settings.labels),
        deep_supervision=False,
    )


def _tile(
    rng: np.random.Generator,
    volumes: Sequence[Mapping[str, NDArray[Any]]],
    recipe: Recipe,
    size: tuple[int, int, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a tile out of a random patient, around a voxel of a random class or anywhere, and vary its intensities."""
    volume = volumes[int(rng.integers(len(volumes)))]
    labels, shape = volume["labels"], np.array(volume["labels"].shape)
    patch = np.array(size)
    centre = rng.integers(shape)
    present = np.unique(labels)[1:]
    if present.size and rng.random() < FAMILIAR:
        voxels = np.argwhere(labels == rng.choice(present))
        centre = voxels[rng.integers(len(voxels))] + rng.integers(-8, 9, 3)
    start = np.clip(centre - patch // 2, 0, np.maximum(shape - patch, 0))
    box = tuple(slice(int(a), int(a + b)) for a, b in zip(start, patch, strict=True))
    missing = [(0, int(max(b - a, 0))) for a, b in zip(shape, patch, strict=True)]
    channels = []
    for scan, (low, high, mean, deviation) in zip(volume["scans"], recipe.intensities, strict=True):
        varied = scan[box].astype(np.float32) * np.float32(np.exp(rng.normal(0, 0.05)))
        varied += np.float32(rng.normal(0, 0.05) * deviation)
        normal = (np.clip(varied, low, high) - mean) / deviation
        channels.append(np.pad(normal, missing))
    target = np.pad(labels[box], missing)
    return torch.from_numpy(np.stack(channels)[None]), torch.from_numpy(target[None].astype(np.int64))


def _loss(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus one minus the mean Dice coefficient of the classes in view.

    In the cross-entropy a class weighs as the square root of its voxels, or small organs would wait for the large.
    """
    classes = scores.shape[1]
    flat = labels.flatten()
    size = torch.bincount(flat, minlength=classes).float()
    weights = torch.where(size > 0, size.clamp(min=1) ** -0.5, 0.0)
    entropy = functional.cross_entropy(scores, labels, weight=weights)
    probability = torch.softmax(scores, dim=1)
    right = probability.gather(1, labels[:, None]).flatten()
    shared = torch.zeros(classes, device=scores.device).index_add(0, flat, right)
    dice = (2 * shared + 1) / (probability.sum(dim=(0, 2, 3, 4)) + size + 1)
    seen = size > 0
    seen[0] = False
    return entropy + (1 - dice[seen].mean() if seen.any() else 0 * entropy)


def _provenance(task: Task, maps: LabelMaps, start: _Start | None) -> dict[str, Any]:
    source: DataSource = SOURCE
    packages = ("preop", "torch", "nnunetv2", "TotalSegmentator", "numpy")
    return {
        "training_data": {
            **source.model_dump(),
            "patients": SIMULATED if task == "organs" else PATIENTS,
            "seed": SEED,
            **(maps.provenance if task == "organs" else {}),
        },
        "classes": list(RECIPES[task].settings.labels),
        "steps": RECIPES[task].steps,
        "software": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "made_by": "python -m lung_nodal_stage.networks",
        **({"started_from": {"sha256": start.checksum, **start.provenance}} if start else {}),
    }


def main() -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="model folder that gets the networks")
    parser.add_argument("--work", type=Path, help="folder to go on from after a stop; by default beside the model")
    parser.add_argument("--only", choices=("organs", "lesions"), help="one of the networks")
    parser.add_argument(
        "--labels",
        type=Path,
        nargs="*",
        default=[],
        help="label maps of real people for the organ network: TotalSegmentator's data set, doi 10.5281/zenodo.6802613",
    )
    parser.add_argument("--start", type=Path, help="model folder whose networks to start from; at random without")
    parser.add_argument("--validate", action="store_true", help="train nothing, try the networks on unseen patients")
    arguments = parser.parse_args()
    if arguments.validate:
        figures = validate_networks(arguments.model, HELD_OUT)
        arguments.model.with_name(f"{arguments.model.name}-networks.json").write_text(
            json.dumps(figures, indent=2) + "\n"
        )
        print(json.dumps(figures, indent=2))
        return
    tasks: Sequence[Task] = (arguments.only,) if arguments.only else ("organs", "lesions")
    work = arguments.work or arguments.model.with_name(f".{arguments.model.name}-networks")
    with progress_bars() as bars:
        for task in tasks:
            bar = bars.add_task(task, total=None)

            def report(done: int, steps: int, bar: Any = bar, task: str = task) -> None:
                if done <= 0:
                    bars.update(bar, description=f"{task}, {-done} cases to prepare")
                else:
                    bars.update(bar, description=task, completed=done, total=steps)

            train_networks(arguments.model, work, [task], report, LabelMaps(tuple(arguments.labels)), arguments.start)
    if (arguments.model / MODEL_FILE).is_file():
        register(arguments.model, read_algorithm(Path(__file__).parent))
    print(f"The networks are in {arguments.model}")


if __name__ == "__main__":
    main()
