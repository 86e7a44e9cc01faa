from __future__ import annotations

import importlib
import json
import multiprocessing.process
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from numpy.typing import NDArray

from preop.errors import InvalidInputError, InvalidModelError
from preop.imaging import Image, write_image
from preop.segmentation import load_network, load_organ_networks, segment_anatomy, write_organ_network
from preop.segmentation.body import find_body
from tests.segmentation.networks import dataset_of, make_network, plans_of, scan_of, weights_of

LUNGS = (
    "lung_upper_lobe_left",
    "lung_lower_lobe_left",
    "lung_upper_lobe_right",
    "lung_middle_lobe_right",
    "lung_lower_lobe_right",
)
WANTED = ("aorta", "liver", "trachea", *LUNGS)
TURNED = (0, -1, 0, 1, 0, 0, 0, 0, -1)
THREE_MM, SIX_MM = plans_of(spacing=(3, 3, 3)), plans_of(spacing=(6, 6, 6))


def ct_of(direction: Sequence[float] = TURNED) -> Image:
    return scan_of((42, 60, 70), (2.5, 1.2, 1.1), seed=4, direction=direction)


def small_network(folder: Path, plans: dict[str, Any], **options: Any) -> Path:
    """A network of eight of the 117 classes, in the place of TotalSegmentator's."""
    return write_organ_network(folder, plans, weights_of(plans, 1, len(WANTED) + 1, seed=5), WANTED, **options)


