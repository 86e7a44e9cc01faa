"""Weights are finite and of the shapes that are expected, or refused in one sentence."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from preop.errors import InvalidModelError
from preop.weights import part_of, put_into, read_weights

GOOD = {"0.weight": torch.ones(1, 2), "0.bias": torch.zeros(1)}


def written(folder: Path, weights: dict[str, Tensor]) -> Path:
    save_file(weights, folder / "weights.safetensors")
    return folder / "weights.safetensors"


def test_weights_come_back(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    network = nn.Linear(2, 1)
    put_into(network, part_of(read_weights(path), 0), path, "a line")
    assert network(torch.tensor([3.0, 4.0])).item() == 7


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    path = written(tmp_path, {**GOOD, "0.bias": torch.tensor([value])})
    with pytest.raises(InvalidModelError, match=r"0\.bias holds numbers that are not finite\."):
        read_weights(path)


def test_missing_and_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match=r"weights\.safetensors is missing\."):
        read_weights(tmp_path / "weights.safetensors")
    path = written(tmp_path, GOOD)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InvalidModelError, match=r"weights\.safetensors cannot be read"):
        read_weights(path)


@pytest.mark.parametrize(
    "other",
    [{**GOOD, "0.weight": torch.ones(1, 3)}, {**GOOD, "0.more": torch.ones(1)}, {"0.weight": GOOD["0.weight"]}],
    ids=["another shape", "surplus", "missing"],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, other: dict[str, Tensor]) -> None:
    path = written(tmp_path, other)
    with pytest.raises(
        InvalidModelError, match=r"do not fit a line: take the model folder that belongs to this version\."
    ):
        put_into(nn.Linear(2, 1), part_of(read_weights(path), 0), path, "a line")
