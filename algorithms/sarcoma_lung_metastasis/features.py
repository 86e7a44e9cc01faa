"""What is measured of a patient: shape and intensity of the tumour on each scan, and clinical information.

Shape and intensity features follow the Image Biomarker Standardisation Initiative (Zwanenburg 2020,
doi 10.1148/radiol.2020191145).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from preop.errors import InvalidInputError
from preop.grandchallenge.cases import Case
from preop.imaging import Image, bounding_box, crop
from preop.radiomics import Family, Settings, compute_features

# The public cohort holds each scan within 30 mm of the tumour: the surroundings that T1 signal is compared with.
MARGIN_MM = 30.0
# T1 signal has no unit. Fat is the brightest tissue of a limb, and covers more than a twentieth of that box.
FAT_QUANTILE = 0.95
# Between the slice thickness and the pixel size of the public cohort's scans (3.3 mm and 1 mm on CT).
SPACING_MM = (2.0, 2.0, 2.0)
# HU that soft tissue, fat included, can have; air and dense bone lie beyond.
SOFT_TISSUE_HU = (-200.0, 300.0)

# Our name of each feature, and its key by the standard.
FEATURES = {
    "sphericity": "morph_sphericity",
    "elongation": "morph_pca_elongation",
    "flatness": "morph_pca_flatness",
    "mean": "stat_mean",
    "skewness": "stat_skew",
    "kurtosis": "stat_kurt",
    "p10": "stat_p10",
    "p90": "stat_p90",
}
GRADES = {"low": 0.0, "intermediate": 1.0, "high": 2.0}


@dataclass(frozen=True)
class Scan:
    """A kind of scan, and the sockets it comes by."""

    name: str
    image: str
    segmentation: str


CT = Scan("ct", "ct-image", "ct-tumour-segmentation")
T1 = Scan("t1", "t1-mri", "t1-mri-tumour-segmentation")
SCANS = (CT, T1)
# Voxels that are not soft tissue are left out of the intensity features: air and bone on CT; on T1, whose scale
# differs from scanner to scanner, what lies more than three standard deviations from the mean.
SETTINGS = {
    CT: Settings(spacing_mm=SPACING_MM, lower=SOFT_TISSUE_HU[0], upper=SOFT_TISSUE_HU[1]),
    T1: Settings(spacing_mm=SPACING_MM, outlier_sigma=3.0, round_intensities=False),
}
CLINICAL = "clinical-information"


def measure(case: Case) -> dict[str, float]:
    """Measure all features of a case; a feature that cannot be known is NaN.

    Raises
    ------
    InvalidInputError
        If a scan or its segmentation cannot be what it should be.
    """
    row: dict[str, float] = {}
    for scan in SCANS:
        if scan.image in case:
            row |= _imaging_features(scan, case)
    if CLINICAL in case:
        row |= _clinical_features(case)
    return row


def _imaging_features(scan: Scan, case: Case) -> dict[str, float]:
    mask = case.mask(scan.segmentation)
    box = bounding_box(mask.voxels, margin_voxels=tuple(math.ceil(MARGIN_MM / mm) for mm in mask.spacing_mm))
    mask, image = crop(mask, box), crop(case.image(scan.image), box)
    if scan is CT:
        _check_tissue(image, mask)
    else:
        image = _relative_to_fat(image, mask)
    measured = compute_features(image, mask, SETTINGS[scan], {Family.MORPHOLOGY, Family.STATISTICS})
    features = {name: measured[key] for name, key in FEATURES.items()}
    # Volumes of the public cohort span two orders of magnitude.
    features["log_volume_ml"] = math.log(measured["morph_volume"] / 1000)
    features["spread"] = math.sqrt(measured["stat_var"])
    return {f"{scan.name}_{name}": value for name, value in features.items()}


def _clinical_features(case: Case) -> dict[str, float]:
    known = case.value(CLINICAL)

    def share(item: str, value: str) -> float:
        return float(known[item] == value) if item in known else math.nan

    return {
        "age_years": float(known.get("age_years", math.nan)),
        "male": share("sex", "male"),
        "grade": GRADES.get(known.get("grade"), math.nan),
        "liposarcoma": share("histology", "liposarcoma"),
        "extremity": share("site", "extremity"),
        "margin_positive": share("margin", "positive") if known.get("margin") != "unknown" else math.nan,
    }


def _check_tissue(image: Image, mask: Image) -> None:
    """Refuse a segmentation that lies in air or bone, or a scan that is not in HU."""
    inside = image.voxels[mask.voxels]
    low, high = SOFT_TISSUE_HU
    if not ((inside >= low) & (inside <= high)).any():
        raise InvalidInputError(
            f"{CT.segmentation} touches no tumour: all its voxels lie between {inside.min():g} and {inside.max():g} HU, "
            f"and soft tissue between {low:g} and {high:g}; check the segmentation, and that the scan is in HU."
        )


def _relative_to_fat(image: Image, mask: Image) -> Image:
    """Express T1 signal in % of the fat around the tumour."""
    fat = float(np.quantile(image.voxels, FAT_QUANTILE))
    if fat <= 0 or not (image.voxels[mask.voxels] > 0).any():
        raise InvalidInputError(
            f"{T1.segmentation} touches no tumour: there is no signal inside it; check the segmentation and the scan."
        )
    return image.with_voxels((100 * image.voxels / fat).astype(np.float32))
