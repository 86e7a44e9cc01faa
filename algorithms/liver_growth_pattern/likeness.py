"""How like its training patients a patient is to the model: the scan around the metastases, and these as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from preop.grandchallenge.cases import Case
from preop.imaging import Image, bounding_box, crop
from preop.likeness import CT_MEASURES, Measure, Reference, ct_measures, fit_reference

from .lesions import CT, SEGMENTATION, Lesions, find_lesions
from .plausibility import problems_of

SCAN = "scan"
AROUND_MM = 20.0
"""What is measured of the scan lies in the box of all metastases and so far around it, whatever the field of view."""

MEASURES = (
    *CT_MEASURES,
    Measure("metastases", "the number of metastases", ratio=True, resolution=0.2),
    Measure("long_axis_mm", "the median long axis of the metastases", "mm", ratio=True, resolution=0.1),
    Measure("liver_hu", "the density of the liver", "HU", resolution=5),
    Measure("contrast_hu", "the density of the metastases beside the liver", "HU", resolution=5),
)


def scan_measures(ct: Image, lesions: Lesions) -> dict[str, float]:
    """Measure a scan with its plausible metastases; nothing where there are none."""
    if not lesions.seen:
        return {}
    found = [each.lesion for each in lesions.seen]
    margin = tuple(round(AROUND_MM / mm) for mm in ct.spacing_mm)
    numbers = [each.number for each in found]
    part = crop(ct, bounding_box(np.isin(lesions.labels.voxels, numbers), margin_voxels=margin))
    return {
        **ct_measures(part),
        "metastases": float(len(found)),
        "long_axis_mm": float(np.median([each.long_axis_mm for each in found])),
        "liver_hu": float(np.median([each.liver_hu for each in found])),
        "contrast_hu": float(np.median([each.median_hu - each.liver_hu for each in found])),
    }


def measures_of_case(case: Case) -> dict[str, float]:
    """Measure a patient as the training does."""
    found = find_lesions(case.image(CT), case.image(SEGMENTATION))
    return scan_measures(case.image(CT), found.without(problems_of(found.seen)))


def references_of(rows: Sequence[Mapping[str, float]]) -> dict[str, Reference]:
    """Describe training patients by their measures."""
    return {SCAN: fit_reference(rows, MEASURES)}
