"""A container starts as fast as it goes on: the cache is found where it can only be read."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import preop

pytestmark = pytest.mark.slow

PACKAGE = Path(preop.__file__).parent
COUNT_COMPILED = """
from preop.radiomics import kernels, warm_up
warm_up.warm_up()
found = [k for k in vars(kernels).values() if hasattr(k, "stats")]
print(len(found), sum(k.stats.cache_misses[s] for k in found for s in k.stats.cache_misses))
"""


def run(folder, *command, **environment):
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run(
        [sys.executable, *command], env=environment, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(PACKAGE, folder / "preop", ignore=shutil.ignore_patterns("__pycache__"))
    said = run(folder, "-m", "preop.radiomics.warm_up")
    assert "compiled functions" in said
    return folder


def test_after_the_warm_up_nothing_is_compiled_again(installed):
    functions, compiled = map(int, run(installed, "-c", COUNT_COMPILED).split())
    assert functions >= 6
    assert compiled == 0


def test_a_read_only_cache_is_used_all_the_same(installed):
    """Another user owns a container's files. Tests may run as root, who may write anywhere: writing is denied by hand."""
    denied = """
import os, tempfile
true_access = os.access
os.access = lambda path, mode, **options: mode != os.W_OK and true_access(path, mode, **options)
def refuse(*_, **__):
    raise PermissionError("read-only")
tempfile.TemporaryFile = refuse
"""
    found = run(installed, "-c", denied + COUNT_COMPILED, NUMBA_CACHE_DIR="")
    functions, compiled = map(int, found.split())
    assert functions >= 6
    assert compiled == 0


def test_code_is_made_for_any_processor_of_the_architecture(installed):
    said = run(installed, "-c", "import preop.radiomics.kernels, numba; print(numba.config.CPU_NAME)")
    assert said.strip() == "generic"
