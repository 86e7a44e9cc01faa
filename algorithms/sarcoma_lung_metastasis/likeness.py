"""How like its training patients a patient is to the model: each scan around the tumour, for each combination of scans."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from preop.grandchallenge.cases import Case
from preop.imaging import Image, bounding_box, crop
from preop.likeness import (
    CT_MEASURES,
    PET_MEASURES,
    SIGNAL_MEASURES,
    Reference,
    ct_measures,
    fit_reference,
    pet_measures,
    signal_measures,
)

from .features import CT, MARGIN_MM, PET, SCANS, Scan

LEAST_PATIENTS = 3
_MEASURES = {
    scan.name: tuple(each.named(scan.name, f"on {scan.label}") for each in measures)
    for scan in SCANS
    for measures in [{CT: CT_MEASURES, PET: PET_MEASURES}.get(scan, SIGNAL_MEASURES)]
}
_MEASURED_BY = {scan.name: {CT: ct_measures, PET: pet_measures}.get(scan, signal_measures) for scan in SCANS}


def measures_of_case(case: Case, scans: Iterable[Scan] = SCANS) -> dict[str, float]:
    """Measure those scans that a patient has within 30 mm of the tumour, as they are measured for the model."""
    found: dict[str, float] = {}
    for scan in scans:
        if scan.image in case:
            values = _MEASURED_BY[scan.name](_around(case, scan))
            found |= {f"{scan.name}_{name}": value for name, value in values.items()}
    return found


def references_of(rows: Sequence[Mapping[str, float]]) -> dict[str, Reference]:
    """Describe the training patients who have them, for each combination of scans, by its name."""
    references = {}
    for number in range(1, len(SCANS) + 1):
        for scans in combinations(SCANS, number):
            complete = [row for row in rows if all(f"{scan.name}_pixel_mm" in row for scan in scans)]
            if len(complete) >= LEAST_PATIENTS:
                measures = [each for scan in scans for each in _MEASURES[scan.name]]
                references[scans_key(scan.label for scan in scans)] = fit_reference(complete, measures)
    return references


def scans_key(inputs: Iterable[str]) -> str:
    """Name the scans among the labels of inputs: ``CT + PET`` of CT, PET and clinical information."""
    given = set(inputs)
    return " + ".join(scan.label for scan in SCANS if scan.label in given)


def _around(case: Case, scan: Scan) -> Image:
    mask = case.mask(scan.segmentation)
    box = bounding_box(mask.voxels, margin_voxels=tuple(math.ceil(MARGIN_MM / mm) for mm in mask.spacing_mm))
    return crop(case.image(scan.image), box)
