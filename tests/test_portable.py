"""Networks in their portable form: what is read, what is refused, and that it does what torch does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from preop import portable
from preop.cli import repository
from preop.cohort import Cohort
from preop.errors import InvalidModelError, MissingToolError
from preop.portable import TOLERANCE, check_agreement, read_portable, to_portable
from preop.study import DataSource
from preop.study.contract import training_of

WEIGHTS = np.arange(4, dtype=np.float32)


class Pair(nn.Module):
    """Two outputs of two inputs, with as many rows as there are."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(6, 5)

    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        found = torch.relu(self.layer(torch.cat([first, second.float()], dim=1)))
        return found, found.mean(dim=0)


def inputs(rows: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    return {
        "first": torch.randn(rows, 4, generator=generator),
        "second": torch.randint(0, 9, (rows, 2), generator=generator, dtype=torch.uint8),
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "network.onnx"
    content = to_portable(
        Pair().eval(), inputs(3), ["each", "mean"], free={"first": (0,), "second": (0,)}, facts={"made": ["of", 1]}
    )
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("rows", [1, 2, 17])
def test_any_number_of_rows_gives_what_torch_gives(written: Path, rows: int) -> None:
    given = inputs(rows)
    found = read_portable(written)(*(each.numpy() for each in given.values()))
    with torch.no_grad():
        expected = Pair().eval()(*given.values())
    for ours, torchs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, torchs.numpy(), atol=TOLERANCE)


def test_the_number_of_threads_changes_no_bit(written: Path) -> None:
    given = [each.numpy() for each in inputs(500).values()]
    one, two = (read_portable(written, threads=count)(*given) for count in (1, 2))
    assert [each.tobytes() for each in one] == [each.tobytes() for each in two]


def test_what_was_written_down_with_a_network_is_read(written: Path) -> None:
    assert read_portable(written).facts == {"made": ["of", 1]}


def test_no_path_of_the_machine_that_wrote_it_is_in_a_file(written: Path) -> None:
    content = written.read_bytes()
    assert b"site-packages" not in content
    assert str(Path(__file__).parent).encode() not in content


def external(location: str) -> bytes:
    """A network that keeps its weights in another file."""
    weights = onnx.TensorProto(name="weights", dims=[4], data_type=onnx.TensorProto.FLOAT)
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["given", "weights"], ["sum"])],
        "external",
        [onnx.helper.make_tensor_value_info("given", onnx.TensorProto.FLOAT, [4])],
        [onnx.helper.make_tensor_value_info("sum", onnx.TensorProto.FLOAT, [4])],
        initializer=[weights],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("place", ["beside", "above", "absolute"])
def test_a_network_that_names_other_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    monkeypatch.chdir(folder)
    file = {"beside": folder, "above": tmp_path, "absolute": tmp_path}[place] / "secret.bin"
    file.write_bytes(WEIGHTS.tobytes())
    path = folder / "network.onnx"
    path.write_bytes(external({"beside": "secret.bin", "above": "../secret.bin", "absolute": str(file)}[place]))
    with pytest.raises(InvalidModelError, match="refers to other files"):
        read_portable(path)


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_file_is_refused(written: Path, tmp_path: Path, damage: str) -> None:
    content = written.read_bytes()
    path = tmp_path / "network.onnx"
    path.write_bytes({"cut": content[: len(content) // 2], "text": b"no network", "empty": b""}[damage])
    with pytest.raises(InvalidModelError, match="damaged"):
        read_portable(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidModelError, match=r"incomplete: network\.onnx is missing"):
        read_portable(tmp_path / "network.onnx")


def test_numbers_that_are_not_finite_are_refused(written: Path) -> None:
    first, second = (each.numpy() for each in inputs(2).values())
    with pytest.raises(InvalidModelError, match="not finite"):
        read_portable(written)(np.full_like(first, np.inf), second)


def test_inputs_of_another_shape_are_refused(written: Path) -> None:
    first, second = (each.numpy() for each in inputs(2).values())
    with pytest.raises(InvalidModelError, match="cannot be run"):
        read_portable(written)(first[:, :2], second)


def test_a_form_that_differs_from_torch_is_not_written() -> None:
    torchs = np.array([[1.0, -50.0]])
    check_agreement(torchs + 0.9 * 50 * TOLERANCE, torchs, "scores")
    with pytest.raises(InvalidModelError, match=r"differ by 0\.0055"):
        check_agreement(torchs + 1.1 * 50 * TOLERANCE, torchs, "scores")
    with pytest.raises(InvalidModelError, match="differ"):
        check_agreement(np.full_like(torchs, np.nan), torchs, "scores")
    with pytest.raises(InvalidModelError, match="shape"):
        check_agreement(torchs.T, torchs, "scores")


def test_threads_are_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert portable._usable_threads() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert portable._usable_threads() >= 1


@pytest.mark.parametrize("study", ["bladder_lymph_nodes", "liver_growth_pattern", "primary_growth_pattern"])
def test_a_training_tells_that_it_could_not_write_the_portable_form_before_it_measures(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = repository.find_algorithm(study)
    training = training_of(algorithm)
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "onnxscript" else there(name, *rest)
    )
    nobody = Cohort(tmp_path / "cohort.csv", algorithm, DataSource(description="nobody"), ())
    with pytest.raises(MissingToolError, match=r"needs onnxscript.*requirements/install\.sh development"):
        training.fit(nobody, tmp_path / "model", tmp_path / "report", training.Settings())
    assert not list(tmp_path.iterdir())
