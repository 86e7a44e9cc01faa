from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preop.errors import InvalidInputError, InvalidOutputError
from preop.imaging import Geometry, Image
from preop.segmentation import TrainingSettings, load_network, read_model_folder, train_network
from preop.segmentation.training import CONFIGURATION, plans_of

SETTINGS = TrainingSettings(
    labels=("ball",),
    spacing_mm=(2.0, 2.0, 2.0),
    patch=(16, 16, 16),
    features=(4, 8, 8),
    convolutions=1,
    epochs=2,
    iterations=2,
)


def ball(seed: int) -> tuple[Sequence[Image], Image]:
    """A bright ball somewhere in noise."""
    rng = np.random.default_rng(seed)
    geometry = Geometry.axis_aligned((24, 26, 28), (2.0, 2.0, 2.0))
    centre = rng.uniform(8, 16, size=3)
    distance = np.linalg.norm(np.indices(geometry.shape) - centre[:, None, None, None], axis=0)
    labels = (distance < 5).astype(np.uint8)
    voxels = np.rint(-100.0 + 200.0 * labels + rng.normal(0, 20, geometry.shape)).astype(np.int16)
    return [Image(voxels, geometry)], Image(labels, geometry)


CASES = {f"case_{seed}": lambda seed=seed: ball(seed) for seed in range(2)}


def test_a_network_learns_and_the_stock_program_reads_it(stock: Callable[..., NDArray[Any]], tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, epochs=3, iterations=12)
    seen: list[tuple[int, int]] = []
    folder = train_network(
        CASES, settings, tmp_path / "network", seed=1, device="cpu", progress=lambda *counts: seen.append(counts)
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.json", "fold_0", "plans.json"]
    [scan], truth = ball(9)
    found = load_network(folder, device="cpu").segment(scan).voxels
    np.testing.assert_array_equal(found, stock(folder, [scan]))
    dice = 2 * ((found == 1) & (truth.voxels == 1)).sum() / (found.sum() + truth.voxels.sum())
    assert dice > 0.8


def test_a_training_that_was_stopped_ends_with_the_same_weights(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    whole = train_network(CASES, SETTINGS, tmp_path / "whole", seed=1, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        train_network(CASES, SETTINGS, tmp_path / "stopped", seed=1, device="cpu", progress=stop)
    with pytest.raises(InvalidOutputError, match="seed 1 instead of 2"):
        train_network(CASES, SETTINGS, tmp_path / "stopped", seed=2, device="cpu")
    done: list[int] = []
    again = train_network(
        CASES, SETTINGS, tmp_path / "stopped", seed=1, device="cpu", progress=lambda epoch, _: done.append(epoch)
    )
    assert done == [2]
    expected, found = (read_model_folder(folder).weights[0] for folder in (whole, again))
    assert all((expected[name] == found[name]).all() for name in expected)


def test_cases_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="There is no case to train on"):
        train_network({}, SETTINGS, tmp_path / "a", seed=1)
    with pytest.raises(InvalidInputError, match=r"The case case_0 has 1 scans; expected 2 \(CT, PET\)"):
        train_network(CASES, dataclasses.replace(SETTINGS, channels=("CT", "PET")), tmp_path / "b", seed=1)
    [scan], labels = ball(1)
    with pytest.raises(InvalidInputError, match=r"holds the label 2; expected 0 to 1 \(ball\)"):
        train_network(
            {"two": lambda: ([scan], labels.with_voxels(labels.voxels * 2))}, SETTINGS, tmp_path / "c", seed=1
        )
    with pytest.raises(InvalidInputError, match="No case holds a label"):
        train_network(
            {"none": lambda: ([scan], labels.with_voxels(labels.voxels * 0))}, SETTINGS, tmp_path / "d", seed=1
        )


def test_settings_that_nnu_net_cannot_train_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="2 stages cannot be trained; expected 3 or more"):
        dataclasses.replace(SETTINGS, features=(4, 8))
    with pytest.raises(InvalidInputError, match=r"cannot be halved 2 times; expected multiples of 4"):
        dataclasses.replace(SETTINGS, patch=(16, 16, 18))


def test_each_stage_can_have_its_own_number_of_convolutions() -> None:
    settings = TrainingSettings(labels=("organ",), features=(8, 16, 32), convolutions=(1, 2, 3))
    architecture = plans_of(settings, {})["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"]
    assert architecture["n_conv_per_stage"] == [1, 2, 3]
    assert architecture["n_conv_per_stage_decoder"] == [2, 1]  # from coarse to fine
    with pytest.raises(InvalidInputError, match="Convolutions are given for 2 stages; expected 3"):
        TrainingSettings(labels=("organ",), features=(8, 16, 32), convolutions=(1, 2))
