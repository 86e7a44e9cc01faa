"""The five algorithms of the contract, and their entry points: the same ``run_algorithm`` in this process, or in its own.

In this process a row takes what its reading takes, because packages and model are loaded once. It is the same program: the
platform runs ``python -m <study>.inference``, whose last line calls ``run_algorithm`` with the two functions that are called
here, and a model is never changed by a prediction (frozen dataclasses). ``test_entry_points.py`` holds it to that: a
subprocess gives the same sentence for bad inputs, and after all rows the shared model gives the same bytes as a new process.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preop.grandchallenge.algorithm import Algorithm, read_algorithm
from preop.grandchallenge.roots import Roots
from preop.grandchallenge.runtime import run_algorithm
from tests.conftest import ROOT

LIMIT_S = 60
"""Of processor time; more is a hang."""


@dataclass(frozen=True)
class Study:
    """An algorithm, the bundled case that is spoilt, and the sockets by the part that they play in the table."""

    name: str
    case: str
    scan: str
    mask: str
    explanation: str
    pet: str = ""
    mr: str = ""
    value: str = ""

    @property
    def folder(self) -> Path:
        return ROOT / "algorithms" / self.name

    @functools.cached_property
    def algorithm(self) -> Algorithm:
        return read_algorithm(self.folder)


BLADDER = Study("bladder_lymph_nodes", "positive_mask", "ct-image", "lymph-node-segmentation", "positive-lymph-nodes")
LIVER = Study(
    "liver_growth_pattern", "desmoplastic_mask", "ct-image", "liver-metastasis-segmentation", "growth-patterns"
)
LUNG = Study(
    *("lung_nodal_stage", "n3_given", "chest-ct", "lesion-segmentation", "n-stage-explanation"),
    pet="fdg-pet",
    value="staging-information",
)
PRIMARY = Study(
    *("primary_growth_pattern", "not_desmoplastic_mask", "primary-tumour-slide", "tissue-mask"),
    "growth-pattern-explanation",
)
SARCOMA = Study(
    *("sarcoma_lung_metastasis", "ct_t1_pet_clinical", "ct-image", "ct-tumour-segmentation"),
    "lung-metastasis-explanation",
    pet="pet-image",
    mr="t1-mri",
    value="clinical-information",
)
ALL = (BLADDER, LIVER, LUNG, PRIMARY, SARCOMA)
SCANS = (BLADDER, LIVER, LUNG, SARCOMA)


@dataclass(frozen=True)
class Laid:
    """A case laid out as the platform does, free to be spoilt."""

    study: Study
    root: Path

    @property
    def inputs(self) -> Path:
        return self.root / "inputs.json"

    def path(self, slug: str) -> Path:
        return self.root / self.study.algorithm.input(slug).relative_path

    def image(self, slug: str) -> Path:
        (path,) = self.path(slug).iterdir()
        return path

    @property
    def scan(self) -> Path:
        return self.image(self.study.scan)

    @property
    def mask(self) -> Path:
        return self.image(self.study.mask)


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit code, the lines of stderr, and what it left."""

    code: int
    lines: list[str]
    output: Path

    @property
    def sentence(self) -> str:
        return self.lines[-1] if self.lines else ""

    @property
    def left(self) -> list[str]:
        return sorted(str(path.relative_to(self.output)) for path in self.output.rglob("*"))

    def explained(self, study: Study) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.output / f"{study.explanation}.json").read_text(encoding="utf-8"))
        return content


def laid_out(study: Study, folder: Path) -> Laid:
    """Copy the bundled case of a study."""
    shutil.copytree(study.folder / "test" / study.case / "input", folder / "input")
    return Laid(study, folder / "input")


@functools.cache
def _loaded(name: str, folder: Path) -> Any:
    module = importlib.import_module(f"{name}.inference")
    return module.load_model(folder, read_algorithm(ROOT / "algorithms" / name))


def run_here(case: Laid, output: Path) -> Ended:
    """Run a case through ``run_algorithm`` in this process, with a model that is loaded once."""
    output.mkdir()
    study = case.study
    module = importlib.import_module(f"{study.name}.inference")
    roots = Roots(case.root, output, study.folder / "model")
    printed = io.StringIO()
    with (
        environment(roots),
        limited(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(printed),
    ):
        try:
            run_algorithm(
                study.folder, load_model=lambda folder, _: _loaded(study.name, folder), predict=module.predict
            )
        except SystemExit as end:
            code = int(end.code or 0)
    return Ended(code, printed.getvalue().splitlines(), output)


@functools.cache
def unspoilt(study: Study) -> dict[str, Any]:
    """Explanation of the bundled case on this machine: networks differ in their last digits between processors."""
    with tempfile.TemporaryDirectory() as folder:
        case = laid_out(study, Path(folder))
        return run_here(case, Path(folder) / "output").explained(study)


def run_apart(case: Laid, output: Path) -> Ended:
    """Run a case as the container does, in a process of its own."""
    output.mkdir()
    roots = Roots(case.root, output, case.study.folder / "model")
    path = os.pathsep.join(str(ROOT / folder) for folder in ("shared/src", "algorithms"))
    ended = subprocess.run(
        [sys.executable, "-m", f"{case.study.name}.inference"],
        env={**os.environ, **roots.environment(), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=10 * LIMIT_S,
    )
    return Ended(ended.returncode, ended.stderr.splitlines(), output)


@contextlib.contextmanager
def environment(roots: Roots) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(roots.environment())
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """End what hangs by an error that no reader takes for a damaged file."""

    class Hangs(BaseException):
        pass

    def stop(_signal: int, _frame: object) -> None:
        raise Hangs(f"still running after {LIMIT_S} s")

    # Processor time, which a busy machine does not lengthen, and ten times as much for what waits.
    timers = ((signal.SIGPROF, signal.ITIMER_PROF, LIMIT_S), (signal.SIGALRM, signal.ITIMER_REAL, 10 * LIMIT_S))
    before = {number: signal.signal(number, stop) for number, _, _ in timers}
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for number, timer, _ in timers:
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])
