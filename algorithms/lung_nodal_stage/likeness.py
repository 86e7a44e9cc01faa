"""How like its training patients a patient is to the model: body and lungs on the CT, and the PET."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from preop.grandchallenge.cases import Case
from preop.imaging import Image, axial_axis, resample_like
from preop.likeness import CT_MEASURES, PET_MEASURES, Measure, Reference, ct_measures, fit_reference, pet_measures
from preop.segmentation.body import find_body

from .assessment import CT, PET

SCAN = "scan"
LUNG_HU = -500.0
"""Lung and airways inside the body are less dense than this."""

MEASURES = (
    *CT_MEASURES,
    Measure("body_cm2", "the mean cross-section of the body", "cm2", ratio=True, resolution=0.1),
    Measure("lung_share", "the share of the body that is aerated lung", resolution=0.05),
    Measure("lung_hu", "the density of aerated lung", "HU", resolution=15),
    *(each.named("pet", "on PET") for each in PET_MEASURES),
)


def scan_measures(ct: Image, pet: Image | None = None) -> dict[str, float]:
    """Measure a CT in HU and a PET in SUV, each on its own grid; what of a PET is not given is not known."""
    body = find_body(ct).mask
    lung = ct.voxels[body & (ct.voxels < LUNG_HU)]
    axis = axial_axis(ct.geometry)
    pixel_cm2 = math.prod(mm for each, mm in enumerate(ct.spacing_mm) if each != axis) / 100
    slices = int(body.any(axis=tuple(each for each in range(3) if each != axis)).sum())
    found = {
        **ct_measures(ct, body),
        "body_cm2": float(body.sum()) * pixel_cm2 / slices,
        "lung_share": lung.size / float(body.sum()),
        "lung_hu": float(np.median(lung)) if lung.size else math.nan,
    }
    if pet is None:
        return found
    inside = resample_like(ct.with_voxels(body), pet.geometry, interpolation="nearest", outside=0).voxels.astype(bool)
    return {**found, **{f"pet_{name}": value for name, value in pet_measures(pet, inside).items()}}


def measures_of_case(case: Case) -> dict[str, float]:
    """Measure a patient as the training does."""
    return scan_measures(case.image(CT), case.image(PET))


def references_of(rows: Sequence[Mapping[str, float]]) -> dict[str, Reference]:
    """Describe training patients by their measures."""
    return {SCAN: fit_reference(rows, MEASURES)}
