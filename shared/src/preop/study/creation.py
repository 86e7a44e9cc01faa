"""A new study as files: the small one in ``template``, under another name."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shutil
from importlib.resources import as_file, files
from pathlib import Path

from preop.errors import InvalidInputError
from preop.folders import was_killed
from preop.grandchallenge.algorithm import Algorithm, read_algorithm

_PLACEHOLDER, _TITLE = "new_study", "New study"


def write_study(name: str, checkout: Path, like: Algorithm) -> Algorithm:
    """Write the files of a new study into a checkout, all that a person writes; model and cases are made from them.

    Parameters
    ----------
    name
        Of the study: its folder, its package and its image.
    checkout
        Gets ``algorithms/NAME`` and ``evaluation/ground_truth/NAME``.
    like
        A study whose Dockerfile is taken; it differs by the name and by the lock of the packages only.

    Raises
    ------
    InvalidInputError
        If the name cannot be one, is taken by a package of Python, or there is such a study already.
    """
    if not re.fullmatch("[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise InvalidInputError(
            f"{name!r} cannot name a study: expected small letters, digits and underscores, a letter first."
        )
    study, ground_truth = _folders_of(name, checkout)
    for folder in (study, ground_truth):
        if folder.exists():
            raise InvalidInputError(f"{folder} exists already: choose another name.")
    if importlib.util.find_spec(name) is not None:
        raise InvalidInputError(f"A package of Python is called {name}: choose another name.")
    with as_file(files("preop.study") / "template") as template:
        _copy(template / "study", study, name)
        _copy(template / "ground_truth", ground_truth, name)
    made = read_algorithm(study)
    dockerfile = (like.folder / "Dockerfile").read_text(encoding="utf-8").replace(like.name, name)
    lock = f"ARG LOCK={like.requirements}\n"
    (study / "Dockerfile").write_text(dockerfile.replace(lock, f"ARG LOCK={made.requirements}\n"), encoding="utf-8")
    return made


def remove_study(algorithm: Algorithm) -> None:
    """Remove what :func:`write_study` wrote, where the rest could not be made."""
    for folder in _folders_of(algorithm.name, algorithm.folder.parents[1]):
        shutil.rmtree(folder, ignore_errors=True)


def remove_killed_study(name: str, checkout: Path) -> None:
    """Remove what was made of a study when its making was killed; it holds the lock of a run that is no more."""
    folders = _folders_of(name, checkout)
    if was_killed(folders[0]):
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


def _folders_of(name: str, checkout: Path) -> tuple[Path, Path]:
    return checkout / "algorithms" / name, checkout / "evaluation" / "ground_truth" / name


def _copy(source: Path, target: Path, name: str) -> None:
    title = name.replace("_", " ").capitalize()
    for path in sorted(source.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            copied = target / path.relative_to(source)
            copied.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text(encoding="utf-8").replace(_PLACEHOLDER, name).replace(_TITLE, title)
            copied.write_text(text, encoding="utf-8")
