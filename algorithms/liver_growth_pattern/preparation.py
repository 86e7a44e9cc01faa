"""What training keeps of a patient: metastases measured and cut out once, in processes of their own that need no torch."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from preop.anatomy import not_plausible
from preop.cohort import Patient
from preop.errors import InvalidInputError
from preop.grandchallenge.values import to_json
from preop.imaging import Image, check_hu, read_labels
from preop.likeness import LIKENESS, known

from .lesions import CT, SEGMENTATION, Lesions, find_lesions
from .likeness import scan_measures
from .plausibility import problems_of

CONTENT_FILE = "lesions.json"
FIRST, SECOND = "first", "second"
SECOND_SEGMENTATION = "second_segmentation"
"""Column with another segmentation of the same scan, with the same numbers: to see what hangs on who drew."""


def prepare_patient(patient: Patient, folder: Path) -> None:
    """Write what training needs of a patient into a folder.

    Raises
    ------
    InvalidInputError
        If the patient's images are not what they should be.
    """
    ct = patient.case.image(CT)
    check_hu(ct, name=CT)
    found = {FIRST: _plausible(find_lesions(ct, patient.case.image(SEGMENTATION)))}
    if second := patient.row.get(SECOND_SEGMENTATION):
        found[SECOND] = _plausible(find_lesions(ct, _second(patient, second, ct)))
    for name, lesions in found.items():
        np.save(folder / f"{name}.npy", np.stack([each.patches for each in lesions.seen]))
    content = {
        "slice_mm": max(ct.spacing_mm),
        LIKENESS: known(scan_measures(ct, found[FIRST])),
        **{name: _rows(lesions) for name, lesions in found.items()},
    }
    (folder / CONTENT_FILE).write_text(to_json(content), encoding="utf-8")


def _plausible(lesions: Lesions) -> Lesions:
    """Leave out what cannot be a metastasis, as inference does."""
    problems = problems_of(lesions.seen)
    kept = lesions.without(problems)
    if not kept.seen:
        named = " ".join(not_plausible("liver metastasis", problems))
        raise InvalidInputError(f"{named} Check that the segmentation belongs to this CT.")
    return kept


def _second(patient: Patient, name: str, ct: Image) -> Image:
    """Read the second segmentation, whose path is relative to the table like those of the inputs."""
    first = patient.case.image_paths[SEGMENTATION]
    depth = len(Path(patient.row[SEGMENTATION]).parts)
    return read_labels(first.parents[depth - 1] / name, like=ct.geometry, scan=CT)


def _rows(lesions: Lesions) -> list[dict[str, Any]]:
    return [{**asdict(each.lesion), "features": each.features} for each in lesions.seen]
