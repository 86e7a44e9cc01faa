"""Training of segmentation networks by nnU-Net's own trainer, in this process.

Loss, augmentation, learning rate and deep supervision are those of nnunetv2 2.8. What it asks of its surroundings
(environment variables, folders of raw and prepared data, a planner) is laid out here, so that a network is trained by
one call, can be stopped and taken up again, and comes out the same from the same seed. Small networks train on a CPU;
nothing but ``features``, ``patch`` and the number of epochs has to grow for a real one on a GPU.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preop.atomic import write_text
from preop.errors import InvalidInputError
from preop.folders import open_resumable_run
from preop.imaging import Image
from preop.repeatable import one_thread
from preop.segmentation.model_folder import CHECKPOINT_FILE, PLANS_FILE, read_checkpoint, write_network
from preop.segmentation.network import Device, Progress

Case = Callable[[], tuple[Sequence[Image], Image]]
"""Reads the scans of a patient, one a channel, and the label map on their grid."""

CONFIGURATION = "3d_fullres"
WORK_FOLDER = "training"

_DATASET_NAME = "Dataset001_preop"
_SAMPLED_VOXELS = 10_000


@dataclass(frozen=True)
class TrainingSettings:
    """What network is trained, and how long.

    Attributes
    ----------
    labels
        Names of the labels from 1 on, in order.
    channels
        Names of the scans, in order. Their intensities have a unit (HU, SUV): all are clipped and scaled by the range
        that the labelled voxels of the training cases have, which nnU-Net calls normalisation of CT.
    spacing_mm, patch
        Voxel spacing of the network (z, y, x), and size of the tiles in voxels.
    features
        Number of feature maps of each stage, from fine to coarse; each stage halves the resolution.
    convolutions
        Number of convolutions in each stage, or of each stage from fine to coarse.
    batch_size, epochs, iterations
        Tiles in a step, and number of epochs with so many steps each.
    learning_rate
        At the start; it falls to 0 as nnU-Net's does.
    mirroring
        Whether mirrored scans are learned too: not for organs that have a side.
    """

    labels: tuple[str, ...]
    channels: tuple[str, ...] = ("CT",)
    spacing_mm: tuple[float, float, float] = (3.0, 3.0, 3.0)
    patch: tuple[int, int, int] = (64, 64, 64)
    features: tuple[int, ...] = (8, 16, 32, 64)
    convolutions: int | tuple[int, ...] = 2
    batch_size: int = 2
    epochs: int = 50
    iterations: int = 50
    learning_rate: float = 1e-2
    mirroring: bool = False

    def __post_init__(self) -> None:
        if len(self.features) < 3:
            raise InvalidInputError(
                f"A network of {len(self.features)} stages cannot be trained; expected 3 or more, because nnU-Net's loss "
                "leaves out the coarsest output."
            )
        if len(self.convolutions_of_stages) != len(self.features):
            raise InvalidInputError(
                f"Convolutions are given for {len(self.convolutions_of_stages)} stages; expected {len(self.features)}, as "
                "many as there are features."
            )
        halved = 2 ** (len(self.features) - 1)
        if any(size % halved for size in self.patch):
            raise InvalidInputError(
                f"The patch {self.patch} cannot be halved {len(self.features) - 1} times; expected multiples of {halved}."
            )

    @property
    def convolutions_of_stages(self) -> tuple[int, ...]:
        """Number of convolutions of each stage, from fine to coarse."""
        given = self.convolutions
        return (given,) * len(self.features) if isinstance(given, int) else given

    @property
    def trainer(self) -> str:
        """Name of nnU-Net's trainer class."""
        return "nnUNetTrainer" if self.mirroring else "nnUNetTrainerNoMirroring"


