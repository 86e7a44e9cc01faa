"""One case from its files to one row of a feature table, with everything needed to compute it again."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

import preop
from preop.errors import InvalidInputError
from preop.folders import Contents
from preop.imaging import read_image, read_mask
from preop.radiomics.diagnostics import grey_level_warnings, looks_like_hounsfield_units
from preop.radiomics.features import compute_features
from preop.radiomics.settings import TEXTURES, Family, Modality, Settings, settings_for

# What the numbers depend on.
PACKAGES = ("numpy", "scipy", "SimpleITK", "nibabel", "pydicom", "numba", "PyWavelets")


class Extraction(BaseModel):
    """Features of one image and mask, and where they come from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str = Field(description="Name of the image's file or folder.")
    mask: str = Field(description="Name of the mask's file or folder.")
    label: str | None = Field(None, description="Number or name of the region, where one was asked for.")
    image_sha256: str = Field(description="Checksum of the image's file, or of all its files by name.")
    mask_sha256: str = Field(description="Checksum of the mask's file, or of all its files by name.")
    settings: Settings = Field(description="How the features were computed.")
    settings_sha256: str = Field(description="Checksum of the settings: equal for features that can be compared.")
    versions: dict[str, str] = Field(description="Versions of this library and of what the numbers depend on.")
    modality: Modality | None = Field(None, description="What scanned the image; null where it was not said.")
    warnings: list[str] = Field([], description="What makes features doubtful, in sentences.")
    notes: tuple[str, ...] = Field((), description="What was corrected or left out when the files were read.")
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
            "warnings": " ".join(self.warnings),
            **self.features,
        }


def extract(
    image: Path,
    mask: Path,
    settings: Settings | None = None,
    families: Collection[Family] | None = None,
    *,
    modality: Modality | None = None,
    label: int | str | None = None,
    threads: int | None = None,
) -> Extraction:
    """Read an image and its mask, and compute features.

    Parameters
    ----------
    image, mask
        Files in any format that ``preop.imaging.read_image`` and ``read_mask`` know, or DICOM folders.
    settings
        As for ``compute_features``; what is not set in them is as the modality needs it.
    modality
        CT in HU, PET in SUV, or MR. Left out, it is CT, and refused for an image that does not look like one, unless
        ``settings`` set how intensities are rounded and discretised.
    label
        Which region of the mask, where it holds several: its number, its name, or a pattern of it with ``*``.
    families, threads
        As for ``compute_features``.

    Raises
    ------
    InvalidInputError
        If a file cannot be read, the features cannot be computed, or the modality must be said.
    """
    scan = read_image(image)
    region = read_mask(mask, label=label, like=scan.geometry)
    chosen = settings is not None and {"discretisation", "round_intensities"} <= settings.model_fields_set
    if modality is None and not chosen and not looks_like_hounsfield_units(scan):
        raise InvalidInputError(
            f"{image.name} holds {scan.voxels.min():.4g} to {scan.voxels.max():.4g}, which does not look like a CT in HU, so that "
            "grey levels as for a CT would be wrong: give its modality (CT, PET or MR), or set discretisation and "
            "round_intensities."
        )
    settings = settings_for(modality, settings)
    features = compute_features(scan, region, settings, families, threads=threads)
    discretised = families is None or not set(families).isdisjoint(TEXTURES | {Family.HISTOGRAM})
    warnings = grey_level_warnings(scan, region, settings) if discretised else []
    checksums = Contents()
    return Extraction(
        image=image.name,
        mask=mask.name,
        label=None if label is None else str(label),
        image_sha256=checksums.of(image),
        mask_sha256=checksums.of(mask),
        settings=settings,
        settings_sha256=hashlib.sha256(settings.model_dump_json().encode()).hexdigest(),
        versions={
            "preop": preop.__version__,
            "python": platform.python_version(),
            **{package: version(package) for package in PACKAGES},
        },
        notes=tuple(f"{path.name}: {note}" for path, read in ((image, scan), (mask, region)) for note in read.notes),
        modality=modality,
        warnings=warnings,
        features=features,
    )
