"""Every algorithm gives what is expected of a bundled case where torch is not installed.

The test cases run all of them in images that hold no torch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from preop.engines.comparison import compare_outputs, read_tolerance
from preop.grandchallenge.algorithm import Algorithm
from preop.study import find_studies
from tests.conftest import smallest_first

ROOT = Path(__file__).parents[1]
STUDIES = find_studies(ROOT / "algorithms")
HIDDEN = (
    "torch",
    "torchvision",
    "nnunetv2",
    "monai",
    "timm",
    "safetensors",
    "acvl_utils",
    "batchgenerators",
    "onnx",
    "onnxscript",
)
"""What the locks of the default images do not hold."""
HIDE = f"""
import importlib.machinery, sys
found = importlib.machinery.PathFinder.find_spec
class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {HIDDEN!r} else found(name, path, target)
sys.meta_path[:] = [Finder if each is importlib.machinery.PathFinder else each for each in sys.meta_path]
"""


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "algorithms"), **variables}
    return subprocess.run(
        [sys.executable, "-c", HIDE + code], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_bundled_case_gives_what_is_expected(tmp_path: Path, study: Algorithm) -> None:
    case = smallest_first(study)[0]
    done = run(
        f"import runpy; runpy.run_module('{study.name}.inference', run_name='__main__')",
        PREOP_INPUT=str(case.input),
        PREOP_OUTPUT=str(tmp_path),
        PREOP_MODEL=str(study.folder / "model"),
    )
    assert done.returncode == 0, done.stderr
    assert not compare_outputs(case.expected, tmp_path, read_tolerance(study.folder / "test"))


@pytest.mark.parametrize("study", [study.name for study in STUDIES])
def test_what_runs_before_the_first_voxel_imports_no_torch(study: str) -> None:
    """Also where it is installed: torch alone takes seconds."""
    code = f"""
from pathlib import Path
from preop.grandchallenge.algorithm import read_algorithm
from {study} import inference
folder = Path({str(ROOT / "algorithms" / study)!r})
inference.load_model(folder / "model", read_algorithm(folder))
import json
print(json.dumps(sorted(name for name in {HIDDEN!r} if name in sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", "import sys" + code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "algorithms")},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
