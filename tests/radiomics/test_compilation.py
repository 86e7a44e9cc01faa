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
from preop.radiomics import hulls, kernels, order, warm_up
from preop.radiomics.filters import convolution
warm_up.warm_up()
found = [k for module in (hulls, kernels, order, convolution) for k in vars(module).values() if hasattr(k, "stats")]
# What begins with an underscore is called by loops alone, with which it is compiled.
never = [k.__name__ for k in found if not k.signatures and not k.__name__.startswith("_")]
assert not never, f"the warm-up never calls {never}"
print(len(found), sum(k.stats.cache_misses[s] for k in found for s in k.stats.cache_misses))
"""
PRINT_FEATURES = """
import numpy as np
from preop.imaging import Geometry, Image
from preop.radiomics import Settings, compute_features
from preop.radiomics.filters import LaplacianOfGaussian, SeparableWavelet
rng = np.random.default_rng(0)
image = Image(rng.normal(size=(20, 30, 40)), Geometry.axis_aligned((20, 30, 40), (1.0, 1.0, 1.0)))
settings = Settings(round_intensities=False, filters=(LaplacianOfGaussian(), SeparableWavelet()))
settings = settings.model_copy(update={"discretisation": settings.filter_discretisation})
print(compute_features(image, image.with_voxels(np.abs(image.voxels) < 1.5), settings))
"""


def run(folder, *command, **environment):
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run(
        [sys.executable, *command], env=environment, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    # With machine code that is there already, of the very same sources: all of it is a minute's work.
    shutil.copytree(PACKAGE, folder / "preop", ignore=shutil.ignore_patterns("*.pyc"))
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


def test_what_is_not_compiled_and_cannot_be_kept_is_computed_all_the_same(installed, tmp_path):
    """A loop that was forgotten in the warm-up costs its user a second, not the case."""
    folder = tmp_path / "site"
    shutil.copytree(installed, folder)
    forgotten = list(folder.glob("preop/radiomics/__pycache__/kernels.neighbour*"))
    for file in forgotten:
        file.unlink()
    refused = """
import os
true_access = os.access
os.access = lambda path, mode, **options: mode != os.W_OK and true_access(path, mode, **options)
from numba.core import caching
def refuse(*_, **__):
    raise PermissionError("read-only")
caching.IndexDataCacheFile._open_for_write = refuse
"""
    assert forgotten
    said = run(folder, "-c", refused + PRINT_FEATURES, NUMBA_CACHE_DIR="")
    assert said == run(installed, "-c", PRINT_FEATURES)


def test_both_kinds_of_processors_find_their_code_and_the_same_numbers(installed):
    said = {
        run(installed, "-c", COUNT_COMPILED + PRINT_FEATURES, **processor)
        for processor in ({}, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""})
    }
    (same,) = said
    counted, features = same.splitlines()
    assert counted.split()[1] == "0"
    assert "nan" not in features
