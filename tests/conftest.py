"""What all tests share: the repository, real data where it is there, and a small algorithm to try the contract on."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import settings

from preop.engines.submissions import BundledCase, find_test_cases
from preop.errors import PreopError
from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.grandchallenge.cases import item_of
from preop.grandchallenge.roots import Roots
from preop.grandchallenge.runtime import run_algorithm
from preop.study import contract

ROOT = Path(__file__).parents[1]

# No test depends on how fast or busy the machine is.
settings.register_profile("preop", deadline=None)
settings.load_profile("preop")

STUDIES = ROOT / "tests" / "algorithms"
SLOW_FIXTURES = {"container", "stock", "total_segmentator", "trained"}
"""What needs them runs an image or another's program, or trains from end to end."""


@pytest.hookimpl(wrapper=True)  # before all others: xdist reads the groups, and reads them first
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Mark the slow tests, keep what shares fixtures in one process, and begin with what takes longest.

    Slow is what needs a slow fixture, by its name or as the value of a parameter. With ``--dist loadgroup`` the tests of a
    study run in one process, and so do those of any other file, but for slow tests that share no fixture: each of them goes
    where there is room.
    """
    for item in items:
        if isinstance(item, pytest.Function):
            params = item.callspec.params.values() if hasattr(item, "callspec") else ()
            if SLOW_FIXTURES & {*item.fixturenames, *(value for value in params if isinstance(value, str))}:
                item.add_marker(pytest.mark.slow)
    groups = {item: _group(item) for item in items}
    first = {groups[item] for item in items if _is_slow(item)}
    for item, group in groups.items():
        if not _is_slow(item) or group.parent == STUDIES or _shares_fixtures(item):
            item.add_marker(pytest.mark.xdist_group(str(group.relative_to(ROOT))))
    items.sort(key=lambda item: groups[item] not in first)
    yield


def _group(item: pytest.Item) -> Path:
    return item.path.parent if item.path.parent.parent == STUDIES else item.path


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _shares_fixtures(item: pytest.Item) -> bool:
    """Whether something is made once for several tests of its file."""
    made = item._fixtureinfo.name2fixturedefs.values() if isinstance(item, pytest.Function) else ()
    return any(each[-1].scope == "module" for each in made)


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of public data beside the repository (or where PREOP_DATA says); tests that need it are skipped without."""
    folder = Path(os.environ.get("PREOP_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"public data is not at {folder}; see docs/data.md, or set PREOP_DATA")
    return folder


@pytest.fixture(autouse=True)
def _same_signals() -> Iterator[None]:
    """Give signals their usual meaning.

    A program that ran inside of a test takes SIGTERM over, and forks of later tests hang. Tests in the background of a shell
    ignore Ctrl-C, and so would the programs that they start.
    """
    before = signal.getsignal(signal.SIGTERM)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


def smallest_first(study: Algorithm) -> list[BundledCase]:
    """Order the bundled cases of a study by the size of their inputs."""
    return sorted(
        find_test_cases(study.folder),
        key=lambda case: sum(path.stat().st_size for path in case.input.rglob("*") if path.is_file()),
    )


@pytest.fixture
def alone() -> Iterator[None]:
    """Wait for the tests of other processes that need the platform's port too, or whose programs would be found here."""
    with platforms_port():
        yield


@contextmanager
def platforms_port() -> Iterator[None]:
    """Have the port of the platform's servers on this machine for oneself, among those who ask."""
    with (Path(tempfile.gettempdir()) / f"preop-tests-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    """Let torch have so many threads: a machine with other cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


TOY_TOML = """
name = "toy"
title = "Toy"
summary = "From a scan and a mask to every kind of output."
version = "1.0.0"
requirements = "imaging"
memory_gb = 1
time_limit_minutes = 1
gpu = false
interfaces = [["scan"], ["scan", "mask"], ["scan", "mask", "facts"]]

[[inputs]]
slug = "scan"
kind = "Image"
relative_path = "images/scan"
description = "A scan."

[[inputs]]
slug = "mask"
kind = "Segmentation"
relative_path = "images/mask"
description = "Its mask."
segmentation_of = "scan"
overlay_segments = { inside = 1 }

[[inputs]]
slug = "facts"
kind = "Anything"
relative_path = "facts.json"
description = "Facts."
json_schema = "facts.schema.json"
columns = ["age", "sex"]

[[outputs]]
slug = "score"
kind = "Float"
relative_path = "score.json"
description = "A number."
minimum = 0
maximum = 1

[[outputs]]
slug = "regions"
kind = "Segmentation"
relative_path = "images/regions"
description = "Labels."
segmentation_of = "scan"
overlay_segments = { one = 1, two = 2, three = 3 }

[[outputs]]
slug = "heat"
kind = "Heat Map"
relative_path = "images/heat"
description = "A map."
segmentation_of = "scan"
"""

TOY_INFERENCE = '''
"""A toy algorithm: the mean of a scan."""

from pathlib import Path

import numpy as np

from preop.study import read_model_info
from preop.grandchallenge.runtime import run_algorithm


def load_model(folder, algorithm):
    print("loading the model", flush=True)
    return read_model_info(folder, algorithm)


def predict(case, model):
    scan = case.image("scan")
    if case.name.startswith("broken"):
        raise ZeroDivisionError("two\\nlines")
    return {
        "score": float(np.clip(scan.voxels.mean(), 0, 1)),
        "regions": scan.with_voxels((scan.voxels > 0).astype(np.uint8) * 2),
        "heat": scan.with_voxels(scan.voxels.astype(np.float32)),
    }


if __name__ == "__main__":
    run_algorithm(Path(__file__).parent, load_model=load_model, predict=predict)
'''

TOY_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"age": {"type": "number", "minimum": 0, "maximum": 120}, "sex": {"enum": ["female", "male"]}},
}


TOY_VALIDATION = {
    "protocol": "by hand",
    "patients": 1,
    "models": {"mean": {"baseline": False, "patients": 1, "events": 0, "auc": None}},
    "comparisons": [],
    "verdict": ["Nothing can be said of one patient."],
    "cautions": [],
    "details": {},
}


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Algorithm]:
    """An algorithm with every kind of input and several kinds of outputs, in a folder of its own."""
    folder = tmp_path / "algorithms" / "toy"
    folder.mkdir(parents=True)
    (folder / "algorithm.toml").write_text(TOY_TOML)
    (folder / "inference.py").write_text(TOY_INFERENCE)
    (folder / "facts.schema.json").write_text(json.dumps(TOY_SCHEMA))
    yield read_algorithm(folder)
    # The next test's has the same name and another folder, which no process outside of tests would allow.
    contract._finder.folders.pop("toy", None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
        del sys.modules[name]


@pytest.fixture
def toy_model(toy: Algorithm, tmp_path: Path) -> Path:
    """A model folder of the toy algorithm, with one file."""
    from preop.study import TrainingData, write_model

    info = {
        "algorithm": toy.name,
        "algorithm_version": toy.version,
        "created": "2026-01-01",
        "seed": 0,
        "training_data": TrainingData(patients=1, cohort_sha256="0" * 64),
        "software": {"numpy": np.__version__},
        "validation": TOY_VALIDATION,
    }
    write_model(tmp_path / "model", info, {"weights.json": b"{}"})
    return tmp_path / "model"


def scan_of(shape: tuple[int, ...] = (4, 5, 6), seed: int = 0) -> sitk.Image:
    """A small scan with an oblique direction, so that a lost one is noticed."""
    image = sitk.GetImageFromArray(np.random.default_rng(seed).normal(size=shape).astype(np.float32))
    image.SetSpacing([1.5, 0.7, 3.0][: len(shape)])
    image.SetOrigin([10.0, -20.0, 30.0][: len(shape)])
    if len(shape) == 3:
        image.SetDirection([0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0])
    return image


@pytest.fixture
def lay_out(tmp_path: Path) -> Callable[..., Path]:
    """Function that lays out a case as the platform does, and gives the input folder."""

    def make(algorithm: Algorithm, folder: str = "input", **inputs: Any) -> Path:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        items = []
        for name, content in inputs.items():
            slug = name.replace("_", "-")
            socket = algorithm.input(slug)
            path = root / socket.relative_path
            if socket.kind.is_image:
                path.mkdir(parents=True, exist_ok=True)
                sitk.WriteImage(content, str(path / "0b2a4e1c-6f3d-4b8e-9f1a-3c5d7e9f1a2b.mha"), useCompression=True)
                items.append(item_of(algorithm, slug, image_name=f"{slug}.mha"))
            else:
                path.write_text(json.dumps(content))
                items.append(item_of(algorithm, slug, value=content))
        (root / "inputs.json").write_text(json.dumps(items))
        return root

    return make


@pytest.fixture
def bag_evidence() -> dict[str, Any]:
    """Evidence of a training run on bags by hand: three patients with pN+, three without, one of whom it is not known."""

    def patient(name: str, fold: str, low: int, high: int | None, probability: float, mm: float) -> dict[str, Any]:
        row = {"patient": name, "centre": "A", "fold": fold, "low": low, "high": high, "probability": probability}
        return row | {"rule_score": mm, "expected": None, "counts": None, "instances": []}

    def nodes(*rows: tuple[float, float, int | None]) -> dict[str, Any]:
        keys = ("name", "contribution", "rule_score", "truth")
        return {"instances": [dict(zip(keys, (str(number), *row), strict=True)) for number, row in enumerate(rows, 1)]}

    def count(*shares: float) -> dict[str, Any]:
        return {"counts": list(shares), "expected": shares[1] + 2 * shares[2]}

    four = nodes((0.8, 12, 1), (0.5, 5, 1), (0.1, 9, 0), (0.2, 4, 0))
    three = nodes((0.3, 7, 0), (0.4, 6, 1), (0.1, 3, 0))
    return {
        "format": 1,
        "positive_name": "pN+",
        "instance_name": "lymph node",
        "protocol": "2-fold cross-validation by patient",
        "model": "count head",
        "threshold": 0.3,
        "settings": {"learning_rate": 0.001},
        "patients": [
            patient("p1", "0", 2, 2, 0.9, 12) | count(0, 0, 1) | four,
            patient("p2", "1", 1, 1, 0.6, 7) | count(0, 1, 0) | three | {"centre": "B"},
            patient("p3", "0", 1, None, 0.3, 9) | count(0.7, 0.3, 0) | nodes((0.3, 9, None)),
            patient("n1", "0", 0, 0, 0.2, 8) | count(1, 0, 0) | nodes((0.2, 8, 0)),
            patient("n2", "1", 0, 0, 0.4, 10) | count(0, 1, 0) | nodes((0.4, 10, 0)),
            patient("n3", "1", 0, 0, 0.1, 5) | count(1, 0, 0) | nodes((0.1, 5, 0)),
            patient("open", "0", 0, None, 0.99, 30) | count(0, 0, 1),
        ],
        "rule": {
            "name": "size rule",
            "score_name": "largest short axis",
            "instance_score_name": "short axis",
            "unit": "mm",
            "threshold": 8.0,
        },
        "by_centre": {
            "A": [{"patient": name, "probability": said} for name, said in (("p1", 0.7), ("n1", 0.2), ("open", 0.9))],
            "B": [{"patient": "p2", "probability": 0.5}],
        },
        "oracle": {"patient_auc": 0.95, "instance_auc": 0.97},
    }


@contextmanager
def one_process() -> Iterator[None]:
    """Do patients one after another here: starting processes takes longer than what tests do in them."""

    def one_after_another(
        function: Callable[[Any], Any], patients: Sequence[Any], *, description: str | None
    ) -> Iterator[tuple[Any, Any]]:
        assert description != ""
        for patient in patients:
            try:
                result = function(patient)
            except PreopError as error:
                result = error
            yield patient, result

    import joblib

    with pytest.MonkeyPatch.context() as patch, joblib.parallel_config(backend="sequential"):
        for module in ("cohort.copies", "cohort.measuring", "simulation.cohort"):
            patch.setattr(f"preop.{module}.map_patients", one_after_another)
        yield


@pytest.fixture
def in_this_process() -> Iterator[None]:
    with one_process():
        yield


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run an algorithm that has to refuse its case; gives the one sentence, nothing half-written being left."""

    def last_line(folder: Path, roots: Roots, load_model: Callable[..., Any], predict: Callable[..., Any]) -> str:
        for variable, value in roots.environment().items():
            monkeypatch.setenv(variable, value)
        with pytest.raises(SystemExit) as ended:
            run_algorithm(folder, load_model=load_model, predict=predict)
        assert ended.value.code == 1
        assert list(roots.output.iterdir()) == []
        last = [line for line in capsys.readouterr().err.splitlines() if line.strip()][-1]
        assert "unexpected internal error" not in last
        return last

    return last_line