def train_network(
    cases: Mapping[str, Case],
    settings: TrainingSettings,
    output: Path,
    *,
    seed: int,
    fold: int = 0,
    device: Device = "auto",
    workers: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Train a network on all cases given.

    Stopped and called again with the same settings it goes on where it was, and ends with the same weights.

    Parameters
    ----------
    cases
        The cases by name; each is read when it is needed.
    settings
        Network and length of the training.
    output
        Folder of the network, which :func:`preop.segmentation.load_network` and nnU-Net read; work that is not finished
        lies inside it.
    seed
        Of weights, order and augmentation. With ``workers`` the same seed gives similar, not the same weights.
    fold
        Number under which the weights are stored; for an ensemble, call once a fold with other cases.
    device
        ``auto`` takes a CUDA device where there is one.
    workers
        Processes that prepare tiles; 0 prepares them in this one.
    progress
        Called with the number of epochs done and of all.

    Returns
    -------
    ``output``.

    Raises
    ------
    InvalidInputError
        If there is no case, or one does not fit the settings.
    InvalidOutputError
        If the folder holds the work of other settings.
    """
    import torch

    if not cases:
        raise InvalidInputError("There is no case to train on; expected one or more.")
    work = output / WORK_FOLDER / f"fold_{fold}"
    if (output / f"fold_{fold}" / CHECKPOINT_FILE).is_file() and not work.exists():
        return output
    made_with = {name: str(value) for name, value in dataclasses.asdict(settings).items()}
    open_resumable_run(work, {**made_with, "seed": seed, "cases": " ".join(cases)})
    dataset = dataset_of(settings, len(cases))
    place = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else device.replace("auto", "cpu"))
    on_threads = one_thread() if place.type == "cpu" else contextlib.nullcontext()
    with (
        on_threads,
        _surroundings(work, workers),
        (work / "log.txt").open("a") as log,
        contextlib.redirect_stdout(log),
    ):
        plans = _prepare(cases, settings, dataset, work, seed)
        trainer = _trainer(settings, plans, dataset, work, place, seed, progress)
        trainer.run_training()
    write_network(
        output,
        plans,
        dataset,
        trainer.network.state_dict(),
        trainer=settings.trainer,
        mirrored_axes=trainer.inference_allowed_mirroring_axes or (),
        fold=fold,
    )
    shutil.rmtree(work)
    with contextlib.suppress(OSError):  # other folds may be at work
        work.parent.rmdir()
    return output


def plans_of(settings: TrainingSettings, intensities: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Write the plans that nnU-Net's planner would make of such settings.

    Parameters
    ----------
    intensities
        For each channel (``"0"``, ``"1"``, ...) mean, standard deviation and percentiles of labelled voxels.
    """
    stages, channels = len(settings.features), len(settings.channels)
    resampling: dict[str, Any] = {}
    for what, is_seg in (("data", False), ("seg", True), ("probabilities", False)):
        resampling[f"resampling_fn_{what}"] = "resample_torch_fornnunet"
        resampling[f"resampling_fn_{what}_kwargs"] = {
            "is_seg": is_seg,
            "force_separate_z": False,
            "memefficient_seg_resampling": False,
        }
    return {
        "dataset_name": _DATASET_NAME,
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "experiment_planner_used": "ExperimentPlanner",
        "foreground_intensity_properties_per_channel": intensities,
        "configurations": {
            CONFIGURATION: {
                "data_identifier": f"nnUNetPlans_{CONFIGURATION}",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": settings.batch_size,
                "patch_size": list(settings.patch),
                "median_image_size_in_voxels": list(settings.patch),
                "spacing": list(settings.spacing_mm),
                "normalization_schemes": ["CTNormalization"] * channels,
                "use_mask_for_norm": [False] * channels,
                "batch_dice": True,
                **resampling,
                "architecture": {
                    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                    "arch_kwargs": {
                        "n_stages": stages,
                        "features_per_stage": list(settings.features),
                        "conv_op": "torch.nn.modules.conv.Conv3d",
                        "kernel_sizes": [[3, 3, 3]] * stages,
                        "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
                        "n_conv_per_stage": list(settings.convolutions_of_stages),
                        "n_conv_per_stage_decoder": list(settings.convolutions_of_stages[-2::-1]),
                        "conv_bias": True,
                        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                        "dropout_op": None,
                        "dropout_op_kwargs": None,
                        "nonlin": "torch.nn.LeakyReLU",
                        "nonlin_kwargs": {"inplace": True},
                    },
                    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
                },
            }
        },
    }


def dataset_of(settings: TrainingSettings, cases: int) -> dict[str, Any]:
    """Write the description of the data set as nnU-Net wants it."""
    return {
        "channel_names": {str(number): name for number, name in enumerate(settings.channels)},
        "labels": {"background": 0, **{name: value for value, name in enumerate(settings.labels, 1)}},
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }


@contextlib.contextmanager
def _surroundings(work: Path, workers: int) -> Iterator[None]:
    """Set what nnU-Net reads from the environment, for as long as it trains."""
    wanted = {
        "nnUNet_raw": str(work),
        "nnUNet_preprocessed": str(work / "prepared"),
        "nnUNet_results": str(work / "results"),
        "nnUNet_n_proc_DA": str(workers),
        "nnUNet_compile": "f",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _prepare(
    cases: Mapping[str, Case], settings: TrainingSettings, dataset: dict[str, Any], work: Path, seed: int
) -> dict[str, Any]:
    """Prepare each case once, by plans that are made of all of them."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    folder = work / "prepared" / _DATASET_NAME
    folder.mkdir(parents=True, exist_ok=True)
    noted = folder / PLANS_FILE
    if not noted.is_file():
        write_text(noted, json.dumps(plans_of(settings, _intensities(cases, settings, seed))))
    (folder / "dataset_fingerprint.json").write_text("{}")  # nnU-Net copies it; nobody reads it
    plans: dict[str, Any] = json.loads(noted.read_text())
    manager = PlansManager(plans)
    configuration = manager.get_configuration(CONFIGURATION)
    prepared = folder / configuration.data_identifier
    prepared.mkdir(exist_ok=True)
    for name, case in cases.items():
        if (prepared / f"{name}.pkl").is_file():  # written last
            continue
        scans, labels = _checked(name, case, settings)
        data, seg, properties = DefaultPreprocessor(verbose=False).run_case_npy(
            np.stack([scan.voxels for scan in scans]).astype(np.float32),
            labels.voxels[None].astype(np.int16),
            {"spacing": list(scans[0].spacing_mm)},
            manager,
            configuration,
            dataset,
        )
        blocks, chunks = comp_blosc2_params(data.shape, settings.patch, data.itemsize)
        nnUNetDatasetBlosc2.save_case(
            data.astype(np.float32),
            seg.astype(np.int16),
            properties,
            str(prepared / name),
            chunks=chunks,
            blocks=blocks,
        )
    return plans


def _checked(name: str, case: Case, settings: TrainingSettings) -> tuple[Sequence[Image], Image]:
    """Read a case, turned to the axes of the plans."""
    from preop.imaging import reorient

    scans, labels = case()
    if len(scans) != len(settings.channels):
        raise InvalidInputError(
            f"The case {name} has {len(scans)} scans; expected {len(settings.channels)} ({', '.join(settings.channels)})."
        )
    for image in (*scans[1:], labels):
        difference = scans[0].geometry.difference(image.geometry)
        if difference:
            raise InvalidInputError(f"The scans and labels of the case {name} lie on different grids ({difference}).")
    highest = int(labels.voxels.max())
    if highest > len(settings.labels) or labels.voxels.min() < 0:
        raise InvalidInputError(
            f"The case {name} holds the label {highest}; expected 0 to {len(settings.labels)} "
            f"({', '.join(settings.labels)})."
        )
    return [reorient(scan, "RAS") for scan in scans], reorient(labels, "RAS")


def _intensities(cases: Mapping[str, Case], settings: TrainingSettings, seed: int) -> dict[str, dict[str, float]]:
    """Describe the intensities of labelled voxels as nnU-Net's fingerprint does, from a sample of each case."""
    rng = np.random.default_rng(seed)
    samples = []
    for name, case in cases.items():
        scans, labels = _checked(name, case, settings)
        inside = np.flatnonzero(labels.voxels)
        if inside.size:
            sample = rng.choice(inside, _SAMPLED_VOXELS)
            samples.append(np.stack([scan.voxels.ravel()[sample] for scan in scans]).astype(np.float64))
    if not samples:
        raise InvalidInputError("No case holds a label; expected labelled voxels to learn from.")
    values = np.concatenate(samples, axis=1)
    return {
        str(channel): {
            "mean": float(of_channel.mean()),
            "median": float(np.median(of_channel)),
            "std": float(of_channel.std()),
            "min": float(of_channel.min()),
            "max": float(of_channel.max()),
            "percentile_00_5": float(np.percentile(of_channel, 0.5)),
            "percentile_99_5": float(np.percentile(of_channel, 99.5)),
        }
        for channel, of_channel in enumerate(values)
    }


def _trainer(
    settings: TrainingSettings,
    plans: dict[str, Any],
    dataset: dict[str, Any],
    work: Path,
    device: Any,
    seed: int,
    progress: Progress | None,
) -> Any:
    """Make nnU-Net's trainer, at the start or where an earlier run has stopped."""
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    base: Any = recursive_find_trainer_class_by_name(settings.trainer)

    class Trainer(base):  # type: ignore[misc]
        """The trainer with a seed for each epoch, so that a training taken up again goes on as it would have."""

        def on_train_epoch_start(self) -> None:
            _seed(seed + 1 + self.current_epoch)
            super().on_train_epoch_start()

        def on_epoch_end(self) -> None:
            super().on_epoch_end()
            if progress is not None:
                progress(self.current_epoch, self.num_epochs)

    _seed(seed)
    trainer = Trainer({**plans, "continue_training": False}, CONFIGURATION, "all", dataset, device)
    trainer.num_epochs = settings.epochs
    trainer.num_iterations_per_epoch = settings.iterations
    trainer.num_val_iterations_per_epoch = max(1, settings.iterations // 10)
    trainer.initial_lr = settings.learning_rate
    trainer.save_every = 1
    trainer.logger.plot_progress_png = lambda _: None  # takes longer than an epoch of a small network
    trainer.initialize()
    latest = Path(trainer.output_folder) / "checkpoint_latest.pth"
    if latest.is_file():
        read_checkpoint(work, latest)  # refuses what could run code, which the trainer's own reading would not
        trainer.load_checkpoint(str(latest))
    return trainer


def _seed(seed: int) -> None:
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  (nnU-Net draws from the global generators)
    torch.manual_seed(seed)
