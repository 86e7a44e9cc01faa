"""What a study is: an algorithm's description, and three modules that keep the contract written here as types.

A study is a folder with ``algorithm.toml``. Its modules are imported by the study's own name without its parent folder
on the import path, so that nothing else that lies there can be imported, or hides a package, by accident.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

from pydantic import BaseModel

from preop.anatomy import PlausibleRange
from preop.errors import InvalidInputError, MissingToolError
from preop.evidence import ValidationFigures
from preop.grandchallenge.algorithm import DESCRIPTION_FILE, Algorithm, read_algorithm
from preop.grandchallenge.cases import Case
from preop.grandchallenge.outputs import Output
from preop.grandchallenge.results import CaseOutputs

Progress = Callable[[int, int], object]
"""Called with the number of finished patients and that of all."""


class Inference(Protocol):
    """``inference.py``: from a case to its outputs."""

    def load_model(self, folder: Path, algorithm: Algorithm) -> Any:
        """Read and check a model folder."""

    def predict(self, case: Case, model: Any) -> dict[str, Output]:
        """Make all outputs of a case, by slug."""


class Training(Protocol):
    """``training.py``: from a cohort to a model folder and a report."""

    Settings: type[BaseModel]

    def fit(self, cohort: Any, model: Path, report: Path, settings: Any) -> ValidationFigures:
        """Train and validate on a cohort; write the model folder, and the report with its evidence.

        Parameters
        ----------
        model
            Becomes what ``/opt/ml/model`` holds.
        report
            Gets ``report.html``, and ``evidence.json`` with each patient's held-out predictions; finished parts are kept
            there, so that a run that was stopped goes on.

        Returns
        -------
        The validation figures, as ``model.json`` states them.
        """


class Simulation(Protocol):
    """``simulation/``: patients whose truth is known."""

    def simulate(self, patients: int, seed: int, output: Path, progress: Progress, *, small: bool = False) -> None:
        """Make a cohort: ``cohort.csv``, images and the known truth; small coarse images for tests and examples."""


class Page(Protocol):
    """``page.py``, which a study may lack: from a case and its outputs to what a clinician sees of them, without the model."""

    def case_page(self, case: Case, outputs: CaseOutputs) -> Any:
        """Say and show what was found, as a ``preop.report.case.CasePage``."""


class Portable(Protocol):
    """``portable.py``, which a study without networks of its own lacks: the portable form of those in its models."""

    def portable_files(self, folder: Path, algorithm: Algorithm) -> Mapping[str, bytes]:
        """Make the portable form of each network of a model folder, which is loaded by torch: content by path in it."""


class Plausibility(Protocol):
    """``plausibility.py``, which a study may lack: between what the measures of a structure that it is about lie."""

    VOLUME: PlausibleRange
    """In ml."""
    DENSITY: PlausibleRange
    """Median, in HU."""


_PARAMETERS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "inference": {"load_model": ("folder", "algorithm"), "predict": ("case", "model")},
    "training": {"Settings": (), "fit": ("cohort", "model", "report", "settings")},
    "simulation": {"simulate": ("patients", "seed", "output", "progress")},
    "page": {"case_page": ("case", "outputs")},
    "portable": {"portable_files": ("folder", "algorithm")},
    "plausibility": {"VOLUME": (), "DENSITY": ()},
}
_OPTIONS: Mapping[str, Sequence[str]] = {"simulate": ("small",)}


def inference_of(algorithm: Algorithm) -> Inference:
    """Import the ``inference.py`` of a study."""
    return cast("Inference", _part(algorithm, "inference"))


def training_of(algorithm: Algorithm) -> Training:
    """Import the ``training.py`` of a study."""
    return cast("Training", _part(algorithm, "training"))


def simulation_of(algorithm: Algorithm) -> Simulation:
    """Import the ``simulation`` of a study."""
    return cast("Simulation", _part(algorithm, "simulation"))


def page_of(algorithm: Algorithm) -> Page | None:
    """Import the ``page.py`` of a study; None where it has none."""
    return cast("Page", _part(algorithm, "page")) if (algorithm.folder / "page.py").is_file() else None


def portable_of(algorithm: Algorithm) -> Portable | None:
    """Import the ``portable.py`` of a study; None where it has none."""
    return cast("Portable", _part(algorithm, "portable")) if (algorithm.folder / "portable.py").is_file() else None


def plausibility_of(algorithm: Algorithm) -> Plausibility | None:
    """Import the ``plausibility.py`` of a study; None where it has none."""
    there = (algorithm.folder / "plausibility.py").is_file()
    return cast("Plausibility", _part(algorithm, "plausibility")) if there else None


def find_studies(folder: Path) -> list[Algorithm]:
    """Find the studies in a folder, in the order of their names.

    Raises
    ------
    InvalidInputError
        If a description breaks a rule of the contract.
    """
    return [read_algorithm(path.parent) for path in sorted(folder.glob(f"*/{DESCRIPTION_FILE}"))]


def make_importable(folder: Path) -> None:
    """Let the modules of a study be imported by its name, here or in another process that works for it.

    Raises
    ------
    InvalidInputError
        If another package goes by that name.
    """
    folder = folder.absolute()
    loaded = sys.modules.get(folder.name)
    known = _finder.folders.get(folder.name)
    place = getattr(loaded, "__file__", None)
    if (known not in {None, folder}) or (place and Path(place).absolute().parent != folder):
        raise InvalidInputError(
            f"The study {folder} cannot be imported: {known or place} already goes by the name {folder.name}."
        )
    _finder.folders[folder.name] = folder
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def importable_studies() -> list[Path]:
    """Folders of the studies that have been made importable in this process."""
    return list(_finder.folders.values())


class _StudyFinder:
    """Finds the packages of studies, and nothing else that lies beside them."""

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:  # noqa: ARG002
        folder = self.folders.get(name)
        if folder is None:
            return None
        beginning = folder / "__init__.py"
        if beginning.is_file():
            return importlib.util.spec_from_file_location(name, beginning, submodule_search_locations=[str(folder)])
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        return spec


_finder = _StudyFinder()


def _part(algorithm: Algorithm, name: str) -> ModuleType:
    """Import a part of a study and check that it keeps the contract.

    Raises
    ------
    InvalidInputError
        If the study has no such part, or it lacks a function or takes other parameters.
    MissingToolError
        If a package that it needs is not installed.
    """
    folder = algorithm.folder
    if not (folder / f"{name}.py").is_file() and not (folder / name / "__init__.py").is_file():
        raise InvalidInputError(f"{algorithm.name} has no {name}.py.")
    make_importable(folder)
    try:
        module = importlib.import_module(f"{algorithm.name}.{name}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in {"", algorithm.name, "preop"}:
            raise
        raise MissingToolError(
            f"The {name} of {algorithm.name} needs the Python package {package}, which is not installed: run "
            f"requirements/install.sh {algorithm.requirements if name == 'inference' else 'development'}."
        ) from error
    for function, parameters in _PARAMETERS[name].items():
        found = getattr(module, function, None)
        if found is None:
            raise InvalidInputError(f"{algorithm.name}: {name} has no {function}; docs/studies.md says what it does.")
        if parameters and (problem := _other_parameters(found, parameters, _OPTIONS.get(function, ()))):
            raise InvalidInputError(f"{algorithm.name}: {name}.{function} {problem}.")
    return module


def _other_parameters(function: Callable[..., object], expected: Sequence[str], options: Sequence[str]) -> str | None:
    """Say where the parameters of a function differ; further options that may be left out are its own business."""
    found = inspect.signature(function).parameters
    if [*found][: len(expected)] != [*expected]:
        return f"takes ({', '.join(found)}); expected ({', '.join(expected)})"
    for name in [*found][len(expected) :]:
        if found[name].default is inspect.Parameter.empty:
            return f"wants {name} too; expected only options that may be left out after ({', '.join(expected)})"
    if missing := [name for name in options if name not in found]:
        return f"has no option {missing[0]}"
    return None