@pytest.fixture
def total_segmentator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., NDArray[Any]]:
    """Function that gives the labels of TotalSegmentator's own program on the body, which only may start no workers."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from totalsegmentator.python_api import totalsegmentator as run

    home = tmp_path / "home"
    home.mkdir()
    (home / "config.json").write_text(
        json.dumps({"totalseg_id": "totalseg_TEST", "send_usage_stats": False, "prediction_counter": 0})
    )

    def predict_from_files(self: Any, source: str, target: str, **options: Any) -> None:
        self.predict_from_files_sequential(source, target)

    def segment(ct: Image, weights: Path, **options: Any) -> NDArray[Any]:
        importlib.import_module("totalsegmentator.nnunet")  # it replaces the method that is replaced below
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            monkeypatch.setenv(name, "")  # it sets them for good
        monkeypatch.setenv("TOTALSEG_WEIGHTS_PATH", str(weights))
        monkeypatch.setenv("TOTALSEG_HOME_DIR", str(home))
        monkeypatch.setattr(nnUNetPredictor, "predict_from_files", predict_from_files)
        body = find_body(ct)  # its own program looks at the table and the air as well
        write_image(body.only(ct), tmp_path / "ct.nii.gz")
        run(tmp_path / "ct.nii.gz", tmp_path / "out.nii.gz", ml=True, device="cpu", quiet=True, **options)
        capfd.readouterr()
        given = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "out.nii.gz")))
        labels = np.zeros(ct.shape, dtype=given.dtype)
        labels[body.box] = np.where(body.mask[body.box], given, 0)
        return labels

    return segment


@pytest.mark.parametrize(
    ("quality", "plans"), [pytest.param("fast", THREE_MM, id="3 mm"), pytest.param("fastest", SIX_MM, id="6 mm")]
)
def test_labels_are_those_of_totalsegmentator(
    quality: Any, plans: dict[str, Any], total_segmentator: Callable[..., NDArray[Any]], tmp_path: Path
) -> None:
    small_network(tmp_path / "weights", plans, quality=quality)
    ct = ct_of()
    expected = total_segmentator(ct, tmp_path / "weights", **{quality: True})
    organs = segment_anatomy(ct, WANTED, tmp_path / "weights", quality=quality, device="cpu")
    np.testing.assert_array_equal(organs.labels.voxels, expected)
    assert organs.labels.geometry == ct.geometry
    assert {organs.values[name] for name in ("aorta", "liver", "trachea")} == {52, 5, 16}
    assert sum(organs.mask(name).any() for name in WANTED) > 4

    lungs = segment_anatomy(ct, LUNGS, tmp_path / "weights", quality=quality, device="cpu")
    np.testing.assert_array_equal(lungs.labels.voxels, np.where(np.isin(expected, range(10, 15)), expected, 0))


def test_five_networks_of_1_5_mm_and_only_those_needed(
    total_segmentator: Callable[..., NDArray[Any]], tmp_path: Path
) -> None:
    from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS
    from totalsegmentator.map_to_binary import class_map_5_parts, map_taskid_to_partname_ct

    for number in range(291, 296):
        names = class_map_5_parts[map_taskid_to_partname_ct[number]]
        place = TASK_ID_WEIGHTS_CONFIGS[number]["foldername"] + "/nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres"
        make_network(
            tmp_path / "weights" / place,
            plans_of(spacing=(1.5, 1.5, 1.5), features=(4, 8)),
            dataset_of([names[label] for label in sorted(names)]),
            trainer="nnUNetTrainerNoMirroring",
        )
    ct = scan_of((20, 25, 28), (2.0, 1.5, 1.4))
    expected = total_segmentator(ct, tmp_path / "weights")
    every = load_organ_networks(
        tmp_path / "weights", [*WANTED, "rib_left_1", "vertebrae_T1", "hip_left"], quality="full"
    )
    assert len(every.networks) == 5
    found = every.segment(ct)
    np.testing.assert_array_equal(
        found.labels.voxels, np.where(np.isin(expected, list(found.values.values())), expected, 0)
    )
    assert len(load_organ_networks(tmp_path / "weights", ["aorta", "heart"], quality="full").networks) == 1


def test_a_task_that_looks_around_the_lungs_crops_to_them(
    total_segmentator: Callable[..., NDArray[Any]], tmp_path: Path
) -> None:
    small_network(tmp_path / "weights", THREE_MM)
    make_network(
        tmp_path
        / "weights/Dataset117_lung_airways_arteries_veins_282subj/nnUNetTrainerSkeletonRecall__nnUNetPlans__3d_fullres",
        plans_of(spacing=(1.0, 0.703125, 0.703125), features=(4, 8)),
        dataset_of(["lung_airways", "lung_airways_wall", "lung_arteries", "lung_veins"]),
        trainer="nnUNetTrainerSkeletonRecall",
    )
    ct = scan_of((13, 24, 26), (2.5, 1.2, 1.1), seed=4, direction=TURNED)
    expected = total_segmentator(ct, tmp_path / "weights", task="lung_vessels")
    seen: list[int] = []
    vessels = load_organ_networks(tmp_path / "weights", ["lung_arteries", "lung_veins"], task="lung_vessels")
    organs = vessels.segment(ct, progress=lambda done, total: seen.append(1000 * done // total))
    np.testing.assert_array_equal(organs.labels.voxels, np.where(expected >= 3, expected, 0))
    assert (organs.labels.voxels > 0).any()
    assert seen == sorted(seen)
    assert seen[-1] == 1000
    assert len(vessels.checksums) == 6


def test_a_small_network_computes_only_the_classes_it_has_learned(tmp_path: Path) -> None:
    folder = small_network(tmp_path / "weights", THREE_MM)
    assert len(json.loads((folder / "dataset.json").read_text())["labels"]) == 118
    network = load_network(folder, device="cpu")
    given = network.module(torch.zeros(1, 1, 32, 32, 32))
    assert given.shape[1] == len(WANTED) + 1


def test_no_process_is_started_and_no_network_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError

    small_network(tmp_path / "weights", THREE_MM)
    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    assert segment_anatomy(ct_of(), WANTED, tmp_path / "weights", device="cpu").labels.voxels.any()


def test_missing_weights_are_named_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidModelError,
        match=r"there is no .*Dataset297_.*3d_fullres; .* TOTALSEG_WEIGHTS_PATH=.* totalseg_download_weights -t total_fast",
    ):
        segment_anatomy(ct_of(), ["heart"], tmp_path)
    with pytest.raises(InvalidModelError, match=r"Dataset343_mediastinum.*totalseg_download_weights -t trunk_cavities"):
        segment_anatomy(ct_of(), ["mediastinum"], tmp_path, task="trunk_cavities")


def test_classes_that_a_task_does_not_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"task total has no class 'carina'; its classes are spleen, .*sternum"):
        segment_anatomy(ct_of(), ["heart", "carina"], tmp_path)
    with pytest.raises(InvalidInputError, match="No class is asked for"):
        segment_anatomy(ct_of(), [], tmp_path)


def test_a_network_of_another_task_is_refused(tmp_path: Path) -> None:
    make_network(
        tmp_path / "Dataset343_mediastinum_1786subj/nnUNetTrainer__nnUNetPlans__3d_fullres",
        plans_of(spacing=(1.5, 1.5, 1.5), features=(4, 8)),
        dataset_of([f"class_{number}" for number in range(1, 12)]),
    )
    with pytest.raises(InvalidModelError, match="expected at most 4: it is of another task"):
        segment_anatomy(scan_of((20, 36, 30)), ["mediastinum"], tmp_path, task="trunk_cavities", device="cpu")
