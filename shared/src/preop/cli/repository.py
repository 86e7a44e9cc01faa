"""Where the algorithms are: in the checkout or the package that this library is, or in a folder that the user names."""

from __future__ import annotations

from pathlib import Path

import preop
from preop.errors import InvalidInputError, meant
from preop.grandchallenge.algorithm import DESCRIPTION_FILE, Algorithm, read_algorithm
from preop.grandchallenge.results import are_outputs_of
from preop.study import find_studies

CHECKOUT, BUNDLED = Path(preop.__file__).parents[3], Path(preop.__file__).parent / "bundled"
"""Above ``shared/src/preop``; or in an installed package, where ``setup.py`` puts algorithms and evaluation."""
ROOT = BUNDLED if BUNDLED.is_dir() else CHECKOUT


def work_folder() -> Path:
    """Where what is made goes by default: the checkout, or where the user is."""
    return Path.cwd() if ROOT == BUNDLED else ROOT


def studies() -> list[Algorithm]:
    """All studies of the checkout, in the order of their names."""
    return find_studies(ROOT / "algorithms")


def evaluation_folder() -> Path:
    """Folder of the evaluation."""
    return _existing(ROOT / "evaluation")


def find_algorithm(name_or_folder: str) -> Algorithm:
    """Read the algorithm of that name, or in that folder.

    Raises
    ------
    InvalidInputError
        If there is none; the sentence names those there are.
    """
    folder = Path(name_or_folder)
    if (folder / DESCRIPTION_FILE).is_file():
        return read_algorithm(folder)
    named = ROOT / "algorithms" / name_or_folder
    if "/" in name_or_folder or not (named / DESCRIPTION_FILE).is_file():
        known = [study.name for study in studies()]
        raise InvalidInputError(
            f"There is no algorithm {name_or_folder}{meant(name_or_folder, known)}; there are: {', '.join(known)}."
        )
    return read_algorithm(named)


def algorithm_of_outputs(folder: Path) -> Algorithm:
    """Tell by which algorithm of the checkout the outputs in a folder were made.

    Raises
    ------
    InvalidInputError
        If they are none's, or more than one's.
    """
    found = [study for study in studies() if are_outputs_of(study, folder)]
    if len(found) != 1:
        known = ", ".join(study.name for study in found or studies())
        raise InvalidInputError(
            f"{folder} holds the outputs of {'several algorithms' if found else 'no algorithm'}; expected all outputs of one: "
            f"name it by --algorithm ({known})."
        )
    return found[0]


def ground_truth_folder(algorithm: Algorithm) -> Path:
    """Folder of the evaluation's task for an algorithm."""
    return _existing(evaluation_folder() / "ground_truth" / algorithm.name)


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise InvalidInputError(f"{folder} is missing: this command needs a checkout of the preop repository.")
    return folder
