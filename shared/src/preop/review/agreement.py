"""How far two reviewers agree about a mask: overlap, and distance between surfaces.

Dice LR. Measures of the amount of ecologic association between species. Ecology 1945;26:297-302. Surface distances as in
Taha AA, Hanbury A. Metrics for evaluating 3D medical image segmentation. BMC Med Imaging 2015;15:29; by distance maps of
SimpleITK, in mm.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from preop.errors import InvalidInputError, PreopError
from preop.imaging import Image, bounding_box, crop, read_geometry, to_sitk
from preop.review.checks import read_mask_on
from preop.review.records import ORIGINAL, Records, Standing
from preop.review.tables import State


@dataclass(frozen=True)
class MaskAgreement:
    """Agreement of two masks on one grid.

    Attributes
    ----------
    dice
        Twice the voxels of both over the sum of their voxels; 1 where both are empty.
    mean_surface_mm
        Mean distance from the surface of either to that of the other; None where one is empty.
    hausdorff_95_mm
        Its 95th percentile, the larger of both directions.
    volumes_ml
        Of both.
    """

    dice: float
    mean_surface_mm: float | None
    hausdorff_95_mm: float | None
    volumes_ml: tuple[float, float]


def compare_masks(first: Image, second: Image) -> MaskAgreement:
    """Compare two masks, in which every value but 0 is inside.

    Raises
    ------
    InvalidInputError
        If they lie on different grids.
    """
    if difference := first.geometry.difference(second.geometry):
        raise InvalidInputError(f"The two masks lie on different grids ({difference}).")
    one, other = first.voxels != 0, second.voxels != 0
    ml = first.geometry.voxel_volume_mm3 / 1000
    sizes = (int(one.sum()), int(other.sum()))
    volumes = (sizes[0] * ml, sizes[1] * ml)
    if not any(sizes):
        return MaskAgreement(1.0, None, None, volumes)
    dice = 2 * float((one & other).sum()) / sum(sizes)
    if not all(sizes):
        return MaskAgreement(dice, None, None, volumes)
    box = bounding_box(one | other, margin_voxels=(1, 1, 1))
    small = [crop(first.with_voxels(mask), box) for mask in (one, other)]
    there, back = _distances_mm(*small), _distances_mm(*reversed(small))
    return MaskAgreement(
        dice,
        float(np.concatenate([there, back]).mean()),
        float(max(np.quantile(there, 0.95), np.quantile(back, 0.95))),
        volumes,
    )


def _distances_mm(from_mask: Image, to_mask: Image) -> NDArray[np.float64]:
    """Distance of each surface voxel of one mask to the nearest surface voxel of the other."""
    import SimpleITK as sitk

    surface = sitk.GetArrayFromImage(sitk.LabelContour(to_sitk(from_mask), fullyConnected=False)) > 0
    target = sitk.LabelContour(to_sitk(to_mask), fullyConnected=False)
    # Beyond the cropped box nothing is marked, so that a mask that fills it has its border there.
    distances = sitk.SignedMaurerDistanceMap(
        target, squaredDistance=False, useImageSpacing=True, insideIsPositive=False
    )
    return np.asarray(np.abs(sitk.GetArrayFromImage(distances))[surface], dtype=np.float64)


@dataclass(frozen=True)
class ReviewerAgreement:
    """Agreement of two reviewers about a mask of a patient."""

    patient: str
    slug: str
    reviewers: tuple[str, str]
    numbers: tuple[int, int]
    figures: MaskAgreement | None
    problem: str = ""


def reviewer_agreement(records: Records) -> list[ReviewerAgreement]:
    """Compare the last masks of every two reviewers of a patient: those they saved, or approved as they were."""
    decided: dict[tuple[int, str], dict[str, tuple[int, datetime]]] = {}
    for row in records.decisions():
        if State(row.state).is_usable:
            for slug, number in row.masks.items():
                decided.setdefault((row.patient_id, slug), {})[row.reviewer] = (number, row.at)
    found = []
    for standing in records.all():
        for kind in records.cohort.masks:
            latest = dict(decided.get((standing.id, kind.slug), {}))
            for mask in standing.masks:
                if mask.slug == kind.slug and (mask.reviewer not in latest or latest[mask.reviewer][1] < mask.at):
                    latest[mask.reviewer] = (mask.number, mask.at)
            for one, other in combinations(sorted(latest), 2):
                numbers = (latest[one][0], latest[other][0])
                found.append(_agreement(records, standing, kind.slug, (one, other), numbers))
    return found


def _agreement(
    records: Records, standing: Standing, slug: str, reviewers: tuple[str, str], numbers: tuple[int, int]
) -> ReviewerAgreement:
    subject = next(each for each in records.cohort.subjects if each.name == standing.name)
    try:
        grid = read_geometry(subject.scans[records.cohort.mask(slug).of])
        masks = []
        for number in numbers:
            path = records.path_of(standing, slug, number)
            if path is None:
                raise InvalidInputError(f"Mask {number} of {slug} is missing.")
            masks.append(read_mask_on(path, grid, subject.mask_labels.get(slug) if number == ORIGINAL else None))
        return ReviewerAgreement(standing.name, slug, reviewers, numbers, compare_masks(*masks))
    except PreopError as error:
        return ReviewerAgreement(standing.name, slug, reviewers, numbers, None, str(error))
