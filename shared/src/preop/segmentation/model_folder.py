"""Folders of trained nnU-Net v2 networks: checked before anything in them is believed, and written so that nnU-Net reads them.

The layout is nnU-Net's own (``nnUNetTrainer.on_train_start`` and ``save_checkpoint`` of nnunetv2 2.8)::

    plans.json                          how scans are prepared, how the network is built
    dataset.json                        names of channels and labels
    fold_<n>/checkpoint_final.pth       weights, one folder a fold

Beside the weights of a fold, or in their place, its portable form may lie (``portable_network.py``).
"""

from __future__ import annotations

import ast
import importlib.util
import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preop.atomic import replacing, write_text
from preop.errors import InvalidModelError
from preop.folders import sha256

PLANS_FILE = "plans.json"
DATASET_FILE = "dataset.json"
CHECKPOINT_FILE = "checkpoint_final.pth"
DEFAULT_TRAINER = "nnUNetTrainer"

# Score of a class that a network has not learned: it never wins, and stays in the range of float16 when tiles are summed.
SILENT_SCORE = -500.0

# What plans may build a network from, by full names. nnU-Net looks names up by walking through modules, and whatever lies
# under torch.nn leads to the rest of Python (torch.nn.parallel.distributed.os.system): no prefix is safe.
_ARCHITECTURES = frozenset(
    f"dynamic_network_architectures.architectures.unet.{name}"
    for name in ("PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet")
)
_LAYERS: Mapping[str, Sequence[str]] = {
    "conv": ("Conv1d", "Conv2d", "Conv3d"),
    "instancenorm": ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
    "batchnorm": ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"),
    "dropout": ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d"),
    "activation": ("LeakyReLU", "ReLU", "ReLU6", "ELU", "GELU", "SiLU", "Mish", "PReLU"),
}
_BUILDING_BLOCKS = frozenset(
    f"torch.nn.{module}{name}"
    for part, names in _LAYERS.items()
    for name in names
    for module in ("", f"modules.{part}.")
) | {
    "dynamic_network_architectures.building_blocks.residual.BasicBlockD",
    "dynamic_network_architectures.building_blocks.residual.BottleneckD",
}
MAX_STAGES, MAX_FEATURES = 12, 2048
"""More than any published nnU-Net has; a network beyond that is a way to fill the memory."""


@dataclass(frozen=True)
class ModelFolder:
    """Content of a folder that has passed every check.

    Attributes
    ----------
    plans, dataset
        Content of ``plans.json`` and ``dataset.json``.
    configuration
        Name of the configuration that was trained, for example ``3d_fullres``.
    trainer
        Name of the trainer class, which decides how the network is built.
    mirrored_axes
        Spatial axes (0, 1, 2 of the prepared scan) along which the network has learned mirrored scans.
    weights
        One state a fold, in the order of ``folds``.
    checksums
        SHA-256 of each file that was read, by its path inside the folder.
    """

    path: Path
    folds: tuple[str, ...]
    plans: dict[str, Any]
    dataset: dict[str, Any]
    configuration: str
    trainer: str
    mirrored_axes: tuple[int, ...]
    weights: tuple[Mapping[str, Any], ...]
    checksums: Mapping[str, str]


