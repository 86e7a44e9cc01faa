"""What works on this machine: Python, packages, engines, graphics card, models."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from preop.cli.repository import studies
from preop.engines.choosing import EngineChoice, find_engine
from preop.engines.containers import ContainerEngine, image_problem
from preop.engines.programs import algorithm_program
from preop.errors import PreopError
from preop.grandchallenge.algorithm import Algorithm
from preop.report.case.printing import find_browser
from preop.study import read_model_info
from preop.wording import counted

# One package of each lock that no smaller lock holds.
LOCKS = {
    "imaging": "SimpleITK",
    "evaluation": "grand_challenge_metrics",
    "training": "optuna",
    "inference": "totalsegmentator",
    "slides": "openslide",
    "learning": "nnunetv2",
    "pathology": "timm",
    "hospital": "highdicom",
    "development": "pytest",
}


@dataclass(frozen=True)
class Ability:
    """Something a person comes for, whether it can be done here, and what to type if not."""

    what: str
    works: bool
    how: str


def abilities() -> list[Ability]:
    """Tell what can be done here, before what it rests on."""
    runnable = [study for study in studies() if _runs(study)]
    names = ", ".join(study.name for study in runnable) or "no algorithm"
    container = any(_works(name) for name in ("docker", "podman"))
    return [
        Ability(
            "run", bool(runnable), f"{names}: preop run ALGORITHM --help" if runnable else _INSTALL.format("inference")
        ),
        Ability(
            "train",
            _installed("optuna", "lifelines"),
            "preop train" if _installed("optuna", "lifelines") else _INSTALL.format("training"),
        ),
        Ability(
            "review masks",
            _installed("starlette", "uvicorn"),
            "preop review" if _installed("starlette", "uvicorn") else _INSTALL.format("review"),
        ),
        Ability("export", container, "./export.sh ALGORITHM" if container else "install docker, or podman and runc"),
    ]


_INSTALL = "requirements/install.sh {}"
_NEEDED = {
    "imaging": ("SimpleITK",),
    "inference": ("SimpleITK", "onnxruntime", "totalsegmentator"),
    "slides": ("SimpleITK", "onnxruntime", "openslide"),
}
"""Packages that an algorithm cannot run without as a process, by its lock."""


def _runs(study: Algorithm) -> bool:
    """Whether an algorithm has its model, and a current image or its packages."""
    if not (study.folder / "model" / "model.json").is_file():
        return False
    if _installed(*_NEEDED.get(study.requirements, ())):
        return True
    program = algorithm_program(study)
    engines = [find_engine(name) for name in ("docker", "podman") if _works(name)]
    return any(isinstance(each, ContainerEngine) and image_problem(each, program) is None for each in engines)


def _works(name: EngineChoice) -> bool:
    try:
        find_engine(name)
    except PreopError:
        return False
    return True


def _installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in packages)


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    what: str
    works: bool
    found: str
    remedy: str = ""


def examine() -> Iterator[Finding]:
    """Look at everything that matters for running, training and exporting algorithms."""
    yield Finding("Python", sys.version_info >= (3, 11), platform.python_version(), "")
    yield Finding("cores and memory", works=True, found=_size())
    for lock, package in LOCKS.items():
        installed = importlib.util.find_spec(package) is not None
        remedy = "" if installed else f"requirements/install.sh {lock}"
        yield Finding(f"packages: {lock}", installed, "installed" if installed else "not installed", remedy)
    yield from _engines()
    card = shutil.which("nvidia-smi") is not None
    yield Finding("graphics card", card, "nvidia-smi found" if card else "none found; nothing needs one today")
    browser = find_browser()
    remedy = "" if browser else "apt install chromium"
    yield Finding("case pages as PDF", browser is not None, browser or "no Chromium found", remedy)
    for algorithm in studies():
        folder = algorithm.folder
        try:
            info = read_model_info(folder / "model", algorithm, None)
            found = f"trained {info.created} on {counted(info.training_data.patients, 'patient')}"
            yield Finding(f"model: {algorithm.name}", works=True, found=found)
        except PreopError as error:
            remedy = f"preop train {algorithm.name} --cohort cohort.csv --model {folder / 'model'}"
            yield Finding(f"model: {algorithm.name}", works=False, found=str(error), remedy=remedy)


def _engines() -> Iterator[Finding]:
    for name in ("docker", "podman"):
        try:
            engine = find_engine(name)
        except PreopError as error:
            yield Finding(name, works=False, found=str(error))
            continue
        yield Finding(name, works=True, found=engine.isolation)
        if isinstance(engine, ContainerEngine):
            for program in map(algorithm_program, studies()):
                problem = image_problem(engine, program)
                remedy = f"./build.sh {program.name}" if problem else ""
                yield Finding(f"{name} image: {program.name}", problem is None, problem or "built and current", remedy)
    yield Finding("isolated process", works=True, found=find_engine("process").isolation)


def _size() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{counted(os.cpu_count() or 1, 'core')}, {memory:.0f} GB"
