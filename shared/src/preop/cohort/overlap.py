"""Patients whom a model has learned from: told by what their images hold, for on them any model looks better than it is.

A model folder keeps a checksum of each image of its training, mixed with a salt of its own, and nothing else: whoever has an
image can ask whether it was among them, as a validation does, and nobody can get back from a checksum to an image, a name or
a number of patients by centre. Those of two models cannot be compared with each other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from preop.cohort.copies import image_digests
from preop.cohort.measuring import INDEX_FILE
from preop.cohort.running import Mapped
from preop.cohort.table import Cohort
from preop.evidence import Stored
from preop.folders import Contents
from preop.grandchallenge.values import to_json
from preop.study import ModelInfo, read_description

TRAINING_IMAGES_FILE = "training-images.json"

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class TrainingImages(Stored):
    """Content of ``training-images.json`` in a model folder."""

    salt: Digest = Field(description="goes into each checksum, so that those of two models cannot be compared")
    images: list[Digest] = Field(
        description="SHA-256 of the salt and the checksum of an image's content, in their own order"
    )


@dataclass(frozen=True)
class Overlap:
    """Which patients of a cohort a model has learned from.

    Attributes
    ----------
    patients
        Their names, in the order of the cohort.
    all
        How many the cohort has.
    stated
        Whether the model says which images it has learned from, or the table is the very one: else there may be more.
    """

    patients: tuple[str, ...]
    all: int
    stated: bool

    @property
    def sentence(self) -> str:
        """What is to be said before any figure; empty where there is no such patient."""
        if not self.patients:
            return ""
        if len(self.patients) == self.all:
            return (
                f"All {self.all} patients are ones the model was trained on: these are figures on training patients, and "
                "say nothing about others."
            )
        are = "is one" if len(self.patients) == 1 else "are ones"
        return (
            f"{len(self.patients)} of {self.all} patients {are} the model was trained on: these are figures partly on "
            "training patients, and likely better than on others."
        )

    @property
    def remark(self) -> str:
        """How far it could be looked for."""
        if self.stated:
            return (
                "Whether patients are ones the model was trained on was looked for by the content of their images: the same "
                "voxels, whatever file holds them; of slides, the same files."
            )
        return (
            f"Whether patients are ones the model was trained on cannot be told: it holds no {TRAINING_IMAGES_FILE}, as "
            "models trained with preop do. Only the table itself is known not to be that of the training."
        )


def training_images_file(cohort: Cohort, folder: Path, *, mapped: Mapped | None = None) -> dict[str, bytes]:
    """Give the file for a model folder that says which images the model has learned from, by its name.

    Parameters
    ----------
    folder
        Of the training, where checksums are remembered.
    mapped
        What reads the images; by default processes of this machine.
    """
    salt = hashlib.sha256(f"training images of {cohort.sha256}".encode()).hexdigest()
    contents = Contents(folder / INDEX_FILE)
    digests = {digest for each in image_digests(cohort, contents, mapped=mapped).values() for digest in each}
    content = TrainingImages(salt=salt, images=sorted(_salted(salt, digest) for digest in digests))
    return {TRAINING_IMAGES_FILE: to_json(content.model_dump()).encode()}


def find_overlap(
    cohort: Cohort, model: Path, info: ModelInfo, contents: Contents, *, mapped: Mapped | None = None
) -> Overlap:
    """Find the patients of a cohort whom a model has learned from: those with an image that was among its images.

    Parameters
    ----------
    mapped
        What reads the images; by default processes of this machine.

    Raises
    ------
    InvalidModelError
        If what the model says of its training images is damaged.
    """
    names = [patient.name for patient in cohort.patients]
    if cohort.sha256 == info.training_data.cohort_sha256:
        return Overlap(tuple(names), len(names), stated=True)
    if not looks_at_voxels(cohort, info):
        return Overlap((), len(names), stated=False)
    known = read_description(model, TRAINING_IMAGES_FILE, TrainingImages)
    trained = frozenset(known.images)
    digests = image_digests(cohort, contents, mapped=mapped)
    among = (name for name in names if any(_salted(known.salt, digest) in trained for digest in digests[name]))
    return Overlap(tuple(among), len(names), stated=True)


def looks_at_voxels(cohort: Cohort, info: ModelInfo) -> bool:
    """Whether :func:`find_overlap` has to know what the scans hold: not of the training itself, or where the model says nothing."""
    return cohort.sha256 != info.training_data.cohort_sha256 and TRAINING_IMAGES_FILE in info.files


def _salted(salt: str, digest: str) -> str:
    return hashlib.sha256(f"{salt} {digest}".encode()).hexdigest()
