"""Segmentation in the portable form: the labels of torch, but for voxels where two classes are level."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preop.errors import InvalidModelError
from preop.portable import read_portable
from preop.segmentation import load_network, loading
from preop.segmentation.portable_network import (
    PORTABLE_FILE,
    PortableSegmentation,
    _in_steps_of_float16,
    write_portable,
)
from preop.segmentation.torch_network import TorchNetwork, load_torch_network
from tests.segmentation.networks import TORCH, dataset_of, make_network, plans_of, scan_of

GRID = (2.0, 1.5, 1.5)
"""Spacing of the networks."""
SHARE = 3e-3
"""Of all voxels: so many may go either way. Random weights give scores of hundreds, where the steps of float16 are a quarter."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plans", "options", "scanned"),
    [
        pytest.param({}, {"folds": (0, 1), "mirrored_axes": (0, 2)}, {}, id="splines, two folds, mirrored"),
        pytest.param({"resampling": TORCH, "schemes": ("ZScoreNormalization",)}, {}, {}, id="linear"),
        pytest.param({"transpose": (2, 0, 1), "reader": "NibabelIOWithReorient"}, {}, {}, id="turned"),
        pytest.param({}, {}, {"shape": (90, 40, 45), "spacing_mm": GRID}, id="on the network's grid, slices in parts"),
        pytest.param({}, {"folds": (0, 1)}, {"shape": (90, 40, 45), "spacing_mm": GRID}, id="two folds on its grid"),
        pytest.param({}, {}, {"shape": (20, 40, 45), "spacing_mm": GRID}, id="on its grid, thinner than a tile"),
    ],
)
def test_labels_and_probabilities_are_those_of_torch(
    tmp_path: Path, plans: dict[str, Any], options: dict[str, Any], scanned: dict[str, Any]
) -> None:
    folder = make_network(tmp_path / "network", plans_of(**plans), dataset_of(), **options)
    scan = scan_of(**scanned, border=3)
    assert len(write_portable(folder)) == len(options.get("folds", (0,)))
    ours = load_network(folder, device="cpu")
    assert isinstance(ours, PortableSegmentation)
    labels, probabilities = ours.segment_with_probabilities(scan, ["lesion", "background"])
    torchs = load_torch_network(folder, None, "cpu", None)
    expected, expected_probabilities = torchs.segment_with_probabilities(scan, ["lesion", "background"])
    assert len(np.unique(expected.voxels)) == 3
    assert labels.voxels.dtype == expected.voxels.dtype
    assert (labels.voxels != expected.voxels).mean() <= SHARE
    for name, image in expected_probabilities.items():
        # A score that is rounded to the neighbouring number of float16 moves a probability by as much.
        difference = np.abs(image.voxels - probabilities[name].voxels)
        assert difference.mean() < 1e-3
    assert ours.checksums == torchs.checksums
    assert ours.labels == torchs.labels


@pytest.fixture
def both(tmp_path: Path) -> Path:
    folder = make_network(tmp_path / "network", plans_of(), dataset_of())
    write_portable(folder)
    return folder


@pytest.mark.slow
def test_a_form_that_was_made_from_other_weights_is_refused(both: Path, tmp_path: Path) -> None:
    other = make_network(tmp_path / "other", plans_of(), dataset_of(), folds=("1", "0"))
    (other / "fold_0" / "checkpoint_final.pth").replace(both / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(InvalidModelError, match=r"was not made from checkpoint_final\.pth beside it"):
        load_network(both, device="cpu")
    (both / "fold_0" / PORTABLE_FILE).unlink()
    assert isinstance(load_network(both, device="cpu"), TorchNetwork)


@pytest.mark.slow
def test_the_portable_form_is_enough(both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (both / "fold_0" / "checkpoint_final.pth").unlink()
    monkeypatch.setattr(loading, "has_torch", lambda: False)
    monkeypatch.setattr(loading, "runs_portable", lambda: True)
    assert load_network(both).segment(scan_of(), mirroring=False).voxels.any()


@pytest.mark.slow
def test_damaged_facts_are_refused(both: Path) -> None:
    import onnx

    path = both / "fold_0" / PORTABLE_FILE
    facts = {**read_portable(path).facts, "patch": [0, 32]}
    model = onnx.load_from_string(path.read_bytes())
    onnx.helper.set_model_props(model, {"preop": json.dumps(facts)})
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InvalidModelError, match=r"network\.onnx is damaged: patch"):
        load_network(both, device="cpu")


def test_weights_alone_say_what_to_do_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_network(tmp_path / "network", plans_of(), dataset_of())
    monkeypatch.setattr(loading, "has_torch", lambda: False)
    with pytest.raises(InvalidModelError, match=r"can only be run by torch.*preop register --portable.*flavour cuda"):
        load_network(folder)


def test_a_missing_folder_is_told_as_with_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "has_torch", lambda: False)
    with pytest.raises(InvalidModelError, match="There is no segmentation network at"):
        load_network(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("plans", "labels", "heads"),
    [
        pytest.param({}, {"whole": [1, 2], "core": 2}, 2, id="regions"),
        pytest.param({"patch": (32, 32), "spacing": (1.5, 1.5)}, ("lesion",), None, id="slices"),
        pytest.param({"mask": True, "schemes": ("ZScoreNormalization",)}, ("lesion",), None, id="masked"),
    ],
)
def test_other_kinds_have_no_portable_form(
    tmp_path: Path, plans: dict[str, Any], labels: Any, heads: int | None
) -> None:
    more = {"regions_class_order": [1, 2]} if heads else {}
    folder = make_network(tmp_path / "network", plans_of(**plans), dataset_of(labels, **more), heads=heads)
    assert write_portable(folder) == []
    assert not list(folder.rglob(PORTABLE_FILE))


def test_numbers_are_rounded_as_to_float16() -> None:
    values = np.random.default_rng(0).normal(0, 30, 100_000).astype(np.float32)
    halves = np.concatenate([values[np.abs(values) > 1e-4], np.float32([2049, 2051, -2049, 1.00048828125, 0])])
    expected = halves.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(_in_steps_of_float16(halves.copy()), expected)
