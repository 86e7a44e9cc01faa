"""What is sent of a patient: an image or a value for each socket, under the platform's names."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from preop.cohort import Cohort, Patient
from preop.errors import InvalidInputError
from preop.grandchallenge.algorithm import Kind
from preop.grandchallenge.values import JSON
from preop.imaging import write_image

_SLIDES = (".tif", ".tiff", ".svs", ".ndpi", ".scn", ".bif")
"""Whole-slide images of one file, which panimg reads; they are sent as they are."""
_LARGEST_LABEL = 255


@dataclass(frozen=True)
class Item:
    """One patient as an item of an archive.

    Attributes
    ----------
    title
        The patient's name in the table: the item is found again by it, and the evaluation knows the case by it.
    values
        Content of each value, by the platform's slugs.
    files
        File of each image, by the platform's slugs.
    """

    title: str
    values: dict[str, JSON]
    files: dict[str, Path]


def planned(cohort: Cohort) -> dict[str, dict[str, int]]:
    """Say what would be sent of each patient: the size in bytes of each file, 0 of a value, by the platform's slugs.

    Raises
    ------
    InvalidInputError
        If a patient has a name that no image can have, or a value that JSON cannot hold.
    """
    plan = {}
    for patient in cohort.patients:
        _check_name(patient)
        case = patient.case
        files = {**case.image_paths, **case.feature_files}
        sizes = {slug: _size(path) for slug, path in files.items()} | dict.fromkeys(case.values, 0)
        plan[patient.name] = {case.algorithm.platform_slug(slug): size for slug, size in sizes.items()}
    return plan


def only_named(cohort: Cohort, path: Path) -> Cohort:
    """Take the patients that a text file names, one a line.

    Raises
    ------
    InvalidInputError
        If it cannot be read, names nobody, or somebody whom the table does not have.
    """
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read: expected the names of patients, one a line.") from error
    known = {patient.name for patient in cohort.patients}
    if not names or (unknown := [name for name in names if name not in known]):
        raise InvalidInputError(
            f"{path} names {unknown[0] if names else 'nobody'}; expected patients of {cohort.path.name}, one a line."
        )
    return replace(cohort, patients=tuple(patient for patient in cohort.patients if patient.name in names))


def item_of(patient: Patient, folder: Path, *, wanted: Collection[str] | None = None) -> Item:
    """Write what is sent of a patient into an empty folder.

    Scans and masks are read, checked and written anew as ``.mha`` under the patient's name: nothing of a DICOM header is
    sent. Slides are sent as they are.

    Parameters
    ----------
    wanted
        The platform's slugs to send; all if left out.

    Raises
    ------
    InvalidInputError
        If an image cannot be read, or the platform could not take it.
    """
    _check_name(patient)
    algorithm = patient.case.algorithm
    files, values = {}, {}
    for slug in patient.case.interface:
        theirs = algorithm.platform_slug(slug)
        if wanted is not None and theirs not in wanted:
            continue
        if slug in patient.case.image_paths:
            files[theirs] = _image(patient, slug, folder / slug)
        else:
            values[theirs] = patient.case.value(slug)
    return Item(patient.name, values, files)


def _image(patient: Patient, slug: str, folder: Path) -> Path:
    folder.mkdir()
    path = patient.case.image_paths[slug]
    if path.suffix.lower() in _SLIDES:
        target = folder / f"{patient.name}{path.suffix.lower()}"
        target.symlink_to(path.absolute())
        return target
    image = patient.case.image(slug)
    socket = patient.case.algorithm.input(slug)
    if socket.instances or socket.kind is Kind.SEGMENTATION:
        labels = np.unique(image.voxels)
        if labels.min() < 0 or labels.max() > _LARGEST_LABEL or (labels != labels.astype(np.int64)).any():
            raise InvalidInputError(
                f"{slug} holds labels from {labels.min():g} to {labels.max():g}; the platform takes whole numbers up to "
                f"{_LARGEST_LABEL}."
            )
        image = image.with_voxels(image.voxels.astype(np.uint8))
    target = folder / f"{patient.name}.mha"
    write_image(image, target)
    return target


def _check_name(patient: Patient) -> None:
    if Path(patient.name).name != patient.name or "\0" in patient.name or patient.name.startswith("."):
        raise InvalidInputError(f"The patient {patient.name!r:.60} cannot name a file; give another name in the table.")


def _size(path: Path) -> int:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)
