"""One case from its files to one row of a feature table, with everything needed to compute it again."""

from __future__ import annotations

import hashlib
import math
import os
import platform
from collections.abc import Collection, Sequence
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

import preop
from preop.imaging import files_of, read_image, read_mask
from preop.radiomics.features import compute_features
from preop.radiomics.settings import Family, Settings

# What the numbers depend on.
PACKAGES = ("numpy", "scipy", "SimpleITK", "nibabel", "pydicom", "numba", "PyWavelets")


class Extraction(BaseModel):
    """Features of one image and mask, and where they come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str = Field(description="Name of the image's file or folder.")
    mask: str = Field(description="Name of the mask's file or folder.")
    label: str | None = Field(default=None, description="Number or name of the region, where one was asked for.")
    image_sha256: str = Field(description="Checksum of the image's file, or of its files by name.")
    mask_sha256: str = Field(description="Checksum of the mask's file, or of its files by name.")
    settings: Settings = Field(description="How the features were computed.")
    settings_sha256: str = Field(description="Checksum of the settings: equal for features that can be compared.")
    versions: dict[str, str] = Field(description="Versions of this library and of what the numbers depend on.")
    notes: tuple[str, ...] = Field(default=(), description="What was corrected or left out when the files were read.")
    features: dict[str, float] = Field(description="Values by name; null in JSON where a feature is not defined.")

    @field_validator("features", mode="before")
    @classmethod
    def _null_is_nan(cls, features: object) -> object:
        """Read back what JSON has no number for."""
        if not isinstance(features, dict):
            return features
        return {name: math.nan if value is None else value for name, value in features.items()}

    def row(self) -> dict[str, str | float]:
        """Make one row of a table: where the features come from, then one column a feature."""
        return {
            "image": self.image,
            "mask": self.mask,
            "image_sha256": self.image_sha256,
            "mask_sha256": self.mask_sha256,
            "settings_sha256": self.settings_sha256,
            "preop": self.versions["preop"],
            **self.features,
        }


def extract(
    image: Path,
    mask: Path,
    settings: Settings | None = None,
    families: Collection[Family] | None = None,
    *,
    label: int | str | None = None,
    threads: int | None = None,
) -> Extraction:
    """Read an image and its mask, and compute features.

    Parameters
    ----------
    image, mask
        Files in any format that ``preop.imaging.read_image`` and ``read_mask`` know, or DICOM folders.
    settings
        As for ``compute_features``; the defaults for CT where none are given.
    label
        Which region of the mask, where it holds several: its number, its name, or a pattern of it with ``*``.
    families, threads
        As for ``compute_features``.

    Raises
    ------
    InvalidInputError
        If a file cannot be read or the features cannot be computed.
    """
    settings = settings or Settings()
    scan = read_image(image)
    region = read_mask(mask, label=label, like=scan.geometry)
    features = compute_features(scan, region, settings, families, threads=threads)
    return Extraction(
        image=image.name,
        mask=mask.name,
        label=None if label is None else str(label),
        image_sha256=checksum(image),
        mask_sha256=checksum(mask),
        settings=settings,
        settings_sha256=hashlib.sha256(settings.model_dump_json().encode()).hexdigest(),
        versions={
            "preop": preop.__version__,
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
        notes=tuple(f"{path.name}: {note}" for path, read in ((image, scan), (mask, region)) for note in read.notes),
        features=features,
    )


def checksum(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of the files that an image consists of (``.mhd`` and its data)."""
    if path.is_file():
        files = files_of(path)
        if len(files) == 1:
            return _digest(path)
        return _digest_of_all(files, path.parent)
    return _digest_of_all(files_of(path), path)


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _digest_of_all(files: Sequence[Path], folder: Path) -> str:
    lines = [f"{_digest(each)}  {os.path.relpath(each, folder)}\n" for each in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