def read_model_folder(folder: Path, folds: Sequence[int | str] | None = None) -> ModelFolder:
    """Read and check a folder of a trained network; nothing in it is run.

    Parameters
    ----------
    folder
        The folder that holds ``plans.json``.
    folds
        Which to read; all that are there if not given (``fold_all`` only where it is alone, as nnU-Net does).

    Raises
    ------
    InvalidModelError
        If a file is missing or damaged, a checkpoint holds anything but weights and settings, or the parts do not
        belong together.
    """
    plans, dataset = read_descriptions(folder)
    names = _folds_of(folder) if folds is None else tuple(str(fold) for fold in folds)
    files = [folder / f"fold_{name}" / CHECKPOINT_FILE for name in names]
    checkpoints = [read_checkpoint(folder, file) for file in files]
    first = checkpoints[0]
    if any(_facts(checkpoint) != _facts(first) for checkpoint in checkpoints):
        raise InvalidModelError(
            f"The folds of {folder} were trained with different settings: use the folds of one run."
        )
    configuration, trainer, mirrored_axes = _facts(first)
    _check_plans(folder, plans, configuration)
    return ModelFolder(
        path=folder,
        folds=names,
        plans=plans,
        dataset=dataset,
        configuration=configuration,
        trainer=trainer,
        mirrored_axes=mirrored_axes,
        weights=tuple(checkpoint["network_weights"] for checkpoint in checkpoints),
        checksums={
            str(file.relative_to(folder)): sha256(file) for file in (folder / PLANS_FILE, folder / DATASET_FILE, *files)
        },
    )


