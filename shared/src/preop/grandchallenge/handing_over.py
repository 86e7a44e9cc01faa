"""A case of a cohort handed over to a program: its files in whatever form they have, where the platform has only its own."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from preop.errors import InvalidInputError
from preop.folders import files_of
from preop.grandchallenge.algorithm import Algorithm
from preop.grandchallenge.cases import Case, read_case
from preop.grandchallenge.roots import below
from preop.grandchallenge.values import read_json, to_json

CASE_FILE = ".preop-case.json"


def hand_over(case: Case, root: Path) -> None:
    """Lay a case out in an empty folder for :func:`read_input`, such that every user can read it.

    Raises
    ------
    InvalidInputError
        If an image is not there, or a file cannot be read.
    """
    images = {
        slug: _placed(path, root / "images" / slug).relative_to(root).as_posix()
        for slug, path in case.image_paths.items()
    }
    content = {
        "name": case.name,
        "images": images,
        "values": {**case.values, **{slug: case.value(slug) for slug in case.feature_files}},
        "labels": dict(case.labels),
        "um_per_pixel": case.um_per_pixel,
    }
    (root / CASE_FILE).write_text(to_json(content), encoding="utf-8")
    (root / CASE_FILE).chmod(0o644)
    for folder in [path for path in root.rglob("*") if path.is_dir()]:
        folder.chmod(0o755)


def read_input(algorithm: Algorithm, root: Path) -> Case:
    """Read the case below ``root``, as the platform has laid it out (:func:`read_case`) or :func:`hand_over` has."""
    if not (root / CASE_FILE).is_file():
        return read_case(algorithm, root)
    content = read_json(root / CASE_FILE)
    return Case(
        algorithm,
        content["name"],
        {slug: below(root, path) for slug, path in content["images"].items()},
        content["values"],
        labels=content["labels"],
        um_per_pixel=content["um_per_pixel"],
    )


def _placed(path: Path, folder: Path) -> Path:
    """Put all files that make up an image into a folder, each where it lies beside the others; give the image itself."""
    path = path.parent.resolve() / path.name
    files = files_of(path)
    if not files:
        raise InvalidInputError(f"{path} does not exist, or holds no file.")
    root = Path(os.path.commonpath([path.parent, *(file.parent for file in files)]))
    for file in files:
        target = folder / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _give(file, target)
        except OSError as error:
            raise InvalidInputError(f"{file} cannot be read: {error.strerror}.") from error
    return folder / path.relative_to(root)


def _give(file: Path, target: Path) -> None:
    """Link a file where every user may read it and the disk is the same, for slides are large; else copy it."""
    if file.stat().st_mode & stat.S_IROTH:
        with suppress(OSError):
            os.link(file.resolve(), target)
            return
    shutil.copyfile(file, target)
    target.chmod(0o644)
