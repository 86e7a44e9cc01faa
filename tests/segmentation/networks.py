"""Tiny networks in nnU-Net's own layout: random weights, hand-made plans, so that the stock program can run them too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from numpy.typing import NDArray

from preop.imaging import Geometry, Image
from preop.segmentation import write_network

SKIMAGE: dict[str, Any] = {
    "resampling_fn_data": "resample_data_or_seg_to_shape",
    "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
    "resampling_fn_seg": "resample_data_or_seg_to_shape",
    "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
    "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
    "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
}
TORCH: dict[str, Any] = {
    **{f"resampling_fn_{part}": "resample_torch_fornnunet" for part in ("data", "seg", "probabilities")},
    "resampling_fn_data_kwargs": {"is_seg": False, "force_separate_z": False, "memefficient_seg_resampling": False},
    "resampling_fn_seg_kwargs": {"is_seg": True, "force_separate_z": False, "memefficient_seg_resampling": False},
    "resampling_fn_probabilities_kwargs": {
        "is_seg": False,
        "force_separate_z": False,
        "memefficient_seg_resampling": False,
    },
}
CT = {"mean": 0.0, "std": 200.0, "percentile_00_5": -900.0, "percentile_99_5": 900.0}
FEATURES = (4, 8, 8)


def plans_of(
    *,
    patch: Sequence[int] = (32, 32, 32),
    spacing: Sequence[float] = (2.0, 1.5, 1.5),
    schemes: Sequence[str] = ("CTNormalization",),
    mask: bool = False,
    transpose: Sequence[int] = (0, 1, 2),
    reader: str = "SimpleITKIO",
    resampling: dict[str, Any] = SKIMAGE,
    features: Sequence[int] = FEATURES,
    name: str = "3d_fullres",
) -> dict[str, Any]:
    """Plans of a U-Net with one convolution a stage."""
    stages, dimensions = len(features), len(patch)
    return {
        "dataset_name": "Dataset001_Tiny",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": reader,
        "transpose_forward": list(transpose),
        "transpose_backward": [list(transpose).index(axis) for axis in range(3)],
        "label_manager": "LabelManager",
        "experiment_planner_used": "ExperimentPlanner",
        "foreground_intensity_properties_per_channel": {str(each): CT for each in range(len(schemes))},
        "configurations": {
            name: {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": list(patch),
                "median_image_size_in_voxels": list(patch),
                "spacing": list(spacing),
                "normalization_schemes": list(schemes),
                "use_mask_for_norm": [mask] * len(schemes),
                "batch_dice": True,
                **resampling,
                "architecture": {
                    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                    "arch_kwargs": {
                        "n_stages": stages,
                        "features_per_stage": list(features),
                        "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
                        "kernel_sizes": [[3] * dimensions] * stages,
                        "strides": [[1] * dimensions] + [[2] * dimensions] * (stages - 1),
                        "n_conv_per_stage": [1] * stages,
                        "n_conv_per_stage_decoder": [1] * (stages - 1),
                        "conv_bias": True,
                        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
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


def dataset_of(
    labels: Sequence[str] | dict[str, Any] = ("lesion", "organ"), channels: Sequence[str] = ("CT",), **more: Any
) -> dict[str, Any]:
    """Content of dataset.json: labels from 1 in order, or as given."""
    named = labels if isinstance(labels, dict) else {name: value for value, name in enumerate(labels, 1)}
    return {
        "channel_names": {str(number): name for number, name in enumerate(channels)},
        "labels": {"background": 0, **named},
        "numTraining": 1,
        "file_ending": ".nii.gz",
        **more,
    }


def weights_of(plans: dict[str, Any], channels: int, heads: int, seed: int) -> dict[str, Any]:
    """Random weights, larger than nnU-Net's first ones, so that all labels turn up."""
    torch.manual_seed(seed)
    architecture = next(iter(plans["configurations"].values()))["architecture"]
    network = get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        channels,
        heads,
        allow_init=True,
        deep_supervision=True,
    )
    return {name: value * 3 if "seg_layers" in name else value for name, value in network.state_dict().items()}


def make_network(
    folder: Path,
    plans: dict[str, Any],
    dataset: dict[str, Any],
    *,
    heads: int | None = None,
    folds: Sequence[int | str] = (0,),
    mirrored_axes: Sequence[int] = (),
    trainer: str = "nnUNetTrainer",
) -> Path:
    """Write a network with random weights, another for each fold."""
    channels = len(dataset["channel_names"])
    for number, fold in enumerate(folds):
        write_network(
            folder,
            plans,
            dataset,
            weights_of(plans, channels, heads or len(dataset["labels"]), seed=number),
            configuration=next(iter(plans["configurations"])),
            trainer=trainer,
            mirrored_axes=mirrored_axes,
            fold=fold,
        )
    return folder


def scan_of(
    shape: tuple[int, int, int] = (40, 45, 50),
    spacing_mm: tuple[float, float, float] = (2.5, 1.1, 0.9),
    *,
    seed: int = 0,
    direction: Sequence[float] = (1, 0, 0, 0, 1, 0, 0, 0, 1),
    border: int = 0,
) -> Image:
    """A smooth random CT (int16), different along every axis, with an empty border."""
    from scipy import ndimage

    rng = np.random.default_rng(seed)
    voxels: NDArray[Any] = ndimage.gaussian_filter(rng.normal(size=shape), (1.0, 2.0, 3.0)) * 8000
    voxels += np.linspace(-300, 300, shape[0])[:, None, None]
    voxels = np.rint(voxels).astype(np.int16)
    if border:
        voxels[:border] = voxels[:, :, -border:] = 0
    return Image(voxels, Geometry(shape, spacing_mm, (12.0, -30.0, 55.0), tuple(map(float, direction))))