def read_descriptions(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read ``plans.json`` and ``dataset.json``.

    Raises
    ------
    InvalidModelError
        If there is no such folder, or one of them is missing or damaged.
    """
    if not folder.is_dir():
        raise InvalidModelError(f"There is no segmentation network at {folder}: name a folder that holds {PLANS_FILE}.")
    return (
        _read_json(folder, PLANS_FILE, ("configurations", "transpose_forward", "transpose_backward")),
        _read_json(folder, DATASET_FILE, ("labels",)),
    )


def write_network(
    folder: Path,
    plans: Mapping[str, Any],
    dataset: Mapping[str, Any],
    weights: Mapping[str, Any],
    *,
    configuration: str = "3d_fullres",
    trainer: str = DEFAULT_TRAINER,
    mirrored_axes: Sequence[int] = (),
    fold: int | str = 0,
) -> None:
    """Write a trained network as nnU-Net would, without the state of its training.

    Several folds are written by calling this once for each.

    Parameters
    ----------
    folder
        Made where it is missing; for TotalSegmentator ``<weights>/<dataset>/<trainer>__nnUNetPlans__<configuration>``.
    plans, dataset
        Content of ``plans.json`` and ``dataset.json``.
    weights
        ``network.state_dict()``.
    configuration, trainer, mirrored_axes
        As in :class:`ModelFolder`.
    """
    import torch

    checkpoint = {
        "network_weights": {name: value.detach().cpu() for name, value in weights.items()},
        "trainer_name": trainer,
        "init_args": {"configuration": configuration},
        "inference_allowed_mirroring_axes": tuple(mirrored_axes) or None,
    }
    fold_folder = folder / f"fold_{fold}"
    fold_folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((PLANS_FILE, plans), (DATASET_FILE, dataset)):
        write_text(folder / name, json.dumps(content, indent=2) + "\n")
    with replacing(fold_folder / CHECKPOINT_FILE) as partial:
        torch.save(checkpoint, partial)


def silent_heads_added(weights: Mapping[str, Any], heads: Sequence[int], total: int) -> dict[str, Any]:
    """Give a network more outputs, which never win.

    Parameters
    ----------
    weights
        State of a U-Net with ``len(heads)`` outputs.
    heads
        Which outputs of the result those are, in order.
    total
        Number of outputs of the result.
    """
    import torch

    def widened(name: str, value: Any) -> Any:
        if not _is_of_heads(name):
            return value
        result = torch.full((total, *value.shape[1:]), SILENT_SCORE if name.endswith("bias") else 0.0)
        result[list(heads)] = value.detach().cpu().float()
        return result

    return {name: widened(name, value) for name, value in weights.items()}


def heard_heads(weights: Mapping[str, Any]) -> list[int] | None:
    """Outputs of a U-Net that can win at all; None for other networks."""
    finest = max((name for name in weights if _is_of_heads(name) and name.endswith("weight")), key=_depth, default=None)
    if finest is None or finest.removesuffix("weight") + "bias" not in weights:
        return None
    weight, bias = weights[finest], weights[finest.removesuffix("weight") + "bias"]
    silent = (weight.flatten(1) == 0).all(dim=1) & (bias <= SILENT_SCORE)
    return [head for head, is_silent in enumerate(silent.tolist()) if not is_silent]


def heads_taken(weights: Mapping[str, Any], heads: Sequence[int]) -> dict[str, Any]:
    """State of the same U-Net with these outputs alone."""
    return {name: value[list(heads)] if _is_of_heads(name) else value for name, value in weights.items()}


def _is_of_heads(name: str) -> bool:
    return ".seg_layers." in name


def _depth(name: str) -> int:
    return int(name.split(".seg_layers.")[1].split(".", maxsplit=1)[0])


def builds_its_own_network(trainer: str) -> bool:
    """Whether a trainer class builds its network in a way of its own, instead of by the plans alone.

    Read from the source of nnunetv2 and TotalSegmentator, because importing the trainers takes seconds.

    Raises
    ------
    InvalidModelError
        If no trainer has this name.
    """
    for file in _trainer_files():
        if f"class {trainer}(" not in file.read_text():
            continue
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name == trainer:
                return _defines_network(node) or any(
                    isinstance(base, ast.Name) and base.id != "object" and builds_its_own_network(base.id)
                    for base in node.bases
                )
    raise InvalidModelError(
        f"The network was trained by {trainer}, which is no part of the installed nnunetv2 or TotalSegmentator: "
        "how it is built cannot be known."
    )


def _defines_network(trainer: ast.ClassDef) -> bool:
    return trainer.name != DEFAULT_TRAINER and any(
        isinstance(node, ast.FunctionDef) and node.name == "build_network_architecture" for node in trainer.body
    )


def _trainer_files() -> list[Path]:
    files: list[Path] = []
    for package, pattern in (
        ("nnunetv2", "training/nnUNetTrainer/**/*.py"),
        ("totalsegmentator", "custom_trainers.py"),
    ):
        found = importlib.util.find_spec(package)
        for place in (found.submodule_search_locations or []) if found else []:
            files += sorted(Path(place).glob(pattern))
    return files


def _read_json(folder: Path, name: str, needed: tuple[str, ...]) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        raise InvalidModelError(f"The segmentation network in {folder} is incomplete: {name} is missing.")
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidModelError(f"The segmentation network in {folder} is damaged: {name} is not JSON.") from error
    missing = [key for key in needed if not isinstance(content, dict) or key not in content]
    if missing:
        raise InvalidModelError(
            f"{name} of the segmentation network in {folder} lacks {', '.join(missing)}: it was not written by nnU-Net v2."
        )
    return dict(content)


def _folds_of(folder: Path) -> tuple[str, ...]:
    found = sorted(path.parent.name.removeprefix("fold_") for path in folder.glob(f"fold_*/{CHECKPOINT_FILE}"))
    if not found:
        raise InvalidModelError(
            f"The segmentation network in {folder} has no weights: no fold_*/{CHECKPOINT_FILE} is there."
        )
    return tuple(name for name in found if name != "all") or tuple(found)


def read_checkpoint(folder: Path, file: Path) -> dict[str, Any]:
    """Read weights without running anything: torch refuses all but tensors and plain values."""
    import torch

    name = file.relative_to(folder)
    if not file.is_file():
        raise InvalidModelError(f"The segmentation network in {folder} is incomplete: {name} is missing.")
    try:
        with torch.serialization.safe_globals(_plain_numpy()):
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        raise InvalidModelError(
            f"{name} of the segmentation network in {folder} holds more than weights, or is damaged: it was not loaded, "
            "because loading it could run code."
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise InvalidModelError(f"{name} of the segmentation network in {folder} is damaged or cut off.") from error
    if not isinstance(content, dict) or not _is_checkpoint(content, torch.Tensor):
        raise InvalidModelError(f"{name} of the segmentation network in {folder} is not a checkpoint of nnU-Net v2.")
    for layer, values in content["network_weights"].items():
        if values.is_floating_point() and not torch.isfinite(values).all():
            raise InvalidModelError(
                f"{name} of the segmentation network in {folder} is damaged: {layer} holds numbers that are not finite."
            )
    return content


def _plain_numpy() -> list[Any]:
    """Numbers of numpy, which nnU-Net leaves in the log that it stores with the weights: values, never code."""
    import numpy as np

    scalar = np.float64(0).__reduce__()[0]
    dtypes = [type(np.dtype(code)) for code in ("f8", "f4", "i8", "i4", "b1")]
    return [np.dtype, scalar, (scalar, "numpy.core.multiarray.scalar"), *dtypes]


def _is_checkpoint(content: dict[str, Any], tensor: type) -> bool:
    weights, settings = content.get("network_weights"), content.get("init_args")
    axes = content.get("inference_allowed_mirroring_axes")
    return (
        isinstance(weights, dict)
        and bool(weights)
        and all(isinstance(name, str) and isinstance(value, tensor) for name, value in weights.items())
        and isinstance(settings, dict)
        and isinstance(settings.get("configuration"), str)
        and isinstance(content.get("trainer_name"), str)
        and (axes is None or (isinstance(axes, list | tuple) and all(axis in range(3) for axis in axes)))
    )


def _facts(checkpoint: Mapping[str, Any]) -> tuple[str, str, tuple[int, ...]]:
    axes = checkpoint.get("inference_allowed_mirroring_axes")
    return checkpoint["init_args"]["configuration"], checkpoint["trainer_name"], tuple(axes or ())


def _check_plans(folder: Path, plans: Mapping[str, Any], configuration: str) -> None:
    configurations = plans["configurations"]
    if configuration not in configurations:
        raise InvalidModelError(
            f"The weights in {folder} are of the configuration {configuration}, which {PLANS_FILE} does not hold "
            f"(it holds {', '.join(configurations)}): {PLANS_FILE} is another network's."
        )
    for content in configurations.values():
        check_architecture(folder, content.get("architecture") or {})


def check_architecture(folder: Path, architecture: Mapping[str, Any]) -> None:
    """Refuse the description of a network that names anything but layers and U-Nets, or that is absurdly large.

    Raises
    ------
    InvalidModelError
        If it does; nothing of it has been imported or built.
    """
    arguments = architecture.get("arch_kwargs") or {}
    imported = [arguments.get(name) for name in architecture.get("_kw_requires_import") or ()]
    names = [(architecture.get("network_class_name"), _ARCHITECTURES)]
    names += [(name, _BUILDING_BLOCKS) for name in imported]
    for name, allowed in names:
        if name is not None and not (isinstance(name, str) and name in allowed):
            raise InvalidModelError(
                f"{PLANS_FILE} of the segmentation network in {folder} builds it from {name}, which could run code; "
                f"expected one of {', '.join(sorted(each.rsplit('.', 1)[1] for each in allowed if '.modules.' not in each))}."
            )
    features = arguments.get("features_per_stage")
    for number in features if isinstance(features, list) else [features]:
        if number is not None and not (isinstance(number, int) and 0 < number <= MAX_FEATURES):
            raise InvalidModelError(
                f"{PLANS_FILE} of the segmentation network in {folder} has a stage of {number!r:.40} features; expected a "
                f"number from 1 to {MAX_FEATURES}."
            )
    stages = arguments.get("n_stages")
    if stages is not None and not (isinstance(stages, int) and 0 < stages <= MAX_STAGES):
        raise InvalidModelError(
            f"{PLANS_FILE} of the segmentation network in {folder} has {stages!r:.40} stages; expected 1 to {MAX_STAGES}."
        )
