from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from preop.errors import InvalidModelError
from preop.segmentation import load_network, read_model_folder
from preop.segmentation.model_folder import builds_its_own_network
from tests.segmentation.networks import dataset_of, make_network, plans_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_network(tmp_path / "network", plans_of(), dataset_of(), folds=(0, 2))


def checkpoint(folder: Path, fold: int = 0) -> Path:
    return folder / f"fold_{fold}" / "checkpoint_final.pth"


def change(folder: Path, **parts: Any) -> None:
    content = torch.load(checkpoint(folder), weights_only=True)
    torch.save({**content, **parts}, checkpoint(folder))


def test_all_folds_are_found_and_every_file_has_its_checksum(folder: Path) -> None:
    content = read_model_folder(folder)
    assert content.folds == ("0", "2")
    assert content.checksums == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth", "fold_2/checkpoint_final.pth")
    }
    assert read_model_folder(folder, [2]).folds == ("2",)


def test_the_stock_program_reads_a_written_folder_with_the_same_weights(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(device=torch.device("cpu"))
    predictor.initialize_from_trained_model_folder(str(folder), (0, 2))
    capsys.readouterr()
    for theirs, ours in zip(predictor.list_of_parameters, read_model_folder(folder).weights, strict=True):
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(theirs[name], ours[name]) for name in ours)


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_checkpoint_is_not_run(folder: Path, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    change(folder, logging=Trap(trap))
    with pytest.raises(InvalidModelError, match=r"fold_0.checkpoint_final.pth .* holds more than weights"):
        load_network(folder)
    checkpoint(folder).write_bytes(pickle.dumps(Trap(trap), protocol=2))
    with pytest.raises(InvalidModelError, match="could run code"):
        load_network(folder)
    assert not trap.exists()


def test_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    weights = torch.load(checkpoint(folder), weights_only=True)["network_weights"]
    layer = next(name for name in weights if name.endswith("weight"))
    weights[layer].view(-1)[0] = float("nan")
    change(folder, network_weights=weights)
    with pytest.raises(InvalidModelError, match="numbers that are not finite"):
        load_network(folder)


def test_the_log_of_a_real_training_is_no_code(folder: Path) -> None:
    log = {"mean_fg_dice": [np.float64(0.5), np.float32(0.25)], "epochs": np.int64(3)}
    change(folder, logging=log, _best_ema=np.float64(0.7), optimizer_state={"state": {0: torch.zeros(3)}})
    assert load_network(folder, device="cpu").channels == ("CT",)


@pytest.mark.parametrize("name", ["plans.json", "dataset.json", "fold_2/checkpoint_final.pth"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InvalidModelError, match=f"{name} is missing"):
        load_network(folder, folds=[0, 2])


def test_a_folder_without_a_network_says_what_is_missing(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match="There is no segmentation network at"):
        load_network(tmp_path / "elsewhere")
    for fold in (0, 2):
        checkpoint(folder, fold).unlink()
    with pytest.raises(InvalidModelError, match="has no weights"):
        load_network(folder)


def test_damaged_files_are_refused(folder: Path) -> None:
    whole = checkpoint(folder).read_bytes()
    checkpoint(folder).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidModelError, match="damaged"):
        load_network(folder)
    torch.save([1, 2], checkpoint(folder))
    with pytest.raises(InvalidModelError, match="is not a checkpoint of nnU-Net v2"):
        load_network(folder)
    (folder / "plans.json").write_text("{")
    with pytest.raises(InvalidModelError, match=r"plans.json is not JSON"):
        load_network(folder)
    (folder / "plans.json").write_text("{}")
    with pytest.raises(InvalidModelError, match="lacks configurations, transpose_forward"):
        load_network(folder)


def test_parts_of_different_networks_are_refused(folder: Path) -> None:
    change(folder, init_args={"configuration": "3d_lowres"})
    with pytest.raises(InvalidModelError, match="trained with different settings"):
        load_network(folder)
    with pytest.raises(InvalidModelError, match=r"configuration 3d_lowres, which plans.json does not hold"):
        load_network(folder, folds=[0])
    (folder / "plans.json").write_text(json.dumps(plans_of(features=(4, 8, 16))))
    with pytest.raises(InvalidModelError, match="do not fit the network"):
        load_network(folder, folds=[2])


STRANGE = (
    ("network_class_name", "subprocess.Popen"),
    ("network_class_name", "dynamic_network_architectures.architectures.unet.torch.os.system"),
    ("conv_op", "os.system"),
    ("nonlin", "torch.nn.parallel.distributed.os.system"),
    ("norm_op", "torch.nn.modules.module.functools.partial"),
    ("dropout_op", "torch.nn.Sequential"),
    ("nonlin", "dynamic_network_architectures.building_blocks.helper.np.load"),
    ("nonlin", ["torch.nn.ReLU"]),
)


@pytest.mark.parametrize(("key", "name"), STRANGE)
def test_plans_that_name_code_of_others_are_refused_before_anything_is_built(
    folder: Path, key: str, name: object
) -> None:
    plans = plans_of()
    architecture = plans["configurations"]["3d_fullres"]["architecture"]
    (architecture if key in architecture else architecture["arch_kwargs"])[key] = name
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(InvalidModelError, match="could run code"):
        load_network(folder)


def test_plans_that_inherit_code_of_others_are_refused(folder: Path) -> None:
    plans = plans_of()
    whole = plans["configurations"].pop("3d_fullres")
    whole["architecture"]["arch_kwargs"]["nonlin"] = "torch.nn.parallel.distributed.os.system"
    plans["configurations"] = {"base": whole, "3d_fullres": {"inherits_from": "base"}}
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(InvalidModelError, match=r"distributed\.os\.system, which could run code"):
        load_network(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [("features_per_stage", [8, 10**9, 16]), ("features_per_stage", 10**9), ("n_stages", 10**6), ("n_stages", "3")],
)
def test_a_network_of_absurd_size_is_refused_before_it_is_built(folder: Path, key: str, value: object) -> None:
    plans = plans_of()
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"][key] = value
    (folder / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(InvalidModelError, match="stage"):
        load_network(folder)


def test_networks_that_are_not_supported_are_refused(folder: Path) -> None:
    for key, value, message in (
        ("previous_stage", "3d_lowres", "second stage of a cascade"),
        ("preprocessor_name", "OwnPreprocessor", "prepares scans by OwnPreprocessor"),
    ):
        plans = plans_of()
        plans["configurations"]["3d_fullres"][key] = value
        (folder / "plans.json").write_text(json.dumps(plans))
        with pytest.raises(InvalidModelError, match=message):
            load_network(folder)
    (folder / "plans.json").write_text(json.dumps(plans_of(reader="NaturalImage2DIO")))
    with pytest.raises(InvalidModelError, match="reads NaturalImage2DIO; expected one of SimpleITKIO"):
        load_network(folder)


def test_only_few_trainers_build_networks_of_their_own() -> None:
    assert builds_its_own_network("nnUNetTrainerBN")
    for name in (
        "nnUNetTrainer",
        "nnUNetTrainerNoMirroring",
        "nnUNetTrainer_4000epochs_NoMirroring",
        "nnUNetTrainer_2000epochs_NoMirroring",
        "nnUNetTrainerSkeletonRecall",
    ):
        assert not builds_its_own_network(name)
    with pytest.raises(InvalidModelError, match="trained by StrangeTrainer"):
        builds_its_own_network("StrangeTrainer")
