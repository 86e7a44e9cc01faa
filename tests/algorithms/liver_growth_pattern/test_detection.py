"""The training of the network that finds metastases: what it learns from, and that a stopped run ends the same."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from liver_growth_pattern import detection
from liver_growth_pattern.detection import SETTINGS, fit, label_of, loss, tile, training_case
from liver_growth_pattern.model import DETECTION_NETWORK, LIVER, load_model
from liver_growth_pattern.simulation import draw_facts, draw_patient
from preop.staging import Pattern
from tests.conftest import ROOT, threads_of_torch

from .conftest import ALGORITHM

pytestmark = pytest.mark.slow

SHIPPED = ROOT / "algorithms" / "liver_growth_pattern" / "model"
Volume = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, patch=(16, 16, 16), features=(2, 4, 4))
    for name, value in {"SETTINGS": settings, "STEPS": 6, "PATIENTS": 1, "SAVED_EVERY": 2}.items():
        monkeypatch.setattr(detection, name, value)


@pytest.fixture
def volume() -> Volume:
    """Two metastases: the first grows by replacement, the second pushes."""
    numbers = np.zeros((12, 40, 40), dtype=np.uint8)
    numbers[4:7, 5:9, 5:9] = 1
    numbers[4:7, 30:34, 30:34] = 2
    scan = np.random.default_rng(0).normal(100, 10, numbers.shape) - 40 * (numbers > 0)
    labels = np.where(numbers > 0, numbers + 1, 0)
    labels[:, :20][labels[:, :20] == 0] = label_of(LIVER)
    return {"scan": scan.astype(np.float16), "numbers": numbers, "labels": labels.astype(np.uint8)}


def test_a_metastasis_is_learned_as_the_pattern_that_predominates_in_its_report_and_the_liver_around_it_as_liver() -> (
    None
):
    number = next(i for i in range(50) if len(draw_facts(8, i).metastases) == 1)
    patient = draw_patient(8, number)
    case = training_case(patient)
    assert case["scan"].shape == case["numbers"].shape == case["labels"].shape
    own = label_of(patient.facts.reports[0].predominant)
    assert set(np.unique(case["labels"])) == {0, own, label_of(LIVER)}
    assert ((case["labels"] == own) == (case["numbers"] > 0)).all()
    liver = case["labels"] == label_of(LIVER)
    litres = np.prod(SETTINGS.spacing_mm) * np.count_nonzero(liver) / 1e6
    assert 0.8 < litres < 3.5
    assert 70 < np.median(case["scan"][liver]) < 150
    voxels_mm3 = np.prod(SETTINGS.spacing_mm) * np.count_nonzero(case["numbers"])
    drawn_mm3 = np.count_nonzero(patient.reader.voxels) * patient.reader.geometry.voxel_volume_mm3
    assert voxels_mm3 == pytest.approx(drawn_mm3, rel=0.1)
    assert np.median(case["scan"][case["numbers"] > 0]) < np.median(case["scan"][case["scan"] > 0])


@pytest.mark.usefixtures("small")
def test_a_tile_holds_the_classes_of_its_metastases_and_nothing_beyond_the_scan(volume: Volume) -> None:
    rng = np.random.default_rng(1)
    drawn = [tile(rng, [volume]) for _ in range(50)]
    assert {scan.shape for scan, _ in drawn} == {labels.shape for _, labels in drawn} == {(16, 16, 16)}
    assert set(np.unique([labels for _, labels in drawn])) == {0, 2, 3, label_of(LIVER)}
    assert all(not scan[12:].any() and not labels[12:].any() for scan, labels in drawn)


def test_the_loss_falls_with_right_classes_and_counts_what_is_found_whatever_its_class() -> None:
    labels = torch.zeros(1, 4, 4, 4, dtype=torch.int64)
    labels[0, :, :3] = label_of(LIVER)
    labels[0, 1:3, 1:3, 1:3] = 2

    def of(drawn: torch.Tensor) -> float:
        return float(loss(20 * torch.nn.functional.one_hot(drawn, 5).movedim(-1, 1).float(), labels))

    nothing, other_class = torch.where(labels == 2, label_of(LIVER), labels), torch.where(labels == 2, 1, labels)
    assert of(labels) == pytest.approx(0, abs=1e-3)
    assert of(labels) < of(other_class) < of(nothing)


@pytest.mark.usefixtures("small")
def test_a_fit_that_was_stopped_ends_with_the_same_weights(volume: Volume, tmp_path: Path) -> None:
    whole = fit([volume], tmp_path / "whole.pt")

    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit([volume], tmp_path / "state.pt", stop)
    with threads_of_torch(3):
        resumed = fit([volume], tmp_path / "state.pt")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


@pytest.mark.usefixtures("small")
def test_the_command_puts_a_network_into_a_model_that_loads_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    shutil.copytree(SHIPPED, model)
    monkeypatch.setattr(sys, "argv", ["detection", "--model", str(model)])
    detection.main()
    found = load_model(model, ALGORITHM).detection
    assert found is not None
    assert found.labels == {
        "background": 0,
        **{str(pattern): number for number, pattern in enumerate(Pattern, 1)},
        LIVER: 4,
    }
    told = json.loads((model / DETECTION_NETWORK / "provenance.json").read_text())
    assert told["training_data"]["simulated"]
    assert (told["training_data"]["patients"], told["steps"]) == (1, 6)
